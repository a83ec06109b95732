/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenants' policies as the log saw them change, and their decisions made
 * again (policy/rules.c) with the documents of the version that decided.
 */
#include "replay.h"

#include <recorded.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct change {
	char *tenant, *name, *text; /* text NULL: deleted */
	uint64_t version;           /* of the tenant's documents */
};

struct replay_books {
	struct change *changes;
	size_t count;
	uint8_t *scratch;
	/* The set that was made last. */
	char *tenant;
	uint64_t version;
	bool whole; /* all changes up to it are known */
	struct ag_rules *rules;
};

struct replay_books *
replay_books_new(void)
{
	struct replay_books *b = calloc(1, sizeof(*b));

	if (b != NULL && (b->scratch = aligned_alloc(16, AG_RULES_SCRATCH)) ==
	    NULL) {
		free(b);
		b = NULL;
	}
	return b;
}

void
replay_books_free(struct replay_books **books)
{
	struct replay_books *b = *books;

	if (b == NULL)
		return;
	for (size_t i = 0; i < b->count; i++) {
		free(b->changes[i].tenant);
		free(b->changes[i].name);
		free(b->changes[i].text);
	}
	free(b->changes);
	free(b->scratch);
	free(b->tenant);
	ag_rules_free(&b->rules);
	free(b);
	*books = NULL;
}

static ag_err
learn(struct replay_books *b, const Ag__Event *e, const Ag__PolicyChange *said)
{
	struct change *grown, *c;

	for (size_t i = 0; i < b->count; i++) /* said again after a crash */
		if (b->changes[i].version == said->policy_version &&
		    strcmp(b->changes[i].name, said->name) == 0 &&
		    strcmp(b->changes[i].tenant, e->tenant) == 0)
			return AG_OK;
	grown = realloc(b->changes, (b->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return AG_NO_MEMORY;
	b->changes = grown;
	c = &grown[b->count++];
	memset(c, 0, sizeof(*c));
	c->version = said->policy_version;
	c->tenant = strdup(e->tenant);
	c->name = strdup(said->name);
	c->text = said->text == NULL ? NULL : strdup(said->text);
	return c->tenant == NULL || c->name == NULL ||
	    (said->text != NULL && c->text == NULL) ? AG_NO_MEMORY : AG_OK;
}

ag_err
replay_learn(struct replay_books *b, const Ag__Event *e)
{
	ag_err err = e->policy_change == NULL ? AG_OK :
	    learn(b, e, e->policy_change);

	for (size_t i = 0; err == AG_OK && i < e->n_policy_changes; i++)
		err = learn(b, e, e->policy_changes[i]);
	return err;
}

/* --------------------------------------------------------------------- set */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct ag_rules_doc *)a)->name,
	    ((const struct ag_rules_doc *)b)->name);
}

/* Is another change of the same document nearer to the version? */
static bool
is_last(const struct replay_books *b, const struct change *c, uint64_t version)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct change *o = &b->changes[i];

		if (o->version > c->version && o->version <= version &&
		    strcmp(o->tenant, c->tenant) == 0 &&
		    strcmp(o->name, c->name) == 0)
			return false;
	}
	return true;
}

static void
set_make(struct replay_books *b, const char *tenant, uint64_t version)
{
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX];
	uint64_t seen = 0;
	size_t n = 0;

	if (b->tenant != NULL && b->version == version &&
	    strcmp(b->tenant, tenant) == 0)
		return;
	ag_rules_free(&b->rules);
	free(b->tenant);
	b->tenant = strdup(tenant);
	b->version = version;
	for (size_t i = 0; i < b->count; i++) {
		const struct change *c = &b->changes[i];

		if (c->version > version || strcmp(c->tenant, tenant) != 0)
			continue;
		seen++;
		if (c->text != NULL && is_last(b, c, version) &&
		    n < AG_RULES_DOCS_MAX)
			docs[n++] = (struct ag_rules_doc){ c->name, c->text,
				strlen(c->text) };
	}
	qsort(docs, n, sizeof(docs[0]), by_name);
	b->whole = seen == version && b->tenant != NULL;
	if (b->whole && ag_rules_new(docs, n, &b->rules) != AG_CEDAR_OK)
		b->rules = NULL; /* as iam: everything is denied */
}

/* ------------------------------------------------------------------ decide */

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
differ(struct replay_event *out, const char *what, const char *comes_to,
    const char *recorded)
{
	out->policy = REPLAY_DIFFERENT;
	if (out->why[0] == '\0')
		(void)snprintf(out->why, sizeof(out->why),
		    "%s comes to %.48s, recorded is %.48s", what,
		    comes_to == NULL ? "none" : comes_to,
		    recorded == NULL ? "none" : recorded);
}

void
replay_policy(struct replay_books *b, const Ag__Event *e,
    struct replay_event *out)
{
	const Ag__PolicyInput *in = e->policy;
	struct ag_rules_answer answer = { .decision = AG_RULES_DENY };
	struct ag_rules_ask ask;
	struct ag_recorded_room room;
	bool denied = ag_rules_is_denial(e->reason_code);

	out->policy = REPLAY_NONE;
	if (in == NULL) {
		if (denied)
			differ(out, "policy", "not asked", "denied");
		return;
	}
	set_make(b, e->tenant, in->version);
	if (!b->whole) {
		out->policy = REPLAY_UNKNOWN; /* the log was cut before it */
		return;
	}
	out->policy = REPLAY_EQUAL;
	ag_recorded_ask(e, &room, &ask);
	if (b->rules != NULL)
		ag_rules_decide(b->rules, &ask, b->scratch, &answer);
	if (!same(ag_rules_decision_name(answer.decision), in->decision))
		differ(out, "policy", ag_rules_decision_name(answer.decision),
		    in->decision);
	else if (!same(answer.rule, in->rule))
		differ(out, "the rule", answer.rule, in->rule);
	else if (denied != (answer.decision == AG_RULES_DENY))
		differ(out, "policy", ag_rules_decision_name(answer.decision),
		    e->reason_code);
}
