-- Counts one failure of a device; docs/architecture.md has the rule in words.
--
-- KEYS[1]  the device's failure record, a hash: since, count, last
-- ARGV     due_us, since_us, window_us, threshold, lifetime in seconds
-- Returns {count, tripped}: count 0 for an event that does not count again; tripped 1 when the threshold is reached.
-- An event delivered again, because the caller died before it had deactivated the device, trips again.
--
-- Times are microseconds since the epoch: below 2^53, so Lua's doubles hold them exactly.
local due = tonumber(ARGV[1])
local record = redis.call('HMGET', KEYS[1], 'since', 'count', 'last')
local count, last = 0, nil
if record[1] == ARGV[2] then  -- a record of an earlier period of activity counts for nothing
  count, last = tonumber(record[2]), tonumber(record[3])
end
if last and due == last and count >= tonumber(ARGV[4]) then
  return {count, 1}
end
if last and due <= last then
  return {0, 0}
end
if last and due - last < tonumber(ARGV[3]) then
  count = count + 1
else
  count = 1
end
redis.call('HSET', KEYS[1], 'since', ARGV[2], 'count', count, 'last', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return {count, count >= tonumber(ARGV[4]) and 1 or 0}
