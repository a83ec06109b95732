/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every sink is made of. A sink is one file with a blocking function that
 * delivers a batch; the feed does the rest: it pulls from audit, keeps what
 * waits within bounds, hands one batch at a time to a thread of its own, tries
 * again after a growing and jittered pause, puts aside what the receiver
 * refuses for good (dead letters), and moves the durable cursor only past what
 * was delivered or put aside. So an event may come twice (its event_id says
 * so), none is missing, and they come in order.
 */
#ifndef SINKS_FEED_H
#define SINKS_FEED_H

#include <aegis/aegis.h>
#include <aegis/event.h>

#include <stdatomic.h>

enum {
	FEED_EVENTS_MAX = 16384,      /* waiting, before no more is pulled */
	FEED_BYTES_MAX = 16 << 20,    /* of them */
	FEED_PULL_EVENTS = 512,       /* may still come after that */
	FEED_BATCH_MAX = 4096,
	FEED_BATCH_BYTES_MAX = 2 << 20,
	FEED_ERROR_MAX = 128,
	FEED_BACKOFF_MS = 100,        /* the first pause; doubles, half of it is chance */
	FEED_PATH_MAX = 4096,
};

/* An event as audit recorded it. */
struct feed_item {
	uint64_t pos;
	int64_t at; /* occurred_at */
	size_t len;
	uint8_t *bytes;
};

struct feed;

/* What the delivering thread gets, and what it says. */
struct feed_batch {
	const struct feed_item *items;
	size_t count; /* 0: nothing to deliver; look after yourself */
	bool hup;     /* SIGHUP came since the last batch */
	size_t done;  /* out: so many of the first ones are delivered */
	char error[FEED_ERROR_MAX]; /* out: why not all; no secret */
	struct feed *feed;
};

struct feed_sink {
	size_t own_size; /* zeroed before open */
	unsigned batch_max; /* unless sinks[].batch says less */
	bool tends; /* deliver is called every second when there is nothing */
	/* Configuration, files; in the loop's thread, before anything is
	 * delivered. AG_USAGE: it is what was configured, no use in trying
	 * again. */
	ag_err (*open)(void *own, struct feed *feed, struct ag_ctx *ctx);
	/*
	 * In the feed's thread; may block, but should look at feed_stopping now
	 * and then and give up within seconds. AG_OK: all are delivered, for
	 * good. AG_BAD_MESSAGE: items[done] is refused for good (if count is
	 * more than one, it is one of those from there on). Anything else: not
	 * now; the same again later.
	 */
	ag_err (*deliver)(void *own, struct feed_batch *batch);
	void (*close)(void *own); /* may be NULL */
};

/* ---- for the sinks */
bool feed_stopping(const struct feed *feed);
/* Something is wrong, and deliver keeps trying by itself. Any thread. */
void feed_trouble(struct feed *feed, const char *fmt, ...) AG_PRINTF(2, 3);
ag_err feed_fail(struct feed_batch *batch, ag_err err, const char *fmt, ...)
    AG_PRINTF(3, 4);
struct ag_ctx *feed_ctx(const struct feed *feed);
/* A member of this sink's row, sinks[].<member>; NULL: not given. */
const char *feed_option(struct feed *feed, const char *member);
int64_t feed_option_int(struct feed *feed, const char *member);
/* A path as configured: absolute, or in the state directory. */
ag_err feed_path(struct feed *feed, const char *path, char out[FEED_PATH_MAX])
    AG_MUST;
/* What the file that sinks[].<member> names holds, without its last newline.
 * AG_USAGE (and said why): unreadable, or others may read it. Not given:
 * AG_OK and NULL. */
ag_err feed_secret(struct feed *feed, const char *member,
    struct ag_secret **out) AG_MUST;
/* The item's event; protobuf_c's allocator; feed_event_free. NULL: memory. */
Ag__Event *feed_event(const struct feed_item *item);
void feed_event_free(Ag__Event *event);
/* "tenant/root of the chain": events with the same key stay in order. */
void feed_key(const Ag__Event *event, char *out, size_t size);

/* ---- the actor around a sink */
enum feed_metric {
	FEED_SENT, FEED_FILTERED, FEED_RETRIES, FEED_REDELIVERED, FEED_DEAD,
	FEED_LAG_EVENTS, FEED_LAG_SECONDS, FEED_CURSOR, FEED_OLDEST, FEED_QUEUED,
	FEED_QUEUED_BYTES, FEED_PAUSED, FEED_FAILING, FEED_METRICS,
};
extern const struct ag_metric_row feed_metrics[FEED_METRICS];
extern const char *const feed_tables[];
extern const struct ag_row feed_rows[1];
ag_err feed_init(void *state, struct ag_ctx *ctx, const struct feed_sink *sink);
ag_err feed_ready(void *state, struct ag_ctx *ctx);
ag_err feed_on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos);
ag_err feed_flush(void *state, struct ag_ctx *ctx);
void feed_drain(void *state, struct ag_ctx *ctx);
void feed_fini(void *state, struct ag_ctx *ctx);

enum { FEED_STATE_BYTES = 16384 }; /* checked by feed_init */

#define FEED_ACTOR(actor_name, sink) \
	static ag_err \
	feed_init_##actor_name(void *state, struct ag_ctx *ctx) \
	{ \
		return feed_init(state, ctx, &(sink)); \
	} \
	const struct ag_actor ag_actor_##actor_name = { \
		.name = #actor_name, \
		.state_size = FEED_STATE_BYTES, \
		.rows = feed_rows, .row_count = 1, \
		.init = feed_init_##actor_name, \
		.ready = feed_ready, \
		.on_audit = feed_on_audit, \
		.audit_skips = ag_event_reasons, \
		.audit_pace_ms = 10, \
		.flush = feed_flush, \
		.drain = feed_drain, \
		.fini = feed_fini, \
		.tables = feed_tables, \
		.metrics = feed_metrics, .metric_count = FEED_METRICS, \
	}

#endif
