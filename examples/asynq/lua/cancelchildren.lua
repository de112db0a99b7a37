-- ARGV: the cause, its time, and 1 if all changes are wanted, from 2; what scan is asked, from 5.
-- Returns where it stopped and how many became CANCELLED that are not listed; then the changes.
local out, cancelled = {'', '', '', ''}, 0
local parent, id, more = scan(5, function(id, parent, h)
  if cancel(out, id, parent, h, ARGV[2], ARGV[3], ARGV[4] == '1') then cancelled = cancelled + 1 end
end)
flush()
out[1], out[2], out[3], out[4] = parent, id, more, cancelled
return out
