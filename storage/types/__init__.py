"""Value types that plain Python has no fitting container for, one module each.

Each class has a class attribute `type_name` and knows nothing of keys, deadlines or clients.
"""
