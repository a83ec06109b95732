/* SPDX-License-Identifier: Apache-2.0 */
/*
 * risk: how odd is this request for who makes it, and is that too odd?
 * Hears every operation, from iam. Says the same to its executor, with a
 * verdict, or refuses; asks iam for a challenge where a person's second factor
 * makes up for it. It can only tighten what iam decided.
 * Keeps a baseline per principal (of agents: per line, see habit.h), learned
 * from the audit log's allowed requests only: what was refused must not become
 * ordinary. The store is written on a timer, so a crash may forget some seconds
 * of habits. And whom the responder wants a second factor of (step_up).
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include <string.h>

#include "habit.h"
#include "risk/kept.h"
#include "risk/score.h"
#include "risk/wary.h"
#include "rows.h"

enum {
	PRINCIPALS_MAX = 16384,
	SAVE_MS = 1000,
	SAVE_MAX = 256, /* baselines written per SAVE_MS */
	OP_NAMES = 256, /* slots of the index by name; a power of two */
	OP_TYPES = 0x1000,
	CHALLENGE_TIMEOUT_MS = 1000,
	TENANTS_MAX = 64, /* with thresholds of their own */
};

enum { TABLE_BASELINES, TABLE_WARY };
static const char *const tables[] = { "baselines", "wary", NULL };

enum { COUNT_ALLOW, COUNT_STEP_UP, COUNT_DENY, PRINCIPALS };
static const struct ag_metric_row metrics[] = {
	{ "risk_allowed_total", "Requests that risk let pass", AG_COUNTER },
	{ "risk_step_up_total", "Requests that needed a step-up", AG_COUNTER },
	{ "risk_denied_total", "Requests that risk denied", AG_COUNTER },
	{ "risk_principals", "Principals with a baseline", AG_GAUGE },
};

struct entry {
	struct risk_baseline usual;
	struct risk_pulse pulse;
};

struct thresholds {
	const char *tenant; /* NULL: everybody else */
	double step_up;
	double deny;
};

struct risk {
	struct rows *book;
	struct thresholds thresholds[TENANTS_MAX + 1]; /* the last: the rest's */
	unsigned tenants;
	bool prod;
	struct wary wary;
	uint8_t op_of_type[OP_TYPES]; /* type - 0x1000 → position, below RISK_OPS */
	uint16_t types[RISK_OPS];     /* of the operation at each position; 0: others */
	uint8_t op_of_name[OP_NAMES]; /* hash → position + 1; 0: free */
};

/* ------------------------------------------------------------ operations */

static void
index_operations(struct risk *risk)
{
	const struct ag_operation *op;

	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++) {
		uint8_t n = (uint8_t)(i < RISK_OPS ? i : RISK_OPS - 1);
		uint32_t h = rows_hash(op->operation, strlen(op->operation));

		risk->op_of_type[op->type & 0xfff] = n;
		if (i >= RISK_OPS - 1)
			continue; /* the last position is of all others */
		risk->types[n] = op->type;
		while (risk->op_of_name[h % OP_NAMES] != 0)
			h++;
		risk->op_of_name[h % OP_NAMES] = (uint8_t)(n + 1);
	}
}

static uint32_t
op_named(const struct risk *risk, const char *name)
{
	uint32_t h = rows_hash(name, strlen(name));

	for (; risk->op_of_name[h % OP_NAMES] != 0; h++) {
		unsigned n = risk->op_of_name[h % OP_NAMES] - 1u;

		if (strcmp(ag_operation_at(n)->operation, name) == 0)
			return n;
	}
	return RISK_OPS - 1;
}

/* Naming a key that is only being made is no choice of key. */
static uint32_t
key_hash(const char *type, const char *id, const char *operation)
{
	if (type == NULL || id == NULL || strcmp(type, "key") != 0 ||
	    strcmp(operation, "key.create") == 0 ||
	    strcmp(operation, "key.import") == 0)
		return 0;
	return rows_hash(id, strlen(id));
}

static enum risk_kind
kind_of(Ag__Kind__V kind)
{
	return kind == AG__KIND__V__agent ? RISK_AGENT :
	    kind == AG__KIND__V__human ? RISK_HUMAN : RISK_SERVICE;
}

/* --------------------------------------------------------------- baselines */

static struct entry *
entry_of(struct risk *risk, struct ag_ctx *ctx, const char *id)
{
	char evicted[AG_ID_SIZE];
	struct entry *entry = rows_get(risk->book, id, evicted);

	/* The store holds what the book holds, not more. */
	if (evicted[0] != '\0' && ag_store_del(ctx, TABLE_BASELINES, evicted,
	    strlen(evicted)) == AG_IO)
		ag_log(ctx, AG_WARN, "RISK-STORE", "evicted=%s", evicted);
	return entry;
}

struct saving {
	const struct risk *risk;
	struct ag_ctx *ctx;
};

static ag_err
save_entry(void *arg, const char *id, const void *row)
{
	const struct entry *entry = row;
	const struct saving *saving = arg;
	struct risk_kept kept;

	risk_keep(&entry->usual, saving->risk->types, &kept);
	return ag_store_put(saving->ctx, TABLE_BASELINES, id, strlen(id), &kept,
	    sizeof(kept));
}

static void
save(struct risk *risk, struct ag_ctx *ctx, unsigned max)
{
	struct saving saving = { risk, ctx };

	if (rows_save(risk->book, max, save_entry, &saving) != AG_OK)
		ag_log(ctx, AG_WARN, "RISK-STORE", "what=write");
	ag_metric_set(ctx, PRINCIPALS, rows_count(risk->book));
}

static void
on_save(void *state, struct ag_ctx *ctx)
{
	save(state, ctx, SAVE_MAX);
}

static bool
load_entry(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct risk *risk = arg;
	struct risk_baseline usual;
	struct risk_kept kept;
	char id[AG_ID_SIZE] = "", evicted[AG_ID_SIZE];
	struct entry *entry;

	if (key_len >= sizeof(id) || value_len != sizeof(kept))
		return true; /* of another version: learned anew */
	memcpy(id, key, key_len);
	memcpy(&kept, value, sizeof(kept));
	if (risk_unkeep(&kept, risk->types, &usual) &&
	    (entry = rows_get(risk->book, id, evicted)) != NULL)
		entry->usual = usual;
	return true;
}

/* Allowed requests only, also those whose answer came too late. */
static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct risk *risk = state;
	struct risk_request request = { 0 };
	char line[AG_ID_SIZE];
	struct entry *entry;

	if (event->outcome != AG__OUTCOME_KIND__V__allowed ||
	    (event->event_type != AG__EVENT_TYPE__V__request &&
	    event->event_type != AG__EVENT_TYPE__V__outcome_late) ||
	    event->actor == NULL || event->actor->id == NULL)
		return AG_OK;
	habit_line(event->actor->id, event->chain, event->n_chain, NULL, line);
	if ((entry = entry_of(risk, ctx, line)) == NULL)
		return AG_OK;
	request.at_ms = event->occurred_at;
	request.op = op_named(risk, event->operation);
	request.address = habit_network(event->source_address);
	if (event->resource != NULL)
		request.key = key_hash(event->resource->type,
		    event->resource->id, event->operation);
	request.items = event->items;
	risk_learn(&entry->usual, &request);
	rows_touch(risk->book, entry);
	return AG_OK;
}

/* ------------------------------------------------------------- the verdict */

static void
request_of(const struct risk *risk, const struct ag_operation *op,
    const Ag__Grant *grant, struct risk_request *out)
{
	*out = (struct risk_request){
		.at_ms = grant->occurred_at,
		.op = risk->op_of_type[op->type & 0xfff],
		.address = habit_network(grant->source_address),
		.key = key_hash(grant->resource_type, grant->resource_id,
		    op->operation),
		.kind = kind_of(grant->actor_kind),
		.credential_age_ms = -1,
		.scope_count = grant->scope_count,
		.items = grant->items > 0 ? grant->items : 1,
		.prod = risk->prod,
	};
	if (grant->has_credential_issued_at)
		out->credential_age_ms =
		    grant->occurred_at > grant->credential_issued_at ?
		    grant->occurred_at - grant->credential_issued_at : 0;
}

/* By the tenant's thresholds; and whoever the responder is wary of needs a
 * step-up at least. */
static Ag__Decision__V
decide(const struct risk *risk, struct ag_ctx *ctx, Ag__Verdict *verdict)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const struct thresholds *t = risk->thresholds;

	while (t->tenant != NULL && strcmp(t->tenant, grant->tenant) != 0)
		t++;
	verdict->has_step_up = verdict->has_deny = true;
	verdict->step_up = t->step_up;
	verdict->deny = t->deny;
	verdict->wary = wary_of(&risk->wary, grant->actor_id, ag_now_ms(ctx));
	verdict->has_wary = verdict->wary;
	if (verdict->score >= t->deny)
		return AG__DECISION__V__deny;
	if (verdict->score >= t->step_up || verdict->wary)
		return AG__DECISION__V__step_up;
	return AG__DECISION__V__allow;
}

/* With what the decision can be made again (aegis audit replay). */
static void
input_said(const struct ag_risk_input *in, Ag__RiskInput *out)
{
	ag__risk_input__init(out);
	out->learned = in->learned;
	out->per_s = in->per_s;
	out->peak_per_s = in->peak_per_s;
	out->hour_near = in->hour_near;
	out->hour_total = in->hour_total;
	out->op_seen = in->op_seen;
	out->op_total = in->op_total;
	out->address = in->address;
	out->key = in->key;
	out->new_key_share = in->new_key_share;
	out->kind = in->kind;
	out->credential_age_ms = in->credential_age_ms;
	out->scope_count = in->scope_count;
	out->prod = in->prod;
}

/* In the turn's memory; NULL at its ceiling. */
static Ag__Verdict *
verdict_new(struct ag_ctx *ctx, const struct risk *risk,
    const struct ag_risk_input *in, const struct risk_score *score)
{
	struct {
		Ag__Verdict verdict;
		Ag__RiskInput input;
		Ag__Factor factors[RISK_FACTORS];
		Ag__Factor *list[RISK_FACTORS];
	} *v = ag_alloc(ctx, sizeof(*v));

	if (v == NULL)
		return NULL;
	ag__verdict__init(&v->verdict);
	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		ag__factor__init(&v->factors[i]);
		v->factors[i].name = (char *)risk_factor_names[i];
		v->factors[i].value = score->values[i];
		v->factors[i].contribution = score->contributions[i];
		v->list[i] = &v->factors[i];
	}
	v->verdict.score = score->score;
	v->verdict.n_factors = RISK_FACTORS;
	v->verdict.factors = v->list;
	v->verdict.degraded = score->degraded;
	v->verdict.model_version = (char *)RISK_MODEL_VERSION;
	input_said(in, &v->input);
	v->verdict.input = &v->input;
	v->verdict.decision = decide(risk, ctx, &v->verdict);
	return &v->verdict;
}

static ag_err
refuse(struct ag_ctx *ctx, const char *reason)
{
	return ag_refuse(ctx, AG_PERMISSION_DENIED, reason, NULL,
	    "This request is too unusual for its principal");
}

struct judged {
	struct ag_risk_input in;
	struct risk_score score;
};

static ag_err
challenged(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__ChallengeReply *reply = msg;
	const struct judged *judged = memo;
	Ag__Verdict *verdict = verdict_new(ctx, state, &judged->in,
	    &judged->score);

	if (verdict == NULL)
		return AG_NO_MEMORY;
	ag_set_verdict(ctx, verdict);
	if (status == AG_PERMISSION_DENIED) /* taken away meanwhile */
		return refuse(ctx, "step_up_not_enrolled");
	if (status != AG_OK)
		return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "A second factor is needed, and nobody can ask for it now");
	ag_refuse_challenge(ctx, reply->challenge_id, reply->expires_at);
	if (reply->has_methods)
		ag_refuse_methods(ctx, reply->methods);
	ag_note_param(ctx, "challenge_id", reply->challenge_id);
	return ag_refuse(ctx, AG_STEP_UP_REQUIRED, NULL, NULL,
	    "This request is unusual for its principal; it needs the second factor");
}

/* A person's second factor makes up for it; nothing does for others. */
static ag_err
step_up(struct ag_ctx *ctx, const Ag__Grant *grant,
    const struct judged *judged)
{
	Ag__ChallengeAsk ask = AG__CHALLENGE_ASK__INIT;

	if (grant->actor_kind != AG__KIND__V__human)
		return refuse(ctx, "risk_step_up");
	if (!grant->has_step_up_digest)
		return refuse(ctx, "step_up_not_enrolled");
	ask.principal_id = grant->actor_id;
	ask.digest = grant->step_up_digest;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_IAM, 0), AG_MSG_CHALLENGE_ASK,
	    &ask, AG_MSG_CHALLENGE_REPLY, CHALLENGE_TIMEOUT_MS, challenged,
	    judged, sizeof(*judged));
}

/* Refused, or asked for more; AG_OK: it may go on. */
static ag_err
judge(struct risk *risk, struct ag_ctx *ctx, const Ag__Grant *grant,
    Ag__Verdict *verdict, const struct judged *judged)
{
	if (verdict->decision == AG__DECISION__V__allow) {
		ag_metric_add(ctx, COUNT_ALLOW, 1);
		return AG_OK;
	}
	ag_set_verdict(ctx, verdict);
	if (verdict->decision == AG__DECISION__V__deny) {
		ag_metric_add(ctx, COUNT_DENY, 1);
		return refuse(ctx, "risk_deny");
	}
	ag_metric_add(ctx, COUNT_STEP_UP, 1);
	/* Who answers a challenge cannot be asked for another one first. */
	if (grant->op == AG_MSG_CHALLENGE_READ ||
	    grant->op == AG_MSG_CHALLENGE_ANSWER)
		return AG_OK;
	/* iam has checked what came with it. */
	if (grant->step_up == NULL)
		return step_up(ctx, grant, judged);
	return wary_drop(&risk->wary, ctx, grant->actor_id);
}

static unsigned
executor_of(struct ag_ctx *ctx, const struct ag_operation *op,
    const Ag__Grant *grant)
{
	if (grant->n_needs > 0) /* people are asked first, and pass it on */
		return ag_slot(ctx, AG_ROLE_APPROVALS, 0);
	if (op->executor == AG_ROLE_KEYS && grant->resource_id != NULL)
		return ag_shard(ctx, AG_ROLE_KEYS, grant->resource_id);
	if (op->executor == AG_ROLE_KEYS) /* about no key: any shard will do */
		return ag_slot(ctx, AG_ROLE_KEYS, (unsigned)(grant->n %
		    ag_slot_count(ctx, AG_ROLE_KEYS)));
	return ag_slot(ctx, op->executor, 0);
}

static ag_err
on_operation(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct risk *risk = state;
	const Ag__Grant *grant = ag_grant(ctx);
	const struct ag_operation *op = ag_operation_find(ag_type(ctx));
	struct risk_request request;
	struct judged judged;
	char line[AG_ID_SIZE];
	struct entry *entry;
	Ag__Verdict *verdict;
	ag_err err;

	if (op == NULL || grant == NULL || grant->actor_id == NULL)
		return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL, "No grant");
	habit_line(grant->actor_id, grant->chain, grant->n_chain, NULL, line);
	if ((entry = entry_of(risk, ctx, line)) == NULL)
		return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL, "No actor");
	request_of(risk, op, grant, &request);
	request.per_s = risk_pulse(&entry->pulse, ag_mono_ms(ctx), request.items);
	risk_look(&entry->usual, &request, &judged.in);
	ag_risk_weigh(&judged.in, &judged.score);
	if ((verdict = verdict_new(ctx, risk, &judged.in, &judged.score)) == NULL)
		return AG_NO_MEMORY;
	if ((err = judge(risk, ctx, grant, verdict, &judged)) != AG_OK)
		return err;
	return ag_pass(ctx, executor_of(ctx, op, grant), NULL, verdict);
}

/* The responder wants a second factor of somebody from now on. Kept before it
 * is answered. */
static ag_err
on_act(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct risk *risk = state;
	const Ag__ActAsk *ask = msg;
	Ag__ActReply reply = AG__ACT_REPLY__INIT;
	ag_err err;

	if (strcmp(ask->action, "step_up") != 0)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, NULL, NULL,
		    "risk does not %s.", ask->action);
	err = wary_add(&risk->wary, ctx, ask->target, ask->recommendation_id,
	    &reply.changed);
	if (err != AG_OK)
		return err;
	reply.count = reply.changed;
	reply.committed_at = ag_now_ms(ctx);
	return ag_reply(ctx, AG_MSG_ACT_REPLY, &reply);
}

/* ------------------------------------------------------------------- life */

/* A tenant's own, or else everybody's. */
static double
threshold(struct ag_ctx *ctx, const char *own, unsigned i, const char *common)
{
	return ag_config_str(ctx, own, i) != NULL ?
	    ag_config_get_number(ag_config(ctx), own, i) :
	    ag_config_number(ctx, common);
}

static void
thresholds_read(struct risk *risk, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "risk.per_tenant");

	for (unsigned i = 0; i < n && i < TENANTS_MAX; i++)
		risk->thresholds[risk->tenants++] = (struct thresholds){
			ag_config_str(ctx, "risk.per_tenant[].tenant", i),
			threshold(ctx, "risk.per_tenant[].step_up", i,
			    "risk.step_up"),
			threshold(ctx, "risk.per_tenant[].deny", i, "risk.deny"),
		};
	risk->thresholds[risk->tenants] = (struct thresholds){ NULL,
		ag_config_number(ctx, "risk.step_up"),
		ag_config_number(ctx, "risk.deny") };
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct risk *risk = state;

	thresholds_read(risk, ctx);
	risk->prod = strcmp(ag_config_str(ctx, "environment", 0), "prod") == 0;
	risk->wary.table = TABLE_WARY;
	index_operations(risk);
	risk->book = rows_new(PRINCIPALS_MAX, sizeof(struct entry));
	return risk->book != NULL ? AG_OK : AG_NO_MEMORY;
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	ag_err err = ag_store_scan(ctx, TABLE_BASELINES, NULL, 0, load_entry,
	    state);

	if (err == AG_OK)
		err = wary_load(&((struct risk *)state)->wary, ctx);
	return err == AG_OK ? ag_every(ctx, SAVE_MS, on_save) : err;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct risk *risk = state;

	if (risk->book == NULL)
		return;
	save(risk, ctx, PRINCIPALS_MAX);
	if (ag_store_commit(ctx) != AG_OK)
		ag_log(ctx, AG_WARN, "RISK-STORE", "what=stop");
	rows_free(&risk->book);
}

static const struct ag_row rows[] = {
	{ AG_MSG_ACT_ASK, on_act },
};

const struct ag_actor ag_actor_risk = {
	.name = "risk",
	.state_size = sizeof(struct risk),
	AG_ROWS(rows),
	.init = init,
	.ready = ready,
	.station = on_operation,
	.on_audit = on_audit,
	.audit_skips = ag_event_reasons,
	.audit_pace_ms = 25,
	.fini = fini,
	.tables = tables,
	AG_METRICS(metrics),
};
