/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: which events a question means. Pure.
 */
#include "history.h"

#include <string.h>

static void
needle(struct filter *f, const char *text)
{
	if (text != NULL && text[0] != '\0' && f->needle_count < NEEDLES_MAX)
		f->needles[f->needle_count++] = text;
}

void
filter_init(struct filter *f, const Ag__AuditQueryAsk *ask, const char *tenant)
{
	f->ask = ask;
	f->tenant = tenant;
	f->needle_count = 0;
	/* Whatever must be equal must be among the bytes. */
	needle(f, ask->actor);
	needle(f, ask->agent);
	needle(f, ask->root);
	needle(f, ask->key);
	needle(f, ask->operation);
	needle(f, ask->code);
	needle(f, ask->model);
	needle(f, ask->request_id);
}

bool
filter_maybe(const struct filter *f, const struct ag_seg_record *record)
{
	const Ag__AuditQueryAsk *ask = f->ask;

	if (record->kind != AG_SEG_EVENT ||
	    strcmp(record->tenant, f->tenant) != 0)
		return false;
	if ((ask->has_since && record->at < ask->since) ||
	    (ask->has_until && record->at >= ask->until))
		return false;
	for (size_t i = 0; i < f->needle_count; i++) {
		if (memmem(record->body, record->body_len, f->needles[i],
		        strlen(f->needles[i])) == NULL)
			return false;
	}
	return true;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

static bool
in_chain(const Ag__Event *e, const char *who)
{
	for (size_t i = 0; i < e->n_chain; i++) {
		if (same(e->chain[i]->id, who) || same(e->chain[i]->name, who))
			return true;
	}
	return false;
}

static bool
actor_is(const Ag__Event *e, const char *who)
{
	return e->actor != NULL &&
	    (same(e->actor->id, who) || same(e->actor->name, who));
}

/* What the agent did, and what was done to it. */
static bool
agent_is(const Ag__Event *e, const char *who)
{
	if (actor_is(e, who) || (e->actor != NULL && same(e->actor->label, who)))
		return true;
	return e->resource != NULL && same(e->resource->type, "agent") &&
	    (same(e->resource->id, who) || same(e->resource->alias, who));
}

static bool
key_is(const Ag__Event *e, const char *key)
{
	return e->resource != NULL && same(e->resource->type, "key") &&
	    (same(e->resource->id, key) || same(e->resource->alias, key));
}

static bool
model_is(const Ag__Event *e, const char *model)
{
	return e->actor != NULL && (same(e->actor->model, model) ||
	    same(e->actor->model_asserted, model));
}

static bool
who_matches(const Ag__AuditQueryAsk *ask, const Ag__Event *e)
{
	bool below = ask->has_include_agents && ask->include_agents;

	if (ask->actor != NULL && !actor_is(e, ask->actor) &&
	    !(below && in_chain(e, ask->actor)))
		return false;
	if (ask->agent != NULL && !agent_is(e, ask->agent))
		return false;
	if (ask->root != NULL && (e->n_chain == 0 ||
	    (!same(e->chain[0]->id, ask->root) &&
	    !same(e->chain[0]->name, ask->root))))
		return false;
	return ask->model == NULL || model_is(e, ask->model);
}

bool
filter_match(const struct filter *f, const Ag__Event *e)
{
	const Ag__AuditQueryAsk *ask = f->ask;

	if (!same(e->tenant, f->tenant) || !who_matches(ask, e))
		return false;
	if ((ask->key != NULL && !key_is(e, ask->key)) ||
	    (ask->operation != NULL && !same(e->operation, ask->operation)) ||
	    (ask->code != NULL && !same(e->code, ask->code)) ||
	    (ask->plane != NULL && !same(e->plane, ask->plane)) ||
	    (ask->request_id != NULL && !same(e->request_id, ask->request_id)))
		return false;
	if ((ask->has_outcome && e->outcome != ask->outcome) ||
	    (ask->has_event_type && e->event_type != ask->event_type))
		return false;
	return !ask->has_from_seq || e->seq >= ask->from_seq;
}
