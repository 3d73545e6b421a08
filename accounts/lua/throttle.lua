-- Takes one request from an allowance that refills steadily (the generic cell rate algorithm), in one step: requests
-- at the same moment on any number of servers never take more than there is.
--
-- KEYS[1]  when the allowance would be full again, in microseconds of Redis's own clock
-- ARGV     microseconds that one request costs, microseconds that the whole allowance is worth
-- Returns 0, or the microseconds to wait; a request that has to wait takes nothing.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0')
-- Later than a whole allowance from now: the clock has been set back since.
if full_at < now or full_at > now + tonumber(ARGV[2]) then
  full_at = now
end
local after = full_at + tonumber(ARGV[1])
local wait = after - now - tonumber(ARGV[2])
if wait > 0 then
  return wait
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
return 0
