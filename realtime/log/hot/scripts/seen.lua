-- A follower has seen the events of a session up to one. ARGV: 1 prefix, 2 session, 3 follower, 4 seq,
-- 5 ms after which another worker may tell it the rest.
local P, sid, field = ARGV[1], ARGV[2], 'f:' .. ARGV[3]
local m = redis.call('HMGET', P .. 's:' .. sid, field, 'head')
if not m[2] then
  redis.call('ZREM', P .. 'behind:' .. ARGV[3], sid)
  return 0
end
local seq = math.max(tonumber(m[1] or 0), tonumber(ARGV[4]))
redis.call('HSET', P .. 's:' .. sid, field, seq)
if seq >= tonumber(m[2]) then
  redis.call('ZREM', P .. 'behind:' .. ARGV[3], sid)
else
  local t = redis.call('TIME')
  redis.call('ZADD', P .. 'behind:' .. ARGV[3], t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[5], sid)
end
return 1
