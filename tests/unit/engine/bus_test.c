/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus and the switch against each other, and against peers that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURN_MS = 20, TURNS_MAX = 100 };

struct fixture {
	struct ag_switch *sw;
	char endpoint[2][64];
	uint8_t token[2][32];
	unsigned frames, from;
	size_t last_len;
	uint8_t last[64];
	bool up[2];
};

static void
on_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	struct fixture *f = arg;

	f->frames++;
	f->from = slot;
	f->last_len = len < sizeof(f->last) ? len : sizeof(f->last);
	memcpy(f->last, bytes, f->last_len);
	if (len > 0 && bytes[0] == 'F')
		assert_int_equal(ag_switch_forward(f->sw, 1 - slot), AG_OK);
}

static void
on_peer(void *arg, unsigned slot, bool up)
{
	((struct fixture *)arg)->up[slot] = up;
}

static void
turns(struct fixture *f, unsigned count)
{
	bool extra;

	while (count-- > 0)
		assert_int_equal(ag_switch_turn(f->sw, TURN_MS, -1, &extra,
		    on_frame, on_peer, f), AG_OK);
}

static void
open_row(struct fixture *f, unsigned slot)
{
	struct ag_switch_row row = { .slot = slot,
		.name = slot == 0 ? "left" : "right",
		.endpoint = f->endpoint[slot] };

	ag_sha256(f->token[slot], 32, row.token_hash);
	assert_int_equal(ag_switch_open(f->sw, &row), AG_OK);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	static unsigned run;

	assert_int_equal(ag_switch_new(4, 100, (unsigned)getuid(), &f->sw), AG_OK);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(f->endpoint[i], sizeof(f->endpoint[i]),
		    "ipc:///tmp/aegis-bus-%d-%u-%u", (int)getpid(), run, i);
		memset(f->token[i], (int)i + 1, 32);
		open_row(f, i);
	}
	run++;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	ag_switch_free(&f->sw);
	for (unsigned i = 0; i < 2; i++)
		unlink(f->endpoint[i] + strlen("ipc://"));
	free(f);
	return 0;
}

static struct ag_bus *
join(struct fixture *f, unsigned slot, const char *name, const uint8_t *token)
{
	struct ag_bus *bus = NULL;

	assert_int_equal(ag_bus_connect(f->endpoint[slot], name, token, 100,
	    &bus), AG_OK);
	return bus;
}

static void
say(struct ag_bus *bus, const char *text)
{
	uint8_t *bytes = malloc(strlen(text));

	memcpy(bytes, text, strlen(text));
	assert_int_equal(ag_bus_send(bus, bytes, strlen(text)), AG_OK);
}

static void
wait_up(struct fixture *f, unsigned slot)
{
	for (unsigned i = 0; i < TURNS_MAX && !f->up[slot]; i++)
		turns(f, 1);
	assert_true(f->up[slot]);
}

static void
wait_frames(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < TURNS_MAX && f->frames < count; i++)
		turns(f, 1);
	assert_int_equal(f->frames, count);
}

static void
forwards_and_stamps_the_row(void **state)
{
	struct fixture *f = *state;
	struct ag_bus *left = join(f, 0, "left", f->token[0]);
	struct ag_bus *right = join(f, 1, "right", f->token[1]);
	const uint8_t *bytes;
	size_t len = 0;

	wait_up(f, 0);
	wait_up(f, 1);
	say(left, "F hello");
	wait_frames(f, 1);
	assert_int_equal(f->from, 0);
	for (unsigned i = 0; i < TURNS_MAX &&
	    ag_bus_recv(right, &bytes, &len) != AG_OK; i++)
		turns(f, 1);
	assert_int_equal(len, 7);
	assert_memory_equal(bytes, "F hello", 7);
	ag_bus_close(&left, 0);
	ag_bus_close(&right, 0);
}

static void
refuses_a_wrong_token_and_a_wrong_name(void **state)
{
	struct fixture *f = *state;
	struct ag_bus *thief = join(f, 0, "left", f->token[1]);
	struct ag_bus *liar = join(f, 0, "right", f->token[1]);

	say(thief, "steal");
	say(liar, "lie");
	turns(f, 20);
	assert_int_equal(f->frames, 0);
	assert_false(f->up[0]);
	assert_true(ag_switch_denied(f->sw) >= 2);
	ag_bus_close(&thief, 0);
	ag_bus_close(&liar, 0);
}

static void
refuses_a_second_connection_and_keeps_the_first(void **state)
{
	struct fixture *f = *state;
	struct ag_bus *first = join(f, 0, "left", f->token[0]);
	struct ag_bus *second;

	wait_up(f, 0);
	second = join(f, 0, "left", f->token[0]);
	say(second, "me too");
	turns(f, 20);
	assert_int_equal(f->frames, 0);
	say(first, "still me");
	wait_frames(f, 1);
	assert_memory_equal(f->last, "still me", 8);
	ag_bus_close(&second, 0);
	ag_bus_close(&first, 0);
}

static void
a_new_generation_evicts_the_old(void **state)
{
	struct fixture *f = *state;
	struct ag_bus *old = join(f, 0, "left", f->token[0]), *young;

	wait_up(f, 0);
	snprintf(f->endpoint[0] + strlen(f->endpoint[0]), 4, ".2");
	memset(f->token[0], 9, 32);
	open_row(f, 0);
	assert_false(f->up[0]);
	young = join(f, 0, "left", f->token[0]);
	wait_up(f, 0);
	say(old, "ghost");
	say(young, "alive");
	wait_frames(f, 1);
	turns(f, 10);
	assert_int_equal(f->frames, 1);
	assert_memory_equal(f->last, "alive", 5);
	ag_bus_close(&old, 0);
	ag_bus_close(&young, 0);
}

static void
tells_when_a_peer_goes(void **state)
{
	struct fixture *f = *state;
	struct ag_bus *left = join(f, 0, "left", f->token[0]);

	wait_up(f, 0);
	assert_int_equal(ag_switch_send(f->sw, 0, (const uint8_t *)"x", 1), AG_OK);
	assert_int_equal(ag_switch_send(f->sw, 1, (const uint8_t *)"x", 1),
	    AG_NOBODY);
	ag_bus_close(&left, 0);
	for (unsigned i = 0; i < TURNS_MAX && f->up[0]; i++)
		turns(f, 1);
	assert_false(f->up[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forwards_and_stamps_the_row,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    refuses_a_wrong_token_and_a_wrong_name, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    refuses_a_second_connection_and_keeps_the_first, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(a_new_generation_evicts_the_old,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(tells_when_a_peer_goes, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
