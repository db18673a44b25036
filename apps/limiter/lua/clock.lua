-- Time, numbers and arguments. script.py writes the library's header and VERSION before this file.
--
-- Numbers are whole and below 2^53, where doubles are exact. math.huge stands for "never by itself"; a reply says -1.

local MICRO = 1000000
local GRACE_MS = 1000

-- The last argument of every function is the time: empty means the server's clock, which all gateways share.
local function time_of(args)
  local given = tonumber(args[#args])
  if given then
    return given
  end
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function finite(number)
  return number == math.huge and -1 or number
end

-- How long until so much has leaked. Exact: the quotient of whole numbers below 2^53 is never rounded onto a whole number.
local function drain_ms(level, leak)
  if level <= 0 then
    return 0
  end
  return leak == 0 and math.huge or math.ceil(level / leak)
end

local function expire_at(key, moment)
  if moment == math.huge then
    redis.call("PERSIST", key)
  else
    redis.call("PEXPIREAT", key, moment)
  end
end

-- "a b c" as a list.
local function words(text)
  local list = {}
  for word in string.gmatch(text, "%S+") do
    list[#list + 1] = word
  end
  return list
end
