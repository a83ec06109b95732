/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plane's files know of each other. A connection works on one
 * request at a time, so the connection is the request: it stays, without its
 * socket if the client left, until its request has ended.
 */
#ifndef REST_REST_H
#define REST_REST_H

#include "codec.h"
#include "http.h"
#include "memory.h"

#include <aegis/aegis.h>

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

enum {
	REST_LISTEN_FD = 4,         /* the supervisor bound it */
	REST_BUCKETS = 4096,        /* requests in flight, by n */
	REST_SWEEP_MS = 50,
	REST_CREDIT_WAIT_MS = 1000,
	REST_IDLE_MS = 75000,       /* between requests */
	REST_LINGER_MS = 1000,      /* for the client to read a last answer */
	REST_KEEP_ALIVE_MS = 15000, /* of an event stream */
	REST_INPUT_BYTES_MAX = 64 << 10, /* unread, per connection */
	REST_OUTPUT_BYTES_MAX = 8 << 20,
	REST_OUTPUT_TOTAL_MAX = 64 << 20, /* of all connections together … */
	REST_OUTPUT_SMALL = 16 << 10, /* … but that much of each: others' readers are slow */
	REST_BODIES_BYTES_MAX = 256 << 20, /* bodies being read, all connections */
	REST_BATCH_FACTOR = 4,      /* a batch's body may be so much larger */
	REST_PROXIES_MAX = 64,
	REST_USER_AGENT_MAX = 256,
	STREAM_EVENTS_MAX = 1000,   /* on their way to one reader */
	STREAM_BYTES_MAX = 1 << 20,
	LIMIT_ADDRESSES_MAX = 4096,
	LIMIT_REPORT_MS = 10000,
};

enum rest_metric {
	RM_REQUESTS, RM_2XX, RM_4XX, RM_5XX, RM_LATENCY, RM_FRAMING, RM_CONNECTIONS,
	RM_REFUSED_CONNECTIONS, RM_IN_FLIGHT, RM_OVERLOADS, RM_UNRECORDED,
	RM_ADDRESS_LIMITED, RM_TIMEOUTS, RM_STREAMS, RM_LATE,
	RM_TLS_RELOADS, RM_TLS_KEPT, RM_UNSENT, RM_UNSENT_DROPPED,
};

/* Each state is a list in order of its end; one duration a list. */
enum conn_state {
	CONN_NONE,
	CONN_FRESH,  /* connected, not a byte yet */
	CONN_IDLE,   /* between requests */
	CONN_HEAD,
	CONN_BODY,
	CONN_CREDIT, /* waits for admission */
	CONN_ASKED,  /* at iam and beyond */
	CONN_ASKED_SLOW, /* the same, for what may take longer (AG_OP_SLOW) */
	CONN_TOLD,   /* our own outcome is at audit */
	CONN_LOCAL,  /* a public page waits for iam */
	CONN_STREAM,
	CONN_CLOSING, /* the last answer is on its way */
	CONN_STATES,
};

struct rest;

struct conn {
	struct rest *rest;
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
	char address[INET6_ADDRSTRLEN];
	uint8_t address_key[8]; /* what the address limit counts by */

	struct http_reader in;

	/* The request under way. */
	struct conn *next; /* in its bucket */
	uint64_t n;        /* 0: not numbered */
	uint8_t request_id[AG_UUID_BYTES];
	int64_t occurred_at;
	uint64_t received_us;
	size_t credit;     /* bytes taken; 0: none */
	struct refuse own; /* what we told audit */
	unsigned retry_after_s;

	/* An open event stream. */
	struct text early; /* items that came before the answer */
	uint64_t last_seq;
	uint32_t unread;   /* events since the client's last sign of reading */
	size_t counted;      /* of rest->unsent */
};
TAILQ_HEAD(conn_list, conn);

struct limiter;

struct network { /* IPv4 as ::ffff:0:0/96 */
	uint8_t prefix[16];
	unsigned bits;
};

struct rest {
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
	struct conn *buckets[REST_BUCKETS];
	unsigned conn_count, conn_max;
	unsigned in_flight;
	uint64_t n;          /* of the last numbered request of this boot */
	uint64_t owed;       /* answers without a record, not yet told */
	size_t unsent;       /* bytes that no socket took yet, of all connections */
	bool audit_seen;
	bool was_ready;      /* the fleet, once */
	bool draining;
	uint64_t drained_ms; /* when draining ends at the latest */
	struct pool pool;
	struct text out;     /* the answer being printed */
	struct text openapi; /* printed once */
	struct text docs;
	char docs_csp[160];
	char date[40];
	int64_t date_s;
	struct limiter *limiter;
	struct network proxies[REST_PROXIES_MAX];
	unsigned proxy_count;
};

static inline unsigned
rest_iam(struct rest *rest)
{
	return ag_slot(rest->ctx, AG_ROLE_IAM, 0);
}

static inline unsigned
rest_audit(struct rest *rest)
{
	return ag_slot(rest->ctx, AG_ROLE_AUDIT, 0);
}

/* ---- conn.c: sockets */
ag_err conn_listen(struct rest *rest, int fd) AG_MUST;
/* Takes the socket. NULL: refused, closed. */
struct conn *conn_open(struct rest *rest, int fd, const struct sockaddr *peer);
void conn_place(struct conn *conn, enum conn_state state);
void conn_write(struct conn *conn, const void *bytes, size_t len);
/* The request has ended, its answer is written: the next one, or the end. */
void conn_done(struct conn *conn);
/* Takes the socket away at once; the request goes on if there is one. */
void conn_drop(struct conn *conn);
void conn_sweep(struct rest *rest); /* ends what is due */
void conn_drain(struct rest *rest);
void conn_close_all(struct rest *rest);

/* ---- address.c: who is at the other end */
void address_set(struct conn *conn, const struct sockaddr *peer);
void address_trust(struct rest *rest); /* reads rest.trusted_proxies */
bool address_is_trusted(const struct rest *rest, const struct sockaddr *peer);
/* A trusted proxy's X-Forwarded-For replaces its own address. */
void address_forwarded(struct conn *conn);

/* ---- tls.c */
ag_err tls_init(struct rest *rest) AG_MUST;
struct bufferevent *tls_bufferevent(struct rest *rest, int fd);

/* ---- request.c: from a whole HTTP request to its end */
void request_start(struct conn *conn);
/* Refuses by ourselves: recorded first, answered when audit has it. */
void request_refuse(struct conn *conn, ag_err err, const char *reason,
    const char *detail);
void request_refuse_framing(struct conn *conn); /* conn->in.refuse */
void request_timeout(struct conn *conn);       /* the deadline has passed */
void request_unrecorded(struct conn *conn);    /* audit stays silent */
void request_overloaded(struct conn *conn);
void request_admit_waiting(struct rest *rest); /* credit came back */
void request_forget(struct conn *conn);        /* number and credit */
struct conn *request_find(struct rest *rest, uint64_t n);
void request_stamp(struct conn *conn);         /* id and time */
/* An event of the plane's own: how many answers `refuse` stands for. */
bool request_report(struct rest *rest, const struct refuse *refuse,
    const char *address, uint64_t count);
void request_pay_debt(struct rest *rest);
/* trace: 33 bytes, flags: 3; false: no valid traceparent. */
bool request_trace(const struct conn *conn, char *trace, char *flags);

/* ---- answer.c */
void answer_deliver(struct conn *conn, const Ag__DeliverEvent *deliver);
void answer_own(struct conn *conn); /* conn->own as a problem */
void answer_page(struct conn *conn, unsigned status, const char *type,
    const char *extra, const void *body, size_t len);
/* Status line and the fields of every answer, without the empty line. */
void answer_head(struct conn *conn, struct text *out, unsigned status);
const char *answer_id(const struct conn *conn, char out[AG_UUID_TEXT]);

/* ---- limit.c */
ag_err limit_new(struct rest *rest) AG_MUST;
void limit_free(struct rest *rest);
/* Counts a request; false: too many, and *retry_after_s says how long. */
bool limit_allows(struct conn *conn, unsigned *retry_after_s);
void limit_report(struct rest *rest, bool all);

/* ---- sse.c */
void stream_open(struct conn *conn);
void stream_item(struct rest *rest, const Ag__StreamItemEvent *item);
void stream_keep_alive(struct conn *conn);
void stream_written(struct conn *conn); /* the socket took everything */
void stream_stop(struct conn *conn);    /* the client left */
void stream_end(struct conn *conn, const char *code);

/* ---- public.c, openapi.c */
void page_answer(struct conn *conn);
void openapi_print(struct text *out);
void docs_print(struct text *out, char *csp, size_t csp_size);

#endif
