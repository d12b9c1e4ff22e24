-- Keep the name of a file, if its session is here. ARGV: 1 prefix, 2 session, 3 file, 4 what it is.
local P, sid = ARGV[1], ARGV[2]
if redis.call('EXISTS', P .. 's:' .. sid) == 0 then return 0 end
redis.call('HSET', P .. 'f:' .. sid, ARGV[3], ARGV[4])
return 1
