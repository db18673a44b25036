-- The purse: what PostgreSQL has given to one account, and where it is. gr = av + rs + sp + qz + rt at every moment.
--
--   run, gen, ep   the server's run, the ledger's generation, the epoch: whose purse this is
--   from, exp, px  when it last got a part; until when, and until which pass of the sweeper, it may be spent from
--   st             open, or closed: it is not spent from any more, and what its holds leave goes back by the journal
--   gr av rs sp qz rt   granted, available, reserved, spent, quarantined, returned
--   hi             av just after the last part; when half of that is left, the next part is due
--   lv, us         live holds, when a call was last admitted
--   b:<budget>     what is left of a budget's part

local SET_BACK_MS = 60000
local PURSE_FIELDS = { "run", "gen", "ep", "st", "av", "rs", "lv", "sp", "qz", "rt", "gr", "hi", "from", "exp", "px" }
local PURSE_KEPT_MS = 24 * 3600 * 1000

local function fields_with(budgets)
  if #budgets == 0 then
    return PURSE_FIELDS
  end
  local fields = { unpack(PURSE_FIELDS) }
  for _, budget in ipairs(budgets) do
    fields[#fields + 1] = "b:" .. budget
  end
  return fields
end

-- A purse with the parts of these budgets, or nil. A budget of which the purse has no part has nothing left.
local function read_purse(key, budgets)
  local stored = redis.call("HMGET", key, unpack(fields_with(budgets)))
  if not stored[1] then
    return nil
  end
  local left = {}
  for index, budget in ipairs(budgets) do
    left[budget] = tonumber(stored[#PURSE_FIELDS + index]) or 0
  end
  return {
    key = key, run = stored[1], gen = stored[2], ep = tonumber(stored[3]), closed = stored[4] == "closed",
    av = tonumber(stored[5]), rs = tonumber(stored[6]), lv = tonumber(stored[7]), sp = tonumber(stored[8]),
    qz = tonumber(stored[9]), rt = tonumber(stored[10]), gr = tonumber(stored[11]), hi = tonumber(stored[12]),
    from = tonumber(stored[13]), exp = tonumber(stored[14]), px = tonumber(stored[15]), budgets = budgets, left = left,
  }
end

-- All budgets of which a purse has a part.
local function budgets_in(key)
  local budgets = {}
  for _, field in ipairs(redis.call("HKEYS", key)) do
    local budget = string.match(field, "^b:(.*)$")
    if budget then
      budgets[#budgets + 1] = budget
    end
  end
  table.sort(budgets)
  return budgets
end

local function is_of(purse, run, gen, ep)
  return purse and purse.run == run and purse.gen == gen and purse.ep == ep
end

-- Whether a purse may be spent from. Its time is up by the clock, or by the sweeper's passes, which no clock can stretch;
-- a clock that was set back to before the last part says nothing about it any more.
local function is_alive(purse, run, gen, pass, now)
  return purse and purse.run == run and purse.gen == gen and not purse.closed
    and now < purse.exp and pass < purse.px and now >= purse.from - SET_BACK_MS
end

local function write_purse(purse)
  local fields = {
    "av", purse.av, "rs", purse.rs, "sp", purse.sp, "qz", purse.qz, "rt", purse.rt, "lv", purse.lv,
  }
  for _, budget in ipairs(purse.budgets) do
    fields[#fields + 1] = "b:" .. budget
    fields[#fields + 1] = purse.left[budget]
  end
  redis.call("HSET", purse.key, unpack(fields))
end

-- Tokens that a hold leaves: available again, or back to the ledger when the purse is closed. Negative: it took more.
-- Returns what goes back.
local function give_rest(purse, rest)
  if purse.closed then
    purse.rt = purse.rt + rest
    return rest
  end
  purse.av = purse.av + rest
  return 0
end

-- What a hold's end means for its budgets, as the journal says it: "id,charged,returned …".
local function budget_moves(purse, budgets, charged, rest)
  local moves = {}
  for index, budget in ipairs(budgets) do
    local returned = 0
    if purse and purse.closed then
      returned = math.max(rest, 0)
    elseif purse then
      purse.left[budget] = math.max(purse.left[budget] + rest, 0)
    end
    moves[index] = string.format("%s,%.0f,%.0f", budget, charged, returned)
  end
  return table.concat(moves, " ")
end
