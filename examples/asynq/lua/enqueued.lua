-- ARGV: the id of a request whose task is in asynq's queue.
if redis.call('HDEL', record(ARGV[2]), 'task') == 1 then redis.call('ZREM', P .. 'todo', ARGV[2]) end
return {}
