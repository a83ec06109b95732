/* SPDX-License-Identifier: Apache-2.0 */
/* An event as API Activity of OCSF: what the class requires is there, what is
 * absent is left out, and hostile text stays text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "encode.h"

static Ag__Event
event_of(const char *operation, Ag__OutcomeKind__V outcome)
{
	Ag__Event e = AG__EVENT__INIT;

	e.event_id = (char *)"evt_1";
	e.seq = 7;
	e.tenant = (char *)"default";
	e.event_type = AG__EVENT_TYPE__V__request;
	e.occurred_at = INT64_C(1795265121790);
	e.operation = (char *)operation;
	e.outcome = outcome;
	return e;
}

static json_int_t
number(const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

/* OCSF has no nulls. */
static void
no_nulls(const json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;

	assert_false(json_is_null(value));
	json_object_foreach((json_t *)value, name, member)
		no_nulls(member);
	json_array_foreach(value, i, member)
		no_nulls(member);
}

static void
what_the_class_requires(void **state)
{
	static const struct {
		const char *operation;
		int activity;
	} rows[] = {
		{ "key.create", 1 }, { "key.read", 2 }, { "key.rotate", 3 },
		{ "key.destroy", 4 }, { "agent.revoke-many", 4 },
		{ "key.sign", 99 }, { "oddity", 99 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Ag__Event e = event_of(rows[i].operation,
		    AG__OUTCOME_KIND__V__allowed);
		json_t *o = encode_ocsf(&e);

		assert_non_null(o);
		no_nulls(o);
		assert_int_equal(number(o, "class_uid"), 6003);
		assert_int_equal(number(o, "category_uid"), 6);
		assert_int_equal(number(o, "activity_id"), rows[i].activity);
		assert_int_equal(number(o, "type_uid"),
		    600300 + rows[i].activity);
		assert_int_equal(number(o, "time"), e.occurred_at);
		assert_int_equal(number(o, "severity_id"), 1);
		assert_int_equal(number(o, "status_id"), 1);
		assert_string_equal(json_string_value(json_object_get(
		    json_object_get(o, "metadata"), "uid")), "evt_1");
		assert_non_null(json_object_get(o, "actor"));
		assert_non_null(json_object_get(o, "src_endpoint"));
		json_decref(o);
	}
}

static void
what_was_refused(void **state)
{
	Ag__Event e = event_of("key.sign", AG__OUTCOME_KIND__V__denied);
	json_t *o;

	e.code = (char *)"PermissionDenied";
	e.reason_code = (char *)"scope_missing";
	o = encode_ocsf(&e);
	assert_non_null(o);
	assert_int_equal(number(o, "status_id"), 2);
	assert_int_equal(number(o, "severity_id"), 3);
	assert_string_equal(json_string_value(json_object_get(o,
	    "status_code")), "PermissionDenied");
	json_decref(o);
	e.event_type = AG__EVENT_TYPE__V__detection;
	o = encode_ocsf(&e);
	assert_non_null(o);
	assert_int_equal(number(o, "severity_id"), 4);
	json_decref(o);
}

static void
hostile_text(void **state)
{
	static const char bad[] = "\"}\n{\"class_uid\":1,\x01\\";
	Ag__Event e = event_of("key.read", AG__OUTCOME_KIND__V__allowed);
	json_t *o, *again;
	char *text;

	e.user_agent = (char *)bad;
	o = encode_ocsf(&e);
	assert_non_null(o);
	text = json_dumps(o, JSON_COMPACT);
	assert_non_null(text);
	assert_null(strchr(text, '\n'));
	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(again);
	assert_string_equal(json_string_value(json_object_get(json_object_get(
	    again, "http_request"), "user_agent")), bad);
	json_decref(again);
	free(text);
	json_decref(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_class_requires),
		cmocka_unit_test(what_was_refused),
		cmocka_unit_test(hostile_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
