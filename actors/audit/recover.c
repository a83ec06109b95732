/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover: at start, finds where the log ends and what every chain's state is
 * there: from the STATE records that begin the last segment but one, and the
 * events since, each checked against its chain. A tail that a crash tore is
 * cut, if nothing behind it shows that it was ever released; the cut is named
 * by a RECOVERED record and by an event.
 */
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replay {
	struct ag_segs *segs;
	uint64_t segment, offset, pos; /* behind the last good record */
	uint32_t batch;
	bool loading; /* among the STATE records that begin the first segment */
	bool loaded;
	const char *why; /* what is wrong at this place; NULL: it is the end */
};

static bool
state_ok(struct audit *a, struct replay *r, const struct ag_seg_record *record)
{
	Ag__LogState *state;
	bool ok;

	if (r->loaded)
		return true; /* of a later segment: what we have is newer */
	state = ag__log_state__unpack(NULL, record->body_len, record->body);
	if (state == NULL)
		return false;
	ok = chain_state_load(a, state) == AG_OK;
	r->loaded = !state->more;
	ag__log_state__free_unpacked(state, NULL);
	return ok;
}

static bool
event_ok(struct audit *a, const struct ag_seg_record *record)
{
	struct tenant *t = chain_tenant(a, record->tenant, true);
	uint8_t hash[AG_HASH_BYTES], leaf[AG_HASH_BYTES];
	Ag__Event *event;
	bool ok = false;

	if (t == NULL)
		return false;
	ag_seg_link(t->hash, record->body, record->body_len, hash);
	if (memcmp(hash, record->hash, AG_HASH_BYTES) != 0)
		return false;
	event = ag__event__unpack(NULL, record->body_len, record->body);
	if (event == NULL)
		return false;
	if (event->seq == t->seq + 1 && strcmp(event->tenant, t->name) == 0) {
		ag_merkle_leaf(record->body, record->body_len, leaf);
		ag_merkle_add(&t->tree, leaf);
		memcpy(t->hash, hash, AG_HASH_BYTES);
		t->seq++;
		seen_restore(a, event);
		ok = true;
	}
	ag__event__free_unpacked(event, NULL);
	return ok;
}

static bool
checkpoint_ok(struct audit *a, const struct ag_seg_record *record)
{
	struct tenant *t = chain_tenant(a, record->tenant, false);
	Ag__Checkpoint *c = ag__checkpoint__unpack(NULL, record->body_len,
	    record->body);

	if (c != NULL && t != NULL && c->size <= t->seq && c->size > t->signed_size)
		t->signed_size = c->size;
	if (c == NULL)
		return false;
	ag__checkpoint__free_unpacked(c, NULL);
	return true;
}

static bool
key_ok(struct audit *a, const struct ag_seg_record *record)
{
	Ag__LogKey *key = ag__log_key__unpack(NULL, record->body_len, record->body);
	bool ok = key != NULL && keys_load(a, key);

	if (key != NULL)
		ag__log_key__free_unpacked(key, NULL);
	return ok;
}

static const char *
take(struct audit *a, struct replay *r, const struct ag_seg_record *record)
{
	uint8_t hash[AG_HASH_BYTES];

	if (record->kind == AG_SEG_EVENT) {
		if (!r->loaded && record->segment != 1)
			return "its segment's state is missing";
		r->loaded = true;
		return event_ok(a, record) ? NULL : "an event does not continue its chain";
	}
	ag_seg_hash(record->kind, record->tenant, record->body, record->body_len,
	    hash);
	if (memcmp(hash, record->hash, AG_HASH_BYTES) != 0)
		return "a record's hash does not match";
	if (record->kind == AG_SEG_STATE)
		return state_ok(a, r, record) ? NULL : "a state record is damaged";
	if (record->kind == AG_SEG_CHECKPOINT)
		return checkpoint_ok(a, record) ? NULL : "a checkpoint is damaged";
	if (record->kind == AG_SEG_KEY)
		return key_ok(a, record) ? NULL : "a key is damaged";
	return NULL;
}

static ag_err
replay(struct audit *a, struct replay *r)
{
	struct ag_seg_record record;
	size_t rest;
	ag_err err;

	for (;;) {
		err = ag_segs_next(r->segs, &record);
		if (err == AG_OK) {
			if ((r->why = take(a, r, &record)) == NULL) {
				ag_segs_where(r->segs, &r->segment, &r->offset, &r->pos);
				r->batch = record.batch;
				continue;
			}
			/* Back to the record itself. */
			return ag_segs_seek(r->segs, record.segment, record.offset,
			    record.pos);
		}
		if (err == AG_CORRUPT)
			r->why = ag_segs_why(r->segs);
		else if (err != AG_ITEM_NOT_FOUND)
			return err;
		else if (ag_segs_rest(r->segs, &rest) != NULL && rest > 0)
			r->why = "a write is there in part";
		return AG_OK;
	}
}

/* The segment to begin with: the last but one, so that what was open across
 * the roll is seen, too; further back if its STATE is not there. */
static ag_err
start(struct replay *r)
{
	struct ag_seg_record record;
	const uint64_t *firsts;
	size_t count, i;
	uint64_t first;
	ag_err err = ag_segs_list(r->segs, &firsts, &count);

	if (err != AG_OK)
		return err;
	if (count == 0)
		return AG_ITEM_NOT_FOUND;
	for (i = count >= 2 ? count - 2 : 0;; i--) {
		first = firsts[i];
		if ((err = ag_segs_find(r->segs, first)) != AG_OK)
			return err;
		if (first == 1 || i == 0)
			break;
		if (ag_segs_next(r->segs, &record) == AG_OK &&
		    record.kind == AG_SEG_STATE && record.segment == first)
			break;
		if ((err = ag_segs_list(r->segs, &firsts, &count)) != AG_OK)
			return err;
	}
	return ag_segs_seek(r->segs, first, AG_SEG_HEADER_BYTES, first);
}

/* ------------------------------------------------------------------ cutting */

static ag_err
refuse_cut(struct ag_ctx *ctx, struct replay *r, const char *because)
{
	ag_log(ctx, AG_ERROR, "AUDIT-CORRUPT",
	    "segment=%016llx offset=%llu pos=%llu what=\"%s\" because=\"%s\"",
	    (unsigned long long)r->segment, (unsigned long long)r->offset,
	    (unsigned long long)r->pos, r->why, because);
	return AG_CORRUPT;
}

static ag_err
plan_cut(struct audit *a, struct ag_ctx *ctx, struct replay *r)
{
	const uint64_t *firsts;
	const uint8_t *rest;
	size_t count, len;
	uint64_t segment, offset, pos;
	ag_err err;

	ag_segs_where(r->segs, &segment, &offset, &pos);
	if ((err = ag_segs_list(r->segs, &firsts, &count)) != AG_OK)
		return err;
	if (segment != firsts[count - 1])
		return refuse_cut(ctx, r, "there are later segments");
	if (ag_segs_released_after(r->segs, r->batch))
		return refuse_cut(ctx, r, "a later write shows it was released");
	rest = ag_segs_rest(r->segs, &len);
	if (len == 0 || offset < AG_SEG_HEADER_BYTES)
		return refuse_cut(ctx, r, "it is not a torn write");
	r->segment = segment;
	r->offset = offset;
	ag_sha256(rest, len, a->cut_digest);
	ag__log_recovered__init(&a->cut);
	a->cut.segment = segment;
	a->cut.offset = offset;
	a->cut.bytes = len;
	a->cut.digest.data = a->cut_digest;
	a->cut.digest.len = AG_HASH_BYTES;
	a->cut.pos = r->pos;
	a->cut.created_at = ag_now_ms(ctx);
	ag_log(ctx, AG_WARN, "AUDIT-CUT",
	    "segment=%016llx offset=%llu bytes=%zu what=\"%s\"",
	    (unsigned long long)segment, (unsigned long long)offset, len, r->why);
	return AG_OK;
}

/* Both at once: the record for verifiers, the event for people. */
static ag_err
record_cut(struct audit *a, struct ag_ctx *ctx)
{
	Ag__Pair pairs[4], *list[4];
	Ag__Event event;
	char id[AG_ID_SIZE], value[4][80];
	static const char *const names[] = { "segment", "offset", "bytes", "sha256" };
	ag_err err;

	err = chain_control(a, AG_SEG_RECOVERED, "", a->cut.created_at, &a->cut);
	if (err != AG_OK)
		return err;
	snprintf(value[0], sizeof(value[0]), "%016llx",
	    (unsigned long long)a->cut.segment);
	snprintf(value[1], sizeof(value[1]), "%llu",
	    (unsigned long long)a->cut.offset);
	snprintf(value[2], sizeof(value[2]), "%llu",
	    (unsigned long long)a->cut.bytes);
	ag_hex(a->cut_digest, AG_HASH_BYTES, value[3]);
	event_own(ctx, &event, id, AG__EVENT_TYPE__V__system, "audit.recovered");
	for (unsigned i = 0; i < 4; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)names[i];
		pairs[i].value = value[i];
		list[i] = &pairs[i];
	}
	event.params = list;
	event.n_params = 4;
	return chain_append(a, ctx, &event);
}

ag_err
recover(struct audit *a, struct ag_ctx *ctx)
{
	uint64_t segment_bytes = (uint64_t)ag_config_int(ctx, "audit.segment_bytes");
	struct replay r = { 0 };
	ag_err err;

	if ((err = ag_segs_open(a->dir, &r.segs)) != AG_OK)
		return err;
	if ((err = start(&r)) == AG_ITEM_NOT_FOUND) {
		err = ag_seglog_create(a->dir, segment_bytes, &a->log);
		goto out;
	}
	if (err != AG_OK)
		goto out;
	ag_segs_where(r.segs, &r.segment, &r.offset, &r.pos);
	if ((err = replay(a, &r)) != AG_OK)
		goto out;
	/* The end may be the empty head of a segment without any record. */
	ag_segs_where(r.segs, &r.segment, &r.offset, &r.pos);
	if (r.why != NULL && (err = plan_cut(a, ctx, &r)) != AG_OK)
		goto out;
	err = ag_seglog_resume(a->dir, segment_bytes, r.segment, r.offset, r.pos,
	    r.batch, &a->log);
	if (err != AG_OK)
		goto out;
	a->head_pos = r.pos - 1;
	if (r.offset == AG_SEG_HEADER_BYTES && r.segment != 1)
		chain_state(a);
	/* At once: a crash before the first flush would leave a clean end. */
	if (r.why != NULL && (err = record_cut(a, ctx)) == AG_OK)
		err = ag_seglog_sync(a->log);
out:
	ag_segs_close(&r.segs);
	return err;
}
