-- Which logins may be tried now; docs/architecture.md has the rule in words.
--
-- KEYS     for each attempt five: its account's refusals (sorted set by time), the account's tries under way (sorted set
--          by when they are given up), the mark that the secret was accepted lately; and of the account on this host:
--          its refusals, and the mark that the secret was accepted there
-- ARGV     limit, window in seconds, life of a try in seconds, then for each attempt its id, and 1 where this worker
--          has seen the secret accepted
-- Returns  for each attempt 1: go; 0: wait for the tries under way; -n: the account is left alone for n more seconds
local limit, window, life = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

-- Seconds until there are fewer refusals than the limit; 0 where there are.
local function pause(refused)
  redis.call('ZREMRANGEBYSCORE', refused, '-inf', now - window)
  local count = redis.call('ZCARD', refused)
  if count < limit then
    return 0, count
  end
  local oldest = redis.call('ZRANGE', refused, count - limit, count - limit, 'WITHSCORES')
  return math.max(1, math.ceil(tonumber(oldest[2]) + window - now)), count
end

local answers = {}
for index = 1, #KEYS / 5 do
  local first = 5 * index - 4
  local refused, pending, accepted, here = KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  local attempt, is_seen = ARGV[2 + 2 * index], ARGV[3 + 2 * index]
  local on_host = pause(here)
  local everywhere, failures = pause(refused)
  local is_accepted = redis.call('EXISTS', accepted) == 1
  redis.call('ZREMRANGEBYSCORE', pending, '-inf', now)
  if on_host > 0 then
    answers[index] = -on_host
  elseif everywhere > 0 and not is_accepted then
    answers[index] = -everywhere
  elseif is_accepted and is_seen == '1' then
    answers[index] = 1
  elseif not is_accepted and failures + redis.call('ZCARD', pending) >= limit
      or is_accepted and redis.call('ZCARD', pending) >= limit then
    answers[index] = 0
  else
    redis.call('ZADD', pending, now + life, attempt)
    -- Others of the set may live longer: a discovery's tries than a poll's.
    if redis.call('TTL', pending) < life then
      redis.call('EXPIRE', pending, math.ceil(life))
    end
    answers[index] = 1
  end
end
return answers
