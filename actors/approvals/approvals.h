/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the approvals share. */
#ifndef ACTORS_APPROVALS_H
#define ACTORS_APPROVALS_H

#include <aegis/aegis.h>
#include <aegis/page.h>

#include "state.h"

enum {
	APPROVAL_MATCH = 32,         /* bytes of what makes two requests one */
	APPROVAL_TEXT_MAX = 200,     /* bytes of what a caller says */
	APPROVAL_COMMENT_MAX = 500,  /* of a decision */
	APPROVAL_DECISIONS_MAX = 64, /* people who have decided on one */
	APPROVAL_ROOT_FACTOR = 5,    /* times pending_max: of all below a person */
	APPROVAL_EXPIRE_EACH = 64,   /* a second; so many reminders, too */
	APPROVAL_PURGE_EACH = 64,    /* a second */
	APPROVAL_FRESH_MAX = 64,     /* that a rule agrees to, a second */
	APPROVAL_STREAM = 64,
};

enum approvals_metric {
	APPROVALS_M_ASKED, APPROVALS_M_COALESCED, APPROVALS_M_CAPPED,
	APPROVALS_M_USED, APPROVALS_M_REFUSED, APPROVALS_M_DECIDED,
	APPROVALS_M_EXPIRED, APPROVALS_M_AUTO, APPROVALS_M_REMINDED, APPROVALS_M_PURGED,
};

enum glass_state { GLASS_ACTIVE, GLASS_CLOSED, GLASS_EXPIRED, GLASS_STATES };
enum { GLASS_REASONS = 5, GLASS_TEXT_MIN = 20, GLASS_TEXT_MAX = 1000 };

struct approvals {
	int64_t ttl_ms, window_ms, denied_ms;
	int64_t remind_ms; /* before the end; 0: never */
	int64_t keep_ms;   /* what ended */
	unsigned pending_max;
	int64_t glass_ttl_s, cooldown_ms;
	unsigned user_quota, key_quota;
	bool reasons[GLASS_REASONS];
	struct auto_rule *autos;
	size_t auto_count;
	char fresh[APPROVAL_FRESH_MAX][AG_ID_SIZE]; /* a rule agrees */
	unsigned fresh_count;
};

/* What the actor's store has. */
enum approvals_table {
	T_BY_ID, T_BY_TIME, T_BY_MATCH, T_OPEN, T_DUE,
	T_GLASS,      /* by tenant, newest first */
	T_GLASS_ID,   /* id → its row */
	T_GLASS_USER, /* by person, newest first; value: the key's id */
	T_GLASS_KEY,  /* by key, newest first */
	T_GLASS_OPEN, /* person, key → id of the last one, version */
	T_GLASS_DUE,
	T_ENDED, T_GLASS_ENDED, /* since when, id */
};
#define APPROVALS_TABLES "by_id", "by_time", "by_match", "open", "due", \
	"glass", "glass_id", "glass_user", "glass_key", "glass_open", "glass_due", \
	"ended", "glass_ended"

/* ---- rows.c */
/* A row's key: parts that are texts end with a NUL, but for the last. */
enum { ROW_KEY_MAX = 160 };
struct key {
	uint8_t bytes[ROW_KEY_MAX];
	size_t len;
};
bool key_add(struct key *key, const void *bytes, size_t len);
bool key_add_time(struct key *key, int64_t at, bool newest_first);
bool key_starts(const uint8_t *key, size_t len, const struct key *prefix);
/* What a page takes of a row: *item, or nothing of it. False: no memory. */
typedef bool rows_take(struct ag_ctx *ctx, const void *ask, const uint8_t *value,
    size_t len, void **item);
struct rows_page {
	void **items;
	size_t count;
	char *next_cursor; /* NULL: that was all */
};
/* A page of the tenant's rows, newest first; all in the turn's memory. */
ag_err rows_page(struct ag_ctx *ctx, enum approvals_table table, const void *ask,
    rows_take *take, struct rows_page *out) AG_MUST;

/* ---- book.c: the requests as the journal tells them */
/* Takes in one fact; what may not follow is logged and left out. */
ag_err book_apply(struct ag_ctx *ctx, const Ag__Approval *a, uint64_t version)
    AG_MUST;
/* In the turn's memory, revision filled in; NULL: there is none. */
Ag__Approval *book_find(struct ag_ctx *ctx, const char *id);
/* The newest about the same request, or NULL. */
Ag__Approval *book_match(struct ag_ctx *ctx, const uint8_t match[APPROVAL_MATCH]);
/* How many wait of this requester, and of all below its root. */
void book_open(struct ag_ctx *ctx, const char *root, const char *requester,
    unsigned *own, unsigned *all);
/* Ids of those that wait past `now`; returns how many, at most max. */
unsigned book_due(struct ag_ctx *ctx, enum approvals_table table, int64_t now,
    char ids[][AG_ID_SIZE], unsigned max);
/* Of those that wait, which end before `until` and were not told so yet; and
 * that this one was told. */
unsigned book_soon(struct ag_ctx *ctx, int64_t until, char ids[][AG_ID_SIZE],
    unsigned max);
ag_err book_told(struct ag_ctx *ctx, const Ag__Approval *a) AG_MUST;
/* Forgets some of those that ended before `before`; how many. */
unsigned book_purge(struct ag_ctx *ctx, int64_t before);
ag_err book_list(struct ag_ctx *ctx, const Ag__ApprovalListAsk *ask,
    Ag__ApprovalListReply *reply) AG_MUST;
/* May the trip's caller know of it? Its own, or of those below it; all of its
 * tenant if it may approve. */
bool book_visible(struct ag_ctx *ctx, const Ag__Approval *a);
/* Is this somebody in its requester's chain, the requester included? */
bool book_in_chain(const Ag__Approval *a, const char *id);

/* ---- draft.c: a request for approval as the server knows it */
ag_err draft_match(struct ag_ctx *ctx, uint8_t match[APPROVAL_MATCH]) AG_MUST;
/* In the turn's memory; NULL: no memory. */
Ag__Approval *draft_new(const struct approvals *state, struct ag_ctx *ctx,
    const uint8_t match[APPROVAL_MATCH]);

/* Into the trip's event: what people are told when they are asked. */
void draft_note(struct ag_ctx *ctx, const Ag__Approval *a);
/* What people see of its body: pairs asked.<name>, at most this many, and whether
 * there is more. Names and pairs are in the turn's memory. */
enum { DRAFT_ASKED_MAX = 9 };
size_t draft_asked(struct ag_ctx *ctx, const Ag__Approval *a,
    Ag__Pair pairs[DRAFT_ASKED_MAX]);
/* "2 of leads, 1 of system:*:approve"; in the turn's memory, or NULL. */
char *draft_needs(struct ag_ctx *ctx, const Ag__Approval *a);

/* What a trip is about: its own request, or the one that it asks ahead of. */
struct draft_about {
	const struct ag_operation *op;
	const ProtobufCBinaryData *digest;
	Ag__ApprovalNeed **needs;
	size_t n_needs;
};
/* False: about nothing that can be asked. */
bool draft_about(struct ag_ctx *ctx, struct draft_about *out);

/* ---- gate.c: the station behind risk */
ag_err gate_station(void *state, struct ag_ctx *ctx, const void *msg);
/* Ahead of a request. */
ag_err on_request(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- decide.c: what people say */
ag_err on_approve(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_deny(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_cancel(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_callback(void *state, struct ag_ctx *ctx, const void *msg);
/* Is every need met? */
bool decide_met(const Ag__Approval *a);
/* Approved now, and usable for its window. */
void decide_approve(const struct approvals *state, Ag__Approval *a, int64_t now);
/* It waited, and is now as it says: in the journal, and said as `operation`.
 * approver NULL: nobody. */
void decide_by_itself(struct ag_ctx *ctx, Ag__Approval *a, const char *operation,
    const char *approver);
/* A parameter of an event; borrows both. */
void decide_pair(Ag__Pair *pair, const char *key, const char *value);
/* Once a second: what waited too long. */
void decide_expire(void *state, struct ag_ctx *ctx);

/* ---- auto.c: what rules of the configuration agree to */
ag_err auto_init(struct approvals *state, struct ag_ctx *ctx) AG_MUST;
void auto_fini(struct approvals *state);
bool auto_fits(const struct approvals *state, const Ag__Approval *a, int64_t now);
/* It waits: does a rule agree? Within a second it is approved. */
void auto_asked(struct approvals *state, struct ag_ctx *ctx,
    const Ag__Approval *a);
void auto_tick(void *state, struct ag_ctx *ctx);

/* ---- keep.c: once a second: who is to be reminded, what is forgotten */
void keep_remind(void *state, struct ag_ctx *ctx);
void keep_purge(void *state, struct ag_ctx *ctx);

/* ---- glass.c: broken glass, the transitions and the operations */
const char *glass_state_name(enum glass_state state);
enum glass_state glass_state_named(const char *name);
bool glass_may_become(enum glass_state from, enum glass_state to);
void glass_init(struct approvals *state, struct ag_ctx *ctx);
ag_err on_glass_open(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_glass_list(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_glass_read(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_glass_close(void *state, struct ag_ctx *ctx, const void *msg);
void glass_expire(void *state, struct ag_ctx *ctx);

/* ---- glass_book.c */
ag_err glass_apply(struct ag_ctx *ctx, const Ag__BreakGlass *g, uint64_t version)
    AG_MUST;
Ag__BreakGlass *glass_find(struct ag_ctx *ctx, const char *id);
/* As book_purge; the last one of a person for a key stays: the next one's place
 * in the journal is behind it. */
unsigned glass_purge(struct ag_ctx *ctx, int64_t before);
/* The last one of this person for this key, or NULL. */
Ag__BreakGlass *glass_last(struct ag_ctx *ctx, const char *person,
    const char *key);
/* How many were opened since, and the newest one's id ("": none). */
unsigned glass_since(struct ag_ctx *ctx, enum approvals_table table,
    const char *whose, int64_t since, char newest[AG_ID_SIZE]);
bool glass_visible(struct ag_ctx *ctx, const Ag__BreakGlass *g);
ag_err glass_page(struct ag_ctx *ctx, const Ag__BreakGlassListAsk *ask,
    Ag__BreakGlassListReply *reply) AG_MUST;

#endif
