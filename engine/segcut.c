/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segcut: where chains stand between two segments, and what a signature says
 * of a log whose beginning was removed, and of a key that is new.
 */
#include "engine.h"
#include "seglog.h"

#include <stdio.h>

bool
ag_seg_tree(const Ag__LogTenant *tenant, struct ag_merkle *out)
{
	size_t peak = 0;

	memset(out, 0, sizeof(*out));
	if (tenant->hash.len != AG_HASH_BYTES)
		return false;
	for (unsigned i = 0; i < AG_MERKLE_DEPTH_MAX; i++) {
		if (!(tenant->seq >> i & 1))
			continue;
		if (peak == tenant->n_peaks ||
		    tenant->peaks[peak].len != AG_HASH_BYTES)
			return false;
		memcpy(out->peaks[i], tenant->peaks[peak++].data, AG_HASH_BYTES);
	}
	out->size = tenant->seq;
	return peak == tenant->n_peaks;
}

/* Each chain as the text `<digest so far>tenant seq link root` and a newline,
 * hashed one into the next, so that their number needs no memory. */
static bool
chains_digest(const Ag__LogCut *cut, uint8_t out[AG_HASH_BYTES])
{
	char before[2 * AG_HASH_BYTES + 1], link[2 * AG_HASH_BYTES + 1];
	char line[6 * AG_HASH_BYTES + AG_SEG_TENANT_MAX + 32];
	char root[2 * AG_HASH_BYTES + 1];

	memset(out, 0, AG_HASH_BYTES);
	for (size_t i = 0; i < cut->n_chains; i++) {
		const Ag__LogChain *c = cut->chains[i];
		int n;

		if (strlen(c->tenant) > AG_SEG_TENANT_MAX ||
		    c->hash.len != AG_HASH_BYTES || c->root.len != AG_HASH_BYTES)
			return false;
		ag_hex(out, AG_HASH_BYTES, before);
		ag_hex(c->hash.data, AG_HASH_BYTES, link);
		ag_hex(c->root.data, AG_HASH_BYTES, root);
		n = snprintf(line, sizeof(line), "%s%s %llu %s %s\n", before,
		    c->tenant, (unsigned long long)c->seq, link, root);
		if (n < 0 || (size_t)n >= sizeof(line))
			return false;
		ag_sha256(line, (size_t)n, out);
	}
	return true;
}

size_t
ag_seg_cut_text(char *out, size_t size, const Ag__LogCut *cut)
{
	uint8_t digest[AG_HASH_BYTES];
	char hex[2 * AG_HASH_BYTES + 1];
	int n;

	if (!chains_digest(cut, digest))
		return 0;
	ag_hex(digest, AG_HASH_BYTES, hex);
	n = snprintf(out, size, "aegis audit cut v1\n%016llx\n%zu\n%s\n%lld\n",
	    (unsigned long long)cut->segment, cut->n_chains, hex,
	    (long long)cut->created_at);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

size_t
ag_seg_key_text(char *out, size_t size, const char *key_id,
    const ProtobufCBinaryData *der, int64_t from_at)
{
	uint8_t digest[AG_HASH_BYTES];
	char hex[2 * AG_HASH_BYTES + 1];
	int n;

	ag_sha256(der->data, der->len, digest);
	ag_hex(digest, AG_HASH_BYTES, hex);
	n = snprintf(out, size, "aegis audit key v1\n%s\n%s\n%lld\n", key_id, hex,
	    (long long)from_at);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

/* One STATE record. *more: another follows. */
static ag_err
visit_state(const struct ag_seg_record *record, ag_segs_visit *visit, void *arg,
    bool *more)
{
	uint8_t hash[AG_HASH_BYTES];
	Ag__LogState *state;

	if (record->kind != AG_SEG_STATE)
		return AG_CORRUPT;
	ag_seg_hash(record->kind, record->tenant, record->body, record->body_len,
	    hash);
	if (memcmp(hash, record->hash, AG_HASH_BYTES) != 0)
		return AG_CORRUPT;
	state = ag__log_state__unpack(NULL, record->body_len, record->body);
	if (state == NULL)
		return AG_CORRUPT;
	*more = state->more;
	for (size_t i = 0; i < state->n_tenants; i++) {
		if (!visit(arg, state->tenants[i])) {
			*more = false;
			break;
		}
	}
	ag__log_state__free_unpacked(state, NULL);
	return AG_OK;
}

ag_err
ag_segs_state(struct ag_segs *segs, uint64_t first, ag_segs_visit *visit,
    void *arg)
{
	struct ag_seg_record record;
	bool more = true;
	ag_err err = ag_segs_seek(segs, first, AG_SEG_HEADER_BYTES, first);

	while (err == AG_OK && more) {
		err = ag_segs_next(segs, &record);
		if (err == AG_OK)
			err = record.segment != first ? AG_CORRUPT :
			    visit_state(&record, visit, arg, &more);
		else if (err == AG_ITEM_NOT_FOUND)
			err = AG_CORRUPT;
	}
	return err;
}
