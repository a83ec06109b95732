/* SPDX-License-Identifier: Apache-2.0 */
/* Whose habits they are, and what is one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "habit.h"

static void
networks(void **state)
{
	assert_true(habit_network(NULL) == 0);
	assert_true(habit_network("") == 0);
	assert_true(habit_network("10.1.2.3") == habit_network("10.1.2.200"));
	assert_true(habit_network("10.1.2.3") != habit_network("10.1.3.3"));
	assert_true(habit_network("::ffff:10.1.2.3") ==
	    habit_network("10.1.2.9"));
	assert_true(habit_network("2001:db8:1:2::3") ==
	    habit_network("2001:db8:1:ffff::1"));
	assert_true(habit_network("2001:db8::1") ==
	    habit_network("2001:db8:0:1::"));
	assert_true(habit_network("2001:db8:1::3") !=
	    habit_network("2001:db8:2::3"));
	assert_true(habit_network("no address at all") != 0);
}

static void
network_texts(void **state)
{
	static char name[500];
	char text[64];

	habit_network_text("10.1.2.3", text, sizeof(text));
	assert_string_equal(text, "10.1.2.0/24");
	habit_network_text("2001:db8:1:2::3", text, sizeof(text));
	assert_string_equal(text, "2001:db8:1::/48");
	memset(name, 'x', sizeof(name) - 1);
	habit_network_text(name, text, sizeof(text));
	assert_true(strlen(text) < sizeof(text));
}

static void
lines(void **state)
{
	static char name[AG_NAME_MAX * 20];
	Ag__Link l[3], *chain[3] = { &l[0], &l[1], &l[2] };
	char a[AG_ID_SIZE], b[AG_ID_SIZE];

	for (int i = 0; i < 3; i++)
		ag__link__init(&l[i]);
	l[0].id = (char *)"hum_1";
	l[0].name = (char *)"alice";
	l[1].id = (char *)"agt_1";
	l[1].name = (char *)"nightly";
	l[2].id = (char *)"agt_2";
	l[2].name = (char *)"report";
	habit_line("hum_1", chain, 1, NULL, a);
	assert_string_equal(a, "hum_1");
	habit_line("svc_1", NULL, 0, NULL, a);
	assert_string_equal(a, "svc_1");
	habit_line("agt_1", chain, 2, NULL, a);
	assert_memory_equal(a, "lin_", 4);
	/* Tomorrow it has another id. */
	l[1].id = (char *)"agt_9";
	habit_line("agt_9", chain, 2, NULL, b);
	assert_string_equal(a, b);
	/* An agent that is being issued has the line that it will have. */
	habit_line("hum_1", chain, 1, "nightly", b);
	assert_string_equal(a, b);
	habit_line("agt_2", chain, 3, NULL, b);
	assert_string_not_equal(a, b);
	/* Another root, another line. */
	l[0].id = (char *)"hum_2";
	habit_line("agt_9", chain, 2, NULL, b);
	assert_string_not_equal(a, b);
	/* Labels too long for a line: the agent is itself. */
	memset(name, 'x', sizeof(name) - 1);
	l[1].name = name;
	habit_line("agt_9", chain, 2, NULL, b);
	assert_string_equal(b, "agt_9");
	habit_line("hum_2", chain, 1, name, b);
	assert_string_equal(b, "");
	habit_line(name, NULL, 0, NULL, b);
	assert_string_equal(b, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(network_texts),
		cmocka_unit_test(lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
