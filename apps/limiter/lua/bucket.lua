-- The bucket, by three strategies, and shaping. domain.py says what it means and is its twin: change both.
--
--   level, at     leaky bucket: micro-tokens, and the latest moment at which that was so (shaping: the last start)
--   avail, since  token bucket: micro-tokens that are available, and the latest moment at which that was so
--   count, from   fixed window: micro-tokens counted, and when the window began
--
-- Each strategy has fields of its own, so that a change of strategy starts anew. A missing hash is an empty bucket; it
-- expires a second after it would be one.

local MAX_LEVEL = 4 * 10 ^ 15
local REQUEST = 60000

local FIELDS = {
  LEAKY_BUCKET = { "level", "at" },
  TOKEN_BUCKET = { "avail", "since" },
  FIXED_WINDOW = { "count", "from" },
}

-- "capacity leak strategy mode patience window requests_per_minute concurrency"; "-": no such limit.
local function parse_policy(text)
  local capacity, leak, strategy, mode, patience, window, per_minute, concurrency = unpack(words(text))
  capacity = tonumber(capacity)
  return {
    capacity = capacity,
    full = capacity * MICRO,
    leak = tonumber(leak),
    strategy = strategy,
    windowed = strategy == "FIXED_WINDOW",
    shapes = mode == "shape",
    patience = tonumber(patience),
    window = tonumber(window),
    per_minute = tonumber(per_minute),
    concurrency = tonumber(concurrency),
  }
end

-- Policies are few and come with every call: each is parsed once, and all are forgotten when there are too many.
local MOST_POLICIES = 256
local policies, policies_known = {}, 0

local function policy_of(text)
  local policy = policies[text]
  if not policy then
    if policies_known >= MOST_POLICIES then
      policies, policies_known = {}, 0
    end
    policy = parse_policy(text)
    policies[text], policies_known = policy, policies_known + 1
  end
  return policy
end

-- A level that has leaked until now. A clock that was set back leaks nothing; time in the state never runs backwards.
local function leaked(level, at, leak, now)
  local elapsed = math.min(math.max(now - at, 0), drain_ms(level, leak))
  return math.max(level - elapsed * leak, 0), math.max(at, now)
end

local function read_bucket(key, policy, now)
  local stored = redis.call("HMGET", key, unpack(FIELDS[policy.strategy]))
  local level, at = tonumber(stored[1]), tonumber(stored[2]) or 0
  if policy.strategy == "TOKEN_BUCKET" then
    -- What is missing from a full bucket. A lower capacity takes the surplus away.
    level = math.max(policy.full - (level or policy.full), 0)
  end
  level = level or 0
  if not policy.windowed then
    level, at = leaked(level, at, policy.leak, now)
  elseif now >= at + policy.window then
    level, at = 0, now
  end
  return { key = key, level = level, at = at }
end

-- The moment at which the bucket will be empty, if nobody pours.
local function empty_at(bucket, policy)
  return bucket.at + (policy.windowed and policy.window or drain_ms(bucket.level, policy.leak))
end

local function empty_in(bucket, policy, now)
  return bucket.level == 0 and 0 or finite(empty_at(bucket, policy) - now)
end

local function write_bucket(bucket, policy)
  local fields, level = FIELDS[policy.strategy], bucket.level
  if policy.strategy == "TOKEN_BUCKET" then
    level = policy.full - level
  end
  redis.call("HSET", bucket.key, fields[1], level, fields[2], bucket.at)
  expire_at(bucket.key, empty_at(bucket, policy) + GRACE_MS)
end

-- How long until a pour would fit; with shaping, until it would start.
local function wait_of(bucket, policy, tokens, now)
  local excess = bucket.level + (tokens - policy.capacity) * MICRO
  if excess <= 0 then
    return policy.shapes and bucket.at - now or 0
  end
  if policy.windowed then
    return bucket.at + policy.window - now
  end
  return bucket.at - now + drain_ms(excess, policy.leak)
end

-- Pour what fits: at once or, with shaping, for the moment at which it does. Returns how long until that is.
local function pour_into(bucket, policy, tokens, now)
  local delay = 0
  if policy.shapes then
    delay = drain_ms(bucket.level + (tokens - policy.capacity) * MICRO, policy.leak)
    bucket.at = bucket.at + delay
  end
  bucket.level = math.max(bucket.level - delay * policy.leak, 0) + tokens * MICRO
  return policy.shapes and bucket.at - now or 0
end

-- Calls that wait for their start, so that one that leaves can give its place to who comes next.
local function enqueue(queue, hold, start, now)
  redis.call("ZREMRANGEBYSCORE", queue, "-inf", now)
  redis.call("ZADD", queue, start, hold)
  redis.call("PEXPIREAT", queue, start + GRACE_MS)
end

local function last_start(queue)
  return tonumber(redis.call("ZREVRANGE", queue, 0, 0, "WITHSCORES")[2]) or 0
end

-- Go back to where the bucket is full, or to the last start of those that still wait: nothing could start before.
local function rewind(bucket, policy, queue, now)
  local room = policy.full - bucket.level
  if not policy.shapes or policy.leak == 0 or room < 0 then
    return
  end
  local earliest = math.max(now, last_start(queue), bucket.at - math.floor(room / policy.leak))
  if earliest < bucket.at then
    bucket.level = bucket.level + policy.leak * (bucket.at - earliest)
    bucket.at = earliest
  end
end

-- Correct a pour by what its call really used: never below empty, above the capacity if it overran. A window that began
-- after the pour gives nothing back: the pour was not in it.
local function correct(key, policy, delta, poured, now)
  local bucket = read_bucket(key, policy, now)
  if not (policy.windowed and delta < 0 and poured < bucket.at) then
    bucket.level = math.min(math.max(bucket.level + delta * MICRO, 0), MAX_LEVEL)
  end
  return bucket
end

local function correct_bucket(key, policy, delta, poured, now)
  local bucket = correct(key, policy, delta, poured, now)
  write_bucket(bucket, policy)
  return bucket.level
end

-- The same for a call that leaves before its start: its place goes with its pour.
local function leave_bucket(key, queue, hold, policy, tokens, now)
  local bucket = correct(key, policy, -tokens, 0, now)
  redis.call("ZREM", queue, hold)
  rewind(bucket, policy, queue, now)
  write_bucket(bucket, policy)
  return bucket.level
end

-- Requests per minute: a leaky bucket in which a request is 60,000 units and as many leak per ms as requests per minute.
local function read_requests(key, policy, now)
  if not policy.per_minute then
    return nil
  end
  local stored = redis.call("HMGET", key, "level", "at")
  local level, at = leaked(tonumber(stored[1]) or 0, tonumber(stored[2]) or 0, policy.per_minute, now)
  local excess = level + REQUEST - policy.per_minute * REQUEST
  local wait = excess > 0 and at - now + drain_ms(excess, policy.per_minute) or 0
  return { key = key, level = level, at = at, wait = wait }
end

local function count_request(requests, policy)
  requests.level = requests.level + REQUEST
  redis.call("HSET", requests.key, "level", requests.level, "at", requests.at)
  redis.call("PEXPIREAT", requests.key, requests.at + drain_ms(requests.level, policy.per_minute) + GRACE_MS)
end

-- A refusal as script.py reads it. What does not matter to a kind is 0. The run goes with the time: both are of the
-- server that refused, and a lease that is taken for it is for no other.
local function refused(kind, ask, told)
  local purse = ask.purse or {}
  return {
    kind, ask.now, purse.ep or 0, purse.alive and 1 or 0, told.limit or 0, told.used or 0, told.held or 0,
    told.available or 0, told.wait or 0, told.name or "", ask.run,
  }
end

local function tokens_of(level)
  return math.ceil(level / MICRO)
end

-- The refusal of a bucket into which the amount does not fit within the wait, or nil.
local function refused_by_level(ask, wait)
  local policy, level = ask.policy, ask.bucket.level
  local room = math.floor(math.max(policy.full - level, 0) / MICRO)
  local told = { limit = policy.capacity, used = tokens_of(level), available = room }
  if ask.amount > policy.capacity then
    return refused("never", ask, told)
  end
  if wait > 0 then
    told.wait = finite(wait)
    return refused("full", ask, told)
  end
  return nil
end

-- How long until a call under way may pour more.
local function wait_to_grow(ask)
  local excess = ask.bucket.level + (ask.amount - ask.policy.capacity) * MICRO
  return excess > 0 and wait_of(ask.bucket, ask.policy, ask.amount, ask.now) or 0
end

-- The refusal of requests per minute or of the bucket, or nil. Leaves both, as read, in ask.
local function refused_by_bucket(ask)
  local policy = ask.policy
  ask.requests = read_requests(ask.rpm_key, policy, ask.now)
  ask.bucket = read_bucket(ask.bucket_key, policy, ask.now)
  if ask.requests and ask.requests.wait > 0 then
    local used = math.ceil(ask.requests.level / REQUEST)
    local left = math.max(policy.per_minute - used, 0)
    return refused("rpm", ask, { limit = policy.per_minute, used = used, available = left, wait = ask.requests.wait })
  end
  return refused_by_level(ask, wait_of(ask.bucket, policy, ask.amount, ask.now) - policy.patience)
end

-- Pours and counts what refused_by_bucket let pass. Returns what the admission says of it: level, start, empty, requests,
-- reset.
local function fill(ask)
  local bucket, policy, requests, now = ask.bucket, ask.policy, ask.requests, ask.now
  local start_in = pour_into(bucket, policy, ask.amount, now)
  write_bucket(bucket, policy)
  if start_in > 0 then
    enqueue(ask.queue_key, ask.hold, bucket.at, now)
  end
  if not requests then
    return bucket.level, start_in, empty_in(bucket, policy, now), 0, 0
  end
  count_request(requests, policy)
  local reset = requests.at - now + drain_ms(requests.level, policy.per_minute)
  return bucket.level, start_in, empty_in(bucket, policy, now), requests.level, reset
end

-- KEYS bucket rpm queue; ARGV run hold tokens policy now
local function pour(keys, args)
  local ask = {
    bucket_key = keys[1], rpm_key = keys[2], queue_key = keys[3], run = args[1], hold = args[2], amount = tonumber(args[3]),
    policy = policy_of(args[4]), now = time_of(args),
  }
  local refusal = refused_by_bucket(ask)
  if refusal then
    return refusal
  end
  local level, start_in, empty, requests, reset = fill(ask)
  return { "ok", 0, 0, 0, 0, 0, level, start_in, empty, requests, reset, ask.now }
end

-- KEYS bucket queue; ARGV run hold delta poured leaves policy now
local function adjust(keys, args)
  local policy, delta, now = policy_of(args[6]), tonumber(args[3]), time_of(args)
  if args[5] == "1" then
    return leave_bucket(keys[1], keys[2], args[2], policy, -delta, now)
  end
  return correct_bucket(keys[1], policy, delta, tonumber(args[4]), now)
end
