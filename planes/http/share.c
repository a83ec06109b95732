/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one address may take of the plane, before anybody knows who it is: a
 * quarter of the connections, and of the bytes of bodies. Loopback and trusted
 * proxies stand for many and are not counted. Addresses share a row by a keyed
 * hash: two that meet in one get less, and nobody can look for another's row.
 */
#include "plane.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4096, PART = 4 };

struct shares {
	uint64_t salt;
	unsigned conn_max;
	struct share {
		unsigned conns;
		struct http_bodies bodies;
	} rows[ROWS];
};

ag_err
share_new(struct plane *plane)
{
	struct shares *shares = calloc(1, sizeof(*shares));
	unsigned i;

	plane->shares = shares;
	if (shares == NULL || RAND_bytes((uint8_t *)&shares->salt,
	    sizeof(shares->salt)) != 1)
		return AG_NO_MEMORY;
	shares->salt |= 1;
	shares->conn_max = (plane->conn_max + PART - 1) / PART;
	for (i = 0; i < ROWS; i++)
		shares->rows[i].bodies.max = plane->bodies.max / PART;
	return AG_OK;
}

void
share_free(struct plane *plane)
{
	free(plane->shares);
	plane->shares = NULL;
}

bool
share_take(struct conn *conn)
{
	struct shares *shares = conn->plane->shares;
	struct share *share;
	uint64_t key;

	if (conn->loopback || conn->proxied)
		return true;
	memcpy(&key, conn->address_key, sizeof(key));
	key = (key ^ key >> 32) * shares->salt;
	share = &shares->rows[(key ^ key >> 29) >> 20 & (ROWS - 1)];
	if (share->conns >= shares->conn_max)
		return false;
	share->conns++;
	conn->share = share;
	conn->in.own_bodies = &share->bodies;
	return true;
}

void
share_give(struct conn *conn)
{
	if (conn->share != NULL)
		conn->share->conns--;
	conn->share = NULL;
}
