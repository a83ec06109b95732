/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What audit's files share.
 */
#ifndef AEGIS_AUDIT_H
#define AEGIS_AUDIT_H

#include "redact.h"

#include <aegis/aegis.h>
#include <aegis/seglog.h>

enum {
	TENANTS_MAX = 4096,
	TENANT_INDEX = 16384, /* power of two, four times as many */
	BOOTS_MAX = 32,       /* plane boots remembered */
	SEEN_WINDOW = 1 << 18, /* n per boot told apart: 13 s at 20,000/s */
	GAP_TICKS = 12,       /* looks at how far a boot is, in the time of a gap */
	MARK_AHEAD_MAX = 64,  /* changes recorded behind a gap, per author */
	GIVEN_MAX = 4096,     /* ids of detections and responses remembered */
	PULL_ITEMS_MAX = 256,
	PULL_BYTES_MAX = 1 << 20,
	TICK_MS = 200,        /* of audit's own timer */
	HEAD_MS = 1000,       /* a signed head at least this often */
	POKE_DELAY_MS = 5,    /* for who is in no hurry */
	STATE_TENANTS = 256,  /* per STATE record */
	CUT_BYTES = 256,      /* of a CUT record, without its chains */
	CUT_CHAIN_BYTES = 160, /* of one of them */
	ROT_TIMEOUT_MS = 2000,
	KEYS_MAX = 64,        /* that ever signed here */
	KEY_ID_MAX = 64, KEY_DER_MAX = 128, SIGNATURE_MAX = 64, /* bytes */
	KEYS_ASK_MS = 2000,   /* whether there is a new one */
};

/* One that signs, or signed, heads; in the log by a KEY record. */
struct key {
	char id[KEY_ID_MAX + 1], endorsed_by[KEY_ID_MAX + 1];
	uint8_t der[KEY_DER_MAX], endorsement[SIGNATURE_MAX];
	size_t der_len, endorsement_len; /* 0: it is the first */
	int64_t from_at;
	uint64_t pos;
};

struct tenant {
	char name[AG_SEG_TENANT_MAX + 1];
	uint64_t seq;
	uint8_t hash[AG_HASH_BYTES];
	struct ag_merkle tree;
	uint64_t signed_size;
	uint64_t signed_ms; /* monotonic, of the newest head */
	bool signing;
};

/* One start of one plane: which of its n have their outcome. Two bits each in
 * a ring of SEEN_WINDOW; every n below `low` has one. */
struct boot {
	uint64_t boot; /* 0: free */
	unsigned slot; /* AG_SLOT_NONE: not known yet */
	uint64_t low, high;
	uint8_t *bits;
	uint64_t used; /* ticks, for eviction */
	struct { uint64_t at_ms, high; } ticks[GAP_TICKS];
	unsigned tick_next;
};

struct mark {
	char author[AG_NAME_MAX + 1];
	uint64_t journal_seq;
	struct ahead { /* recorded behind a gap; seq 0: free */
		uint64_t prev, seq;
	} ahead[MARK_AHEAD_MAX];
};

struct audit {
	struct ag_seglog *log;
	char dir[AG_SEG_PATH_MAX - 32];
	struct tenant *tenants[TENANTS_MAX];
	unsigned tenant_count;
	uint16_t tenant_index[TENANT_INDEX]; /* index + 1 */
	struct tenant *tenant_last;

	struct boot boots[BOOTS_MAX];
	uint64_t gap_ms; /* twice the longest deadline: what is missing then is */
	uint64_t ticks;
	struct mark marks[AG_SLOTS_MAX];
	unsigned mark_count;
	uint64_t given[GIVEN_MAX]; /* first 8 bytes of SHA-256 of the id */
	unsigned given_next;

	uint64_t head_pos; /* newest durable event */
	uint64_t first_pos; /* oldest that is kept */
	struct ag_segs *pullers[AG_SLOTS_MAX];
	bool waiting[AG_SLOTS_MAX];
	bool poke_planned;

	uint8_t *scratch; /* previous hash, length, event: what the chain hashes */
	size_t scratch_cap;
	bool full;
	bool sign_due; /* a tenant has every_events unsigned ones */
	bool sign_now; /* somebody left */
	uint64_t quiet_pos; /* head at the last tick */
	unsigned every_events;
	unsigned every_ms;
	struct key keys[KEYS_MAX]; /* oldest first */
	unsigned key_count;
	bool keys_written, keys_asking;
	bool keys_stale; /* one signed that is not known */
	uint64_t keys_asked_ms;

	uint64_t refused_count; /* REFUSED_EVENTs not recorded one by one */
	unsigned refused_budget;

	/* A cut that no signature names yet; bytes 0: none. */
	Ag__LogRecovered cut;
	uint8_t cut_digest[AG_HASH_BYTES];
	bool cut_signing;

	struct redact redact;
	struct retain {
		enum {
			RETAIN_IDLE,
			RETAIN_SIGNING,  /* the cut is at the root of trust */
			RETAIN_RECORDED, /* the cut is durable: the file may go */
			RETAIN_REMOVING,
		} phase;
		int64_t keep_ms;    /* 0: for ever */
		uint64_t max_bytes; /* 0: no bound */
		struct ag_segs *segs;
		Ag__LogCut *cut;
		uint64_t oldest, first; /* the segment that goes, and the next */
	} retain;
};

enum audit_metric {
	M_EVENTS, M_DUPLICATES, M_LATE, M_UNACCOUNTED, M_REFUSED, M_BAD_MAC,
	M_SYNCS, M_SYNC_US, M_CHECKPOINTS, M_HEAD, M_FULL, M_POKES, M_REDACTED,
	M_CUTS, M_FIRST, M_BYTES,
};

/* ---- record.c: what becomes of an outcome */
/* g: its grant, which is believed, or NULL; plane: the slot that it is about, or
 * AG_SLOT_NONE. */
ag_err record_outcome(struct audit *a, struct ag_ctx *ctx,
    const Ag__OutcomeEvent *o, const Ag__Grant *g, unsigned plane) AG_MUST;
/* A change told again from the journal, by one who writes there. */
bool record_is_redelivered(struct ag_ctx *ctx, const Ag__OutcomeEvent *o);
/* What is told again and can never be recorded is asked for no more. */
void record_give_up(struct audit *a, struct ag_ctx *ctx,
    const Ag__OutcomeEvent *o, ag_err err);
/* Into the chain; says and counts what cannot be. */
ag_err record_append(struct audit *a, struct ag_ctx *ctx, Ag__Event *e) AG_MUST;

/* ---- chain.c: what is appended */
struct tenant *chain_tenant(struct audit *a, const char *name, bool create);
/* Gives the event its seq and appends it. Nothing changed if it fails. */
ag_err chain_append(struct audit *a, struct ag_ctx *ctx, Ag__Event *event)
    AG_MUST;
ag_err chain_control(struct audit *a, enum ag_seg_kind kind, const char *tenant,
    int64_t at, const void *msg) AG_MUST;
void chain_state(struct audit *a); /* the STATE records that begin a segment */
ag_err chain_state_load(struct audit *a, const Ag__LogState *state) AG_MUST;

/* ---- seen.c: one outcome per request */
enum seen { SEEN_NEW, SEEN_LATE, SEEN_AGAIN, SEEN_STRANGE };
enum seen_state { STATE_NONE, STATE_FINAL, STATE_OPEN, STATE_LATE };
struct boot *seen_boot(struct audit *a, uint64_t boot, unsigned slot);
/* What an outcome for n would be; changes nothing but the window. skipped:
 * numbers that fell out of the window without an outcome. */
enum seen seen_look(struct audit *a, struct boot *b, uint64_t n,
    uint64_t *skipped);
void seen_set(struct boot *b, uint64_t n, enum seen_state state);
void seen_restore(struct audit *a, const Ag__Event *event);
void seen_init(struct audit *a, struct ag_ctx *ctx); /* from the configuration */
void seen_tick(struct audit *a, struct ag_ctx *ctx);
bool seen_given(struct audit *a, const char *event_id);
void seen_give(struct audit *a, const char *event_id);
void seen_mark(struct audit *a, const char *author, uint64_t prev,
    uint64_t journal_seq);
bool seen_marked(struct audit *a, const char *author, uint64_t journal_seq);

/* ---- event.c: the public event */
/* From the grant, if there is one, else from the request; who says it is
 * `from`. Strings are borrowed from the arguments and the turn's arena. */
ag_err event_build(struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g, unsigned plane, unsigned from, Ag__Event *out) AG_MUST;
/* One of our own: tenant system, a new id. */
void event_own(struct ag_ctx *ctx, Ag__Event *out, char id[AG_ID_SIZE],
    Ag__EventType__V type, const char *operation);
/* ---- spans.c: where a traced request was, if this is the event of one */
ag_err event_spans(struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g, Ag__Event *e) AG_MUST;
const char *event_plane(struct ag_ctx *ctx, unsigned slot);

/* ---- pull.c */
ag_err on_audit_pull(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_marks(void *state, struct ag_ctx *ctx, const void *msg);
void pull_poke(struct audit *a, struct ag_ctx *ctx);
/* Lets go of segments before `first`: their files are gone. */
void pull_forget(struct audit *a, uint64_t first);
void pull_fini(struct audit *a);

/* ---- sign.c */
unsigned sign_rot(struct ag_ctx *ctx);
/* AG_PENDING: `then` gets a RotSignReply of the purpose "checkpoint". */
ag_err sign_text(struct ag_ctx *ctx, char *text, size_t len, ag_then *then)
    AG_MUST;
void sign_heads(struct audit *a, struct ag_ctx *ctx, bool now);
void sign_cut(struct audit *a, struct ag_ctx *ctx);
/* What on_…_signed hears: AG_UNAVAILABLE if it is by a key that the log does not
 * know yet; then it is asked for again when it does. */
ag_err sign_status(struct audit *a, ag_err status, const Ag__RotSignReply *reply)
    AG_MUST;

/* ---- keys.c: who signs */
/* Asks the root of trust, now and then; keeps public-key.pem. */
void keys_ask(struct audit *a, struct ag_ctx *ctx);
const struct key *keys_find(const struct audit *a, const char *key_id);
/* One that a record of the log names. False: it cannot be one. */
bool keys_load(struct audit *a, const Ag__LogKey *from);
void keys_row(const struct key *key, Ag__LogKey *out); /* borrowed from key */

/* ---- retain.c: the oldest segments go */
ag_err retain_init(struct audit *a, struct ag_ctx *ctx) AG_MUST;
void retain_tick(struct audit *a, struct ag_ctx *ctx);
void retain_fini(struct audit *a);

/* ---- recover.c: where the log ends, at start */
ag_err recover(struct audit *a, struct ag_ctx *ctx) AG_MUST;

#endif
