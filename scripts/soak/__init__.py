"""The parts of scripts/soak.py: connections, clients and what they promise, faults, and the report."""
