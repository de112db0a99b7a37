-- What every script begins with. Before it stand tables of the rules: TERMINAL, STATES, OUTCOMES,
-- KINDS, PARENTS, WORKING, ADMITTING and DECIDE.
--
-- KEYS[1] is what the names of all keys of a tag begin with, such as "ess:{0}:".
-- ARGV[1] is for how many milliseconds a request that has ended is kept; 0 is for ever.
local P, TTL = KEYS[1], ARGV[1]

local function record(id) return P .. 'r:' .. id end
local function live(id) return P .. 'l:' .. id end
local function ended(id) return P .. 'e:' .. id end

-- get returns the fields of a request. Of one that is gone, the first three are false.
local function get(id)
  local h = redis.call('HMGET', record(id), 'parent', 'kind', 'state', 'outcome', 'checked', 'attempt', 'name', 'task')
  h[4], h[5], h[6] = h[4] or '', h[5] or '', h[6] or '0'
  return h
end

local function gone(h) return not (h[1] or h[2] or h[3]) end

local function readable(h)
  return h[1] and KINDS[h[2]] and STATES[h[3]] and (h[4] == '' or OUTCOMES[h[4]])
    and string.find(h[5], '^-?%d*$') and string.find(h[6], '^%d+$')
end

-- push appends the seven values of a request to a flat list, without the state if who asks could
-- not see otherwise that the record cannot be read.
local function push(out, id, parent, h)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5], out[n + 6], out[n + 7] =
    id, parent, h[2], h[1] and h[3], h[4], h[5], h[6]
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function expire(key)
  if TTL ~= '0' then redis.call('PEXPIRE', key, TTL) end
end

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

-- page returns up to n ids behind low, of the live children of a parent and, if all is set, of
-- those that have ended.
local function page(parent, low, n, all)
  local ids = redis.call('ZRANGE', live(parent), low, '+', 'BYLEX', 'LIMIT', 0, n)
  if not all then return ids end
  local more = redis.call('ZRANGE', ended(parent), low, '+', 'BYLEX', 'LIMIT', 0, n)
  if #more == 0 then return ids end
  for _, id in ipairs(more) do ids[#ids + 1] = id end
  table.sort(ids)
  for i = #ids, n + 1, -1 do ids[i] = nil end
  return ids
end

-- scan calls found for children in their order. What it is asked begins at ARGV[a]: the parent
-- and the id to begin behind, how many children, how many states, these, and the parents. It
-- returns where it has stopped, and 1 if there may be more. It looks at so many rows at most,
-- because nobody else is served meanwhile.
local MOST = 5000

local function scan(a, found)
  local first, behind, limit, n = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local wanted, all = {}, false
  for i = a + 4, a + 3 + n do
    wanted[ARGV[i]] = true
    if TERMINAL[ARGV[i]] then all = true end
  end
  local budget = MOST
  for i = a + 4 + n, #ARGV do
    local parent, low = ARGV[i], '-'
    if parent == first then low = '(' .. behind end
    while parent >= first do
      local ids = page(parent, low, math.min(limit, budget), all)
      if #ids == 0 then break end
      for _, id in ipairs(ids) do
        low = '(' .. id
        local h = get(id)
        if gone(h) then
          redis.call('ZREM', ended(parent), id)
          redis.call('ZREM', live(parent), id)
        elseif wanted[h[3]] or not readable(h) then
          found(id, parent, h)
          limit = limit - 1
        end
        budget = budget - 1
        if limit == 0 or budget == 0 then return parent, id, 1 end
      end
    end
  end
  return '0', '0', 0
end

-- cancel cancels a child, where the rules know what that is. The change, in ten values, goes to
-- out if the child is CANCELLING then, or cannot be read, or if all are wanted. It returns the
-- new state, if that is not in out.
local function cancel(out, id, parent, h, cause, time, all)
  local d = readable(h) and DECIDE[h[2] .. ' ' .. h[3]]
  local state, outcome, checked = h[3], h[4], h[5]
  if d then
    state, outcome = d[1], d[2]
    if state == 'CANCELLING' then checked = time end
    write(id, h, state, outcome, checked, h[6], cause)
    if state ~= 'CANCELLING' and not all then return state end
  end
  push(out, id, parent, h)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = state, outcome, checked
end
