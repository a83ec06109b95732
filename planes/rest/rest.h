/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What REST adds to a plane: pages, the event stream, and how requests and
 * answers are worded.
 */
#ifndef REST_REST_H
#define REST_REST_H

#include "plane.h"

enum {
	STREAM_EVENTS_MAX = 1000,   /* on their way to one reader */
	STREAM_BYTES_MAX = 1 << 20,
};

/* Pages without credential and record (contract §2). */
enum rest_page {
	PAGE_NONE = 0, /* an operation */
	PAGE_LIVE,
	PAGE_READY,
	PAGE_STARTUP,
	PAGE_METRICS,
	PAGE_OPENAPI,
	PAGE_DOCS,
	PAGE_JWKS,
	PAGE_INFO,
	PAGE_COUNT,
};

struct rest_conn {
	struct conn conn;

	/* An open event stream. */
	struct text early; /* items that came before the answer */
	uint64_t last_seq;
	uint32_t unread;   /* events since the client's last sign of reading */
	unsigned lagged;   /* keep-alive periods since it was told so; 0: it was not */
};

struct health;

struct rest {
	struct plane plane;
	bool was_ready;      /* the fleet, once */
	struct health *health; /* as last read, public.c; NULL: never */
	struct text openapi; /* printed once */
	struct text docs;
	char docs_csp[160];
};

static inline struct rest *
rest_of(const struct conn *conn)
{
	return (struct rest *)conn->plane;
}

extern const struct protocol rest_protocol;

/* ---- bind.c, reply.c, public.c: slots of rest_protocol */
void *rest_bind(struct conn *conn, Ag__Request *request, struct refuse *refuse);
void rest_reply(struct conn *conn, const Ag__DeliverEvent *deliver);
void page_answer(struct conn *conn);
void health_free(struct rest *rest);

/* ---- sse.c */
extern const struct protocol_stream rest_stream;
void stream_open(struct conn *conn, const Ag__DeliverEvent *deliver);
void stream_item(struct plane *plane, const Ag__StreamItemEvent *item);
void stream_forget(struct conn *conn);

/* ---- openapi.c */
void openapi_print(struct text *out);
void docs_print(struct text *out, char *csp, size_t csp_size);

#endif
