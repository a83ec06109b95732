/* SPDX-License-Identifier: Apache-2.0 */
#include "rekey.h"

#include <stdio.h>
#include <string.h>

enum {
	TURN_MS = 1,      /* between two handfuls: requests come first */
	TELL_TURNS = 4,
	PRINT_BYTES = 16, /* of a master key's fingerprint */
};

static const char note[] = "master"; /* fingerprint of the one last spoken of */

/* ------------------------------------------------------------- its event */

static ag_err
fingerprint(struct rekey *r, uint8_t out[PRINT_BYTES])
{
	return ag_master_derive(r->vault->now.master, "aegis master key id v1", NULL, 0, out,
	    PRINT_BYTES);
}

static ag_err
say(struct ag_ctx *ctx, const uint8_t print[PRINT_BYTES], uint32_t count)
{
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *params[1] = { &pair };
	uint8_t uuid[AG_UUID_BYTES];
	char event_id[AG_ID_SIZE], keys[16];

	/* Named after the key, so that it is the same event if said twice. */
	memcpy(uuid, print, sizeof(uuid));
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x70);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	ag_id_from_uuid("evt", uuid, event_id);
	snprintf(keys, sizeof(keys), "%u", count);
	pair.key = (char *)(uintptr_t)"keys";
	pair.value = keys;
	o.event_type = AG__EVENT_TYPE__V__lifecycle;
	o.outcome = AG__OUTCOME_KIND__V__allowed;
	o.operation = (char *)(uintptr_t)"rot.rekey";
	o.tenant = (char *)(uintptr_t)"system";
	o.resource_type = (char *)(uintptr_t)"rot";
	o.resource_id = (char *)(uintptr_t)"software";
	o.params = params;
	o.n_params = 1;
	o.event_id = event_id;
	return ag_record(ctx, &o);
}

ag_err
rekey_ready(struct rekey *r, struct ag_ctx *ctx)
{
	uint8_t print[PRINT_BYTES];
	const uint8_t *known = NULL;
	size_t len;
	ag_err err = fingerprint(r, print);

	if (err != AG_OK)
		return err;
	err = ag_store_get(ctx, VAULT_TABLE_NOTES, note, strlen(note), &known, &len);
	if (err == AG_OK && len == PRINT_BYTES && memcmp(known, print, PRINT_BYTES) == 0)
		return AG_OK;
	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		return err;
	/* The first key of all is not a change of one. */
	if (err == AG_OK && (err = say(ctx, print, vault_count(r->vault))) != AG_OK)
		return err;
	err = ag_store_put(ctx, VAULT_TABLE_NOTES, note, strlen(note), print, PRINT_BYTES);
	return err == AG_OK ? ag_store_commit(ctx) : err;
}

/* ---------------------------------------------------------------- the work */

static void
fail(struct rekey *r, struct ag_ctx *ctx, ag_err err)
{
	ag_log(ctx, AG_ERROR, "ROT-REKEY-FAILED",
	    "after=%u error=%s; the old master key stays in use", r->walk.done,
	    ag_err_row(err)->name);
	r->running = false;
	vault_next_drop(r->vault);
	ag_tell(ctx, "rekey failed");
}

static void
finish(struct rekey *r, struct ag_ctx *ctx)
{
	uint32_t count = r->walk.done;

	r->running = false;
	if (vault_next_take(r->vault) != AG_OK || rekey_ready(r, ctx) != AG_OK) {
		ag_log(ctx, AG_ERROR, "ROT-REKEY-UNSURE", "the next start settles it");
		ag_stop(ctx, 1);
		return;
	}
	ag_log(ctx, AG_WARN, "ROT-REKEY", "keys=%u", count);
	ag_tell(ctx, "rekey done %u", count);
}

static ag_err step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo);

static void
again(struct rekey *r, struct ag_ctx *ctx)
{
	ag_err err = ag_after(ctx, TURN_MS, step, &r, sizeof(r));

	if (err != AG_PENDING)
		fail(r, ctx, err);
}

static ag_err
step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct rekey *r;
	bool end;
	ag_err err;

	memcpy(&r, memo, sizeof(r));
	if ((err = vault_next_carry(r->vault, ctx, &r->walk, &end)) != AG_OK) {
		fail(r, ctx, err);
		return AG_OK;
	}
	if (end && r->walk.only_check) {
		finish(r, ctx);
		return AG_OK;
	}
	if (end)
		r->walk = (struct vault_walk){ .only_check = true };
	else if (++r->turns % TELL_TURNS == 0)
		ag_tell(ctx, "rekey running %u %u",
		    r->walk.done / 2 + (r->walk.only_check ? r->total / 2 : 0), r->total);
	again(r, ctx);
	return AG_OK;
}

void
rekey_told(struct rekey *r, struct ag_ctx *ctx, const char *word)
{
	ag_err err;

	if (r->running) {
		ag_tell(ctx, "rekey refused busy");
		return;
	}
	err = vault_next_open(r->vault, ctx, strcmp(word, "resume") == 0);
	if (err == AG_ALREADY_EXISTS || err == AG_ITEM_NOT_FOUND) {
		ag_tell(ctx, "rekey refused %s", err == AG_ALREADY_EXISTS ? "half" : "none");
		return;
	}
	r->walk = (struct vault_walk){ .only_check = false };
	r->turns = 0;
	r->total = vault_count(r->vault);
	r->running = true;
	if (err != AG_OK) {
		fail(r, ctx, err);
		return;
	}
	ag_log(ctx, AG_WARN, "ROT-REKEY-BEGUN", "keys=%u %s", r->total, word);
	ag_tell(ctx, "rekey running 0 %u", r->total);
	again(r, ctx);
}
