/* SPDX-License-Identifier: Apache-2.0 */
/* limits.rules: who fits, what is counted together, and which of them hold. */
#include "iam_fleet.h"

#include "iam.h"
#include "rates.h"

#define HOT "key_0190a000000070008000000000000a01"
#define COLD "key_0190a000000070008000000000000a02"
#define BOTH "key:label=env=x:sign"

enum { TRIES = 40 };

static struct fleet *f;

static int
teardown(void **state)
{
	if (f != NULL)
		fleet_free(f);
	f = NULL;
	return 0;
}

static void
begin(const char *config)
{
	f = fleet_new(config);
	key(f, "default", HOT, "hot", "env", "x", false);
	key(f, "default", COLD, "cold", "env", "x", false);
}

/* How many of so many tries pass. */
static unsigned
passes(const char *token, const char *name)
{
	unsigned ok = 0;

	for (int i = 0; i < TRIES; i++) {
		struct ended e = sign(f, token, name);

		if (e.err == AG_OK)
			ok++;
		else
			assert_int_equal(e.err, AG_RATE_LIMITED);
		ended_free(&e);
	}
	return ok;
}

/* One row: the rules, and how many of 40 an agent may, with one key and then
 * with another. */
static void
table(void **state)
{
	static const struct {
		const char *rules;
		unsigned hot, cold;
	} rows[] = {
		{ "[{kind: agent, rate: 9}]", 9, 0 },
		{ "[{kind: human, rate: 9}]", 40, 40 },
		{ "[{tenant: default, rate: 9}]", 9, 0 },
		{ "[{tenant: acme, rate: 9}]", 40, 40 },
		{ "[{principal: admin, rate: 9}]", 9, 0 }, /* its root */
		{ "[{principal: bob, rate: 9}]", 40, 40 },
		{ "[{role: admin, rate: 9}]", 9, 0 },
		{ "[{role: auditor, rate: 9}]", 40, 40 },
		{ "[{resource: hot, rate: 9}]", 9, 40 },
		{ "[{resource: " COLD ", rate: 9}]", 40, 9 },
		{ "[{operation: key.sign, rate: 9}]", 9, 0 },
		{ "[{operation: key.*, rate: 9}]", 9, 0 },
		{ "[{operation: key.mac, rate: 9}]", 40, 40 },
		{ "[{operation: agent.*, rate: 9}]", 40, 40 },
		/* all: the least of those that fit */
		{ "[{kind: agent, rate: 20}, {resource: hot, rate: 9}]", 9, 11 },
		{ "[{kind: agent, rate: 9}, {resource: hot, rate: 20}]", 9, 0 },
	};
	char config[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct agent a;

		snprintf(config, sizeof(config), "limits: {rules: %s}\n",
		    rows[i].rules);
		begin(config);
		a = agent_of(f, f->admin, BOTH, 0);
		if (passes(a.token, "hot") != rows[i].hot ||
		    passes(a.token, "cold") != rows[i].cold)
			fail_msg("%s", rows[i].rules);
		agent_free(&a);
		(void)teardown(NULL);
	}
}

/* How many of so many calls of a tool of another server pass. */
static unsigned
calls(const char *token, const char *tool)
{
	Ag__ToolCallAsk ask = AG__TOOL_CALL_ASK__INIT;
	unsigned ok = 0;

	for (int i = 0; i < TRIES; i++) {
		struct ended e = request(f, AG_MSG_TOOL_CALL,
		    ASK(.token = token, .selector = tool), &ask);

		if (e.err == AG_OK)
			ok++;
		else
			assert_int_equal(e.err, AG_RATE_LIMITED);
		ended_free(&e);
	}
	return ok;
}

/* A tool by its name, and a whole server; keys are no tools. */
static void
tools(void **state)
{
	static const struct {
		const char *rules;
		unsigned push, pull, other, hot;
	} rows[] = {
		{ "[{tool: git/push, rate: 9}]", 9, 40, 40, 40 },
		{ "[{tool: git/*, rate: 9}]", 9, 0, 40, 40 },
		{ "[{tool: git, rate: 9}]", 40, 40, 40, 40 },
		{ "[{tool: '*', rate: 9}]", 40, 40, 40, 40 },
		{ "[{tool: gi/*, rate: 9}]", 40, 40, 40, 40 },
		{ "[{tool: hot, rate: 9}]", 40, 40, 40, 40 },
		/* all: the least; most_specific has both dimensions */
		{ "[{tool: git/*, rate: 30}, {tool: git/push, rate: 9}]", 9, 21,
		    40, 40 },
		{ "[{tool: git/*, rate: 9}, {tool: git/push, kind: human, "
		    "rate: 20}], combine: most_specific", 20, 9, 40, 40 },
	};
	char config[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(config, sizeof(config), "limits: {rules: %s}\n",
		    rows[i].rules);
		begin(config);
		if (calls(f->admin, "git/push") != rows[i].push ||
		    calls(f->admin, "git/pull") != rows[i].pull ||
		    calls(f->admin, "github/push") != rows[i].other ||
		    passes(f->admin, "hot") != rows[i].hot)
			fail_msg("%s", rows[i].rules);
		(void)teardown(NULL);
	}
}

static void
most_specific(void **state)
{
	struct agent a;

	begin("limits: {combine: most_specific, rules: [{kind: agent, rate: 9}, "
	    "{kind: agent, resource: hot, rate: 25}, "
	    "{kind: agent, operation: key.sign, resource: hot, rate: 30}]}\n");
	a = agent_of(f, f->admin, BOTH, 0);
	assert_int_equal(passes(a.token, "hot"), 30); /* more than the general */
	assert_int_equal(passes(a.token, "cold"), 9);
	agent_free(&a);
}

static void
together(void **state)
{
	struct agent a, b;

	begin("limits: {rules: [{kind: agent, per: root, rate: 12}, "
	    "{resource: cold, per: rule, rate: 5}]}\n");
	a = agent_of(f, f->admin, BOTH, 0);
	b = agent_of(f, f->admin, BOTH, 0);
	assert_int_equal(passes(a.token, "cold"), 5);
	assert_int_equal(passes(b.token, "cold"), 0);
	assert_int_equal(passes(b.token, "hot"), 7); /* 12 of one root */
	assert_int_equal(passes(a.token, "hot"), 0);
	ag_kit_advance(f->kit, 70000);
	assert_int_equal(passes(a.token, "hot"), 12);
	agent_free(&a);
	agent_free(&b);
}

/* A refusal for scope uses up nobody's share. */
static void
refusals_are_free(void **state)
{
	struct agent a;

	begin("limits: {rules: [{operation: key.sign, per: rule, rate: 5}]}\n");
	a = agent_of(f, f->admin, "key:" HOT ":sign", 0);
	for (int i = 0; i < 20; i++) {
		struct ended e = sign(f, a.token, "no-such-key");

		assert_int_equal(e.err, AG_PERMISSION_DENIED);
		ended_free(&e);
	}
	assert_int_equal(passes(a.token, "hot"), 5);
	agent_free(&a);
}

static void
read_again(void **state)
{
	struct agent a;

	begin("limits: {rules: [{kind: agent, rate: 5}]}\n");
	a = agent_of(f, f->admin, "key:" HOT ":sign", 0);
	assert_int_equal(passes(a.token, "hot"), 5);
	ag_kit_tell(f->kit, "limits begin");
	ag_kit_tell(f->kit, "limits limits.rules[].kind\t0\t-\tagent");
	ag_kit_tell(f->kit, "limits limits.rules[].rate\t0\t-\t11");
	assert_int_equal(passes(a.token, "hot"), 0); /* not before the end */
	ag_kit_tell(f->kit, "limits end");
	assert_int_equal(passes(a.token, "hot"), 11);
	/* What is no configuration changes nothing. */
	ag_kit_tell(f->kit, "limits begin");
	ag_kit_tell(f->kit, "limits limits.rules[].kind\t0\t-\tagent");
	ag_kit_tell(f->kit, "limits nonsense");
	ag_kit_tell(f->kit, "limits end");
	assert_int_equal(passes(a.token, "hot"), 0);
	ag_kit_tell(f->kit, "limits begin");
	ag_kit_tell(f->kit, "limits end"); /* none: the defaults */
	assert_int_equal(passes(a.token, "hot"), 40);
	agent_free(&a);
}

int
main(void)
{
#define T(t) cmocka_unit_test_teardown(t, teardown)
	const struct CMUnitTest tests[] = {
		T(table), T(tools), T(most_specific), T(together), T(refusals_are_free),
		T(read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
