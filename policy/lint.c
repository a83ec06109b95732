/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is valid and yet says nothing, or not what it seems to: policies that
 * never match, permits that a forbid covers, policies that another one says
 * too, conditions that are always true, windows of time that overlap.
 *
 * A policy covers another if wherever the other matches, it matches. That is
 * read off the scopes, in the environments that the schema has, and off the
 * conditions as bounds on terms (lint_terms.h). Only what is certain is said.
 */
#include "check.h"
#include "lint_terms.h"
#include "rules_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ACTIONS_MAX = 512,
	TYPES_MAX = 64,
	LINT_MEMORY = 64 << 20,
	TYPE_STEPS = 10000000, /* of the type checker, for one policy */
};

/* What a policy is about, as far as it can be compared. */
struct shape {
	const struct cedar_policy *policy;
	/* Of the schema's, by number: what the scope allows, and the part of it
	 * for which there is a request at all. */
	uint64_t said[CEDAR_DIMS][ACTIONS_MAX / 64];
	uint64_t real[CEDAR_DIMS][ACTIONS_MAX / 64];
	struct lint_terms terms;
	bool never; /* it never matches, and that was said */
};

struct linting {
	const struct ag_cedar_schema *schema;
	const struct ag_rules *rules;
	struct ag_cedar_arena arena;
	struct ag_cedar_arena types; /* of the type checker, for one policy */
	struct shape *shapes;
	struct lint_bound *room;
	struct ag_rules_findings *out;
	bool no_memory;
};

static void
set_bit(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= UINT64_C(1) << i % 64;
}

static bool
is_within(const uint64_t *a, const uint64_t *b)
{
	for (size_t i = 0; i < ACTIONS_MAX / 64; i++)
		if ((a[i] & ~b[i]) != 0)
			return false;
	return true;
}

static void __attribute__((format(printf, 4, 5)))
say(struct linting *l, size_t i, const char *kind, const char *format, ...)
{
	struct ag_cedar_policy_info info;
	struct ag_rules_finding f = { .kind = kind };
	va_list ap;

	ag_cedar_policy_info(l->rules->set, i, &info);
	f.line = info.line;
	f.column = info.column;
	(void)snprintf(f.rule, sizeof(f.rule), "%s", ag_rules_name(l->rules, i));
	va_start(ap, format);
	(void)vsnprintf(f.text, sizeof(f.text), format, ap);
	va_end(ap);
	rules_finding_add(l->out, &f);
}

/* "base/x (3:1)" */
static const char *
place(const struct linting *l, size_t i, char *out, size_t size)
{
	struct ag_cedar_policy_info info;

	ag_cedar_policy_info(l->rules->set, i, &info);
	(void)snprintf(out, size, "%s (%u:%u)", ag_rules_name(l->rules, i),
	    info.line, info.column);
	return out;
}

/* ------------------------------------------------------------------ shapes */

static uint32_t
type_number(const struct linting *l, const struct cedar_etype *type)
{
	uint32_t i = 0;

	while (l->schema->etypes[i] != type)
		i++;
	return i;
}

/* The types of what the action applies to, as far as the scope allows them. */
static bool
add_real(struct linting *l, struct shape *s, int dim,
    struct cedar_etype *const *types, uint32_t count, bool keep)
{
	bool any = false;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t n = type_number(l, types[i]);

		if ((s->said[dim][n / 64] >> n % 64 & 1) == 0)
			continue;
		any = true;
		if (keep)
			set_bit(s->real[dim], n);
	}
	return any;
}

static void
shape_of(struct linting *l, size_t i)
{
	struct shape *s = &l->shapes[i];
	const struct ag_cedar_schema *schema = l->schema;

	s->policy = &l->rules->set->policies[i];
	for (uint32_t t = 0; t < schema->etype_count; t++)
		for (int dim = CEDAR_P; dim <= CEDAR_R; dim += CEDAR_R)
			if (cedar_scope_type(schema, s->policy, dim,
			    schema->etypes[t]))
				set_bit(s->said[dim], t);
	for (uint32_t a = 0; a < schema->action_count; a++) {
		const struct cedar_action *action = schema->actions[a];

		if (!cedar_scope_action(schema, s->policy, action))
			continue;
		set_bit(s->said[CEDAR_A], a);
		if (!add_real(l, s, CEDAR_P, action->principals,
		    action->principal_count, false) || !add_real(l, s, CEDAR_R,
		    action->resources, action->resource_count, false))
			continue;
		set_bit(s->real[CEDAR_A], a);
		(void)add_real(l, s, CEDAR_P, action->principals,
		    action->principal_count, true);
		(void)add_real(l, s, CEDAR_R, action->resources,
		    action->resource_count, true);
	}
	l->no_memory |= !lint_terms_of(&l->arena, s->policy->body, l->room,
	    &s->terms);
}

/* ------------------------------------------------------------------- cover */

/* Names are compared as names: who is in whom is not known here. */
static bool
names_cover(const struct shape *wide, const struct shape *narrow, int dim)
{
	const struct cedar_scope *w = &wide->policy->body->scope[dim];
	const struct ag_cedar_uid *a = cedar_scope_uid(wide->policy, dim),
	    *b = cedar_scope_uid(narrow->policy, dim);

	if (dim == CEDAR_A || w->kind == CEDAR_SCOPE_ANY ||
	    w->kind == CEDAR_SCOPE_IS)
		return true;
	if (a == NULL || b == NULL || !ag_cedar_uid_equal(a, b))
		return false;
	return w->kind != CEDAR_SCOPE_EQ ||
	    narrow->policy->body->scope[dim].kind == CEDAR_SCOPE_EQ;
}

static bool
scope_covers(const struct shape *wide, const struct shape *narrow)
{
	for (int dim = 0; dim < CEDAR_DIMS; dim++)
		if (!is_within(narrow->real[dim], wide->said[dim]) ||
		    !names_cover(wide, narrow, dim))
			return false;
	return true;
}

static bool
covers(const struct shape *wide, const struct shape *narrow)
{
	return scope_covers(wide, narrow) &&
	    lint_implies_all(&narrow->terms, &wide->terms);
}

/* ------------------------------------------------------------- obligations */

static bool
is_remark(struct ag_cedar_str name)
{
	return cedar_is(name, "id") || cedar_is(name, "reason") ||
	    cedar_is(name, "description");
}

static bool
has_annotation(const struct cedar_body *body, const struct cedar_annotation *a)
{
	for (uint32_t i = 0; i < body->annotation_count; i++)
		if (cedar_str_equal(body->annotations[i].name, a->name) &&
		    cedar_str_equal(body->annotations[i].value, a->value))
			return true;
	return false;
}

/* All that one asks for, the other asks for as well. */
static bool
obliges_as(const struct cedar_body *one, const struct cedar_body *other)
{
	for (uint32_t i = 0; i < one->annotation_count; i++)
		if (!is_remark(one->annotations[i].name) &&
		    !has_annotation(other, &one->annotations[i]))
			return false;
	return true;
}

/* Without it, is every decision and every word to the refused the same? */
static bool
says_nothing_beside(const struct linting *l, size_t i, size_t by)
{
	const struct cedar_body *one = l->shapes[i].policy->body,
	    *other = l->shapes[by].policy->body;
	const char *reason = l->rules->policies[i].reason,
	    *theirs = l->rules->policies[by].reason;

	if (one->forbid != other->forbid || !obliges_as(one, other))
		return false;
	/* Of forbids, an exception to one is none to the other; and the
	 * narrower may be there for what it says. */
	return !one->forbid || (obliges_as(other, one) && (reason == NULL ||
	    (theirs != NULL && strcmp(reason, theirs) == 0)));
}

/* ------------------------------------------------------------ single ones */

static void
find_contradiction(struct linting *l, size_t i)
{
	struct shape *s = &l->shapes[i];
	const struct ag_cedar_str source = s->policy->body->source;
	const struct lint_bound *a, *b;
	uint32_t line[2], column[2];

	if (s->never || !lint_contradiction(&s->terms, &a, &b))
		return;
	s->never = true;
	cedar_place(source, a->said->at, &line[0], &column[0]);
	cedar_place(source, b->said->at, &line[1], &column[1]);
	if (a == b)
		say(l, i, "never_matches", "the condition at %u:%u is never "
		    "true; change it, or remove the policy", line[0], column[0]);
	else
		say(l, i, "never_matches", "the conditions at %u:%u and %u:%u "
		    "exclude each other; for either of two, write `||` between "
		    "them, or two policies", line[1], column[1], line[0],
		    column[0]);
}

static void
quiet(void *arg, const struct cedar_expr *at, const char *text)
{
	(void)arg;
	(void)at;
	(void)text;
}

/* Is each condition (in their order, a bit each) surely true here? */
static uint64_t
true_here(struct linting *l, const struct cedar_body *body,
    const struct cedar_action *action, const struct cedar_etype *principal,
    const struct cedar_etype *resource, uint64_t *steps)
{
	struct cedar_check c = { .arena = &l->types, .schema = l->schema,
		.env = { action, principal, resource, { NULL } },
		.steps = *steps, .oops = quiet };
	struct cedar_knowns known = { NULL, 0 };
	uint64_t bits = 0, bit = 1;

	c.principal = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = principal->name };
	c.resource = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = resource->name };
	c.action = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = action->uid.type };
	for (const struct cedar_condition *x = body->conditions; x != NULL;
	    x = x->next, bit <<= 1) {
		const struct cedar_type *t = cedar_check_condition(&c, x->expr,
		    x->is_unless, &known);

		if (t != NULL && t->kind == CEDAR_TYPE_TRUE)
			bits |= bit;
	}
	l->no_memory |= c.no_memory;
	*steps = c.steps;
	return bits;
}

static uint64_t
always_true(struct linting *l, const struct shape *s)
{
	const struct ag_cedar_schema *schema = l->schema;
	uint64_t bits = UINT64_MAX, steps = TYPE_STEPS;

	for (uint32_t a = 0; a < schema->action_count && bits != 0; a++) {
		const struct cedar_action *act = schema->actions[a];

		if ((s->real[CEDAR_A][a / 64] >> a % 64 & 1) == 0)
			continue;
		for (uint32_t p = 0; p < act->principal_count; p++)
			for (uint32_t r = 0; r < act->resource_count; r++) {
				if (!cedar_scope_type(schema, s->policy, CEDAR_P,
				    act->principals[p]) || !cedar_scope_type(
				    schema, s->policy, CEDAR_R, act->resources[r]))
					continue;
				bits &= true_here(l, s->policy->body, act,
				    act->principals[p], act->resources[r], &steps);
				ag_cedar_arena_reset(&l->types);
			}
	}
	return steps == 0 ? 0 : bits;
}

static void
find_vacuous(struct linting *l, size_t i)
{
	const struct shape *s = &l->shapes[i];
	const struct cedar_body *body = s->policy->body;
	uint64_t bits = body->conditions == NULL ? 0 : always_true(l, s), bit = 1;
	uint32_t line, column;

	for (const struct cedar_condition *x = body->conditions; x != NULL;
	    x = x->next, bit <<= 1) {
		if ((bits & bit) == 0)
			continue;
		cedar_place(body->source, x->expr->at, &line, &column);
		say(l, i, "vacuous", "the condition at %u:%u is always %s; "
		    "remove it, or say what is meant", line, column,
		    x->is_unless ? "false, so this `unless` excepts nothing" :
		    "true");
	}
}

/* ------------------------------------------------------------------- pairs */

/* By the first that covers it. Two that cover each other: the later one goes. */
static bool
find_covered(struct linting *l, size_t i, bool by_forbid)
{
	const struct shape *s = &l->shapes[i];
	char by[AG_RULES_RULE_SIZE + 32];

	for (size_t k = 0; k < l->rules->count; k++) {
		const struct shape *other = &l->shapes[k];

		if (k == i || other->never ||
		    (by_forbid && !other->policy->body->forbid) ||
		    (!by_forbid && !says_nothing_beside(l, i, k)) ||
		    !covers(other, s))
			continue;
		if (!by_forbid && k > i && says_nothing_beside(l, k, i) &&
		    covers(s, other))
			continue;
		(void)place(l, k, by, sizeof(by));
		if (by_forbid)
			say(l, i, "unreachable", "this never permits anything: "
			    "the forbid %s matches wherever it does; narrow that "
			    "one, or remove this", by);
		else
			say(l, i, "shadowed", "%s says all of this; remove this, "
			    "or make that one narrower", by);
		return true;
	}
	return false;
}

static const char *
time_text(enum ag_cedar_kind kind, int64_t ms, char out[48])
{
	int64_t s = ms / 1000;

	if (kind == AG_CEDAR_DURATION)
		(void)snprintf(out, 48, "%02d:%02d:%02d.%03d", (int)(s / 3600),
		    (int)(s / 60 % 60), (int)(s % 60), (int)(ms % 1000));
	else
		(void)snprintf(out, 48, "%lld ms", (long long)ms);
	return out;
}

static void
find_overlap(struct linting *l, size_t i)
{
	const struct shape *s = &l->shapes[i];
	char other[AG_RULES_RULE_SIZE + 32], from[48], to[48];
	struct lint_windows w;

	for (size_t k = 0; k < i; k++) {
		const struct shape *o = &l->shapes[k];

		if (o->never || o->policy->body->forbid !=
		    s->policy->body->forbid || !scope_covers(s, o) ||
		    !scope_covers(o, s) || !lint_overlap(&o->terms, &s->terms, &w))
			continue;
		say(l, i, "overlapping_windows", "its window and that of %s "
		    "overlap, from %s to %s; end one where the other begins (`<` "
		    "there, `>=` here), or make them one policy",
		    place(l, k, other, sizeof(other)), time_text(w.kind,
		    w.lo[0] > w.lo[1] ? w.lo[0] : w.lo[1], from),
		    time_text(w.kind, w.hi[0] < w.hi[1] ? w.hi[0] : w.hi[1], to));
		return;
	}
}

static void
find_no_permit(struct linting *l)
{
	for (size_t i = 0; i < l->rules->count; i++)
		if (!l->shapes[i].policy->body->forbid)
			return;
	if (l->rules->count > 0)
		say(l, 0, "vacuous", "nothing is permitted at all, so this "
		    "forbids nothing; without a permit everything is denied");
}

/* --------------------------------------------------------------- documents */

/* What the check of a document found; its warnings are of policies that never
 * apply. */
static enum ag_cedar_err
check_one(struct linting *l, const struct ag_rules_doc *doc,
    struct ag_rules_findings *found)
{
	enum ag_cedar_err err = ag_rules_check(l->schema, doc, found);

	if (err != AG_CEDAR_OK)
		return err;
	l->out->policies += found->policies;
	for (size_t i = 0; i < found->count; i++) {
		struct ag_rules_finding f = found->items[i];

		if (f.rule[0] == '\0')
			(void)snprintf(f.rule, sizeof(f.rule), "%s", doc->name);
		if (f.is_error)
			rules_finding_add(l->out, &f);
	}
	return AG_CEDAR_OK;
}

/* Never applies, says the validator: by types, which no bounds know of. */
static void
note_never(void *arg, const struct ag_cedar_finding *f)
{
	struct linting *l = arg;

	for (size_t i = 0; !f->is_error && i < l->rules->count; i++)
		if (strcmp(ag_cedar_policy_id(l->rules->set, i), f->policy_id) ==
		    0) {
			l->shapes[i].never = true;
			say(l, i, "never_matches", "%s; change them, or remove the "
			    "policy", f->problem.text);
		}
}

static enum ag_cedar_err
lint_set(struct linting *l)
{
	enum ag_cedar_err err;
	size_t errors;

	err = ag_cedar_set_validate(l->rules->set, l->schema, LINT_MEMORY,
	    note_never, l, &errors);
	for (size_t i = 0; err == AG_CEDAR_OK && i < l->rules->count; i++) {
		shape_of(l, i);
		find_contradiction(l, i);
	}
	if (l->no_memory)
		return AG_CEDAR_NO_MEMORY;
	for (size_t i = 0; err == AG_CEDAR_OK && i < l->rules->count; i++) {
		if (l->shapes[i].never)
			continue;
		find_vacuous(l, i);
		if ((!l->shapes[i].policy->body->forbid &&
		    find_covered(l, i, true)) || find_covered(l, i, false))
			continue;
		find_overlap(l, i);
	}
	find_no_permit(l);
	return l->no_memory ? AG_CEDAR_NO_MEMORY : err;
}

static enum ag_cedar_err
lint_docs(struct linting *l, const struct ag_rules_doc *docs, size_t count)
{
	struct ag_rules *rules = NULL;
	enum ag_cedar_err err = ag_rules_new(docs, count, &rules);

	if (err != AG_CEDAR_OK)
		return err;
	l->rules = rules;
	l->shapes = calloc(rules->count + 1, sizeof(*l->shapes));
	l->room = calloc(LINT_BOUNDS_MAX, sizeof(*l->room));
	err = l->shapes == NULL || l->room == NULL ? AG_CEDAR_NO_MEMORY :
	    lint_set(l);
	free(l->shapes);
	free(l->room);
	ag_rules_free(&rules);
	return err;
}

enum ag_cedar_err
ag_rules_lint(const struct ag_cedar_schema *schema,
    const struct ag_rules_doc *docs, size_t count,
    struct ag_rules_findings *out)
{
	struct linting l = { .schema = schema, .out = out };
	struct ag_rules_findings *found = calloc(1, sizeof(*found));
	enum ag_cedar_err err = AG_CEDAR_OK;

	memset(out, 0, sizeof(*out));
	if (schema->action_count > ACTIONS_MAX || schema->etype_count > TYPES_MAX)
		err = AG_CEDAR_LIMIT;
	if (found == NULL)
		err = AG_CEDAR_NO_MEMORY;
	for (size_t i = 0; i < count && err == AG_CEDAR_OK; i++)
		err = check_one(&l, &docs[i], found);
	free(found);
	if (err != AG_CEDAR_OK || out->errors > 0)
		return err;
	ag_cedar_arena_init(&l.arena, LINT_MEMORY);
	ag_cedar_arena_init(&l.types, LINT_MEMORY);
	err = lint_docs(&l, docs, count);
	ag_cedar_arena_fini(&l.arena);
	ag_cedar_arena_fini(&l.types);
	return err;
}
