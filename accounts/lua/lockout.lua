-- Begins one attempt to log in, or refuses it: counted before the password is looked at, so that guesses at the same
-- moment are counted one by one.
--
-- KEYS     what the attempt counts for: the user name from this address, the address, the user name
-- ARGV     for each: failures allowed, longest lock in seconds, and 1 where a lock does not matter;
--          then the first lock in seconds, and after how many seconds failures are forgotten
-- Returns 0, or the milliseconds to wait; what is refused is not counted.
local first, forget = tonumber(ARGV[10]), tonumber(ARGV[11])
local wait = 0
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key .. ':locked')
  if left > wait and ARGV[i * 3] ~= '1' then
    wait = left
  end
end
if wait > 0 then
  return wait
end
for i, key in ipairs(KEYS) do
  local limit, longest = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1])
  local count = redis.call('INCR', key)
  -- What is shared with others is counted in a window of its own, not from the last failure on: it would never end.
  if i == 1 or count == 1 then
    redis.call('EXPIRE', key, forget)
  end
  if count >= limit then
    redis.call('SET', key .. ':locked', 1, 'EX', math.min(longest, first * 2 ^ math.min(count - limit, 10)))
  end
end
return 0
