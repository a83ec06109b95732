/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's documents as one set, and what it says about a request. */
#include "rules_set.h"

#include "rules_request.h"
#include "set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_MEMORY = 256 << 20 };

const char *
ag_rules_decision_name(enum ag_rules_decision decision)
{
	static const char *const names[] = { [AG_RULES_DENY] = "deny",
		[AG_RULES_APPROVAL] = "require_approval",
		[AG_RULES_STEP_UP] = "step_up", [AG_RULES_ALLOW] = "allow" };

	return names[decision];
}

/* ---------------------------------------------------------------- compile */

/* "<document>/<number>" is what the set calls it; @id takes the number's
 * place. */
static enum ag_cedar_err
name_policy(struct ag_rules *rules, size_t i)
{
	struct ag_rules_policy *p = &rules->policies[i];
	const char *id = ag_cedar_policy_id(rules->set, i);
	const char *slash = strchr(id, '/');
	struct ag_cedar_str value;

	if (slash == NULL || strlen(id) >= sizeof(p->name))
		return AG_CEDAR_INVALID;
	(void)snprintf(p->name, sizeof(p->name), "%s", id);
	if (ag_cedar_policy_annotation(rules->set, i, "id", &value) &&
	    value.len <= AG_RULES_NAME_MAX)
		(void)snprintf(p->name, sizeof(p->name), "%.*s/%.*s",
		    (int)(slash - id), id, (int)value.len, value.p);
	p->step_up = ag_cedar_policy_annotation(rules->set, i, "step_up",
	    &value);
	p->overridable = ag_cedar_policy_annotation(rules->set, i,
	    "overridable", &value);
	p->require_session = ag_cedar_policy_annotation(rules->set, i,
	    "require_session", &value);
	/* One that says no number was checked by nobody: no set is made of it. */
	if (ag_cedar_policy_annotation(rules->set, i, "approval", &value) &&
	    !ag_rules_need_parse(value.p, value.len, &p->need))
		return AG_CEDAR_INVALID;
	if (ag_cedar_policy_annotation(rules->set, i, "constraint", &value) &&
	    (p->constraint = ag_rules_constraint(value.p, value.len)) == NULL)
		return AG_CEDAR_INVALID;
	if (ag_cedar_policy_annotation(rules->set, i, "timeout", &value) &&
	    !ag_rules_timeout_parse(value.p, value.len, &p->timeout_ms))
		return AG_CEDAR_INVALID;
	if (ag_cedar_policy_annotation(rules->set, i, "max_ttl", &value) &&
	    !ag_rules_ttl_parse(value.p, value.len, &p->max_ttl_s))
		return AG_CEDAR_INVALID;
	p->need.rule = p->name;
	if (ag_cedar_policy_annotation(rules->set, i, "reason", &value) &&
	    (p->reason = strndup(value.p, value.len)) == NULL)
		return AG_CEDAR_NO_MEMORY;
	return AG_CEDAR_OK;
}

/* Any attribute of this name counts: too often is not wrong. Recursion is
 * bounded by the expression's height. */
static bool
looks_at(const struct cedar_expr *e, const char *name)
{
	if (e == NULL)
		return false;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
		return false;
	case CEDAR_SET_OF:
	case CEDAR_RECORD_OF:
	case CEDAR_CALL:
		for (uint32_t i = 0; i < e->count; i++)
			if (looks_at(e->items[i], name))
				return true;
		return false;
	case CEDAR_GET:
	case CEDAR_HAS:
		return cedar_is(e->name, name) || looks_at(e->a, name);
	default:
		return looks_at(e->a, name) || looks_at(e->b, name) ||
		    looks_at(e->c, name);
	}
}

static bool
any_looks_at(const struct ag_cedar_set *set, const char *name)
{
	for (size_t i = 0; i < set->policy_count; i++)
		for (const struct cedar_condition *c =
		    set->policies[i].body->conditions; c != NULL; c = c->next)
			if (looks_at(c->expr, name))
				return true;
	return false;
}

static enum ag_cedar_err
fill(struct ag_rules *rules, const struct ag_rules_doc *docs, size_t count)
{
	enum ag_cedar_err err = ag_cedar_set_new(SET_MEMORY, &rules->set);

	for (size_t i = 0; i < count && err == AG_CEDAR_OK; i++) {
		char prefix[AG_RULES_NAME_MAX + 2];

		(void)snprintf(prefix, sizeof(prefix), "%s/", docs[i].name);
		err = ag_cedar_set_text(rules->set, prefix, docs[i].text,
		    docs[i].len, NULL);
	}
	if (err != AG_CEDAR_OK ||
	    (err = ag_cedar_set_compile(rules->set)) != AG_CEDAR_OK)
		return err;
	rules->wants_recent = any_looks_at(rules->set, "recent");
	rules->wants_under_way = any_looks_at(rules->set, "under_way");
	rules->count = ag_cedar_set_count(rules->set);
	rules->policies = calloc(rules->count + 1, sizeof(*rules->policies));
	if (rules->policies == NULL)
		return AG_CEDAR_NO_MEMORY;
	for (size_t i = 0; i < rules->count && err == AG_CEDAR_OK; i++)
		err = name_policy(rules, i);
	return err;
}

enum ag_cedar_err
ag_rules_new(const struct ag_rules_doc *docs, size_t count,
    struct ag_rules **out)
{
	struct ag_rules *rules = calloc(1, sizeof(*rules));
	enum ag_cedar_err err;

	*out = NULL;
	if (rules == NULL)
		return AG_CEDAR_NO_MEMORY;
	if ((err = fill(rules, docs, count)) != AG_CEDAR_OK)
		ag_rules_free(&rules);
	*out = rules;
	return err;
}

void
ag_rules_free(struct ag_rules **rules)
{
	struct ag_rules *r = *rules;

	if (r == NULL)
		return;
	for (size_t i = 0; r->policies != NULL && i < r->count; i++)
		free(r->policies[i].reason);
	free(r->policies);
	ag_cedar_set_free(&r->set);
	free(r);
	*rules = NULL;
}

size_t
ag_rules_count(const struct ag_rules *rules)
{
	return rules->count;
}

const char *
ag_rules_name(const struct ag_rules *rules, size_t i)
{
	return rules->policies[i].name;
}

void
ag_rules_place(const struct ag_rules *rules, size_t i, bool *forbid,
    const char **reason, uint32_t *line, uint32_t *column)
{
	struct ag_cedar_policy_info info;

	ag_cedar_policy_info(rules->set, i, &info);
	*forbid = info.forbid;
	*reason = rules->policies[i].reason;
	*line = info.line;
	*column = info.column;
}

bool
ag_rules_wants_recent(const struct ag_rules *rules)
{
	return rules->wants_recent;
}

bool
ag_rules_wants_under_way(const struct ag_rules *rules)
{
	return rules->wants_under_way;
}

/* ----------------------------------------------------------------- decide */

/* Of the same group the stricter word counts. False: there are too many. */
static bool
add_need(struct ag_rules_answer *out, const struct ag_rules_need *need)
{
	for (size_t i = 0; i < out->need_count; i++) {
		struct ag_rules_need *has = &out->needs[i];

		if (strcmp(has->group, need->group) != 0)
			continue;
		if (need->quorum > has->quorum) {
			has->quorum = need->quorum;
			has->rule = need->rule;
		}
		if (need->window_s < has->window_s)
			has->window_s = need->window_s;
		return true;
	}
	if (out->need_count == AG_RULES_NEEDS_MAX)
		return false;
	out->needs[out->need_count++] = *need;
	return true;
}

bool
ag_rules_overridable(const struct ag_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rules->policies[i].overridable)
			return true;
	return false;
}

static bool
all_overridable(const struct ag_rules *rules, const struct ag_cedar_answer *said)
{
	for (size_t i = 0; i < said->reason_count; i++)
		if (!rules->policies[said->reasons[i]].overridable)
			return false;
	return true;
}

static unsigned
strictness(const struct ag_rules_policy *p, bool lifted)
{
	return p->need.quorum > 0 && !lifted ? 2 : p->step_up ? 1 : 0;
}

/* One that wants a credential that can be ended here at any time: nothing else
 * stands for that, neither people's agreement nor a broken glass. */
static bool
wants_session(const struct ag_rules *rules, const struct ag_rules_ask *ask,
    const uint32_t *permits, size_t count, struct ag_rules_answer *out)
{
	for (size_t i = 0; i < count && !ask->tracked; i++) {
		const struct ag_rules_policy *p = &rules->policies[permits[i]];

		if (!p->require_session)
			continue;
		out->rule = p->name;
		out->reason = p->reason;
		out->reason_code = AG_RULES_SESSION;
		return true;
	}
	return false;
}

/* Of the permits that matched. require_approval > step_up > allow. */
static void
weigh_permits(const struct ag_rules *rules, const struct ag_rules_ask *ask,
    const uint32_t *permits, size_t count, struct ag_rules_answer *out)
{
	const struct ag_rules_policy *by = NULL;
	unsigned strictest = 0;

	if (wants_session(rules, ask, permits, count, out))
		return;

	for (size_t i = 0; i < count; i++) {
		const struct ag_rules_policy *p = &rules->policies[permits[i]];
		bool lifted = ask->break_glass && p->overridable;

		if (by == NULL || strictness(p, lifted) > strictest) {
			by = p;
			strictest = strictness(p, lifted);
		}
		out->step_up |= p->step_up;
		if (p->timeout_ms > 0 && (out->timeout_ms == 0 ||
		    p->timeout_ms < out->timeout_ms)) {
			out->timeout_ms = p->timeout_ms;
			out->timeout_rule = p->name;
		}
		if (p->max_ttl_s > 0 && (out->max_ttl_s == 0 ||
		    p->max_ttl_s < out->max_ttl_s)) {
			out->max_ttl_s = p->max_ttl_s;
			out->max_ttl_rule = p->name;
		}
		out->overridden |= lifted && p->need.quorum > 0;
		if (p->need.quorum > 0 && !lifted && !add_need(out, &p->need)) {
			out->rule = p->name; /* more than anybody can ask for */
			return;
		}
	}
	if (by == NULL)
		return;
	out->rule = by->name;
	out->reason = by->reason;
	out->decision = out->need_count > 0 ? AG_RULES_APPROVAL :
	    out->step_up ? AG_RULES_STEP_UP : AG_RULES_ALLOW;
}

/* deny > require_approval > step_up > allow over all policies that determined
 * the answer. A broken glass takes away forbids, never adds a permit. */
static void
weigh(const struct ag_rules *rules, const struct ag_rules_ask *ask,
    struct ag_rules_answer *out)
{
	const struct ag_cedar_answer *said = &out->said;
	const struct ag_rules_policy *by;

	if (said->allow) {
		weigh_permits(rules, ask, said->reasons,
		    said->reason_count, out);
	} else if (said->reason_count > 0 && ask->break_glass &&
	    said->permit_count > 0 && all_overridable(rules, said)) {
		out->overridden = true;
		weigh_permits(rules, ask, said->permits, said->permit_count,
		    out);
	} else if (said->reason_count > 0) {
		by = &rules->policies[said->reasons[0]];
		out->rule = by->name;
		out->reason = by->reason;
		if (by->constraint != NULL)
			out->reason_code = by->constraint;
	}
}

void
ag_rules_decide(const struct ag_rules *rules, const struct ag_rules_ask *ask,
    void *scratch, struct ag_rules_answer *out)
{
	struct rules_request r;
	struct ag_cedar_arena arena;

	memset(out, 0, sizeof(*out));
	out->decision = AG_RULES_DENY;
	out->reason_code = "no_matching_rule";
	if (!rules_request_make(&r, ask, rules, scratch, AG_RULES_SCRATCH / 2))
		return;
	ag_cedar_arena_over(&arena, (uint8_t *)scratch + AG_RULES_SCRATCH / 2,
	    AG_RULES_SCRATCH / 2);
	if (ag_cedar_decide(rules->set, r.entities, &r.request, &arena,
	    &out->said) != AG_CEDAR_OK) {
		memset(&out->said, 0, sizeof(out->said));
		return;
	}
	weigh(rules, ask, out);
}
