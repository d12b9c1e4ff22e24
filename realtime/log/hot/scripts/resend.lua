-- Have a session shipped again. ARGV: 1 prefix, 2 session, 3 from this seq on, 0: its head alone.
-- 0 where it is not here.
local P, sid, seq = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = P .. 's:' .. sid
local m = redis.call('HMGET', key, 'owner', 'archived')
if not m[1] then return 0 end
redis.call('HSET', key, 'shipped', -1)
if seq > 0 and tonumber(m[2]) >= seq then
  redis.call('HSET', key, 'archived', seq - 1)
  redis.call('HINCRBY', key, 'rejoined', 1)
end
redis.call('SADD', P .. 'ship:' .. m[1], sid)
return 1
