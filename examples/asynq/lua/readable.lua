local function readable(h)
  return h[1] and KINDS[h[2]] and STATES[h[3]] and (h[4] == '' or OUTCOMES[h[4]])
    and string.find(h[5], '^-?%d*$') and string.find(h[6], '^%d+$')
end
