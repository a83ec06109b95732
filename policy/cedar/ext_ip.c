/* SPDX-License-Identifier: Apache-2.0 */
/* ipaddr: addresses and networks of both versions, which never compare. */
#include "ext.h"

#include <arpa/inet.h>

enum { V4_BITS = 32, V6_BITS = 128, TEXT_MAX = 45 };

/* Digits without a leading zero, at most max. */
static bool
parse_prefix(struct ag_cedar_str p, uint64_t max, uint8_t *out)
{
	uint64_t n;

	if (p.len > 1 && *p.p == '0')
		return false;
	if (!cedar_digits(&p, 1, 3, &n) || p.len != 0 || n > max)
		return false;
	*out = (uint8_t)n;
	return true;
}

enum ag_cedar_fault
cedar_ip_of(struct ag_cedar_arena *arena, const struct ag_cedar_value *args,
    struct ag_cedar_value *out)
{
	const struct ag_cedar_str s = args[0].string;
	const char *slash = s.len == 0 ? NULL : memchr(s.p, '/', s.len);
	size_t len = slash == NULL ? s.len : (size_t)(slash - s.p);
	char text[TEXT_MAX + 1] = { 0 };
	struct ag_cedar_ip *ip = ag_cedar_alloc(arena, sizeof(*ip));

	if (ip == NULL)
		return AG_CEDAR_FAULT_MEMORY;
	if (len == 0 || len > TEXT_MAX || memchr(s.p, '\0', len) != NULL)
		return AG_CEDAR_FAULT_EXTENSION;
	memcpy(text, s.p, len);
	ip->is_v6 = strchr(text, ':') != NULL;
	/* Version 4 within version 6 is not of the language. */
	if (ip->is_v6 && strchr(text, '.') != NULL)
		return AG_CEDAR_FAULT_EXTENSION;
	if (inet_pton(ip->is_v6 ? AF_INET6 : AF_INET, text, ip->bytes) != 1)
		return AG_CEDAR_FAULT_EXTENSION;
	ip->prefix = ip->is_v6 ? V6_BITS : V4_BITS;
	ip->text = s;
	if (slash != NULL && !parse_prefix((struct ag_cedar_str){ slash + 1,
	    s.len - len - 1 }, ip->prefix, &ip->prefix))
		return AG_CEDAR_FAULT_EXTENSION;
	*out = (struct ag_cedar_value){ .kind = AG_CEDAR_IPADDR, .ip = ip };
	return AG_CEDAR_FAULT_NONE;
}

int
cedar_ip_order(const struct ag_cedar_ip *a, const struct ag_cedar_ip *b)
{
	if (a->is_v6 != b->is_v6)
		return a->is_v6 ? 1 : -1;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

enum ag_cedar_fault
cedar_ip_is_v4(struct ag_cedar_arena *arena, const struct ag_cedar_value *args,
    struct ag_cedar_value *out)
{
	(void)arena;
	*out = ag_cedar_bool(!args[0].ip->is_v6);
	return AG_CEDAR_FAULT_NONE;
}

enum ag_cedar_fault
cedar_ip_is_v6(struct ag_cedar_arena *arena, const struct ag_cedar_value *args,
    struct ag_cedar_value *out)
{
	(void)arena;
	*out = ag_cedar_bool(args[0].ip->is_v6);
	return AG_CEDAR_FAULT_NONE;
}

/* Is all of a within b? Both of one version: the first bits are the same. */
static bool
within(const struct ag_cedar_ip *a, const struct ag_cedar_ip *b)
{
	unsigned bytes = b->prefix / 8, bits = b->prefix % 8;

	if (a->is_v6 != b->is_v6 || a->prefix < b->prefix ||
	    memcmp(a->bytes, b->bytes, bytes) != 0)
		return false;
	return bits == 0 || ((a->bytes[bytes] ^ b->bytes[bytes]) >> (8 - bits)) == 0;
}

static enum ag_cedar_fault
within_one(const struct ag_cedar_value *arg, const struct ag_cedar_ip *v4,
    const struct ag_cedar_ip *v6, struct ag_cedar_value *out)
{
	*out = ag_cedar_bool(within(arg->ip, arg->ip->is_v6 ? v6 : v4));
	return AG_CEDAR_FAULT_NONE;
}

enum ag_cedar_fault
cedar_ip_is_loopback(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	static const struct ag_cedar_ip v4 = { .bytes = { 127 }, .prefix = 8 },
	    v6 = { .bytes = { [15] = 1 }, .prefix = 128, .is_v6 = true };

	(void)arena;
	return within_one(args, &v4, &v6, out);
}

enum ag_cedar_fault
cedar_ip_is_multicast(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	static const struct ag_cedar_ip v4 = { .bytes = { 224 }, .prefix = 4 },
	    v6 = { .bytes = { 0xff }, .prefix = 8, .is_v6 = true };

	(void)arena;
	return within_one(args, &v4, &v6, out);
}

enum ag_cedar_fault
cedar_ip_in_range(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	(void)arena;
	*out = ag_cedar_bool(within(args[0].ip, args[1].ip));
	return AG_CEDAR_FAULT_NONE;
}
