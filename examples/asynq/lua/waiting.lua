-- ARGV: an id. Returns the state of the request, how many live children it has, and whether one
-- has ended in ERROR.
local h = redis.call('HMGET', record(ARGV[2]), 'state', 'bad')
return {h[1] or '', redis.call('ZCARD', live(ARGV[2])), h[2] or '0'}
