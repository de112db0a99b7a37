-- ARGV: 1 if the parent has to admit each request, from 2; for each its id, parent, kind, state,
-- outcome, time, attempt, name and task. Inserts all of them and returns 'ok', or none and
-- returns why not and of which: 'named' (there is one of this name, and 1 if its task waits), 'taken' (of this id),
-- 'orphan' (its parent is not there) or 'refused' (with the parent's kind and state).
for i = 3, #ARGV, 9 do
  local id, parent, name = ARGV[i], ARGV[i + 1], ARGV[i + 7]
  if name ~= '' then
    local other = redis.call('GET', P .. 'n:' .. parent .. ':' .. name)
    local state = other and redis.call('HGET', record(other), 'state')
    if state and state ~= 'EXPIRED' then
      return {'named', other, redis.call('HEXISTS', record(other), 'task')}
    end
  end
  if redis.call('EXISTS', record(id)) == 1 then return {'taken', id} end
  if ARGV[2] == '1' and tonumber(parent) ~= 0 then
    local h = get(parent)
    if gone(h) then return {'orphan', id} end
    if not (readable(h) and ADMITTING[h[2] .. ' ' .. h[3]]) then return {'refused', id, h[2], h[3]} end
  end
end
for i = 3, #ARGV, 9 do
  local id, parent, state, name, task = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 7], ARGV[i + 8]
  redis.call('HSET', record(id), 'parent', parent, 'kind', ARGV[i + 2], 'state', state,
    'outcome', ARGV[i + 4], 'checked', ARGV[i + 5], 'attempt', ARGV[i + 6])
  if name ~= '' then
    redis.call('HSET', record(id), 'name', name)
    redis.call('SET', P .. 'n:' .. parent .. ':' .. name, id)
  end
  if task ~= '' then
    redis.call('HSET', record(id), 'task', task)
    redis.call('ZADD', P .. 'todo', now(), id)
  end
  if TERMINAL[state] then
    redis.call('ZADD', ended(parent), 0, id)
    expire(record(id))
    expire(ended(parent))
  else
    redis.call('ZADD', live(parent), 0, id)
    if state == 'CANCELLING' then redis.call('ZADD', P .. 'x', 0, id) end
  end
end
return {'ok'}
