-- ARGV: an id, at 2. Returns the request and its cause, or nothing if it is gone.
local out, h = {}, get(ARGV[2])
if not gone(h) then
  push(out, ARGV[2], h[1], h)
  out[8] = redis.call('HGET', record(ARGV[2]), 'cause')
end
return out
