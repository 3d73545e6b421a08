-- What became of logins that were tried.
--
-- KEYS     as for logins_admit.lua, three for each attempt
-- ARGV     window in seconds, then for each attempt its id and `accepted`, `refused` or `unknown`
local window = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
for index = 1, #KEYS / 3 do
  local refused, pending, accepted = KEYS[3 * index - 2], KEYS[3 * index - 1], KEYS[3 * index]
  local attempt, outcome = ARGV[2 * index], ARGV[2 * index + 1]
  redis.call('ZREM', pending, attempt)
  if outcome == 'accepted' then
    redis.call('DEL', refused)
    redis.call('SET', accepted, '1', 'EX', window)
  elseif outcome == 'refused' then
    redis.call('ZADD', refused, now, attempt)
    redis.call('EXPIRE', refused, window)
    redis.call('DEL', accepted)
  end
end
return 0
