-- Which logins may be tried now; docs/architecture.md has the rule in words.
--
-- KEYS     for each attempt three: its account's refusals (sorted set by time), its tries under way (sorted set by when
--          they are given up), and the mark that its secret was accepted lately
-- ARGV     limit, window in seconds, life of a try in seconds, then an id for each attempt
-- Returns  for each attempt 1: go; 0: wait for the tries under way; -n: the account is left alone for n more seconds
local limit, window, life = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local answers = {}
for index = 1, #KEYS / 3 do
  local refused, pending, accepted = KEYS[3 * index - 2], KEYS[3 * index - 1], KEYS[3 * index]
  redis.call('ZREMRANGEBYSCORE', refused, '-inf', now - window)
  redis.call('ZREMRANGEBYSCORE', pending, '-inf', now)
  local failures = redis.call('ZCARD', refused)
  if redis.call('EXISTS', accepted) == 1 then
    answers[index] = 1
  elseif failures >= limit then
    local oldest = redis.call('ZRANGE', refused, failures - limit, failures - limit, 'WITHSCORES')
    answers[index] = -math.max(1, math.ceil(tonumber(oldest[2]) + window - now))
  elseif failures + redis.call('ZCARD', pending) >= limit then
    answers[index] = 0
  else
    redis.call('ZADD', pending, now + life, ARGV[3 + index])
    redis.call('EXPIRE', pending, math.ceil(life))
    answers[index] = 1
  end
end
return answers
