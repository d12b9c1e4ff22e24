-- Sessions of which a follower has not seen everything, and that no other worker tells it of.
-- ARGV: 1 prefix, 2 worker, 3 follower, 4 most, 5 ms until they are given to another one.
local P, W, key = ARGV[1], ARGV[2], ARGV[1] .. 'behind:' .. ARGV[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = {}
for _, sid in ipairs(redis.call('ZRANGE', key, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[4])) do
  local owner = redis.call('HGET', P .. 's:' .. sid, 'owner')
  if not owner then
    redis.call('ZREM', key, sid)
  else
    redis.call('ZADD', key, now + ARGV[5], sid)
    if owner == '' or owner == W then found[#found + 1] = sid end
  end
end
return found
