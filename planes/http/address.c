/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end: the peer's address, or what a trusted proxy says.
 */
#include "plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* Any address as IPv6; false: neither. */
static bool
to_six(const char *text, uint8_t out[16])
{
	if (inet_pton(AF_INET6, text, out) == 1)
		return true;
	memcpy(out, v4_prefix, sizeof(v4_prefix));
	return inet_pton(AF_INET, text, out + 12) == 1;
}

/* What the limit counts by: an IPv4 address, or an IPv6 site's /64. */
static void
set_key(struct conn *conn, const uint8_t six[16])
{
	static const uint8_t v4[4] = { 0, 0, 0xff, 0xff };

	if (memcmp(six, v4_prefix, sizeof(v4_prefix)) != 0) {
		memcpy(conn->address_key, six, 8);
		return;
	}
	memcpy(conn->address_key, v4, 4);
	memcpy(conn->address_key + 4, six + 12, 4);
}

static bool
peer_six(const struct sockaddr *peer, uint8_t out[16])
{
	const struct sockaddr_in *four = (const void *)peer;
	const struct sockaddr_in6 *six = (const void *)peer;

	if (peer->sa_family == AF_INET6) {
		memcpy(out, &six->sin6_addr, 16);
		return true;
	}
	memcpy(out, v4_prefix, sizeof(v4_prefix));
	memcpy(out + 12, &four->sin_addr, 4);
	return peer->sa_family == AF_INET;
}

/* ::ffff:192.0.2.1 is written 192.0.2.1. */
static void
set_text(struct conn *conn, const uint8_t six[16])
{
	bool four = memcmp(six, v4_prefix, sizeof(v4_prefix)) == 0;

	inet_ntop(four ? AF_INET : AF_INET6, four ? six + 12 : six, conn->address,
	    sizeof(conn->address));
}

static void
set_own(struct conn *conn)
{
	set_key(conn, conn->peer);
	set_text(conn, conn->peer);
	conn->loopback = strncmp(conn->address, "127.", 4) == 0 ||
	    strcmp(conn->address, "::1") == 0;
}

void
address_set(struct conn *conn, const struct sockaddr *peer)
{
	if (peer_six(peer, conn->peer)) {
		set_own(conn);
		return;
	}
	snprintf(conn->address, sizeof(conn->address), "local"); /* a socket pair */
	conn->loopback = true;
}

void
address_trust(struct plane *plane)
{
	const struct ag_config *config = ag_config(plane->ctx);
	struct network *network;
	const char *item, *slash;
	char text[64], key[64];
	unsigned i;
	bool four;

	snprintf(key, sizeof(key), "%s.trusted_proxies", plane->protocol->name);
	for (i = 0; plane->proxy_count < PLANE_PROXIES_MAX && (item =
	    ag_config_get_item(config, key, 0, i)) != NULL; i++) {
		network = &plane->proxies[plane->proxy_count];
		slash = strchr(item, '/');
		snprintf(text, sizeof(text), "%.*s", slash == NULL ?
		    (int)strlen(item) : (int)(slash - item), item);
		four = strchr(text, ':') == NULL;
		network->bits = slash == NULL ? 128 :
		    (unsigned)strtoul(slash + 1, NULL, 10) + (four ? 96 : 0);
		if (network->bits <= 128 && to_six(text, network->prefix))
			plane->proxy_count++;
	}
}

static bool
network_has(const struct network *network, const uint8_t six[16])
{
	unsigned whole = network->bits / 8, rest_bits = network->bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest_bits);

	return memcmp(network->prefix, six, whole) == 0 && (rest_bits == 0 ||
	    ((network->prefix[whole] ^ six[whole]) & mask) == 0);
}

bool
address_is_trusted(const struct plane *plane, const struct sockaddr *peer)
{
	uint8_t six[16];
	unsigned i;

	if (plane->proxy_count == 0 || !peer_six(peer, six))
		return false;
	for (i = 0; i < plane->proxy_count; i++)
		if (network_has(&plane->proxies[i], six))
			return true;
	return false;
}

/* The last address of the list is the one that our proxy saw itself. Without
 * one the request is the proxy's own, not that of whom it spoke for before. */
void
address_forwarded(struct conn *conn)
{
	const char *list = http_field(&conn->in, FIELD_FORWARDED_FOR), *last;
	char text[INET6_ADDRSTRLEN];
	uint8_t six[16];
	size_t len;

	set_own(conn);
	if (list == NULL)
		return;
	last = strrchr(list, ',');
	last = last == NULL ? list : last + 1;
	last += strspn(last, " \t");
	len = strcspn(last, " \t");
	if (len == 0 || len >= sizeof(text))
		return;
	memcpy(text, last, len);
	text[len] = '\0';
	if (!to_six(text, six))
		return;
	conn->loopback = false; /* what a proxy passes on is from elsewhere */
	set_key(conn, six);
	set_text(conn, six);
}
