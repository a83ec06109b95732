/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request in Cedar's words. The store of entities is made anew for each:
 * it holds who asks, all above them, the action's group and what it is about,
 * a handful whatever the tenant has.
 */
#include "rules_request.h"

#include "rules_set.h"

#include <string.h>

#define DAY_MS INT64_C(86400000)

enum { FIELDS_MAX = 16, PARENTS_MAX = 64 /* roles, or the one above */ };

struct fields {
	struct ag_cedar_field at[FIELDS_MAX];
	size_t count;
};

static struct ag_cedar_str
str(const char *text)
{
	return (struct ag_cedar_str){ text, strlen(text) };
}

static struct ag_cedar_uid
uid(const char *type, const char *id)
{
	return ag_cedar_uid(str(type), str(id));
}

static void
put(struct fields *f, const char *name, struct ag_cedar_value value)
{
	f->at[f->count++] = (struct ag_cedar_field){ str(name), value };
}

static void
put_text(struct fields *f, const char *name, const char *text)
{
	if (text != NULL)
		put(f, name, ag_cedar_string(str(text)));
}

static bool
record(struct rules_request *r, const struct fields *f,
    struct ag_cedar_value *out)
{
	return ag_cedar_record_value(r->arena, f->at, f->count, out) ==
	    AG_CEDAR_OK;
}

static bool
add(struct rules_request *r, const struct ag_cedar_entity *entity)
{
	/* Who asks about oneself is added twice, and is the same. */
	return ag_cedar_entities_add(r->entities, entity) == AG_CEDAR_OK;
}

/* ---------------------------------------------------------------- parties */

static const char *const types[] = { [AG_RULES_HUMAN] = "Aegis::Human",
	[AG_RULES_SERVICE] = "Aegis::Service", [AG_RULES_AGENT] = "Aegis::Agent" };

static struct ag_cedar_uid
link_uid(const struct ag_rules_link *link)
{
	return uid(types[link->kind], link->kind == AG_RULES_AGENT ||
	    link->name == NULL ? link->id : link->name);
}

/* Of the i-th: the one above, or the roles of the root. */
static size_t
parents_of(const struct ag_rules_party *p, size_t i,
    struct ag_cedar_uid parents[PARENTS_MAX])
{
	size_t n = 0;

	if (i + 1 < p->count) {
		parents[0] = link_uid(&p->links[i + 1]);
		return 1;
	}
	for (; n < p->role_count && n < PARENTS_MAX; n++)
		parents[n] = uid("Aegis::Role", p->roles[n]);
	return n;
}

static bool
add_link(struct rules_request *r, const struct ag_rules_ask *ask,
    const struct ag_rules_party *p, size_t i)
{
	const struct ag_rules_link *link = &p->links[i];
	struct ag_cedar_uid parents[PARENTS_MAX];
	struct ag_cedar_entity e = { .uid = link_uid(link), .parents = parents };
	struct fields f = { .count = 0 };

	put_text(&f, "id", link->id);
	put_text(&f, "tenant", ask->tenant);
	if (link->kind == AG_RULES_AGENT) {
		put_text(&f, "label", link->name == NULL ? "" : link->name);
		put(&f, "depth", ag_cedar_long((int64_t)(p->count - i - 1)));
		put_text(&f, "model", link->model);
	} else {
		put_text(&f, "name", link->name == NULL ? link->id : link->name);
	}
	e.parent_count = parents_of(p, i, parents);
	return record(r, &f, &e.attrs) && add(r, &e);
}

static bool
add_party(struct rules_request *r, const struct ag_rules_ask *ask,
    const struct ag_rules_party *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (!add_link(r, ask, p, i))
			return false;
	return p->count > 0;
}

/* --------------------------------------------------------------- resources */

static bool
add_key(struct rules_request *r, const struct ag_rules_ask *ask)
{
	const struct ag_rules_resource *key = &ask->resource;
	struct ag_cedar_entity e = { .uid = r->request.resource };
	struct ag_cedar_field *tags;
	struct fields f = { .count = 0 };

	put_text(&f, "id", key->id);
	put_text(&f, "alias", key->name);
	put_text(&f, "tenant", ask->tenant);
	put_text(&f, "spec", key->spec == NULL ? "" : key->spec);
	put_text(&f, "state", key->state == NULL ? "" : key->state);
	put_text(&f, "backend", key->backend == NULL ? "" : key->backend);
	tags = ag_cedar_alloc(r->arena, (key->label_count + 1) * sizeof(*tags));
	if (tags == NULL)
		return false;
	for (size_t i = 0; i < key->label_count; i++)
		tags[i] = (struct ag_cedar_field){ str(key->labels[i].key),
			ag_cedar_string(str(key->labels[i].value)) };
	return record(r, &f, &e.attrs) && ag_cedar_record_value(r->arena, tags,
	    key->label_count, &e.tags) == AG_CEDAR_OK && add(r, &e);
}

static bool
resource(struct rules_request *r, const struct ag_rules_ask *ask)
{
	const struct ag_rules_resource *about = &ask->resource;
	struct ag_cedar_entity tool = { .parent_count = 0 };
	struct fields f = { .count = 0 };
	const char *name = about->name != NULL ? about->name :
	    about->id != NULL ? about->id : "";

	switch (about->about) {
	case AG_RULES_TENANT:
		r->request.resource = uid("Aegis::Tenant", ask->tenant);
		return true;
	case AG_RULES_KEY:
		r->request.resource = uid("Aegis::Key", name);
		return about->unknown || add_key(r, ask);
	case AG_RULES_PARTY:
		r->request.resource = about->unknown ?
		    uid(types[about->party.links[0].kind], name) :
		    link_uid(&about->party.links[0]);
		return about->unknown || add_party(r, ask, &about->party);
	case AG_RULES_TOOL:
		tool.uid = r->request.resource = uid("Aegis::Tool", name);
		put_text(&f, "tenant", ask->tenant);
		return record(r, &f, &tool.attrs) && add(r, &tool);
	}
	return false;
}

/* ----------------------------------------------------------------- context */

/* The epoch began on a Thursday. */
static const char *
weekday(int64_t at_ms)
{
	static const char *const days[] = { "thu", "fri", "sat", "sun", "mon",
		"tue", "wed" };
	int64_t day = at_ms / DAY_MS - (at_ms % DAY_MS < 0);

	return days[(day % 7 + 7) % 7];
}

static bool
recent(struct rules_request *r, const struct ag_rules_recent *n,
    struct ag_cedar_value *out)
{
	struct fields f = { .count = 0 };

	put(&f, "second", ag_cedar_long(n->second));
	put(&f, "minute", ag_cedar_long(n->minute));
	put(&f, "hour", ag_cedar_long(n->hour));
	put(&f, "day", ag_cedar_long(n->day));
	put(&f, "keys_hour", ag_cedar_long(n->keys_hour));
	put(&f, "keys_day", ag_cedar_long(n->keys_day));
	return record(r, &f, out);
}

static bool
context(struct rules_request *r, const struct ag_rules_ask *ask,
    const struct ag_rules *rules)
{
	struct fields f = { .count = 0 };
	struct ag_cedar_value source, counts;

	if (ask->source == NULL || ag_cedar_extension_value(r->arena, "ip",
	    str(ask->source), &source) != AG_CEDAR_OK) {
		if (ag_cedar_extension_value(r->arena, "ip", str("::"), &source) !=
		    AG_CEDAR_OK)
			return false;
	}
	if (rules->wants_recent && !recent(r, &ask->recent, &counts))
		return false;
	put(&f, "at", ag_cedar_datetime(ask->at_ms));
	put_text(&f, "weekday", weekday(ask->at_ms));
	put(&f, "source", source);
	put_text(&f, "plane", ask->plane == NULL ? "" : ask->plane);
	put(&f, "credential_age", ag_cedar_duration(ask->credential_age_ms));
	put(&f, "stepped_up", ag_cedar_bool(ask->stepped_up));
	put(&f, "items", ag_cedar_long(ask->items));
	put(&f, "bytes", ag_cedar_long(ask->bytes));
	if (ask->has_since_step_up)
		put(&f, "since_step_up",
		    ag_cedar_duration(ask->since_step_up_ms));
	if (ask->has_since_approval)
		put(&f, "since_approval",
		    ag_cedar_duration(ask->since_approval_ms));
	if (rules->wants_recent)
		put(&f, "recent", counts);
	if (rules->wants_under_way)
		put(&f, "under_way", ag_cedar_long(ask->under_way));
	return record(r, &f, &r->request.context);
}

static bool
action(struct rules_request *r, const struct ag_rules_ask *ask)
{
	struct ag_cedar_uid group;
	struct ag_cedar_entity e = { .parents = &group, .parent_count = 1 };
	const char *name;

	if (!ag_rules_action_group(ask->action, &name))
		return false;
	group = uid("Aegis::Action", name);
	e.uid = r->request.action = uid("Aegis::Action", ask->action);
	return add(r, &e);
}

bool
rules_request_make(struct rules_request *r, const struct ag_rules_ask *ask,
    const struct ag_rules *rules, void *bytes, size_t size)
{
	memset(r, 0, sizeof(*r));
	if ((r->entities = ag_cedar_entities_over(bytes, size)) == NULL)
		return false;
	r->arena = ag_cedar_entities_arena(r->entities);
	if (!add_party(r, ask, &ask->principal) || !action(r, ask) ||
	    !resource(r, ask) || !context(r, ask, rules))
		return false;
	r->request.principal = link_uid(&ask->principal.links[0]);
	return ag_cedar_entities_close(r->entities, NULL) == AG_CEDAR_OK;
}
