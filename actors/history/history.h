/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What history's files share.
 */
#ifndef AEGIS_HISTORY_H
#define AEGIS_HISTORY_H

#include <aegis/aegis.h>
#include <aegis/page.h>
#include <aegis/seglog.h>

enum {
	BLOCK_EVENTS = 1024,     /* one row of the index */
	INDEX_STEP = 50000,      /* events indexed per turn */
	SCAN_STEP = 20000,       /* events looked at per turn */
	MATCH_STEP = 4000,       /* of them unpacked */
	QUERY_BYTES_MAX = 2 << 20, /* a page ends early rather than be larger */
	ASK_MS = 1500,
	STREAMS_MAX = 64,
	STREAMS_LAST = STREAMS_MAX / 4, /* only for tenants with fewer than these */
	STREAM_BEHIND_MAX = 1000,
	STREAM_UNSURE_MS = 10 * 1000, /* a stream lives without iam's word */
	GROUP_LEAVES = 256,      /* Merkle subtrees kept: 2^8 leaves */
	GROUP_LEVEL = 8,
	PROOF_PATH_MAX = 64,
	NEEDLES_MAX = 8,
	ADDRESS_TEXT = 64, /* of a peer, and NUL */
	TENANT_KEY = AG_SEG_TENANT_MAX + 1 + 8, /* tenant, 0, size */
};

enum history_table { T_BLOCKS, T_CHECKPOINTS };

/* BLOCK_EVENTS events, beginning at pos 1 + BLOCK_EVENTS * its index. */
struct block {
	uint64_t segment, offset;
	uint64_t pos; /* of its first event that is kept */
	int64_t min_at, max_at;
};

/* Where a tenant's chain stands before the first event that is kept. */
struct anchor {
	char tenant[AG_SEG_TENANT_MAX + 1];
	uint64_t seq;
	uint8_t hash[AG_HASH_BYTES];
	struct ag_merkle tree;
};

struct history {
	char dir[AG_SEG_PATH_MAX - 32];
	uint64_t head;     /* durable, as audit said */
	bool want_wait;    /* to be asked for a poke */
	bool waiting;      /* asked */
	struct ag_segs *index_reader;
	struct ag_segs *scan_reader;
	uint64_t indexed;  /* next pos */
	uint64_t first;    /* oldest pos that is kept */
	struct anchor *anchors;
	size_t anchor_count, anchor_cap;
	struct block *blocks;
	uint64_t block_base; /* index of blocks[0]: older ones are gone */
	size_t block_count, block_cap; /* the last one may be incomplete */
	struct stream *streams[STREAMS_MAX];
	unsigned stream_count;
	bool want_pump;    /* streams could go on */
	bool pump_planned;
	bool want_wait_later;
	struct tree *trees; /* see tree.c */
	uint64_t trees_next; /* next pos to be hashed */
	struct ag_segs *tree_reader;
};

enum history_metric { M_INDEXED, M_QUERIES, M_STREAMS, M_LAGGED };

/* ---- index.c: where events are */
ag_err index_init(struct history *h, struct ag_ctx *ctx) AG_MUST;
/* Indexes up to INDEX_STEP events; *more: there is more to do. */
ag_err index_step(struct history *h, struct ag_ctx *ctx, bool *more) AG_MUST;
uint64_t block_of(uint64_t pos);
struct block *block_at(const struct history *h, uint64_t block);
uint64_t block_end(const struct history *h); /* behind the last one */
void index_restart(struct history *h); /* from the log's beginning */
/* Brings a reader to the head of a block. */
ag_err block_seek(struct history *h, struct ag_segs *segs, uint64_t block)
    AG_MUST;
/* The tenant's newest event at a pos below `below`: its hash and pos. Zeros
 * and 0 if there is none. */
ag_err index_previous(struct history *h, const char *tenant, uint64_t below,
    uint8_t hash[AG_HASH_BYTES], uint64_t *pos, uint64_t *seq) AG_MUST;
/* seq of the packed event, without unpacking it; 0: cannot say. */
uint64_t event_seq(const uint8_t *body, size_t len);
/* Does the packed event have this id? */
bool event_is(const uint8_t *body, size_t len, const char *event_id);
/* As the public sees it: what is not shown cleared, the hashes filled in. */
void event_public(Ag__Event *event, const uint8_t hash[AG_HASH_BYTES],
    const uint8_t prev[AG_HASH_BYTES]);

/* ---- cut.c: where the log begins */
/* Follows audit, which removes old segments; nothing to do as a rule. */
ag_err index_cut(struct history *h, struct ag_ctx *ctx) AG_MUST;
/* NULL: the tenant's chain begins with its first event. */
const struct anchor *index_anchor(const struct history *h, const char *tenant);

/* ---- filter.c: which events a question means */
struct filter {
	const Ag__AuditQueryAsk *ask;
	const char *tenant;
	const char *needles[NEEDLES_MAX]; /* in every packed event that matches */
	size_t needle_count;
};
void filter_init(struct filter *f, const Ag__AuditQueryAsk *ask,
    const char *tenant);
/* False: cannot match, by what is cheap to see. */
bool filter_maybe(const struct filter *f, const struct ag_seg_record *record);
bool filter_match(const struct filter *f, const Ag__Event *event);

/* ---- query.c, find.c, proof.c, consistency.c, sinks.c, stream.c: operations */
ag_err on_audit_query(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_read(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_proof(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_consistency(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_checkpoints(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_public_key(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_policy_simulate(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_sink_list(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_sink_read(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_sink_order(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_audit_stream(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_stream_stop(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_stream_credit(void *state, struct ag_ctx *ctx, const void *msg);

/* Asks audit how far the log goes, indexes up to there, then calls `then`
 * with AG_OK. AG_PENDING. */
ag_err head_ask(struct history *h, struct ag_ctx *ctx, ag_then *then,
    const void *memo, size_t memo_size) AG_MUST;
void head_is(struct history *h, uint64_t head);

/* An event found by its id, across turns. */
struct found {
	uint64_t pos, seq, segment, offset;
	uint8_t hash[AG_HASH_BYTES];
};
/* Calls `then` with memo = struct found, or AG_ITEM_NOT_FOUND. AG_PENDING. */
ag_err find_event(struct history *h, struct ag_ctx *ctx, const char *event_id,
    ag_then *then) AG_MUST;

/* Cursors whose place is a number; 0: from the start. */
char *cursor_make(struct ag_ctx *ctx, const struct ag_page *page,
    uint64_t place);
uint64_t cursor_place(const struct ag_page *page);

void stream_pump(struct history *h, struct ag_ctx *ctx);
void stream_tick(struct history *h, struct ag_ctx *ctx);
/* Ends the streams whose credential this event ends. */
void stream_look(struct history *h, struct ag_ctx *ctx,
    const struct ag_seg_record *record);
/* Asks iam about those that are in doubt: when a turn is over. */
void stream_ask(struct history *h, struct ag_ctx *ctx);
void stream_drop_slot(struct history *h, unsigned slot);
void stream_fini(struct history *h);
void tree_fini(struct history *h);  /* forgets all; begins anew when asked */

#endif
