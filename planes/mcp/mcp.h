/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What MCP adds to a plane over HTTP: calls instead of routes, sessions of the
 * older era, and how requests and answers are worded.
 */
#ifndef MCP_MCP_H
#define MCP_MCP_H

#include "message.h"
#include "plane.h"

enum {
	MCP_SESSIONS_MAX = 4096, /* the one unused for longest ends for a new one */
	MCP_SESSION_TEXT = 41,   /* place and 16 random bytes, in hex; NUL included */
	MCP_LIST_TTL_MS = 30000, /* how long a list of tools may be kept */
	MCP_BASE_SIZE = 300,     /* "https://mcp.example.com" */
	STATE_SERIALS = 65536,   /* of requestState: so many are remembered */
	STATE_TEXT_SIZE = 320,
};

enum mcp_page { PAGE_RESOURCE = 1 };

struct session {
	TAILQ_ENTRY(session) link; /* by use, the latest last; or free */
	bool open;
	uint8_t secret[16];
	uint8_t owner[32]; /* SHA-256 of the credential that began it */
	char version[CALL_VERSION_SIZE];
};
TAILQ_HEAD(session_list, session);

struct mcp_conn {
	struct conn conn;
	struct call call;
	struct session *session; /* of a stream */
	TAILQ_ENTRY(mcp_conn) stream_link;
	bool in_streams;
};
TAILQ_HEAD(mcp_streams, mcp_conn);

struct mcp {
	struct plane plane;
	struct session_list sessions;
	struct session *session_rows; /* MCP_SESSIONS_MAX */
	struct mcp_streams streams;   /* of sessions */
	struct text *definitions;     /* of each tool, printed once */
	struct remotes remotes;
	struct ag_secret *state_key;
	uint64_t state_serial; /* of the last one given out */
	uint8_t state_used[STATE_SERIALS / 8];
	const char *approvals_url; /* NULL: there is no page */
	struct text scratch;
	char base[MCP_BASE_SIZE]; /* mcp.public_url; "": as the client says */
	bool loopback; /* the listener is: what a browser is led to is suspicious */
};

static inline struct mcp *
mcp_of(const struct conn *conn)
{
	return (struct mcp *)conn->plane;
}

static inline struct mcp_conn *
mcp_conn_of(const struct conn *conn)
{
	return (struct mcp_conn *)(uintptr_t)conn;
}

/* ---- ask.c: from a whole request to an operation */
void *mcp_bind(struct conn *conn, Ag__Request *request, struct refuse *refuse);

/* ---- result.c, refuse.c: answers */
/* What every result of the current revision begins with. */
void mcp_result_open(const struct call *call, struct text *out);
void mcp_reply(struct conn *conn, const Ag__DeliverEvent *deliver);
void mcp_problem(struct conn *conn, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver);

/* ---- state.c: what a host brings back when people were asked */
ag_err state_init(struct mcp *mcp) AG_MUST;
/* For this caller, and what it calls (mcp_hash). False: no such approval. */
bool state_seal(struct conn *conn, const uint8_t arguments[32],
    const char *approval, int64_t expires_at, char out[STATE_TEXT_SIZE]);
/* The approval, in the pool; it is used up. NULL: refuse says why, in words
 * that are for the log alone. */
const char *state_open(struct conn *conn, const uint8_t arguments[32],
    const char *text, struct refuse *refuse);
bool state_is_fault(const char *reason_code);

/* ---- origin.c: who may call from where, and what this resource is called */
bool mcp_check(struct conn *conn);
void mcp_page(struct conn *conn);
/* "http://127.0.0.1:8471"; false: not to be known. */
bool mcp_base(struct conn *conn, char out[MCP_BASE_SIZE]);

/* ---- session.c: of 2025-11-25 */
ag_err session_init(struct mcp *mcp) AG_MUST;
void session_fini(struct mcp *mcp);
/* A new one of whoever holds the credential; out: its name. */
void session_begin(struct mcp *mcp, const char *credential,
    const char *version, char out[MCP_SESSION_TEXT]);
/* What the request's field names; NULL: nothing that this credential began. */
struct session *session_named(struct conn *conn);
void session_end(struct mcp *mcp, struct session *session);
void session_stream(struct conn *conn, struct session *session);
void session_forget(struct conn *conn); /* the connection ends */
extern const struct protocol_stream mcp_stream;

#endif
