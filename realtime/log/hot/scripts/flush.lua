-- What is new of all sessions of one worker: fenced, stored, told to those who watch, in one step.
-- ARGV: 1 prefix, 2 worker, 3 the engine's run id, 4 lease in ms, 5 index (msgpack), 6 bytes,
-- 7 whether tokens are shown before they are stored, 8 followers of the log, by spaces.
-- The index is one flat list, eight fields a part:
--   session, fence, first, last, size, rows, head, spent
-- size: of the part, the next so many bytes. rows: flat [seq, offset, size]*, each a row within the
-- part. head: false, or [offset, size, revision, user, start, ended, busy, epoch]: where the head stands,
-- and what is indexed of it. spent: false, or flat [day, who, tokens, nano-dollars, run, asker, owner]*.
-- last < first: no new event. A part that is there already changes nothing.
-- Gives [place, why]*: 'deleted', 'fenced' (another worker has it), 'less' (the engine lost the session,
-- its end, or that it is ours).
local P, W = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local till = redis.call('ZSCORE', P .. 'workers', W)
if not till or tonumber(till) < now then redis.call('HSET', P .. 'since', W, string.format('%.0f', now)) end
redis.call('ZADD', P .. 'workers', now + ARGV[4], W)
local index, bytes, at = cmsgpack.unpack(ARGV[5]), ARGV[6], 0
local out, lost = {}, {}
for k = 1, #index, 8 do
  local sid, fence, first, last = index[k], index[k + 1], index[k + 2], index[k + 3]
  local size, rows, head, spent = index[k + 4], index[k + 5], index[k + 6], index[k + 7]
  local from = at
  at = at + size
  local key, why = P .. 's:' .. sid, nil
  local m = redis.call('HMGET', key, 'fence', 'head', 'watch', 'owner', 'revision')
  if not m[1] then
    if redis.call('ZSCORE', P .. 'gone', sid) then
      why = 'deleted'
    elseif first ~= 1 or not head then
      why = 'less'
    else
      redis.call('HSET', key, 'owner', W, 'fence', fence, 'epoch', 1, 'filed', 0, 'archived', 0, 'shipped', -1)
      redis.call('ZADD', P .. 'of:' .. head[4], head[5], sid)
      redis.call('ZADD', P .. 'all', head[5], sid)
      m = {tostring(fence), '0', false, W, '-1'}
    end
  elseif tonumber(m[1]) < fence then
    why = 'less'
  elseif tonumber(m[1]) > fence or m[4] ~= W then
    why = 'fenced'
  elseif tonumber(m[2]) < first - 1 then
    why = 'less'
  end
  if why then
    lost[#lost + 1] = (k - 1) / 8
    lost[#lost + 1] = why
  else
    local new = last >= first and tonumber(m[2]) < last
    if new then
      for r = 1, #rows, 3 do
        local o = from + rows[r + 1]
        redis.call('ZADD', P .. 'l:' .. sid, rows[r], string.sub(bytes, o + 1, o + rows[r + 2]))
      end
      redis.call('HSET', key, 'head', last)
      for s = 1, spent and #spent or 0, 7 do
        local day, paid = P .. 'day:' .. spent[s], P .. 'paid:' .. spent[s]
        redis.call('HINCRBY', day, spent[s + 1] .. ' t', spent[s + 2])
        redis.call('HINCRBY', day, spent[s + 1] .. ' d', spent[s + 3])
        local payers = {'', spent[s + 6]}
        if spent[s + 5] ~= '' and spent[s + 5] ~= spent[s + 6] then payers[3] = spent[s + 5] end
        for _, who in ipairs(payers) do
          redis.call('HINCRBY', paid, who .. ' t', spent[s + 2])
          redis.call('HINCRBY', paid, who .. ' d', spent[s + 3])
          redis.call('HDEL', P .. 'held:' .. who, spent[s + 4])
        end
        redis.call('EXPIRE', day, 259200)
        redis.call('EXPIRE', paid, 259200)
      end
    end
    local told = head and head[3] > tonumber(m[5])
    if told then
      local o = from + head[1]
      redis.call('HSET', key, 'revision', head[3], 'epoch', head[8], 'run', ARGV[3], 'early', ARGV[7],
        'state', string.sub(bytes, o + 1, o + head[2]))
      redis.call('ZADD', P .. 'own:' .. W, head[7], sid)
      redis.call('SADD', P .. 'ship:' .. W, sid)
      for follower in string.gmatch(ARGV[8], '%S+') do
        redis.call('ZADD', P .. 'behind:' .. follower, 'NX', now + 60000, sid)
      end
      if head[6] > 0 then
        redis.call('ZADD', P .. 'ended', head[6], sid)
      else
        redis.call('ZREM', P .. 'ended', sid)
      end
    end
    if (new or told) and m[3] and m[3] ~= '' then
      local part = string.sub(bytes, from + 1, at)
      for w in string.gmatch(m[3], '%S+') do
        if w ~= W then
          local o = out[w]
          if o then o[#o + 1] = part else out[w] = {part} end
        end
      end
    end
  end
end
for w, o in pairs(out) do
  redis.call('PUBLISH', P .. 'w:' .. w, 'T' .. string.char(221, math.floor(#o / 16777216) % 256,
    math.floor(#o / 65536) % 256, math.floor(#o / 256) % 256, #o % 256) .. table.concat(o))
end
return lost
