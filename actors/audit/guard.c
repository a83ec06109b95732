/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard: private keys in PEM, JSON web tokens, keys of cloud services, card
 * numbers. Each has a way to be sure that costs little and spares its false
 * friends: a label, a first segment that is a JSON object, a prefix and a
 * length, an issuer's number and a check digit.
 */
#include "guard.h"

#include <stdint.h>
#include <string.h>

enum {
	PEM_LABEL_MAX = 64,
	JWT_HEADER_MIN = 16, /* {"alg":"none"} has 19 */
	JWT_PAYLOAD_MIN = 4,
	JWT_SEGMENTS_MAX = 5, /* RFC 7516: an encrypted one has five */
	CARD_DIGITS_MIN = 14,
};

/* Locale-free. */
static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
alnum(char c)
{
	return digit(c) || upper(c) || (c >= 'a' && c <= 'z');
}

static bool
upper_digit(char c)
{
	return digit(c) || upper(c);
}

static bool
alnum_dash(char c)
{
	return alnum(c) || c == '-';
}

static bool
url_safe(char c) /* RFC 4648 §5 */
{
	return alnum(c) || c == '-' || c == '_';
}

static bool
starts(const struct guard *g, size_t at, const char *prefix)
{
	size_t len = strlen(prefix);

	return g->len - at >= len && memcmp(g->text + at, prefix, len) == 0;
}

static size_t
run(const struct guard *g, size_t at, bool (*in)(char), size_t max)
{
	size_t n = 0;

	while (n < max && at + n < g->len && in(g->text[at + n]))
		n++;
	return n;
}

/* ------------------------------------------------------------------- PEM */

/* Public by nature; everything else that is armoured is taken for secret. */
static bool
public_label(const char *label, size_t len)
{
	static const char key[] = "PUBLIC KEY", certificate[] = "CERTIFICATE";
	size_t key_len = sizeof(key) - 1, cert_len = sizeof(certificate) - 1;

	return (len >= key_len &&
	        memcmp(label + len - key_len, key, key_len) == 0) ||
	    (len >= cert_len && memcmp(label, certificate, cert_len) == 0);
}

/* RFC 7468 §2; one that was cut short goes to the end of the text. */
static size_t
pem(struct guard *g, size_t at)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	const char *label, *stop, *found;
	size_t left;

	if (!starts(g, at, begin))
		return 0;
	label = g->text + at + sizeof(begin) - 1;
	left = g->len - at - (sizeof(begin) - 1);
	stop = memmem(label, left < PEM_LABEL_MAX ? left : PEM_LABEL_MAX, "-----",
	    5);
	if (stop != NULL && public_label(label, (size_t)(stop - label)))
		return 0;
	if (stop == NULL)
		return g->len - at;
	left = g->len - (size_t)(stop - g->text);
	found = memmem(stop, left, end, sizeof(end) - 1);
	if (found == NULL)
		return g->len - at;
	found += sizeof(end) - 1;
	left = g->len - (size_t)(found - g->text);
	stop = memmem(found, left < PEM_LABEL_MAX ? left : PEM_LABEL_MAX, "-----",
	    5);
	return stop == NULL ? g->len - at : (size_t)(stop + 5 - g->text) - at;
}

/* ------------------------------------------------------------------- JWT */

/* Base64url of `{"`, and segments behind dots (RFC 7519 §3). */
static size_t
jwt(struct guard *g, size_t at)
{
	size_t header, n, end;
	unsigned segments = 1;

	if (at < g->no_jwt || !starts(g, at, "eyJ"))
		return 0;
	header = run(g, at, url_safe, g->len);
	end = at + header;
	/* Whatever begins inside this run ends where it ends. */
	g->no_jwt = end;
	if (header < JWT_HEADER_MIN || end >= g->len || g->text[end] != '.')
		return 0;
	n = run(g, end + 1, url_safe, g->len);
	if (n < JWT_PAYLOAD_MIN)
		return 0;
	end += 1 + n;
	while (++segments < JWT_SEGMENTS_MAX && end < g->len &&
	    g->text[end] == '.') {
		n = run(g, end + 1, url_safe, g->len);
		if (n == 0)
			break;
		end += 1 + n;
	}
	return end - at;
}

/* ------------------------------------------------------ keys of clouds */

static const struct service {
	const char *prefix;
	bool (*in)(char);
	size_t min, max; /* characters behind the prefix */
} services[] = {
	{ "AKIA", upper_digit, 16, 16 }, /* AWS: long-term, temporary, … */
	{ "ASIA", upper_digit, 16, 16 },
	{ "ABIA", upper_digit, 16, 16 },
	{ "ACCA", upper_digit, 16, 16 },
	{ "AIza", url_safe, 35, 35 }, /* Google */
	{ "ghp_", alnum, 36, 255 }, /* GitHub */
	{ "gho_", alnum, 36, 255 },
	{ "ghu_", alnum, 36, 255 },
	{ "ghs_", alnum, 36, 255 },
	{ "ghr_", alnum, 36, 255 },
	{ "github_pat_", url_safe, 50, 255 },
	{ "glpat-", url_safe, 20, 255 }, /* GitLab */
	{ "xoxb-", alnum_dash, 20, 255 }, /* Slack */
	{ "xoxp-", alnum_dash, 20, 255 },
	{ "xoxa-", alnum_dash, 20, 255 },
	{ "xoxr-", alnum_dash, 20, 255 },
	{ "xoxs-", alnum_dash, 20, 255 },
	{ "sk_live_", alnum, 16, 255 }, /* Stripe */
	{ "rk_live_", alnum, 16, 255 },
	{ "sk-ant-", url_safe, 20, 255 }, /* model providers */
	{ "sk-proj-", url_safe, 20, 255 },
	{ "sk-", alnum, 32, 255 },
	{ "hvs.", url_safe, 24, 255 }, /* Vault */
	{ "npm_", alnum, 36, 36 },
	{ "AGE-SECRET-KEY-1", upper_digit, 58, 58 },
};

static size_t
cloud_key(struct guard *g, size_t at)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		const struct service *s = &services[i];
		size_t prefix, n;

		if (s->prefix[0] != g->text[at] || !starts(g, at, s->prefix))
			continue;
		prefix = strlen(s->prefix);
		/* One more than it may have: then it is something else. */
		n = run(g, at + prefix, s->in, s->max + 1);
		if (n >= s->min && n <= s->max)
			return prefix + n;
	}
	return 0;
}

/* ----------------------------------------------------------------- cards */

/* Issuers (ISO/IEC 7812) by their first four digits, and how long they are. */
static const struct issuer {
	unsigned from, to;
	unsigned lengths; /* bit n: n digits */
} issuers[] = {
	{ 3000, 3059, 1 << 14 }, /* Diners Club */
	{ 3400, 3499, 1 << 15 }, /* American Express */
	{ 3528, 3589, 1 << 16 }, /* JCB */
	{ 3600, 3699, 1 << 14 }, /* Diners Club */
	{ 3700, 3799, 1 << 15 }, /* American Express */
	{ 3800, 3999, 1 << 14 }, /* Diners Club */
	{ 2221, 2720, 1 << 16 }, /* Mastercard */
	{ 4000, 4999, 1 << 16 | 1 << 19 }, /* Visa */
	{ 5100, 5599, 1 << 16 }, /* Mastercard */
	{ 6011, 6011, 1 << 16 | 1 << 19 }, /* Discover */
	{ 6200, 6299, 1 << 16 | 1 << 19 }, /* UnionPay */
	{ 6440, 6599, 1 << 16 | 1 << 19 }, /* Discover */
};

/* How cards are written: in one piece, or in these groups. */
static const unsigned char layouts[][6] = {
	{ 4, 4, 4, 4 }, { 4, 4, 4, 4, 3 }, { 4, 6, 5 }, { 4, 6, 4 },
};

/* ISO/IEC 7812-1 annex B. */
static bool
luhn(const char *digits, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)(digits[n - 1 - i] - '0');

		if (i & 1)
			d = d < 5 ? 2 * d : 2 * d - 9;
		sum += d;
	}
	return sum % 10 == 0;
}

static bool
card_number(const char *digits, size_t n)
{
	unsigned iin = 0;

	for (unsigned i = 0; i < 4; i++)
		iin = 10 * iin + (unsigned)(digits[i] - '0');
	for (size_t i = 0; i < sizeof(issuers) / sizeof(issuers[0]); i++) {
		if (iin >= issuers[i].from && iin <= issuers[i].to)
			return (issuers[i].lengths >> n & 1) && luhn(digits, n);
	}
	return false;
}

/* Length of a number in these groups with one kind of separator, or 0. */
static size_t
grouped(const struct guard *g, size_t at, const unsigned char *groups)
{
	char separator = '\0';
	size_t end = at;

	for (unsigned i = 0; groups[i] != 0; i++) {
		if (i > 0) {
			if (end >= g->len || (g->text[end] != ' ' && g->text[end] != '-'))
				return 0;
			if (separator != '\0' && g->text[end] != separator)
				return 0;
			separator = g->text[end++];
		}
		if (run(g, end, digit, groups[i]) != groups[i])
			return 0;
		end += groups[i];
	}
	return end < g->len && alnum(g->text[end]) ? 0 : end - at;
}

static size_t
card(struct guard *g, size_t at)
{
	char digits[GUARD_CARD_DIGITS_MAX];
	size_t n;

	if (!digit(g->text[at]))
		return 0;
	n = run(g, at, digit, GUARD_CARD_DIGITS_MAX + 1);
	if (n >= CARD_DIGITS_MIN)
		return n <= GUARD_CARD_DIGITS_MAX &&
		    (at + n == g->len || !alnum(g->text[at + n])) &&
		    card_number(g->text + at, n) ? n : 0;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if ((n = grouped(g, at, layouts[i])) != 0 &&
		    card_number(digits, guard_digits(g->text + at, n, digits)))
			return n;
	}
	return 0;
}

/* ------------------------------------------------------------------ scan */

enum { PEM = 1, JWT = 2, CLOUD_KEY = 4, CARD = 8 };

/* By its first character, what may begin there: for most characters nothing. */
static uint8_t begins[256];

/* Before main, so that nobody has to remember it and no thread races. */
__attribute__((constructor)) static void
fill_begins(void)
{
	begins['-'] |= PEM;
	begins['e'] |= JWT;
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		begins[(uint8_t)services[i].prefix[0]] |= CLOUD_KEY;
	for (size_t i = 0; i < sizeof(issuers) / sizeof(issuers[0]); i++)
		for (unsigned d = 0; d <= 9; d++)
			if (d >= issuers[i].from / 1000 &&
			    d <= issuers[i].to / 1000)
				begins['0' + d] |= CARD;
}

static const struct pattern {
	const char *what;
	size_t (*match)(struct guard *g, size_t at); /* its length, 0: no */
	unsigned begins;
} patterns[] = {
	{ "pem", pem, PEM },
	{ "jwt", jwt, JWT },
	{ "cloud_key", cloud_key, CLOUD_KEY },
	{ "card", card, CARD },
};

void
guard_begin(struct guard *g, const char *text, size_t len)
{
	*g = (struct guard){ .text = text, .len = len };
}

/* A word begins at its first letter or digit: nothing is found in the middle
 * of an id, a hash or a longer number. */
static bool
word_begins(const struct guard *g, size_t at)
{
	return at == 0 || !alnum(g->text[at - 1]);
}

static bool
match(struct guard *g, unsigned may, struct guard_hit *hit)
{
	if ((may & PEM) == 0 && !word_begins(g, g->at))
		return false;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if ((may & patterns[i].begins) != 0 &&
		    (hit->len = patterns[i].match(g, g->at)) != 0) {
			hit->what = patterns[i].what;
			return true;
		}
	}
	return false;
}

bool
guard_next(struct guard *g, struct guard_hit *hit)
{
	for (; g->at < g->len; g->at++) {
		unsigned may = begins[(uint8_t)g->text[g->at]];

		if (may == 0 || !match(g, may, hit))
			continue;
		hit->at = g->at;
		g->at += hit->len;
		return true;
	}
	return false;
}

size_t
guard_digits(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < GUARD_CARD_DIGITS_MAX; i++) {
		if (digit(text[i]))
			out[n++] = text[i];
	}
	return n;
}
