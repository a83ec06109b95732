/* SPDX-License-Identifier: Apache-2.0 */
/* What the executors' handlers share: the caller, checks of input, pages, and
 * what the public sees of a node. */
#include "exec.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
			    ag_pointer(ctx, "labels", labels[i]->key),
			    "A label's value is a string.");
		if (!ag_label_valid(labels[i]->key, value == NULL ? "" : value))
			return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
			    ag_pointer(ctx, "labels", labels[i]->key),
			    "A label is [a-z][a-z0-9._-]{0,62} "
			    "with at most 128 printable characters.");
	}
	return AG_OK;
}

/* What is given stays; what the caller has for a while does not. */
bool
iam_may_give(struct iam *iam, const struct iam_caller *caller,
    const struct iam_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++) {
		struct ag_scope_target target;
		struct iam_query q = { .how = IAM_Q_IMPLY,
			.asked = &scopes->items[i], .lasting = true };

		if (iam_resolve(iam, caller->tenant, q.asked, &target))
			q.target = &target;
		if (iam_reach(caller->node, caller->token, caller->now, &q) !=
		    IAM_HAS)
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ pages */

const char *
iam_after(const struct ag_page *page)
{
	return page->place_len == 0 ? NULL : (const char *)page->place;
}

char *
iam_cursor(struct ag_ctx *ctx, const struct ag_page *page, const char *last)
{
	return ag_page_cursor(ctx, page, last, strlen(last));
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
