-- Put a session back as its writer has it. ARGV: 1 prefix, 2 worker, 3 the engine's run id, 4 session,
-- 5 fence, 6 epoch, 7 head, 8 filed, 9 state, 10 revision, 11 user, 12 start, 13 ended, 14 busy, then
-- [seq, row]*. {''}, or why not: 'deleted', 'fenced'.
local P, W, sid, fence = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5])
local key = P .. 's:' .. sid
local m = redis.call('HMGET', key, 'fence', 'owner')
if redis.call('ZSCORE', P .. 'gone', sid) then return {'deleted'} end
if m[1] and (tonumber(m[1]) > fence or (tonumber(m[1]) == fence and m[2] ~= W)) then return {'fenced'} end
if m[2] and m[2] ~= '' and m[2] ~= W then redis.call('ZREM', P .. 'own:' .. m[2], sid) end
redis.call('HSET', key, 'owner', W, 'fence', ARGV[5], 'epoch', ARGV[6], 'head', ARGV[7], 'filed', ARGV[8],
  'archived', 0, 'shipped', -1, 'state', ARGV[9], 'revision', ARGV[10], 'run', ARGV[3], 'died', '0',
  'watch', table.concat(redis.call('HKEYS', P .. 'd:' .. sid), ' '))
redis.call('DEL', P .. 'l:' .. sid)
for k = 15, #ARGV, 2 do redis.call('ZADD', P .. 'l:' .. sid, ARGV[k], ARGV[k + 1]) end
redis.call('ZADD', P .. 'of:' .. ARGV[11], ARGV[12], sid)
redis.call('ZADD', P .. 'all', ARGV[12], sid)
if ARGV[13] ~= '0' then redis.call('ZADD', P .. 'ended', ARGV[13], sid) else redis.call('ZREM', P .. 'ended', sid) end
redis.call('ZADD', P .. 'own:' .. W, ARGV[14], sid)
redis.call('SADD', P .. 'ship:' .. W, sid)
redis.call('ZREM', P .. 'due', sid)
return {''}
