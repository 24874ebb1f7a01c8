-- The library `cjson`: JSON to Lua and back, with the options and the refusals of version 2.1.0.
return function(parts)
  local error, type, tostring, tonumber, select = parts.error, parts.type, parts.tostring, parts.tonumber, parts.select
  local string, math, concat, next, null = parts.string, parts.math, parts.concat, parts.next, parts.null
  local pcall, parse_number = parts.pcall, parts.parse_number
  local byte, char, sub, find, gsub, format = string.byte, string.char, string.sub, string.find, string.gsub, string.format
  local floor = math.floor
  local INFINITY = math.huge

  local ESCAPES = {['"'] = '\\"', ['\\'] = '\\\\', ['/'] = '\\/', ['\b'] = '\\b', ['\t'] = '\\t', ['\n'] = '\\n',
    ['\f'] = '\\f', ['\r'] = '\\r', ['\127'] = '\\u007f'}
  for code = 0, 31 do
    local letter = char(code)
    if not ESCAPES[letter] then ESCAPES[letter] = format('\\u%04x', code) end
  end
  local UNESCAPES = {['"'] = '"', ['\\'] = '\\', ['/'] = '/', b = '\b', f = '\f', n = '\n', r = '\r', t = '\t'}

  local function make()
    local sparse_convert, sparse_ratio, sparse_safe = false, 2, 10
    local encode_depth, decode_depth, precision = 1000, 1000, 14
    local encode_invalid, decode_invalid, keeps_buffer = false, true, true
    local number_format = '%.14g'
    local cjson = {null = null, _NAME = 'cjson', _VERSION = '2.1.0'}

    -- Encoding --------------------------------------------------------------------------------------------------

    local function quoted(text)
      return '"' .. gsub(text, '[%z\1-\31"\\/\127]', ESCAPES) .. '"'
    end

    local function fail(kind, reason)
      error('Cannot serialise ' .. kind .. ': ' .. reason, 0)
    end

    local function number_text(value)
      if value ~= value or value == INFINITY or value == -INFINITY then
        if encode_invalid == 'null' then return 'null' end
        if not encode_invalid then fail('number', 'must not be NaN or Inf') end
        if value ~= value then return 'nan' end
        return value > 0 and 'inf' or '-inf'
      end
      return format(number_format, value)
    end

    -- The highest index of what is to be an array, or nil for an object.
    local function array_length(value)
      local top, count = 0, 0
      for key in next, value do
        if type(key) ~= 'number' or key < 1 or key ~= floor(key) then return nil end
        if key > top then top = key end
        count = count + 1
      end
      if sparse_ratio > 0 and top > count * sparse_ratio and top > sparse_safe then
        if not sparse_convert then fail('table', 'excessively sparse array') end
        return nil
      end
      if count == 0 then return nil end
      return top
    end

    local put
    local function put_table(out, value, depth)
      depth = depth + 1
      if depth > encode_depth then
        error('Cannot serialise, excessive nesting (' .. depth .. ')', 0)
      end
      local length = array_length(value)
      if length then
        out[#out + 1] = '['
        for place = 1, length do
          if place > 1 then out[#out + 1] = ',' end
          put(out, value[place], depth)
        end
        out[#out + 1] = ']'
        return
      end
      out[#out + 1] = '{'
      local is_first = true
      for key, item in next, value do
        if not is_first then out[#out + 1] = ',' end
        is_first = false
        if type(key) == 'number' then
          out[#out + 1] = '"' .. number_text(key) .. '":'
        elseif type(key) == 'string' then
          out[#out + 1] = quoted(key) .. ':'
        else
          fail(type(key), 'table key must be a number or string')
        end
        put(out, item, depth)
      end
      out[#out + 1] = '}'
    end

    function put(out, value, depth)
      local kind = type(value)
      if kind == 'string' then
        out[#out + 1] = quoted(value)
      elseif kind == 'number' then
        out[#out + 1] = number_text(value)
      elseif kind == 'boolean' then
        out[#out + 1] = value and 'true' or 'false'
      elseif kind == 'table' then
        put_table(out, value, depth)
      elseif value == nil or value == null then
        out[#out + 1] = 'null'
      else
        fail(kind, 'type not supported')
      end
    end

    function cjson.encode(...)
      if select('#', ...) ~= 1 then error("bad argument #1 to 'encode' (expected 1 argument)", 2) end
      local out = {}
      local ok, reason = pcall(put, out, (...), 0)
      if not ok then error(reason, 2) end
      return concat(out)
    end

    -- Decoding --------------------------------------------------------------------------------------------------

    local function expected(what, found, at)
      error('Expected ' .. what .. ' but found ' .. found .. ' at character ' .. at, 0)
    end

    local function utf8(code)
      if code < 0x80 then return char(code) end
      if code < 0x800 then return char(0xc0 + floor(code / 64), 0x80 + code % 64) end
      if code < 0x10000 then
        return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
      end
      return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
        0x80 + code % 64)
    end

    local function hex4(text, at)
      local digits = sub(text, at, at + 3)
      if not find(digits, '^%x%x%x%x$') then return nil end
      return tonumber(digits, 16)
    end

    -- A token from `at`: kind, value, where it begins, where the next may. Kinds are the words of the refusals.
    local function read_string(text, start)
      local pieces = {}
      local at = start + 1
      while true do
        local stop = find(text, '["\\]', at)
        if not stop then return 'unexpected end of string', nil, #text + 1 end
        pieces[#pieces + 1] = sub(text, at, stop - 1)
        if byte(text, stop) == 34 then return 'T_STRING', concat(pieces), start, stop + 1 end
        local letter = sub(text, stop + 1, stop + 1)
        if letter == 'u' then
          local code = hex4(text, stop + 2)
          if not code then return 'invalid unicode escape code', nil, stop end
          at = stop + 6
          if code >= 0xd800 and code < 0xe000 then
            if code >= 0xdc00 or sub(text, at, at + 1) ~= '\\u' then
              return 'invalid unicode escape code', nil, stop
            end
            local low = hex4(text, at + 2)
            if not low or low < 0xdc00 or low >= 0xe000 then return 'invalid unicode escape code', nil, stop end
            code = 0x10000 + (code - 0xd800) * 1024 + (low - 0xdc00)
            at = at + 6
          end
          pieces[#pieces + 1] = utf8(code)
        else
          local plain = UNESCAPES[letter]
          if not plain then return 'invalid escape code', nil, stop end
          pieces[#pieces + 1] = plain
          at = stop + 2
        end
      end
    end

    local PUNCTUATION = {['{'] = 'T_OBJ_BEGIN', ['}'] = 'T_OBJ_END', ['['] = 'T_ARR_BEGIN', [']'] = 'T_ARR_END',
      [','] = 'T_COMMA', [':'] = 'T_COLON'}
    local INVALID = {'^[+-]?[iI][nN][fF]', '^[+-]?[nN][aA][nN]', '^[+-]?0[xX]%x'}

    local function read_number(text, at)
      for place = 1, 3 do
        if find(text, INVALID[place], at) then
          if not decode_invalid then
            return find(text, '^[-%d]', at) and 'invalid number' or 'invalid token', nil, at
          end
          local _, last = find(text, '^[+-]?[iI][nN][fF][iI][nN][iI][tT][yY]', at)
          if not last then _, last = find(text, '^[+-]?[iI][nN][fF]', at) end
          if not last then _, last = find(text, '^[+-]?[nN][aA][nN]', at) end
          if not last then
            _, last = find(text, '^[+-]?0[xX]%x+%.?%x*', at)
            local _, power = find(text, '^[pP][+-]?%d+', last + 1)
            last = power or last
          end
          return 'T_NUMBER', parse_number(sub(text, at, last)), at, last + 1
        end
      end
      local begins = sub(text, at, at)
      local _, last = find(text, '^[+-]?%d+%.?%d*', at)
      if not last then _, last = find(text, '^[+-]%.%d+', at) end
      if not last then
        local is_number = begins == '-' or begins == '+' and decode_invalid
        return is_number and 'invalid number' or 'invalid token', nil, at
      end
      if begins == '+' and not decode_invalid then return 'invalid token', nil, at end
      if not decode_invalid and find(text, '^%-?0%d', at) then return 'invalid number', nil, at end
      local _, exponent = find(text, '^[eE][+-]?%d+', last + 1)
      last = exponent or last
      return 'T_NUMBER', parse_number(sub(text, at, last)), at, last + 1
    end

    local function token(text, at)
      at = find(text, '[^ \t\r\n]', at) or #text + 1
      local letter = sub(text, at, at)
      if letter == '' then return 'T_END', nil, at, at end
      local kind = PUNCTUATION[letter]
      if kind then return kind, nil, at, at + 1 end
      if letter == '"' then return read_string(text, at) end
      if sub(text, at, at + 3) == 'true' then return 'T_BOOLEAN', true, at, at + 4 end
      if sub(text, at, at + 4) == 'false' then return 'T_BOOLEAN', false, at, at + 5 end
      if sub(text, at, at + 3) == 'null' then return 'T_NULL', null, at, at + 4 end
      if find(letter, '[%-%+%diInN]') then return read_number(text, at) end
      return 'invalid token', nil, at, at
    end

    local read_value
    local function descend(depth, at)
      if depth > decode_depth then
        error('Found too many nested data structures (' .. depth .. ') at character ' .. at, 0)
      end
    end

    local function read_object(text, at, depth)
      local result = {}
      local kind, value, place, after = token(text, at)
      if kind == 'T_OBJ_END' then return result, after end
      while true do
        if kind ~= 'T_STRING' then expected('object key string', kind, place) end
        local key = value
        kind, value, place, after = token(text, after)
        if kind ~= 'T_COLON' then expected('colon', kind, place) end
        kind, value, place, after = token(text, after)
        result[key], after = read_value(text, kind, value, place, after, depth)
        kind, value, place, after = token(text, after)
        if kind == 'T_OBJ_END' then return result, after end
        if kind ~= 'T_COMMA' then expected('comma or object end', kind, place) end
        kind, value, place, after = token(text, after)
      end
    end

    local function read_array(text, at, depth)
      local result, count = {}, 0
      local kind, value, place, after = token(text, at)
      if kind == 'T_ARR_END' then return result, after end
      while true do
        count = count + 1
        result[count], after = read_value(text, kind, value, place, after, depth)
        kind, value, place, after = token(text, after)
        if kind == 'T_ARR_END' then return result, after end
        if kind ~= 'T_COMMA' then expected('comma or array end', kind, place) end
        kind, value, place, after = token(text, after)
      end
    end

    function read_value(text, kind, value, place, after, depth)
      if kind == 'T_STRING' or kind == 'T_NUMBER' or kind == 'T_BOOLEAN' or kind == 'T_NULL' then
        return value, after
      end
      if kind == 'T_OBJ_BEGIN' then
        descend(depth + 1, place)
        return read_object(text, after, depth + 1)
      end
      if kind == 'T_ARR_BEGIN' then
        descend(depth + 1, place)
        return read_array(text, after, depth + 1)
      end
      expected('value', kind, place)
    end

    local function decode(text)
      local kind, value, place, after = token(text, 1)
      local result
      result, after = read_value(text, kind, value, place, after, 0)
      kind, value, place = token(text, after)
      if kind ~= 'T_END' then expected('the end', kind, place) end
      return result
    end

    function cjson.decode(...)
      local text = ...
      if select('#', ...) ~= 1 then error("bad argument #1 to 'decode' (expected 1 argument)", 2) end
      if type(text) == 'number' then text = tostring(text) end
      if type(text) ~= 'string' then
        error("bad argument #1 to 'decode' (string expected, got " .. type(text) .. ')', 2)
      end
      if byte(text, 1) == 0 or byte(text, 2) == 0 then
        error('JSON parser does not support UTF-16 or UTF-32', 2)
      end
      local ok, result = pcall(decode, text)
      if not ok then error(result, 2) end
      return result
    end

    -- Options ---------------------------------------------------------------------------------------------------

    local function integer_option(name, place, value, low, high)
      local number = type(value) == 'number' and value or tonumber(value)
      if not number then
        error('bad argument #' .. place .. " to '" .. name .. "' (number expected, got " .. type(value) .. ')', 3)
      end
      if number < low or number > high then
        error('bad argument #1' .. " to '" .. name .. "' (expected integer between " .. format('%d', low) .. ' and '
          .. format('%d', high) .. ')', 3)
      end
      return floor(number)
    end

    local function expect_no_more(name, place, ...)
      if select('#', ...) > 0 then
        error('bad argument #' .. place .. " to '" .. name .. "' (found too many arguments)", 3)
      end
    end

    local function boolean_option(name, place, value)
      if value == 'on' or value == 'off' then return value == 'on' end
      if type(value) ~= 'boolean' then
        error('bad argument #' .. place .. " to '" .. name .. "' (invalid option '" .. tostring(value) .. "')", 3)
      end
      return value
    end

    function cjson.encode_sparse_array(convert, ratio, safe, ...)
      expect_no_more('encode_sparse_array', 4, ...)
      if convert ~= nil then sparse_convert = boolean_option('encode_sparse_array', 1, convert) end
      if ratio ~= nil then sparse_ratio = integer_option('encode_sparse_array', 2, ratio, 0, 2147483647) end
      if safe ~= nil then sparse_safe = integer_option('encode_sparse_array', 3, safe, 0, 2147483647) end
      return sparse_convert, sparse_ratio, sparse_safe
    end
    function cjson.encode_max_depth(depth, ...)
      expect_no_more('encode_max_depth', 2, ...)
      if depth ~= nil then encode_depth = integer_option('encode_max_depth', 1, depth, 1, 2147483647) end
      return encode_depth
    end
    function cjson.decode_max_depth(depth, ...)
      expect_no_more('decode_max_depth', 2, ...)
      if depth ~= nil then decode_depth = integer_option('decode_max_depth', 1, depth, 1, 2147483647) end
      return decode_depth
    end
    function cjson.encode_number_precision(digits, ...)
      expect_no_more('encode_number_precision', 2, ...)
      if digits ~= nil then
        precision = integer_option('encode_number_precision', 1, digits, 1, 14)
        number_format = '%.' .. precision .. 'g'
      end
      return precision
    end
    function cjson.encode_keep_buffer(keeps, ...)
      expect_no_more('encode_keep_buffer', 2, ...)
      if keeps ~= nil then keeps_buffer = boolean_option('encode_keep_buffer', 1, keeps) end
      return keeps_buffer
    end
    function cjson.encode_invalid_numbers(allows, ...)
      expect_no_more('encode_invalid_numbers', 2, ...)
      if allows ~= nil then
        encode_invalid = allows == 'null' and allows or boolean_option('encode_invalid_numbers', 1, allows)
      end
      return encode_invalid
    end
    function cjson.decode_invalid_numbers(allows, ...)
      expect_no_more('decode_invalid_numbers', 2, ...)
      if allows ~= nil then decode_invalid = boolean_option('decode_invalid_numbers', 1, allows) end
      return decode_invalid
    end
    cjson.new = make
    return cjson
  end
  return make()
end
