-- ARGV: the id to begin behind and how many, from 2. Returns requests that are CANCELLING, each
-- with its cause.
local out = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'x', '(' .. ARGV[2], '+', 'BYLEX', 'LIMIT', 0, ARGV[3])) do
  local h = get(id)
  if gone(h) then
    redis.call('ZREM', P .. 'x', id)
  else
    push(out, id, h[1], h)
    out[#out + 1] = redis.call('HGET', record(id), 'cause')
  end
end
return out
