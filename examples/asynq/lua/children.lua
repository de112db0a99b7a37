-- ARGV: what scan is asked, from 2. Returns where it stopped, and the children.
local out = {'', '', ''}
local parent, id, more = scan(2, function(id, parent, h) push(out, id, parent, h) end)
out[1], out[2], out[3] = parent, id, more
return out
