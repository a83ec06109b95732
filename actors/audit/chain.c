/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain: every tenant's sequence, hash chain and Merkle tree, and the records
 * that carry them into the log.
 */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

static unsigned
name_hash(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a: an index, not a secret */

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h & (TENANT_INDEX - 1);
}

struct tenant *
chain_tenant(struct audit *a, const char *name, bool create)
{
	struct tenant *t = a->tenant_last;
	unsigned i;

	if (t != NULL && strcmp(t->name, name) == 0)
		return t;
	for (i = name_hash(name); a->tenant_index[i] != 0;
	    i = (i + 1) & (TENANT_INDEX - 1)) {
		t = a->tenants[a->tenant_index[i] - 1];
		if (strcmp(t->name, name) == 0)
			return a->tenant_last = t;
	}
	if (!create || a->tenant_count == TENANTS_MAX || name[0] == '\0' ||
	    strlen(name) > AG_SEG_TENANT_MAX)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	strcpy(t->name, name);
	a->tenants[a->tenant_count++] = t;
	a->tenant_index[i] = (uint16_t)a->tenant_count;
	return a->tenant_last = t;
}

/* ------------------------------------------------------------------ state */

static void
state_tenant(const struct tenant *t, Ag__LogTenant *out,
    ProtobufCBinaryData peaks[AG_MERKLE_DEPTH_MAX])
{
	ag__log_tenant__init(out);
	out->tenant = (char *)t->name;
	out->seq = t->seq;
	out->hash.data = (uint8_t *)t->hash;
	out->hash.len = AG_HASH_BYTES;
	out->has_signed_size = true;
	out->signed_size = t->signed_size;
	out->peaks = peaks;
	for (unsigned i = 0; i < AG_MERKLE_DEPTH_MAX; i++) {
		if (!(t->tree.size >> i & 1))
			continue;
		peaks[out->n_peaks].data = (uint8_t *)t->tree.peaks[i];
		peaks[out->n_peaks++].len = AG_HASH_BYTES;
	}
}

static size_t
state_boots(struct audit *a, Ag__LogBoot *boots, Ag__LogBoot **list)
{
	size_t n = 0;

	for (unsigned i = 0; i < BOOTS_MAX; i++) {
		if (a->boots[i].boot == 0)
			continue;
		ag__log_boot__init(&boots[n]);
		boots[n].boot = a->boots[i].boot;
		boots[n].low = a->boots[i].low;
		boots[n].high = a->boots[i].high;
		list[n] = &boots[n];
		n++;
	}
	return n;
}

static size_t
state_marks(struct audit *a, Ag__AuditMark *marks, Ag__AuditMark **list)
{
	for (unsigned i = 0; i < a->mark_count; i++) {
		ag__audit_mark__init(&marks[i]);
		marks[i].author = a->marks[i].author;
		marks[i].journal_seq = a->marks[i].journal_seq;
		list[i] = &marks[i];
	}
	return a->mark_count;
}

static size_t
state_keys(const struct audit *a, Ag__LogKey *keys, Ag__LogKey **list)
{
	for (unsigned i = 0; i < a->key_count; i++) {
		keys_row(&a->keys[i], &keys[i]);
		list[i] = &keys[i];
	}
	return a->key_count;
}

static void
state_write(struct audit *a, const Ag__LogState *state)
{
	size_t len = ag__log_state__get_packed_size(state);
	uint8_t hash[AG_HASH_BYTES], *body = malloc(len);

	if (body == NULL)
		ag_panic("no memory for %zu bytes", len);
	ag__log_state__pack(state, body);
	ag_seg_hash(AG_SEG_STATE, "", body, len, hash);
	ag_seglog_append(a->log, AG_SEG_STATE, "", 0, hash, body, len);
	free(body);
}

void
chain_state(struct audit *a)
{
	static ProtobufCBinaryData peaks[STATE_TENANTS][AG_MERKLE_DEPTH_MAX];
	Ag__LogTenant tenants[STATE_TENANTS], *tenant_list[STATE_TENANTS];
	static Ag__AuditMark marks[AG_SLOTS_MAX], *mark_list[AG_SLOTS_MAX];
	Ag__LogBoot boots[BOOTS_MAX], *boot_list[BOOTS_MAX];
	Ag__LogKey keys[KEYS_MAX], *key_list[KEYS_MAX];
	unsigned done = 0;

	do {
		Ag__LogState state = AG__LOG_STATE__INIT;

		state.pos = ag_seglog_next_pos(a->log);
		state.tenants = tenant_list;
		for (; done < a->tenant_count && state.n_tenants < STATE_TENANTS;
		    done++) {
			unsigned i = (unsigned)state.n_tenants++;

			state_tenant(a->tenants[done], &tenants[i], peaks[i]);
			tenant_list[i] = &tenants[i];
		}
		state.more = done < a->tenant_count;
		if (!state.more) {
			state.marks = mark_list;
			state.n_marks = state_marks(a, marks, mark_list);
			state.boots = boot_list;
			state.n_boots = state_boots(a, boots, boot_list);
			state.keys = key_list;
			state.n_keys = state_keys(a, keys, key_list);
		}
		state_write(a, &state);
	} while (done < a->tenant_count);
}

static ag_err
load_tenant(struct audit *a, const Ag__LogTenant *from)
{
	struct tenant *t = chain_tenant(a, from->tenant, true);

	if (t == NULL || !ag_seg_tree(from, &t->tree))
		return AG_CORRUPT;
	t->seq = from->seq;
	t->signed_size = from->signed_size;
	memcpy(t->hash, from->hash.data, AG_HASH_BYTES);
	return AG_OK;
}

ag_err
chain_state_load(struct audit *a, const Ag__LogState *state)
{
	ag_err err;

	for (size_t i = 0; i < state->n_tenants; i++) {
		if ((err = load_tenant(a, state->tenants[i])) != AG_OK)
			return err;
	}
	for (size_t i = 0; i < state->n_marks; i++)
		seen_mark(a, state->marks[i]->author, 0,
		    state->marks[i]->journal_seq);
	for (size_t i = 0; i < state->n_keys; i++)
		if (!keys_load(a, state->keys[i]))
			return AG_CORRUPT;
	for (size_t i = 0; i < state->n_boots; i++) {
		struct boot *b = seen_boot(a, state->boots[i]->boot, AG_SLOT_NONE);

		/* What was open between low and high is an old segment's matter. */
		if (b != NULL && b->high < state->boots[i]->high) {
			b->high = state->boots[i]->high;
			b->low = b->high + 1;
		}
	}
	return AG_OK;
}

/* --------------------------------------------------------------- appending */

/* What a CUT record may take. It is left free in every segment, so that a full
 * disk does not keep the log from making room. */
static size_t
cut_reserve(const struct audit *a)
{
	return ag_seglog_cost(0, CUT_BYTES + a->tenant_count * CUT_CHAIN_BYTES);
}

/* Room for one record, in a new segment if need be. An I/O error here leaves
 * the disk in a state that nobody knows: the process ends. */
static ag_err
room(struct audit *a, size_t bytes)
{
	bool rolled;
	ag_err err = ag_seglog_room(a->log, bytes, &rolled);

	if (rolled) {
		chain_state(a);
		err = ag_seglog_room(a->log, bytes, &rolled);
	}
	if (err != AG_OK && err != AG_FULL && err != AG_REQUEST_TOO_LARGE)
		ag_panic("the audit log cannot be written");
	return err;
}

static uint8_t *
scratch(struct audit *a, size_t need)
{
	if (need > a->scratch_cap) {
		uint8_t *p = realloc(a->scratch, need * 2);

		if (p == NULL)
			return NULL;
		a->scratch = p;
		a->scratch_cap = need * 2;
	}
	return a->scratch;
}

ag_err
chain_append(struct audit *a, struct ag_ctx *ctx, Ag__Event *event)
{
	bool named = ag_name_valid(event->tenant);
	struct tenant *t = chain_tenant(a, event->tenant, named);
	uint8_t leaf[AG_HASH_BYTES], *p;
	size_t len;
	ag_err err;

	/* Neither is the disk's fault: nobody waits for room. */
	if (t == NULL)
		return named ? AG_NO_MEMORY : AG_BAD_MESSAGE;
	if ((err = redact_event(&a->redact, ctx, event)) != AG_OK)
		return err;
	event->seq = t->seq + 1;
	len = ag__event__get_packed_size(event);
	if (len > AG_SEG_BODY_MAX)
		return AG_REQUEST_TOO_LARGE;
	err = room(a, ag_seglog_cost(strlen(t->name), len) + cut_reserve(a));
	if (err != AG_OK)
		return err;
	if ((p = scratch(a, AG_HASH_BYTES + 4 + len)) == NULL)
		return AG_NO_MEMORY;
	memcpy(p, t->hash, AG_HASH_BYTES);
	for (unsigned i = 0; i < 4; i++)
		p[AG_HASH_BYTES + i] = (uint8_t)(len >> 8 * i);
	ag__event__pack(event, p + AG_HASH_BYTES + 4);
	ag_sha256(p, AG_HASH_BYTES + 4 + len, t->hash);
	/* The length's highest byte is zero (AG_SEG_BODY_MAX): the prefix that
	 * RFC 6962 wants before a leaf is already there. */
	ag_sha256(p + AG_HASH_BYTES + 3, 1 + len, leaf);
	ag_merkle_add(&t->tree, leaf);
	t->seq++;
	ag_seglog_append(a->log, AG_SEG_EVENT, t->name, event->occurred_at,
	    t->hash, p + AG_HASH_BYTES + 4, len);
	if (t->tree.size - t->signed_size >= a->every_events)
		a->sign_due = true;
	ag_metric_add(ctx, M_EVENTS, 1);
	return AG_OK;
}

ag_err
chain_control(struct audit *a, enum ag_seg_kind kind, const char *tenant,
    int64_t at, const void *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	size_t reserve = kind == AG_SEG_CUT ? 0 : cut_reserve(a);
	uint8_t hash[AG_HASH_BYTES], *p;
	ag_err err;

	err = room(a, ag_seglog_cost(strlen(tenant), len) + reserve);
	if (err != AG_OK)
		return err;
	if ((p = scratch(a, len + 1)) == NULL)
		return AG_NO_MEMORY;
	protobuf_c_message_pack(msg, p);
	ag_seg_hash(kind, tenant, p, len, hash);
	ag_seglog_append(a->log, kind, tenant, at, hash, p, len);
	return AG_OK;
}
