-- The worker lives. ARGV: 1 prefix, 2 worker, 3 the engine's run id, 4 lease in ms.
-- {since when it has been in touch without a gap, in ms}
local P, W = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local till = redis.call('ZSCORE', P .. 'workers', W)
if not till or tonumber(till) < now or redis.call('HEXISTS', P .. 'since', W) == 0 then
  redis.call('HSET', P .. 'since', W, string.format('%.0f', now))
end
redis.call('ZADD', P .. 'workers', now + ARGV[4], W)
-- An engine that begins anew may have lost what its workers still have.
if redis.call('GET', P .. 'run') ~= ARGV[3] then
  redis.call('SET', P .. 'run', ARGV[3])
  redis.call('SET', P .. 'young', 1, 'PX', ARGV[4])
end
return {redis.call('HGET', P .. 'since', W)}
