-- What a call of a model has reserved is free, and what it came to counts, unless a flush did both.
-- ARGV: 1 prefix, 2 day, 3 run, 4 tokens, 5 nano-dollars, 6 [asker, owner] as JSON, then all who pay.
local P, run = ARGV[1], ARGV[3]
if redis.call('HDEL', P .. 'held:', run) == 0 then return end
local function count(key, who)
  redis.call('HINCRBY', key, who .. ' t', ARGV[4])
  redis.call('HINCRBY', key, who .. ' d', ARGV[5])
  redis.call('EXPIRE', key, 259200)
end
count(P .. 'day:' .. ARGV[2], ARGV[6])
for k = 7, #ARGV do
  count(P .. 'paid:' .. ARGV[2], ARGV[k])
  redis.call('HDEL', P .. 'held:' .. ARGV[k], run)
end
