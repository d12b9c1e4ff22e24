-- What dead workers left becomes due, some of it; and what is due is given to one who asks.
-- ARGV: 1 prefix, 2 worker, 3 lease in ms, 4 most, 5 ms that a session is left to its devices.
-- Gives sessions; each is given to another after 10 s unless somebody has claimed it.
local P, W, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- Who was away itself cannot tell who else was.
if tonumber(redis.call('ZSCORE', P .. 'workers', W) or 0) < now then return {} end
if now - tonumber(redis.call('HGET', P .. 'since', W) or now) < lease then return {} end
for _, dead in ipairs(redis.call('ZRANGE', P .. 'workers', '-inf', now - 1, 'BYSCORE')) do
  local own = redis.call('ZRANGE', P .. 'own:' .. dead, 0, most - 1, 'REV')
  for _, sid in ipairs(own) do
    if redis.call('EXISTS', P .. 's:' .. sid) == 1 then
      redis.call('HSET', P .. 's:' .. sid, 'owner', '', 'died', '1')
      redis.call('ZADD', P .. 'due', now, sid)
    end
    redis.call('ZREM', P .. 'own:' .. dead, sid)
  end
  local sees = redis.call('SRANDMEMBER', P .. 'sees:' .. dead, most)
  for _, sid in ipairs(sees) do
    redis.call('SREM', P .. 'sees:' .. dead, sid)
    redis.call('HDEL', P .. 'd:' .. sid, dead)
    local owner = redis.call('HGET', P .. 's:' .. sid, 'owner')
    if owner then
      local names = redis.call('HKEYS', P .. 'd:' .. sid)
      redis.call('HSET', P .. 's:' .. sid, 'watch', table.concat(names, ' '))
      names[#names + 1] = owner ~= '' and owner or nil
      for _, w in ipairs(names) do
        redis.call('PUBLISH', P .. 'w:' .. w, 'P\147' .. cmsgpack.pack(sid) .. cmsgpack.pack(dead) .. '\144')
      end
      if owner == '' and #names == 0 and not redis.call('ZSCORE', P .. 'due', sid) then
        redis.call('ZADD', P .. 'due', now + ARGV[5], sid)
      end
    end
  end
  if #own < most and #sees < most then
    for _, sid in ipairs(redis.call('SMEMBERS', P .. 'ship:' .. dead)) do redis.call('SADD', P .. 'ship:', sid) end
    redis.call('DEL', P .. 'ship:' .. dead)
    redis.call('ZREM', P .. 'workers', dead)
    redis.call('HDEL', P .. 'since', dead)
  end
end
local found = redis.call('ZRANGE', P .. 'due', '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
for _, sid in ipairs(found) do redis.call('ZADD', P .. 'due', now + 10000, sid) end
return found
