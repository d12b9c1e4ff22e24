-- Take in a session that was read back from the archive. ARGV: 1 prefix, 2 worker, 3 the engine's
-- run id, 4 session, 5 epoch, 6 head, 7 state, 8 user, 9 start, 10 ended, then [seq, row]*.
-- 'mine' and its fence, or 'there' where there is one.
local P, W, sid = ARGV[1], ARGV[2], ARGV[4]
local key = P .. 's:' .. sid
if redis.call('EXISTS', key) == 1 then return {'there'} end
local t = redis.call('TIME')
local fence = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', key, 'owner', W, 'fence', fence, 'epoch', ARGV[5], 'head', ARGV[6], 'filed', ARGV[6],
  'archived', ARGV[6], 'state', ARGV[7], 'revision', 0, 'shipped', 0, 'run', ARGV[3],
  'watch', table.concat(redis.call('HKEYS', P .. 'd:' .. sid), ' '))
for k = 11, #ARGV, 2 do redis.call('ZADD', P .. 'l:' .. sid, ARGV[k], ARGV[k + 1]) end
redis.call('ZADD', P .. 'of:' .. ARGV[8], ARGV[9], sid)
redis.call('ZADD', P .. 'all', ARGV[9], sid)
if ARGV[10] ~= '0' then redis.call('ZADD', P .. 'ended', ARGV[10], sid) end
redis.call('ZADD', P .. 'own:' .. W, 1, sid)
redis.call('ZREM', P .. 'due', sid)
return {'mine', fence}
