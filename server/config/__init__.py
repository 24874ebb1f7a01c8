"""Configuration: the directives of redis.conf, their values, the file and the command line they come from.

`Config` holds the values as plain attributes; `configure` builds one from the command line. Nothing here
knows what a value is used for: parts that must act on a change, or may refuse it, register with
`Config.on_change`.
"""
