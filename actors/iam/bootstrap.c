/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting ready: the journal is caught up, the issuer's public keys are here,
 * and there is a first tenant with an admin who has a token. The token's file
 * is written before the journal knows of it: after a crash in between, the
 * next start writes another.
 */
#include "credentials.h"
#include "factors.h"
#include "handlers.h"
#include "iam.h"

#include <string.h>

enum { RETRY_MS = 200, KEYS_EVERY_S = 5 };

static void
set_ready(struct iam *iam, struct ag_ctx *ctx)
{
	if (iam->ready)
		return;
	iam->ready = true;
	ag_set_ready(ctx, true, NULL);
}

static ag_err
founded(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;

	iam->boots = false;
	if (status == AG_OK && iam->tenant_count > 0) {
		ag_log(ctx, AG_INFO, "FOUNDED", "tenant=%s", IAM_FIRST_TENANT);
		set_ready(iam, ctx);
	} else {
		ag_log(ctx, AG_WARN, "FOUND-FAILED", "err=%s",
		    ag_err_row(status)->name);
	}
	return AG_OK; /* the timer tries again */
}

static ag_err
admin_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	const char *text = ag_printf(ctx, "%s\n", draft->token);
	ag_err err = text == NULL ? AG_NO_MEMORY : ag_file_put(ctx,
	    "admin.token", text, strlen(text), 0600);

	if (err == AG_OK)
		err = iam_found_persist(iam, ctx, draft, NULL, NULL, founded);
	if (err != AG_PENDING) {
		ag_log(ctx, AG_WARN, "FOUND-FAILED", "err=%s",
		    ag_err_row(err)->name);
		iam->boots = false;
	}
	return err == AG_PENDING ? AG_PENDING : AG_OK;
}

/* The root of trust did not sign: the timer tries again. */
static void
admin_unsigned(struct iam *iam, struct ag_ctx *ctx, ag_err err)
{
	ag_log(ctx, AG_WARN, "FOUND-FAILED", "err=%s", ag_err_row(err)->name);
	iam->boots = false;
}

void
iam_boot_continue(struct iam *iam, struct ag_ctx *ctx)
{
	ag_err err;

	if (iam->ready || iam->boots || iam->ring.count == 0)
		return;
	if (iam->tenant_count > 0) {
		set_ready(iam, ctx);
		return;
	}
	iam->boots = true;
	err = iam_found(iam, ctx, IAM_FIRST_TENANT, "admin", NULL, admin_signed,
	    admin_unsigned);
	if (err != AG_PENDING)
		iam->boots = false;
}

/* Every RETRY_MS until ready, then now and then for a rotation. */
void
iam_refresh_keys(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;

	if (!iam->caught_up)
		return;
	iam_totp_fetch_key(iam, ctx); /* until it is here */
	if (iam->ready) {
		if (++iam->key_ticks < KEYS_EVERY_S * 1000 / RETRY_MS &&
		    !iam->keys_wanted)
			return;
		iam->keys_wanted = false;
		iam->key_ticks = 0;
		iam_fetch_keys(iam, ctx);
	} else if (iam->ring.count == 0) {
		iam_fetch_keys(iam, ctx);
	} else {
		iam_boot_continue(iam, ctx);
	}
}
