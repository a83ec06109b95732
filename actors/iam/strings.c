/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of scopes and networks, parsed once when a fact is applied. */
#include "iam.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

ag_err
iam_scopes_make(char *const *texts, size_t count, struct iam_scopes *out)
{
	size_t bytes = count * sizeof(struct ag_scope);
	char *text;

	memset(out, 0, sizeof(*out));
	if (count == 0)
		return AG_OK;
	for (size_t i = 0; i < count; i++)
		bytes += strlen(texts[i]) + 1;
	out->items = malloc(bytes);
	if (out->items == NULL)
		return AG_NO_MEMORY;
	text = (char *)(out->items + count);
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(texts[i]) + 1;

		memcpy(text, texts[i], n);
		if (!ag_scope_parse(text, &out->items[i])) {
			iam_scopes_free(out);
			return AG_INVALID_FIELD;
		}
		text += n;
	}
	out->count = count;
	return AG_OK;
}

void
iam_scopes_free(struct iam_scopes *scopes)
{
	free(scopes->items);
	memset(scopes, 0, sizeof(*scopes));
}

/* ------------------------------------------------------------- addresses */

/* IPv4-mapped IPv6 addresses are IPv4. */
static bool
address_parse(const char *text, uint8_t *family, uint8_t out[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(out, 0, 16);
	if (inet_pton(AF_INET, text, out) == 1) {
		*family = 4;
		return true;
	}
	if (inet_pton(AF_INET6, text, out) != 1)
		return false;
	*family = 6;
	if (memcmp(out, mapped, sizeof(mapped)) == 0) {
		memmove(out, out + 12, 4);
		memset(out + 4, 0, 12);
		*family = 4;
	}
	return true;
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

bool
iam_cidr_parse(const char *text, struct iam_cidr *out)
{
	char address[64];
	const char *slash = strchr(text, '/');
	unsigned max, bits = 0;

	memset(out, 0, sizeof(*out));
	if (slash == NULL || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (strchr(address, '.') != NULL && strchr(address, ':') != NULL)
		return false; /* the prefix length would be ambiguous */
	if (!address_parse(address, &out->family, out->net))
		return false;
	max = out->family == 4 ? 32 : 128;
	if (slash[1] == '\0' || strlen(slash + 1) > 3 ||
	    strspn(slash + 1, "0123456789") != strlen(slash + 1))
		return false;
	for (const char *p = slash + 1; *p != '\0'; p++)
		bits = bits * 10 + (unsigned)(*p - '0');
	if (bits > max || (slash[1] == '0' && slash[2] != '\0'))
		return false;
	out->bits = (uint8_t)bits;
	/* Host bits set is a mistake that would silently widen the network. */
	for (unsigned i = bits; i < max; i++)
		if ((out->net[i / 8] >> (7 - i % 8) & 1) != 0)
			return false;
	return true;
}

bool
iam_cidr_has(const struct iam_cidr *cidr, const char *address)
{
	uint8_t family, bytes[16];

	return address != NULL && address_parse(address, &family, bytes) &&
	    family == cidr->family && bits_equal(cidr->net, bytes, cidr->bits);
}
