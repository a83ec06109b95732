/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids, times and encodings. Ids come at the rate of requests, so their random
 * bits are drawn from a pool that is refilled in blocks.
 */
#include "engine.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

enum {
	POOL_BYTES = 4096,
	ID_PREFIX_MAX = AG_ID_SIZE - 1 - 32 - 1,
	LABEL_VALUE_MAX = 128, /* characters */
};

static const char *const id_prefixes[] = {
	"key", "hum", "svc", "agt", "evt", "rec", "chl", "apr", "brk", "grt",
	"pol", NULL,
};
/* Path segments of the routes that an alias would hide. */
static const char *const reserved_names[] = {
	"import", "import-parameters", NULL,
};

/* ------------------------------------------------------------- random */

void
ag_random(void *out, size_t len)
{
	static _Thread_local struct {
		size_t left;
		uint8_t bytes[POOL_BYTES];
	} pool;
	uint8_t *at;

	if (len > POOL_BYTES)
		ag_panic("%zu random bytes are more than the pool holds", len);
	if (len > pool.left) {
		if (RAND_bytes(pool.bytes, POOL_BYTES) != 1)
			ag_panic("no random bytes");
		pool.left = POOL_BYTES;
	}
	pool.left -= len;
	at = pool.bytes + pool.left;
	memcpy(out, at, len);
	memset(at, 0, len); /* no byte is handed out twice */
}

/*
 * RFC 9562 §5.7 with method 1 of §6.2: the 12 bits of rand_a are a counter
 * within the millisecond, begun at random with its top bit clear. When it
 * overflows, or the clock steps back, the id's time runs ahead of the clock.
 */
void
ag_uuid7(int64_t now_ms, uint8_t out[AG_UUID_BYTES])
{
	static _Thread_local int64_t last_ms = -1;
	static _Thread_local uint16_t counter;
	uint8_t random[10];

	ag_random(random, sizeof(random));
	if (now_ms > last_ms || counter == 0x0fff) {
		last_ms = now_ms > last_ms ? now_ms : last_ms + 1;
		counter = (uint16_t)((random[8] << 8 | random[9]) & 0x07ff);
	} else {
		counter++;
	}
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)((uint64_t)last_ms >> (40 - 8 * i));
	out[6] = (uint8_t)(0x70 | counter >> 8);
	out[7] = (uint8_t)counter;
	memcpy(out + 8, random, 8);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

void
ag_uuid_text(const uint8_t uuid[AG_UUID_BYTES], char out[AG_UUID_TEXT])
{
	char hex[2 * AG_UUID_BYTES + 1];

	ag_hex(uuid, AG_UUID_BYTES, hex);
	memcpy(out, hex, 8);
	memcpy(out + 9, hex + 8, 4);
	memcpy(out + 14, hex + 12, 4);
	memcpy(out + 19, hex + 16, 4);
	memcpy(out + 24, hex + 20, 12);
	out[8] = out[13] = out[18] = out[23] = '-';
	out[36] = '\0';
}

void
ag_id_from_uuid(const char *prefix, const uint8_t uuid[AG_UUID_BYTES],
    char out[AG_ID_SIZE])
{
	size_t n = strlen(prefix);

	if (n > ID_PREFIX_MAX)
		ag_panic("id prefix %s is too long", prefix);
	memcpy(out, prefix, n);
	out[n] = '_';
	ag_hex(uuid, AG_UUID_BYTES, out + n + 1);
}

void
ag_id_make(const char *prefix, int64_t now_ms, char out[AG_ID_SIZE])
{
	uint8_t uuid[AG_UUID_BYTES];

	ag_uuid7(now_ms, uuid);
	ag_id_from_uuid(prefix, uuid, out);
}

/* -------------------------------------------------------------- names */

static bool
has_prefix(const char *id, const char *prefix, const char **rest)
{
	size_t n = strlen(prefix);

	if (strncmp(id, prefix, n) != 0 || id[n] != '_')
		return false;
	*rest = id + n + 1;
	return true;
}

bool
ag_id_valid(const char *id, const char *prefix)
{
	const char *hex = NULL;

	if (prefix != NULL) {
		if (!has_prefix(id, prefix, &hex))
			return false;
	} else {
		for (int i = 0; hex == NULL && id_prefixes[i] != NULL; i++)
			if (!has_prefix(id, id_prefixes[i], &hex))
				hex = NULL;
		if (hex == NULL)
			return false;
	}
	return strlen(hex) == 32 && strspn(hex, "0123456789abcdef") == 32;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

bool
ag_name_valid(const char *name)
{
	size_t n = strlen(name);
	const char *rest;

	if (n == 0 || n > AG_NAME_MAX || strspn(name, LOWER DIGITS) == 0 ||
	    strspn(name, LOWER DIGITS "._-") != n)
		return false;
	for (int i = 0; reserved_names[i] != NULL; i++)
		if (strcmp(name, reserved_names[i]) == 0)
			return false;
	/* What begins like an id is looked up as one. */
	for (int i = 0; id_prefixes[i] != NULL; i++)
		if (has_prefix(name, id_prefixes[i], &rest))
			return false;
	return true;
}

/* One UTF-8 character (RFC 3629) of the string; its length, 0 if malformed. */
static size_t
utf8_char(const uint8_t *s, uint32_t *out)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 :
	    (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = n == 1 ? s[0] : n == 0 ? 0 : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n == 0 || c < least[n] || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*out = c;
	return n;
}

/* Nothing that moves the cursor, ends a line or turns the text around. */
static bool
printable(uint32_t c)
{
	return c >= 0x20 && (c < 0x7f || c > 0x9f) &&
	    !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) &&
	    c != 0x200e && c != 0x200f && c != 0xfeff && (c & 0xfffe) != 0xfffe;
}

bool
ag_label_valid(const char *key, const char *value)
{
	const uint8_t *s = (const uint8_t *)value;
	size_t n = strlen(key), chars = 0, step;
	uint32_t c;

	if (n == 0 || n > AG_NAME_MAX || strspn(key, LOWER) == 0 ||
	    strspn(key, LOWER DIGITS "._-") != n)
		return false;
	for (; *s != 0; s += step, chars++) {
		step = utf8_char(s, &c);
		if (step == 0 || !printable(c) || chars == LABEL_VALUE_MAX)
			return false;
	}
	return true;
}

/* --------------------------------------------------------------- time */

static void
digits(char *out, unsigned value, unsigned count)
{
	while (count-- > 0) {
		out[count] = (char)('0' + value % 10);
		value /= 10;
	}
}

void
ag_time_text(int64_t ms, char out[AG_TIME_TEXT])
{
	/* 0000-01-01 and 9999-12-31: what four digits of a year can say. */
	const int64_t least = INT64_C(-62167219200000);
	const int64_t most = INT64_C(253402300799999);
	struct tm tm;
	time_t s;

	ms = ms < least ? least : ms > most ? most : ms;
	s = (time_t)(ms / 1000 - (ms % 1000 < 0));
	gmtime_r(&s, &tm);
	memcpy(out, "0000-00-00T00:00:00.000Z", AG_TIME_TEXT);
	digits(out, (unsigned)tm.tm_year + 1900u, 4);
	digits(out + 5, (unsigned)tm.tm_mon + 1, 2);
	digits(out + 8, (unsigned)tm.tm_mday, 2);
	digits(out + 11, (unsigned)tm.tm_hour, 2);
	digits(out + 14, (unsigned)tm.tm_min, 2);
	digits(out + 17, (unsigned)tm.tm_sec, 2);
	digits(out + 20, (unsigned)(ms - (int64_t)s * 1000), 3);
}

/* `count` digits at *at, between least and most; then the character `after`
 * (0: none). */
static bool
field(const char **at, unsigned count, int least, int most, char after, int *out)
{
	int v = 0;

	for (; count > 0; count--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		v = v * 10 + (**at - '0');
	}
	if (v < least || v > most || (after != 0 && **at != after))
		return false;
	*at += after != 0;
	*out = v;
	return true;
}

static bool
zone(const char *at, int *minutes)
{
	int sign = *at == '-' ? -1 : 1, h, m;

	*minutes = 0;
	if (*at == 'Z' || *at == 'z')
		return at[1] == '\0';
	if (*at != '+' && *at != '-')
		return false;
	at++;
	if (!field(&at, 2, 0, 23, ':', &h) || !field(&at, 2, 0, 59, 0, &m))
		return false;
	*minutes = sign * (h * 60 + m);
	return *at == '\0';
}

/* Milliseconds of ".123456"; what is finer is cut off. */
static bool
fraction(const char **at, int *ms)
{
	int scale = 100;

	*ms = 0;
	if (**at != '.')
		return true;
	(*at)++;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
		*ms += (**at - '0') * scale;
	return true;
}

bool
ag_time_parse(const char *text, int64_t *ms)
{
	struct tm tm = { 0 }, back;
	int year, month, minutes, part;
	time_t s;

	if (!field(&text, 4, 0, 9999, '-', &year) ||
	    !field(&text, 2, 1, 12, '-', &month) ||
	    !field(&text, 2, 1, 31, 0, &tm.tm_mday) ||
	    (*text != 'T' && *text != 't'))
		return false;
	text++;
	if (!field(&text, 2, 0, 23, ':', &tm.tm_hour) ||
	    !field(&text, 2, 0, 59, ':', &tm.tm_min) ||
	    !field(&text, 2, 0, 59, 0, &tm.tm_sec) ||
	    !fraction(&text, &part) || !zone(text, &minutes))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	back = tm;
	s = timegm(&back);
	if (back.tm_mday != tm.tm_mday) /* 31 April became 1 May */
		return false;
	*ms = ((int64_t)s - minutes * INT64_C(60)) * 1000 + part;
	return true;
}

bool
ag_duration_parse(const char *text, int64_t *seconds)
{
	static const char units[] = "smhd";
	static const int64_t unit_s[] = { 1, 60, 3600, 86400 };
	const char *unit;
	int64_t v = 0;
	size_t n = strspn(text, DIGITS);

	if (n == 0 || n > 18) /* 18 digits fit */
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (text[i] - '0');
	if (text[n] != '\0') {
		unit = strchr(units, text[n]);
		if (unit == NULL || text[n + 1] != '\0' ||
		    __builtin_mul_overflow(v, unit_s[unit - units], &v))
			return false;
	}
	*seconds = v;
	return true;
}

/* ---------------------------------------------------------- encodings */

void
ag_hex(const uint8_t *in, size_t len, char *out)
{
	sodium_bin2hex(out, len * 2 + 1, in, len);
}

bool
ag_hex_parse(const char *text, uint8_t *out, size_t out_size)
{
	size_t n = strlen(text), got;

	return n == out_size * 2 &&
	    sodium_hex2bin(out, out_size, text, n, NULL, &got, NULL) == 0 &&
	    got == out_size;
}

bool
ag_percent_decode(char *text, bool plus)
{
	char *to = text;
	uint8_t byte;
	size_t got;

	for (; *text != '\0'; text++) {
		if (*text != '%') {
			*to++ = plus && *text == '+' ? ' ' : *text;
			continue;
		}
		if (sodium_hex2bin(&byte, 1, text + 1, 2, NULL, &got, NULL) != 0 ||
		    got != 1 || byte == 0)
			return false;
		*to++ = (char)byte;
		text += 2;
	}
	*to = '\0';
	return true;
}

static EVP_MD *sha256;
static pthread_key_t sha256_ctxs;

static void
sha256_ctx_free(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

static void
sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL ||
	    pthread_key_create(&sha256_ctxs, sha256_ctx_free) != 0)
		ag_panic("no SHA-256");
}

/* One for each thread: making one costs as much as hashing 200 bytes. OpenSSL
 * wipes what it was fed when it gives out the hash. */
static EVP_MD_CTX *
sha256_ctx(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Thread_local EVP_MD_CTX *ctx;

	if (ctx != NULL)
		return ctx;
	pthread_once(&once, sha256_fetch);
	if ((ctx = EVP_MD_CTX_new()) == NULL ||
	    pthread_setspecific(sha256_ctxs, ctx) != 0)
		ag_panic("no memory for SHA-256");
	return ctx;
}

void
ag_sha256(const void *data, size_t len, uint8_t out[32])
{
	EVP_MD_CTX *ctx = sha256_ctx();

	if (EVP_DigestInit_ex2(ctx, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, data, len) != 1 ||
	    EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		ag_panic("SHA-256 failed");
}
