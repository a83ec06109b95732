/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log's files (docs/audit-format.md): a folder of segments
 * `<first pos, 16 hex>.seg`, each a header and records, zero to its end.
 * Written by one process through struct ag_seglog, read by any number through
 * struct ag_segs, without a lock; a reader beside a running writer stops at the
 * position that audit says is durable.
 *
 * Integers are little-endian.
 *   segment header (64): "AGSEG1\n\0", u64 first pos, u64 file size, zero
 *   record header (64):  u32 body length, u8 kind, u8 tenant length, u16 mark
 *                        0x5ea1, u32 batch, u32 zero, i64 at (ms), u64 zero,
 *                        hash (32); then tenant, body, zero to a multiple of 8
 *   hash: an EVENT's link of its tenant's chain, SHA-256(previous hash ‖ u32
 *   length ‖ event); any other record's SHA-256(kind ‖ tenant ‖ 0 ‖ body).
 */
#ifndef AEGIS_SEGLOG_H
#define AEGIS_SEGLOG_H

#include <aegis/err.h>
#include <aegis/merkle.h>
#include <aegis/proto.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ag_seg_kind {
	AG_SEG_EVENT = 1,      /* Event */
	AG_SEG_CHECKPOINT = 2, /* Checkpoint: a signed head of the tenant */
	AG_SEG_RECOVERED = 3,  /* LogRecovered: what was cut after a crash */
	AG_SEG_STATE = 4,      /* LogState: where every chain is; begins a segment */
	AG_SEG_END = 5,        /* the log goes on in the next segment */
	AG_SEG_CUT = 6,        /* LogCut: segments before this one were removed */
	AG_SEG_KEY = 7,        /* LogKey: a key that signs from now on */
};

enum {
	AG_SEG_HEADER_BYTES = 64,
	AG_SEG_RECORD_BYTES = 64,
	AG_SEG_BODY_MAX = 2 << 20,
	AG_SEG_TENANT_MAX = 63,
	AG_SEG_BYTES_MIN = 4 << 20,
	AG_SEG_STEP_BYTES = 1 << 20, /* zero-filled and synced at a time */
	AG_SEG_PATH_MAX = 512,
};

struct ag_seg_record {
	enum ag_seg_kind kind;
	uint32_t batch;   /* which write it was part of; grows */
	int64_t at;       /* an event's occurred_at */
	char tenant[AG_SEG_TENANT_MAX + 1];
	const uint8_t *hash;
	const uint8_t *body;
	size_t body_len;
	uint64_t pos;     /* events: node-wide number; others: of the next event */
	uint64_t segment; /* first pos of its file */
	uint64_t offset;  /* of its header in the file */
};

/* The hash of a record that is not an event. */
void ag_seg_hash(enum ag_seg_kind kind, const char *tenant, const void *body,
    size_t len, uint8_t out[AG_HASH_BYTES]);
/* An event's link: SHA-256(prev ‖ u32 length ‖ event). */
void ag_seg_link(const uint8_t prev[AG_HASH_BYTES], const void *event,
    size_t len, uint8_t out[AG_HASH_BYTES]);
/* The bytes that a checkpoint's signature covers; text, see the format page.
 * Returns their length, at most size - 1. */
size_t ag_seg_checkpoint_text(char *out, size_t size, const char *tenant,
    uint64_t tree_size, const uint8_t root[AG_HASH_BYTES], int64_t created_at);
/* The same for a RECOVERED record. */
size_t ag_seg_recovered_text(char *out, size_t size, uint64_t segment,
    uint64_t offset, uint64_t bytes, const uint8_t digest[AG_HASH_BYTES],
    uint64_t pos, int64_t created_at);

/* The same for a CUT record: over its segment, its chains, its time. */
size_t ag_seg_cut_text(char *out, size_t size, const Ag__LogCut *cut);
/* What the key before it signs of a new one. */
size_t ag_seg_key_text(char *out, size_t size, const char *key_id,
    const ProtobufCBinaryData *der, int64_t from_at);
/* A chain as a STATE record has it, as a tree. False: it cannot be. */
bool ag_seg_tree(const Ag__LogTenant *tenant, struct ag_merkle *out);

/* ------------------------------------------------------------- reading */

struct ag_segs;

/* The folder need not hold a segment yet. Blocks for the directory only. */
ag_err ag_segs_open(const char *dir, struct ag_segs **out) AG_MUST;
void ag_segs_close(struct ag_segs **segs);
/*
 * The next record, borrowed until the reader is two segments on or closed.
 * AG_ITEM_NOT_FOUND: the end, as of now (call again later).
 * AG_CORRUPT: ag_segs_why() says what; the reader stays there.
 */
ag_err ag_segs_next(struct ag_segs *segs, struct ag_seg_record *out) AG_MUST;
const char *ag_segs_why(const struct ag_segs *segs);
/* Where the next record would be. */
void ag_segs_where(const struct ag_segs *segs, uint64_t *segment,
    uint64_t *offset, uint64_t *pos);
/* Goes to a place that ag_segs_where or a record named. pos: of the next
 * event there. AG_ITEM_NOT_FOUND: no such segment. */
ag_err ag_segs_seek(struct ag_segs *segs, uint64_t segment, uint64_t offset,
    uint64_t pos) AG_MUST;
/* To the head of the segment that holds the event `pos` (0: the first
 * segment; UINT64_MAX: the last). AG_ITEM_NOT_FOUND: there is none. */
ag_err ag_segs_find(struct ag_segs *segs, uint64_t pos) AG_MUST;
/*
 * Reads the STATE records that begin the segment `first` and shows each chain
 * (borrowed for the call) until visit returns false. AG_ITEM_NOT_FOUND: there
 * is no such segment; AG_CORRUPT: it does not begin with its state.
 */
typedef bool ag_segs_visit(void *arg, const Ag__LogTenant *tenant);
ag_err ag_segs_state(struct ag_segs *segs, uint64_t first, ag_segs_visit *visit,
    void *arg) AG_MUST;
/* First positions of all segments, in order; borrowed until the next call
 * that opens one. Reads the directory. */
ag_err ag_segs_list(struct ag_segs *segs, const uint64_t **firsts, size_t *count)
    AG_MUST;
/* Size of the file the reader is in, and whether a record of a later batch
 * than `batch` + 1 lies behind the reader's place in it: then what is there
 * was released once and must not be cut. */
bool ag_segs_released_after(struct ag_segs *segs, uint32_t batch);
/* The rest of the current file from the reader's place, without the zeros at
 * its end; borrowed. */
const uint8_t *ag_segs_rest(struct ag_segs *segs, size_t *len);

/* ------------------------------------------------------------- writing */

struct ag_seglog;

/* Starts a log in an empty folder (made, 0700), with events from pos 1. */
ag_err ag_seglog_create(const char *dir, uint64_t segment_bytes,
    struct ag_seglog **out) AG_MUST;
/* Goes on at this place; what is behind it in the file is zeroed (and made
 * durable) first. pos: of the next event. */
ag_err ag_seglog_resume(const char *dir, uint64_t segment_bytes,
    uint64_t segment, uint64_t offset, uint64_t pos, uint32_t batch,
    struct ag_seglog **out) AG_MUST;
void ag_seglog_close(struct ag_seglog **log); /* without a sync */
/*
 * Whether `bytes` more of records can be appended without needing disk space:
 * ask before changing any state of one's own. Rolls to the spare segment if
 * that is what it takes; AG_FULL: there is no room.
 */
ag_err ag_seglog_room(struct ag_seglog *log, size_t bytes, bool *rolled) AG_MUST;
/* Gathers one record for the next sync. Needs room, else a panic. */
void ag_seglog_append(struct ag_seglog *log, enum ag_seg_kind kind,
    const char *tenant, int64_t at, const uint8_t hash[AG_HASH_BYTES],
    const void *body, size_t len);
bool ag_seglog_pending(const struct ag_seglog *log);
/* Writes what was gathered, in one write and one fdatasync. An error is final:
 * nobody knows what the disk has; end the process, never try again. */
ag_err ag_seglog_sync(struct ag_seglog *log) AG_MUST;
uint64_t ag_seglog_next_pos(const struct ag_seglog *log);
/* Bytes a record of this size takes in the file. */
size_t ag_seglog_cost(size_t tenant_len, size_t body_len);

/* The spare: zero-filled ahead on another thread. */
struct ag_seglog_spare {
	char path[AG_SEG_PATH_MAX];
	uint64_t bytes;
};
/* Nothing has to be made for what comes next: a spare is there, or most of the
 * segment. */
bool ag_seglog_is_roomy(const struct ag_seglog *log);
/* True if it is time to make one: fills in what ag_seglog_spare_make needs. */
bool ag_seglog_spare_due(struct ag_seglog *log, struct ag_seglog_spare *spare);
/* Blocks; touches nothing but the file. AG_FULL: no space on the device. */
ag_err ag_seglog_spare_make(const struct ag_seglog_spare *spare) AG_MUST;
void ag_seglog_spare_done(struct ag_seglog *log,
    const struct ag_seglog_spare *spare, ag_err result);

#endif
