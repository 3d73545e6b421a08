-- What became of logins that were tried.
--
-- KEYS     as for logins_admit.lua, five for each attempt
-- ARGV     window in seconds, then for each attempt its id, `accepted`, `refused` or `unknown`, and its secret's digest
-- Returns  for each attempt 1 where the secret is held to be wrong, else 0
--
-- While the secret is accepted elsewhere, a host that never took it refuses the account, not the secret: that counts on
-- this host alone. A host that took it before says that the secret is wrong by now.
local window = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function forget(refused, secret)
  for _, member in ipairs(redis.call('ZRANGE', refused, 0, -1)) do
    if string.sub(member, 1, #secret) == secret then
      redis.call('ZREM', refused, member)
    end
  end
end

local function count(refused, member)
  redis.call('ZADD', refused, now, member)
  redis.call('EXPIRE', refused, window)
end

local answers = {}
for index = 1, #KEYS / 5 do
  answers[index] = 0
  local first = 5 * index - 4
  local refused, pending, accepted, here, accepted_here =
    KEYS[first], KEYS[first + 1], KEYS[first + 2], KEYS[first + 3], KEYS[first + 4]
  local attempt, outcome, secret = ARGV[3 * index - 1], ARGV[3 * index], ARGV[3 * index + 1]
  redis.call('ZREM', pending, attempt)
  if outcome == 'accepted' then
    forget(refused, secret)
    forget(here, secret)
    redis.call('SET', accepted, '1', 'EX', window)
    redis.call('SET', accepted_here, '1', 'EX', window)
  elseif outcome == 'refused' then
    local is_elsewhere = redis.call('EXISTS', accepted) == 1 and redis.call('EXISTS', accepted_here) == 0
    if is_elsewhere then
      count(here, secret .. ':' .. attempt)
    else
      count(refused, secret .. ':' .. attempt)
      redis.call('DEL', accepted, accepted_here)
      answers[index] = 1
    end
  end
end
return answers
