-- Take one of what is refilled evenly. ARGV: 1 prefix, 2 name, 3 ms until one more is there,
-- 4 ms in which all of them are. 0, or ms to wait.
local key = ARGV[1] .. 'rate:' .. ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local full = math.max(now, tonumber(redis.call('GET', key) or now)) + ARGV[3]
local wait = full - now - ARGV[4]
if wait > 0 then return math.ceil(wait) end
redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil(full - now))
return 0
