-- Note how far the archive has sessions. ARGV: 1 prefix, 2 worker, then
-- [session, seq, revision, rejoined]*. Rows that were joined since they were read are shipped again.
local P, W = ARGV[1], ARGV[2]
for k = 3, #ARGV, 4 do
  local key = P .. 's:' .. ARGV[k]
  local m = redis.call('HMGET', key, 'archived', 'shipped', 'head', 'revision', 'rejoined')
  if m[1] then
    local archived = tonumber(m[1])
    if (m[5] or '') == ARGV[k + 3] then archived = math.max(archived, tonumber(ARGV[k + 1])) end
    local shipped = math.max(tonumber(m[2]), tonumber(ARGV[k + 2]))
    redis.call('HSET', key, 'archived', archived, 'shipped', shipped)
    if archived >= tonumber(m[3]) and shipped >= tonumber(m[4]) then
      redis.call('SREM', P .. 'ship:' .. W, ARGV[k])
      redis.call('SREM', P .. 'ship:', ARGV[k])
    end
  end
end
return 1
