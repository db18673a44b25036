-- Leases: parts that PostgreSQL has debited come into a purse, and go back.

local PARTS_KEPT, PARTS_KEPT_MS = 128, 48 * 3600 * 1000

local function is_applied(parts, id)
  return redis.call("ZSCORE", parts, id)
end

-- Remembers a part or a return. By number, not by age: a clock that jumps must not make one be forgotten.
local function remember(parts, id, now)
  local newest = tonumber(redis.call("ZREVRANGE", parts, 0, 0, "WITHSCORES")[2]) or 0
  redis.call("ZADD", parts, math.max(now, newest + 1), id)
  redis.call("ZREMRANGEBYRANK", parts, 0, -PARTS_KEPT - 1)
  redis.call("PEXPIREAT", parts, now + PARTS_KEPT_MS)
end

-- Arguments of grant and topup: run id account gen epoch lease_run tokens budgets ttl passes not_after now
local function part_of(args)
  local listed, budgets, tokens = words(args[8]), {}, {}
  for index = 1, #listed, 2 do
    budgets[#budgets + 1] = listed[index]
    tokens[listed[index]] = tonumber(listed[index + 1])
  end
  return {
    run = args[1], id = args[2], account = args[3], gen = args[4], ep = tonumber(args[5]), lease_run = args[6],
    amount = tonumber(args[7]), budgets = budgets, tokens = tokens, ttl = tonumber(args[9]), passes = tonumber(args[10]),
    not_after = tonumber(args[11]), now = time_of(args),
  }
end

local function is_older(purse, gen, ep)
  local present, wanted = tonumber(purse.gen), tonumber(gen)
  return present < wanted or (present == wanted and purse.ep < ep)
end

local function returned_budgets(purse)
  local moves = {}
  for _, budget in ipairs(purse.budgets) do
    if purse.left[budget] > 0 then
      moves[#moves + 1] = string.format("%s,0,%.0f", budget, purse.left[budget])
    end
  end
  return table.concat(moves, " ")
end

local function append_return(journal, account, id, purse, tokens, budgets)
  return append(journal, "R", id, {
    account = account, ep = purse.ep, gen = purse.gen, amount = tokens, returned = tokens, budgets = budgets,
  })
end

-- What an older epoch of the same run has left goes back. A purse of another run is a copy: the original may have spent it.
local function return_old(old, part, journal)
  if old.run ~= part.run or old.gen ~= part.gen then
    return
  end
  local budgets = returned_budgets(old)
  if old.av > 0 or budgets ~= "" then
    append_return(journal, part.account, part.id, old, old.av, budgets)
  end
end

local function new_purse(key, part, pass, live)
  local fields = {
    "run", part.run, "gen", part.gen, "ep", part.ep, "from", part.now, "exp", part.now + part.ttl,
    "px", pass + part.passes, "st", "open", "gr", part.amount, "av", part.amount, "rs", 0, "sp", 0, "qz", 0, "rt", 0,
    "hi", part.amount, "lv", live, "us", part.now,
  }
  for _, budget in ipairs(part.budgets) do
    fields[#fields + 1] = "b:" .. budget
    fields[#fields + 1] = part.tokens[budget]
  end
  redis.call("DEL", key)
  redis.call("HSET", key, unpack(fields))
  redis.call("PEXPIREAT", key, part.now + part.ttl + PURSE_KEPT_MS)
end

local function pass_of(mark)
  return tonumber(redis.call("HGET", mark, "pass")) or 0
end

-- KEYS purse parts journal mark; ARGV as of part_of
local function grant(keys, args)
  local part = part_of(args)
  if part.lease_run ~= part.run then
    return { "run", 0 }
  end
  if part.now > part.not_after then
    return { "late", 0 }
  end
  local old = read_purse(keys[1], budgets_in(keys[1]))
  if old and not is_older(old, part.gen, part.ep) then
    return { "stale", old.av }
  end
  if old then
    return_old(old, part, journal_of(keys[3], keys[4], part.run, part.now))
  end
  new_purse(keys[1], part, pass_of(keys[4]), old and old.run == part.run and old.lv or 0)
  remember(keys[2], part.id, part.now)
  return { "ok", part.amount }
end

-- KEYS purse parts mark; ARGV as of part_of
local function topup(keys, args)
  local part = part_of(args)
  local purse = read_purse(keys[1], part.budgets)
  if part.now > part.not_after then
    return { "late", 0 }
  end
  if is_applied(keys[2], part.id) then
    return { "dup", purse and purse.av or 0 }
  end
  if not purse or purse.run ~= part.run or purse.run ~= part.lease_run or purse.closed then
    return { "nolease", 0 }
  end
  if not is_of(purse, part.run, part.gen, part.ep) then
    return { "stale", purse.av }
  end
  local available = purse.av + part.amount
  local fields = {
    "gr", purse.gr + part.amount, "av", available, "hi", available, "from", part.now, "exp", part.now + part.ttl,
    "px", pass_of(keys[3]) + part.passes,
  }
  for _, budget in ipairs(part.budgets) do
    fields[#fields + 1] = "b:" .. budget
    fields[#fields + 1] = purse.left[budget] + part.tokens[budget]
  end
  redis.call("HSET", keys[1], unpack(fields))
  redis.call("PEXPIREAT", keys[1], part.now + part.ttl + PURSE_KEPT_MS)
  remember(keys[2], part.id, part.now)
  return { "ok", available }
end

local function close(purse)
  for _, budget in ipairs(purse.budgets) do
    purse.left[budget] = 0
  end
  redis.call("HSET", purse.key, "st", "closed")
end

-- KEYS purse parts journal mark; ARGV run id account gen epoch tokens close now
local function recall(keys, args)
  local id, closes, now = args[2], args[7] == "1", time_of(args)
  if is_applied(keys[2], id) then
    return { "dup", 0, "", "" }
  end
  local purse = read_purse(keys[1], closes and budgets_in(keys[1]) or {})
  if not is_of(purse, args[1], args[4], tonumber(args[5])) then
    return { "stale", 0, "", "" }
  end
  local tokens = closes and purse.av or math.min(purse.av, tonumber(args[6]))
  local budgets = closes and returned_budgets(purse) or ""
  local journal_id, entry = "", ""
  if tokens > 0 or budgets ~= "" then
    local journal = journal_of(keys[3], keys[4], args[1], now)
    journal_id, entry = append_return(journal, args[3], id, purse, tokens, budgets)
  end
  purse.av, purse.rt = purse.av - tokens, purse.rt + tokens
  if closes then
    close(purse)
  end
  write_purse(purse)
  remember(keys[2], id, now)
  return { "ok", tokens, journal_id, entry }
end

-- KEYS dead; ARGV run ttl now
local function revoke(keys, args)
  redis.call("SET", keys[1], "1", "PXAT", time_of(args) + tonumber(args[2]))
  return 1
end

-- KEYS tv; ARGV run version ttl now. A version is never lowered.
local function raise_version(keys, args)
  local version = math.max(tonumber(redis.call("GET", keys[1])) or 0, tonumber(args[2]))
  redis.call("SET", keys[1], version, "PXAT", time_of(args) + tonumber(args[3]))
  return 1
end
