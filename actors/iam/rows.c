/* SPDX-License-Identifier: Apache-2.0 */
/* What the executors' handlers share: the caller, checks of input, pages, and
 * what the public sees of a node. */
#include "iam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAGE_DEFAULT = 100, PAGE_MAX = 1000,
	CURSOR_LIFE_MS = 3600 * 1000,
	CURSOR_MAX = 200, /* bytes of its text */
	FILTER_HEX = 16,
};

ag_err
iam_caller(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *out)
{
	const Ag__Grant *grant = ag_grant(ctx);

	memset(out, 0, sizeof(*out));
	if (grant == NULL || grant->actor_id == NULL)
		return AG_BAD_MESSAGE;
	out->now = ag_now_ms(ctx);
	out->node = iam_node_find(iam, grant->actor_id);
	if (out->node == NULL || strcmp(out->node->tenant->name,
	    grant->tenant) != 0)
		return AG_BAD_MESSAGE;
	out->tenant = out->node->tenant;
	out->id = out->node->id;
	/* Another issuer's jti says nothing here. */
	if (grant->jti != NULL && grant->issuer == NULL)
		out->token = iam_token_find(iam, grant->jti);
	/* Between the station and here something may have been revoked. */
	if (iam_standing(out->node, out->now) != IAM_STANDS ||
	    (out->token != NULL && out->token->revoked_at != 0))
		return ag_refuse(ctx, AG_UNAUTHENTICATED, "token_revoked", NULL,
		    "The credential is revoked.");
	return AG_OK;
}

ag_err
iam_subject(const struct iam_noun *noun, struct iam *iam, struct ag_ctx *ctx,
    struct iam_caller *caller, bool exclusive, struct iam_node **out)
{
	const Ag__Grant *grant = ag_grant(ctx);
	ag_err err = iam_caller(iam, ctx, caller);
	char stream[IAM_STREAM_MAX];

	if (err != AG_OK)
		return err;
	*out = grant->resource_id == NULL ? NULL :
	    noun->find(iam, caller->tenant, grant->resource_id);
	if (*out == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such %s.", noun->name);
	if (!exclusive)
		return AG_OK;
	snprintf(stream, sizeof(stream), "%s:%s", noun->name, (*out)->id);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	return ag_if_match(ctx, (*out)->version);
}

void *
iam_array(struct ag_ctx *ctx, size_t n)
{
	return ag_alloc(ctx, (n + 1) * sizeof(void *));
}

/* ------------------------------------------------------------------ input */

bool
iam_text_valid(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

ag_err
iam_reason(struct ag_ctx *ctx, const char *reason)
{
	if (!iam_text_valid(reason, IAM_REASON_MAX))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "A reason has 1 to %d printable characters.",
		    IAM_REASON_MAX);
	ag_note_reason(ctx, reason);
	return AG_OK;
}

ag_err
iam_labels(struct ag_ctx *ctx, Ag__Pair *const *labels, size_t count, bool patch)
{
	if (count > IAM_LABELS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/labels",
		    "At most %d labels.", IAM_LABELS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *value = labels[i]->value;

		if (value == NULL && !patch)
			return ag_refuse(ctx, AG_INVALID_FIELD, "wrong_type",
			    "/labels", "A label's value is a string.");
		if (!ag_label_valid(labels[i]->key, value == NULL ? "" : value))
			return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
			    "/labels", "A label is [a-z][a-z0-9._-]{0,62} "
			    "with at most 128 printable characters.");
	}
	return AG_OK;
}

bool
iam_may_give(struct iam *iam, const struct iam_caller *caller,
    const struct iam_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++) {
		struct ag_scope_target target;
		struct iam_query q = { .how = IAM_Q_IMPLY,
			.asked = &scopes->items[i] };

		if (iam_resolve(iam, caller->tenant, q.asked, &target))
			q.target = &target;
		if (iam_reach(caller->node, caller->token, caller->now, &q) !=
		    IAM_HAS)
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ pages */

/* The cursor says which query it belongs to and how long it is good. */
static void
filter_hex(const char *filter, char out[FILTER_HEX + 1])
{
	uint8_t hash[32];

	ag_sha256(filter, strlen(filter), hash);
	ag_hex(hash, FILTER_HEX / 2, out);
}

char *
iam_cursor(struct ag_ctx *ctx, const char *filter, const char *last)
{
	char hex[FILTER_HEX + 1], *text, *out;

	filter_hex(filter, hex);
	text = ag_printf(ctx, "1.%lld.%s.%s",
	    (long long)(ag_now_ms(ctx) + CURSOR_LIFE_MS), hex, last);
	if (text == NULL)
		return NULL;
	out = ag_alloc(ctx, ag_base64_size(strlen(text)));
	if (out != NULL)
		ag_base64url((const uint8_t *)text, strlen(text), out);
	return out;
}

static bool
cursor_parse(struct ag_ctx *ctx, const char *cursor, const char *filter,
    char **after)
{
	char text[CURSOR_MAX], hex[FILTER_HEX + 1], *dot, *end;
	long long until;
	size_t len;

	if (!ag_base64url_parse(cursor, strlen(cursor), (uint8_t *)text,
	    sizeof(text) - 1, &len))
		return false;
	text[len] = '\0';
	if (strncmp(text, "1.", 2) != 0 || strlen(text) != len)
		return false;
	until = strtoll(text + 2, &end, 10);
	filter_hex(filter, hex);
	if (*end != '.' || until <= ag_now_ms(ctx) ||
	    strncmp(end + 1, hex, FILTER_HEX) != 0)
		return false;
	dot = end + 1 + FILTER_HEX;
	if (*dot != '.')
		return false;
	*after = ag_strdup(ctx, dot + 1);
	return *after != NULL;
}

ag_err
iam_page(struct ag_ctx *ctx, bool has_limit, uint32_t limit_in,
    const char *cursor, const char *filter, unsigned *limit, char **after)
{
	*limit = has_limit ? limit_in : PAGE_DEFAULT;
	*after = NULL;
	if (*limit < 1 || *limit > PAGE_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?limit",
		    "1 to %d.", PAGE_MAX);
	if (cursor != NULL && !cursor_parse(ctx, cursor, filter, after))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_cursor", "?cursor",
		    "The cursor is not of this query, or too old.");
	return AG_OK;
}

/* ------------------------------------------------------------------ views */

const char *
iam_state_word(const struct iam_node *node, int64_t now_ms)
{
	if (node->parent == NULL)
		return node->state == IAM_GONE ? "deleted" :
		    node->state == IAM_SUSPENDED ? "suspended" : "active";
	if (iam_gone_by(node) != NULL)
		return "revoked";
	if (now_ms >= node->token.expires_at)
		return "expired";
	return node->state == IAM_SUSPENDED ? "suspended" : "live";
}

Ag__Principal *
iam_principal_view(struct ag_ctx *ctx, const struct iam_node *node)
{
	return ag_unpack(ctx, &ag__principal__descriptor, node->packed,
	    node->packed_len);
}

/* Who revoked a link above revoked this one. */
static ag_err
view_end(struct ag_ctx *ctx, const struct iam_node *node, Ag__Agent *view)
{
	const struct iam_node *by = iam_gone_by(node);
	const Ag__Agent *above;

	if (by == NULL || by == node)
		return AG_OK;
	view->has_revoked_at = true;
	view->revoked_at = by->state_at;
	if (by->parent == NULL) {
		view->revoke_reason = (char *)"a principal above was deleted";
		return AG_OK;
	}
	above = ag_unpack(ctx, &ag__agent__descriptor, by->packed,
	    by->packed_len);
	if (above == NULL)
		return AG_NO_MEMORY;
	view->revoked_by = above->revoked_by;
	view->revoke_reason = above->revoke_reason;
	view->cause_event_id = above->cause_event_id;
	return AG_OK;
}

Ag__Agent *
iam_agent_view(struct ag_ctx *ctx, const struct iam_node *node)
{
	Ag__Agent *view = ag_unpack(ctx, &ag__agent__descriptor, node->packed,
	    node->packed_len);

	if (view == NULL || view_end(ctx, node, view) != AG_OK)
		return NULL;
	view->state = (char *)iam_state_word(node, ag_now_ms(ctx));
	view->chain = (Ag__Link **)node->chain;
	view->n_chain = node->chain_len;
	view->allowed_count = node->allowed;
	view->refused_count = node->refused;
	view->has_last_activity_at = node->last_activity_at != 0;
	view->last_activity_at = node->last_activity_at;
	return view;
}

/* The next in a walk through the tree below top. */
static const struct iam_node *
next_below(const struct iam_node *top, const struct iam_node *at, bool descend)
{
	if (descend && at->first_child != NULL)
		return at->first_child;
	while (at != top && at->next_sibling == NULL)
		at = at->parent;
	return at == top ? NULL : at->next_sibling;
}

unsigned
iam_live_below(const struct iam_node *node, int64_t now_ms)
{
	unsigned count = 0;

	if (iam_gone_by(node) != NULL)
		return 0;
	for (const struct iam_node *n = node; n != NULL;
	    n = next_below(node, n, n->state != IAM_GONE))
		if (n->parent != NULL && n->state != IAM_GONE &&
		    now_ms < n->token.expires_at)
			count++;
	return count;
}
