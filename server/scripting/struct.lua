-- The library `struct`: packing by a format string. Letters: b B h H l L T f d s i I c x and > < = ! as in C's ABI.
return function(parts)
  local error, type, tonumber, tostring, select = parts.error, parts.type, parts.tonumber, parts.tostring, parts.select
  local string, math, concat, unpack = parts.string, parts.math, parts.concat, parts.unpack
  local byte, char, sub, find, rep = string.byte, string.char, string.sub, string.find, string.rep
  local reverse, floor = string.reverse, math.floor
  local float_bytes, bytes_float = parts.float_bytes, parts.bytes_float
  local MAX_INTEGER, MAX_ALIGN = 32, 8
  local SIZES = {b = 1, B = 1, h = 2, H = 2, l = 8, L = 8, T = 8, f = 4, d = 8, x = 1}

  local function bad(place, name, message)
    error('bad argument #' .. place .. " to '" .. name .. "' (" .. message .. ')', 3)
  end

  local function expect_format(value, name)
    if type(value) == 'number' then return tostring(value) end
    if type(value) ~= 'string' then
      error("bad argument #1 to '" .. name .. "' (string expected, got "
        .. (value == nil and 'no value' or type(value)) .. ')', 3)
    end
    return value
  end

  local function number_after(format, at, default)
    local first, last = find(format, '^%d+', at)
    if not first then return default, at end
    local number = tonumber(sub(format, first, last))
    if number > 2147483647 then error('integral size overflow', 4) end
    return number, last + 1
  end

  -- The next option: letter, size, place after it. `state` has endianness and alignment.
  local function option(state, format, at, name)
    local letter = sub(format, at, at)
    at = at + 1
    local size = SIZES[letter] or 0
    if letter == 's' or letter == ' ' or letter == '<' or letter == '>' or letter == '!' then
      size = 0
    elseif letter == 'c' then
      size, at = number_after(format, at, 1)
    elseif letter == 'i' or letter == 'I' then
      size, at = number_after(format, at, 4)
      if size > MAX_INTEGER then
        error('integral size ' .. size .. ' is larger than limit of ' .. MAX_INTEGER, 3)
      end
    end
    return letter, size, at
  end

  local function padding(state, letter, size, total)
    if size == 0 or letter == 'c' then return 0 end
    local align = size
    if align > state.align then align = state.align end
    if align <= 1 then return 0 end
    return (align - total % align) % align
  end

  local function control(state, letter, format, at, name)
    if letter == '<' then
      state.little = true
    elseif letter == '>' then
      state.little = false
    elseif letter == '!' then
      local align
      align, at = number_after(format, at, MAX_ALIGN)
      if align == 0 or align ~= 2 ^ floor(math.log(align) / math.log(2) + 0.5) then
        error('alignment ' .. align .. ' is not a power of 2', 3)
      end
      state.align = align
    elseif letter ~= ' ' then
      bad(1, name, "invalid format option '" .. letter .. "'")
    end
    return at
  end

  local function number_argument(value, place)
    local number = type(value) == 'number' and value or type(value) == 'string' and tonumber(value)
    if not number then
      bad(place, 'pack', 'number expected, got ' .. (value == nil and 'nil' or type(value)))
    end
    return number
  end

  local function put_integer(value, size, little)
    if value < 0 then value = math.ceil(value) else value = floor(value) end
    local bytes = {}
    if value ~= value or value >= 2 ^ 63 or value < -2 ^ 63 then value = -2 ^ 63 end
    for place = 1, size do
      local low = value % 256
      bytes[place] = char(low)
      value = (value - low) / 256
    end
    local text = concat(bytes)
    return little and text or reverse(text)
  end

  local function take_integer(text, size, little, is_signed)
    if not little then text = reverse(text) end
    local value, weight = 0, 1
    local used = size > 8 and 8 or size
    for place = 1, used do
      value = value + byte(text, place) * weight
      weight = weight * 256
    end
    if is_signed and value >= weight / 2 then
      -- From below, so that 64 bits lose nothing that a double has.
      value, weight = -1, 1
      for place = 1, used do
        value = value - (255 - byte(text, place)) * weight
        weight = weight * 256
      end
    end
    return value
  end

  local struct = {}

  function struct.pack(...)
    local format = expect_format((...), 'pack')
    local state = {little = true, align = 1}
    local out, total, place, at = {}, 0, 2, 1
    while at <= #format do
      local letter, size
      letter, size, at = option(state, format, at, 'pack')
      local pad = padding(state, letter, size, total)
      if pad > 0 then out[#out + 1] = rep('\0', pad) end
      local text = ''
      if letter == 'x' then
        text = '\0'
      elseif letter == 'f' or letter == 'd' then
        text = float_bytes(number_argument(select(place, ...), place), (state.little and '<' or '>') .. letter)
        place = place + 1
      elseif letter == 's' or letter == 'c' then
        local value = select(place, ...)
        if type(value) == 'number' then value = tostring(value) end
        if type(value) ~= 'string' then
          bad(place, 'pack', 'string expected, got ' .. (value == nil and 'nil' or type(value)))
        end
        if letter == 's' then
          text = value .. '\0'
        else
          if size == 0 then size = #value end
          if #value < size then bad(place + 1, 'pack', 'string too short') end
          text = sub(value, 1, size)
        end
        place = place + 1
      elseif SIZES[letter] or letter == 'i' or letter == 'I' then
        text = put_integer(number_argument(select(place, ...), place), size, state.little)
        place = place + 1
      else
        at = control(state, letter, format, at, 'pack')
      end
      out[#out + 1] = text
      total = total + pad + #text
    end
    return concat(out)
  end

  function struct.unpack(...)
    local format, data, start = ...
    format = expect_format(format, 'unpack')
    if type(data) == 'number' then data = tostring(data) end
    if type(data) ~= 'string' then
      error("bad argument #2 to 'unpack' (string expected, got " .. (data == nil and 'no value' or type(data)) .. ')', 2)
    end
    if start ~= nil and not tonumber(start) then
      error("bad argument #3 to 'unpack' (number expected, got " .. type(start) .. ')', 2)
    end
    start = start == nil and 1 or tonumber(start)
    if start < 0 then error("bad argument #2 to 'unpack' (data string too short)", 2) end
    if start < 1 then error("bad argument #3 to 'unpack' (offset must be 1 or greater)", 2) end
    local state = {little = true, align = 1}
    local results, count, pos, at = {}, 0, floor(start) - 1, 1
    while at <= #format do
      local letter, size
      letter, size, at = option(state, format, at, 'unpack')
      pos = pos + padding(state, letter, size, pos)
      if pos + size > #data then error("bad argument #2 to 'unpack' (data string too short)", 2) end
      if letter == 'f' or letter == 'd' then
        count = count + 1
        results[count] = bytes_float(sub(data, pos + 1, pos + size), (state.little and '<' or '>') .. letter)
      elseif letter == 'c' then
        if size == 0 then
          if count == 0 or type(results[count]) ~= 'number' then
            error("format 'c0' needs a previous size", 2)
          end
          size = results[count]
          count = count - 1
          if size < 0 or pos + size > #data then error("bad argument #2 to 'unpack' (data string too short)", 2) end
        end
        count = count + 1
        results[count] = sub(data, pos + 1, pos + size)
      elseif letter == 's' then
        local stop = find(data, '\0', pos + 1, true) or find(data, '%z', pos + 1)
        if not stop then error('unfinished string in data', 2) end
        count = count + 1
        results[count] = sub(data, pos + 1, stop - 1)
        size = stop - pos
      elseif letter == 'x' then
        size = 1
      elseif SIZES[letter] or letter == 'i' or letter == 'I' then
        local is_signed = letter == 'b' or letter == 'h' or letter == 'l' or letter == 'i'
        count = count + 1
        results[count] = take_integer(sub(data, pos + 1, pos + size), size, state.little, is_signed)
      else
        at = control(state, letter, format, at, 'unpack')
      end
      pos = pos + size
    end
    results[count + 1] = pos + 1
    return unpack(results, 1, count + 1)
  end

  function struct.size(...)
    local format = expect_format((...), 'size')
    local state = {little = true, align = 1}
    local total, at = 0, 1
    while at <= #format do
      local letter, size
      letter, size, at = option(state, format, at, 'size')
      total = total + padding(state, letter, size, total)
      if letter == 's' then
        bad(1, 'size', "option 's' has no fixed size")
      elseif letter == 'c' and size == 0 then
        bad(1, 'size', "option 'c0' has no fixed size")
      elseif not SIZES[letter] and letter ~= 'c' and letter ~= 'i' and letter ~= 'I' then
        at = control(state, letter, format, at, 'size')
      end
      total = total + size
    end
    return total
  end
  return struct
end
