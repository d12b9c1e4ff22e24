-- Remove sessions for good. ARGV: 1 prefix, 2 worker, 3 'deleted', or 'void' where others write
-- them now, or 'idle' for those that nobody needs here, then [session, user]*.
-- Gives those that are removed.
local P, W, why, removed = ARGV[1], ARGV[2], ARGV[3], {}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for k = 4, #ARGV, 2 do
  local sid, user = ARGV[k], ARGV[k + 1]
  local key = P .. 's:' .. sid
  local m = redis.call('HMGET', key, 'owner', 'watch', 'head', 'archived', 'revision', 'shipped')
  local level = m[3] == m[4] and m[5] == m[6] and m[1] == '' and (m[2] or '') == ''
  if why ~= 'idle' or level then
    redis.call('DEL', key, P .. 'l:' .. sid, P .. 'f:' .. sid, P .. 'o:' .. sid, P .. 'oo:' .. sid)
    redis.call('ZREM', P .. 'of:' .. user, sid)
    redis.call('ZREM', P .. 'all', sid)
    redis.call('ZREM', P .. 'ended', sid)
    redis.call('ZREM', P .. 'due', sid)
    redis.call('SREM', P .. 'ship:', sid)
    if m[1] and m[1] ~= '' then
      redis.call('ZREM', P .. 'own:' .. m[1], sid)
      redis.call('SREM', P .. 'ship:' .. m[1], sid)
    end
    if why == 'deleted' then
      redis.call('ZADD', P .. 'gone', now, sid)
      -- Its worker settles what its run has reserved; where that died, nobody does.
      local held = redis.call('HGETALL', P .. 'held:')
      for h = 1, #held, 2 do
        if string.match(held[h + 1], '%S+$') == sid then
          redis.call('HSET', P .. 'held:', held[h], held[h + 1] .. string.format(' %.0f', now + 10000))
        end
      end
      for _, w in ipairs(redis.call('HKEYS', P .. 'd:' .. sid)) do redis.call('SREM', P .. 'sees:' .. w, sid) end
      redis.call('DEL', P .. 'd:' .. sid)
    end
    local told = (m[2] or '') .. ' ' .. (m[1] or '')
    for w in string.gmatch(told, '%S+') do
      if w ~= W then redis.call('PUBLISH', P .. 'w:' .. w, 'X' .. cmsgpack.pack({sid, why})) end
    end
    removed[#removed + 1] = sid
  end
end
redis.call('ZREMRANGEBYSCORE', P .. 'gone', '-inf', now - 2592000000)
return removed
