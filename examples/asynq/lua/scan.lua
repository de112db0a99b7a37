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
