-- Become the one that writes a session. ARGV: 1 prefix, 2 worker, 3 the engine's run id,
-- 4 lease in ms, 5 session.
-- {'mine', fence, head, revision, state} | {'held', owner} | {'wait', ms} | {'absent'} | {'deleted'}
local P, W, lease, sid = ARGV[1], ARGV[2], tonumber(ARGV[4]), ARGV[5]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local key = P .. 's:' .. sid
local m = redis.call('HMGET', key, 'owner', 'fence', 'head', 'epoch', 'run', 'revision', 'watch', 'died', 'early', 'state')
if not m[2] then
  if redis.call('ZSCORE', P .. 'gone', sid) then return {'deleted'} end
  local young = redis.call('PTTL', P .. 'young')  -- its worker may bring it back
  if young > 0 then return {'wait', young} end
  return {'absent'}
end
local died = m[8]
if m[1] ~= '' and m[1] ~= W then
  if tonumber(redis.call('ZSCORE', P .. 'workers', m[1]) or 0) >= now then return {'held', m[1]} end
  -- who was away itself cannot tell who else was
  local since = tonumber(redis.call('HGET', P .. 'since', W) or now)
  if tonumber(redis.call('ZSCORE', P .. 'workers', W) or 0) < now then since = now end
  if now - since < lease then return {'wait', lease - (now - since)} end
  redis.call('ZREM', P .. 'own:' .. m[1], sid)
  if redis.call('SREM', P .. 'ship:' .. m[1], sid) == 1 then redis.call('SADD', P .. 'ship:' .. W, sid) end
  died = '1'
end
-- Another run of the engine than its last owner knew may have lost what somebody has seen.
local raise = m[5] ~= ARGV[3] or (died == '1' and m[9] == '1')
local epoch = tonumber(m[4]) + (raise and 1 or 0)
local fence = math.max(tonumber(m[2]) + 1, now)
redis.call('HSET', key, 'owner', W, 'fence', string.format('%.0f', fence), 'epoch', epoch, 'run', ARGV[3], 'died', '0')
redis.call('ZADD', P .. 'own:' .. W, 1, sid)
redis.call('ZREM', P .. 'due', sid)
for w in string.gmatch(m[7] or '', '%S+') do
  if w ~= W then redis.call('PUBLISH', P .. 'w:' .. w, 'O' .. cmsgpack.pack({sid, W, epoch})) end
end
return {'mine', string.format('%.0f', fence), m[3], m[6], m[10]}
