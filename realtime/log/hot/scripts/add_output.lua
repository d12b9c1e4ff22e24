-- Keep a tool's output of a session, and of its outputs the newest only.
-- ARGV: 1 prefix, 2 session, 3 its name, 4 bytes, 5 how many bytes a session may keep.
local P, sid = ARGV[1], ARGV[2]
if redis.call('EXISTS', P .. 's:' .. sid) == 0 then return 0 end
local outputs, order = P .. 'o:' .. sid, P .. 'oo:' .. sid
redis.call('HSET', outputs, ARGV[3], ARGV[4])
redis.call('RPUSH', order, ARGV[3])
local left, names = tonumber(ARGV[5]), redis.call('LRANGE', order, 0, -1)
for n = #names, 1, -1 do
  left = left - redis.call('HSTRLEN', outputs, names[n])
  if left < 0 and n < #names then
    redis.call('HDEL', outputs, unpack(names, 1, n))
    redis.call('LTRIM', order, n, -1)
    break
  end
end
return 1
