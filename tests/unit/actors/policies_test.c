/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of policies: what is offered of it, and what is refused. */
#include <aegis/kit.h>

#include "policies/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

extern const struct ag_actor ag_actor_policies;

#define ALL "permit (principal, action, resource);"

static char dir[64];
static struct ag_kit *kit;

static void
put(const char *name, const char *text, size_t len)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void
text(const char *name, const char *what)
{
	put(name, what, strlen(what));
}

static void
drop(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static int
setup(void **state)
{
	char config[200];

	strcpy(dir, "/tmp/policies-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(config, sizeof(config), "policies: {directory: %s, tenant: "
	    "acme}\n", dir);
	kit = ag_kit_new(&ag_actor_policies, config, NULL);
	return 0;
}

static int
teardown(void **state)
{
	char command[80];

	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* Looks so often, and what it says then; NULL: nothing. */
static const struct ag_kit_sent *
look(int times)
{
	for (int i = 0; i < times; i++)
		ag_kit_advance(kit, 500);
	ag_kit_work(kit);
	return ag_kit_next(kit);
}

static void
answer(const struct ag_kit_sent *ask)
{
	Ag__PolicyOfferReply reply = AG__POLICY_OFFER_REPLY__INIT;

	reply.policy_version = reply.changed = 1;
	ag_kit_answer(kit, ask, AG_MSG_POLICY_OFFER_REPLY, &reply);
	assert_null(ag_kit_next(kit));
}

/* One alert, whose problem has this in it, and nothing is offered. */
static void
refused(const char *reason, const char *said)
{
	const struct ag_kit_sent *sent = look(2);
	const Ag__OutcomeEvent *event;

	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_OUTCOME_EVENT);
	event = sent->body;
	assert_string_equal(event->operation, "policy.offer");
	assert_string_equal(event->tenant, "acme");
	assert_int_equal(event->outcome, AG__OUTCOME_KIND__V__denied);
	assert_string_equal(event->refusal->reason_code, reason);
	if (strstr(event->params[0]->value, said) == NULL)
		print_error("%s\n", event->params[0]->value);
	assert_non_null(strstr(event->params[0]->value, said));
	assert_null(ag_kit_next(kit));
	/* Said once, as long as it is the same. */
	assert_null(look(30));
}

static void
test_offered(void **state)
{
	const struct ag_kit_sent *sent;
	const Ag__PolicyOfferAsk *ask;

	text("b.cedar", ALL);
	text("a.cedar", "forbid (principal, action == "
	    "Aegis::Action::\"key.sign\", resource);");
	text("a.cedar.sig", "x.y.z\n");
	text("gone.cedar.sig", "u.v.w");
	text("README.md", "not ours");
	assert_null(look(1)); /* it may be half of a checkout */
	sent = look(1);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_POLICY_OFFER_ASK);
	ask = sent->body;
	assert_string_equal(ask->tenant, "acme");
	assert_int_equal(ask->n_documents, 3);
	assert_string_equal(ask->documents[0]->name, "a");
	assert_string_equal(ask->documents[0]->signature, "x.y.z");
	assert_string_equal(ask->documents[1]->name, "b");
	assert_string_equal(ask->documents[1]->text, ALL);
	assert_null(ask->documents[1]->signature);
	assert_string_equal(ask->documents[2]->name, "gone");
	assert_null(ask->documents[2]->text);
	answer(sent);
	assert_null(look(4));
	/* A change; and without one after a while again. */
	text("b.cedar", ALL " // more");
	assert_null(look(1));
	sent = look(1);
	assert_non_null(sent);
	answer(sent);
	sent = look(21);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_POLICY_OFFER_ASK);
	answer(sent);
}

/* What iam refuses alerts; what it cannot do now is asked again. */
static void
test_answers(void **state)
{
	const struct ag_kit_sent *sent;

	text("a.cedar", ALL);
	sent = look(2);
	assert_non_null(sent);
	ag_kit_answer_error(kit, sent, AG_UNAVAILABLE, "starting");
	assert_null(ag_kit_next(kit));
	sent = look(1);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_POLICY_OFFER_ASK);
	ag_kit_answer_error(kit, sent, AG_PERMISSION_DENIED,
	    "signature_missing");
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_OUTCOME_EVENT);
	assert_string_equal(((const Ag__OutcomeEvent *)
	    sent->body)->refusal->reason_code, "signature_missing");
	assert_null(look(4));
}

static void
test_bad_policies(void **state)
{
	text("good.cedar", ALL);
	text("bad.cedar", "permit (principal, action, resource)\n"
	    "when { principal.rol == \"x\" };");
	refused("bad_policy", "bad.cedar:2:");
	text("bad.cedar", "permit (principal,");
	refused("bad_policy", "bad.cedar:1:");
	/* What says nothing is refused here, too. */
	text("bad.cedar", "permit (principal, action == "
	    "Aegis::Action::\"key.sign\", resource);");
	refused("bad_policy", "shadowed");
	drop("bad.cedar");
	{
		const struct ag_kit_sent *sent = look(2);

		assert_non_null(sent);
		assert_int_equal(sent->type, AG_MSG_POLICY_OFFER_ASK);
		answer(sent);
	}
}

static void
test_hostile_folder(void **state)
{
	static char long_text[AG_RULES_TEXT_MAX + 1];
	char path[200];

	refused("bad_folder", "no <name>.cedar in it");
	snprintf(path, sizeof(path), "%s/link.cedar", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	refused("bad_folder", "link.cedar: a link");
	drop("link.cedar");
	memset(long_text, ' ', sizeof(long_text));
	put("long.cedar", long_text, sizeof(long_text));
	refused("bad_folder", "long.cedar: too long");
	drop("long.cedar");
	put("nul.cedar", "permit\0", 7);
	refused("bad_folder", "nul.cedar: a NUL in it");
	drop("nul.cedar");
	text("Bad Name.cedar", ALL);
	refused("bad_folder", "a document's name is");
	drop("Bad Name.cedar");
	snprintf(path, sizeof(path), "%s/pipe.cedar", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused("bad_folder", "pipe.cedar: not a file");
	drop("pipe.cedar");
	snprintf(path, sizeof(path), "%s/dir.cedar", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	refused("bad_folder", "dir.cedar: not a file");
	assert_int_equal(rmdir(path), 0);
	put("a.cedar", ALL, sizeof(ALL) - 1);
	put("a.cedar.sig", long_text, AG_SIGNED_TEXT_SIZE + 1);
	refused("bad_folder", "a.cedar.sig: too long");
	drop("a.cedar.sig");
	for (int i = 0; i < AG_RULES_DOCS_MAX; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%d.cedar", i);
		text(name, ALL);
	}
	refused("bad_folder", "more than 64 documents");
}

static void
test_no_folder(void **state)
{
	char command[200];

	snprintf(command, sizeof(command), "mv %s %s-away", dir, dir);
	assert_int_equal(system(command), 0);
	refused("bad_folder", "No such file");
	snprintf(command, sizeof(command), "mv %s-away %s", dir, dir);
	assert_int_equal(system(command), 0);
	text("a.cedar", ALL);
	assert_non_null(look(3));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_offered), T(test_answers), T(test_bad_policies),
		T(test_hostile_folder), T(test_no_folder),
	};

	return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
