-- Settles the last lease of a process on one budget, and grants it the next.
--
-- KEYS[1]: the budget, a hash: `level` and `at` as in budget.rs, and of each process with a lease
-- `sequence:units:end`.
local kind, process = ARGV[1], ARGV[2]
local units, period, capacity = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local sequence, closed, unspent = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local need, want, ttl = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end

local level, at, leases = nil, nil, {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  if stored[i] == 'level' then level = tonumber(stored[i + 1])
  elseif stored[i] == 'at' then at = tonumber(stored[i + 1])
  else leases[stored[i]] = stored[i + 1] end
end

-- Bring the budget up to date.
local is_window = kind == 'window'
local unit = is_window and 1 or period
local full = capacity * unit
local stamp = is_window and math.floor(now / period) or now
local forgotten = {}
if level == nil then
  level, at = full, stamp
elseif stamp > at then
  if is_window then
    level = full
    -- Leases of an earlier window have ended with it.
    for holder, _ in pairs(leases) do table.insert(forgotten, holder) end
    leases = {}
  else
    level = math.min(full, level + (stamp - at) * units)
  end
  at = stamp
end

-- Settle leases: that of this process, and those that have ended unsettled.
for holder, lease in pairs(leases) do
  local number, granted, ends = string.match(lease, '^(%d+):(%d+):(%d+)$')
  number, granted, ends = tonumber(number), tonumber(granted), tonumber(ends)
  if holder == process then
    -- An answer that came back too late for its process is of no use to it any more. A question
    -- that was overtaken by a later one grants nothing.
    if number >= sequence then
      need, want = 0, 0
    else
      level = level + (number == closed and unspent or granted) * unit
      table.insert(forgotten, holder)
    end
  elseif ends <= now then
    level = level + granted * unit
    table.insert(forgotten, holder)
  end
end
level = math.min(full, level)
if #forgotten > 0 then redis.call('HDEL', KEYS[1], unpack(forgotten)) end

-- Grant: what is needed, and of what is wanted no more than half of what is there.
local available = math.floor(level / unit)
local granted = 0
if need > 0 and available >= need then
  granted = math.min(available, math.max(need, math.min(want, math.floor(available / 2))))
end
local left = is_window and (at + 1) * period - now or nil
if left and left < ttl then ttl = math.max(left, 0) end
level = level - granted * unit
if granted > 0 then
  redis.call('HSET', KEYS[1], process, text(sequence) .. ':' .. text(granted) .. ':' .. text(now + ttl))
end
redis.call('HSET', KEYS[1], 'level', text(level), 'at', text(at))

-- A budget that is full again need not be remembered.
local reset = left or math.ceil((full - level) / units)
redis.call('PEXPIRE', KEYS[1], text(math.max(reset, 0) + ttl + 1000))
local wait = 0
if need > 0 and granted == 0 then
  wait = left or math.ceil((need * unit - level) / units)
end
return { granted, ttl, math.floor(level / unit), wait, reset }
