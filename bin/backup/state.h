/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backup holds, in this order, and why in this order: the fleet runs
 * while it is read, and each part may only be ahead of those before it.
 *
 *   snapshots/    positions in audit and journal: behind both copies
 *   audit/        to the last whole record; a change that the journal has and
 *                 the log has not is said again by its writer
 *   journal       the truth
 *   rot/blobs     every key of the journal's copy, and perhaps newer ones; one
 *                 that was destroyed meanwhile is missing, as it should be
 *   rot/wrapping.keys, VERSION
 *
 * Not in it: the master key, admin.token, run/, the log.
 *
 *   entry   'E' path: a store begins · 'T' name: a table of it · 'R' key value:
 *           a row · 'F' path size: a file, of so many bytes · 'S' the journal's
 *           hash and rows: the end
 *   Lengths: names and keys 2 bytes, values 4, files 8; little-endian.
 *
 * The state hash is SHA-256 over the T and R entries of the journal: two
 * journals with the same hash are replayed to the same state.
 */
#ifndef AEGIS_BACKUP_STATE_H
#define AEGIS_BACKUP_STATE_H

#include "stream.h"

#include <aegis/actor.h>
#include <aegis/merkle.h>

enum { TABLES_MAX = AG_TABLES_MAX + 1 }; /* of a store, with its numbers */

struct backup_sum {
	uint8_t hash[AG_HASH_BYTES]; /* of the state */
	uint64_t rows;               /* of the journal */
	uint64_t files, stores;
};

/* why: at least 256 bytes; what went wrong, for people. */
ag_err backup_dump(struct backup_stream *s, const char *state_dir,
    struct backup_sum *sum, char *why, size_t why_size) AG_MUST;
/* dir NULL: only reads it (verify). Else writes into dir, which is there. */
ag_err backup_load(struct backup_stream *s, const char *dir, struct backup_sum *sum,
    char *why, size_t why_size) AG_MUST;
/* Of a state directory's journal. */
ag_err backup_state_hash(const char *state_dir, struct backup_sum *sum, char *why,
    size_t why_size) AG_MUST;

#endif
