/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts of stream key:<id> folded into what is kept of a key. Pure: the same
 * facts give the same KeyStored, in a shard, in the inventory, in a handler
 * that wants to know what its fact will lead to.
 */
#ifndef KEYS_FOLD_H
#define KEYS_FOLD_H

#include <aegis/aegis.h>

/* The id in "key:<id>" or "counted:<id>", or NULL: another stream. */
const char *fold_key_id(const char *stream);
const char *fold_counted_id(const char *stream);
/* Bytes as ag_store_put got them, into the turn's arena; NULL if malformed. */
Ag__KeyStored *fold_unpack(struct ag_ctx *ctx, const uint8_t *bytes, size_t len);
/*
 * *stored (NULL: no such key yet) becomes what it is after the fact; memory of
 * the turn. AG_CORRUPT: the fact does not fit; AG_NO_MEMORY.
 */
ag_err fold(struct ag_ctx *ctx, Ag__KeyStored **stored, uint16_t type,
    const void *fact, uint64_t seq) AG_MUST;
/* The counters, which must not be trusted, become what they were at most. */
void fold_bound(Ag__KeyStored *stored);
/* Where a version that is to become `to` goes from where it is; itself:
 * nowhere. */
Ag__KeyState__V fold_next_state(Ag__KeyState__V from, Ag__KeyState__V to);
/* The version's row, or NULL. */
Ag__KeyVersion *fold_version(const Ag__KeyStored *stored, uint32_t version);

#endif
