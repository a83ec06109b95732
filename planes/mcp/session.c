/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of 2025-11-25: a name that initialize gives out, good for whoever
 * showed the credential then. They hold nothing and allow nothing: every
 * request brings its credential. In memory only: after a restart clients are
 * told 404, and begin again, as the specification wants it.
 */
#include "mcp.h"

#include <aegis/secret.h>

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ag_err
session_init(struct mcp *mcp)
{
	size_t i;

	TAILQ_INIT(&mcp->sessions);
	TAILQ_INIT(&mcp->streams);
	mcp->session_rows = calloc(MCP_SESSIONS_MAX, sizeof(*mcp->session_rows));
	if (mcp->session_rows == NULL)
		return AG_NO_MEMORY;
	for (i = 0; i < MCP_SESSIONS_MAX; i++)
		TAILQ_INSERT_TAIL(&mcp->sessions, &mcp->session_rows[i], link);
	return AG_OK;
}

void
session_fini(struct mcp *mcp)
{
	free(mcp->session_rows);
	mcp->session_rows = NULL;
}

static void
own(const char *credential, uint8_t owner[32])
{
	ag_sha256(credential == NULL ? "" : credential,
	    credential == NULL ? 0 : strlen(credential), owner);
}

static void
touch(struct mcp *mcp, struct session *session)
{
	TAILQ_REMOVE(&mcp->sessions, session, link);
	TAILQ_INSERT_TAIL(&mcp->sessions, session, link);
}

void
session_begin(struct mcp *mcp, const char *credential, const char *version,
    char out[MCP_SESSION_TEXT])
{
	struct session *session = TAILQ_FIRST(&mcp->sessions);
	char hex[2 * sizeof(session->secret) + 1];

	if (session->open)
		session_end(mcp, session);
	if (RAND_bytes(session->secret, sizeof(session->secret)) != 1)
		ag_panic("no random bytes");
	own(credential, session->owner);
	snprintf(session->version, sizeof(session->version), "%s", version);
	session->open = true;
	touch(mcp, session);
	ag_hex(session->secret, sizeof(session->secret), hex);
	snprintf(out, MCP_SESSION_TEXT, "%04x%s",
	    (unsigned)(session - mcp->session_rows) & 0xffff, hex);
}

static struct session *
session_find(struct mcp *mcp, const char *name, const char *credential)
{
	char hex[2 * sizeof(((struct session *)0)->secret) + 1];
	struct session *session;
	uint8_t owner[32];
	unsigned place;

	if (strlen(name) != 4 + 2 * sizeof(session->secret) ||
	    sscanf(name, "%4x", &place) != 1 || place >= MCP_SESSIONS_MAX)
		return NULL;
	session = &mcp->session_rows[place];
	ag_hex(session->secret, sizeof(session->secret), hex);
	own(credential, owner);
	if (!session->open ||
	    CRYPTO_memcmp(hex, name + 4, sizeof(hex) - 1) != 0 ||
	    CRYPTO_memcmp(owner, session->owner, sizeof(owner)) != 0)
		return NULL;
	touch(mcp, session);
	return session;
}

struct session *
session_named(struct conn *conn)
{
	const char *name = http_field(&conn->in, FIELD_MCP_SESSION);

	return name == NULL ? NULL : session_find(mcp_of(conn), name,
	    request_credential(conn));
}

void
session_end(struct mcp *mcp, struct session *session)
{
	struct mcp_conn *at, *next;

	session->open = false;
	TAILQ_REMOVE(&mcp->sessions, session, link);
	TAILQ_INSERT_HEAD(&mcp->sessions, session, link);
	for (at = TAILQ_FIRST(&mcp->streams); at != NULL; at = next) {
		next = TAILQ_NEXT(at, stream_link);
		if (at->session != session)
			continue;
		session_forget(&at->conn);
		stream_finish(&at->conn);
	}
}

/* -------------------------------------------------------------- its streams */

/* Nothing is sent here but the signs of life: what changes for a client, it
 * asks for. The specification lets a server listen to nobody; a stream tells
 * the client when its session ends. */
void
session_stream(struct conn *conn, struct session *session)
{
	struct mcp_conn *mc = mcp_conn_of(conn);

	if (session != NULL) {
		mc->session = session;
		TAILQ_INSERT_TAIL(&mcp_of(conn)->streams, mc, stream_link);
		mc->in_streams = true;
	}
	stream_begin(conn, "X-Accel-Buffering: no\r\n");
}

void
session_forget(struct conn *conn)
{
	struct mcp_conn *mc = mcp_conn_of(conn);

	if (mc->in_streams)
		TAILQ_REMOVE(&mcp_of(conn)->streams, mc, stream_link);
	mc->in_streams = false;
}

static void
stream_ignore(struct conn *conn)
{
	(void)conn; /* there is nothing to send or to stop */
}

static void
stream_end(struct conn *conn, const char *code)
{
	(void)code;
	stream_finish(conn);
}

const struct protocol_stream mcp_stream = {
	.keep_alive = stream_keep_alive,
	.written = stream_ignore,
	.stop = stream_ignore,
	.end = stream_end,
};
