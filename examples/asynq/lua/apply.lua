-- ARGV: 1 if only a request without a live child is to be changed, from 2; for each change the
-- id, the state, outcome, time and attempt as they should be, the same as they are to be, and
-- the cause. Returns a text with a 1 or 0 for each.
local made = {}
for i = 3, #ARGV, 10 do
  local id = ARGV[i]
  local h = get(id)
  if readable(h) and h[3] == ARGV[i + 1] and h[4] == ARGV[i + 2] and h[5] == ARGV[i + 3] and h[6] == ARGV[i + 4] and
    (ARGV[2] == '0' or redis.call('ZCARD', live(id)) == 0) then
    write(id, h, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9])
    made[#made + 1] = '1'
  else
    made[#made + 1] = '0'
  end
end
flush()
return {table.concat(made)}
