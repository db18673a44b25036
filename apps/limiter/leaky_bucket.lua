-- The leaky bucket in Valkey. domain.py says what it means and is its twin: change both.
--
-- KEYS    one hash per bucket of the call, all with one hash tag:
--           level  micro-tokens in the bucket at that moment
--           at     Unix milliseconds, the latest moment that the bucket has seen
--         A missing hash is an empty bucket. It expires one second after it would be empty.
-- ARGV    operation ("pour" | "adjust"), tokens, now, then capacity and leak of each key in the order of KEYS
--           tokens    to pour (>= 0), or by how many to correct an earlier pour (negative: take out)
--           now       Unix milliseconds, by tests only; "" takes the server's clock, which all gateways share
--           capacity  tokens; leak  milli-tokens per second, that is micro-tokens per millisecond
-- Reply   pour    {verdict, bucket, level, wait}: verdict "poured" | "full" | "never"; bucket is the index from 1 of
--                 the bucket that decided; level in micro-tokens, with the pour if it was poured; wait in milliseconds
--         adjust  {level, ...} of each key, after
-- All or none: a refused pour writes nothing. Numbers are returned as strings, because a reply cuts them to integers
-- of its own kind; all are whole and below 2^53, where doubles are exact.

local MICRO = 1000000
local MAX_LEVEL = 4 * 10 ^ 15
local GRACE_MS = 1000

local operation, tokens, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local clock = redis.call("TIME")
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function whole(number)
  return string.format("%.0f", number)
end

-- Exact: the quotient of whole numbers below 2^53 is never rounded onto a whole number that it is not.
local function ceil_div(dividend, divisor)
  return math.ceil(dividend / divisor)
end

local function read(index)
  local stored = redis.call("HMGET", KEYS[index], "level", "at")
  local level, at = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
  local leak = tonumber(ARGV[3 + 2 * index])
  local elapsed = math.min(math.max(now - at, 0), ceil_div(level, leak))
  return {
    key = KEYS[index],
    capacity = tonumber(ARGV[2 + 2 * index]),
    leak = leak,
    level = math.max(level - elapsed * leak, 0),
    at = math.max(at, now),
  }
end

local function write(bucket)
  redis.call("HSET", bucket.key, "level", whole(bucket.level), "at", whole(bucket.at))
  local until_empty = bucket.at - now + ceil_div(bucket.level, bucket.leak)
  redis.call("PEXPIRE", bucket.key, whole(until_empty + GRACE_MS))
end

-- How long until the pour would fit: 0 now, infinity never.
local function wait_of(bucket)
  if tokens > bucket.capacity then
    return math.huge
  end
  local excess = bucket.level + tokens * MICRO - bucket.capacity * MICRO
  return excess > 0 and bucket.at - now + ceil_div(excess, bucket.leak) or 0
end

local function refusal(buckets)
  local longest, decided = 0, nil
  for index, bucket in ipairs(buckets) do
    local wait = wait_of(bucket)
    if wait > longest then
      longest, decided = wait, index
    end
  end
  if not decided then
    return nil
  end
  local never = longest == math.huge
  return { never and "never" or "full", decided, whole(buckets[decided].level), never and "0" or whole(longest) }
end

local function pour(buckets)
  local refused = refusal(buckets)
  if refused then
    return refused
  end
  local least, decided = math.huge, nil
  for index, bucket in ipairs(buckets) do
    bucket.level = bucket.level + tokens * MICRO
    write(bucket)
    local room = bucket.capacity * MICRO - bucket.level
    if room < least then
      least, decided = room, index
    end
  end
  return { "poured", decided, whole(buckets[decided].level), "0" }
end

local function adjust(buckets)
  local levels = {}
  for index, bucket in ipairs(buckets) do
    bucket.level = math.min(math.max(bucket.level + tokens * MICRO, 0), MAX_LEVEL)
    write(bucket)
    levels[index] = whole(bucket.level)
  end
  return levels
end

local buckets = {}
for index = 1, #KEYS do
  buckets[index] = read(index)
end
return operation == "pour" and pour(buckets) or adjust(buckets)
