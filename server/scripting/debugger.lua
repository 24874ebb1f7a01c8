-- The debugger's look inside a script that stands still: hook, variables, calls, and code that the client brings.
-- Gets the tools that only the world has, and the conversation's functions. Returns the hook, and what redis.debug and
-- redis.breakpoint are while somebody debugs. Hooks do not run inside a hook: what is evaluated here is not stepped.

local tools, talk = ...
local getinfo, getlocal, loadstring, pcall = tools.getinfo, tools.getlocal, tools.loadstring, tools.pcall
local error, next, rawget, select, tostring, type = error, next, rawget, select, tostring, type
local concat, find, format, gsub, sub, byte = table.concat, string.find, string.format, string.gsub, string.sub, string.byte
local unpack = unpack

local OWN = tools.own  -- the source of the world's own functions
local MAX_DEPTH = 10
local FIRST = 3  -- level of the script's function, seen from a function that the hook calls

local escapes = {['\a'] = '\\a', ['\b'] = '\\b', ['\t'] = '\\t', ['\n'] = '\\n', ['\r'] = '\\r', ['"'] = '\\"',
  ['\\'] = '\\\\'}
local function escape(char) return escapes[char] or format('\\x%02x', byte(char)) end

local show

local function show_table(t, depth)
  local items, pairs_, expected, is_list = {}, {}, 1, true
  for key, value in next, tools.protected[t] or t do
    if key ~= expected then is_list = false end
    local shown = show(value, depth)
    items[expected], pairs_[expected] = shown, '[' .. show(key, depth) .. ']=' .. shown
    expected = expected + 1
  end
  return '{' .. concat(is_list and items or pairs_, '; ') .. '}'
end

function show(value, depth)
  if depth == MAX_DEPTH then return '<max recursion level reached! Nested table?>' end
  local kind = type(value)
  if kind == 'string' then return '"' .. gsub(value, '[^ !#-Z^-~%[%]]', escape) .. '"' end
  if kind == 'number' then return format('%g', value) end
  if kind == 'table' then return show_table(value, depth + 1) end
  if value == tools.null then return '"light-userdata@(nil)"' end
  if kind == 'function' or kind == 'thread' or kind == 'userdata' then
    -- The address, without the kind in front of it that `tostring` writes.
    return '"' .. kind .. '@' .. gsub(tools.name_of(value), '^.*: ', '') .. '"'
  end
  return tostring(value)
end

local function print_one(name)
  local level = FIRST
  local where = getinfo(level, 'S')
  while where do
    if where.what ~= 'C' and where.source ~= OWN then
      local place = 1
      local found, value = getlocal(level, place)
      while found do
        if found == name then
          talk.say_value('<value> ' .. show(value, 0))
          return
        end
        place = place + 1
        found, value = getlocal(level, place)
      end
    end
    level = level + 1
    where = getinfo(level, 'S')
  end
  if name == 'KEYS' or name == 'ARGV' then
    talk.say_value('<value> ' .. show(tools.globals[name], 0))
  else
    talk.say('No such variable.')
  end
end

local function print_all()
  local place, count = 1, 0
  local found, value = getlocal(FIRST, place)
  while found do
    if not find(found, '(*temporary)', 1, true) then
      talk.say_value('<value> ' .. found .. ' = ' .. show(value, 0))
      count = count + 1
    end
    place = place + 1
    found, value = getlocal(FIRST, place)
  end
  if count == 0 then talk.say('No local variables in the current context.') end
end

local function trace()
  local level = FIRST
  local where = getinfo(level, 'Snl')
  while where do
    if find(where.short_src, 'user_script', 1, true) then
      talk.say((level == FIRST and 'In ' or 'From ') .. (where.name or 'top level') .. ':')
      talk.show_line(where.currentline)
    end
    level = level + 1
    where = getinfo(level, 'Snl')
  end
end

local function text_of(e)
  e = tools.convert(e)
  if type(e) == 'table' then e = rawget(e, 'err') end
  return tools.without_own_position(tostring(e))
end

local function evaluate(code)
  local chunk, fault = loadstring('return ' .. code, '@ldb_eval')
  if not chunk then chunk, fault = loadstring(code, '@ldb_eval') end
  if not chunk then
    talk.say('<error> ' .. fault)
    return
  end
  local ok, value = pcall(chunk)
  if ok then
    talk.say_value('<retval> ' .. show(value, 0))
  else
    talk.say('<error> ' .. text_of(value))
  end
end

local function hook()
  local where = getinfo(2, 'Sl')
  if where.source == OWN then return end
  if not find(where.short_src, 'user_script', 1, true) then return end
  if not talk.stops_at(where.currentline) then return end
  while true do
    local order = talk.order()
    local name = order[1]
    if name == 'go' then return end
    if name == 'abort' then error({err = order[2]}, 0) end
    if name == 'print' then
      if order[2] then print_one(order[2]) else print_all() end
    elseif name == 'trace' then
      trace()
    elseif name == 'eval' then
      evaluate(order[2])
    elseif name == 'redis' then
      local ok, e = pcall(tools.call, unpack(order, 2))
      if not ok then tools.convert(e) end
    end
    talk.send()
  end
end

local function debug(...)
  local shown = {}
  for place = 1, select('#', ...) do shown[place] = show((select(place, ...)), 0) end
  talk.say('<debug> line ' .. talk.current() .. ': ' .. concat(shown, ', '))
end

return hook, debug, talk.call_breakpoint
