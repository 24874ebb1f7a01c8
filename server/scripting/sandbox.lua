-- The world that scripts see. Runs once in a new interpreter, with the host's functions as arguments; returns what the
-- host calls. Nothing of Lua's own libraries stays reachable unless it is named here, and nothing of the host but plain
-- functions (C functions that hold the host's callables as upvalues, which only `debug` could read).
--
-- Tables that scripts share are stood for by empty proxies: a write meets __newindex, and what goes past metamethods
-- (rawset, next, table.insert) is wrapped. An error object of the host never reaches a script: pcall, xpcall and
-- coroutine.resume are the only ways to catch one, and they put a table or a string in its place.

local host, is_eval, libraries, TICKS = ...
local as_function = python.as_function
for name, call in pairs(host) do host[name] = as_function(call) end

local assert, error, getfenv, getmetatable, ipairs = assert, error, getfenv, getmetatable, ipairs
local load, loadstring, next, pairs, pcall, rawequal, rawget = load, loadstring, next, pairs, pcall, rawequal, rawget
local rawset, select, setfenv, setmetatable, tonumber = rawset, select, setfenv, setmetatable, tonumber
local tostring, type, unpack, xpcall, collectgarbage = tostring, type, unpack, xpcall, collectgarbage
local gcinfo, newproxy, string, table, math, coroutine = gcinfo, newproxy, string, table, math, coroutine
local clock, getinfo, getlocal, sethook = os.clock, debug.getinfo, debug.getlocal, debug.sethook
local format, find, sub, gsub, byte, floor = string.format, string.find, string.sub, string.gsub, string.byte, math.floor
local concat = table.concat
local lua_version, lua_globals = _VERSION, _G

local SELF = '=rediselect'
local OWN_POSITION = '^rediselect:%d+: '
local READ_ONLY = 'Attempt to modify a readonly table'

local protected = {}  -- proxy -> the table it stands for
local globals = {}

local function refuse_write() error(READ_ONLY, 2) end

local function protect(real)
  local proxy = {}
  protected[proxy] = real
  local meta = {__index = real, __newindex = refuse_write, __metatable = false}
  return setmetatable(proxy, meta), meta
end

local is_idle = true  -- no script runs

local nothing_else = {__index = function(_, name)
  if name == 'debug' then
    -- The host looks for a traceback function with every call; only a script is told off.
    if is_idle then return nil end
    local caller = getinfo(2, 'S')
    if not caller or caller.what == 'C' then return nil end
  end
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end}
setmetatable(globals, nothing_else)
local environment, visible = protect(globals)

-- From here on every function that is made has the scripts' environment: getfenv shows them nothing else.
setfenv(1, environment)
setfenv(0, environment)
for name in pairs(lua_globals) do lua_globals[name] = nil end

-- Errors ----------------------------------------------------------------------------------------------------------

local killed = nil  -- the error of a script that is to end, whatever it catches

local function convert(e)
  if type(e) == 'userdata' then
    local text, is_counted = host.take_error()
    if text then return {err = text, ignore_error_stats_update = is_counted or nil} end
  end
  return e
end

local function without_own_position(text)
  return (gsub(text, OWN_POSITION, '', 1))
end

-- Where the script stood when an error was raised: the nearest function that is its own.
local function whereabouts()
  local level = 3
  local found = getinfo(level, 'Sl')
  while found and (found.what == 'C' or found.what == 'tail' or found.source == SELF) do
    level = level + 1
    found = getinfo(level, 'Sl')
  end
  return found
end

-- A script that ends in `return cjson.decode(x)` has left the stack before our function runs, where a C function would
-- still be called from its last line.
local running

local function end_of_running()
  local found = running and getinfo(running, 'SL')
  if not found or found.source == SELF then return nil end
  local last, before = 0, 0  -- the line of `end`, and that of the last statement
  for line in next, found.activelines do
    if line > last then last, before = line, last elseif line > before then before = line end
  end
  found.currentline = found.what == 'Lua' and before > 0 and before or last
  return found
end

local function handler(e)
  if killed then e = killed else e = convert(e) end
  local where, is_left = whereabouts(), false
  if not where then
    where = end_of_running()
    is_left = where ~= nil
  end
  if type(e) ~= 'table' then
    local text = tostring(e)
    -- What Lua itself refuses inside a function of its library has no position, wherever that was called from.
    if text ~= READ_ONLY and (is_left or find(text, OWN_POSITION)) then
      local position = where and where.short_src .. ':' .. where.currentline .. ': ' or ''
      text = position .. without_own_position(text)
    end
    e = {err = 'ERR ' .. text}
  end
  if where then
    rawset(e, 'source', where.source)
    rawset(e, 'line', where.currentline)
  end
  return e
end

-- The base library ------------------------------------------------------------------------------------------------

local function expect_table(value, name, count)
  if type(value) ~= 'table' then
    local got = count == 0 and 'no value' or type(value)
    error("bad argument #1 to '" .. name .. "' (table expected, got " .. got .. ')', 3)
  end
end

local function next_of(...)
  local t, key = ...
  local real = protected[t]
  if real then return next(real, key) end
  expect_table(t, 'next', select('#', ...))
  return next(t, key)
end

local function pairs_of(...)
  local t = ...
  if protected[t] then return next_of, t, nil end
  expect_table(t, 'pairs', select('#', ...))
  return next, t, nil
end

local function rawset_of(t, key, value)
  if protected[t] then error(READ_ONLY, 0) end
  return rawset(t, key, value)
end

local function rawget_of(t, key)
  local real = protected[t]
  if real then return rawget(real, key) end
  return rawget(t, key)
end

local function setmetatable_of(t, meta)
  if protected[t] then error(READ_ONLY, 0) end
  return setmetatable(t, meta)
end

local no_metatable = protect({})
local function getmetatable_of(value)
  if value == environment and type(value) == 'table' then return no_metatable end
  if protected[value] then return nil end
  return getmetatable(value) or nil  -- that of cjson.null is nobody's business
end

-- Who ends with `return getfenv()` is gone when this is asked, since getfenv is no C function here.
local function is_gone(level)
  local info = getinfo(level + 1, 'S')
  return info ~= nil and info.what == 'tail'
end

local function setfenv_of(f, env)
  if type(f) == 'number' then
    if f < 1 then error(READ_ONLY, 0) end
    f = f + 1
    if is_gone(f) then return nil end
  elseif type(f) == 'function' and getinfo(f, 'S').source == SELF then
    error("'setfenv' cannot change environment of given object", 2)
  end
  local changed = setfenv(f, env)
  return changed
end

local function getfenv_of(f)
  if f == nil then f = 1 end
  if type(f) == 'number' and f > 0 then
    f = f + 1
    if is_gone(f) then return environment end
  end
  local env = getfenv(f)
  return env
end

local function settle_pcall(ok, ...)
  if ok then return true, ... end
  if killed then error(killed, 0) end
  local e = ...
  e = convert(e)
  if type(e) == 'table' then
    local text = rawget(e, 'err')
    if text ~= nil then e = text end
  elseif type(e) == 'string' then
    e = without_own_position(e)
  end
  return false, e
end

local function pcall_of(...) return settle_pcall(pcall(...)) end

local function settle_xpcall(ok, ...)
  if not ok and killed then error(killed, 0) end
  return ok, ...
end

local function xpcall_of(f, on_error)
  return settle_xpcall(xpcall(f, function(e)
    if killed then return killed end
    e = convert(e)
    if type(e) == 'string' then e = without_own_position(e) end
    return on_error(e)
  end))
end

-- Text only, no bytecode: behind a space its first byte is what the compiler says is unexpected.
local function as_text(piece)
  if type(piece) == 'string' and byte(piece) == 27 then return ' ' .. piece end
  return piece
end

local function loadstring_of(...)
  local text, name = ...
  if select('#', ...) == 0 then return loadstring() end
  if type(text) == 'number' then text = tostring(text) end
  return loadstring(as_text(text), name or text)
end

local function load_of(...)
  local reader, name = ...
  if type(reader) ~= 'function' then return load(...) end
  local is_first = true
  local chunk, fault = load(function()
    local piece = reader()
    if is_first then piece, is_first = as_text(piece), piece == '' end
    return piece
  end, name or '=(load)')
  if killed then error(killed, 0) end  -- caught by `load`
  if chunk then return chunk end
  return nil, convert(fault)
end

-- Stopping the collector and its pace are not a script's business: those are accepted and forgotten.
local PACES = {stop = 0, restart = 0, setpause = 200, setstepmul = 200}
local function collectgarbage_of(option, amount)
  if PACES[option] then return PACES[option] end
  return collectgarbage(option, amount)
end

-- Coroutines: each has a hook of its own ---------------------------------------------------------------------------

local function hook()
  local text = host.check()
  if text then
    killed = {err = text}
    error(killed, 0)
  end
end
sethook(hook, '', TICKS)
local watch, events = hook, ''  -- other than that while somebody debugs

local create, resume = coroutine.create, coroutine.resume

local function create_of(f)
  local co = create(f)
  sethook(co, watch, events, TICKS)
  return co
end

local function settle_resume(ok, ...)
  if ok then return true, ... end
  if killed then error(killed, 0) end
  local e = ...
  e = convert(e)
  if type(e) == 'string' then e = without_own_position(e) end
  return false, e
end

local function resume_of(...) return settle_resume(resume(...)) end

local function settle_wrap(ok, ...)
  if ok then return ... end
  local e = ...
  if type(e) == 'string' then
    local where = whereabouts()
    if where and where.currentline > 0 then e = where.short_src .. ':' .. where.currentline .. ': ' .. e end
  end
  error(e, 0)
end

local function wrap_of(f)
  local co = create_of(f)
  return function(...) return settle_wrap(resume_of(co, ...)) end
end

-- Random numbers: the host draws them, since scripts and functions share one sequence ---------------------------------

local draw = host.draw

local function expect_number(value, place, name)
  local number = tonumber(value)
  if not number or (type(value) ~= 'number' and type(value) ~= 'string') then
    local got = value == nil and 'no value' or type(value)
    error('bad argument #' .. place .. " to '" .. name .. "' (number expected, got " .. got .. ')', 3)
  end
  return number
end

local function random(...)
  local count = select('#', ...)
  local part = draw() % 2147483647 / 2147483647
  if count == 0 then return part end
  if count > 2 then error('wrong number of arguments', 2) end
  local low, high = ...
  low = floor(expect_number(low, 1, 'random'))
  if count == 1 then
    if low < 1 then error("bad argument #1 to 'random' (interval is empty)", 2) end
    return floor(part * low) + 1
  end
  high = floor(expect_number(high, 2, 'random'))
  if low > high then error("bad argument #2 to 'random' (interval is empty)", 2) end
  return floor(part * (high - low + 1)) + low
end

local function randomseed(seed)
  host.seed(floor(expect_number(seed, 1, 'randomseed')) % 4294967296)
end

-- The tables of names -------------------------------------------------------------------------------------------

local function copy(source, names)
  local result = {}
  for name in string.gmatch(names, '%w+') do result[name] = source[name] end
  return result
end

local strings = copy(string, 'byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper')
local tables = copy(table, 'concat foreach foreachi getn insert maxn remove setn sort')
local maths = copy(math, 'abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min '
  .. 'mod modf pi pow rad sin sinh sqrt tan tanh')
maths.random, maths.randomseed = random, randomseed
-- What these complain of they say under the name by which they are called here.
local insert, remove, setn, sort = table.insert, table.remove, table.setn, table.sort
function tables.insert(...)
  if protected[(...)] then error(READ_ONLY, 0) end
  expect_table((...), 'insert', select('#', ...))
  return insert(...)
end
function tables.remove(...)
  if protected[(...)] then return end  -- none of those is a list
  expect_table((...), 'remove', select('#', ...))
  return remove(...)
end
function tables.setn(...)
  if protected[(...)] then error(READ_ONLY, 0) end
  return setn(...)
end
function tables.sort(...)
  if protected[(...)] then return end
  expect_table((...), 'sort', select('#', ...))
  return sort(...)
end

local null = newproxy(true)
local about_null = getmetatable(null)
about_null.__tostring = function() return 'userdata: (nil)' end  -- what a null pointer is called; some scripts compare it
about_null.__metatable = false
local parts = {error = error, pcall = pcall, type = type, null = null, tostring = tostring, tonumber = tonumber, select = select,
  rawget = rawget, next = next, pairs = pairs, setmetatable = setmetatable, string = string, math = math,
  concat = concat, unpack = unpack, float_bytes = host.float_bytes, bytes_float = host.bytes_float,
  parse_number = host.parse_number}

globals._G = environment
globals._VERSION = lua_version
globals.assert, globals.error, globals.tostring, globals.type = assert, error, tostring, type
globals.ipairs, globals.rawequal, globals.select, globals.tonumber = ipairs, rawequal, select, tonumber
globals.unpack, globals.gcinfo, globals.collectgarbage = unpack, gcinfo, collectgarbage_of
globals.next, globals.pairs, globals.rawget, globals.rawset = next_of, pairs_of, rawget_of, rawset_of
globals.getmetatable, globals.setmetatable = getmetatable_of, setmetatable_of
globals.getfenv, globals.setfenv = getfenv_of, setfenv_of
globals.pcall, globals.xpcall = pcall_of, xpcall_of
globals.load, globals.loadstring = load_of, loadstring_of
globals.string, globals.table, globals.math = protect(strings), protect(tables), protect(maths)
globals.os = protect({clock = clock})
globals.coroutine = protect({create = create_of, resume = resume_of, wrap = wrap_of, running = coroutine.running,
  status = coroutine.status, yield = coroutine.yield})
for name, library in pairs(libraries) do
  setfenv(library, environment)
  globals[name] = protect(library()(parts))
end
local string_meta = getmetatable('')
string_meta.__index = globals.string
string_meta.__metatable = protect({__index = globals.string})

-- redis.* ---------------------------------------------------------------------------------------------------------

local function error_reply(...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then return {err = 'ERR wrong number or type of arguments'} end
  text = gsub(text, '^%-', '')
  if not find(text, ' ', 1, true) then text = 'ERR ' .. text end
  return {err = text}
end

local function status_reply(...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then return {err = 'ERR wrong number or type of arguments'} end
  return {ok = text}
end

-- Almost as many arguments as Lua's stack takes do not leave the host enough of it.
local MANY = 1000

-- What a call gets from the host: a plain value or a table; or with a mark the text of a status (true) or the items of a
-- list (false).
local function receive(value, mark, ...)
  if mark == nil then return value end
  if mark then return {ok = value} end
  return {...}
end

local function spread(call, call_many)
  return function(...)
    local count = select('#', ...)
    if count > MANY then return receive(call_many({...}, count)) end
    return receive(call(...))
  end
end

local calls = {
  call = spread(host.call, host.call_many), pcall = spread(host.pcall, host.pcall_many), sha1hex = host.sha1hex, log = host.log, setresp = host.setresp,
  set_repl = host.set_repl, acl_check_cmd = host.acl_check_cmd, error_reply = error_reply, status_reply = status_reply,
}
local constants = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = host.version(), REDIS_VERSION_NUM = host.version_number(),
}
for name, value in pairs(constants) do calls[name] = value end
if is_eval then
  calls.replicate_commands = function() return true end
  calls.breakpoint = function() return false end
  calls.debug = function() end
end
globals.redis = protect(calls)

-- Scripts run under a debugger from now on, or no longer. It gets what it needs to look into them.
local plain_debug, plain_breakpoint = calls.debug, calls.breakpoint
local function debug_with(debugger, talk)
  if debugger then
    for name, call in pairs(talk) do talk[name] = as_function(call) end
    setfenv(debugger, environment)
    watch, calls.debug, calls.breakpoint = debugger({getinfo = getinfo, getlocal = getlocal, loadstring = loadstring,
      pcall = pcall, protected = protected, globals = globals, null = null, own = SELF, call = calls.call,
      name_of = tostring, convert = convert, without_own_position = without_own_position}, talk)
    events = 'l'
  else
    watch, events, calls.debug, calls.breakpoint = hook, '', plain_debug, plain_breakpoint
  end
  sethook(watch, events, TICKS)
end

-- All that there is while a library is loaded: its functions see the rest when they run.
local loading
if not is_eval then
  local library_calls = {log = host.log, register_function = host.register_function}
  for name, value in pairs(constants) do
    if not find(name, '^REPL_') then library_calls[name] = value end
  end
  loading = setmetatable({redis = protect(setmetatable(library_calls, nothing_else))}, nothing_else)
end

-- Replies ---------------------------------------------------------------------------------------------------------

local in_resp3, script_resp3  -- of the client, of the script (not known before it is asked for)
local put

local function put_null(out)
  out[#out + 1] = in_resp3 and '_\r\n' or '$-1\r\n'
end

local function on_one_line(text)
  return (gsub(text, '[\r\n]', ' '))
end

local function put_table(out, value, depth)
  if depth > 1000 then
    out[#out + 1] = '-ERR reached lua stack limit\r\n'
    return
  end
  local field = rawget(value, 'err')
  if type(field) == 'string' then
    out[#out + 1] = '-' .. on_one_line(field) .. '\r\n'
    return
  end
  field = rawget(value, 'ok')
  if type(field) == 'string' then
    out[#out + 1] = '+' .. on_one_line(field) .. '\r\n'
    return
  end
  field = rawget(value, 'double')
  if type(field) == 'number' then
    -- The host would get a whole number, which has no negative zero.
    local text = field == 0 and 1 / field < 0 and '-0' or host.double_text(field)
    out[#out + 1] = in_resp3 and ',' .. text .. '\r\n' or '$' .. #text .. '\r\n' .. text .. '\r\n'
    return
  end
  field = rawget(value, 'map')
  if type(field) == 'table' then
    local count, place = 0, #out + 1
    out[place] = ''
    for key, item in next, protected[field] or field do
      count = count + 1
      put(out, key, depth + 1)
      put(out, item, depth + 1)
    end
    out[place] = in_resp3 and '%' .. count .. '\r\n' or '*' .. count * 2 .. '\r\n'
    return
  end
  field = rawget(value, 'set')
  if type(field) == 'table' then
    local count, place = 0, #out + 1
    out[place] = ''
    for key in next, protected[field] or field do
      count = count + 1
      put(out, key, depth + 1)
    end
    out[place] = (in_resp3 and '~' or '*') .. count .. '\r\n'
    return
  end
  field = rawget(value, 'big_number')
  if type(field) == 'string' then
    field = on_one_line(field)
    out[#out + 1] = in_resp3 and '(' .. field .. '\r\n' or '$' .. #field .. '\r\n' .. field .. '\r\n'
    return
  end
  field = rawget(value, 'verbatim_string')
  if type(field) == 'table' then
    local text, kind = rawget(field, 'string'), rawget(field, 'format')
    if type(text) == 'string' and type(kind) == 'string' then
      if in_resp3 then
        out[#out + 1] = '=' .. #text + 4 .. '\r\n' .. sub(kind .. '   ', 1, 3) .. ':' .. text .. '\r\n'
      else
        out[#out + 1] = '$' .. #text .. '\r\n' .. text .. '\r\n'
      end
      return
    end
  end
  local place, count = #out + 1, 0
  out[place] = ''
  local item = rawget(value, 1)
  while item ~= nil do
    count = count + 1
    put(out, item, depth + 1)
    item = rawget(value, count + 1)
  end
  out[place] = '*' .. count .. '\r\n'
end

function put(out, value, depth)
  local kind = type(value)
  if kind == 'string' then
    out[#out + 1] = '$' .. #value .. '\r\n' .. value .. '\r\n'
  elseif kind == 'number' then
    out[#out + 1] = ':' .. format('%d', value) .. '\r\n'
  elseif kind == 'table' then
    put_table(out, value, depth)
  elseif kind == 'boolean' then
    if script_resp3 == nil then script_resp3 = host.script_resp() == 3 end
    if script_resp3 then
      out[#out + 1] = in_resp3 and (value and '#t\r\n' or '#f\r\n') or (value and ':1\r\n' or ':0\r\n')
    elseif value then
      out[#out + 1] = ':1\r\n'
    else
      put_null(out)
    end
  else
    put_null(out)
  end
end

-- What the host gets: a plain value; 0, an encoded reply and whether an error was counted; or false, text, source, line,
-- counted.
local function finish(ok, value)
  is_idle = true
  if not ok then
    -- Out of memory, or a fault in the handler itself: Lua says so with a string.
    if value == 'not enough memory' then collectgarbage() end  -- the next one starts with all that there is
    if type(value) ~= 'table' then value = {err = 'ERR ' .. tostring(value)} end
    local text, source, line = rawget(value, 'err'), rawget(value, 'source'), rawget(value, 'line')
    if type(text) == 'number' then text = tostring(text) end
    if type(text) ~= 'string' then text = 'ERR unknown error' end
    if type(source) ~= 'string' or type(line) ~= 'number' then source, line = false, 0 end
    return false, text, source, line, rawget(value, 'ignore_error_stats_update') == true
  end
  local kind = type(value)
  if kind == 'string' or kind == 'number' or kind == 'boolean' or value == nil then return value end
  script_resp3 = nil
  local out = {}
  put(out, value, 0)
  return 0, concat(out), kind == 'table' and rawget(value, 'ignore_error_stats_update') == true
end

local function split_one(key, ...) return {key}, {...} end

local function split(count, ...)
  if count == 1 then return split_one(...) end
  local all = {...}
  if count == 0 then return {}, all end
  local total = #all
  local keys, rest = {}, {}
  for place = 1, count do keys[place] = all[place] end
  for place = count + 1, total do rest[place - count] = all[place] end
  return keys, rest
end

local function split_table(count, all)
  local keys, rest = {}, {}
  for place = 1, count do keys[place] = all[place] end
  for place = count + 1, #all do rest[place - count] = all[place] end
  return keys, rest
end

local function run_script(script, keys, rest)
  globals.KEYS, globals.ARGV = keys, rest
  return finish(xpcall(script, handler))
end

local function run_function(callback, keys, rest)
  return finish(xpcall(function() return callback(keys, rest) end, handler))
end

local run_code = is_eval and run_script or run_function

local function run(resp, code, count, ...)
  in_resp3 = resp == 3
  killed, running, is_idle = nil, code, false
  return run_code(code, split(count, ...))
end

-- As `run`, for more arguments than fit on the stack.
local function run_many(resp, code, count, all)
  in_resp3 = resp == 3
  killed, running, is_idle = nil, code, false
  return run_code(code, split_table(count, all))
end

local function load_library(chunk)
  killed, running = nil, chunk
  is_idle = false
  visible.__index = loading
  local ok, e = xpcall(chunk, handler)
  visible.__index = globals
  is_idle = true
  if ok then return true end
  local text = type(e) == 'table' and rawget(e, 'err') or e
  return false, type(text) == 'string' and text or 'ERR unknown error'
end

local function compile(text, name)
  return loadstring(text, name)
end

-- A table of named arguments, as two lists of plain values.
local function describe(t)
  local names, values, flags = {}, {}, {}
  local callback
  for key, value in next, t do
    if type(key) == 'number' then key = tostring(key) end
    if type(key) ~= 'string' then return 'key' end
    if key == 'callback' then
      callback = type(value) == 'function' and value or nil
      names[#names + 1], values[#values + 1] = key, type(value)
    elseif key == 'flags' then
      if type(value) == 'table' then
        local place = 1
        local flag = rawget(value, 1)
        while flag ~= nil do
          flags[place] = type(flag) == 'string' and flag or false
          place = place + 1
          flag = rawget(value, place)
        end
        names[#names + 1], values[#values + 1] = key, 'table'
      else
        names[#names + 1], values[#values + 1] = key, 'other'
      end
    else
      names[#names + 1] = key
      values[#values + 1] = (type(value) == 'string' or type(value) == 'number') and tostring(value) or false
    end
  end
  return names, values, flags, callback
end

return run, run_many, load_library, compile, describe, debug_with, function() return collectgarbage('count') end
