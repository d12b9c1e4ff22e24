-- Before a call of a model: whether all who pay may, and then what it may come to is reserved.
-- ARGV: 1 prefix, 2 day, 3 run, 4 tokens, 5 nano-dollars, 6 tokens and 7 nano-dollars that the run has
-- come to, then of each who pays [who, most tokens, most nano-dollars, most runs at once, tokens and
-- nano-dollars that the worker knows to be spent, which the engine may have lost]*; 0: any number.
-- {place of who may not, or 0, 'spent', 'held' or 'runs', then of each [tokens, nano-dollars]* spent}
local P, run = ARGV[1], ARGV[3]
local paid, refused, why, totals = P .. 'paid:' .. ARGV[2], 0, '', {}
local function reached(tokens, nano, k)
  local most, dollars = tonumber(ARGV[k + 1]), tonumber(ARGV[k + 2])
  return (most > 0 and tokens >= most) or (dollars > 0 and nano >= dollars)
end
for k = 8, #ARGV, 6 do
  local who = ARGV[k]
  local spent = redis.call('HMGET', paid, who .. ' t', who .. ' d')
  local tokens, nano = tonumber(spent[1] or 0), tonumber(spent[2] or 0)
  local known_tokens, known_nano = tonumber(ARGV[k + 4]), tonumber(ARGV[k + 5])
  if known_tokens > tokens or known_nano > nano then
    tokens, nano = math.max(tokens, known_tokens), math.max(nano, known_nano)
    redis.call('HSET', paid, who .. ' t', string.format('%.0f', tokens), who .. ' d', string.format('%.0f', nano))
    redis.call('EXPIRE', paid, 259200)
  end
  totals[#totals + 1] = string.format('%.0f', tokens)
  totals[#totals + 1] = string.format('%.0f', nano)
  tokens, nano = tokens + ARGV[6], nano + ARGV[7]
  if refused == 0 and reached(tokens, nano, k) then refused, why = (k - 2) / 6, 'spent' end
  local all, others = redis.call('HGETALL', P .. 'held:' .. who), 0
  for h = 1, #all, 2 do
    if all[h] ~= run then
      if not string.find(all[h], ' ') then others = others + 1 end  -- else it is a title or a summary
      local t, d = string.match(all[h + 1], '(%d+) (%d+)')
      tokens, nano = tokens + t, nano + d
    end
  end
  if refused == 0 and reached(tokens, nano, k) then refused, why = (k - 2) / 6, 'held' end
  local runs = tonumber(ARGV[k + 3])
  if refused == 0 and runs > 0 and others >= runs then refused, why = (k - 2) / 6, 'runs' end
end
if refused == 0 then
  for k = 8, #ARGV, 6 do
    redis.call('HSET', P .. 'held:' .. ARGV[k], run, ARGV[4] .. ' ' .. ARGV[5])
    redis.call('EXPIRE', P .. 'held:' .. ARGV[k], 86400)
  end
end
return {refused, why, unpack(totals)}
