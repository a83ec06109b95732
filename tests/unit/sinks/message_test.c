/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to people about a request for approval: what the server knows as
 * plain text, the requester's words fenced, buttons only on what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "message.h"

#define APR "apr_0123456789abcdef0123456789abcdef"

static Ag__Pair pairs[8];
static Ag__Pair *params[8];
static Ag__EventActor actor;
static Ag__Link links[2];
static Ag__Link *chain[2] = { &links[0], &links[1] };
static Ag__Resource resource;

static void
add(Ag__Event *e, const char *key, const char *value)
{
	ag__pair__init(&pairs[e->n_params]);
	pairs[e->n_params].key = (char *)key;
	pairs[e->n_params].value = (char *)value;
	params[e->n_params] = &pairs[e->n_params];
	e->params = params;
	e->n_params++;
}

/* A decryption that people are asked about. */
static Ag__Event
asked(const char *said)
{
	Ag__Event e = AG__EVENT__INIT;

	ag__event_actor__init(&actor);
	ag__resource__init(&resource);
	ag__link__init(&links[0]);
	ag__link__init(&links[1]);
	links[0].id = (char *)"hum_1";
	links[0].name = (char *)"bob";
	links[1].id = (char *)"agt_1";
	actor.id = (char *)"agt_1";
	actor.has_kind = 1;
	actor.kind = AG__KIND__V__agent;
	actor.label = (char *)"*clerk*\nneeds: 0 of nobody";
	resource.type = (char *)"key";
	resource.id = (char *)"key_1";
	resource.alias = (char *)"payroll";
	e.event_id = (char *)"evt_1";
	e.tenant = (char *)"default";
	e.operation = (char *)"key.decrypt";
	e.outcome = AG__OUTCOME_KIND__V__denied;
	e.code = (char *)"ApprovalRequired";
	e.actor = &actor;
	e.resource = &resource;
	e.chain = chain;
	e.n_chain = 2;
	add(&e, "approval_id", APR);
	add(&e, "after", "pending");
	add(&e, "needs", "2 of leads");
	add(&e, "expires_at", "2026-11-20T21:33:14.000Z");
	if (said != NULL)
		add(&e, "said", said);
	return e;
}

static json_t *
message_of(const Ag__Event *e, struct ag_secret *key)
{
	char *text = message_json(e, key);
	json_t *json = text == NULL ? NULL : json_loads(text, 0, NULL);

	assert_non_null(json);
	free(text);
	return json;
}

/* The block of this type (and, of sections, with this member); NULL: none. */
static json_t *
block(json_t *message, const char *type, const char *member)
{
	json_t *b;
	size_t i;

	json_array_foreach(json_object_get(message, "blocks"), i, b)
		if (strcmp(json_string_value(json_object_get(b, "type")), type) ==
		    0 && json_object_get(b, member) != NULL)
			return json_object_get(b, member);
	return NULL;
}

static void
all_plain(const json_t *value)
{
	const json_t *type = json_object_get(value, "type");
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(type))
		assert_string_not_equal(json_string_value(type), "mrkdwn");
	json_object_foreach((json_t *)value, name, member)
		all_plain(member);
	json_array_foreach(value, i, member)
		all_plain(member);
}

static void
test_asked(void **state)
{
	Ag__Event e = asked("month end\nrisk: 0.00 <!channel>");
	json_t *m = message_of(&e, NULL), *facts, *words;
	const char *text;

	(void)state;
	all_plain(m);
	assert_null(block(m, "actions", "elements"));
	facts = json_object_get(json_object_get(m, "metadata"), "event_payload");
	assert_string_equal(json_string_value(json_object_get(facts, "what")),
	    "asked");
	assert_string_equal(json_string_value(json_object_get(facts, "approval")),
	    APR);
	assert_string_equal(json_string_value(json_object_get(facts, "resource")),
	    "payroll");
	assert_string_equal(json_string_value(json_object_get(facts,
	    "on behalf of")), "bob");
	assert_string_equal(json_string_value(json_object_get(facts, "needs")),
	    "2 of leads");
	assert_in_range(json_array_size(block(m, "section", "fields")), 6, 10);
	/* What it says of itself is no fact, and begins no line. */
	words = block(m, "section", "text");
	text = json_string_value(json_object_get(words, "text"));
	assert_non_null(strstr(text, "(not verified):\n| reason: month end?risk"));
	assert_non_null(strstr(text, "\n| label: *clerk*?needs: 0 of nobody"));
	for (const char *p = strchr(text, '\n'); p != NULL; p = strchr(p + 1, '\n'))
		assert_memory_equal(p, "\n| ", 3);
	assert_null(strstr(json_string_value(json_object_get(m, "text")), "clerk"));
	json_decref(m);
}

/* Nobody agrees to what is not shown. */
static void
test_what_is_asked(void **state)
{
	static char many[3000];
	struct ag_secret *key = NULL;
	json_t *m;

	(void)state;
	memset(many, 'x', sizeof(many) - 1);
	assert_int_equal(ag_secret_copy("0123456789abcdef", 16, &key), AG_OK);
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = { "asked.scopes", "asked.scopes",
			"asked.scopes", "asked.more" };
		const char *const values[] = { "key:payroll:decrypt", many,
			"key:a\nneeds: 0", "true" };
		Ag__Event e = asked(NULL);

		add(&e, names[i], values[i]);
		m = message_of(&e, key);
		assert_int_equal(block(m, "actions", "elements") != NULL, i == 0);
		assert_string_equal(json_string_value(json_object_get(block(m,
		    "section", "text"), "text")), i == 0 ?
		    "What is asked for:\nscopes: key:payroll:decrypt" :
		    "What is asked for:\nand more than fits here: read it with "
		    "aegis approval show");
		json_decref(m);
	}
	ag_secret_free(&key);
}

static void
test_buttons(void **state)
{
	static const char *const words[] = { "approve", "deny" };
	struct ag_secret *key = NULL;
	Ag__Event e = asked(NULL);
	struct ag_click click;
	json_t *m, *list;

	(void)state;
	assert_int_equal(ag_secret_copy("0123456789abcdef", 16, &key), AG_OK);
	m = message_of(&e, key);
	list = block(m, "actions", "elements");
	assert_int_equal(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++) {
		json_t *b = json_array_get(list, i);

		assert_string_equal(json_string_value(json_object_get(b,
		    "action_id")), words[i]);
		assert_true(ag_click_read(key, json_string_value(
		    json_object_get(b, "value")), &click));
		assert_int_equal(click.yes, i == 0);
		assert_string_equal(click.approval, APR);
		assert_int_equal(click.until, INT64_C(1795210394000));
	}
	json_decref(m);
	ag_secret_free(&key);
}

/* What ended has no buttons; what is about something else is no message. */
static void
test_kinds(void **state)
{
	static const struct {
		const char *operation, *after;
		enum message_kind kind;
	} rows[] = {
		{ "approval.approve", "approved", MESSAGE_DECIDED },
		{ "approval.deny", "denied", MESSAGE_DECIDED },
		{ "approval.cancel", "cancelled", MESSAGE_DECIDED },
		{ "approval.callback", "approved", MESSAGE_DECIDED },
		{ "approval.expire", "expired", MESSAGE_EXPIRED },
		{ "approval.remind", "pending", MESSAGE_REMINDED },
		{ "approval.request", "pending", MESSAGE_ASKED },
		{ "approval.request", NULL, MESSAGE_NONE }, /* asked before */
		{ "break-glass.open", "active", MESSAGE_NONE },
		{ "approval.read", NULL, MESSAGE_NONE },
	};
	struct ag_secret *key = NULL;
	Ag__Event e;

	(void)state;
	assert_int_equal(ag_secret_copy("0123456789abcdef", 16, &key), AG_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e = asked(NULL);
		e.code = NULL;
		e.n_params = 0;
		e.outcome = AG__OUTCOME_KIND__V__allowed;
		e.operation = (char *)rows[i].operation;
		add(&e, "requester", "agt_1");
		add(&e, "expires_at", "2026-11-20T21:33:14.000Z");
		if (rows[i].after != NULL)
			add(&e, "after", rows[i].after);
		assert_int_equal(message_kind(&e), rows[i].kind);
		if (rows[i].kind != MESSAGE_NONE) {
			json_t *m = message_of(&e, key);

			assert_int_equal(block(m, "actions", "elements") != NULL,
			    rows[i].kind == MESSAGE_REMINDED ||
			    rows[i].kind == MESSAGE_ASKED);
			json_decref(m);
		}
		e.outcome = AG__OUTCOME_KIND__V__denied;
		assert_int_equal(message_kind(&e), MESSAGE_NONE);
	}
	/* The same question again asks nobody. */
	e = asked(NULL);
	pairs[1].key = (char *)"other";
	assert_int_equal(message_kind(&e), MESSAGE_NONE);
	ag_secret_free(&key);
}

/* As long as they come: nothing is written past a bound. */
static void
test_long(void **state)
{
	static char text[5000];
	Ag__Event e;
	json_t *m;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	e = asked(text);
	actor.label = actor.model = e.user_agent = text;
	resource.alias = text;
	m = message_of(&e, NULL);
	all_plain(m);
	json_decref(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_what_is_asked),
		cmocka_unit_test(test_buttons),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_long),
	};

	if (ag_secret_init() != AG_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
