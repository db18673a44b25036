-- The journal: what ended, in order, waiting for the ledger. The mark says which journal it is and how far it is drained.
--
-- Entries are numbered here, not by the server, so that time set back cannot reorder them. A journal's identity is the run
-- that writes it and its first entry under that run: whoever was promised an entry by another run cannot tell whether
-- this server ever saw it, and must ask again.

local function parsed(entry)
  local ms, sequence = string.match(entry or "", "^(%d+)-(%d+)$")
  return tonumber(ms) or 0, tonumber(sequence) or 0
end

local function is_after(entry, other)
  local ms, sequence = parsed(entry)
  local other_ms, other_sequence = parsed(other)
  return ms > other_ms or (ms == other_ms and sequence > other_sequence)
end

local function next_entry(last, now)
  local ms, sequence = parsed(last)
  if now > ms then
    return string.format("%.0f-0", now)
  end
  return string.format("%.0f-%.0f", ms, sequence + 1)
end

-- The shard's keys and the run and time of the call, as every append needs them.
local function journal_of(key, mark, run, now)
  return { key = key, mark = mark, run = run, now = now }
end

-- Appends an entry; absent numbers are 0 and absent texts empty. Returns the journal's identity and the entry's id.
local function append(journal, kind, subject, told)
  local mark = redis.call("HMGET", journal.mark, "id", "last")
  local id, entry = mark[1], next_entry(mark[2], journal.now)
  if not id or string.sub(id, 1, #journal.run + 1) ~= journal.run .. ":" then
    id = journal.run .. ":" .. entry
  end
  redis.call(
    "XADD", journal.key, entry, "k", kind, "id", subject, "a", told.account or "", "e", told.ep or 0, "g", told.gen or 0,
    "n", told.amount or 0, "c", told.charged or 0, "b", told.absorbed or 0, "r", told.returned or 0,
    "pr", told.progress or 0, "bu", told.budgets or "", "f", told.facts or "", "p", told.payload or ""
  )
  if id == mark[1] then
    redis.call("HSET", journal.mark, "last", entry)
  else
    redis.call("HSET", journal.mark, "id", id, "last", entry)
  end
  return id, entry
end

-- KEYS journal mark; ARGV run kind id payload now
local function note(keys, args)
  local journal = journal_of(keys[1], keys[2], args[1], time_of(args))
  local id, entry = append(journal, args[2], args[3], { payload = args[4] })
  return { id, entry }
end

-- KEYS journal mark; ARGV run identity upto entries now. Says 0 when this is not the journal that was read.
local function drained(keys, args)
  local mark = redis.call("HMGET", keys[2], "id", "last", "at")
  if mark[1] ~= args[2] or is_after(args[3], mark[2]) then
    return 0
  end
  local entries = words(args[4])
  if #entries > 0 then
    redis.call("XDEL", keys[1], unpack(entries))
  end
  if is_after(args[3], mark[3]) then
    redis.call("HSET", keys[2], "at", args[3])
  end
  return 1
end
