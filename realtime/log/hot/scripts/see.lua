-- Watch a session, and say who does so here. ARGV: 1 prefix, 2 worker, 3 session, 4 the users of the
-- devices here, '' to watch no more, 5 ms that a session is left to its devices.
-- {owner, [worker, users]*}, {} where it is not here. Those who watch and the owner are told.
local P, W, sid = ARGV[1], ARGV[2], ARGV[3]
local key, devices = P .. 's:' .. sid, P .. 'd:' .. sid
local owner = redis.call('HGET', key, 'owner')
local before = redis.call('HGET', devices, W)
if ARGV[4] == '' then
  redis.call('HDEL', devices, W)
  redis.call('SREM', P .. 'sees:' .. W, sid)
end
if not owner then return {} end
if ARGV[4] ~= '' then
  redis.call('HSET', devices, W, ARGV[4])
  redis.call('SADD', P .. 'sees:' .. W, sid)
end
local all, names, alone = redis.call('HGETALL', devices), {}, true
for k = 1, #all, 2 do
  names[#names + 1] = all[k]
  if all[k + 1] ~= '\144' then alone = false end
end
redis.call('HSET', key, 'watch', table.concat(names, ' '))
if before ~= ARGV[4] and not (ARGV[4] == '\144' and not before) then
  local said, told = 'P\147' .. cmsgpack.pack(sid) .. cmsgpack.pack(W) .. (ARGV[4] == '' and '\144' or ARGV[4]), false
  for _, w in ipairs(names) do
    if w == owner then told = true end
    if w ~= W then redis.call('PUBLISH', P .. 'w:' .. w, said) end
  end
  if owner ~= '' and owner ~= W and not told then redis.call('PUBLISH', P .. 'w:' .. owner, said) end
end
if alone and owner == '' then
  local t = redis.call('TIME')
  redis.call('ZADD', P .. 'due', 'NX', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[5], sid)
end
return {owner, unpack(all)}
