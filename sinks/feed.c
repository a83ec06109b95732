/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: what every sink is made of (feed.h).
 * Hears events of the audit log, sink_order_ask (history). Says nothing.
 * Keeps whether it is paused, and its place in the log.
 *
 * Two threads: the loop's, and one that delivers. What waits is a ring; the
 * batch under way is its oldest part and stays there until it is dealt with, so
 * the other thread reads what the loop does not touch.
 */
#include "feed.h"
#include "dead.h"

#include <event2/event.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	TICK_MS = 1000,
	DRAIN_MS = 2000,
	ROOM = FEED_EVENTS_MAX + FEED_PULL_EVENTS,
	BACKOFF_SHIFT_MAX = 16,
};

enum { T_FEED };
const char *const feed_tables[] = { "feed", NULL };

const struct ag_metric_row feed_metrics[FEED_METRICS] = {
	[FEED_SENT] = { "sink_sent_total", "Events delivered", AG_COUNTER },
	[FEED_FILTERED] = { "sink_filtered_total", "Events that this sink does not send", AG_COUNTER },
	[FEED_RETRIES] = { "sink_retries_total", "Batches that were tried again", AG_COUNTER },
	[FEED_REDELIVERED] = { "sink_redelivered_total", "Dead letters that were delivered after all", AG_COUNTER },
	[FEED_DEAD] = { "sink_dead_letters", "Events in the dead-letter file", AG_GAUGE },
	[FEED_LAG_EVENTS] = { "audit_lag_events", "Events recorded and not yet delivered", AG_GAUGE },
	[FEED_LAG_SECONDS] = { "audit_lag_seconds", "Age of the oldest event not yet delivered", AG_GAUGE },
	[FEED_CURSOR] = { "sink_cursor", "Position of the oldest event not yet delivered", AG_GAUGE },
	[FEED_OLDEST] = { "sink_oldest_ms", "When it happened; 0: there is none", AG_GAUGE },
	[FEED_QUEUED] = { "sink_queued_events", "Events waiting in memory", AG_GAUGE },
	[FEED_QUEUED_BYTES] = { "sink_queued_bytes", "Bytes of them", AG_GAUGE },
	[FEED_PAUSED] = { "sink_paused", "1: paused by a person", AG_GAUGE },
	[FEED_FAILING] = { "sink_failing", "1: the last try failed", AG_GAUGE },
};

struct feed {
	const struct feed_sink *sink;
	void *own;
	struct ag_ctx *ctx;
	const char *name;          /* fleet row */
	unsigned types;            /* bit of each event type that is sent */
	struct feed_item *ring;    /* ROOM */
	size_t head, count, bytes;
	struct feed_item *flight;  /* batch_max: the batch under way */
	struct feed_batch batch;
	size_t max;                /* sinks[].batch */
	size_t limit;              /* now: less after a refusal */
	unsigned tries;            /* of the batch under way, failed */
	unsigned refusals;         /* of one event alone */
	bool busy;                 /* the other thread has a batch */
	bool again;                /* it is of dead letters */
	bool waiting;              /* for the end of a pause between tries */
	bool paused, ready, tend, hup, failing;
	bool troubled; /* by feed_trouble: only a delivery ends it */
	atomic_bool stopping;
	struct dead dead;
	struct event *hup_event;
	bool draining;
	pthread_mutex_t own_lock;  /* held while deliver runs */
	pthread_mutex_t lock;
	char trouble[FEED_ERROR_MAX]; /* under lock; "": none new */
};

/* ------------------------------------------------------------ for the sinks */

bool
feed_stopping(const struct feed *feed)
{
	return atomic_load(&feed->stopping);
}

void
feed_trouble(struct feed *feed, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&feed->lock);
	va_start(ap, fmt);
	vsnprintf(feed->trouble, sizeof(feed->trouble), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&feed->lock);
}

ag_err
feed_fail(struct feed_batch *batch, ag_err err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(batch->error, sizeof(batch->error), fmt, ap);
	va_end(ap);
	return err;
}

struct ag_ctx *
feed_ctx(const struct feed *feed)
{
	return feed->ctx;
}

Ag__Event *
feed_event(const struct feed_item *item)
{
	return ag__event__unpack(NULL, item->len, item->bytes);
}

void
feed_event_free(Ag__Event *event)
{
	ag__event__free_unpacked(event, NULL);
}

void
feed_key(const Ag__Event *event, char *out, size_t size)
{
	const char *root = event->n_chain > 0 ? event->chain[0]->id :
	    event->actor != NULL && event->actor->id != NULL ?
	    event->actor->id : "-";

	snprintf(out, size, "%s/%s", event->tenant, root);
}

/* ----------------------------------------------------------------- the ring */

static struct feed_item *
ring_at(const struct feed *feed, size_t i)
{
	return &feed->ring[(feed->head + i) % ROOM];
}

static void
ring_drop(struct feed *feed, size_t n)
{
	for (; n > 0; n--) {
		struct feed_item *item = ring_at(feed, 0);

		feed->bytes -= item->len;
		free(item->bytes);
		item->bytes = NULL;
		feed->head = (feed->head + 1) % ROOM;
		feed->count--;
	}
}

ag_err
feed_on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos)
{
	struct feed *feed = state;
	struct feed_item *item;
	const uint8_t *bytes;
	size_t len;

	if ((feed->types & 1u << event->event_type) == 0) {
		ag_metric_add(ctx, FEED_FILTERED, 1);
		return AG_OK;
	}
	if (feed->count == ROOM)
		return AG_FULL; /* it comes again */
	bytes = ag_audit_bytes(ctx, &len);
	item = ring_at(feed, feed->count);
	if ((item->bytes = malloc(len + 1)) == NULL)
		return AG_NO_MEMORY;
	memcpy(item->bytes, bytes, len);
	item->len = len;
	item->pos = pos;
	item->at = event->occurred_at;
	feed->count++;
	feed->bytes += len;
	return AG_OK;
}

/* -------------------------------------------------------------- the batches */

static ag_err
work(void *job)
{
	struct feed *feed = job;
	ag_err err = AG_UNAVAILABLE;

	pthread_mutex_lock(&feed->own_lock);
	if (!feed_stopping(feed))
		err = feed->sink->deliver(feed->own, &feed->batch);
	pthread_mutex_unlock(&feed->own_lock);
	return err;
}

static void
show_trouble(struct feed *feed, const char *text)
{
	if (!feed->failing)
		ag_log(feed->ctx, AG_WARN, "SINK-FAILING", "error=%s", text);
	feed->failing = true;
	ag_metric_set(feed->ctx, FEED_FAILING, 1);
	ag_note_error(feed->ctx, text);
	ag_set_degraded(feed->ctx, text);
}

static void
show_well(struct feed *feed)
{
	if (!feed->failing)
		return;
	ag_log(feed->ctx, AG_INFO, "SINK-WORKS", "tries=%u", feed->tries);
	feed->failing = feed->troubled = false;
	ag_metric_set(feed->ctx, FEED_FAILING, 0);
	ag_set_degraded(feed->ctx, NULL);
}

static ag_err
pause_over(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct feed *feed = state;

	(void)ctx;
	(void)status;
	(void)msg;
	(void)memo;
	feed->waiting = false; /* flush goes on */
	return AG_OK;
}

/* 100 ms, 200 ms … retry_max_s, of which half is chance: many sinks do not
 * come back at once. */
static void
wait_a_little(struct feed *feed)
{
	unsigned shift = feed->tries < BACKOFF_SHIFT_MAX ? feed->tries :
	    BACKOFF_SHIFT_MAX;
	uint64_t most = (uint64_t)feed_option_int(feed, "retry_max_s") * 1000;
	uint64_t ms = (uint64_t)FEED_BACKOFF_MS << shift;
	uint64_t chance;

	if (ms > most)
		ms = most;
	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		chance = ag_mono_us(feed->ctx); /* only to spread, not to hide */
	ms = ms / 2 + chance % (ms / 2 + 1);
	feed->tries++;
	feed->waiting = ag_after(feed->ctx, (unsigned)ms, pause_over, NULL,
	    0) == AG_PENDING;
	ag_metric_add(feed->ctx, FEED_RETRIES, 1);
}

/* So many of the batch need no further try. */
static void
dealt_with(struct feed *feed, size_t n, bool delivered)
{
	if (n == 0)
		return;
	if (delivered)
		ag_metric_add(feed->ctx,
		    feed->again ? FEED_REDELIVERED : FEED_SENT, n);
	feed->tries = feed->refusals = 0;
	if (!feed->again)
		ring_drop(feed, n);
}

/* A batch with a bad event in it: halves, until it is alone. */
static void
refused(struct feed *feed, size_t left)
{
	if (left > 1) {
		feed->limit = left / 2;
		return;
	}
	if (++feed->refusals < (unsigned)feed_option_int(feed, "attempts")) {
		wait_a_little(feed);
		return;
	}
	if (dead_put(&feed->dead, feed->ctx,
	        &feed->flight[feed->batch.done], feed->batch.error) != AG_OK) {
		show_trouble(feed, "the dead-letter file is full or cannot be written");
		wait_a_little(feed);
		return;
	}
	ag_log(feed->ctx, AG_WARN, "SINK-DEAD-LETTER", "pos=%llu error=%s",
	    (unsigned long long)feed->flight[feed->batch.done].pos,
	    feed->batch.error);
	dealt_with(feed, 1, false);
	feed->batch.done++;
}

static void
free_again(struct feed *feed)
{
	for (size_t i = 0; i < feed->batch.count; i++)
		free(feed->flight[i].bytes);
	feed->again = false;
}

/*
 * Of dead letters all is dealt with at once: what is refused again is put aside
 * again, what was not tried is tried with the next batch, which begins with it.
 */
static void
again_over(struct feed *feed, ag_err status)
{
	size_t n = feed->batch.done;

	dealt_with(feed, n, true);
	if (status == AG_BAD_MESSAGE && n < feed->batch.count &&
	    dead_put(&feed->dead, feed->ctx, &feed->flight[n],
	        feed->batch.error) == AG_OK)
		n++;
	if (n == feed->batch.count)
		dead_taken(&feed->dead, n);
	else
		wait_a_little(feed); /* the whole of it: event ids tell */
	free_again(feed);
}

static ag_err
on_delivered(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct feed *feed = state;
	size_t done = feed->batch.done;

	(void)msg;
	(void)memo;
	feed->busy = false;
	if (status == AG_OK)
		feed->batch.done = done = feed->batch.count;
	if (status != AG_OK && feed_stopping(feed)) {
		if (feed->again)
			free_again(feed);
		else
			dealt_with(feed, done, true);
		return AG_OK;
	}
	if (status != AG_OK)
		show_trouble(feed, feed->batch.error[0] != '\0' ?
		    feed->batch.error : ag_err_row(status)->name);
	if (feed->again) {
		again_over(feed, status);
	} else {
		dealt_with(feed, done, true);
		if (status == AG_BAD_MESSAGE && done < feed->batch.count)
			refused(feed, feed->batch.count - done);
		else if (status != AG_OK)
			wait_a_little(feed);
	}
	/* One that only looked after itself may not know of its trouble. */
	if (status == AG_OK && (feed->batch.count > 0 || !feed->troubled))
		show_well(feed);
	if (status == AG_OK) {
		feed->limit = feed->limit * 2 < feed->max ? feed->limit * 2 :
		    feed->max;
	}
	ag_metric_set(ctx, FEED_DEAD, feed->dead.count);
	return AG_OK;
}

/* Fills the batch; false: there is nothing to do. */
static bool
gather(struct feed *feed)
{
	size_t n = 0, bytes = 0;

	feed->again = false;
	if (!feed->paused && dead_is_again(&feed->dead)) {
		if (dead_take(&feed->dead, feed->flight, 1, &n) != AG_OK)
			show_trouble(feed, "the dead letters cannot be read");
		feed->again = n > 0;
	}
	if (n == 0 && !feed->paused) {
		for (; n < feed->count && n < feed->limit &&
		    bytes < FEED_BATCH_BYTES_MAX; n++) {
			feed->flight[n] = *ring_at(feed, n);
			bytes += feed->flight[n].len;
		}
	}
	feed->batch.items = feed->flight;
	feed->batch.count = n;
	feed->batch.done = 0;
	feed->batch.error[0] = '\0';
	feed->batch.hup = feed->hup;
	return n > 0 || feed->tend || feed->hup;
}

static void
dispatch(struct feed *feed)
{
	if (!feed->ready || feed->busy || feed->waiting || feed_stopping(feed) ||
	    !gather(feed))
		return;
	feed->tend = feed->hup = false;
	feed->busy = ag_work(feed->ctx, work, feed, on_delivered) == AG_PENDING;
	if (!feed->busy && feed->again)
		free_again(feed);
}

/* --------------------------------------------------------- pause and resume */

static ag_err
set_paused(struct feed *feed, bool paused)
{
	ag_err err = paused ?
	    ag_store_put(feed->ctx, T_FEED, "paused", 6, "1", 1) :
	    ag_store_del(feed->ctx, T_FEED, "paused", 6);

	if (err == AG_ITEM_NOT_FOUND)
		err = AG_OK;
	if (err == AG_OK)
		err = ag_store_commit(feed->ctx);
	if (err != AG_OK)
		return err;
	feed->paused = paused;
	ag_metric_set(feed->ctx, FEED_PAUSED, paused);
	return AG_OK;
}

static ag_err
on_sink_order_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__SinkOrderAsk *ask = msg;
	Ag__Done done = AG__DONE__INIT;
	struct feed *feed = state;
	ag_err err = AG_BAD_MESSAGE;

	if (ag_from_role(ctx) != AG_ROLE_HISTORY)
		return AG_BAD_MESSAGE;
	if (ask->op == AG_MSG_SINK_PAUSE || ask->op == AG_MSG_SINK_RESUME)
		err = set_paused(feed, ask->op == AG_MSG_SINK_PAUSE);
	else if (ask->op == AG_MSG_SINK_REDELIVER)
		err = dead_again(&feed->dead);
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
}

const struct ag_row feed_rows[1] = {
	{ AG_MSG_SINK_ORDER_ASK, on_sink_order_ask },
};

/* --------------------------------------------------------------------- life */

static void
show(struct feed *feed, uint64_t cursor)
{
	struct ag_ctx *ctx = feed->ctx;
	uint64_t head = ag_audit_head(ctx);
	int64_t now = ag_now_ms(ctx);
	int64_t oldest = feed->count > 0 ? ring_at(feed, 0)->at : 0;

	ag_metric_set(ctx, FEED_CURSOR, cursor);
	ag_metric_set(ctx, FEED_QUEUED, feed->count);
	ag_metric_set(ctx, FEED_QUEUED_BYTES, feed->bytes);
	ag_metric_set(ctx, FEED_OLDEST, (uint64_t)oldest);
	ag_metric_set(ctx, FEED_LAG_EVENTS, head >= cursor ? head - cursor + 1 :
	    0);
	ag_metric_set(ctx, FEED_LAG_SECONDS, oldest > 0 && now > oldest ?
	    (uint64_t)(now - oldest) / 1000 : 0);
}

ag_err
feed_flush(void *state, struct ag_ctx *ctx)
{
	struct feed *feed = state;
	uint64_t cursor;

	if (!feed->ready)
		return AG_OK;
	dispatch(feed);
	if (feed->draining && !feed->busy &&
	    (feed->count == 0 || feed->waiting || feed->paused))
		ag_stop(ctx, 0);
	cursor = feed->count > 0 ? ring_at(feed, 0)->pos : ag_audit_next(ctx);
	ag_audit_done(ctx, cursor);
	show(feed, cursor);
	if (feed->count >= FEED_EVENTS_MAX || feed->bytes >= FEED_BYTES_MAX)
		ag_audit_hold(ctx, true);
	else if (feed->count <= FEED_EVENTS_MAX / 2 &&
	    feed->bytes <= FEED_BYTES_MAX / 2)
		ag_audit_hold(ctx, false);
	return AG_OK;
}

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	char trouble[FEED_ERROR_MAX];
	struct feed *feed = state;

	(void)ctx;
	feed->tend = feed->sink->tends;
	pthread_mutex_lock(&feed->lock);
	memcpy(trouble, feed->trouble, sizeof(trouble));
	feed->trouble[0] = '\0';
	pthread_mutex_unlock(&feed->lock);
	if (trouble[0] != '\0') {
		show_trouble(feed, trouble);
		feed->troubled = true;
	}
}

/* Only so that a turn ends, and flush looks around. */
static ag_err
nudge(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)state;
	(void)ctx;
	(void)status;
	(void)msg;
	(void)memo;
	return AG_OK;
}

static void
on_hup(evutil_socket_t fd, short what, void *arg)
{
	struct feed *feed = arg;

	(void)fd;
	(void)what;
	feed->hup = true;
	/* A callback of the loop ends no turn: begin one. */
	if (ag_after(feed->ctx, 0, nudge, NULL, 0) != AG_PENDING)
		ag_log(feed->ctx, AG_WARN, "SINK-HUP", "what=later");
}

static unsigned
types_of(struct feed *feed)
{
	const char *word;
	unsigned mask = 0;

	for (unsigned i = 0; (word = ag_config_get_item(ag_config(feed->ctx),
	    "sinks[].event_types", ag_index(feed->ctx), i)) != NULL; i++) {
		const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(
		    &ag__event_type__v__descriptor, word);

		mask |= v == NULL ? 0 : 1u << v->value;
	}
	return mask == 0 ? ~0u : mask;
}

ag_err
feed_init(void *state, struct ag_ctx *ctx, const struct feed_sink *sink)
{
	struct feed *feed = state;
	int64_t batch;
	ag_err err;

	_Static_assert(sizeof(*feed) <= FEED_STATE_BYTES, "FEED_STATE_BYTES");
	feed->sink = sink;
	feed->ctx = ctx;
	feed->name = ag_slot_name(ctx, ag_self(ctx));
	feed->batch.feed = feed;
	pthread_mutex_init(&feed->lock, NULL);
	pthread_mutex_init(&feed->own_lock, NULL);
	batch = feed_option_int(feed, "batch");
	feed->max = batch > 0 && batch < sink->batch_max ? (size_t)batch :
	    sink->batch_max;
	feed->limit = feed->max;
	feed->types = types_of(feed);
	feed->ring = calloc(ROOM, sizeof(*feed->ring));
	feed->flight = calloc(feed->max, sizeof(*feed->flight));
	feed->own = calloc(1, sink->own_size);
	if (feed->ring == NULL || feed->flight == NULL || feed->own == NULL)
		return AG_NO_MEMORY;
	if ((err = dead_open(&feed->dead, ctx, feed->name)) != AG_OK)
		return err;
	ag_metric_set(ctx, FEED_DEAD, feed->dead.count);
	return sink->open(feed->own, feed, ctx);
}

ag_err
feed_ready(void *state, struct ag_ctx *ctx)
{
	struct feed *feed = state;
	const uint8_t *value;
	size_t len;

	feed->paused = ag_store_get(ctx, T_FEED, "paused", 6, &value, &len) ==
	    AG_OK;
	ag_metric_set(ctx, FEED_PAUSED, feed->paused);
	feed->ready = true;
	if (ag_event_base(ctx) != NULL) {
		feed->hup_event = evsignal_new(ag_event_base(ctx), SIGHUP,
		    on_hup, feed);
		if (feed->hup_event == NULL ||
		    event_add(feed->hup_event, NULL) != 0)
			return AG_NO_MEMORY;
	}
	return ag_every(ctx, TICK_MS, on_tick);
}

static ag_err
drained(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct feed *feed = state;

	(void)status;
	(void)msg;
	(void)memo;
	atomic_store(&feed->stopping, true);
	ag_stop(ctx, 0);
	return AG_OK;
}

/* What was pulled still goes out, if who takes it does so now; the rest comes
 * with the next start. */
void
feed_drain(void *state, struct ag_ctx *ctx)
{
	struct feed *feed = state;

	feed->draining = true;
	if (!feed->ready || ag_after(ctx, DRAIN_MS, drained, NULL, 0) !=
	    AG_PENDING || ag_after(ctx, 0, nudge, NULL, 0) != AG_PENDING)
		drained(feed, ctx, AG_OK, NULL, NULL);
}

void
feed_fini(void *state, struct ag_ctx *ctx)
{
	struct feed *feed = state;

	(void)ctx;
	atomic_store(&feed->stopping, true);
	if (feed->hup_event != NULL)
		event_free(feed->hup_event);
	feed->hup_event = NULL;
	if (feed->own == NULL)
		return;
	/* The other thread may be in deliver, and will be in it no more. */
	pthread_mutex_lock(&feed->own_lock);
	if (feed->sink->close != NULL)
		feed->sink->close(feed->own);
	free(feed->own);
	feed->own = NULL;
	if (feed->again)
		free_again(feed);
	ring_drop(feed, feed->count);
	free(feed->ring);
	free(feed->flight);
	pthread_mutex_unlock(&feed->own_lock);
}
