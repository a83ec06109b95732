/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents and tokens that ended. limits.ended_kept_s after their end they leave
 * memory, so that what is bounded is what lives; their rows stay in the
 * snapshot, and the journal has them for ever. An ended agent that is asked for
 * comes back for a short while, with the links above it.
 */
#include "ended.h"
#include "exec.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECALLED_MS = 10 * 1000, /* longer than any request */
	VISITS_MAX = 10000,      /* rows looked at for one page */
	KEY_MAX = 128,           /* bytes: "<tenant>/<agent>" and such */
};

/* ------------------------------------------------------------------- rows */

static const char *
row_of_tenant(const char *tenant, const char *id, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s/%s", tenant, id);
	return key;
}

static ag_err
del_row(struct ag_ctx *ctx, enum iam_table_name table, const char *key)
{
	ag_err err = ag_store_del(ctx, table, key, strlen(key));

	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

/* In the arena; NULL: there is none, or it cannot be read. */
static Ag__Agent *
ended_row(struct ag_ctx *ctx, const char *id)
{
	const uint8_t *bytes;
	size_t len;

	if (id[0] == '\0' || strlen(id) >= AG_ID_SIZE || ag_store_get(ctx,
	    IAM_T_ENDED, id, strlen(id), &bytes, &len) != AG_OK)
		return NULL;
	return ag_unpack(ctx, &ag__agent__descriptor, bytes, len);
}

uint64_t
iam_ended_version(struct ag_ctx *ctx, const char *id)
{
	const Ag__Agent *row = ended_row(ctx, id);

	return row == NULL ? 0 : row->revision;
}

static ag_err
keep_row(struct ag_ctx *ctx, struct iam_node *node)
{
	const Ag__Agent *view = iam_agent_view(ctx, node);
	char key[KEY_MAX];
	ag_err err;

	if (view == NULL)
		return AG_NO_MEMORY;
	row_of_tenant(node->tenant->name, node->id, key);
	if ((err = iam_store_msg(ctx, IAM_T_ENDED, node->id, view)) != AG_OK ||
	    (err = ag_store_put(ctx, IAM_T_ENDED_OF, key, strlen(key), "", 0)) !=
	    AG_OK || (err = del_row(ctx, IAM_T_AGENTS, node->id)) != AG_OK)
		return err;
	if ((err = del_row(ctx, IAM_T_USES, node->id)) != AG_OK)
		return err;
	return del_row(ctx, IAM_T_ACTIVITY, node->id);
}

/* ------------------------------------------------------------------ leaving */

/* When it ended; INT64_MAX: it did not, or its end is not journaled yet. */
static int64_t
ended_at(const struct iam_node *node)
{
	const struct iam_node *by = iam_gone_by(node);
	int64_t at = node->expired ? node->token.expires_at : INT64_MAX;

	return by != NULL && by->state_at < at ? by->state_at : at;
}

static bool
may_leave(const struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node)
{
	int64_t at = ended_at(node);

	if (node->first_child != NULL || node->hold != NULL || node->dirty ||
	    node->expiring || node->reserving || at == INT64_MAX)
		return false;
	if (node->recalled)
		return ag_mono_ms(ctx) - node->recalled_ms > RECALLED_MS;
	return at + iam->ended_kept_ms <= ag_now_ms(ctx);
}

/* Out of the tree, so that the link above may follow in the same round. */
static bool
leave(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	if (!node->recalled && keep_row(ctx, node) != AG_OK)
		return false; /* the next round */
	if (node->prev_sibling != NULL)
		node->prev_sibling->next_sibling = node->next_sibling;
	else
		node->parent->first_child = node->next_sibling;
	if (node->next_sibling != NULL)
		node->next_sibling->prev_sibling = node->prev_sibling;
	if (!node->recalled)
		iam_quota_count(iam, node->tenant, IAM_C_AGENTS, false);
	node->token.left = true;
	return true;
}

/* The youngest first: nobody is older than who is above. */
size_t
iam_ended_sweep(struct iam *iam, struct ag_ctx *ctx, size_t from, size_t window,
    unsigned max)
{
	struct iam_list *list = &iam->agents;
	size_t end, w;
	unsigned count = 0;

	if (from >= list->count)
		from = 0;
	end = window < list->count - from ? from + window : list->count;
	for (size_t i = end; i > from && count < max; i--)
		if (may_leave(iam, ctx, list->items[i - 1]) &&
		    leave(iam, ctx, list->items[i - 1]))
			count++;
	if (count == 0)
		return end;
	iam_cache_forget(&iam->cache);
	for (size_t i = w = from; i < end; i++) {
		if (list->items[i]->token.left)
			iam_node_drop(iam, list->items[i]);
		else
			list->items[w++] = list->items[i];
	}
	memmove(&list->items[w], &list->items[end],
	    (list->count - end) * sizeof(list->items[0]));
	list->count -= end - w;
	ag_metric_set(ctx, IAM_M_AGENTS, list->count);
	return w;
}

/* ---------------------------------------------------------------- coming back */

static struct iam_node *
recall(struct iam *iam, struct ag_ctx *ctx, const Ag__Agent *row, unsigned depth)
{
	struct iam_node *node = iam_node_find(iam, row->parent);
	const Ag__Agent *above;

	if (node == NULL && depth < IAM_DEPTH_MAX &&
	    (above = ended_row(ctx, row->parent)) != NULL)
		node = recall(iam, ctx, above, depth + 1);
	if (node == NULL || iam_take_agent(iam, row, &node) != AG_OK)
		return NULL;
	iam_quota_count(iam, node->tenant, IAM_C_AGENTS, false);
	node->recalled = true;
	node->recalled_ms = ag_mono_ms(ctx);
	node->allowed = row->allowed_count;
	node->refused = row->refused_count;
	node->last_activity_at = row->has_last_activity_at ?
	    row->last_activity_at : 0;
	return node;
}

struct iam_node *
iam_agent_recall(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const char *id)
{
	struct iam_node *node = iam_node_find(iam, id);
	const Ag__Agent *row;

	if (node == NULL && (row = ended_row(ctx, id)) != NULL &&
	    (tenant == NULL || strcmp(row->tenant, tenant->name) == 0))
		node = recall(iam, ctx, row, 0);
	if (node == NULL || node->parent == NULL ||
	    (tenant != NULL && node->tenant != tenant))
		return NULL;
	if (node->recalled)
		node->recalled_ms = ag_mono_ms(ctx);
	return node;
}

ag_err
iam_ended_undo(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	char key[KEY_MAX];
	ag_err err;

	if (!node->recalled)
		return AG_OK;
	node->recalled = false;
	iam_quota_count(iam, node->tenant, IAM_C_AGENTS, true);
	iam_mark_dirty(iam, node);
	row_of_tenant(node->tenant->name, node->id, key);
	err = del_row(ctx, IAM_T_ENDED, node->id);
	return err != AG_OK ? err : del_row(ctx, IAM_T_ENDED_OF, key);
}

ag_err
iam_ended_counted(struct ag_ctx *ctx, const char *id, bool allowed, uint32_t n,
    int64_t at)
{
	Ag__Agent *row = ended_row(ctx, id);

	if (row == NULL)
		return AG_OK;
	if (allowed)
		row->allowed_count += n;
	else
		row->refused_count += n;
	if (!row->has_last_activity_at || at > row->last_activity_at)
		row->last_activity_at = at;
	row->has_last_activity_at = true;
	return iam_store_msg(ctx, IAM_T_ENDED, id, row);
}

/* ------------------------------------------------------------------- pages */

struct page {
	struct ag_ctx *ctx;
	const char *prefix;
	const char *skip; /* the key where the page before ended, or NULL */
	iam_ended_wanted *wanted;
	const void *arg;
	Ag__Agent **items;
	size_t count, max;
	unsigned visits;
	const char *stopped; /* UUID of the last row that was looked at */
	ag_err err;
};

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct page *p = arg;
	size_t n = strlen(p->prefix);
	char id[AG_ID_SIZE];
	Ag__Agent *row;

	if (key_len <= n || memcmp(key, p->prefix, n) != 0)
		return false;
	if (key_len - n >= sizeof(id))
		return true;
	memcpy(id, key + n, key_len - n);
	id[key_len - n] = '\0';
	if (p->skip != NULL && strcmp(id, p->skip) == 0)
		return true;
	row = ended_row(p->ctx, id);
	if (row == NULL) {
		p->err = AG_NO_MEMORY;
		return false;
	}
	if (p->wanted(p->arg, row))
		p->items[p->count++] = row;
	if (p->count == p->max)
		return false;
	if (++p->visits < VISITS_MAX)
		return true;
	p->stopped = ag_strdup(p->ctx, id + 4);
	return false;
}

ag_err
iam_ended_page(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const char *after, iam_ended_wanted *wanted, const void *arg, size_t max,
    struct iam_ended_page *out)
{
	struct page p = { .ctx = ctx, .wanted = wanted, .arg = arg, .max = max };
	char from[KEY_MAX];
	ag_err err;

	p.items = iam_array(ctx, max);
	p.prefix = ag_printf(ctx, "%s/", tenant->name);
	p.skip = after == NULL ? NULL : ag_printf(ctx, "agt_%s", after);
	if (p.items == NULL || p.prefix == NULL)
		return AG_NO_MEMORY;
	row_of_tenant(tenant->name, p.skip == NULL ? "" : p.skip, from);
	err = ag_store_scan(ctx, IAM_T_ENDED_OF, from, strlen(from), visit, &p);
	out->items = p.items;
	out->count = p.count;
	out->stopped = p.stopped;
	return err != AG_OK ? err : p.err;
}

/* ------------------------------------------------------------------ tokens */

ag_err
iam_token_leave(struct iam *iam, struct ag_ctx *ctx, struct iam_token *token)
{
	Ag__Token row = AG__TOKEN__INIT;
	char key[KEY_MAX];
	ag_err err;

	row.jti = token->jti;
	row.issued_at = token->issued_at;
	row.expires_at = token->expires_at;
	row.has_last_used_at = token->last_used_at != 0;
	row.last_used_at = token->last_used_at;
	row.has_revoked_at = token->revoked_at != 0;
	row.revoked_at = token->revoked_at;
	row.break_glass = token->glass;
	row_of_tenant(token->node->id, token->jti, key);
	if ((err = iam_store_msg(ctx, IAM_T_ENDED_TOKENS, key, &row)) != AG_OK ||
	    (err = del_row(ctx, IAM_T_TOKENS, token->jti)) != AG_OK)
		return err;
	return del_row(ctx, IAM_T_TOKEN_ENDS, token->jti);
}

struct tokens {
	struct ag_ctx *ctx;
	const char *prefix, *after;
	Ag__Token **items;
	size_t count, max;
};

static bool
visit_token(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct tokens *t = arg;
	size_t n = strlen(t->prefix);
	Ag__Token *row;

	if (key_len <= n || memcmp(key, t->prefix, n) != 0)
		return false;
	row = ag_unpack(t->ctx, &ag__token__descriptor, value, value_len);
	if (row == NULL)
		return false;
	if (t->after == NULL || strcmp(row->jti, t->after) > 0)
		t->items[t->count++] = row;
	return t->count < t->max;
}

size_t
iam_ended_tokens(struct ag_ctx *ctx, const struct iam_node *node,
    const char *after, Ag__Token **items, size_t max)
{
	struct tokens t = { .ctx = ctx, .after = after, .items = items,
		.max = max };
	char from[KEY_MAX];

	t.prefix = ag_printf(ctx, "%s/", node->id);
	row_of_tenant(node->id, after == NULL ? "" : after, from);
	if (t.prefix == NULL || max == 0 || ag_store_scan(ctx,
	    IAM_T_ENDED_TOKENS, from, strlen(from), visit_token, &t) != AG_OK)
		return 0;
	return t.count;
}
