-- ARGV: the cause, its time, 1 if all changes are wanted, and how many children, from 2; then for each
-- place to begin the parent and the id to begin behind. Returns how many became CANCELLED that are
-- not listed, a flat list of the places to go on at, and the changes.
local limit, cancelled, changes, rest = tonumber(ARGV[5]), 0, {}, {}
local parents, behind = {}, {}
for i = 6, #ARGV, 2 do
  parents[#parents + 1] = ARGV[i]
  behind[#behind + 1] = ARGV[i + 1]
end
local at = 1
while at <= #parents do
  local parent = parents[at]
  local ids = redis.call('ZRANGE', live(parent), '(' .. behind[at], '+', 'BYLEX', 'LIMIT', 0, limit)
  if limit == 0 then break end
  if #ids == 0 then
    at = at + 1
  end
  for _, id in ipairs(ids) do
    behind[at] = id
    local h = get(id)
    if gone(h) then
      redis.call('ZREM', live(parent), id)
    else
      limit = limit - 1
      if cancel(changes, id, parent, h, ARGV[2], ARGV[3], ARGV[4] == '1') then
        cancelled = cancelled + 1
      elseif readable(h) and PARENTS[h[2]] then
        parents[#parents + 1] = id
        behind[#behind + 1] = '0'
      end
    end
  end
end
flush()
for i = at, #parents do
  rest[#rest + 1] = parents[i]
  rest[#rest + 1] = behind[i]
end
return {cancelled, rest, changes}
