-- The library `bit`: 32 bit operations on numbers, results signed.
return function(parts)
  local error, type, tonumber, select, format = parts.error, parts.type, parts.tonumber, parts.select, parts.string.format
  local sub, upper, floor = parts.string.sub, parts.string.upper, parts.math.floor
  local WORD, HALF = 4294967296, 2147483648

  local function unsigned(value, place, name)
    local number = value
    if type(number) ~= 'number' then
      number = type(value) == 'string' and tonumber(value) or nil
      if not number then
        error('bad argument #' .. place .. " to '" .. name .. "' (number expected, got "
          .. (value == nil and 'no value' or type(value)) .. ')', 3)
      end
    end
    if number ~= number or number >= 2 ^ 63 or number <= -2 ^ 63 then return 0 end
    -- To the nearest integer, to the even one of two.
    local low = floor(number)
    local rest = number - low
    if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then low = low + 1 end
    return low % WORD
  end

  local function signed(number)
    if number >= HALF then return number - WORD end
    return number
  end

  local tables = {}
  local function make(operate)
    local result = {}
    for a = 0, 15 do
      for b = 0, 15 do
        local value, weight, x, y = 0, 1, a, b
        for _ = 1, 4 do
          value = value + weight * operate(x % 2, y % 2)
          x, y, weight = floor(x / 2), floor(y / 2), weight * 2
        end
        result[a * 16 + b] = value
      end
    end
    return result
  end
  tables.band = make(function(x, y) return x * y end)
  tables.bor = make(function(x, y) return x + y > 0 and 1 or 0 end)
  tables.bxor = make(function(x, y) return (x + y) % 2 end)

  local function combine(kind, a, b)
    local result, weight = 0, 1
    for _ = 1, 8 do
      local x, y = a % 16, b % 16
      result = result + weight * kind[x * 16 + y]
      a, b, weight = (a - x) / 16, (b - y) / 16, weight * 16
    end
    return result
  end

  local bit = {}
  local function fold(name)
    local kind = tables[name]
    bit[name] = function(...)
      local count = select('#', ...)
      local result = unsigned((...), 1, name)
      for place = 2, count do
        result = combine(kind, result, unsigned(select(place, ...), place, name))
      end
      return signed(result)
    end
  end
  fold('band')
  fold('bor')
  fold('bxor')

  function bit.tobit(value) return signed(unsigned(value, 1, 'tobit')) end
  function bit.bnot(value) return signed(WORD - 1 - unsigned(value, 1, 'bnot')) end
  function bit.lshift(value, count)
    local number, by = unsigned(value, 1, 'lshift'), unsigned(count, 2, 'lshift') % 32
    return signed(number % 2 ^ (32 - by) * 2 ^ by)
  end
  function bit.rshift(value, count)
    local number, by = unsigned(value, 1, 'rshift'), unsigned(count, 2, 'rshift') % 32
    return signed(floor(number / 2 ^ by))
  end
  function bit.arshift(value, count)
    local number, by = signed(unsigned(value, 1, 'arshift')), unsigned(count, 2, 'arshift') % 32
    return floor(number / 2 ^ by)
  end
  local function rotate(number, by)
    local high = floor(number / 2 ^ (32 - by))
    return signed(number % 2 ^ (32 - by) * 2 ^ by + high)
  end
  function bit.rol(value, count)
    return rotate(unsigned(value, 1, 'rol'), unsigned(count, 2, 'rol') % 32)
  end
  function bit.ror(value, count)
    return rotate(unsigned(value, 1, 'ror'), (32 - unsigned(count, 2, 'ror') % 32) % 32)
  end
  function bit.bswap(value)
    local number = unsigned(value, 1, 'bswap')
    local a, b, c = number % 256, floor(number / 256) % 256, floor(number / 65536) % 256
    return signed(a * 16777216 + b * 65536 + c * 256 + floor(number / 16777216))
  end
  function bit.tohex(value, digits)
    local number = unsigned(value, 1, 'tohex')
    local count = digits == nil and 8 or signed(unsigned(digits, 2, 'tohex'))
    local text = format('%04x%04x', floor(number / 65536), number % 65536)
    if count < 0 then
      count = -count
      text = upper(text)
    end
    if count > 8 then count = 8 end
    return sub(text, 9 - count)
  end
  return bit
end
