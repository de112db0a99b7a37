-- ARGV: the cause, its time, and 1 if all changes are wanted, from 2; what scan is asked, from 5.
-- Returns where it stopped and how many became CANCELLED that are not listed; then for each
-- change the request as it was, and its new state, outcome and time.
local cause, time, all = ARGV[2], ARGV[3], ARGV[4] == '1'
local out, cancelled = {'', '', '', ''}, 0
local parent, id, more = scan(5, function(id, parent, h)
  local d = readable(h) and DECIDE[h[2] .. ' ' .. h[3]]
  local state, outcome, checked = h[3], h[4], h[5]
  if d then
    state, outcome = d[1], d[2]
    if state == 'CANCELLING' then checked = time end
    write(id, h, state, outcome, checked, h[6], cause)
    if state ~= 'CANCELLING' and not all then
      cancelled = cancelled + 1
      return
    end
  end
  push(out, id, parent, h)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = state, outcome, checked
end)
flush()
out[1], out[2], out[3], out[4] = parent, id, more, cancelled
return out
