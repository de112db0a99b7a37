-- ARGV: ids, from 2. Ends those that are CANCELLING, due, and have no live child, and then those
-- among them that this has made so. Returns the requests as they were, in that order.
local out, asked = {}, {}
for i = 2, #ARGV do asked[ARGV[i]] = true end
for i = 2, #ARGV do
  local id = ARGV[i]
  while asked[id] and redis.call('ZCARD', live(id)) == 0 do
    local h = get(id)
    local state = h[4]
    if state == '' and not WORKING[h[2]] then state = 'CANCELLED' end
    if h[3] ~= 'CANCELLING' or state == '' or not readable(h) then break end
    push(out, id, h[1], h)
    write(id, h, state, '', h[5], h[6], '')
    flush()
    id = h[1]
  end
end
return out
