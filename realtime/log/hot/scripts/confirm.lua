-- Whether the engine still has what this worker writes. ARGV: 1 prefix, 2 worker, 3 the engine's run
-- id, then [session, fence, head]*. What is whole is confirmed under that run id.
-- Gives [place, why]*, as a flush does.
local P, W, lost = ARGV[1], ARGV[2], {}
for k = 4, #ARGV, 3 do
  local sid, fence, head = ARGV[k], tonumber(ARGV[k + 1]), tonumber(ARGV[k + 2])
  local key, why = P .. 's:' .. sid, nil
  local m = redis.call('HMGET', key, 'fence', 'owner', 'head')
  if not m[1] then
    why = redis.call('ZSCORE', P .. 'gone', sid) and 'deleted' or 'less'
  elseif tonumber(m[1]) < fence then
    why = 'less'
  elseif tonumber(m[1]) > fence or m[2] ~= W then
    why = 'fenced'
  elseif tonumber(m[3]) < head then
    why = 'less'
  else
    redis.call('HSET', key, 'run', ARGV[3])
  end
  if why then
    lost[#lost + 1] = (k - 4) / 3
    lost[#lost + 1] = why
  end
end
return lost
