/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate: what other policies would have decided. The documents in force are
 * asked of iam, those of the question put in their place, checked and compiled
 * on the worker; then the recorded decisions of the time asked for are made
 * again, a bounded number per turn and per answer. The cursor goes on from
 * there, and each answer says how far it got.
 */
#include "history.h"

#include <aegis/bytes.h>
#include <recorded.h>

#include <stdlib.h>
#include <string.h>

enum {
	DAY_MS = 24 * 3600 * 1000,
	RULES_MS = 1500,        /* iam's answer */
	DECIDE_STEP = 500,      /* decisions per turn */
	READ_STEP = 8192,
	ANSWER_DECISIONS = 20000, /* per answer, … */
	ANSWER_MS = 1000,       /* … which comes after this time at the latest */
	TEXT_MAX = 128,
};

/* One decision that would be another. */
struct change {
	char event_id[AG_ID_SIZE], actor[AG_ID_SIZE];
	char actor_name[TEXT_MAX], action[64], resource[TEXT_MAX];
	char before_rule[AG_RULES_RULE_SIZE], after_rule[AG_RULES_RULE_SIZE];
	const char *before, *after;
	int64_t at;
};

/* One question on its way through the turns. */
struct simulation {
	struct ag_page page;
	int64_t since, until;
	uint64_t next, end; /* pos */
	uint64_t began_ms;
	size_t limit, count;
	uint64_t decisions, changed, unknown;
	bool full;
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX]; /* texts are owned */
	size_t doc_count;
	struct ag_rules_findings found;
	struct ag_rules *rules;
	uint8_t *scratch;
	struct change *changes;
};

static void
simulation_free(struct simulation *s)
{
	for (size_t i = 0; i < s->doc_count; i++) {
		free((char *)(uintptr_t)s->docs[i].name);
		free((char *)(uintptr_t)s->docs[i].text);
	}
	ag_rules_free(&s->rules);
	free(s->scratch);
	free(s->changes);
	free(s);
}

/* --------------------------------------------------------------- documents */

/* Its place, or where it would go: documents are in the order of their names. */
static size_t
place_of(const struct simulation *s, const char *name, bool *there)
{
	size_t i = 0;

	while (i < s->doc_count && strcmp(s->docs[i].name, name) < 0)
		i++;
	*there = i < s->doc_count && strcmp(s->docs[i].name, name) == 0;
	return i;
}

/* In the place of the one of that name; text NULL: that one goes. */
static ag_err
put_doc(struct simulation *s, const char *name, const char *text)
{
	bool there;
	size_t i = place_of(s, name, &there);
	struct ag_rules_doc doc = { NULL, NULL, 0 };

	if (there) {
		free((char *)(uintptr_t)s->docs[i].name);
		free((char *)(uintptr_t)s->docs[i].text);
		s->doc_count--;
		memmove(&s->docs[i], &s->docs[i + 1],
		    (s->doc_count - i) * sizeof(s->docs[0]));
	}
	if (text == NULL)
		return AG_OK;
	if (s->doc_count == AG_RULES_DOCS_MAX)
		return AG_FULL;
	doc = (struct ag_rules_doc){ strdup(name), strdup(text), strlen(text) };
	if (doc.name == NULL || doc.text == NULL) {
		free((char *)(uintptr_t)doc.name);
		free((char *)(uintptr_t)doc.text);
		return AG_NO_MEMORY;
	}
	memmove(&s->docs[i + 1], &s->docs[i],
	    (s->doc_count - i) * sizeof(s->docs[0]));
	s->docs[i] = doc;
	s->doc_count++;
	return AG_OK;
}

static ag_err
put_drafts(struct ag_ctx *ctx, struct simulation *s,
    const Ag__PolicySimulateAsk *ask)
{
	for (size_t i = 0; i < ask->n_documents; i++) {
		const Ag__PolicyDraft *d = ask->documents[i];
		const char *field = ag_printf(ctx, "/documents/%zu/name", i);
		ag_err err;

		for (size_t k = 0; k < i; k++)
			if (strcmp(ask->documents[k]->name, d->name) == 0)
				return ag_refuse(ctx, AG_INVALID_FIELD,
				    "conflicting_fields", field,
				    "Another document has this name.");
		if (!ag_name_valid(d->name))
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", field,
			    "A policy's name is [a-z0-9][a-z0-9._-]{0,62}.");
		if ((err = put_doc(s, d->name, d->text)) == AG_FULL)
			return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
			    "/documents", "A tenant has at most %d documents.",
			    AG_RULES_DOCS_MAX);
		if (err != AG_OK)
			return err;
	}
	return AG_OK;
}

/* ------------------------------------------------------------------ compile */

/* On the worker. The first error ends it. */
static ag_err
compile(void *arg)
{
	struct simulation *s = arg;
	struct ag_cedar_schema *schema = NULL;
	enum ag_cedar_err err = ag_rules_schema_new(&schema);

	for (size_t i = 0; i < s->doc_count && err == AG_CEDAR_OK &&
	    s->found.errors == 0; i++)
		err = ag_rules_check(schema, &s->docs[i], &s->found);
	ag_cedar_schema_free(&schema);
	if (err == AG_CEDAR_OK && s->found.errors == 0)
		err = ag_rules_new(s->docs, s->doc_count, &s->rules);
	return err == AG_CEDAR_OK ? AG_OK : AG_NO_MEMORY;
}

static ag_err
refuse_found(struct ag_ctx *ctx, const struct ag_rules_findings *found)
{
	const struct ag_rules_finding *f = found->items;

	while (!f->is_error)
		f++;
	return ag_refuse(ctx, AG_INVALID_FIELD, "bad_policy", "/documents",
	    "%s %u:%u: %s", f->rule, f->line, f->column, f->text);
}

/* ------------------------------------------------------------------ decide */

static void
copy(char *out, size_t size, const char *text)
{
	size_t len = text == NULL ? 0 : strnlen(text, size - 1);

	memcpy(out, text == NULL ? "" : text, len);
	out[len] = '\0';
}

static void
note(struct simulation *s, const Ag__Event *e, const struct ag_rules_answer *a,
    const char *before)
{
	struct change *c = &s->changes[s->count++];
	const Ag__EventActor *actor = e->actor;

	copy(c->event_id, sizeof(c->event_id), e->event_id);
	copy(c->actor, sizeof(c->actor), actor == NULL ? NULL : actor->id);
	copy(c->actor_name, sizeof(c->actor_name), actor == NULL ? NULL :
	    actor->name != NULL ? actor->name : actor->label);
	copy(c->action, sizeof(c->action), e->policy->action);
	copy(c->resource, sizeof(c->resource), e->policy->name != NULL ?
	    e->policy->name : e->policy->id);
	copy(c->before_rule, sizeof(c->before_rule), e->policy->rule);
	copy(c->after_rule, sizeof(c->after_rule), a->rule);
	c->before = before;
	c->after = ag_rules_decision_name(a->decision);
	c->at = e->occurred_at;
}

/* The name of a decision as we have it; NULL: another program's. */
static const char *
word_of(const char *decision)
{
	for (int d = AG_RULES_DENY; d <= AG_RULES_ALLOW; d++) {
		const char *name = ag_rules_decision_name((enum ag_rules_decision)d);

		if (strcmp(name, decision) == 0)
			return name;
	}
	return NULL;
}

/* Was it, or would it have been, a question for policies? */
static bool
is_decision(const Ag__Event *e, const struct simulation *s)
{
	const char *group;

	if (e->occurred_at < s->since || e->occurred_at >= s->until ||
	    e->event_type != AG__EVENT_TYPE__V__request)
		return false;
	return e->policy != NULL || (e->operation != NULL &&
	    e->outcome == AG__OUTCOME_KIND__V__allowed &&
	    ag_rules_action_group(e->operation, &group));
}

static void
decide(struct simulation *s, const Ag__Event *e)
{
	struct ag_recorded_room room;
	struct ag_rules_answer answer;
	struct ag_rules_ask ask;
	const char *before;

	s->decisions++;
	if (!ag_recorded_whole(e, s->rules) ||
	    (before = word_of(e->policy->decision)) == NULL) {
		s->unknown++;
		return;
	}
	ag_recorded_ask(e, &room, &ask);
	ag_rules_decide(s->rules, &ask, s->scratch, &answer);
	if (strcmp(before, ag_rules_decision_name(answer.decision)) == 0)
		return;
	s->changed++;
	note(s, e, &answer, before);
}

/* What one turn may cost: decisions made, and records read, others' too. */
struct step {
	unsigned looked, read;
};

static bool
step_goes_on(const struct step *step)
{
	return step->looked < DECIDE_STEP && step->read < READ_STEP;
}

/* Of one block, from s->next on; stops where a turn or an answer ends. */
static ag_err
walk_block(struct history *h, struct ag_ctx *ctx, struct simulation *s,
    uint64_t block, struct step *step)
{
	struct ag_segs *segs = h->scan_reader;
	uint64_t end = (block + 1) * BLOCK_EVENTS;
	const char *tenant = ag_grant(ctx)->tenant;
	struct ag_seg_record record;
	ag_err err = block_seek(h, segs, block);

	end = end < s->end ? end : s->end;
	while (err == AG_OK && s->next <= end && s->count < s->limit &&
	    step_goes_on(step)) {
		const Ag__Event *e;

		if ((err = ag_segs_next(segs, &record)) != AG_OK)
			return err;
		if (record.kind != AG_SEG_EVENT || record.pos < s->next)
			continue;
		s->next = record.pos + 1;
		step->read++;
		if (strcmp(record.tenant, tenant) != 0)
			continue;
		step->looked++;
		e = ag_unpack(ctx, &ag__event__descriptor, record.body,
		    record.body_len);
		if (e == NULL)
			return AG_NO_MEMORY;
		if (is_decision(e, s))
			decide(s, e);
	}
	return err;
}

static ag_err
walk(struct history *h, struct ag_ctx *ctx, struct simulation *s)
{
	struct step step = { 0 };
	ag_err err = AG_OK;

	while (err == AG_OK && s->next <= s->end && s->count < s->limit &&
	    step_goes_on(&step)) {
		uint64_t b = block_of(s->next);
		const struct block *block = block_at(h, b);

		if (block == NULL || block->max_at < s->since ||
		    block->min_at >= s->until)
			s->next = (b + 1) * BLOCK_EVENTS + 1;
		else
			err = walk_block(h, ctx, s, b, &step);
	}
	return err;
}

/* ------------------------------------------------------------------ answer */

static Ag__PolicySimulateChange *
say(struct ag_ctx *ctx, const struct change *c)
{
	Ag__PolicySimulateChange *out = ag_alloc(ctx, sizeof(*out));

	if (out == NULL)
		return NULL;
	ag__policy_simulate_change__init(out);
	out->event_id = (char *)c->event_id;
	out->occurred_at = c->at;
	out->actor = (char *)c->actor;
	out->actor_name = (char *)c->actor_name;
	out->action = (char *)c->action;
	out->resource = c->resource[0] == '\0' ? NULL : (char *)c->resource;
	out->before = (char *)c->before;
	out->before_rule = c->before_rule[0] == '\0' ? NULL :
	    (char *)c->before_rule;
	out->after = (char *)c->after;
	out->after_rule = c->after_rule[0] == '\0' ? NULL :
	    (char *)c->after_rule;
	return out;
}

static uint32_t
percent(const struct history *h, const struct simulation *s)
{
	uint64_t all = s->end >= h->first ? s->end - h->first + 1 : 0,
	    done = s->next > h->first ? s->next - h->first : 0;

	return all == 0 || done >= all ? 100 : (uint32_t)(done * 100 / all);
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, struct simulation *s)
{
	Ag__PolicySimulateReply reply = AG__POLICY_SIMULATE_REPLY__INIT;

	reply.items = ag_alloc(ctx, (s->count + 1) * sizeof(*reply.items));
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < s->count; i++)
		if ((reply.items[reply.n_items++] = say(ctx, &s->changes[i])) ==
		    NULL)
			return AG_NO_MEMORY;
	reply.decisions = s->decisions;
	reply.changed = s->changed;
	reply.unknown = s->unknown;
	reply.percent = s->next <= s->end ? percent(h, s) : 100;
	if (s->next <= s->end && (reply.next_cursor = cursor_make(ctx, &s->page,
	    s->next)) == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_POLICY_SIMULATE, &reply);
}

/* ------------------------------------------------------------------- turns */

static ag_err
step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct history *h = state;
	struct simulation *s;
	ag_err err = status;

	(void)msg;
	memcpy(&s, memo, sizeof(s));
	if (err == AG_OK)
		err = index_cut(h, ctx);
	if (err == AG_OK && s->next < h->first)
		s->next = h->first;
	if (err == AG_OK)
		err = walk(h, ctx, s);
	if (err == AG_OK && s->next <= s->end && s->count < s->limit &&
	    s->decisions < ANSWER_DECISIONS &&
	    ag_mono_ms(ctx) - s->began_ms < ANSWER_MS) {
		err = ag_after(ctx, 0, step, &s, sizeof(s));
		if (err == AG_PENDING)
			return err;
	} else if (err == AG_OK) {
		err = answer(h, ctx, s);
	}
	simulation_free(s);
	return err;
}

static ag_err
on_head(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct simulation *s;

	memcpy(&s, memo, sizeof(s));
	s->end = h->head;
	s->began_ms = ag_mono_ms(ctx);
	return step(state, ctx, status, msg, memo);
}

static ag_err
on_compiled(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct simulation *s = memo;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK && s->found.errors > 0)
		err = refuse_found(ctx, &s->found);
	if (err == AG_OK) {
		err = head_ask(state, ctx, on_head, &s, sizeof(s));
		if (err == AG_PENDING)
			return err;
	}
	simulation_free(s);
	return err;
}

static ag_err
with_drafts(struct ag_ctx *ctx, struct simulation *s)
{
	const Ag__PolicySimulateAsk *ask;
	const uint8_t *body;
	size_t len;
	ag_err err;

	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__policy_simulate_ask__descriptor, body, len);
	err = ask == NULL ? AG_NO_MEMORY : put_drafts(ctx, s, ask);
	if (err == AG_OK)
		err = ag_work(ctx, compile, s, on_compiled);
	if (err != AG_PENDING)
		simulation_free(s);
	return err;
}

static ag_err
on_rules(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RulesReply *reply = msg;
	struct simulation *s;
	ag_err err = status;

	(void)state;
	memcpy(&s, memo, sizeof(s));
	for (size_t i = 0; err == AG_OK && i < reply->n_documents; i++)
		err = put_doc(s, reply->documents[i]->key,
		    reply->documents[i]->value);
	if (err == AG_OK)
		return with_drafts(ctx, s);
	simulation_free(s);
	return err;
}

static ag_err
begin(struct ag_ctx *ctx, const Ag__PolicySimulateAsk *ask,
    struct simulation *s)
{
	int64_t now = ag_now_ms(ctx);
	ag_err err = ag_page_read(ctx, ask, &s->page);

	if (err != AG_OK)
		return err;
	s->next = cursor_place(&s->page);
	s->until = ask->has_until ? ask->until : now;
	s->since = ask->has_since ? ask->since : s->until - DAY_MS;
	s->limit = s->page.limit;
	if (s->since >= s->until)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/since",
		    "The time begins before it ends.");
	s->scratch = aligned_alloc(16, AG_RULES_SCRATCH);
	s->changes = calloc(s->limit, sizeof(*s->changes));
	return s->scratch == NULL || s->changes == NULL ? AG_NO_MEMORY : AG_OK;
}

ag_err
on_policy_simulate(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PolicySimulateAsk *ask = msg;
	Ag__RulesAsk rules = AG__RULES_ASK__INIT;
	struct simulation *s = calloc(1, sizeof(*s));
	ag_err err;

	(void)state;
	if (s == NULL)
		return AG_NO_MEMORY;
	if ((err = begin(ctx, ask, s)) != AG_OK) {
		simulation_free(s);
		return err;
	}
	if (ask->has_alone && ask->alone)
		return with_drafts(ctx, s);
	rules.tenant = ag_grant(ctx)->tenant;
	err = ag_ask(ctx, ag_slot(ctx, AG_ROLE_IAM, 0), AG_MSG_RULES_ASK, &rules,
	    AG_MSG_RULES_REPLY, RULES_MS, on_rules, &s, sizeof(s));
	if (err != AG_PENDING)
		simulation_free(s);
	return err;
}
