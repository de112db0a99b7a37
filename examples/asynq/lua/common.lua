-- What every script begins with. Before it stand those of the tables of the rules that it needs:
-- TERMINAL, STATES, OUTCOMES, KINDS, PARENTS, WORKING, ADMITTING and DECIDE.
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
