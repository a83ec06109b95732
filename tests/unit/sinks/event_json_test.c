/* SPDX-License-Identifier: Apache-2.0 */
/* An event as JSON: every public member, nulls, nothing of the house. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <aegis/aegis.h>
#include <aegis/event.h>

/* rest-contract §5, in its order. */
static const char *const members[] = {
	"event_id", "seq", "tenant", "event_type", "occurred_at", "request_id",
	"client_request_id", "trace_id", "plane", "operation", "resource",
	"actor", "chain", "outcome", "status", "code", "reason_code", "rule",
	"policy_version", "risk", "source_address", "user_agent", "latency_us",
	"params", "items", "failed", "suppressed", "cause_event_id",
	"prompt_hash", "hash_b64", "prev_hash_b64",
};

static void
event_init(Ag__Event *e)
{
	ag__event__init(e);
	e->event_id = (char *)"evt_0";
	e->seq = 7;
	e->tenant = (char *)"default";
	e->event_type = AG__EVENT_TYPE__V__request;
	e->occurred_at = INT64_C(1795210394123);
	e->operation = (char *)"key.sign";
	e->outcome = AG__OUTCOME_KIND__V__allowed;
	e->has_held = e->held = 1;
	e->has_honey = e->honey = 1;
	e->has_recorded_us = 1;
	e->reason = (char *)"not shown";
	e->author = (char *)"keys.0";
}

static json_t *
parsed(const Ag__Event *e)
{
	char *line;
	json_t *object;

	assert_int_equal(ag_event_json(e, &line), AG_OK);
	assert_null(strchr(line, '\n'));
	object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	free(line);
	return object;
}

static void
all_members(void **state)
{
	Ag__Event e;
	json_t *o;

	event_init(&e);
	o = parsed(&e);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_object_get(o, members[i]) == NULL)
			fail_msg("no %s", members[i]);
	assert_int_equal(json_object_size(o),
	    sizeof(members) / sizeof(members[0]));
	assert_string_equal(json_string_value(json_object_get(o,
	    "occurred_at")), "2026-11-20T21:33:14.123Z");
	assert_true(json_is_null(json_object_get(o, "risk")));
	assert_true(json_is_null(json_object_get(o, "hash_b64")));
	assert_true(json_is_array(json_object_get(o, "chain")));
	assert_true(json_is_object(json_object_get(o, "params")));
	assert_string_equal(json_string_value(json_object_get(o, "outcome")),
	    "allowed");
	json_decref(o);
}

static void
nested(void **state)
{
	Ag__Event e;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	Ag__Factor factor = AG__FACTOR__INIT, *factors = &factor;
	Ag__Pair pair = AG__PAIR__INIT, *pairs = &pair;
	json_t *o, *risk;

	event_init(&e);
	factor.name = (char *)"rate";
	factor.value = 0.5;
	factor.contribution = 0.1;
	verdict.n_factors = 1;
	verdict.factors = &factors;
	verdict.decision = AG__DECISION__V__step_up;
	verdict.score = 0.7;
	verdict.model_version = (char *)"1";
	e.risk = &verdict;
	pair.key = (char *)"algorithm";
	pair.value = (char *)"ECDSA_SHA_256";
	e.n_params = 1;
	e.params = &pairs;
	e.has_hash_b64 = 1;
	e.hash_b64.data = (uint8_t *)"\x01\x02";
	e.hash_b64.len = 2;
	o = parsed(&e);
	risk = json_object_get(o, "risk");
	assert_string_equal(json_string_value(json_object_get(risk, "decision")),
	    "step_up");
	assert_true(json_real_value(json_object_get(risk, "score")) == 0.7);
	assert_string_equal(json_string_value(json_object_get(
	    json_object_get(o, "params"), "algorithm")), "ECDSA_SHA_256");
	assert_string_equal(json_string_value(json_object_get(o, "hash_b64")),
	    "AQI=");
	json_decref(o);
}

/* Bytes of a peer that are no UTF-8, quotes and line ends stay inside. */
static void
hostile_text(void **state)
{
	Ag__Event e;
	json_t *o;

	event_init(&e);
	e.user_agent = (char *)"\"}\n{\"event_id\":\"evt_forged\"";
	e.client_request_id = (char *)"\xff\xfe";
	o = parsed(&e);
	assert_string_equal(json_string_value(json_object_get(o, "event_id")),
	    "evt_0");
	assert_string_equal(json_string_value(json_object_get(o, "user_agent")),
	    e.user_agent);
	json_decref(o);
}

static void
derived_ids(void **state)
{
	char a[AG_ID_SIZE], b[AG_ID_SIZE];

	ag_id_derive("rec", "evt_1", "rate_spike", a);
	ag_id_derive("rec", "evt_1", "rate_spike", b);
	assert_string_equal(a, b);
	assert_true(ag_id_valid(a, "rec"));
	ag_id_derive("rec", "evt_1r", "ate_spike", b);
	assert_string_not_equal(a, b);
	/* UUIDv7, of the cause's time. */
	ag_id_derive("rec", "evt_01a2004c225470d18f2bc2a1e9c1e4a7", "x", a);
	assert_memory_equal(a, "rec_01a2004c2254", 16);
	assert_int_equal(a[4 + 12], '7');
	assert_non_null(strchr("89ab", a[4 + 16]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_members),
		cmocka_unit_test(nested),
		cmocka_unit_test(hostile_text),
		cmocka_unit_test(derived_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
