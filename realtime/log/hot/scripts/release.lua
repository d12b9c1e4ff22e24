-- Let go of a session. ARGV: 1 prefix, 2 worker, 3 session, 4 fence, 5 head,
-- 6 ms until somebody must look after it, '' where nobody need.
local P, W, sid = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 's:' .. sid
local m = redis.call('HMGET', key, 'fence', 'head', 'owner', 'watch')
if m[1] ~= ARGV[4] or m[2] ~= ARGV[5] or m[3] ~= W then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', key, 'owner', '')
redis.call('ZREM', P .. 'own:' .. W, sid)
if redis.call('SREM', P .. 'ship:' .. W, sid) == 1 then redis.call('SADD', P .. 'ship:', sid) end
local due = ARGV[6]
for w in string.gmatch(m[4] or '', '%S+') do
  if w ~= W then
    redis.call('PUBLISH', P .. 'w:' .. w, 'F' .. cmsgpack.pack({sid}))
    due = '5000'
  end
end
if due ~= '' then redis.call('ZADD', P .. 'due', now + due, sid) end
return 1
