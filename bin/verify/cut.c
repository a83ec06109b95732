/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut: a log whose beginning was removed is sound if a signed record says where
 * each chain stood there.
 */
#include "walk.h"

#include <string.h>

enum { TEXT_MAX = 512 };

/* A log that was cut at its beginning: this is where its chains begin, if a
 * CUT record says the same. */
bool
verify_cut_begin(struct verify *v, const Ag__LogTenant *t)
{
	struct chain *c;

	if (!verify_concerns(v, t->tenant) || strlen(t->tenant) > AG_SEG_TENANT_MAX)
		return true;
	c = verify_chain(v, t->tenant);
	if (!ag_seg_tree(t, &c->anchor))
		return false;
	c->seq = c->base_seq = t->seq;
	memcpy(c->hash, t->hash.data, AG_HASH_BYTES);
	memcpy(c->base_hash, c->hash, AG_HASH_BYTES);
	ag_merkle_root(&c->anchor, c->base_root);
	return c->kept.size != c->base_seq || c->base_seq == 0 ||
	    memcmp(c->kept.root, c->base_root, AG_HASH_BYTES) == 0;
}

static bool
chain_fits(struct verify *v, const Ag__LogChain *said)
{
	const struct chain *c;

	if (!verify_concerns(v, said->tenant) ||
	    strlen(said->tenant) > AG_SEG_TENANT_MAX)
		return true;
	c = verify_chain(v, said->tenant);
	return said->seq == c->base_seq && said->hash.len == AG_HASH_BYTES &&
	    said->root.len == AG_HASH_BYTES &&
	    memcmp(said->hash.data, c->base_hash, AG_HASH_BYTES) == 0 &&
	    memcmp(said->root.data, c->base_root, AG_HASH_BYTES) == 0;
}

/* Every chain that begins behind the cut is in the record. */
static size_t
cut_chains(const struct verify *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->chain_count; i++)
		n += v->chains[i]->base_seq > 0;
	return n;
}

/* One of another segment speaks of a cut that was overtaken, or not done. */
ag_err
verify_cut_take(struct verify *v, const struct ag_seg_record *record)
{
	Ag__LogCut *cut = ag__log_cut__unpack(NULL, record->body_len,
	    record->body);
	char text[TEXT_MAX];
	size_t len, fit = 0, concerned = 0;
	ag_err err = AG_OK;

	if (cut == NULL)
		return verify_broken(v, verify_next_seq(v), "edited: a cut record is damaged");
	len = ag_seg_cut_text(text, sizeof(text), cut);
	if (len == 0 || !cut->has_signature || !verify_signature(v, text, len,
	        cut->signature.data, cut->signature.len)) {
		err = verify_broken(v, verify_next_seq(v),
		    "edited: a cut record is not signed by this key");
	} else if (cut->segment == v->first && v->first > 1) {
		for (size_t i = 0; i < cut->n_chains; i++) {
			concerned += verify_concerns(v, cut->chains[i]->tenant);
			fit += verify_concerns(v, cut->chains[i]->tenant) &&
			    chain_fits(v, cut->chains[i]);
		}
		if (fit == concerned && fit == cut_chains(v))
			v->first_signed_at = cut->created_at;
		else
			err = verify_broken(v, verify_next_seq(v), "edited: the log does not begin "
			    "where its cut record says");
	}
	ag__log_cut__free_unpacked(cut, NULL);
	return err;
}

/* Is there any CUT record for where the log begins? Damage is passed over: the
 * rest of that segment is left out. */
static bool
has_cut(const struct verify *v, struct ag_segs *segs, uint64_t segment)
{
	struct ag_seg_record record;
	bool found = false;

	if (ag_segs_seek(segs, segment, AG_SEG_HEADER_BYTES, segment) != AG_OK)
		return false;
	while (!found && ag_segs_next(segs, &record) == AG_OK &&
	    record.segment == segment) {
		Ag__LogCut *cut;

		if (record.kind != AG_SEG_CUT || (cut = ag__log_cut__unpack(NULL,
		        record.body_len, record.body)) == NULL)
			continue;
		found = cut->segment == v->first;
		ag__log_cut__free_unpacked(cut, NULL);
	}
	return found;
}

/* A log without its beginning is broken there, whatever else is wrong. */
void
verify_cut_blame(struct verify *v)
{
	const uint64_t *firsts;
	bool found = false;
	size_t count;

	if (v->first <= 1 || v->first_signed_at != 0)
		return;
	for (size_t i = 0; !found; i++) {
		if (ag_segs_list(v->segs, &firsts, &count) != AG_OK || i >= count)
			break;
		found = has_cut(v, v->segs, firsts[i]);
	}
	if (!found)
		(void)verify_broken(v, 1, "deleted: the log's first segment is missing");
}
