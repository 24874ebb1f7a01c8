-- The library `cmsgpack`: MessagePack of Lua values, in its old form (raw strings, 16 levels of nesting).
return function(parts)
  local error, type, tostring, select = parts.error, parts.type, parts.tostring, parts.select
  local string, math, concat, unpack, next = parts.string, parts.math, parts.concat, parts.unpack, parts.next
  local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor
  local float_bytes, bytes_float = parts.float_bytes, parts.bytes_float
  local MAX_NESTING = 16

  local function big(value, size)
    local bytes = {}
    for place = size, 1, -1 do
      local low = value % 256
      bytes[place] = char(low)
      value = (value - low) / 256
    end
    return concat(bytes)
  end

  local function integer(value)
    if value >= 0 then
      if value <= 127 then return char(value) end
      if value <= 0xff then return '\204' .. char(value) end
      if value <= 0xffff then return '\205' .. big(value, 2) end
      if value <= 0xffffffff then return '\206' .. big(value, 4) end
      return '\207' .. big(value, 8)
    end
    if value >= -32 then return char(256 + value) end
    if value >= -128 then return '\208' .. char(256 + value) end
    if value >= -32768 then return '\209' .. big(value, 2) end
    if value >= -2147483648 then return '\210' .. big(value, 4) end
    return '\211' .. big(value, 8)
  end

  local function number(value)
    if value == floor(value) and value >= -2 ^ 63 and value < 2 ^ 63 then return integer(value) end
    local short = float_bytes(value, '>f')
    if bytes_float(short, '>f') == value then return '\202' .. short end
    return '\203' .. float_bytes(value, '>d')
  end

  local function text(value)
    local size = #value
    if size < 32 then return char(0xa0 + size) .. value end
    if size <= 0xff then return '\217' .. char(size) .. value end
    if size <= 0xffff then return '\218' .. big(size, 2) .. value end
    return '\219' .. big(size, 4) .. value
  end

  -- The length of a table whose keys are 1..n, or nil.
  local function length_of(value)
    local count, top = 0, 0
    for key in next, value do
      if type(key) ~= 'number' or key <= 0 or key ~= floor(key) then return nil end
      if key > top then top = key end
      count = count + 1
    end
    if top ~= count then return nil end
    return top
  end

  local put
  local function container(out, value, depth)
    if depth == MAX_NESTING then
      out[#out + 1] = '\192'
      return
    end
    local length = length_of(value)
    if length then
      if length <= 15 then
        out[#out + 1] = char(0x90 + length)
      elseif length <= 0xffff then
        out[#out + 1] = '\220' .. big(length, 2)
      else
        out[#out + 1] = '\221' .. big(length, 4)
      end
      for place = 1, length do put(out, value[place], depth + 1) end
      return
    end
    local count, at = 0, #out + 1
    out[at] = ''
    for key, item in next, value do
      count = count + 1
      put(out, key, depth + 1)
      put(out, item, depth + 1)
    end
    if count <= 15 then
      out[at] = char(0x80 + count)
    elseif count <= 0xffff then
      out[at] = '\222' .. big(count, 2)
    else
      out[at] = '\223' .. big(count, 4)
    end
  end

  function put(out, value, depth)
    local kind = type(value)
    if kind == 'string' then
      out[#out + 1] = text(value)
    elseif kind == 'number' then
      out[#out + 1] = number(value)
    elseif kind == 'boolean' then
      out[#out + 1] = value and '\195' or '\194'
    elseif kind == 'table' then
      container(out, value, depth)
    else
      out[#out + 1] = '\192'
    end
  end

  local cmsgpack = {
    _NAME = 'cmsgpack', _VERSION = 'lua-cmsgpack 0.4.0', _COPYRIGHT = 'rediselect', _DESCRIPTION = 'MessagePack for Lua',
  }

  function cmsgpack.pack(...)
    local count = select('#', ...)
    if count == 0 then error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2) end
    local out = {}
    for place = 1, count do put(out, (select(place, ...)), 0) end
    return concat(out)
  end

  local function need(data, at, size)
    if at + size - 1 > #data then error('Missing bytes in input.', 0) end
  end

  local function unsigned(data, at, size)
    need(data, at, size)
    local value = 0
    for place = at, at + size - 1 do value = value * 256 + byte(data, place) end
    return value
  end

  local function signed(data, at, size)
    local value = unsigned(data, at, size)
    if byte(data, at) >= 128 then
      value = -1
      for place = at, at + size - 1 do value = value * 256 + byte(data, place) end
      value = 0
      for place = at, at + size - 1 do value = value * 256 + (255 - byte(data, place)) end
      value = -1 - value
    end
    return value
  end

  local take
  local function take_text(data, at, size)
    need(data, at, size)
    return sub(data, at, at + size - 1), at + size
  end
  local function take_array(data, at, count, depth)
    local result = {}
    for place = 1, count do
      result[place], at = take(data, at, depth + 1)
    end
    return result, at
  end
  local function take_map(data, at, count, depth)
    local result = {}
    for _ = 1, count do
      local key, value
      key, at = take(data, at, depth + 1)
      value, at = take(data, at, depth + 1)
      if key ~= nil and key == key then result[key] = value end
    end
    return result, at
  end

  function take(data, at, depth)
    need(data, at, 1)
    if depth > 1000 then error('Bad data format in input.', 0) end
    local code = byte(data, at)
    at = at + 1
    if code < 0x80 then return code, at end
    if code >= 0xe0 then return code - 256, at end
    if code < 0x90 then return take_map(data, at, code - 0x80, depth) end
    if code < 0xa0 then return take_array(data, at, code - 0x90, depth) end
    if code < 0xc0 then return take_text(data, at, code - 0xa0) end
    if code == 0xc0 then return nil, at end
    if code == 0xc2 then return false, at end
    if code == 0xc3 then return true, at end
    if code == 0xca then
      need(data, at, 4)
      return bytes_float(sub(data, at, at + 3), '>f'), at + 4
    end
    if code == 0xcb then
      need(data, at, 8)
      return bytes_float(sub(data, at, at + 7), '>d'), at + 8
    end
    if code >= 0xcc and code <= 0xcf then
      local size = 2 ^ (code - 0xcc)
      return unsigned(data, at, size), at + size
    end
    if code >= 0xd0 and code <= 0xd3 then
      local size = 2 ^ (code - 0xd0)
      return signed(data, at, size), at + size
    end
    if code == 0xd9 or code == 0xc4 then return take_text(data, at + 1, unsigned(data, at, 1)) end
    if code == 0xda or code == 0xc5 then return take_text(data, at + 2, unsigned(data, at, 2)) end
    if code == 0xdb or code == 0xc6 then return take_text(data, at + 4, unsigned(data, at, 4)) end
    if code == 0xdc then return take_array(data, at + 2, unsigned(data, at, 2), depth) end
    if code == 0xdd then return take_array(data, at + 4, unsigned(data, at, 4), depth) end
    if code == 0xde then return take_map(data, at + 2, unsigned(data, at, 2), depth) end
    if code == 0xdf then return take_map(data, at + 4, unsigned(data, at, 4), depth) end
    error('Bad data format in input.', 0)
  end

  local function input(data, name)
    if type(data) == 'number' then return tostring(data) end
    if type(data) ~= 'string' then
      error("bad argument #1 to '" .. name .. "' (string expected, got "
        .. (data == nil and 'no value' or type(data)) .. ')', 3)
    end
    return data
  end

  local function take_some(data, limit, offset, is_full)
    if offset < 0 or limit < 0 then
      error('Invalid request to unpack with offset of ' .. offset .. ' and limit of ' .. #data .. '.', 3)
    end
    if offset > #data then
      error('Start offset ' .. offset .. ' greater than input length ' .. #data .. '.', 3)
    end
    is_full = is_full or limit == 0 and offset == 0
    local results, count, at = {}, 0, offset + 1
    if not is_full then results[1], count = 0, 1 end
    local taken = 0
    while at <= #data and (is_full or taken < limit) do
      local ok, value, after = parts.pcall(take, data, at, 0)
      if not ok then error(value, 3) end
      at = after
      taken = taken + 1
      count = count + 1
      results[count] = value
    end
    if not is_full then results[1] = at > #data and -1 or at - 1 end
    return unpack(results, 1, count)
  end

  function cmsgpack.unpack(data)
    local text_of = input(data, 'unpack')
    return take_some(text_of, 0, 0, true)
  end
  function cmsgpack.unpack_one(data, offset)
    local text_of = input(data, 'unpack_one')
    return take_some(text_of, 1, offset or 0, false)
  end
  function cmsgpack.unpack_limit(data, limit, offset)
    local text_of = input(data, 'unpack_limit')
    if type(limit) ~= 'number' then
      error("bad argument #2 to 'unpack_limit' (number expected, got " .. (limit == nil and 'no value' or type(limit)) .. ')', 2)
    end
    return take_some(text_of, limit, offset or 0, false)
  end
  return cmsgpack
end
