/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts.h"

/*
 * One window: the hash of its eleven parts and of the number of the newest, as
 * actors/iam/limits.c has them in memory. Ten parts are the window's length;
 * what is got is counted in the newest part and may be used until that part is
 * over, so no span of the window's length holds more than the rate. A clock that
 * steps back leaves the newest part where it is: that is only stricter.
 *
 * KEYS: the window. ARGV: window_ms, rate, want, need, give, give_part.
 * Answers got, left, part_ms, part, retry_ms, reset_ms.
 */
#define TAKE \
	"local t = redis.call('TIME')\n" \
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n" \
	"local rate, want, need = tonumber(ARGV[2]), tonumber(ARGV[3])," \
	" tonumber(ARGV[4])\n" \
	"local give, from = tonumber(ARGV[5]), tonumber(ARGV[6])\n" \
	"local len = math.max(1, math.ceil(ARGV[1] / 10))\n" \
	"local here = math.floor(now / len)\n" \
	"local row = redis.call('HMGET', KEYS[1], 'e', 0, 1, 2, 3, 4, 5, 6, 7, 8," \
	" 9, 10)\n" \
	"local e = tonumber(row[1] or here) or here\n" \
	"local p, sum = {}, 0\n" \
	"for i = 0, 10 do p[i] = tonumber(row[i + 2] or 0) or 0 end\n" \
	"for i = math.max(e + 1, here - 10), here do p[i % 11] = 0 end\n" \
	"e = math.max(e, here)\n" \
	"if give > 0 and from <= e and from > e - 11 then\n" \
	"  p[from % 11] = math.max(0, p[from % 11] - give)\n" \
	"end\n" \
	"for i = 0, 10 do sum = sum + p[i] end\n" \
	"local room, got = math.max(0, rate - sum), 0\n" \
	"if room >= need then got = math.min(want, room) end\n" \
	"p[e % 11] = p[e % 11] + got\n" \
	"local retry, reset, freed = 0, 0, 0\n" \
	"for i = 10, 0, -1 do\n" \
	"  local n = p[(e - i) % 11]\n" \
	"  if n > 0 and retry == 0 then\n" \
	"    local at = math.max(1, (e - i + 11) * len - now)\n" \
	"    if reset == 0 then reset = at end\n" \
	"    freed = freed + n\n" \
	"    if freed >= need - room then retry = at end\n" \
	"  end\n" \
	"end\n" \
	"redis.call('HSET', KEYS[1], 'e', e, 0, p[0], 1, p[1], 2, p[2], 3, p[3]," \
	" 4, p[4], 5, p[5], 6, p[6], 7, p[7], 8, p[8], 9, p[9], 10, p[10])\n" \
	"redis.call('PEXPIRE', KEYS[1], 12 * len)\n" \
	"return {got, room - got, math.min(len, (e + 1) * len - now), e, retry," \
	" reset}\n"

/*
 * What is good once. A Redis that has lost its memory since the thing may have
 * come first cannot say that it did not: `born` is when its memory begins.
 *
 * KEYS: the thing, born. ARGV: kept_ms, age_ms.
 * Answers 1: it is the first; 0: it is not; -1: that is not known.
 */
#define ONCE \
	"local t = redis.call('TIME')\n" \
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n" \
	"local born = tonumber(redis.call('GET', KEYS[2]) or '')\n" \
	"if not born then\n" \
	"  redis.call('SET', KEYS[2], string.format('%.0f', now))\n" \
	"  born = now\n" \
	"end\n" \
	"if now - born < tonumber(ARGV[2]) then return -1 end\n" \
	"if redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) then return 1 end\n" \
	"return 0\n"

/*
 * Who shares: the nodes that were heard in the last ten seconds.
 * KEYS: the nodes, born. ARGV: this node. Answers how many there are.
 */
#define BEAT \
	"local t = redis.call('TIME')\n" \
	"local now = t[1] * 1000 + math.floor(t[2] / 1000)\n" \
	"redis.call('SET', KEYS[2], string.format('%.0f', now), 'NX')\n" \
	"redis.call('ZADD', KEYS[1], now, ARGV[1])\n" \
	"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 10000)\n" \
	"redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 10000, '+inf')\n" \
	"return redis.call('ZCARD', KEYS[1])\n"

const char *const scripts[SCRIPT_COUNT] = {
	[SCRIPT_TAKE] = TAKE,
	[SCRIPT_ONCE] = ONCE,
	[SCRIPT_BEAT] = BEAT,
};
