-- ARGV: for how many milliseconds and how many, from 2. Returns the requests that have waited so
-- long to be enqueued or, without a task, to be ended.
local out = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'todo', '-inf', now() - ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
  local h = redis.call('HMGET', record(id), 'task', 'state')
  if h[1] or h[2] == 'COMPLETED' then
    out[#out + 1] = id
    out[#out + 1] = h[1]
  else
    redis.call('ZREM', P .. 'todo', id) -- somebody else has dealt with it
  end
end
return out
