/* SPDX-License-Identifier: Apache-2.0 */
/* A click on a button: whose it is, that it counts once, and every way in which
 * it is not taken. */
#include "iam_fleet.h"

#include "access.h"
#include "iam.h"

#include <aegis/secret.h>
#include <aegis/signed.h>

#include <sys/stat.h>

#define CLICKS "8f742231b10e8888abcd99yyyzzz85a5"
#define BUTTONS "what a sink signs buttons with, alone"
#define APPROVAL "apr_00000000000000000000000000000001"

static struct fleet *f;
static struct ag_secret *clicks, *buttons;
static char dir[64], *alice;

static void
file_put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void
folder(void)
{
	strcpy(dir, "/tmp/aegis-callback-XXXXXX");
	assert_non_null(mkdtemp(dir));
	file_put("clicks", CLICKS);
	file_put("buttons", BUTTONS);
	file_put("short", "fifteen bytes..");
}

static void
folder_end(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static const char *
config_of(const char *secret, const char *button, const char *people)
{
	static char text[1024];

	snprintf(text, sizeof(text), "approvals: {callback: {"
	    "secret_file: '%s/%s'%s%s%s%s%s, people: [%s]}}\n", dir, secret,
	    button == NULL ? "" : ", button_file: '", button == NULL ? "" : dir,
	    button == NULL ? "" : "/", button == NULL ? "" : button,
	    button == NULL ? "" : "'", people);
	return text;
}

static int
setup(void **state)
{
	folder();
	f = fleet_new(config_of("clicks", "buttons",
	    "{user: U-ALICE, principal: alice}, "
	    "{user: U-ROBOT, principal: robot}, "
	    "{user: U-NOBODY, principal: nobody}, "
	    "{user: U-FAR, principal: alice, tenant: far}"));
	f->risk_waits = true;
	assert_int_equal(ag_secret_copy(CLICKS, strlen(CLICKS), &clicks), AG_OK);
	assert_int_equal(ag_secret_copy(BUTTONS, strlen(BUTTONS), &buttons),
	    AG_OK);
	f->risk_waits = false;
	alice = person(f, f->admin, AG__KIND__V__human, "alice", "admin");
	free(person(f, f->admin, AG__KIND__V__service, "robot", "admin"));
	f->risk_waits = true;
	return 0;
}

static int
teardown(void **state)
{
	ag_secret_free(&clicks);
	ag_secret_free(&buttons);
	free(alice);
	fleet_free(f);
	folder_end();
	return 0;
}

/* What a sink would have written on a button. */
static const char *
button(struct ag_secret *key, bool yes, int64_t until)
{
	static char text[AG_CLICK_TEXT];
	struct ag_click click = { .yes = yes, .until = until };

	strcpy(click.approval, APPROVAL);
	assert_true(ag_click_write(key, &click, text));
	return text;
}

/* As Slack says who clicked on what; the form's one member. */
static const char *
form(const char *user, const char *value)
{
	static char text[1024];

	snprintf(text, sizeof(text), "payload=%%7B%%22type%%22:"
	    "%%22block_actions%%22,%%22user%%22:%%7B%%22id%%22:%%22%s%%22%%7D,"
	    "%%22actions%%22:[%%7B%%22value%%22:%%22%s%%22%%7D]%%7D", user,
	    value);
	return text;
}

/* Signed at that time, with that key. */
static struct ended
send(struct ag_secret *key, const char *body, int64_t at_ms)
{
	Ag__CallbackAsk ask = AG__CALLBACK_ASK__INIT;
	char stamp[24], head[40], signature[AG_SIGNED_HEX + 3] = "v0=";

	snprintf(stamp, sizeof(stamp), "%lld", (long long)(at_ms / 1000));
	snprintf(head, sizeof(head), "v0:%s:", stamp);
	assert_true(ag_signed_hex(key, head, body, strlen(body), signature + 3));
	ask.has_body = true;
	ask.body.data = (uint8_t *)(uintptr_t)body;
	ask.body.len = strlen(body);
	ask.signature = signature;
	ask.timestamp = stamp;
	return request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask);
}

static struct ended
click(const char *user, bool yes)
{
	int64_t now = ag_kit_now(f->kit);

	return send(clicks, form(user, button(buttons, yes, now + 60000)), now);
}

/* The reason that is outside, and the one that the event says. */
static void
refused(struct ended e, const char *why)
{
	bool said = false;

	assert_int_equal(e.err, AG_UNAUTHENTICATED);
	assert_string_equal(e.reason, "token_signature");
	for (size_t i = 0; i < e.outcome->n_params; i++)
		if (strcmp(e.outcome->params[i]->key, "click") == 0) {
			assert_string_equal(e.outcome->params[i]->value, why);
			said = true;
		}
	assert_true(said);
	ended_free(&e);
}

static void
test_whose_it_is(void **state)
{
	for (unsigned yes = 0; yes < 2; yes++) {
		struct ended e = click("U-ALICE", yes);

		assert_int_equal(e.err, AG_OK);
		assert_true(e.passed);
		assert_string_equal(e.grant->actor_id, alice);
		assert_string_equal(e.grant->issuer, "callback");
		assert_string_equal(e.grant->resource_id, APPROVAL);
		assert_string_equal(e.grant->scope_op, yes ? "approve" : "deny");
		assert_int_equal(e.grant->credential_expires_at -
		    e.grant->credential_issued_at, 1);
		ended_free(&e);
	}
	/* Whom the configuration does not name, who is nobody here, who is no
	 * person, and whose tenant there is not. */
	refused(click("U-EVE", true), "unknown_person");
	refused(click("U-NOBODY", true), "unknown_person");
	refused(click("U-ROBOT", true), "unknown_person");
	refused(click("U-FAR", true), "unknown_person");
}

static void
test_once(void **state)
{
	int64_t now = ag_kit_now(f->kit);
	const char *body = form("U-ALICE", button(buttons, true, now + 3600000));

	expect(send(clicks, body, now), AG_OK, NULL);
	refused(send(clicks, body, now), "replayed");
	/* The same click, said at another time, is one more of theirs. */
	expect(send(clicks, body, now + 1000), AG_OK, NULL);
	/* As long as it is remembered its time is good; then it is too old. */
	ag_kit_sleep(f->kit, 299000);
	refused(send(clicks, body, now), "replayed");
	ag_kit_sleep(f->kit, 2000);
	refused(send(clicks, body, now), "expired");
}

static void
test_when(void **state)
{
	int64_t now = ag_kit_now(f->kit) / 1000 * 1000;
	const char *good = form("U-ALICE", button(buttons, true, now + 3600000));

	ag_kit_sleep(f->kit, now + 1000 - ag_kit_now(f->kit));
	now += 1000;
	refused(send(clicks, good, now - 301000), "expired");
	expect(send(clicks, good, now - 300000), AG_OK, NULL);
	expect(send(clicks, good, now + 300000), AG_OK, NULL);
	refused(send(clicks, good, now + 301000), "expired");
	/* The button's own time. */
	refused(send(clicks, form("U-ALICE", button(buttons, true, now)), now),
	    "expired");
}

static void
test_signature(void **state)
{
	Ag__CallbackAsk ask = AG__CALLBACK_ASK__INIT;
	int64_t now = ag_kit_now(f->kit);
	const char *body = form("U-ALICE", button(buttons, true, now + 60000));
	char stamp[24];

	/* One key for both would let a sink click. */
	refused(send(buttons, body, now), "forged");
	refused(request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask),
	    "forged");
	snprintf(stamp, sizeof(stamp), "%lld", (long long)(now / 1000));
	ask.has_body = true;
	ask.body.data = (uint8_t *)(uintptr_t)body;
	ask.body.len = strlen(body);
	ask.timestamp = stamp;
	ask.signature = (char *)"v0=";
	refused(request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask),
	    "forged");
	ask.signature = (char *)"v0=000000000000000000000000000000000000000000000"
	    "0000000000000000000";
	refused(request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask),
	    "forged");
	ask.timestamp = (char *)"-1";
	refused(request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask),
	    "forged");
	ask.timestamp = (char *)"1234567890123";
	refused(request(f, AG_MSG_APPROVAL_CALLBACK, ASK(.token = NULL), &ask),
	    "forged");
}

/* Rightly signed, but not what a button of ours says. */
static void
test_altered(void **state)
{
	static const char *const bodies[] = { "payload=", "payload=%7B", "load=x",
		"payload=%zz", "payload=[]", "payload=%7B%7D&payload=%7B%7D",
		"payload={\"type\":\"view\",\"user\":{\"id\":\"U-ALICE\"},"
		"\"actions\":[{\"value\":\"x\"}]}",
		"payload={\"type\":\"block_actions\",\"user\":{\"id\":\"U-ALICE\"},"
		"\"actions\":[{\"value\":\"x\"},{\"value\":\"x\"}]}" };
	int64_t now = ag_kit_now(f->kit);
	char bent[AG_CLICK_TEXT], wide[400];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		refused(send(clicks, bodies[i], now), "altered");
	/* Another's key, and any one character of the value. */
	refused(send(clicks, form("U-ALICE", button(clicks, true, now + 60000)),
	    now), "altered");
	for (size_t i = 0; i < strlen(button(buttons, true, now + 60000));
	    i += 9) {
		strcpy(bent, button(buttons, true, now + 60000));
		bent[i] = bent[i] == '0' ? '1' : '0';
		refused(send(clicks, form("U-ALICE", bent), now), "altered");
	}
	memset(wide, 'U', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	refused(send(clicks, form(wide, button(buttons, true, now + 60000)), now),
	    "altered");
	refused(send(clicks, form("U-ALICE", wide), now), "altered");
}

/* Every place is taken by a click whose time is not over: nothing is forgotten
 * for a new one. */
static void
test_full(void **state)
{
	int64_t now = ag_kit_now(f->kit);
	char user[32];
	unsigned taken = 0;
	struct ended e = { 0 };

	while (taken < 1100) {
		const char *body;

		/* A click of its own each: the time and the button differ. */
		body = form("U-ALICE", button(buttons, true,
		    now + 3600000 + taken * 1000));
		e = send(clicks, body, now);
		if (e.err != AG_OK)
			break;
		ended_free(&e);
		taken++;
	}
	assert_int_equal(taken, 1024);
	assert_int_equal(e.err, AG_UNAVAILABLE);
	assert_string_equal(e.reason, "overloaded");
	ended_free(&e);
	ag_kit_sleep(f->kit, 600000);
	snprintf(user, sizeof(user), "U-ALICE");
	expect(click(user, true), AG_OK, NULL);
}

static void
test_off(void **state)
{
	struct fleet *of = f;
	int64_t now;

	f = fleet_new(NULL);
	now = ag_kit_now(f->kit);
	refused(send(clicks, form("U-ALICE", button(buttons, true, now + 60000)),
	    now), "off");
	fleet_free(f);
	f = of;
}

static ag_err started;

static ag_err
start(void *state, struct ag_ctx *ctx)
{
	started = iam_callback_init(state, ctx);
	iam_callback_fini(state);
	return AG_OK;
}

static ag_err
start_with(const char *config)
{
	struct ag_actor actor = ag_actor_iam;
	struct ag_kit *kit;

	actor.init = start;
	actor.ready = NULL;
	actor.fini = NULL;
	kit = ag_kit_new(&actor, config, NULL);
	ag_kit_free(&kit);
	return started;
}

/* What could be forged, or means two people, does not start. */
static void
test_configuration(void **state)
{
	folder();
	assert_int_equal(start_with(NULL), AG_OK);
	assert_int_equal(start_with(config_of("clicks", "buttons",
	    "{user: U1, principal: alice}, {user: U2, principal: alice}")), AG_OK);
	assert_int_equal(start_with(config_of("clicks", "buttons",
	    "{user: U1, principal: alice}, {user: U1, principal: bob}")),
	    AG_USAGE);
	assert_int_equal(start_with(config_of("clicks", "clicks", "")), AG_USAGE);
	assert_int_equal(start_with(config_of("short", "buttons", "")), AG_USAGE);
	assert_int_equal(start_with(config_of("clicks", "short", "")), AG_USAGE);
	assert_int_equal(start_with(config_of("none", "buttons", "")), AG_USAGE);
	assert_int_equal(start_with(config_of("clicks", NULL, "")), AG_USAGE);
	folder_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whose_it_is),
		TEST(test_once),
		TEST(test_when),
		TEST(test_signature),
		TEST(test_altered),
		TEST(test_full),
		TEST(test_off),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
