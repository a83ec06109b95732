/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a credential may be wrong: per address, and per account from
 * whatever address (limits.authentication). Only what would have to be
 * verified is looked at: who is known goes on, whoever shares the address.
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 8192, PROBES = 8, KEY_BYTES = 16 };

struct row {
	uint8_t key[KEY_BYTES]; /* of a hash: addresses are chosen by others */
	bool used;
	struct iam_window window;
};

struct iam_guard {
	struct iam_limit limit;
	uint8_t seed[16];
	struct row rows[ROWS];
};

ag_err
iam_guard_init(struct iam *iam, struct ag_ctx *ctx)
{
	int64_t rate = ag_config_int(ctx, "limits.authentication.rate");
	int64_t window_s = ag_config_int(ctx, "limits.authentication.window_s");

	if (rate == 0)
		return AG_OK;
	if ((iam->guard = calloc(1, sizeof(*iam->guard))) == NULL)
		return AG_NO_MEMORY;
	iam->guard->limit.rate = (uint32_t)rate;
	iam->guard->limit.window_ms = (uint32_t)window_s * 1000;
	ag_uuid7(ag_now_ms(ctx), iam->guard->seed);
	return AG_OK;
}

void
iam_guard_fini(struct iam *iam)
{
	free(iam->guard);
	iam->guard = NULL;
}

/* When it was last counted up, for want of a better one to give up. */
static struct row *
find(struct iam_guard *guard, const char *kind, const char *name, bool add)
{
	char text[AG_ID_SIZE + 64];
	uint8_t hash[32];
	struct row *oldest = NULL;
	uint32_t at;
	size_t n = 16;

	memcpy(text, guard->seed, n);
	n += strlen(strcpy(text + n, kind));
	if (strlen(name) > sizeof(text) - n - 1)
		return NULL;
	n += strlen(strcpy(text + n, name));
	ag_sha256(text, n, hash);
	memcpy(&at, hash + KEY_BYTES, sizeof(at));
	for (unsigned i = 0; i < PROBES; i++) {
		struct row *row = &guard->rows[(at + i) % ROWS];

		if (row->used && memcmp(row->key, hash, KEY_BYTES) == 0)
			return row;
		if (oldest == NULL || !row->used || (oldest->used &&
		    row->window.epoch < oldest->window.epoch))
			oldest = row;
	}
	if (!add)
		return NULL;
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->key, hash, KEY_BYTES);
	oldest->used = true;
	return oldest;
}

static ag_err
look(struct call *c, const char *kind, const char *name, const char *reason)
{
	struct row *row = find(c->iam->guard, kind, name, false);
	struct iam_room room;

	if (row == NULL)
		return AG_OK;
	room = iam_window_look(&row->window, &c->iam->guard->limit, c->mono, 1);
	if (room.ok)
		return AG_OK;
	ag_metric_add(c->ctx, IAM_M_REFUSED, 1);
	ag_metric_add(c->ctx, IAM_M_LIMITED, 1);
	ag_refuse_retry(c->ctx, room.retry_s);
	return ag_refuse(c->ctx, AG_RATE_LIMITED, reason, NULL,
	    "Too many credentials were wrong; try again in %u s.", room.retry_s);
}

static void
count(struct call *c, const char *kind, const char *name)
{
	struct row *row = find(c->iam->guard, kind, name, true);

	iam_window_take(&row->window, &c->iam->guard->limit, c->mono, 1);
}

ag_err
iam_guard_address(struct call *c)
{
	return c->iam->guard == NULL || c->rq->source_address == NULL ? AG_OK :
	    look(c, "a", c->rq->source_address, "address");
}

ag_err
iam_guard_account(struct call *c, const struct iam_node *node)
{
	return c->iam->guard == NULL ? AG_OK : look(c, "n", node->id, "account");
}

void
iam_guard_failed(struct call *c)
{
	if (c->iam->guard == NULL)
		return;
	if (c->rq->source_address != NULL &&
	    strlen(c->rq->source_address) < 48)
		count(c, "a", c->rq->source_address);
	if (c->token != NULL && c->token->node != NULL)
		count(c, "n", c->token->node->id);
}
