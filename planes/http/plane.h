/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every plane that is reached over HTTP/1.1 has: connections, bounds,
 * numbered requests on the ring, their records and answers. What a plane says
 * in its own words are the slots of struct protocol. A connection works on one
 * request at a time, so the connection is the request: it stays, without its
 * socket if the client left, until its request has ended.
 */
#ifndef PLANE_PLANE_H
#define PLANE_PLANE_H

#include "codec.h"
#include "http.h"
#include "memory.h"

#include <aegis/aegis.h>

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#ifndef AEGIS_VERSION
#define AEGIS_VERSION "0.1.0"
#endif

enum {
	PLANE_LISTEN_FD = 4,         /* the supervisor bound it */
	PLANE_BUCKETS = 4096,        /* requests in flight, by n */
	PLANE_SWEEP_MS = 50,
	PLANE_CREDIT_WAIT_MS = 1000,
	PLANE_IDLE_MS = 75000,       /* between requests */
	PLANE_LINGER_MS = 1000,      /* for the client to read a last answer */
	PLANE_KEEP_ALIVE_MS = 15000, /* of an event stream */
	PLANE_INPUT_BYTES_MAX = 64 << 10, /* unread, per connection */
	PLANE_OUTPUT_BYTES_MAX = 8 << 20,
	PLANE_OUTPUT_TOTAL_MAX = 64 << 20, /* of all connections together … */
	PLANE_OUTPUT_SMALL = 16 << 10, /* … but that much of each: others' readers are slow */
	PLANE_BODIES_BYTES_MAX = 256 << 20, /* bodies being read, all connections */
	PLANE_BATCH_FACTOR = 4,      /* a batch's body may be so much larger */
	PLANE_PROXIES_MAX = 64,
	PLANE_USER_AGENT_MAX = 256,
	LIMIT_ADDRESSES_MAX = 4096,
	LIMIT_REPORT_MS = 10000,
	LIMIT_TOLD_MAX = 64,      /* refusals in a row; then it is not read for a while: */
	LIMIT_CALM_MS = 200,
};

enum plane_metric {
	PM_REQUESTS, PM_2XX, PM_4XX, PM_5XX, PM_INVALID, PM_LATENCY, PM_FRAMING, PM_CONNECTIONS,
	PM_REFUSED_CONNECTIONS, PM_IN_FLIGHT, PM_OVERLOADS, PM_UNRECORDED,
	PM_ADDRESS_LIMITED, PM_TIMEOUTS, PM_STREAMS, PM_LATE,
	PM_TLS_RELOADS, PM_TLS_KEPT, PM_UNSENT, PM_UNSENT_DROPPED,
};

/* Each state is a list in order of its end; one duration a list. */
enum conn_state {
	CONN_NONE,
	CONN_FRESH,  /* connected, not a byte yet */
	CONN_IDLE,   /* between requests */
	CONN_HEAD,
	CONN_BODY,
	CONN_CALM,   /* over its address's limit again and again: not read */
	CONN_CREDIT, /* waits for admission */
	CONN_ASKED,  /* at iam and beyond */
	CONN_ASKED_SLOW, /* the same, for what may take longer (AG_OP_SLOW) */
	CONN_TOLD,   /* our own outcome is at audit */
	CONN_LOCAL,  /* a public page waits for iam */
	CONN_STREAM,
	CONN_CLOSING, /* the last answer is on its way */
	CONN_STATES,
};

struct plane;
struct conn;

/* What is a protocol's own. Every slot is required but those that say so. */
struct protocol {
	const char *name;  /* of its section in the configuration */
	size_t conn_size;  /* of what begins with struct conn */
	/* May this request be looked at? False: it refused. NULL: any may. */
	bool (*check)(struct conn *conn);
	/* A whole request whose route is no operation. Answers. NULL: there are no
	 * such routes. */
	void (*page)(struct conn *conn);
	/*
	 * The message of conn->op, which it may set, from the request: in the
	 * plane's pool. Fills what else iam must know. NULL: refuse says why, and
	 * iam refuses conn->op with it, once it knows who asked.
	 */
	void *(*bind)(struct conn *conn, Ag__Request *request,
	    struct refuse *refuse);
	/* Answers no. deliver: NULL when the plane refuses by itself. */
	void (*problem)(struct conn *conn, const Ag__Refusal *refusal,
	    const Ag__DeliverEvent *deliver);
	/* Answers with what conn->op came to. */
	void (*reply)(struct conn *conn, const Ag__DeliverEvent *deliver);
	/* What the request left behind is forgotten. NULL: nothing. */
	void (*forget)(struct conn *conn);
	/* Of a connection in CONN_STREAM. NULL: there are none. */
	const struct protocol_stream {
		void (*keep_alive)(struct conn *conn);
		void (*written)(struct conn *conn); /* the socket took everything */
		void (*stop)(struct conn *conn);    /* the client left */
		void (*end)(struct conn *conn, const char *code);
	} *stream;
};

struct conn {
	struct plane *plane;
	struct bufferevent *bev; /* NULL: the client left */
	TAILQ_ENTRY(conn) link;
	enum conn_state state;
	uint64_t due_ms;
	bool plain;     /* no TLS: answers go straight to the socket */
	bool eof;       /* the client sends no more */
	bool broken;    /* the socket failed while writing */
	bool deaf;      /* reads no more until it is answered */
	bool *gone;     /* set when freed, while its input is worked through */
	bool last;      /* close after this answer */
	bool loopback;
	bool proxied;   /* the peer is a trusted proxy */
	uint8_t peer[16]; /* the socket's other end, as IPv6 */
	char address[INET6_ADDRSTRLEN]; /* its own, or what a proxy says */
	uint8_t address_key[8]; /* what the address limit counts by */

	struct http_reader in;

	/* The request under way. */
	struct conn *next; /* in its bucket */
	const struct ag_operation *op; /* NULL: of no operation */
	uint64_t n;        /* 0: not numbered */
	uint8_t request_id[AG_UUID_BYTES];
	int64_t occurred_at;
	uint64_t received_us;
	size_t credit;     /* bytes taken; 0: none */
	struct refuse own; /* what we told audit */
	unsigned retry_after_s;
	unsigned limited;  /* refusals for the address's limit in a row */
	size_t counted;    /* of plane->unsent */
	struct share *share; /* of its address, share.c; NULL: not counted */
};
TAILQ_HEAD(conn_list, conn);

struct limiter;
struct shares;
struct share;

struct network { /* IPv4 as ::ffff:0:0/96 */
	uint8_t prefix[16];
	unsigned bits;
};

struct plane {
	const struct protocol *protocol;
	struct ag_ctx *ctx;
	struct event_base *base; /* NULL in the kit */
	struct evconnlistener *listener;
	SSL_CTX *tls;        /* NULL: plain */
	uint64_t tls_seen;   /* its files, as of the last look */
	uint64_t tls_tried;  /* as they were when they were last read */
	struct http_limits limits;
	struct http_bodies bodies;
	unsigned state_ms[CONN_STATES];
	struct conn_list lists[CONN_STATES];
	struct conn *buckets[PLANE_BUCKETS];
	unsigned conn_count, conn_max;
	unsigned in_flight;
	uint64_t n;          /* of the last numbered request of this boot */
	uint64_t owed;       /* answers without a record, not yet told */
	uint64_t owed_ms;    /* when the last of them left */
	size_t unsent;       /* bytes that no socket took yet, of all connections */
	bool audit_seen;
	bool draining;
	bool tracing;
	double trace_sample; /* of what comes without a trace: 0 to 1 */
	uint64_t drained_ms; /* when draining ends at the latest */
	struct pool pool;
	struct text out;     /* the answer being printed */
	char date[40];
	int64_t date_s;
	struct limiter *limiter;
	struct shares *shares;
	struct network proxies[PLANE_PROXIES_MAX];
	unsigned proxy_count;
};

static inline unsigned
plane_iam(struct plane *plane)
{
	return ag_slot(plane->ctx, AG_ROLE_IAM, 0);
}

static inline unsigned
plane_audit(struct plane *plane)
{
	return ag_slot(plane->ctx, AG_ROLE_AUDIT, 0);
}

/* ---- conn.c: sockets */
ag_err conn_listen(struct plane *plane, int fd) AG_MUST;
/* Takes the socket. NULL: refused, closed. */
struct conn *conn_open(struct plane *plane, int fd, const struct sockaddr *peer);
void conn_place(struct conn *conn, enum conn_state state);
void conn_write(struct conn *conn, const void *bytes, size_t len);
/* The request has ended, its answer is written: the next one, or the end. */
void conn_done(struct conn *conn);
/* Takes the socket away at once; the request goes on if there is one. */
void conn_drop(struct conn *conn);
void conn_sweep(struct plane *plane); /* ends what is due */
void conn_drain(struct plane *plane);
void conn_close_all(struct plane *plane);

/* ---- address.c: who is at the other end */
void address_set(struct conn *conn, const struct sockaddr *peer);
void address_trust(struct plane *plane); /* reads trusted_proxies */
bool address_is_trusted(const struct plane *plane, const struct sockaddr *peer);
/* A trusted proxy's X-Forwarded-For replaces its own address, for one request. */
void address_forwarded(struct conn *conn);

/* ---- share.c: what one address may take. After plane->conn_max is known. */
ag_err share_new(struct plane *plane) AG_MUST;
void share_free(struct plane *plane);
bool share_take(struct conn *conn); /* false: its address has its part */
void share_give(struct conn *conn);

/* ---- stream.c: an answer without end; the connection is in CONN_STREAM */
void stream_begin(struct conn *conn, const char *extra); /* head; extra: fields */
void stream_write(struct conn *conn, const char *text, size_t len);
void stream_finish(struct conn *conn); /* ends the answer and the connection */
void stream_keep_alive(struct conn *conn); /* a comment that says nothing */

/* ---- tls.c */
ag_err tls_init(struct plane *plane) AG_MUST;
struct bufferevent *tls_bufferevent(struct plane *plane, int fd);

/* ---- plane.c: the actor's slots; state begins with struct plane */
ag_err plane_init(void *state, struct ag_ctx *ctx,
    const struct protocol *protocol) AG_MUST;
ag_err plane_ready(void *state, struct ag_ctx *ctx) AG_MUST;
void plane_peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up);
void plane_drain(void *state, struct ag_ctx *ctx);
void plane_fini(void *state, struct ag_ctx *ctx);
ag_err plane_on_deliver(void *state, struct ag_ctx *ctx, const void *msg) AG_MUST;
/* Settings of the plane's own section: "limits.header_s". */
int64_t plane_config_int(struct plane *plane, const char *key);
const char *plane_config_str(struct plane *plane, const char *key);

/* What every plane counts, under its own name. */
#define PLANE_METRICS(plane) \
	[PM_REQUESTS] = { plane "_requests_total", "Requests received", AG_COUNTER }, \
	[PM_2XX] = { plane "_answers_2xx_total", "Answers of success", AG_COUNTER }, \
	[PM_4XX] = { plane "_answers_4xx_total", "Answers that refuse", AG_COUNTER }, \
	[PM_5XX] = { plane "_answers_5xx_total", "Answers of failure", AG_COUNTER }, \
	[PM_INVALID] = { plane "_validation_failed_total", "Requests refused for what they say (400, 413, 415, 422)", AG_COUNTER }, \
	[PM_LATENCY] = { plane "_latency_seconds", "From the request's last byte to its answer", AG_HISTOGRAM_US }, \
	[PM_FRAMING] = { plane "_bad_framing_total", "Requests that are not HTTP, too large or too slow", AG_COUNTER }, \
	[PM_CONNECTIONS] = { plane "_connections", "Open connections", AG_GAUGE }, \
	[PM_REFUSED_CONNECTIONS] = { plane "_connections_refused_total", "Connections beyond the bound", AG_COUNTER }, \
	[PM_IN_FLIGHT] = { plane "_in_flight", "Requests under way, streams included", AG_GAUGE }, \
	[PM_OVERLOADS] = { plane "_overloads_total", "Requests refused for want of credit", AG_COUNTER }, \
	[PM_UNRECORDED] = { plane "_unrecorded_total", "Answers 503 without a record", AG_COUNTER }, \
	[PM_ADDRESS_LIMITED] = { plane "_address_limited_total", "Requests beyond an address's limit", AG_COUNTER }, \
	[PM_TIMEOUTS] = { plane "_timeouts_total", "Requests whose deadline passed", AG_COUNTER }, \
	[PM_STREAMS] = { plane "_streams_total", "Event streams opened", AG_COUNTER }, \
	[PM_UNSENT] = { plane "_unsent_bytes", "Output that waits for slow readers", AG_GAUGE }, \
	[PM_UNSENT_DROPPED] = { plane "_unsent_dropped_total", "Connections closed because output waited beyond its bound", AG_COUNTER }, \
	[PM_TLS_RELOADS] = { plane "_tls_reloads_total", "New certificates taken while running", AG_COUNTER }, \
	[PM_TLS_KEPT] = { plane "_tls_kept_total", "New certificates that were no good: the old one stays", AG_COUNTER }, \
	[PM_LATE] = { plane "_late_total", "Answers that nobody waited for any more", AG_COUNTER }

/* ---- request.c: from a whole HTTP request to its end */
void request_start(struct conn *conn);
/* The bearer token; "" if it is something else; NULL: none. */
const char *request_credential(const struct conn *conn);
/* What the head says of a request beside its body: credential, conditions,
 * Idempotency-Key under `route`. For the slot `bind`; false: refused. */
bool request_conditions(struct conn *conn, Ag__Request *request,
    struct refuse *refuse);
/* Refuses by ourselves: recorded first, answered when audit has it. */
void request_refuse(struct conn *conn, ag_err err, const char *reason,
    const char *detail);
void request_refuse_framing(struct conn *conn); /* conn->in.refuse */
void request_timeout(struct conn *conn);       /* the deadline has passed */
void request_unrecorded(struct conn *conn);    /* audit stays silent */
void request_overloaded(struct conn *conn);
void request_admit_waiting(struct plane *plane); /* credit came back */
void request_forget(struct conn *conn);        /* number and credit */
struct conn *request_find(struct plane *plane, uint64_t n);
void request_stamp(struct conn *conn);         /* id and time */
/* An event of the plane's own: how many answers `refuse` stands for. */
bool request_report(struct plane *plane, const struct refuse *refuse,
    const char *address, uint64_t count);
void request_pay_debt(struct plane *plane, bool now);

/* ---- trace.c: W3C Trace Context */
void trace_config(struct plane *plane);
/* The id of its trace, and whether its stations are asked for their times. */
void trace_fill(const struct conn *conn, Ag__Request *request);
/* The header traceparent, if there is a trace. */
void trace_answer(const struct conn *conn, struct text *out);

/* ---- answer.c */
void answer_deliver(struct conn *conn, const Ag__DeliverEvent *deliver);
void answer_own(struct conn *conn); /* conn->own as a problem */
void answer_failed(struct conn *conn, const char *detail);
void answer_page(struct conn *conn, unsigned status, const char *type,
    const char *extra, const void *body, size_t len);
/* The parts of an answer in their order: status line and the fields of every
 * answer; limits; Content-Type (NULL: none) with the end of the head, which returns
 * where the body begins; and when the body is there, off it goes. */
void answer_head(struct conn *conn, struct text *out, unsigned status);
void answer_rate(struct text *out, const Ag__DeliverEvent *deliver);
void answer_retry(struct conn *conn, struct text *out, const Ag__Refusal *refusal);
size_t answer_type(struct text *out, const char *type);
void answer_send(struct conn *conn, unsigned status, size_t body_at, bool wipe);
/* The reply of conn->op, opened if it came sealed, in the turn's arena; NULL:
 * not what it should be, and answered so. */
void *answer_open(struct conn *conn, const Ag__DeliverEvent *deliver);
/* Does the answer hold something that is shown once? */
bool answer_is_secret(const struct ag_operation *op);
/* The slot `problem` of a plane that speaks RFC 9457. */
void answer_problem(struct conn *conn, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver);
/* The problem alone, as a JSON object. */
/* acr_values="…" (RFC 9470 §3): what the challenge can be answered by. */
void answer_acr(struct text *out, const Ag__Refusal *refusal);
void answer_problem_print(struct conn *conn, struct text *out,
    const Ag__Refusal *refusal);
const char *answer_id(const struct conn *conn, char out[AG_UUID_TEXT]);

/* ---- limit.c */
ag_err limit_new(struct plane *plane) AG_MUST;
void limit_free(struct plane *plane);
/* Counts a request; false: too many, and *retry_after_s says how long. */
bool limit_allows(struct conn *conn, unsigned *retry_after_s);
void limit_report(struct plane *plane, bool all);

#endif
