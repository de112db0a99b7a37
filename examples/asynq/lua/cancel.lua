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
