/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk: every record of the log, in order, against everything before it.
 */
#include "progress.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LEAVES_MAX = 1 << 22,  /* unsigned at a time; 128 MiB */
	AHEAD_MAX = 10000,     /* records looked through for a missing event */
	TEXT_MAX = 512,
	PROGRESS_EVENTS = 4096, /* until a look at the clock */
	/* A log that is being written: its last record may be half there. */
	RETRY_MAX = 3, RETRY_US = 100000,
};

/* -------------------------------------------------------------- signatures */

bool
verify_signature(const struct verify *v, const char *text, size_t len,
    const uint8_t *signature, size_t signature_len)
{
	for (size_t i = 0; i < v->key_count; i++) {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		bool ok = ctx != NULL &&
		    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, v->keys[i]) == 1 &&
		    EVP_DigestVerify(ctx, signature, signature_len,
		        (const uint8_t *)text, len) == 1;

		EVP_MD_CTX_free(ctx);
		if (ok)
			return true;
	}
	return false;
}

bool
verify_head_signed(const struct verify *v, const char *tenant,
    const struct head *head)
{
	char text[TEXT_MAX];
	size_t len = ag_seg_checkpoint_text(text, sizeof(text), tenant, head->size,
	    head->root, head->created_at);

	return len > 0 && verify_signature(v, text, len, head->signature,
	    sizeof(head->signature));
}

/* ------------------------------------------------------------------ chains */

struct chain *
verify_chain(struct verify *v, const char *tenant)
{
	struct chain **p, *c;

	if (v->last != NULL && strcmp(v->last->tenant, tenant) == 0)
		return v->last;
	for (size_t i = 0; i < v->chain_count; i++) {
		if (strcmp(v->chains[i]->tenant, tenant) == 0)
			return v->chains[i];
	}
	p = realloc(v->chains, (v->chain_count + 1) * sizeof(struct chain *));
	c = calloc(1, sizeof(*c));
	if (p == NULL || c == NULL)
		ag_panic("no memory for %zu tenants", v->chain_count + 1);
	v->chains = p;
	strcpy(c->tenant, tenant);
	return v->chains[v->chain_count++] = c;
}

ag_err
verify_broken(struct verify *v, uint64_t seq, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->what, sizeof(v->what), fmt, ap);
	va_end(ap);
	v->bad_seq = seq;
	return AG_CORRUPT;
}

bool
verify_concerns(const struct verify *v, const char *tenant)
{
	return v->tenant == NULL || strcmp(v->tenant, tenant) == 0;
}

/* Where the log breaks off: the event that should have come. */
uint64_t
verify_next_seq(const struct verify *v)
{
	for (size_t i = 0; v->tenant != NULL && i < v->chain_count; i++) {
		if (strcmp(v->chains[i]->tenant, v->tenant) == 0)
			return v->chains[i]->seq + 1;
	}
	return v->last == NULL ? 1 : v->last->seq + 1;
}

/* The tree's root over the first `size` leaves, size ≥ the anchor's. */
static void
root_at(const struct chain *c, uint64_t size, uint8_t root[AG_HASH_BYTES])
{
	struct ag_merkle tree = c->anchor;

	for (size_t i = 0; tree.size < size; i++)
		ag_merkle_add(&tree, c->leaves[i]);
	ag_merkle_root(&tree, root);
}

static void
leaf_add(struct chain *c, const struct ag_seg_record *record)
{
	if (c->leaf_count == LEAVES_MAX) {
		/* Nobody signs: give up on checkpoints of the older half. */
		for (size_t i = 0; i < LEAVES_MAX / 2; i++)
			ag_merkle_add(&c->anchor, c->leaves[i]);
		c->leaf_count -= LEAVES_MAX / 2;
		memmove(c->leaves, c->leaves + LEAVES_MAX / 2,
		    c->leaf_count * sizeof(*c->leaves));
	}
	if (c->leaf_count == c->leaf_cap) {
		size_t cap = c->leaf_cap ? 2 * c->leaf_cap : 256;
		void *p = realloc(c->leaves, cap * sizeof(*c->leaves));

		if (p == NULL)
			ag_panic("no memory for %zu leaves", cap);
		c->leaves = p;
		c->leaf_cap = cap;
	}
	ag_merkle_leaf(record->body, record->body_len, c->leaves[c->leaf_count++]);
}

/* ------------------------------------------------------------------ events */

/* Is the event `seq` further on? Then it was moved, not removed. */
static bool
comes_later(struct verify *v, const char *tenant, uint64_t seq)
{
	uint64_t segment, offset, pos;
	struct ag_seg_record record;
	bool found = false;

	ag_segs_where(v->segs, &segment, &offset, &pos);
	for (unsigned i = 0; i < AHEAD_MAX && !found; i++) {
		Ag__Event *event;

		if (ag_segs_next(v->segs, &record) != AG_OK)
			break;
		if (record.kind != AG_SEG_EVENT || strcmp(record.tenant, tenant) != 0)
			continue;
		event = ag__event__unpack(NULL, record.body_len, record.body);
		if (event == NULL)
			break;
		found = event->seq == seq;
		ag__event__free_unpacked(event, NULL);
	}
	if (ag_segs_seek(v->segs, segment, offset, pos) != AG_OK)
		return false;
	return found;
}

static ag_err
wrong_seq(struct verify *v, const struct chain *c, uint64_t seq)
{
	unsigned long long expected = c->seq + 1;

	if (seq < expected)
		return verify_broken(v, seq, "inserted: event %llu of %s appears again",
		    (unsigned long long)seq, c->tenant);
	if (comes_later(v, c->tenant, expected))
		return verify_broken(v, expected,
		    "reordered: event %llu of %s stands before event %llu",
		    (unsigned long long)seq, c->tenant, expected);
	return verify_broken(v, expected, "deleted: event %llu of %s is missing", expected,
	    c->tenant);
}

static ag_err
check_event(struct verify *v, struct chain *c, const struct ag_seg_record *record,
    const Ag__Event *event)
{
	uint8_t hash[AG_HASH_BYTES];

	if (event == NULL)
		return verify_broken(v, c->seq + 1, "edited: the record of %s is no event",
		    c->tenant);
	if (strcmp(event->tenant, c->tenant) != 0 || event->occurred_at != record->at)
		return verify_broken(v, c->seq + 1,
		    "edited: the record's head does not fit event %s", event->event_id);
	ag_seg_link(c->hash, record->body, record->body_len, hash);
	if (event->seq != c->seq + 1)
		return wrong_seq(v, c, event->seq);
	if (memcmp(hash, record->hash, AG_HASH_BYTES) != 0)
		return verify_broken(v, event->seq,
		    "edited: event %s does not match its hash", event->event_id);
	return AG_OK;
}

static ag_err
check_kept(struct verify *v, struct chain *c)
{
	uint8_t root[AG_HASH_BYTES];

	if (c->kept.size != c->seq)
		return AG_OK;
	root_at(c, c->seq, root);
	v->certain = memcmp(root, c->kept.root, AG_HASH_BYTES) != 0;
	if (v->certain)
		return verify_broken(v, c->seq,
		    "edited: %s up to event %llu is not what the kept checkpoint "
		    "covers", c->tenant, (unsigned long long)c->seq);
	c->kept_met = true;
	return AG_OK;
}

static ag_err
take_event(struct verify *v, const struct ag_seg_record *record)
{
	struct chain *c = verify_chain(v, record->tenant);
	Ag__Event *event = ag__event__unpack(NULL, record->body_len, record->body);
	ag_err err = check_event(v, c, record, event);

	if (event != NULL)
		ag__event__free_unpacked(event, NULL);
	if (err != AG_OK)
		return err;
	leaf_add(c, record);
	memcpy(c->hash, record->hash, AG_HASH_BYTES);
	c->seq++;
	v->events++;
	if (v->events % PROGRESS_EVENTS == 1)
		progress("events verified", v->events);
	v->last = c;
	return check_kept(v, c);
}

/* ----------------------------------------------------------- other records */

static ag_err
take_checkpoint(struct verify *v, const struct ag_seg_record *record)
{
	struct chain *c = verify_chain(v, record->tenant);
	Ag__Checkpoint *p = ag__checkpoint__unpack(NULL, record->body_len,
	    record->body);
	uint8_t root[AG_HASH_BYTES];
	struct head head = { .size = 0 };
	size_t covered;

	if (p == NULL || p->root_b64.len != AG_HASH_BYTES ||
	    p->signature_b64.len != sizeof(head.signature) ||
	    strlen(p->key_id) >= sizeof(head.key_id)) {
		if (p != NULL)
			ag__checkpoint__free_unpacked(p, NULL);
		return verify_broken(v, c->seq, "edited: a checkpoint of %s is damaged",
		    c->tenant);
	}
	head.size = p->size;
	head.created_at = p->created_at;
	memcpy(head.root, p->root_b64.data, AG_HASH_BYTES);
	memcpy(head.signature, p->signature_b64.data, sizeof(head.signature));
	strcpy(head.key_id, p->key_id);
	ag__checkpoint__free_unpacked(p, NULL);
	if (!verify_head_signed(v, c->tenant, &head))
		return verify_broken(v, head.size,
		    "edited: the checkpoint at event %llu of %s is not signed by this key",
		    (unsigned long long)head.size, c->tenant);
	if (head.size > c->seq)
		return verify_broken(v, c->seq + 1,
		    "deleted: a checkpoint covers %llu events of %s, there are %llu",
		    (unsigned long long)head.size, c->tenant,
		    (unsigned long long)c->seq);
	if (head.size < c->anchor.size || head.size == 0)
		return AG_OK; /* an older one than we can recompute: signed, in order */
	root_at(c, head.size, root);
	if (memcmp(root, head.root, AG_HASH_BYTES) != 0)
		return verify_broken(v, head.size,
		    "edited: %s up to event %llu is not what its checkpoint covers",
		    c->tenant, (unsigned long long)head.size);
	covered = head.size - c->anchor.size;
	for (size_t i = 0; i < covered; i++)
		ag_merkle_add(&c->anchor, c->leaves[i]);
	c->leaf_count -= covered;
	if (covered > 0)
		memmove(c->leaves, c->leaves + covered,
		    c->leaf_count * sizeof(*c->leaves));
	c->signed_head = head;
	return AG_OK;
}

static ag_err
take_recovered(struct verify *v, const struct ag_seg_record *record)
{
	Ag__LogRecovered *r = ag__log_recovered__unpack(NULL, record->body_len,
	    record->body);
	char text[TEXT_MAX];
	size_t len;
	bool ok = false;

	if (r == NULL)
		return verify_broken(v, verify_next_seq(v), "edited: a recovered record is damaged");
	if (!r->has_signature) {
		v->cuts++;
		v->cuts_unsigned++;
		v->cut_bytes += r->bytes;
		ok = true;
	} else if (r->digest.len == AG_HASH_BYTES) {
		len = ag_seg_recovered_text(text, sizeof(text), r->segment, r->offset,
		    r->bytes, r->digest.data, r->pos, r->created_at);
		ok = len > 0 && verify_signature(v, text, len, r->signature.data,
		    r->signature.len);
		if (ok && v->cuts_unsigned > 0)
			v->cuts_unsigned--;
	}
	ag__log_recovered__free_unpacked(r, NULL);
	return ok ? AG_OK : verify_broken(v, verify_next_seq(v),
	    "edited: a recovered record is not signed by this key");
}

/* The state that begins a segment must be the one that we came to. */
static ag_err
take_state(struct verify *v, const struct ag_seg_record *record)
{
	Ag__LogState *s = ag__log_state__unpack(NULL, record->body_len,
	    record->body);
	ag_err err = AG_OK;

	if (s == NULL)
		return verify_broken(v, verify_next_seq(v), "edited: a state record is damaged");
	for (size_t i = 0; err == AG_OK && i < s->n_tenants; i++) {
		const Ag__LogTenant *t = s->tenants[i];
		const struct chain *c;

		if (record->segment == v->first && v->first > 1 && v->events == 0) {
			if (!verify_cut_begin(v, t))
				err = verify_broken(v, t->seq, "edited: %s up to event %llu is not "
				    "what was signed", t->tenant,
				    (unsigned long long)t->seq);
			continue;
		}

		if (!verify_concerns(v, t->tenant) ||
		    strlen(t->tenant) > AG_SEG_TENANT_MAX)
			continue;
		c = verify_chain(v, t->tenant);
		if (t->seq != c->seq || t->hash.len != AG_HASH_BYTES ||
		    memcmp(t->hash.data, c->hash, AG_HASH_BYTES) != 0)
			err = verify_broken(v, c->seq + 1,
			    "deleted: segment %016llx goes on after event %llu of %s",
			    (unsigned long long)record->segment,
			    (unsigned long long)t->seq, c->tenant);
	}
	for (size_t i = 0; err == AG_OK && i < s->n_keys; i++)
		verify_keys_learn(v, s->keys[i]);
	ag__log_state__free_unpacked(s, NULL);
	return err;
}

static ag_err
take(struct verify *v, const struct ag_seg_record *record)
{
	uint8_t hash[AG_HASH_BYTES];

	if ((record->kind == AG_SEG_EVENT || record->kind == AG_SEG_CHECKPOINT) &&
	    !verify_concerns(v, record->tenant))
		return AG_OK;
	if (record->kind == AG_SEG_EVENT)
		return take_event(v, record);
	ag_seg_hash(record->kind, record->tenant, record->body, record->body_len,
	    hash);
	if (memcmp(hash, record->hash, AG_HASH_BYTES) != 0)
		return verify_broken(v, verify_next_seq(v),
		    "edited: a record behind event %llu does not match its hash",
		    (unsigned long long)verify_next_seq(v) - 1);
	switch (record->kind) {
	case AG_SEG_CHECKPOINT:
		return take_checkpoint(v, record);
	case AG_SEG_RECOVERED:
		return take_recovered(v, record);
	case AG_SEG_STATE:
		return take_state(v, record);
	case AG_SEG_CUT:
		return verify_cut_take(v, record);
	case AG_SEG_KEY:
		return verify_keys_take(v, record);
	case AG_SEG_EVENT:
	case AG_SEG_END:
		break;
	}
	return AG_OK;
}

/* ----------------------------------------------------------------- the walk */

static ag_err
begin(struct verify *v)
{
	const uint64_t *firsts;
	size_t count;
	ag_err err = ag_segs_list(v->segs, &firsts, &count);

	if (err != AG_OK)
		return err;
	if (count == 0)
		return verify_broken(v, 0, "the log is empty");
	v->first = firsts[0];
	return AG_OK;
}

static bool
in_last_segment(struct verify *v)
{
	uint64_t segment, offset, pos;
	const uint64_t *firsts;
	size_t count;

	ag_segs_where(v->segs, &segment, &offset, &pos);
	return ag_segs_list(v->segs, &firsts, &count) == AG_OK && count > 0 &&
	    segment == firsts[count - 1];
}

static ag_err
finish(struct verify *v)
{
	if (v->first > 1 && v->first_signed_at == 0)
		return verify_broken(v, 1, "edited: no record signs for what was removed");
	for (size_t i = 0; i < v->chain_count; i++) {
		const struct chain *c = v->chains[i];

		if (c->kept.size > c->seq)
			return verify_broken(v, c->seq + 1,
			    "tail cut: %s ends at event %llu, the kept checkpoint covers "
			    "%llu", c->tenant, (unsigned long long)c->seq,
			    (unsigned long long)c->kept.size);
	}
	if (v->events == 0)
		return verify_broken(v, 0, v->tenant == NULL ? "the log is empty" :
		    "the log has no event of %s", v->tenant);
	return AG_OK;
}

/* One record. AG_ITEM_NOT_FOUND: the end. */
static ag_err
step(struct verify *v, struct ag_seg_record *record)
{
	ag_err err = ag_segs_next(v->segs, record);
	size_t rest;

	if (err == AG_CORRUPT)
		return verify_broken(v, verify_next_seq(v), "damaged: %s", ag_segs_why(v->segs));
	if (err == AG_ITEM_NOT_FOUND && ag_segs_rest(v->segs, &rest) != NULL &&
	    rest > 0)
		return verify_broken(v, verify_next_seq(v),
		    "damaged: %zu bytes follow the last record", rest);
	if (err != AG_OK)
		return err;
	if ((err = take(v, record)) == AG_OK)
		return AG_OK;
	/* Back to the record, to look at it again. */
	if (ag_segs_seek(v->segs, record->segment, record->offset, record->pos) !=
	    AG_OK)
		return AG_IO;
	return err;
}

ag_err
verify_walk(struct verify *v)
{
	struct ag_seg_record record;
	unsigned tries = 0;
	ag_err err = begin(v);

	while (err == AG_OK) {
		err = step(v, &record);
		if (err == AG_CORRUPT && !v->certain && tries++ < RETRY_MAX &&
		    in_last_segment(v)) {
			usleep(RETRY_US);
			err = AG_OK;
		} else if (err == AG_OK) {
			tries = 0;
		}
	}
	if (err == AG_ITEM_NOT_FOUND)
		err = finish(v);
	if (err == AG_CORRUPT)
		verify_cut_blame(v);
	progress_end();
	return err;
}
