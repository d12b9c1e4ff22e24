-- Put joined rows in the place of their pieces: what is so joined is final, and may be shipped.
-- ARGV: 1 prefix, 2 worker, 3 index (msgpack), 4 bytes.
-- The index is one flat list, four fields a session: session, fence, filed, rows.
-- What was shipped in pieces is shipped again: `rejoined` counts how often.
-- filed: the last seq that is final. rows: flat [seq, first_seq, size]*, their bytes follow.
local P, W = ARGV[1], ARGV[2]
local index, bytes, at = cmsgpack.unpack(ARGV[3]), ARGV[4], 0
for k = 1, #index, 4 do
  local sid, fence, filed, rows = index[k], index[k + 1], index[k + 2], index[k + 3]
  local key = P .. 's:' .. sid
  local m = redis.call('HMGET', key, 'fence', 'owner', 'head', 'filed', 'archived')
  local ours = m[1] and tonumber(m[1]) == fence and m[2] == W and tonumber(m[3]) >= filed
  for r = 1, #rows, 3 do
    if ours then
      redis.call('ZREMRANGEBYSCORE', P .. 'l:' .. sid, rows[r + 1], rows[r])
      redis.call('ZADD', P .. 'l:' .. sid, rows[r], string.sub(bytes, at + 1, at + rows[r + 2]))
    end
    at = at + rows[r + 2]
  end
  if ours then
    redis.call('HSET', key, 'filed', math.max(filed, tonumber(m[4])))
    if #rows > 0 and tonumber(m[5]) >= rows[2] then
      redis.call('HSET', key, 'archived', rows[2] - 1)
      redis.call('HINCRBY', key, 'rejoined', 1)
    end
    redis.call('SADD', P .. 'ship:' .. W, sid)
  end
end
return 1
