-- A worker ends. What it has becomes due: at once where something runs or waits, else when its
-- devices have had time to come back. ARGV: 1 prefix, 2 worker, 3 that time in ms.
local P, W = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for _, sid in ipairs(redis.call('ZRANGE', P .. 'own:' .. W, 0, -1)) do
  local busy = redis.call('ZSCORE', P .. 'own:' .. W, sid) == '1'
  redis.call('HSET', P .. 's:' .. sid, 'owner', '')
  redis.call('ZADD', P .. 'due', now + (busy and 0 or ARGV[3]), sid)
end
for _, sid in ipairs(redis.call('SMEMBERS', P .. 'ship:' .. W)) do redis.call('SADD', P .. 'ship:', sid) end
redis.call('DEL', P .. 'own:' .. W, P .. 'ship:' .. W)
redis.call('ZADD', P .. 'workers', now, W)
return 1
