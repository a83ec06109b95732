/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation by the key's own policy: so long after its newest version became
 * active, or after so many operations of it. A row of TABLE_ROTATE says when to
 * look at a key, nothing more: a row too many finds nothing to do and goes. The
 * revision that the new version is appended at lets one of several rotations
 * through, whoever began them.
 */
#include "keys.h"

#include <string.h>

enum {
	ROTATE_AGAIN_MS = 2000, /* looked at again, until it is done */
};

struct turn {
	char id[AG_ID_SIZE];
	uint32_t version; /* that is to be made */
};

static ag_err
look_at(struct ag_ctx *ctx, const char *id, int64_t at)
{
	uint8_t key[DUE_KEY_BYTES];
	size_t len = keys_due_key(at, id, key);

	return ag_store_put(ctx, TABLE_ROTATE, key, len, "", 1);
}

ag_err
keys_plan_rotation(struct ag_ctx *ctx, const Ag__Key *key, bool had, int64_t before)
{
	const Ag__Rotation *r = key->rotation;

	if (r == NULL || !r->has_next_at || (had && before == r->next_at))
		return AG_OK;
	return look_at(ctx, key->id, r->next_at);
}

struct replan {
	struct ag_ctx *ctx;
	ag_err err;
};

static bool
visit_key(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct replan *replan = arg;
	Ag__KeyStored *stored = ag__key_stored__unpack(NULL, value_len, value);

	if (stored == NULL) {
		replan->err = AG_CORRUPT;
		return false;
	}
	replan->err = keys_plan_rotation(replan->ctx, stored->key, false, 0);
	ag__key_stored__free_unpacked(stored, NULL);
	return replan->err == AG_OK;
}

ag_err
keys_replan_rotations(struct ag_ctx *ctx)
{
	struct replan replan = { ctx, AG_OK };
	ag_err err = ag_store_scan(ctx, TABLE_KEYS, NULL, 0, visit_key, &replan);

	return err == AG_OK ? replan.err : err;
}

/* Why it is time for a new version; NULL: it is not. */
static const char *
cause_of(const Ag__KeyStored *s, int64_t now)
{
	const Ag__Key *key = s->key;
	const Ag__Rotation *r = key->rotation;
	struct standing standing = { .state = key->state,
		.pending = keys_pending(s, key->version), .frozen = key->frozen };

	if (r == NULL || state_check(KEY_OP_ROTATE, &standing).err != AG_OK ||
	    !keys_has_material(s))
		return NULL;
	if (r->has_next_at && r->next_at <= now)
		return "every_s";
	if (r->has_after_operations &&
	    key->versions[key->version - 1]->operations >= r->after_operations)
		return "after_operations";
	return NULL;
}

void
keys_rotate_counted(struct ag_ctx *ctx, struct hot *hot)
{
	const Ag__Key *key = hot->stored->key;

	if (key->rotation == NULL || !key->rotation->has_after_operations ||
	    hot->rotate_told == key->version || key->rotation->after_operations >
	    key->versions[key->version - 1]->operations)
		return;
	if (look_at(ctx, hot->id, ag_now_ms(ctx)) == AG_OK)
		hot->rotate_told = key->version;
}

/* ------------------------------------------------------------------ one turn */

static void
failed(struct ag_ctx *ctx, const struct turn *turn, const struct hot *hot,
    ag_err err)
{
	if (hot != NULL && hot->stored->elsewhere && keys_elsewhere(ctx, err))
		return; /* the turn of the node that made it */
	ag_log(ctx, AG_ERROR, "KEY-ROTATE-FAILED", "key=%s version=%u err=%s again_ms=%d",
	    turn->id, turn->version, ag_err_row(err)->name, ROTATE_AGAIN_MS);
}

static ag_err
on_rotated(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct keys *k = state;
	const struct turn *turn = memo;
	struct hot *hot = cache_key(&k->cache, ctx, turn->id);

	if (hot != NULL)
		hot->rotating = false;
	if (status == AG_CONFLICT) /* somebody else changed it first: look again */
		return AG_OK;
	if (status != AG_OK) {
		failed(ctx, turn, hot, status);
		return AG_OK;
	}
	ag_metric_add(ctx, METRIC_ROTATED, 1);
	ag_log(ctx, AG_INFO, "KEY-ROTATED", "key=%s version=%u", turn->id, turn->version);
	return AG_OK;
}

static ag_err
persist_rotated(struct ag_ctx *ctx, struct hot *hot, const struct turn *turn,
    const char *cause, const Ag__RotGenerateReply *made)
{
	Ag__KeyVersionFact fact = AG__KEY_VERSION_FACT__INIT;
	struct ag_fact f = { keys_stream(ctx, hot->id), hot->stored->key->revision,
		AG_MSG_KEY_VERSION_FACT, &fact };
	Ag__Pair why = AG__PAIR__INIT, which = AG__PAIR__INIT;
	Ag__Pair *params[] = { &why, &which };
	Ag__OutcomeEvent event;
	char event_id[AG_ID_SIZE];
	ag_err err;

	if (f.stream == NULL)
		return AG_NO_MEMORY;
	if ((err = keys_event(ctx, hot->stored->key, "rotated", event_id, &event)) != AG_OK)
		return err;
	why.key = (char *)(uintptr_t)"cause";
	why.value = (char *)(uintptr_t)cause;
	which.key = (char *)(uintptr_t)"version";
	which.value = ag_printf(ctx, "%u", turn->version);
	event.params = params;
	event.n_params = which.value == NULL ? 1 : 2;
	event.reason = (char *)(uintptr_t)"its rotation policy";
	fact.key_id = hot->id;
	fact.version = turn->version;
	fact.has_public_key_der = made->has_public_key_der;
	fact.public_key_der = made->public_key_der;
	fact.at = ag_now_ms(ctx);
	return ag_persist_recorded(ctx, &f, 1, &event, on_rotated, turn, sizeof(*turn));
}

static ag_err
on_made(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct keys *k = state;
	const struct turn *turn = memo;
	struct hot *hot = cache_key(&k->cache, ctx, turn->id);
	const char *cause;
	ag_err err = status;

	if (hot == NULL)
		return AG_OK;
	cause = cause_of(hot->stored, ag_now_ms(ctx));
	if (status == AG_OK && (cause == NULL ||
	    hot->stored->key->version + 1 != turn->version)) {
		hot->rotating = false; /* it has been, by hand, or must not any more */
		return AG_OK;
	}
	if (err == AG_OK)
		err = persist_rotated(ctx, hot, turn, cause, msg);
	if (err == AG_PENDING)
		return err;
	hot->rotating = false;
	failed(ctx, turn, hot, err);
	return AG_OK;
}

static void
begin(struct keys *k, struct ag_ctx *ctx, const char *id)
{
	Ag__RotGenerateAsk ask = AG__ROT_GENERATE_ASK__INIT;
	struct hot *hot = cache_key(&k->cache, ctx, id);
	struct turn turn = { 0 };
	ag_err err;

	if (hot == NULL || cause_of(hot->stored, ag_now_ms(ctx)) == NULL)
		return;
	if (look_at(ctx, id, ag_now_ms(ctx) + ROTATE_AGAIN_MS) != AG_OK)
		ag_log(ctx, AG_WARN, "KEY-ROTATE-PLAN", "key=%s", id);
	if (hot->rotating)
		return;
	memcpy(turn.id, hot->id, sizeof(turn.id));
	turn.version = hot->stored->key->version + 1;
	ask.tenant = hot->stored->key->tenant;
	ask.key_id = hot->id;
	ask.version = turn.version;
	ask.key_spec = hot->stored->key->key_spec;
	err = ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_GENERATE_ASK,
	    &ask, AG_MSG_ROT_GENERATE_REPLY, ROT_MAKE_TIMEOUT_MS, on_made, &turn,
	    sizeof(turn));
	hot->rotating = err == AG_PENDING;
	if (err != AG_PENDING)
		failed(ctx, &turn, hot, err);
}

void
keys_rotate_due(void *state, struct ag_ctx *ctx)
{
	struct keys_due_scan *scan = ag_alloc(ctx, sizeof(*scan));
	uint8_t key[DUE_KEY_BYTES];
	ag_err err;

	if (scan == NULL || keys_due_look(ctx, TABLE_ROTATE, scan) != AG_OK)
		return;
	for (unsigned i = 0; i < scan->count; i++) {
		size_t len = keys_due_key(scan->at[i], scan->ids[i], key);

		if ((err = ag_store_del(ctx, TABLE_ROTATE, key, len)) != AG_OK)
			ag_log(ctx, AG_WARN, "KEY-ROTATE-PLAN", "err=%s", ag_err_row(err)->name);
		begin(state, ctx, scan->ids[i]);
	}
}
