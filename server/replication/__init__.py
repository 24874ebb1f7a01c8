"""Replication: feeding replicas, following a master, and the one history that both refer to.

`service` is the part the application constructs and commands reach; it imports the others when they are first needed.
"""
