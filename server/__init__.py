"""The reactor, connections, commands, schedules and configuration: what joins protocol and storage.

Only `server.app` constructs and wires the parts.
"""
