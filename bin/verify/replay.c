/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: what iam decided about scope and by policies, and risk about oddity,
 * made again with the same pure functions (policy/scope.c, rules.c, weigh.c)
 * from what the event recorded, and compared bit for bit. It takes the log's word for the inputs;
 * that nobody changed them is what `aegis audit verify` shows.
 */
#include "progress.h"
#include "replay.h"

#include <aegis/event.h>
#include <aegis/seglog.h>

#include <jansson.h>
#include <scope.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weigh.h>

enum { PROGRESS_EVENTS = 4096 }; /* until a look at the clock */

enum { LABELS_MAX = 32 };

static void AG_PRINTF(2, 3)
differs(struct replay_event *out, const char *fmt, ...)
{
	va_list ap;

	if (out->why[0] != '\0')
		return; /* the first reason is enough */
	va_start(ap, fmt);
	vsnprintf(out->why, sizeof(out->why), fmt, ap);
	va_end(ap);
}

static bool
is(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

/* ------------------------------------------------------------------- scope */

struct asked {
	const Ag__Reach *reach;
	struct ag_scope_label labels[LABELS_MAX];
	struct ag_scope_target target;
};

static void
asked_of(const Ag__Event *e, struct asked *out)
{
	memset(out, 0, sizeof(*out));
	out->reach = e->reach;
	for (size_t i = 0; i < e->reach->n_labels && i < LABELS_MAX; i++) {
		out->labels[i].key = e->reach->labels[i]->key;
		out->labels[i].value = e->reach->labels[i]->value;
		out->target.label_count++;
	}
	out->target.labels = out->labels;
	if (e->resource != NULL) {
		out->target.id = e->resource->id;
		out->target.alias = e->resource->alias;
	}
}

static bool
allows(const struct asked *a, const char *text)
{
	const Ag__Reach *r = a->reach;
	struct ag_scope scope;
	const struct ag_scope_target *target = &a->target;

	if (!ag_scope_parse(text, &scope))
		return false;
	if (r->selector != NULL)
		return ag_scope_names(&scope, r->kind, r->op, r->selector);
	if ((r->has_all && r->all) || target->id == NULL)
		target = NULL;
	return ag_scope_matches(&scope, r->kind, r->op, target);
}

/* One link of the chain. *refused: it does not allow. */
static enum replay_result
link(const struct asked *a, const Ag__ReachLink *l, bool *refused,
    struct replay_event *out)
{
	*refused = l->by == NULL;
	if (l->by != NULL) {
		if (allows(a, l->by))
			return REPLAY_EQUAL;
		differs(out, "the scope %s does not allow it", l->by);
		return REPLAY_DIFFERENT;
	}
	for (size_t i = 0; i < l->n_held; i++) {
		if (allows(a, l->held[i])) {
			differs(out, "the scope %s allows it", l->held[i]);
			return REPLAY_DIFFERENT;
		}
	}
	return l->has_cut && l->cut ? REPLAY_UNKNOWN : REPLAY_EQUAL;
}

static enum replay_result
scope(const Ag__Event *e, struct replay_event *out)
{
	enum replay_result result = REPLAY_EQUAL, one;
	bool refused = false, own = true, said;
	const char *reason;
	struct asked a;

	if (e->reach == NULL)
		return REPLAY_NONE; /* none was asked for, or it came to none */
	asked_of(e, &a);
	for (size_t i = 0; i < e->reach->n_links && !refused; i++) {
		const Ag__ReachLink *l = e->reach->links[i];

		one = link(&a, l, &refused, out);
		if (one != REPLAY_EQUAL)
			result = one;
		own = i == 0 || (l->has_credential && l->credential);
	}
	reason = refused ? (own ? "scope_missing" : "parent_scope_missing") : NULL;
	said = is(e->reason_code, "scope_missing") ||
	    is(e->reason_code, "parent_scope_missing");
	if (refused ? !is(e->reason_code, reason) : said) {
		differs(out, "scope comes to %s, recorded is %s",
		    refused ? reason : "allowed",
		    e->reason_code == NULL ? "allowed" : e->reason_code);
		return REPLAY_DIFFERENT;
	}
	return result;
}

/* -------------------------------------------------------------------- risk */

static Ag__Decision__V
decision_of(const Ag__Verdict *v, double score)
{
	return score >= v->deny ? AG__DECISION__V__deny :
	    score >= v->step_up || (v->has_wary && v->wary) ?
	    AG__DECISION__V__step_up :
	    AG__DECISION__V__allow;
}

static void
input_of(const Ag__RiskInput *said, struct ag_risk_input *out)
{
	*out = (struct ag_risk_input){
		.learned = said->learned,
		.per_s = said->per_s,
		.peak_per_s = said->peak_per_s,
		.hour_near = said->hour_near,
		.hour_total = said->hour_total,
		.op_seen = said->op_seen,
		.op_total = said->op_total,
		.address = said->address <= RISK_NEW ? said->address : RISK_ABSENT,
		.key = said->key <= RISK_NEW ? said->key : RISK_ABSENT,
		.new_key_share = said->new_key_share,
		.kind = said->kind <= RISK_AGENT ? said->kind : RISK_AGENT,
		.credential_age_ms = said->credential_age_ms,
		.scope_count = said->scope_count,
		.prod = said->prod,
	};
}

/* Bit for bit: the bytes of the doubles. */
static bool
same(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static bool
factors_same(const Ag__Verdict *v, const struct risk_score *s,
    struct replay_event *out)
{
	if (v->n_factors != RISK_FACTORS) {
		differs(out, "%zu factors are recorded", v->n_factors);
		return false;
	}
	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		const Ag__Factor *f = v->factors[i];

		if (is(f->name, risk_factor_names[i]) &&
		    same(f->value, s->values[i]) &&
		    same(f->contribution, s->contributions[i]))
			continue;
		differs(out, "%s comes to %.17g, recorded is %.17g",
		    risk_factor_names[i], s->values[i], f->value);
		return false;
	}
	return true;
}

static enum replay_result
risk(const Ag__Event *e, struct replay_event *out)
{
	const Ag__Verdict *v = e->risk;
	struct ag_risk_input in;
	struct risk_score s;

	if (v == NULL)
		return REPLAY_NONE;
	if (v->input == NULL || !v->has_step_up || !v->has_deny ||
	    !is(v->model_version, RISK_MODEL_VERSION))
		return REPLAY_UNKNOWN;
	input_of(v->input, &in);
	ag_risk_weigh(&in, &s);
	if (!factors_same(v, &s, out))
		return REPLAY_DIFFERENT;
	if (!same(v->score, s.score) || v->degraded != s.degraded) {
		differs(out, "the score comes to %.17g, recorded is %.17g", s.score,
		    v->score);
		return REPLAY_DIFFERENT;
	}
	if (decision_of(v, s.score) != v->decision) {
		differs(out, "risk comes to %s, recorded is %s",
		    ag_enum_name(&ag__decision__v__descriptor,
		        (int)decision_of(v, s.score)),
		    ag_enum_name(&ag__decision__v__descriptor, (int)v->decision));
		return REPLAY_DIFFERENT;
	}
	/* What was denied was not done. */
	if (v->decision == AG__DECISION__V__deny &&
	    e->outcome == AG__OUTCOME_KIND__V__allowed) {
		differs(out, "risk denied it, recorded is allowed");
		return REPLAY_DIFFERENT;
	}
	return REPLAY_EQUAL;
}

void
replay_event(const Ag__Event *event, struct replay_event *out)
{
	memset(out, 0, sizeof(*out));
	out->scope = scope(event, out);
	out->risk = risk(event, out);
}

/* --------------------------------------------------------------------- log */

static const char *const results[] = {
	[REPLAY_NONE] = "not asked",
	[REPLAY_EQUAL] = "equal",
	[REPLAY_DIFFERENT] = "different",
	[REPLAY_UNKNOWN] = "not recorded",
};

struct sums {
	uint64_t events, equal, different, unknown, none;
};

static void
print_json(const Ag__Event *e, const struct replay_event *r)
{
	json_t *line = json_pack("{s:s,s:I,s:s,s:s,s:s,s:s?,s:s,s:s,s:s,s:s?}",
	    "event_id", e->event_id, "seq", (json_int_t)e->seq, "tenant", e->tenant,
	    "operation", e->operation, "outcome",
	    ag_enum_name(&ag__outcome_kind__v__descriptor, (int)e->outcome),
	    "reason_code", e->reason_code, "scope", results[r->scope], "risk",
	    results[r->risk], "policy", results[r->policy], "why", r->why[0] == '\0' ? NULL : r->why);
	char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);

	puts(text == NULL ? "{}" : text);
	free(text);
	json_decref(line);
}

static void
print_event(const struct replay_options *o, const Ag__Event *e,
    const struct replay_event *r)
{
	if (o->json) {
		print_json(e, r);
		return;
	}
	printf("%s %s %s%s%s: scope %s, risk %s%s%s%s%s\n", e->event_id, e->operation,
	    ag_enum_name(&ag__outcome_kind__v__descriptor, (int)e->outcome),
	    e->reason_code == NULL ? "" : " ",
	    e->reason_code == NULL ? "" : e->reason_code, results[r->scope],
	    results[r->risk], r->policy == REPLAY_NONE ? "" : ", policy ",
	    r->policy == REPLAY_NONE ? "" : results[r->policy],
	    r->why[0] == '\0' ? "" : ": ", r->why);
}

static bool
is_meant(const struct replay_options *o, const Ag__Event *e)
{
	if (o->event != NULL)
		return strcmp(e->event_id, o->event) == 0;
	if (e->event_type != AG__EVENT_TYPE__V__request &&
	    e->event_type != AG__EVENT_TYPE__V__outcome_late)
		return false;
	return o->agent == NULL || (e->actor != NULL &&
	    (is(e->actor->id, o->agent) || is(e->actor->label, o->agent)));
}

static void
take(const struct replay_options *o, struct replay_books *books,
    const Ag__Event *e, struct sums *sums)
{
	struct replay_event r;

	replay_event(e, &r);
	replay_policy(books, e, &r);
	sums->events++;
	if (r.scope == REPLAY_DIFFERENT || r.risk == REPLAY_DIFFERENT ||
	    r.policy == REPLAY_DIFFERENT)
		sums->different++;
	else if (r.scope == REPLAY_UNKNOWN || r.risk == REPLAY_UNKNOWN ||
	    r.policy == REPLAY_UNKNOWN)
		sums->unknown++;
	else if (r.scope == REPLAY_EQUAL || r.risk == REPLAY_EQUAL ||
	    r.policy == REPLAY_EQUAL)
		sums->equal++;
	else
		sums->none++;
	if (!o->quiet || r.why[0] != '\0')
		print_event(o, e, &r);
}

/* A cheap look before the event is unpacked. */
static bool
mentions(const struct ag_seg_record *record, const char *text)
{
	return text == NULL ||
	    memmem(record->body, record->body_len, text, strlen(text)) != NULL;
}

/* Changes of policies, of the whole log: a change whose outcome was said again
 * after a crash may stand behind what it decided. */
static ag_err
learn(struct ag_segs *segs, struct replay_books *books)
{
	struct ag_seg_record record;
	ag_err err;

	while ((err = ag_segs_next(segs, &record)) == AG_OK) {
		Ag__Event *event;

		if (record.pos % PROGRESS_EVENTS == 1)
			progress("events read", record.pos);
		if (record.kind != AG_SEG_EVENT || !mentions(&record, "policy."))
			continue;
		event = ag__event__unpack(NULL, record.body_len, record.body);
		if (event == NULL)
			return AG_CORRUPT;
		err = replay_learn(books, event);
		ag__event__free_unpacked(event, NULL);
		if (err != AG_OK)
			return err;
	}
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

static ag_err
walk(const struct replay_options *o, struct replay_books *books,
    struct ag_segs *segs, struct sums *sums)
{
	struct ag_seg_record record;
	ag_err err;

	while ((err = ag_segs_next(segs, &record)) == AG_OK) {
		Ag__Event *event;

		if (record.pos % PROGRESS_EVENTS == 1)
			progress_beside("events replayed", record.pos);
		if (record.kind != AG_SEG_EVENT || !mentions(&record, o->event) ||
		    !mentions(&record, o->agent))
			continue;
		event = ag__event__unpack(NULL, record.body_len, record.body);
		if (event == NULL)
			return AG_CORRUPT;
		if (is_meant(o, event))
			take(o, books, event, sums);
		ag__event__free_unpacked(event, NULL);
		if (o->event != NULL && sums->events > 0)
			return AG_OK;
	}
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

/* Twice through the log: what changed, then what was decided. */
static ag_err
both(const struct replay_options *o, struct sums *sums, char *why, size_t size)
{
	struct replay_books *books = replay_books_new();
	struct ag_segs *segs = NULL;
	const uint64_t *firsts;
	size_t count = 0;
	ag_err err = books == NULL ? AG_NO_MEMORY : AG_OK;

	for (int pass = 0; pass < 2 && err == AG_OK; pass++) {
		if ((err = ag_segs_open(o->dir, &segs)) == AG_OK)
			err = ag_segs_list(segs, &firsts, &count);
		if (err == AG_OK && count == 0)
			err = AG_ITEM_NOT_FOUND;
		if (err == AG_OK)
			err = pass == 0 ? learn(segs, books) :
			    walk(o, books, segs, sums);
		if (err != AG_OK)
			snprintf(why, size, "%s", ag_segs_why(segs));
		ag_segs_close(&segs);
		progress_end();
	}
	replay_books_free(&books);
	return err;
}

enum replay_exit
replay_log(const struct replay_options *o)
{
	struct sums sums = { 0 };
	char why[512] = "";
	ag_err err = both(o, &sums, why, sizeof(why));

	if (err == AG_ITEM_NOT_FOUND)
		fprintf(stderr, "aegis: %s: there is no audit log\n", o->dir);
	else if (err != AG_OK)
		fprintf(stderr, "aegis: %s: the log is damaged: %s\n", o->dir, why);
	if (err != AG_OK)
		return REPLAY_BAD_INPUT;
	if (sums.events == 0) {
		fprintf(stderr, "aegis: there is no such event in %s\n", o->dir);
		return REPLAY_NOT_FOUND;
	}
	if (!o->json)
		printf("replay: %llu events, %llu equal, %llu different, "
		    "%llu not recorded, %llu without a decision\n",
		    (unsigned long long)sums.events, (unsigned long long)sums.equal,
		    (unsigned long long)sums.different,
		    (unsigned long long)sums.unknown, (unsigned long long)sums.none);
	return sums.different > 0 ? REPLAY_SOME_DIFFERENT : REPLAY_ALL_EQUAL;
}
