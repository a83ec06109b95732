/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a process an actor.
 *
 * An actor is a state, rows (message type, handler) and a few hooks. It
 * touches nothing but its context: no socket, clock or file of its own. A
 * handler sees one message and either
 *   - answers: ag_reply(), or an error (the error is the answer),
 *   - asks somebody first: `return ag_ask(…)`, `return ag_persist(…)`, which
 *     are AG_PENDING; the continuation then answers,
 *   - passes it on (stations of the ring): ag_pass().
 * The message that is being worked on is called the trip. A continuation runs
 * with its trip restored, so ag_env(), ag_grant() and ag_reply() mean the same
 * there as in the handler.
 *
 * For a trip on the ring (an operation), ag_reply() and a returned error go to
 * audit as one outcome with the answer in it; for any other message that
 * carries a correlation number they go back to who asked. An order or event
 * has no answer; an error from its handler is logged and counted.
 *
 * Nothing here blocks except ag_store_commit and ag_log to a slow terminal.
 * Nothing here is thread-safe; one loop, one thread (see ag_work).
 */
#ifndef AEGIS_ACTOR_H
#define AEGIS_ACTOR_H

#include <aegis/err.h>
#include <aegis/proto.h>

#include <stdarg.h>
#include <stddef.h>

struct ag_ctx;
struct event_base;

enum {
	AG_SLOT_NONE = 0xffff,    /* no such row */
	AG_SLOT_BROKER = 0xfffe,  /* the broker itself: HELLO to it, PEER and REFUSED from it */
	AG_TURN_FRAMES_MAX = 16,  /* frames drained per turn: more makes a convoy */
	AG_FRAME_BYTES_MAX = 8 << 20,
	AG_ARENA_BYTES_MAX = 48 << 20,
	AG_PENDING_MAX = 16384,   /* asks in flight per process */
	AG_STASH_MAX = 4096,      /* trips waiting for their stream */
	AG_MEMO_BYTES_MAX = 1024,
	AG_TABLES_MAX = 24,
	AG_SLOTS_MAX = 256,       /* rows of a fleet, guests included */
	AG_DEADLINE_MS = 2000,    /* of a request, unless configured */
	AG_SLOW_FACTOR = 5,       /* AG_OP_SLOW: so many times that */
	AG_TRACE_MARKS_MAX = 41,  /* of one traced request */
};

/* msg: unpacked body, borrowed until the handler returns. */
typedef ag_err ag_handler(void *state, struct ag_ctx *ctx, const void *msg);
/*
 * status AG_OK: msg is the reply, of the type asked for. Otherwise msg is
 * NULL and ag_refusal(ctx) says more. memo: the copy made by ag_ask().
 */
typedef ag_err ag_then(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo);
typedef void ag_on_timer(void *state, struct ag_ctx *ctx);

struct ag_row {
	uint16_t type;
	ag_handler *handle;
};

/* A record of the journal, unpacked. */
struct ag_fact_record {
	uint64_t seq;
	uint64_t version; /* of the stream */
	const char *stream;
	uint16_t type;
	const void *fact; /* the message of `type` */
	int64_t committed_at;
	const char *tenant;
	const char *author;
};

enum ag_follow {
	AG_FOLLOW_NONE = 0,
	/* Everything since the snapshot at start; own commits as they commit. */
	AG_FOLLOW_START,
	/* Everything, always, in journal order, own commits too. */
	AG_FOLLOW_LIVE,
};

struct ag_metric_row {
	const char *name; /* Prometheus name without the aegis_ prefix */
	const char *help;
	enum { AG_COUNTER, AG_GAUGE, AG_HISTOGRAM_US } kind;
};

struct ag_actor {
	const char *name; /* its row in bin/fleet.def */
	size_t state_size; /* zeroed before init */
	const struct ag_row *rows;
	size_t row_count;
	/* Configuration is there, nobody is connected. Required. */
	ag_err (*init)(void *state, struct ag_ctx *ctx);
	/* Peers connected, snapshot loaded, journal followed. May be NULL. */
	ag_err (*ready)(void *state, struct ag_ctx *ctx);
	/* Any operation without a row and without a grant (iam) or, for risk
	 * and, of what others execute, the approvals, with one. May be NULL: such
	 * an operation is refused. */
	ag_handler *station;
	/* One fact of the journal. Required if follow is not NONE. */
	ag_err (*apply)(void *state, struct ag_ctx *ctx,
	    const struct ag_fact_record *record);
	/* One event of the audit log, in order, with a durable cursor. An error
	 * stops the cursor there; it is tried again after a back-off. */
	ag_err (*on_audit)(void *state, struct ag_ctx *ctx,
	    const Ag__Event *event, uint64_t pos);
	/* Numbers of Event's optional fields that it has no use for, 0 behind the
	 * last: they are absent, which spares most of the unpacking. NULL: none. */
	const uint8_t *audit_skips;
	/* Whether anybody wants events now; false: they pass by. NULL: always. */
	bool (*audit_wanted)(void *state);
	/* Under load it pulls at most once in this time, and more at once; a
	 * single event after a pause comes without delay. 0: every time. */
	unsigned audit_pace_ms;
	/* After each turn, before its messages go out (audit syncs here). */
	ag_err (*flush)(void *state, struct ag_ctx *ctx);
	/* A fleet row came or went. */
	void (*peer)(void *state, struct ag_ctx *ctx, unsigned slot, bool up);
	/* SIGTERM: finish what is under way, then ag_stop(ctx, 0). NULL: stops at
	 * once (planes drain; behind them nothing arrives any more). */
	void (*drain)(void *state, struct ag_ctx *ctx);
	/* A line that the supervisor wrote, for whoever has the fleet's own uid
	 * (aegis rot rekey); answered with ag_tell. Borrowed. May be NULL. */
	void (*told)(void *state, struct ag_ctx *ctx, const char *word);
	void (*fini)(void *state, struct ag_ctx *ctx);
	enum ag_follow follow;
	bool own_readiness; /* calls ag_set_ready itself */
	const char *const *tables; /* names of its store's tables, NULL-terminated */
	/* Where its store is: NULL, "snapshots/<name>", which may be rebuilt; or a
	 * folder of the state directory that is the truth (the journal's): then a
	 * bad value ends the process instead of being discarded. */
	const char *store_dir;
	const struct ag_metric_row *metrics;
	size_t metric_count;
};
#define AG_ROWS(r) .rows = (r), .row_count = sizeof(r) / sizeof((r)[0])
#define AG_METRICS(m) \
	.metrics = (m), .metric_count = sizeof(m) / sizeof((m)[0])

/* main() of every actor: boots from descriptor 3, loops, returns the exit
 * status. A program is `int main(void) { return ag_main(&ag_actor_x); }`. */
int ag_main(const struct ag_actor *actor);
/* The same for a guest: joins a running fleet with the file that `aegis actor
 * enroll` wrote (0600; refused otherwise). */
int ag_main_join(const struct ag_actor *actor, const char *file);

/* ------------------------------------------------------------ the trip */

const Ag__Envelope *ag_env(struct ag_ctx *ctx);
/* The verified grant of an operation; NULL outside one. */
const Ag__Grant *ag_grant(struct ag_ctx *ctx);
/* The body's bytes as they arrived, borrowed for the turn. */
const uint8_t *ag_body(struct ag_ctx *ctx, size_t *len);
uint16_t ag_type(struct ag_ctx *ctx);
unsigned ag_from(struct ag_ctx *ctx);          /* slot, stamped by the broker */
enum ag_role ag_from_role(struct ag_ctx *ctx);

/*
 * Returns err after noting why, for the answer. reason_code: a word of
 * rest-contract §8 or NULL. field: JSON pointer, "?name", a header, or NULL.
 * Use: return ag_refuse(ctx, AG_INVALID_FIELD, "bad_scope", "/scopes/2", "…").
 */
ag_err ag_refuse(struct ag_ctx *ctx, ag_err err, const char *reason_code,
    const char *field, const char *fmt, ...) AG_PRINTF(5, 6);
/* More of the same refusal; each may be left out. */
void ag_refuse_hint(struct ag_ctx *ctx, const char *hint);
void ag_refuse_rule(struct ag_ctx *ctx, const char *rule);
void ag_refuse_retry(struct ag_ctx *ctx, unsigned retry_after_s);
/* AG_STEP_UP_REQUIRED: the challenge that the caller is to answer. */
void ag_refuse_challenge(struct ag_ctx *ctx, const char *challenge_id,
    int64_t expires_at);
/* And by what it can be answered; without it: a code. */
enum ag_method { AG_METHOD_TOTP = 1, AG_METHOD_WEBAUTHN = 2 };
void ag_refuse_methods(struct ag_ctx *ctx, unsigned methods);
/* AG_APPROVAL_REQUIRED: the request for approval that waits, and until when. */
void ag_refuse_approval(struct ag_ctx *ctx, const char *approval_id,
    int64_t expires_at);
/* What was refused: inside a continuation with status != AG_OK. Never NULL. */
const Ag__Refusal *ag_refusal(struct ag_ctx *ctx);

/* Facts for the outcome's event; strings are copied. */
void ag_note_resource(struct ag_ctx *ctx, const char *type, const char *id,
    const char *alias);
void ag_note_param(struct ag_ctx *ctx, const char *key, const char *value);
void ag_note_items(struct ag_ctx *ctx, uint32_t items, uint32_t failed);
void ag_note_reason(struct ag_ctx *ctx, const char *reason);

/*
 * Answers the trip. Secret operations' answers are sealed to the plane here.
 * AG_OK also when the asker is gone; the trip is over either way. AG_PENDING of
 * a request with an Idempotency-Key that changed nothing: the answer leaves when
 * the journal has it. So return what this returns.
 */
ag_err ag_reply(struct ag_ctx *ctx, uint16_t type, const void *msg) AG_MUST;
/* The event id that the outcome of this trip will have (for AgentRevokeReply). */
const char *ag_outcome_id(struct ag_ctx *ctx);
/* Where the current request was until now, ourselves last; of the turn's arena.
 * NULL: nobody wants to know, or no memory. */
const Ag__Trace *ag_trace(struct ag_ctx *ctx);

/* AG_OK if the trip has no If-Match or it names this revision; otherwise
 * refuses with AG_PRECONDITION_FAILED. */
ag_err ag_if_match(struct ag_ctx *ctx, uint64_t revision) AG_MUST;

/*
 * Stations: sends the operation on, with the grant (iam signs a new one; NULL
 * keeps what came) and the verdict (risk's; NULL keeps). To self is allowed.
 * The trip is over for this station. AG_NOBODY: the row is not there.
 */
ag_err ag_pass(struct ag_ctx *ctx, unsigned to, Ag__Grant *grant,
    Ag__Verdict *verdict) AG_MUST;
/*
 * iam only: from now on the trip has this grant, so that a refusal names the
 * actor. Signs it. The strings must live until the turn's end.
 */
ag_err ag_set_grant(struct ag_ctx *ctx, Ag__Grant *grant) AG_MUST;

/* risk only: the verdict that ag_pass and a refusal's event carry. Borrowed
 * for the turn. */
void ag_set_verdict(struct ag_ctx *ctx, Ag__Verdict *verdict);
/*
 * Parks the trip until ag_stash_release(ctx, name), then runs its handler again
 * from the start; after timeout_ms it is refused with AG_UNAVAILABLE and
 * reason_code instead. AG_PENDING, or AG_FULL.
 */
ag_err ag_stash_on(struct ag_ctx *ctx, const char *name, unsigned timeout_ms,
    const char *reason_code) AG_MUST;
void ag_stash_release(struct ag_ctx *ctx, const char *name);

/* Is this iam's MAC over these bytes? Constant time. audit checks outcomes
 * with it; grants of operations are checked before a handler sees them. */
bool ag_grant_verify(struct ag_ctx *ctx, const uint8_t *bytes, size_t len,
    const uint8_t *mac, size_t mac_len);

/* ------------------------------------------------------ asking, telling */

/* One message, no answer. Bounded by the mailbox; AG_NOBODY, AG_FULL. */
ag_err ag_send(struct ag_ctx *ctx, unsigned to, uint16_t type, const void *msg)
    AG_MUST;
/*
 * Asks `to` and calls `then` exactly once, with the reply of type reply_type,
 * or AG_TIMEOUT, AG_NOBODY (not connected, or died), or what it refused with.
 * memo is copied (≤ AG_MEMO_BYTES_MAX) and wiped afterwards. Returns AG_PENDING,
 * or an error and `then` will not run.
 */
ag_err ag_ask(struct ag_ctx *ctx, unsigned to, uint16_t type, const void *msg,
    uint16_t reply_type, unsigned timeout_ms, ag_then *then, const void *memo,
    size_t memo_size) AG_MUST;
/*
 * Waits for something of this actor's own: `then` runs when ag_resume is called
 * with the ticket, and with that status; never by itself. memo as in ag_ask.
 * AG_PENDING, or an error and `then` will not run. ag_resume may be called from
 * the flush hook: what `then` says leaves with that turn.
 */
ag_err ag_wait(struct ag_ctx *ctx, ag_then *then, const void *memo,
    size_t memo_size, uint64_t *ticket) AG_MUST;
void ag_resume(struct ag_ctx *ctx, uint64_t ticket, ag_err status);
/* The handler that waits answers by itself after all: `then` will not run. A
 * handler does not resume its own trip, which ends when it returns. */
void ag_unwait(struct ag_ctx *ctx, uint64_t ticket);
/* An event that no request caused: detections, responses, lifecycle. */
ag_err ag_record(struct ag_ctx *ctx, Ag__OutcomeEvent *outcome) AG_MUST;
/*
 * Runs work(job) on a worker thread, then `then` in the loop with memo = job.
 * work touches nothing but job; its return value is the status. Who frees job
 * is the continuation. At most 64 wait; AG_FULL.
 */
ag_err ag_work(struct ag_ctx *ctx, ag_err (*work)(void *job), void *job,
    ag_then *then) AG_MUST;

/* --------------------------------------------------- persistent actors */

/*
 * At the head of a handler whose stream may have a change under way. AG_OK:
 * go on. AG_PENDING: the trip waits in the stash and the handler is called
 * again from its start; return AG_PENDING. AG_FULL: too many wait.
 * exclusive: others wait until this trip has ended.
 */
ag_err ag_enter(struct ag_ctx *ctx, const char *stream, bool exclusive) AG_MUST;
/* Before its end: who waits for the trip's stream goes on after this turn.
 * Nothing happens if the trip does not hold it. */
void ag_leave(struct ag_ctx *ctx, const char *stream);

struct ag_fact {
	const char *stream;
	uint64_t expected_version; /* 0: must not exist */
	uint16_t type;             /* AG_MSG_*_FACT */
	const void *fact;
};
/*
 * Appends all facts or none (one transaction), then applies them, then
 * answers with `reply`, in this order. Idempotency-Key, if the trip has one,
 * is kept in the same transaction with `replay` (NULL: same as reply), which
 * must hold no secret. `then`, if given, runs instead of the answer, with
 * AG_OK or AG_CONFLICT, AG_UNAVAILABLE …; it then calls ag_reply itself.
 * Works without a trip, too (timers); reply is then ignored. AG_PENDING.
 */
ag_err ag_persist(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    uint16_t reply_type, const void *reply, const void *replay, ag_then *then,
    const void *memo, size_t memo_size) AG_MUST;

/*
 * For a change that no request asked for (a timer's): the record of it is kept
 * with the facts and said when they are, after a crash again. Give it an
 * event_id that follows from the change, so that it counts once.
 */
ag_err ag_persist_recorded(struct ag_ctx *ctx, const struct ag_fact *facts,
    size_t count, const Ag__OutcomeEvent *outcome, ag_then *then,
    const void *memo, size_t memo_size) AG_MUST;

/*
 * Beside the trip that is being worked on: a change that is not its outcome,
 * and for which it does not wait. `then` runs without a trip, with the status.
 */
ag_err ag_persist_apart(struct ag_ctx *ctx, const struct ag_fact *facts,
    size_t count, ag_then *then, const void *memo, size_t memo_size) AG_MUST;

/*
 * A change that is not the trip's outcome, but for which it waits: `then` runs
 * with the trip, which goes on from there (a station's) or is refused. Nothing
 * of the trip is said again after a crash.
 */
ag_err ag_persist_before(struct ag_ctx *ctx, const struct ag_fact *facts,
    size_t count, ag_then *then, const void *memo, size_t memo_size) AG_MUST;

/* ------------------------------------------------------------- the store */

/*
 * A small ordered table in the actor's own LMDB environment: its snapshot,
 * committed with the journal position and the audit cursor every second and
 * at stop. Values are checksummed; a bad one discards the whole snapshot and
 * the journal is replayed. Keys ≤ 255 bytes.
 */
ag_err ag_store_put(struct ag_ctx *ctx, unsigned table, const void *key,
    size_t key_len, const void *value, size_t value_len) AG_MUST;
/* *value is borrowed until the next put, del or commit. AG_ITEM_NOT_FOUND. */
ag_err ag_store_get(struct ag_ctx *ctx, unsigned table, const void *key,
    size_t key_len, const uint8_t **value, size_t *value_len) AG_MUST;
ag_err ag_store_del(struct ag_ctx *ctx, unsigned table, const void *key,
    size_t key_len) AG_MUST;
/* Rows with key >= from (NULL: first), in order, until visit returns false. */
typedef bool ag_store_visit(void *arg, const uint8_t *key, size_t key_len,
    const uint8_t *value, size_t value_len);
ag_err ag_store_scan(struct ag_ctx *ctx, unsigned table, const void *from,
    size_t from_len, ag_store_visit *visit, void *arg) AG_MUST;
ag_err ag_store_commit(struct ag_ctx *ctx) AG_MUST;

/* ------------------------------------------------ the audit log's cursor */

/*
 * For an actor that is not done with an event when on_audit returns, because
 * somebody else has to take it first. From the first call of ag_audit_done on,
 * the durable cursor is `next`, the oldest event that is not dealt with, and no
 * longer the one after what on_audit saw.
 */
void ag_audit_done(struct ag_ctx *ctx, uint64_t next);
/* True: no more is pulled (what is under way, at most 256 events, still comes).
 * False: again, and at once. Outside a trip. */
void ag_audit_hold(struct ag_ctx *ctx, bool hold);
uint64_t ag_audit_next(struct ag_ctx *ctx); /* next event that on_audit will see */
uint64_t ag_audit_head(struct ag_ctx *ctx); /* newest one, as last heard; 0: not yet */
/* Inside on_audit: the event as it was recorded; borrowed for the call. */
const uint8_t *ag_audit_bytes(struct ag_ctx *ctx, size_t *len);

/* ------------------------------------------------------- fleet and time */

unsigned ag_self(struct ag_ctx *ctx);
/* The i-th row of a role (keys.0 is 0), or AG_SLOT_NONE. */
unsigned ag_slot(struct ag_ctx *ctx, enum ag_role role, unsigned i);
unsigned ag_slot_named(struct ag_ctx *ctx, const char *name);
unsigned ag_slot_count(struct ag_ctx *ctx, enum ag_role role);
const char *ag_slot_name(struct ag_ctx *ctx, unsigned slot);
enum ag_role ag_slot_role(struct ag_ctx *ctx, unsigned slot);
bool ag_slot_up(struct ag_ctx *ctx, unsigned slot);
/* The shard of `role` that owns id: a stable hash of id over the row count. */
unsigned ag_shard(struct ag_ctx *ctx, enum ag_role role, const char *id);
uint64_t ag_boot(struct ag_ctx *ctx);          /* random, new at each start */

int64_t ag_now_ms(struct ag_ctx *ctx);         /* UTC; the test clock moves it */
uint64_t ag_mono_ms(struct ag_ctx *ctx);       /* CLOCK_BOOTTIME, shared by the node */
uint64_t ag_mono_us(struct ag_ctx *ctx);
/* By how much the machine's clock was set ahead of the monotonic one since the
 * fleet was started, or back (negative); 0: not worth a word. ag_now_ms does
 * not go back with it. */
int64_t ag_clock_jump_ms(struct ag_ctx *ctx);
/* fn(state, ctx) every period_ms of monotonic time, from init or ready on. */
ag_err ag_every(struct ag_ctx *ctx, unsigned period_ms, ag_on_timer *fn)
    AG_MUST;
/* Once, delay_ms from now. Bounded by AG_PENDING_MAX. */
ag_err ag_after(struct ag_ctx *ctx, unsigned delay_ms, ag_then *then,
    const void *memo, size_t memo_size) AG_MUST;

/* Memory of this turn: zeroed, aligned, wiped when the turn ends; NULL at the
 * ceiling. */
void *ag_alloc(struct ag_ctx *ctx, size_t size);
char *ag_strdup(struct ag_ctx *ctx, const char *s);
char *ag_printf(struct ag_ctx *ctx, const char *fmt, ...) AG_PRINTF(2, 3);
/* "/member/name", a JSON pointer (RFC 6901) for ag_refuse's field; a long name is
 * cut. NULL at the ceiling. */
char *ag_pointer(struct ag_ctx *ctx, const char *member, const char *name);
/* Unpacks into the turn's arena; NULL if malformed or too big. */
void *ag_unpack(struct ag_ctx *ctx, const ProtobufCMessageDescriptor *d,
    const uint8_t *bytes, size_t len);
/* Packs into the turn's arena; NULL at the ceiling. */
uint8_t *ag_pack(struct ag_ctx *ctx, const void *msg, size_t *len);

/* --------------------------------------------------- log, metrics, files */

enum ag_level { AG_DEBUG, AG_INFO, AG_WARN, AG_ERROR };
/* One JSON line on stderr (the supervisor forwards it), with the request id.
 * event: a stable id ("GRANT-FULL"); fmt: "key=%s other=%d". Control
 * characters are escaped. Never anything secret. */
void ag_log(struct ag_ctx *ctx, enum ag_level level, const char *event,
    const char *fmt, ...) AG_PRINTF(4, 5);

void ag_metric_add(struct ag_ctx *ctx, unsigned metric, uint64_t n);
/* The same for one tenant (label `tenant`); few have a row of their own, the
 * others share one (AG_METRIC_TENANTS_MAX). */
void ag_metric_add_for(struct ag_ctx *ctx, unsigned metric, const char *tenant,
    uint64_t n);
void ag_metric_set(struct ag_ctx *ctx, unsigned metric, uint64_t v);
void ag_metric_observe_us(struct ag_ctx *ctx, unsigned metric, uint64_t us);
/* Says on the health page whether this actor works; detail ≤ 63 bytes. */
void ag_set_ready(struct ag_ctx *ctx, bool ready, const char *detail);
/* It works, and somebody should look: "degraded", and why. NULL: no longer.
 * Means nothing while it does not work. */
void ag_set_degraded(struct ag_ctx *ctx, const char *detail);

const char *ag_state_dir(struct ag_ctx *ctx);  /* the fleet's state directory */
const char *ag_run_dir(struct ag_ctx *ctx);    /* run/ in it */
/* A file's path as the configuration gives it: absolute, or in the state
 * directory. Memory of this turn; NULL: none was given, or there is no memory. */
const char *ag_state_path(struct ag_ctx *ctx, const char *given);
unsigned ag_index(struct ag_ctx *ctx);         /* keys.1: 1; a sink: its row of `sinks:` */
/* Writes a file of the state directory whole or not at all (temporary file,
 * fsync, rename), with this mode. name is relative, no "..". */
ag_err ag_file_put(struct ag_ctx *ctx, const char *name, const void *bytes,
    size_t len, unsigned mode) AG_MUST;
bool ag_is_dev(struct ag_ctx *ctx);            /* environment: dev */
bool ag_dev_identity(struct ag_ctx *ctx);      /* --unsafe-dev-identity */

/* What went wrong last, shown until the process ends; ≤ 127 bytes, no secret. */
void ag_note_error(struct ag_ctx *ctx, const char *text);

/* The loop, for planes, sinks and roots of trust that speak a network
 * protocol of their own. Messages sent from its callbacks go out when the
 * callback round ends. */
struct event_base *ag_event_base(struct ag_ctx *ctx);
/* A line to the supervisor, at most AG_WORD_MAX bytes; what it says to whoever
 * asks it next. Blocks while the supervisor does not read. */
enum { AG_WORD_MAX = 120 };
void ag_tell(struct ag_ctx *ctx, const char *fmt, ...) AG_PRINTF(2, 3);
/* Ends the process in order, with this exit status. */
void ag_stop(struct ag_ctx *ctx, int status);

/* ------------------------------------------------------------- planes */

/* Admission: takes one request of `bytes` from this plane's share of the
 * fleet's budget; false if there is none left. ag_credit_give returns it. */
bool ag_credit_take(struct ag_ctx *ctx, size_t bytes);
void ag_credit_give(struct ag_ctx *ctx, size_t bytes);
/* Sends an operation to iam. request is filled in by the plane but for boot
 * and reply_key. body: packed by us. AG_NOBODY: iam is not there. */
ag_err ag_request(struct ag_ctx *ctx, uint16_t op, Ag__Request *request,
    uint64_t deadline_ms, const void *body) AG_MUST;

/* The configuration, secrets and metrics have their own headers. */
#include <aegis/config.h>
#include <aegis/id.h>
#include <aegis/metrics.h>
#include <aegis/secret.h>

#endif
