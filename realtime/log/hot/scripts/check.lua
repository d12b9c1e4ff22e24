-- Does in small what keeping a log takes. ARGV: prefix, a word, a channel.
-- Returns the word, as it came back from a scratch key.
local key = KEYS[1] .. 'check:' .. ARGV[2]
local at = redis.call('TIME')[1]
redis.call('SET', key, cmsgpack.pack({at, ARGV[2]}), 'PX', 10000)
local kept = cmsgpack.unpack(redis.call('GET', key))
redis.call('DEL', key)
redis.call('PUBLISH', ARGV[3], kept[2])
return kept[2]
