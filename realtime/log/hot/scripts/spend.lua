-- Before a call of a model: whether all who pay may, and then what it may come to is reserved.
-- ARGV: 1 prefix, 2 day, 3 run, 4 tokens, 5 nano-dollars, 6 tokens and 7 nano-dollars that the run has
-- come to, 8 session, then of each who pays [who, most tokens, most nano-dollars, most runs at once, tokens
-- and nano-dollars that the worker knows to be spent, which the engine may have lost]*; 0: any number.
-- {place of who may not, or 0, 'spent', 'held' or 'runs', then of each [tokens, nano-dollars]* spent}
local P, run = ARGV[1], ARGV[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local paid, refused, why, totals = P .. 'paid:' .. ARGV[2], 0, '', {}
local function reached(tokens, nano, k)
  local most, dollars = tonumber(ARGV[k + 1]), tonumber(ARGV[k + 2])
  return (most > 0 and tokens >= most) or (dollars > 0 and nano >= dollars)
end
-- 'held:', of the server, has all that is reserved: run -> 'tokens nano-dollars session', with a time, ms,
-- after which it is void. What a user's has beside that was settled, or is void.
local all, others, names = redis.call('HGETALL', P .. 'held:'), {}, {}
for h = 1, #all, 2 do
  local tokens, nano, till = string.match(all[h + 1], '^(%d+) (%d+) ?%S* ?(%d*)$')
  if all[h] ~= run then
    if till ~= '' and tonumber(till) < now then
      redis.call('HDEL', P .. 'held:', all[h])
    else
      others[all[h]] = {tokens, nano}
      names[#names + 1] = all[h]
    end
  end
end
for k = 9, #ARGV, 6 do
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
  if refused == 0 and reached(tokens, nano, k) then refused, why = (k - 3) / 6, 'spent' end
  local runs = 0
  for _, name in ipairs(who == '' and names or redis.call('HKEYS', P .. 'held:' .. who)) do
    local held = others[name]
    if held then
      if not string.find(name, ' ') then runs = runs + 1 end  -- else it is a title or a summary
      tokens, nano = tokens + held[1], nano + held[2]
    elseif name ~= run then
      redis.call('HDEL', P .. 'held:' .. who, name)
    end
  end
  if refused == 0 and reached(tokens, nano, k) then refused, why = (k - 3) / 6, 'held' end
  local most = tonumber(ARGV[k + 3])
  if refused == 0 and most > 0 and runs >= most then refused, why = (k - 3) / 6, 'runs' end
end
if refused == 0 then
  local held = ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[8]
  if string.find(run, ' ') then held = held .. string.format(' %.0f', now + 600000) end  -- nobody takes it over
  for k = 9, #ARGV, 6 do
    redis.call('HSET', P .. 'held:' .. ARGV[k], run, held)
    redis.call('EXPIRE', P .. 'held:' .. ARGV[k], 86400)
  end
end
return {refused, why, unpack(totals)}
