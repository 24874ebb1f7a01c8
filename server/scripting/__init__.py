"""Scripts and functions: Lua as Redis runs it.

`engine` owns the run under way and what scripts ask of the server, `interpreter` the Lua states, `values` the way of
replies into Lua, `scripts` the cache of EVAL, `functions` the libraries. The `.lua` files are the scripts' world.
Nothing here is imported before the first command that needs it.
"""
