-- What can be called. Whoever frees, ends or stops something may do so when memory is full: nothing else would free it.

local function offer(name, callback, flags)
  redis.register_function({ function_name = name .. "_" .. VERSION, callback = callback, flags = flags })
end

offer("reserve", reserve, {})
offer("extend", extend, {})
offer("pour", pour, {})
offer("adjust", adjust, {})
offer("grant", grant, {})
offer("topup", topup, {})
offer("heartbeat", heartbeat, { "allow-oom" })
offer("settle", settle, { "allow-oom" })
offer("sweep", sweep, { "allow-oom" })
offer("recall", recall, { "allow-oom" })
offer("revoke", revoke, { "allow-oom" })
offer("raise_version", raise_version, { "allow-oom" })
offer("note", note, { "allow-oom" })
offer("drained", drained, { "allow-oom" })
