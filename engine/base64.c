/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 §4, §5). Plaintexts and tokens pass here, so it takes the
 * same time whatever the bytes are, as libsodium's does: no branch and no
 * look-up depends on them. It is ours because bodies are mostly this: the loops
 * here are ones that compilers turn into vector instructions, and take a tenth
 * of the time (docs/performance.md). libsodium is what the test compares with.
 */
#include "engine.h"

#include <string.h>

enum { BLOCK = 256 }; /* digits decoded at once; a multiple of 4 */

/* The last two digits of an alphabet. */
struct alphabet {
	uint8_t d62, d63;
	bool padded;
};
static const struct alphabet standard = { '+', '/', true };
static const struct alphabet url_safe = { '-', '_', false };

/* All ones or none. */
static inline uint8_t
mask(bool on)
{
	return (uint8_t)-(int)on;
}

/* ------------------------------------------------------------- encoding */

/* Values of six bits to digits, in place. */
static void
to_digits(uint8_t *p, size_t n, const struct alphabet *a)
{
	const uint8_t to62 = (uint8_t)(a->d62 - (62 + '0' - 52));
	const uint8_t to63 = (uint8_t)(a->d63 - (63 + '0' - 52) - to62);

	for (size_t i = 0; i < n; i++) {
		uint8_t v = p[i];
		uint8_t c = (uint8_t)(v + 'A');

		c = (uint8_t)(c + (mask(v > 25) & (uint8_t)('a' - 26 - 'A')));
		c = (uint8_t)(c + (mask(v > 51) &
		    (uint8_t)('0' - 52 - ('a' - 26))));
		c = (uint8_t)(c + (mask(v > 61) & to62));
		c = (uint8_t)(c + (mask(v > 62) & to63));
		p[i] = c;
	}
}

/* Three bytes to four values; the last one or two to two or three. */
static size_t
to_values(const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t *p = out;

	for (; len >= 3; len -= 3, in += 3, p += 4) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		p[0] = (uint8_t)(v >> 18);
		p[1] = v >> 12 & 63;
		p[2] = v >> 6 & 63;
		p[3] = v & 63;
	}
	if (len > 0) {
		uint32_t v = (uint32_t)in[0] << 16 |
		    (len > 1 ? (uint32_t)in[1] << 8 : 0);

		p[0] = (uint8_t)(v >> 18);
		p[1] = v >> 12 & 63;
		p[2] = v >> 6 & 63;
		p += len + 1;
	}
	return (size_t)(p - out);
}

static void
encode(const uint8_t *in, size_t len, char *text, const struct alphabet *a)
{
	uint8_t *out = (uint8_t *)text;
	size_t n = to_values(in, len, out);

	to_digits(out, n, a);
	while (a->padded && n % 4 != 0)
		out[n++] = '=';
	out[n] = '\0';
}

size_t
ag_base64_size(size_t len)
{
	return (len + 2) / 3 * 4 + 1;
}

void
ag_base64(const uint8_t *in, size_t len, char *out)
{
	encode(in, len, out, &standard);
}

void
ag_base64url(const uint8_t *in, size_t len, char *out)
{
	encode(in, len, out, &url_safe);
}

/* ------------------------------------------------------------- decoding */

/* Digits to values of six bits; not 0: something else was among them. */
static uint8_t
from_digits(const uint8_t *text, size_t n, uint8_t *values,
    const struct alphabet *a)
{
	const uint8_t d62 = a->d62, d63 = a->d63;
	uint8_t bad = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = text[i];
		uint8_t upper = (uint8_t)(c - 'A'), lower = (uint8_t)(c - 'a');
		uint8_t digit = (uint8_t)(c - '0');
		uint8_t is_upper = mask(upper < 26), is_lower = mask(lower < 26);
		uint8_t is_digit = mask(digit < 10);
		uint8_t is_62 = mask(c == d62), is_63 = mask(c == d63);

		values[i] = (uint8_t)((is_upper & upper) |
		    (is_lower & (uint8_t)(lower + 26)) |
		    (is_digit & (uint8_t)(digit + 52)) | (is_62 & 62) |
		    (is_63 & 63));
		bad |= (uint8_t)~(is_upper | is_lower | is_digit | is_62 | is_63);
	}
	return bad;
}

static void
from_values(const uint8_t *v, size_t n, uint8_t *out)
{
	for (; n >= 4; n -= 4, v += 4, out += 3) {
		uint32_t all = (uint32_t)v[0] << 18 | (uint32_t)v[1] << 12 |
		    (uint32_t)v[2] << 6 | v[3];

		out[0] = (uint8_t)(all >> 16);
		out[1] = (uint8_t)(all >> 8);
		out[2] = (uint8_t)all;
	}
	if (n > 1)
		out[0] = (uint8_t)(v[0] << 2 | v[1] >> 4);
	if (n > 2)
		out[1] = (uint8_t)(v[1] << 4 | v[2] >> 2);
}

/* How many digits stand before the padding; SIZE_MAX: it is not as it must be. */
static size_t
digits_of(const char *text, size_t len, bool padded)
{
	if (!padded)
		return len % 4 == 1 ? SIZE_MAX : len;
	if (len % 4 != 0)
		return SIZE_MAX;
	for (unsigned i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
		len--;
	return len;
}

static bool
decode(const char *text, size_t len, uint8_t *out, size_t out_size,
    size_t *out_len, const struct alphabet *a)
{
	size_t n = digits_of(text, len, a->padded);
	uint8_t values[BLOCK], bad = 0;
	size_t done = 0;

	if (n == SIZE_MAX || n / 4 * 3 + n % 4 * 3 / 4 > out_size)
		return false;
	while (done < n) {
		size_t part = n - done < BLOCK ? n - done : BLOCK;

		bad |= from_digits((const uint8_t *)text + done, part, values, a);
		from_values(values, part, out + done / 4 * 3);
		done += part;
		/* Bits that no byte takes are zero: there is one text for each. */
		if (part % 4 == 2)
			bad |= values[part - 1] & 15;
		else if (part % 4 == 3)
			bad |= values[part - 1] & 3;
	}
	ag_wipe(values, sizeof(values));
	*out_len = n / 4 * 3 + n % 4 * 3 / 4;
	return bad == 0;
}

bool
ag_base64_parse(const char *text, size_t text_len, uint8_t *out,
    size_t out_size, size_t *len)
{
	return decode(text, text_len, out, out_size, len, &standard);
}

bool
ag_base64url_parse(const char *text, size_t text_len, uint8_t *out,
    size_t out_size, size_t *len)
{
	return decode(text, text_len, out, out_size, len, &url_safe);
}
