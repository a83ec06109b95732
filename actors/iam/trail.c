/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trail: how a decision about scope came about, for the audit log: the scope
 * that allowed at each link of the chain, or all that the link holds that did
 * not. With it and policy/scope.c the decision can be made again.
 */
#include "iam.h"
#include "reach.h"

#include <string.h>

enum {
	HELD_MAX = 256,          /* scopes recorded of who lacked one */
	HELD_BYTES_MAX = 16384,
};

struct links {
	struct ag_ctx *ctx;
	Ag__Reach *out;
	Ag__ReachLink *held; /* the one that did not allow */
	size_t bytes;
	bool labels; /* a scope spoke of one */
};

static Ag__ReachLink *
link_add(struct links *l)
{
	Ag__ReachLink *link = ag_alloc(l->ctx, sizeof(*link));

	if (link == NULL)
		return NULL;
	ag__reach_link__init(link);
	l->out->links[l->out->n_links++] = link;
	return link;
}

static void
held_add(struct links *l, const struct iam_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++) {
		const struct ag_scope *s = &scopes->items[i];

		/* Of another kind: it could not have allowed. */
		if (s->kind != AG_SCOPE_ANY && s->kind != l->out->kind)
			continue;
		l->bytes += strlen(s->text);
		if (l->held->n_held == HELD_MAX || l->bytes > HELD_BYTES_MAX) {
			l->held->has_cut = l->held->cut = true;
			return;
		}
		l->labels = l->labels || s->select == AG_SELECT_LABEL;
		l->held->held[l->held->n_held++] = (char *)s->text;
	}
}

static bool
say_held(struct links *l, const struct iam_trail *t, int64_t now_ms)
{
	const struct iam_node *node = t->refused_by;

	if ((l->held = link_add(l)) == NULL ||
	    (l->held->held = ag_alloc(l->ctx, HELD_MAX * sizeof(char *))) == NULL)
		return false;
	if (t->refused_credential != NULL) {
		l->held->has_credential = l->held->credential = true;
		held_add(l, t->refused_credential);
		return true;
	}
	if (node->parent != NULL) {
		held_add(l, &node->scopes);
		return true;
	}
	for (unsigned i = 0; i < node->role_count; i++) {
		const struct iam_role_held *held = &node->roles[i];

		if (held->from <= now_ms && now_ms < held->until)
			held_add(l, &held->role->scopes);
	}
	return true;
}

static bool
say_labels(struct links *l, const struct ag_scope_target *target)
{
	Ag__Pair *pairs;

	if (!l->labels || target == NULL || target->label_count == 0)
		return true;
	pairs = ag_alloc(l->ctx, target->label_count * sizeof(*pairs));
	l->out->labels = ag_alloc(l->ctx,
	    target->label_count * sizeof(*l->out->labels));
	if (pairs == NULL || l->out->labels == NULL)
		return false;
	for (size_t i = 0; i < target->label_count; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)target->labels[i].key;
		pairs[i].value = (char *)target->labels[i].value;
		l->out->labels[l->out->n_labels++] = &pairs[i];
	}
	return true;
}

Ag__Reach *
iam_trail_said(struct ag_ctx *ctx, const struct iam_query *q, int64_t now_ms)
{
	const struct iam_trail *t = q->trail;
	struct links l = { .ctx = ctx, .out = ag_alloc(ctx, sizeof(*l.out)) };

	if (l.out == NULL)
		return NULL;
	ag__reach__init(l.out);
	l.out->kind = q->kind;
	l.out->op = (char *)q->op;
	l.out->selector = q->how == IAM_Q_NAME ? (char *)q->selector : NULL;
	l.out->has_all = l.out->all = q->how == IAM_Q_MATCH && q->target == NULL;
	l.out->links = ag_alloc(ctx, (t->count + 1) * sizeof(*l.out->links));
	if (l.out->links == NULL)
		return NULL;
	for (unsigned i = 0; i < t->count; i++) {
		Ag__ReachLink *link = link_add(&l);

		if (link == NULL)
			return NULL;
		link->by = (char *)t->by[i]->text;
		link->has_credential = link->credential = i == 1 && t->narrowed;
		l.labels = l.labels || t->by[i]->select == AG_SELECT_LABEL;
	}
	if (t->refused_by != NULL && !say_held(&l, t, now_ms))
		return NULL;
	return say_labels(&l, q->target) ? l.out : NULL;
}
