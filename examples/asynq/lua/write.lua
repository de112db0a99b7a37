-- await notes a request that is COMPLETED and has no live child: somebody has to end it.
local function await(id)
  if redis.call('ZCARD', live(id)) == 0 and redis.call('HGET', record(id), 'state') == 'COMPLETED' then
    redis.call('ZADD', P .. 'todo', now(), id)
  end
end

-- write changes a request. What it changes in the lists of its parent is done by flush, for
-- many children at once.
local ending = {} -- by parent

local function write(id, h, state, outcome, checked, attempt, cause)
  local parent, was = h[1], h[3]
  redis.call('HSET', record(id), 'state', state, 'outcome', outcome, 'checked', checked, 'attempt', attempt)
  if cause ~= '' then redis.call('HSETNX', record(id), 'cause', cause) end
  if state == was then return end
  if h[8] then redis.call('HDEL', record(id), 'task') end
  if h[8] or was == 'COMPLETED' then redis.call('ZREM', P .. 'todo', id) end
  if state == 'CANCELLING' then
    redis.call('ZADD', P .. 'x', 0, id)
    if was == 'COMPLETED' and PARENTS[h[2]] then redis.call('HSET', record(id), 'idle', 1) end
  elseif was == 'CANCELLING' then
    redis.call('ZREM', P .. 'x', id)
  end
  if TERMINAL[state] then
    expire(record(id))
    if h[7] then expire(P .. 'n:' .. parent .. ':' .. h[7]) end
    if state == 'ERROR' and redis.call('EXISTS', record(parent)) == 1 then
      redis.call('HSET', record(parent), 'bad', 1)
    end
    ending[parent] = ending[parent] or {}
    table.insert(ending[parent], id)
  elseif state == 'COMPLETED' then
    await(id)
  end
end

-- flush moves the children that have ended to the list of those.
local function flush()
  for parent, ids in pairs(ending) do
    for i = 1, #ids, 1000 do
      local last = math.min(i + 999, #ids)
      local scored = {}
      for j = i, last do
        scored[#scored + 1] = 0
        scored[#scored + 1] = ids[j]
      end
      redis.call('ZREM', live(parent), unpack(ids, i, last))
      redis.call('ZADD', ended(parent), unpack(scored))
    end
    expire(ended(parent))
    -- The list of a parent that goes on for long loses what is gone: up to two for each that comes.
    for _, old in ipairs(redis.call('ZRANGE', ended(parent), 0, 2 * #ids - 1)) do
      if redis.call('EXISTS', record(old)) == 1 then break end
      redis.call('ZREM', ended(parent), old)
    end
    await(parent)
    ending[parent] = nil
  end
end
