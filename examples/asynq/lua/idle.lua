-- ARGV: ids, from 2. Returns those that were COMPLETED when they became CANCELLING: parents whose own
-- work had returned, and that only waited for their children.
local out = {}
for i = 2, #ARGV do
  if redis.call('HGET', record(ARGV[i]), 'idle') then out[#out + 1] = ARGV[i] end
end
return out
