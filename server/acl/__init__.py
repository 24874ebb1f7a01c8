"""Access control: rules, users, what they permit, the log of refusals and the file of users.

`server.accounts` is the service that puts these parts to work.
"""
