-- The sweeper: what a dead gateway leaves behind. Death is counted in passes without a sign of life, never in seconds.
--
-- A pass counts when the last is long enough ago, or seems to lie ahead because the clock was set back: a jump costs one
-- early pass. The rest of a swept hold is kept back until its call cannot run any more, even if its gateway was only frozen.
-- A hold of another run may be alive at the server of that run: it waits as long before it is swept.

local function begin_pass(mark, pass_ms, now)
  local stored = redis.call("HMGET", mark, "pass", "passed")
  local pass, passed = tonumber(stored[1]) or 0, tonumber(stored[2]) or 0
  if now >= passed and now < passed + pass_ms then
    return pass
  end
  redis.call("HSET", mark, "pass", pass + 1, "passed", now)
  return pass + 1
end

local function due(zset, pass, limit)
  return redis.call("ZRANGEBYSCORE", zset, "-inf", pass, "LIMIT", 0, limit)
end

local function free_claim(hold, id)
  if hold.claim and hold.claim ~= "" and redis.call("HGET", hold.claim, "h") == id then
    redis.call("DEL", hold.claim)
  end
end

-- R -> X: charged by its progress. What is left stays in quarantine if it is in the hold's own purse and the call may run.
local function sweep_hold(ask, id, hold, quarantines)
  local purse, own = own_purse(ask.tag .. ":purse:" .. hold.account, hold)
  local charged = math.min(hold.progress, hold.amount)
  local kept, rest, returned = 0, 0, 0
  if own then
    purse.rs, purse.sp, rest = purse.rs - hold.amount, purse.sp + charged, hold.amount - charged
    if quarantines then
      purse.qz, kept, rest = purse.qz + rest, rest, 0
    end
    returned = give_rest(purse, rest)
  end
  local _, entry = append(ask.journal, "X", id, {
    account = hold.account, ep = hold.ep, gen = hold.gen, amount = hold.amount, charged = charged, returned = returned,
    progress = hold.progress, budgets = budget_moves(own and purse or nil, hold.budgets, charged, rest),
    facts = hold.facts,
  })
  write_ended(purse, own, hold)
  free_claim(hold, id)
  redis.call("HSET", hold.key, "st", "X", "ch", charged, "q", kept, "ev", entry)
  redis.call("ZREM", ask.live, id)
  if kept > 0 then
    redis.call("ZADD", ask.quarantine, ask.pass + ask.kept_passes, id)
  else
    redis.call("ZREM", ask.quarantine, id)
    redis.call("PEXPIREAT", hold.key, ask.now + ask.tombstone_ms)
  end
end

local function sweep_live(ask, id)
  local hold = read_hold(ask.tag .. ":hold:" .. id)
  if not hold or hold.st ~= "R" then
    redis.call("ZREM", ask.live, id)
  elseif hold.run == ask.run then
    sweep_hold(ask, id, hold, true)
  else
    redis.call("ZREM", ask.live, id)
    redis.call("ZADD", ask.quarantine, ask.pass + ask.kept_passes, id)
  end
end

-- The quarantine of a swept hold is over: what is left of it is available again, or goes back.
local function free_rest(ask, id, hold)
  local purse, own = own_purse(ask.tag .. ":purse:" .. hold.account, hold)
  if own then
    purse.qz = purse.qz - hold.kept
    local returned = give_rest(purse, hold.kept)
    local budgets = budget_moves(purse, hold.budgets, 0, hold.kept)
    if returned > 0 then
      append_return(ask.journal, hold.account, id, purse, returned, budgets)
    end
    write_purse(purse)
  end
  redis.call("HSET", hold.key, "q", 0)
  redis.call("PEXPIREAT", hold.key, ask.now + ask.tombstone_ms)
end

local function sweep_quarantine(ask, id)
  local hold = read_hold(ask.tag .. ":hold:" .. id)
  if hold and hold.st == "X" and hold.kept > 0 then
    free_rest(ask, id, hold)
  elseif hold and hold.st == "R" and not redis.call("ZSCORE", ask.live, id) then
    sweep_hold(ask, id, hold, false)
  end
  redis.call("ZREM", ask.quarantine, id)
end

-- KEYS live quarantine journal mark; ARGV run limit pass_ms missed kept_passes tombstone_ms now
local function sweep(keys, args)
  local now, limit = time_of(args), tonumber(args[2])
  local ask = {
    run = args[1], live = keys[1], quarantine = keys[2], journal = journal_of(keys[3], keys[4], args[1], now), now = now,
    tag = string.match(keys[1], "^{[^}]*}"), pass = begin_pass(keys[4], tonumber(args[3]), now),
    kept_passes = tonumber(args[5]), tombstone_ms = tonumber(args[6]),
  }
  local silent = due(ask.live, ask.pass - tonumber(args[4]), limit)
  for _, id in ipairs(silent) do
    sweep_live(ask, id)
  end
  local freed = due(ask.quarantine, ask.pass, limit)
  for _, id in ipairs(freed) do
    sweep_quarantine(ask, id)
  end
  return { ask.pass, #silent, #freed, (#silent == limit or #freed == limit) and 1 or 0 }
end
