/* SPDX-License-Identifier: Apache-2.0 */
/* The responder: acts first, records, rules, keeps; again changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/kit.h>

extern const struct ag_actor ag_actor_responder;

#define HEX "0123456789abcdef0123456789abcde"
static const char agent[] = "agt_" HEX "f";
static const char top[] = "agt_" HEX "0";
static const char key[] = "key_" HEX "f";

struct ask {
	Ag__AssessAsk ask;
	Ag__Recommendation r, *list[1];
	Ag__Envelope env;
	char id[AG_ID_SIZE], event_id[AG_ID_SIZE];
};

static void
ask_init(struct ask *a, unsigned n, const char *detector,
    Ag__Severity__V severity)
{
	memset(a, 0, sizeof(*a));
	ag__assess_ask__init(&a->ask);
	ag__recommendation__init(&a->r);
	ag__envelope__init(&a->env);
	a->env.has_corr = 1;
	a->env.corr = n + 1;
	snprintf(a->id, sizeof(a->id), "rec_%032x", n);
	snprintf(a->event_id, sizeof(a->event_id), "evt_%032x", n);
	a->list[0] = &a->r;
	a->ask.event_id = (char *)"evt_ffffffffffffffffffffffffffffffff";
	a->ask.agent_id = (char *)agent;
	a->ask.held = 1;
	a->ask.tenant = (char *)"default";
	a->ask.n_recommendations = 1;
	a->ask.recommendations = a->list;
	a->ask.has_recorded_us = 1;
	a->r.id = a->id;
	a->r.event_id = a->event_id;
	a->r.occurred_at = 1000 + n;
	a->r.actor = (char *)agent;
	a->r.root = (char *)"hum_" HEX "f";
	a->r.detector = (char *)detector;
	a->r.severity = severity;
	a->r.summary = (char *)"odd";
	a->r.state = (char *)"open";
	a->r.tenant = (char *)"default";
	a->r.has_actor_kind = 1;
	a->r.actor_kind = AG__KIND__V__agent;
	a->r.key_id = (char *)key;
	a->r.top_agent = (char *)top;
}

static void
assess(struct ag_kit *kit, struct ask *a)
{
	ag_kit_deliver(kit, AG_ROLE_ANOMALY, 0, AG_MSG_ASSESS_ASK, &a->env,
	    &a->ask);
}

/* What the responder did about one ask, with everybody playing along. */
struct did {
	char action[32];     /* that was asked for; empty: none */
	char target[AG_ID_SIZE];
	enum ag_role to;
	char operation[64];  /* recorded */
	char instead_of[32];
	char order[8];       /* a(ct) r(ecord) u(ruling) j(ournal) d(one) */
	bool ruled, ruled_acted, done, dry_run;
	unsigned refused;    /* status of the answer, if it was an error */
	char recorded_id[AG_ID_SIZE];
};

static void
note(struct did *did, char c)
{
	size_t n = strlen(did->order);

	if (n + 1 < sizeof(did->order))
		did->order[n] = c;
}

static void
note_record(struct did *did, const Ag__OutcomeEvent *o)
{
	snprintf(did->operation, sizeof(did->operation), "%s", o->operation);
	snprintf(did->recorded_id, sizeof(did->recorded_id), "%s", o->event_id);
	assert_int_equal(o->event_type, AG__EVENT_TYPE__V__response);
	assert_non_null(strstr(o->reason, "AnomalyAlert(rec_"));
	for (size_t i = 0; i < o->n_params; i++) {
		if (strcmp(o->params[i]->key, "instead_of") == 0)
			snprintf(did->instead_of, sizeof(did->instead_of),
			    "%s", o->params[i]->value);
		if (strcmp(o->params[i]->key, "dry_run") == 0)
			did->dry_run = true;
	}
}

static ag_err rule_status; /* what iam says of a ruling */

static struct did
play(struct ag_kit *kit, ag_err act_status)
{
	const struct ag_kit_sent *sent;
	struct did did = { 0 };

	for (;;) {
		while (ag_kit_journal(kit))
			note(&did, 'j');
		if ((sent = ag_kit_next(kit)) == NULL)
			return did;
		if (sent->type == AG_MSG_ACT_ASK) {
			const Ag__ActAsk *act = sent->body;
			Ag__ActReply reply = AG__ACT_REPLY__INIT;

			note(&did, 'a');
			snprintf(did.action, sizeof(did.action), "%s", act->action);
			snprintf(did.target, sizeof(did.target), "%s", act->target);
			did.to = sent->to_role;
			reply.changed = 1;
			reply.count = 1;
			if (act_status == AG_OK)
				ag_kit_answer(kit, sent, AG_MSG_ACT_REPLY, &reply);
			else
				ag_kit_answer_error(kit, sent, act_status, NULL);
		} else if (sent->type == AG_MSG_OUTCOME_EVENT) {
			note(&did, 'r');
			note_record(&did, sent->body);
		} else if (sent->type == AG_MSG_RULING_ASK) {
			note(&did, 'u');
			did.ruled = true;
			did.ruled_acted =
			    ((const Ag__RulingAsk *)sent->body)->acted;
			if (rule_status == AG_OK)
				ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
				    &(Ag__Done)AG__DONE__INIT);
			else
				ag_kit_answer_error(kit, sent, rule_status, NULL);
		} else if (sent->type == AG_MSG_DONE_REPLY) {
			note(&did, 'd');
			did.done = true;
		} else if (sent->type == AG_MSG_ERROR_REPLY) {
			did.refused = sent->env->status;
		}
	}
}

static struct did
respond(struct ag_kit *kit, struct ask *a)
{
	assess(kit, a);
	return play(kit, AG_OK);
}

static void
revokes_and_rules(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	did = respond(kit, &a);
	assert_string_equal(did.action, "revoke_agent");
	assert_string_equal(did.target, agent);
	assert_int_equal(did.to, AG_ROLE_IAM);
	assert_string_equal(did.operation, "response.revoke_agent");
	assert_true(did.ruled && did.ruled_acted && did.done);
	assert_int_equal(did.order[0], 'a'); /* before anything is kept */
	ag_kit_free(&kit);
}

static void
defaults(void **state)
{
	static const struct {
		const char *detector;
		Ag__Severity__V severity;
		Ag__Kind__V kind;
		const char *action; /* "": only said */
		const char *target;
	} cases[] = {
		{ "scope_violation", 4, 2, "revoke_agent", agent },
		{ "scope_violation", 3, 2, "suspend_agent", agent },
		{ "honey_key", 4, 2, "revoke_subtree", top },
		{ "rate_spike", 3, 2, "suspend_agent", agent },
		{ "rate_spike", 2, 2, "", "" },
		{ "refusal_burst", 3, 2, "", "" },
		{ "rate_spike", 3, 1, "", "" },
		{ "honey_key", 4, 1, "", "" },
		{ "scope_violation", 4, 3, "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
		struct ask a;
		struct did did;

		ask_init(&a, 1, cases[i].detector, cases[i].severity);
		a.r.actor_kind = cases[i].kind;
		did = respond(kit, &a);
		assert_string_equal(did.action, cases[i].action);
		assert_string_equal(did.target, cases[i].target);
		assert_true(did.ruled && did.done);
		assert_int_equal(did.ruled_acted, cases[i].action[0] != '\0');
		if (cases[i].action[0] == '\0')
			assert_string_equal(did.operation, "response.alert");
		ag_kit_free(&kit);
	}
}

static void
rules_of_the_configuration(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder,
	    "responder:\n"
	    "  rules:\n"
	    "    - {detector: rate_spike, severity: low, action: freeze_key}\n"
	    "    - {detector: rate_spike, kind: human, action: suspend_agent}\n"
	    "    - {detector: rate_spike, action: rotate_key}\n", NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "rate_spike", AG__SEVERITY__V__low);
	did = respond(kit, &a);
	assert_string_equal(did.action, "freeze_key");
	assert_string_equal(did.target, key);
	assert_int_equal(did.to, AG_ROLE_KEYS);
	/* A person is no agent: said, not done. */
	ask_init(&a, 2, "rate_spike", AG__SEVERITY__V__high);
	a.r.actor_kind = AG__KIND__V__human;
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	assert_string_equal(did.instead_of, "suspend_agent");
	ask_init(&a, 3, "rate_spike", AG__SEVERITY__V__high);
	did = respond(kit, &a);
	assert_string_equal(did.action, "rotate_key");
	/* No key in it: nothing to act on. */
	ask_init(&a, 4, "rate_spike", AG__SEVERITY__V__high);
	a.r.key_id = NULL;
	did = respond(kit, &a);
	assert_string_equal(did.operation, "response.alert");
	/* The defaults are gone. */
	ask_init(&a, 5, "scope_violation", AG__SEVERITY__V__critical);
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	ag_kit_free(&kit);
}

static void
dry_run(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder,
	    "responder: {dry_run: true}\n", NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "honey_key", AG__SEVERITY__V__critical);
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	assert_string_equal(did.operation, "response.revoke_subtree");
	assert_true(did.dry_run && did.ruled && !did.ruled_acted && did.done);
	ag_kit_free(&kit);
}

static void
cap_per_minute(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder,
	    "responder: {max_actions_per_minute: 3}\n", NULL);
	struct ask a;
	struct did did;

	for (unsigned i = 1; i <= 5; i++) {
		ask_init(&a, i, "scope_violation", AG__SEVERITY__V__high);
		did = respond(kit, &a);
		assert_string_equal(did.action, i <= 3 ? "suspend_agent" : "");
		assert_true(did.ruled && did.done);
		if (i > 3)
			assert_string_equal(did.instead_of, "suspend_agent");
	}
	ag_kit_advance(kit, 59999);
	ask_init(&a, 6, "scope_violation", AG__SEVERITY__V__high);
	assert_string_equal(respond(kit, &a).action, "");
	ag_kit_advance(kit, 1);
	ask_init(&a, 7, "scope_violation", AG__SEVERITY__V__high);
	assert_string_equal(respond(kit, &a).action, "suspend_agent");
	ag_kit_free(&kit);
}

/* The same again: nothing is done twice, the ruling is said again. */
static void
again_changes_nothing(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	char first[AG_ID_SIZE];
	struct ask a;
	struct did did;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	did = respond(kit, &a);
	assert_string_equal(did.action, "revoke_agent");
	snprintf(first, sizeof(first), "%s", did.recorded_id);
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	assert_true(did.ruled && did.ruled_acted && did.done);
	/* Its record is said again, under the same id. */
	assert_string_equal(did.recorded_id, first);
	ag_kit_free(&kit);
}

/* A burst that grows is the same recommendation, decided anew. */
static void
escalates(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "rate_spike", AG__SEVERITY__V__low);
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	ask_init(&a, 1, "rate_spike", AG__SEVERITY__V__high);
	did = respond(kit, &a);
	assert_string_equal(did.action, "suspend_agent");
	assert_true(did.done);
	ask_init(&a, 1, "rate_spike", AG__SEVERITY__V__medium); /* late */
	did = respond(kit, &a);
	assert_string_equal(did.action, "");
	ag_kit_free(&kit);
}

/* iam is away: no ruling, so the hold stays, and anomaly asks again. What is
 * gone for good is ruled on. */
static void
failures(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	assess(kit, &a);
	did = play(kit, AG_UNAVAILABLE);
	assert_false(did.ruled || did.done);
	assert_int_equal(did.refused, AG_UNAVAILABLE);
	did = respond(kit, &a);
	assert_true(did.ruled && did.ruled_acted && did.done);
	ask_init(&a, 2, "scope_violation", AG__SEVERITY__V__critical);
	assess(kit, &a);
	did = play(kit, AG_ITEM_NOT_FOUND);
	assert_true(did.ruled && !did.ruled_acted && did.done);
	ag_kit_free(&kit);
}

static void
nothing_found_is_ruled(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	struct ask a;
	struct did did;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	a.ask.n_recommendations = 0;
	did = respond(kit, &a);
	assert_true(did.ruled && !did.ruled_acted && did.done);
	assert_string_equal(did.operation, "");
	ag_kit_free(&kit);
}

static const char long_name[] = HEX HEX HEX HEX "f"; /* 125 bytes */

/* A journal that has one from before goes on. */
static void
skips_what_it_cannot_keep(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__RecommendationFact fact = AG__RECOMMENDATION_FACT__INIT;
	struct ag_fact_record record = { .type = AG_MSG_RECOMMENDATION_FACT,
	    .version = 1, .fact = &fact };
	struct ask a;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	a.r.tenant = (char *)long_name;
	fact.recommendation = &a.r;
	assert_int_equal(ag_actor_responder.apply(ag_kit_state(kit),
	    ag_kit_ctx(kit), &record), AG_OK);
	ag_kit_free(&kit);
}

static void
hostile_asks(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__Recommendation *many[20];
	struct ask a;
	struct did did;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__critical);
	a.r.event_id = NULL;
	did = respond(kit, &a);
	assert_false(did.done || did.ruled);
	ask_init(&a, 2, "scope_violation", AG__SEVERITY__V__critical);
	for (unsigned i = 0; i < 20; i++)
		many[i] = &a.r;
	a.ask.recommendations = many;
	a.ask.n_recommendations = 20;
	did = respond(kit, &a);
	assert_false(did.done || did.ruled);
	for (unsigned i = 0; i < 5; i++) { /* longer than can be kept */
		ask_init(&a, 10 + i, "scope_violation", AG__SEVERITY__V__critical);
		*(i == 0 ? &a.r.tenant : i == 1 ? &a.ask.tenant :
		    i == 2 ? &a.r.id : i == 3 ? &a.r.actor : &a.r.key_id) =
		    (char *)long_name;
		did = respond(kit, &a);
		assert_false(did.done || did.ruled);
	}
	ask_init(&a, 3, "no_such_detector", AG__SEVERITY__V__critical);
	did = respond(kit, &a);
	assert_true(did.done && did.ruled);
	ag_kit_free(&kit);
}

/* ------------------------------------------------------------- for people */

static const Ag__OutcomeEvent *
operate(struct ag_kit *kit, uint16_t op, const char *tenant, const char *id,
    bool sees_honey, const void *body)
{
	Ag__Grant g = AG__GRANT__INIT;
	const struct ag_kit_sent *sent;

	g.tenant = (char *)tenant;
	g.resource_id = (char *)id;
	g.has_sees_honey = sees_honey;
	g.sees_honey = sees_honey;
	ag_kit_operate(kit, op, &g, body);
	for (;;) {
		while (ag_kit_journal(kit))
			continue;
		if ((sent = ag_kit_next(kit)) == NULL)
			return NULL;
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			return sent->body;
	}
}

static void
fill(struct ag_kit *kit, unsigned count)
{
	for (unsigned i = 1; i <= count; i++) {
		struct ask a;

		ask_init(&a, i, i % 2 ? "refusal_burst" : "rate_spike",
		    i % 3 ? AG__SEVERITY__V__low : AG__SEVERITY__V__medium);
		assert_true(respond(kit, &a).done);
	}
}

static Ag__RecommendationListReply *
list(struct ag_kit *kit, const char *tenant, Ag__RecommendationListAsk *ask)
{
	const Ag__OutcomeEvent *o = operate(kit, AG_MSG_RECOMMENDATION_LIST,
	    tenant, NULL, true, ask);

	assert_non_null(o);
	if (o->outcome != AG__OUTCOME_KIND__V__allowed)
		return NULL;
	return ag__recommendation_list_reply__unpack(NULL, o->reply.len,
	    o->reply.data);
}

static void
pages(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__RecommendationListAsk ask = AG__RECOMMENDATION_LIST_ASK__INIT;
	Ag__RecommendationListReply *page;
	char cursor[512] = "", last[AG_ID_SIZE] = "";
	size_t total = 0;

	fill(kit, 25);
	ask.has_limit = 1;
	ask.limit = 10;
	do {
		ask.cursor = cursor[0] != '\0' ? cursor : NULL;
		page = list(kit, "default", &ask);
		assert_non_null(page);
		for (size_t i = 0; i < page->n_items; i++) {
			Ag__Recommendation *r = page->items[i];

			/* Newest first; ours are numbered by age. */
			if (last[0] != '\0')
				assert_true(strcmp(r->id, last) < 0);
			snprintf(last, sizeof(last), "%s", r->id);
			assert_null(r->tenant);
			assert_null(r->key_id);
			assert_non_null(r->action);
			assert_string_equal(r->action->name, "alert");
		}
		total += page->n_items;
		snprintf(cursor, sizeof(cursor), "%s",
		    page->next_cursor != NULL ? page->next_cursor : "");
		ag__recommendation_list_reply__free_unpacked(page, NULL);
	} while (cursor[0] != '\0');
	assert_int_equal(total, 25);
	ag_kit_free(&kit);
}

static void
filters_and_tenants(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__RecommendationListAsk ask = AG__RECOMMENDATION_LIST_ASK__INIT;
	Ag__RecommendationListReply *page;
	char cursor[512];

	fill(kit, 12);
	ask.detector = (char *)"rate_spike";
	page = list(kit, "default", &ask);
	assert_int_equal(page->n_items, 6);
	ag__recommendation_list_reply__free_unpacked(page, NULL);
	ask.has_severity = 1;
	ask.severity = AG__SEVERITY__V__medium;
	page = list(kit, "default", &ask);
	assert_int_equal(page->n_items, 2);
	ag__recommendation_list_reply__free_unpacked(page, NULL);
	ag__recommendation_list_ask__init(&ask);
	page = list(kit, "other", &ask);
	assert_int_equal(page->n_items, 0);
	ag__recommendation_list_reply__free_unpacked(page, NULL);
	ask.has_since = 1;
	ask.since = 1012;
	page = list(kit, "default", &ask);
	assert_int_equal(page->n_items, 1);
	ag__recommendation_list_reply__free_unpacked(page, NULL);
	/* A cursor is for its tenant, its filter and an hour. */
	ag__recommendation_list_ask__init(&ask);
	ask.has_limit = 1;
	ask.limit = 5;
	page = list(kit, "default", &ask);
	snprintf(cursor, sizeof(cursor), "%s", page->next_cursor);
	ag__recommendation_list_reply__free_unpacked(page, NULL);
	ask.cursor = cursor;
	assert_null(list(kit, "other", &ask));
	ask.state = (char *)"open";
	assert_null(list(kit, "default", &ask));
	ask.state = NULL;
	ag_kit_advance(kit, 3600001);
	assert_null(list(kit, "default", &ask));
	ask.cursor = (char *)"not a cursor";
	assert_null(list(kit, "default", &ask));
	ask.cursor = (char *)"AAAA";
	assert_null(list(kit, "default", &ask));
	ask.cursor = NULL;
	ask.limit = 0;
	assert_null(list(kit, "default", &ask));
	ag_kit_free(&kit);
}

static unsigned
refused_with(const Ag__OutcomeEvent *o)
{
	assert_non_null(o);
	return o->refusal != NULL ? o->refusal->err : 0;
}

static void
reads_and_hides(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__Nothing nothing = AG__NOTHING__INIT;
	struct ask a;

	ask_init(&a, 1, "honey_key", AG__SEVERITY__V__critical);
	respond(kit, &a);
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_READ,
	    "default", a.id, true, &nothing)), AG_OK);
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_READ,
	    "default", a.id, false, &nothing)), AG_ITEM_NOT_FOUND);
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_READ,
	    "other", a.id, true, &nothing)), AG_ITEM_NOT_FOUND);
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_READ,
	    "default", "rec_../../etc/passwd", true, &nothing)),
	    AG_ITEM_NOT_FOUND);
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_READ,
	    "default", NULL, true, &nothing)), AG_ITEM_NOT_FOUND);
	ag_kit_free(&kit);
}

static void
dismisses(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__DismissAsk ask = AG__DISMISS_ASK__INIT;
	const Ag__OutcomeEvent *o;
	Ag__Recommendation *r;
	struct ask a;

	ask_init(&a, 1, "refusal_burst", AG__SEVERITY__V__low);
	respond(kit, &a);
	ask.reason = (char *)"";
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_DISMISS,
	    "default", a.id, false, &ask)), AG_INVALID_FIELD);
	ask.reason = (char *)"a drill";
	assert_int_equal(refused_with(operate(kit, AG_MSG_RECOMMENDATION_DISMISS,
	    "other", a.id, false, &ask)), AG_ITEM_NOT_FOUND);
	for (unsigned i = 0; i < 2; i++) { /* again: the same */
		o = operate(kit, AG_MSG_RECOMMENDATION_DISMISS, "default", a.id,
		    false, &ask);
		assert_int_equal(refused_with(o), AG_OK);
		r = ag__recommendation__unpack(NULL, o->reply.len, o->reply.data);
		assert_string_equal(r->state, "dismissed");
		ag__recommendation__free_unpacked(r, NULL);
	}
	ag_kit_free(&kit);
}

/* iam was away when it was ruled: nothing is concluded, anomaly asks again, and
 * then it is ruled again. */
static void
rules_until_it_is_kept(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	struct did did;
	struct ask a;

	ask_init(&a, 1, "scope_violation", AG__SEVERITY__V__high);
	rule_status = AG_NOBODY;
	did = respond(kit, &a);
	rule_status = AG_OK;
	assert_true(did.ruled);
	assert_false(did.done);
	assert_int_not_equal(did.refused, AG_OK);
	did = respond(kit, &a);
	assert_true(did.ruled && did.done);
	ask_init(&a, 2, "scope_violation", AG__SEVERITY__V__high);
	a.ask.held = 0; /* nobody waits */
	did = respond(kit, &a);
	assert_false(did.ruled);
	assert_true(did.done);
	ag_kit_free(&kit);
}

static const char *
param(const Ag__OutcomeEvent *o, const char *name)
{
	for (size_t i = 0; i < o->n_params; i++)
		if (strcmp(o->params[i]->key, name) == 0)
			return o->params[i]->value;
	return "";
}

/* What is to be learned is written down for anomaly; where nothing is learned,
 * it is refused and nothing changes. */
static void
dismisses_and_teaches(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__DismissAsk ask = AG__DISMISS_ASK__INIT;
	const Ag__OutcomeEvent *o;
	struct ask a;

	ask.reason = (char *)"a drill";
	ask.has_learn = ask.learn = 1;
	ask_init(&a, 1, "refusal_burst", AG__SEVERITY__V__low);
	respond(kit, &a);
	o = operate(kit, AG_MSG_RECOMMENDATION_DISMISS, "default", a.id, false,
	    &ask);
	assert_int_equal(refused_with(o), AG_INVALID_FIELD);
	assert_string_equal(param(o, "learn"), "");
	ask_init(&a, 2, "new_address", AG__SEVERITY__V__low);
	a.r.baseline = (char *)"lin_" HEX "f";
	respond(kit, &a);
	o = operate(kit, AG_MSG_RECOMMENDATION_DISMISS, "default", a.id, false,
	    &ask);
	assert_int_equal(refused_with(o), AG_OK);
	assert_string_equal(param(o, "learn"), "true");
	assert_string_equal(param(o, "detector"), "new_address");
	assert_string_equal(param(o, "baseline"), "lin_" HEX "f");
	assert_string_equal(param(o, "since_ms"), "1002");
	ag_kit_free(&kit);
}

static void
shows_rules(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_responder, NULL, NULL);
	Ag__Nothing nothing = AG__NOTHING__INIT;
	const Ag__OutcomeEvent *o = operate(kit, AG_MSG_RESPONDER_RULES,
	    "default", NULL, false, &nothing);
	Ag__ResponderRulesReply *rules;

	assert_int_equal(refused_with(o), AG_OK);
	rules = ag__responder_rules_reply__unpack(NULL, o->reply.len,
	    o->reply.data);
	assert_false(rules->dry_run);
	assert_int_equal(rules->max_actions_per_minute, 60);
	assert_int_equal(rules->n_items, 4);
	assert_string_equal(rules->items[0]->action, "revoke_agent");
	ag__responder_rules_reply__free_unpacked(rules, NULL);
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revokes_and_rules),
		cmocka_unit_test(defaults),
		cmocka_unit_test(rules_of_the_configuration),
		cmocka_unit_test(dry_run),
		cmocka_unit_test(cap_per_minute),
		cmocka_unit_test(again_changes_nothing),
		cmocka_unit_test(escalates),
		cmocka_unit_test(failures),
		cmocka_unit_test(nothing_found_is_ruled),
		cmocka_unit_test(hostile_asks),
		cmocka_unit_test(skips_what_it_cannot_keep),
		cmocka_unit_test(pages),
		cmocka_unit_test(filters_and_tenants),
		cmocka_unit_test(reads_and_hides),
		cmocka_unit_test(dismisses),
		cmocka_unit_test(rules_until_it_is_kept),
		cmocka_unit_test(dismisses_and_teaches),
		cmocka_unit_test(shows_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
