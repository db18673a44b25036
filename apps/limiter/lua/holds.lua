-- Holds: a call's tokens from its admission to its end. R reserved, S settled, X swept.
--
-- A hold moves a purse only while that is its own (run, generation and epoch): else the tokens of one lease would end up in
-- another. What it comes to is in the journal in any case.

local HOLD_FIELDS = { "st", "ac", "gen", "ep", "run", "n", "bu", "ik", "t", "pr", "ch", "ab", "ev", "q", "f" }

local function read_hold(key)
  local stored = redis.call("HMGET", key, unpack(HOLD_FIELDS))
  if not stored[1] then
    return nil
  end
  return {
    key = key, st = stored[1], account = stored[2], gen = stored[3], ep = tonumber(stored[4]), run = stored[5],
    amount = tonumber(stored[6]), budgets = words(stored[7] or ""), claim = stored[8], poured = tonumber(stored[9]),
    progress = tonumber(stored[10]) or 0, charged = tonumber(stored[11]) or 0, absorbed = tonumber(stored[12]) or 0,
    entry = stored[13], kept = tonumber(stored[14]) or 0, facts = stored[15] or "",
  }
end

local function own_purse(key, hold)
  local purse = read_purse(key, hold.budgets)
  return purse, is_of(purse, hold.run, hold.gen, hold.ep)
end

-- Writes the purse of a hold that ends. It is one live call less, for every purse of the run that counted it.
local function write_ended(purse, own, hold)
  local counted = hold.st == "R" and purse and purse.run == hold.run
  if counted then
    purse.lv = math.max(purse.lv - 1, 0)
  end
  if own then
    write_purse(purse)
  elseif counted then
    redis.call("HSET", purse.key, "lv", purse.lv)
  end
end

-- Whether a credential was revoked: keys are those of its death and of its user's least token version.
local function is_dead(dead_key, version_key, version)
  local dead, least = unpack(redis.call("MGET", dead_key, version_key))
  return dead or (least and version and version < tonumber(least))
end

local function order_of(keys, args)
  return {
    purse_key = keys[1], bucket_key = keys[2], rpm_key = keys[3], queue_key = keys[4], hold_key = keys[5], live = keys[6],
    journal = keys[7], mark = keys[8], dead = keys[9], version_key = keys[10], claim_key = keys[11],
    run = args[1], hold = args[2], account = args[3], amount = tonumber(args[4]), gen = args[5],
    version = tonumber(args[6]), facts = args[7], budget_text = args[8], budgets = words(args[8]),
    journal_limit = tonumber(args[9]), policy = policy_of(args[10]), fingerprint = args[11],
    claim_ms = tonumber(args[12]), now = time_of(args),
  }
end

-- The refusal of an idempotency key that another call has, or nil.
local function refused_by_claim(ask)
  if not ask.claim_key then
    return nil
  end
  local fingerprint, state, hold = unpack(redis.call("HMGET", ask.claim_key, "fp", "st", "h"))
  if not fingerprint or hold == ask.hold then
    return nil
  end
  if fingerprint ~= ask.fingerprint then
    return refused("mismatch", ask, { name = hold })
  end
  local told = { name = hold, available = state == "stored" and 1 or 0 }
  return refused(state == "running" and "running" or "replay", ask, told)
end

local function refused_by_purse(ask)
  local purse = ask.purse
  for _, budget in ipairs(ask.budgets) do
    if purse.left[budget] < ask.amount then
      return refused("budget", ask, { available = purse.left[budget], name = budget })
    end
  end
  if purse.av < ask.amount then
    local held = purse.rs + purse.qz
    return refused("low", ask, { limit = purse.gr, used = purse.sp, held = held, available = purse.av })
  end
  return nil
end

local function refused_by_crowd(ask)
  local waiting = redis.call("XLEN", ask.journal)
  if waiting > ask.journal_limit then
    return refused("backlog", ask, { limit = ask.journal_limit, used = waiting })
  end
  local most = ask.policy.concurrency
  if most and ask.purse.lv >= most then
    return refused("concurrency", ask, { limit = most, used = ask.purse.lv })
  end
  return nil
end

local function refusal_of(ask)
  if is_dead(ask.dead, ask.version_key, ask.version) then
    return refused("dead", ask, {})
  end
  local refusal = refused_by_claim(ask)
  if refusal then
    return refusal
  end
  if redis.call("EXISTS", ask.hold_key) == 1 then
    return refused("dup", ask, {})
  end
  ask.pass = tonumber(redis.call("HGET", ask.mark, "pass")) or 0
  ask.purse = read_purse(ask.purse_key, ask.budgets)
  if not is_alive(ask.purse, ask.run, ask.gen, ask.pass, ask.now) then
    return refused("nolease", ask, {})
  end
  ask.purse.alive = true
  return refused_by_crowd(ask) or refused_by_bucket(ask) or refused_by_purse(ask)
end

local function take_hold(ask)
  local purse, amount = ask.purse, ask.amount
  purse.av, purse.rs, purse.lv = purse.av - amount, purse.rs + amount, purse.lv + 1
  local fields = { "av", purse.av, "rs", purse.rs, "lv", purse.lv, "us", ask.now }
  for _, budget in ipairs(ask.budgets) do
    fields[#fields + 1] = "b:" .. budget
    fields[#fields + 1] = purse.left[budget] - amount
  end
  redis.call("HSET", purse.key, unpack(fields))
  local told = {
    "st", "R", "ac", ask.account, "gen", ask.gen, "ep", purse.ep, "run", ask.run, "n", amount, "t", ask.now, "f", ask.facts,
  }
  if ask.budget_text ~= "" then
    told[#told + 1], told[#told + 2] = "bu", ask.budget_text
  end
  if ask.claim_key then
    told[#told + 1], told[#told + 2] = "ik", ask.claim_key
  end
  redis.call("HSET", ask.hold_key, unpack(told))
  redis.call("ZADD", ask.live, ask.pass, ask.hold)
  if ask.claim_key then
    redis.call("HSET", ask.claim_key, "fp", ask.fingerprint, "st", "running", "h", ask.hold)
    redis.call("PEXPIREAT", ask.claim_key, ask.now + ask.claim_ms)
  end
end

-- KEYS purse bucket rpm queue hold live journal mark dead tv [idem]
-- ARGV run hold account tokens gen version facts budgets limit policy [fingerprint claim_ms] now
local function reserve(keys, args)
  local ask = order_of(keys, args)
  local refusal = refusal_of(ask)
  if refusal then
    return refusal
  end
  take_hold(ask)
  local purse = ask.purse
  local low = purse.av * 2 < purse.hi and 1 or 0
  local level, start_in, empty, requests, reset = fill(ask)
  return {
    "ok", purse.ep, purse.av, low, purse.exp - ask.now, purse.lv, level, start_in, empty, requests, reset, ask.now,
  }
end

-- KEYS hold live mark dead tv; ARGV run hold progress version now
local function heartbeat(keys, args)
  local state, progress = unpack(redis.call("HMGET", keys[1], "st", "pr"))
  if state ~= "R" then
    return state == "S" and "ended" or state == "X" and "swept" or "unknown"
  end
  redis.call("HSET", keys[1], "pr", math.max(tonumber(progress) or 0, tonumber(args[3])))
  redis.call("ZADD", keys[2], tonumber(redis.call("HGET", keys[3], "pass")) or 0, args[2])
  return is_dead(keys[4], keys[5], tonumber(args[4])) and "dead" or "ok"
end

-- More tokens for a hold, from its own purse and within the bucket, or a refusal as reserve gives it. A call under way
-- has its place already: where calls are shaped, what it pours more waits for none of those that are still to start.
--
-- KEYS purse bucket hold mark; ARGV run tokens policy now
local function extend(keys, args)
  local now, hold = time_of(args), read_hold(keys[3])
  if not hold or hold.st ~= "R" then
    return { "lost", 0, 0 }
  end
  local purse, own = own_purse(keys[1], hold)
  local pass = tonumber(redis.call("HGET", keys[4], "pass")) or 0
  if not own or not is_alive(purse, args[1], hold.gen, pass, now) then
    return { "lost", hold.amount, 0 }
  end
  purse.alive = true
  local ask = {
    run = args[1], amount = tonumber(args[2]), policy = policy_of(args[3]), now = now, purse = purse,
    budgets = hold.budgets, bucket = read_bucket(keys[2], policy_of(args[3]), now),
  }
  local refusal = refused_by_level(ask, wait_to_grow(ask)) or refused_by_purse(ask)
  if refusal then
    return refusal
  end
  for _, budget in ipairs(hold.budgets) do
    purse.left[budget] = purse.left[budget] - ask.amount
  end
  purse.av, purse.rs = purse.av - ask.amount, purse.rs + ask.amount
  write_purse(purse)
  redis.call("HSET", hold.key, "n", hold.amount + ask.amount)
  ask.bucket.level = ask.bucket.level + ask.amount * MICRO
  write_bucket(ask.bucket, ask.policy)
  return { "ok", hold.amount + ask.amount, purse.av }
end

local function ending_of(keys, args)
  local now = time_of(args)
  return {
    purse_key = keys[1], bucket_key = keys[2], queue_key = keys[3], hold_key = keys[4], live = keys[5],
    quarantine = keys[6], claim_key = keys[9], run = args[1], hold = args[2], account = args[3],
    amount = tonumber(args[4]), gen = args[5], ep = tonumber(args[6]), actual = tonumber(args[7]), payload = args[8],
    known = args[9] == "1", facts = args[10], budgets = words(args[11]), claim_end = args[12],
    tombstone_ms = tonumber(args[13]), leaves = args[14] == "1", policy = policy_of(args[15]), now = now,
    journal = journal_of(keys[7], keys[8], args[1], now),
  }
end

local function end_claim(ask)
  if not ask.claim_key or ask.claim_end == "" or redis.call("HGET", ask.claim_key, "h") ~= ask.hold then
    return
  end
  if ask.claim_end == "free" then
    redis.call("DEL", ask.claim_key)
  else
    redis.call("HSET", ask.claim_key, "st", ask.claim_end)
  end
end

-- The end of a hold is remembered, so that it is said twice without effect; all else of it is in the journal.
local function bury(ask, charged, absorbed, entry)
  redis.call("DEL", ask.hold_key)
  redis.call("HSET", ask.hold_key, "st", "S", "ch", charged, "ab", absorbed, "ev", entry)
  redis.call("PEXPIREAT", ask.hold_key, ask.now + ask.tombstone_ms)
end

-- A hold that this server has never seen, or has forgotten: for the ledger, which knows whether it has it.
local function note_ending(ask)
  local charged = math.min(ask.actual, ask.amount)
  local absorbed = ask.actual - charged
  local id, entry = append(ask.journal, "S", ask.hold, {
    account = ask.account, ep = ask.ep, gen = ask.gen, amount = ask.amount, charged = charged, absorbed = absorbed,
    budgets = budget_moves(nil, ask.budgets, charged, 0), facts = ask.facts, payload = ask.payload,
  })
  bury(ask, charged, absorbed, entry)
  end_claim(ask)
  return { "noted", charged, absorbed, id, entry }
end

local function repeated(ask, hold)
  local id = redis.call("HGET", ask.journal.mark, "id") or ""
  end_claim(ask)
  return { "repeated", hold.charged, hold.absorbed, id, hold.entry }
end

-- Moves the tokens of a hold that ends in its own purse: from where they were kept to spent, and the rest back. Returns
-- what goes back to the ledger.
local function move(purse, hold, charged)
  local swept = hold.st == "X"
  local kept, more = swept and hold.kept or hold.amount, charged - hold.charged
  if swept then
    purse.qz = purse.qz - kept
  else
    purse.rs = purse.rs - kept
  end
  purse.sp = purse.sp + more
  return give_rest(purse, kept - more), kept - more
end

-- The most that a hold can be charged: what is kept for it and what is available; of another's purse, its amount.
local function most_of(purse, own, hold)
  if not own then
    return hold.amount
  end
  return hold.charged + (hold.st == "X" and hold.kept or hold.amount) + purse.av
end

local function finish(ask, hold)
  local purse, own = own_purse(ask.purse_key, hold)
  local charged = math.min(ask.actual, most_of(purse, own, hold))
  local absorbed, returned, rest = ask.actual - charged, 0, 0
  if own then
    returned, rest = move(purse, hold, charged)
  end
  local moves = budget_moves(own and purse or nil, hold.budgets, charged, rest)
  local id, entry = append(ask.journal, "S", ask.hold, {
    account = hold.account, ep = hold.ep, gen = hold.gen, amount = hold.amount, charged = charged, absorbed = absorbed,
    returned = returned, progress = hold.progress, budgets = moves, facts = hold.facts, payload = ask.payload,
  })
  write_ended(purse, own, hold)
  bury(ask, charged, absorbed, entry)
  redis.call("ZREM", hold.st == "R" and ask.live or ask.quarantine, ask.hold)
  return { hold.st == "R" and "settled" or "corrected", charged, absorbed, id, entry }
end

local function correct_by(ask, hold)
  if ask.leaves then
    leave_bucket(ask.bucket_key, ask.queue_key, ask.hold, ask.policy, hold.amount, ask.now)
  elseif ask.actual ~= hold.amount then
    correct_bucket(ask.bucket_key, ask.policy, ask.actual - hold.amount, hold.poured, ask.now)
  end
end

-- KEYS purse bucket queue hold live quarantine journal mark [idem]
-- ARGV run hold account amount gen epoch actual payload known facts budgets claim_end tombstone_ms leaves policy now
local function settle(keys, args)
  local ask = ending_of(keys, args)
  local hold = read_hold(ask.hold_key)
  if not hold then
    return ask.known and note_ending(ask) or { "unknown", 0, 0, "", "" }
  end
  if hold.st == "S" then
    return repeated(ask, hold)
  end
  local reply = finish(ask, hold)
  correct_by(ask, hold)
  end_claim(ask)
  return reply
end
