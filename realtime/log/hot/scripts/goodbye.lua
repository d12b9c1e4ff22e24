-- A worker ends. What it has is free for those who watch it, else due: at once where something runs
-- or waits, or when its devices have had time to come back. ARGV: 1 prefix, 2 worker, 3 that time, ms.
local P, W = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for _, sid in ipairs(redis.call('ZRANGE', P .. 'own:' .. W, 0, -1)) do
  local wait = ARGV[3]
  if redis.call('ZSCORE', P .. 'own:' .. W, sid) == '1' then wait = 0 end
  if redis.call('EXISTS', P .. 's:' .. sid) == 1 then
    redis.call('HSET', P .. 's:' .. sid, 'owner', '')
    redis.call('ZADD', P .. 'due', now + wait, sid)
  end
  for w in string.gmatch(redis.call('HGET', P .. 's:' .. sid, 'watch') or '', '%S+') do
    if w ~= W then redis.call('PUBLISH', P .. 'w:' .. w, 'F' .. cmsgpack.pack({sid})) end
  end
end
for _, sid in ipairs(redis.call('SMEMBERS', P .. 'ship:' .. W)) do redis.call('SADD', P .. 'ship:', sid) end
redis.call('DEL', P .. 'own:' .. W, P .. 'ship:' .. W)
redis.call('ZADD', P .. 'workers', now, W)
return {}
