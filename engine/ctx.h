/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context: all that one actor's process has. Shared by the engine's
 * ctx, run, trip, ask, persist, follow, work and kit files only.
 */
#ifndef AEGIS_CTX_H
#define AEGIS_CTX_H

#include "engine.h"

#include <aegis/master.h>
#include <aegis/stamp.h>

#include <event2/event.h>

enum {
	TURN_MESSAGES_MAX = 16, /* worked on before what was said goes out */
	OUT_FRAME_TARGET = 256 << 10, /* a frame is closed at this size */
	NOTES_MAX = 32,
	LOCKS_PER_TRIP = 3,
	STREAM_NAME_MAX = 200,
	WORK_MAX = 64,
	LINGER_MS = 500, /* what is left to say at the end */
	QUEUE_MAX = 8192,    /* fleet budget 4,096 requests and as much for control */
	TICK_MS = 250,       /* heartbeat; with a test clock 50 */
	HELLO_EVERY_TICKS = 2,
	COMMIT_MS = 1000,    /* snapshots */
	PULL_RECORDS = 256,
	PULL_RETRY_MS = 200,
	PULL_POLL_MS = 1000, /* the net under a lost poke */
	JOURNAL_TIMEOUT_MS = 5000,
	REDELIVER_TIMEOUT_MS = 500, /* changes wait for it: asked again soon */
};

struct slot {
	char name[64];
	enum ag_role role;
	bool up;
};

/* A frame being gathered for one destination; full ones wait behind `next`. */
struct out_frame {
	struct out_frame *next;
	unsigned to;
	uint16_t count;
	size_t len, cap;
	uint8_t *bytes;
};

struct lock;

/* The message being worked on, and what is known of its end so far. */
struct ag_trip {
	struct ag_trip *next; /* free list, run queue or a lock's waiters */
	struct ag_trip *all;  /* the next in ctx->trip_all */
	unsigned from;
	uint16_t type;
	const uint8_t *env_bytes, *body;
	size_t env_len, body_len;
	uint8_t *copy; /* owns env and body once the trip outlives its turn */
	/* Unpacked into the turn's arena; unpacked anew when resumed. */
	const Ag__Envelope *env;
	const Ag__Grant *grant;
	/* A grant that this station signed: borrowed for the turn. */
	uint8_t *grant_bytes;
	size_t grant_len;
	uint8_t grant_mac[AG_MAC_BYTES];
	Ag__Verdict *verdict;

	unsigned waits; /* asks, stash entries, work that will resume it */
	bool kept;      /* outlives the turn */
	bool ended;
	bool idem_checked;
	uint64_t journal_seq, journal_prev;
	struct lock *locks[LOCKS_PER_TRIP];
	uint64_t park; /* generation of the current parking (ag_stash_on); of all trips
	                * that were here, so that timers need not hold one */
	struct lock *parked_on;
	char *park_reason;
	struct trace *trace; /* NULL: nobody wants to know; owned */
	/* The grant as it was when it was parked: a refusal names the actor. */
	uint8_t *park_grant;
	size_t park_grant_len;
	uint8_t park_mac[AG_MAC_BYTES];

	/* Notes for the outcome; owned strings. */
	char *resource_type, *resource_id, *resource_alias, *reason;
	Ag__Pair params[NOTES_MAX];
	size_t param_count;
	uint32_t items, failed;
	bool has_items;
	Ag__Refusal refusal; /* owned strings */
};

/* A stream with a change under way, or a name that trips are parked on. */
struct lock {
	struct lock *next; /* in its bucket */
	char name[STREAM_NAME_MAX];
	struct ag_trip *holder; /* NULL: only parked trips */
	struct ag_trip *first, *last;
};

struct ask {
	uint32_t generation;
	bool used;
	unsigned to;
	uint16_t reply_type;
	uint64_t begun_us; /* if the trip is traced */
	struct ag_trip *trip; /* NULL: none */
	ag_then *then;
	void *memo;
	size_t memo_size;
	uint32_t next_free;
};

/* One heap for everything that happens later. */
struct timer {
	uint64_t due_ms;
	uint64_t order; /* equal times: as they were set */
	enum { TIMER_ASK, TIMER_AFTER, TIMER_EVERY, TIMER_PARK } kind;
	uint64_t corr;            /* ASK */
	struct ag_trip *trip;     /* PARK: not held; AFTER: held */
	uint64_t park;
	ag_then *then;            /* AFTER */
	void *memo;
	size_t memo_size;
	ag_on_timer *every;       /* EVERY */
	unsigned period_ms;
};

enum { AG_CURSOR_KEY_BYTES = 32 };

struct job;
struct line_to;
struct line_from;

struct ag_ctx {
	const struct ag_actor *actor;
	void *state;
	Ag__Boot *boot;
	struct ag_config *config;
	unsigned self;
	unsigned index;
	uint64_t boot_id;
	uint8_t seal_pk[AG_SEAL_KEY_BYTES];
	struct ag_sealer *sealer;
	struct ag_master_lock master_lock; /* roots of trust */
	struct ag_mac *mac; /* NULL: the role vouches for and checks nothing */
	uint8_t cursor_key[AG_CURSOR_KEY_BYTES]; /* page.c; from mac's */
	struct slot slots[AG_SLOTS_MAX];
	unsigned slot_count;

	struct ag_arena *arena;
	struct ag_bus *bus; /* NULL in the kit */
	struct event_base *base;
	struct line_to *lines_to[AG_SLOTS_MAX]; /* NULL: through the broker */
	struct line_from *lines_from;           /* a list */
	struct ag_pair_room *line_room;
	struct event *bus_event, *boot_event, *tick_event, *term_event,
	    *hup_event, *work_event;
	bool look_again; /* the bus may have more: do not wait */
	unsigned turn_messages;
	bool turned;     /* something ran in this round: flush hook is due */

	struct out_frame *out[AG_SLOTS_MAX + 1]; /* + the broker */
	struct out_frame *out_tail[AG_SLOTS_MAX + 1];
	uint16_t out_order[AG_SLOTS_MAX + 1]; /* destinations, first use first */
	unsigned out_count;
	struct out_frame *frame_pool;

	struct ag_trip *trip;
	struct ag_trip *trip_pool;
	struct ag_trip *trip_all; /* every one ever made: freed at the end */
	struct ag_trip *run_first, *run_last; /* unstashed, to run again */
	struct lock *locks[1024];
	unsigned stashed;
	Ag__Refusal status_refusal; /* of the reply being handed over; borrowed */
	char refuse_detail[512];

	struct ask *asks;
	uint32_t ask_count, ask_free, ask_used;
	struct timer *timers;
	size_t timer_count, timer_cap;
	uint64_t timer_order;

	struct ag_db *db;
	uint64_t commit_due_ms;
	uint64_t journal_pos; /* last record applied */
	bool stale;           /* the journal has not heard from others for too long */
	uint64_t stale_at_ms; /* when it will not have; UINT64_MAX: never */
	bool live;            /* hears every record as it is committed */
	bool following;       /* a journal pull is under way */
	bool caught_up;
	uint64_t audit_pos;   /* next event to pull */
	uint64_t audit_done;  /* cursor of an actor that says it itself */
	uint64_t audit_head;  /* newest event, as last heard */
	const uint8_t *audit_bytes; /* of the event that on_audit sees */
	size_t audit_len;
	bool audit_own;       /* audit_done counts */
	bool audit_held;
	bool pulling;
	bool pull_planned;     /* a paced pull is waiting for its time */
	uint64_t pull_last_ms;
	bool marks_pending;   /* outcomes may have to be delivered again */
	bool redelivering;
	bool redeliver_again;
	uint64_t redeliver_from;
	bool gap;              /* a broker died with what was pushed to us */
	bool resync;           /* an append's fate is unknown: the journal says */
	uint64_t outcome_last; /* newest change of ours whose outcome was said */
	uint64_t outcome_kept; /* audit has all up to here */
	bool checking;

	bool supervised; /* descriptor 3 is a supervisor, not a guest's file */
	bool connected; /* the broker has greeted us */
	bool ready;
	char said[AG_WORD_MAX + 1]; /* the last line to the supervisor */
	char word[AG_WORD_MAX + 1]; /* of the supervisor's, as it arrives */
	size_t word_len;
	bool stopping;
	bool draining;
	int exit_status;
	unsigned tick_count;

	struct ag_clock clock; /* as of the fleet's start */
	int64_t wall_offset_ms;
	bool manual_clock; /* the kit's */
	int64_t manual_wall_ms;
	uint64_t manual_mono_us;

	uint64_t credit_requests, credit_bytes;

	struct ag_metrics_block *metrics;
	unsigned metric_base; /* the actor's first */

	struct worker *worker;
	struct ag_kit *kit;
};

/* The engine's own metrics, in front of the actor's. */
enum engine_metric {
	EM_IN, EM_OUT, EM_REFUSED, EM_MALFORMED, EM_TIMEOUTS, EM_EXPIRED,
	EM_FULL, EM_STASHED, EM_ASKS, EM_COMMITS, EM_COUNT
};
void ag_em_add(struct ag_ctx *ctx, enum engine_metric m, uint64_t n);

/* ---- ctx.c */
ag_err ctx_init(struct ag_ctx *ctx, const struct ag_actor *actor, Ag__Boot *boot)
    AG_MUST;
void ctx_fini(struct ag_ctx *ctx);
/* ---- snapshot.c */
ag_err snapshot_open(struct ag_ctx *ctx) AG_MUST;
ag_err snapshot_discard(struct ag_ctx *ctx) AG_MUST; /* and opens an empty one */
/* ---- run.c */
void run_clock(struct ag_ctx *ctx); /* reads the test clock, if there is one */
void run_turn_end(struct ag_ctx *ctx); /* flush hook, then all frames out */
void run_connected(struct ag_ctx *ctx); /* first greeting of the broker */
void run_hello(struct ag_ctx *ctx); /* says to the broker that we are here */
void run_tick(struct ag_ctx *ctx); /* every TICK_MS */
void run_caught_up(struct ag_ctx *ctx);
/* ---- out.c: what was said this turn */
ag_err out_add(struct ag_ctx *ctx, unsigned to, uint16_t type,
    const Ag__Envelope *env, const ProtobufCMessage *body) AG_MUST;
ag_err out_add_raw(struct ag_ctx *ctx, unsigned to, uint16_t type,
    const Ag__Envelope *env, const uint8_t *body, size_t body_len) AG_MUST;
void out_send_all(struct ag_ctx *ctx);
/* ---- line.c: the ring's own lines */
ag_err line_open_all(struct ag_ctx *ctx) AG_MUST; /* as the boot message says */
/* From now on: not before it is known who else is there. */
void line_listen(struct ag_ctx *ctx);
void line_close_all(struct ag_ctx *ctx, unsigned linger_ms);
/* AG_FULL: whoever should hear has not for long; ours. */
ag_err line_send(struct line_to *line, const uint8_t *bytes, size_t len) AG_MUST;
/* What came on the line from that slot; bytes are stamped. */
void line_frame(struct ag_ctx *ctx, unsigned from, uint8_t *bytes, size_t len);
/* ---- trip.c */
void trip_frame(struct ag_ctx *ctx, const uint8_t *bytes, size_t len);
void trip_run_queue(struct ag_ctx *ctx);
ag_err trip_keep(struct ag_ctx *ctx, struct ag_trip *trip) AG_MUST;
/* Restores trip as the current one (fresh arena); pair with trip_leave. */
ag_err trip_enter(struct ag_ctx *ctx, struct ag_trip *trip) AG_MUST;
void trip_leave(struct ag_ctx *ctx, ag_err result);
void trip_start(struct ag_ctx *ctx, struct ag_trip *trip); /* handler, from its start */
/* Still on what it was parked on then? */
bool trip_is_parked(const struct ag_trip *trip, uint64_t park);
void trip_park_expired(struct ag_ctx *ctx, struct ag_trip *trip, uint64_t park);
/* The outcome of the current trip as it would be said now. */
void trip_outcome(struct ag_ctx *ctx, ag_err err, Ag__OutcomeEvent *out);
/* Whose request this trip executes; false: none, or it is not its executor. */
bool trip_stamp(struct ag_ctx *ctx, char out[AG_STAMP_SIZE]);
ag_err trip_answer(struct ag_ctx *ctx, ag_err err, uint16_t type,
    const uint8_t *reply, size_t reply_len, bool sealed, bool replayed) AG_MUST;
/* Success, with packed bytes; a secret answer is sealed first, and bytes wiped. */
ag_err trip_answer_packed(struct ag_ctx *ctx, uint16_t type, uint8_t *bytes,
    size_t len) AG_MUST;
void trip_drop_all(struct ag_ctx *ctx);
/* ---- trace.c: how long a request was where, if somebody wants to know */
void trace_begin(struct ag_ctx *ctx, struct ag_trip *trip);
/* The trip waited for `slot` since begun_us. */
void trace_asked(struct ag_ctx *ctx, struct ag_trip *trip, unsigned slot,
    uint64_t begun_us);
/* ---- lock.c */
void lock_drop_all(struct ag_ctx *ctx);
void lock_release_all(struct ag_ctx *ctx, struct ag_trip *trip);
void lock_forget_parked(struct ag_ctx *ctx, struct ag_trip *trip);
/* ---- ask.c */
void ask_reply(struct ag_ctx *ctx, unsigned from, uint16_t type,
    const Ag__Envelope *env, const uint8_t *body, size_t body_len);
void ask_peer_down(struct ag_ctx *ctx, unsigned slot);
bool ask_waits(struct ag_ctx *ctx, uint64_t corr); /* for its answer */
void ask_timeout(struct ag_ctx *ctx, uint64_t corr);
void ask_drop_all(struct ag_ctx *ctx);
/* ---- timer.c */
ag_err timer_add(struct ag_ctx *ctx, const struct timer *timer) AG_MUST;
void timer_run(struct ag_ctx *ctx); /* all that are due */
uint64_t timer_next_ms(struct ag_ctx *ctx); /* UINT64_MAX: none */
void timer_drop_all(struct ag_ctx *ctx);
/* ---- persist.c */
ag_err persist_idem(struct ag_ctx *ctx) AG_MUST;
/* Does an answer go to the journal first, so that a repeat gets the same? */
bool persist_is_owed(const struct ag_ctx *ctx);
/* AG_PENDING: it is answered when it is there. */
ag_err persist_answer(struct ag_ctx *ctx, uint16_t type, const void *reply)
    AG_MUST;
/* An ask that will never be answered: frees what its memo owns, if it is an
 * append's. */
void persist_forget(ag_then *then, void *memo);
/* ---- page.c: the key of cursors, from that of grants */
ag_err ag_page_key(struct ag_ctx *ctx) AG_MUST;
/* ---- follow.c */
void follow_start(struct ag_ctx *ctx);
/* changed: it was down as far as we knew. */
void follow_peer_up(struct ag_ctx *ctx, unsigned slot, bool changed);
void follow_journal_record(struct ag_ctx *ctx, const uint8_t *body, size_t len);
void follow_poke(struct ag_ctx *ctx);
void follow_resync(struct ag_ctx *ctx);
/* The broker is a new one. Records may have been pushed to us and lost with the
 * old: who must know them at once serves nobody until the journal, when it is
 * there again, has told. */
void follow_broker_new(struct ag_ctx *ctx);
ag_err follow_apply(struct ag_ctx *ctx, const Ag__JournalRecord *record) AG_MUST;
ag_err follow_audit_event(struct ag_ctx *ctx, const uint8_t *bytes, size_t len,
    uint64_t pos) AG_MUST;
/* ---- work.c */
ag_err work_start(struct ag_ctx *ctx) AG_MUST;
void work_stop(struct ag_ctx *ctx);
void work_done(struct ag_ctx *ctx); /* hands finished jobs over */
bool work_run_one(struct ag_ctx *ctx); /* the kit: in this thread */
/* ---- kit.c */
void kit_capture(struct ag_kit *kit, const uint8_t *frame, size_t len);

#endif
