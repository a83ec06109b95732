/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs between the broker and its neighbours: nothing is heard before
 * somebody can be given it, who says it is who has the end, what is no packet is
 * no frame, and what a pair has no room for waits.
 */
#include "doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SAYS = 3, HEARS = 5, QUEUE = 4, LARGE = 1 << 20 };

static struct {
	int says[2], hears[2]; /* pairs: to the broker, and from it */
	struct ag_switch *sw;
	struct doors *doors;
	unsigned frames, none;
	bool ordered; /* each says which it is */
	size_t heard;
} t;

static void
on_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	assert_ptr_equal(arg, &t);
	assert_int_equal(slot, SAYS);
	t.frames += len > 0;
	t.none += len == 0;
	if (len > 0)
		assert_int_equal(bytes[0], 'a' + t.frames - 1);
}

static void
on_peer(void *arg, unsigned slot, bool up)
{
}

static void
on_row_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	fail();
}

static void
turn(void)
{
	bool extra;

	assert_int_equal(ag_switch_turn(t.sw, 0, -1, &extra, on_row_frame,
	    on_peer, &t), AG_OK);
}

static int
setup(void **state)
{
	Ag__BootLine from = AG__BOOT_LINE__INIT, to = AG__BOOT_LINE__INIT;
	Ag__BootLine *froms[] = { &from }, *tos[] = { &to };
	Ag__Boot boot = AG__BOOT__INIT;

	memset(&t, 0, sizeof(t));
	assert_int_equal(ag_pair_make(t.says), AG_OK);
	assert_int_equal(ag_pair_make(t.hears), AG_OK);
	from.slot = SAYS;
	from.fd = (uint32_t)t.says[1];
	to.slot = HEARS;
	to.fd = (uint32_t)t.hears[0];
	boot.lines_from = froms;
	boot.lines_to = tos;
	boot.n_lines_from = boot.n_lines_to = 1;
	assert_int_equal(ag_switch_new(8, QUEUE, getuid(), &t.sw), AG_OK);
	return doors_open(&boot, QUEUE, on_frame, &t, &t.doors) == AG_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	doors_free(&t.doors);
	ag_switch_free(&t.sw);
	close(t.says[0]);
	close(t.hears[1]);
	return 0;
}

static void
say(const char *frame)
{
	struct ag_pair_out *out = NULL;

	assert_int_equal(ag_pair_out_open(dup(t.says[0]), QUEUE, &out), AG_OK);
	assert_int_equal(ag_pair_out_send(out, (const uint8_t *)frame,
	    strlen(frame)), AG_OK);
	ag_pair_out_close(&out, 0);
}

static void
what_is_said_early_waits(void **state)
{
	say("abc");
	turn();
	assert_int_equal(t.frames, 0);
	assert_int_equal(doors_listen(t.doors, t.sw), AG_OK);
	say("bcd");
	turn();
	assert_int_equal(t.frames, 2);
	assert_int_equal(doors_listen(t.doors, t.sw), AG_OK);
	turn();
	assert_int_equal(t.frames, 2);
	assert_int_equal(t.none, 0);
}

static void
what_is_no_packet_is_no_frame(void **state)
{
	static const uint8_t lies[] = { 9, 0, 0, 0, 200, 0, 0, 0, 'x' };

	assert_int_equal(doors_listen(t.doors, t.sw), AG_OK);
	assert_int_equal(send(t.says[0], "x", 1, 0), 1);
	assert_int_equal(send(t.says[0], lies, sizeof(lies), 0), sizeof(lies));
	say("abc");
	turn();
	assert_int_equal(t.none, 2);
	assert_int_equal(t.frames, 1);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What was said before its end is heard; then it wakes nobody any more. */
static void
what_has_ended_is_let_be(void **state)
{
	int64_t begun;
	bool extra;

	assert_int_equal(doors_listen(t.doors, t.sw), AG_OK);
	assert_int_equal(send(t.says[0], "", 0, 0), 0); /* is not its end */
	say("abc");
	turn();
	assert_int_equal(t.frames, 1);
	assert_int_equal(t.none, 1);
	say("bcd");
	assert_int_equal(shutdown(t.says[0], SHUT_WR), 0);
	turn();
	assert_int_equal(t.frames, 2);
	turn(); /* may be where the end is seen */
	assert_int_equal(t.none, 1);
	begun = now_ms();
	assert_int_equal(ag_switch_turn(t.sw, 100, -1, &extra, on_row_frame,
	    on_peer, &t), AG_OK);
	assert_true(now_ms() - begun >= 90); /* nothing was ready */
}

static void
on_heard(void *arg, uint8_t *bytes, size_t len)
{
	t.frames++;
	if (t.ordered)
		assert_int_equal(bytes[0], t.frames);
	t.heard += len;
}

/* As the row does, until nothing comes. */
static void
hear_all(void)
{
	struct ag_pair_room *room = NULL;
	struct ag_pair_in *in = NULL;
	unsigned malformed = 0, i;

	assert_int_equal(ag_pair_room_new(&room), AG_OK);
	assert_int_equal(ag_pair_in_open(dup(t.hears[1]), &in), AG_OK);
	for (i = 0; i < 100; i++) {
		assert_int_equal(ag_pair_in_turn(in, room, &malformed, on_heard,
		    NULL), AG_OK);
		(void)doors_flush(t.doors);
	}
	assert_int_equal(malformed, 0);
	ag_pair_in_close(&in);
	ag_pair_room_free(&room);
}

static void
what_has_no_room_waits(void **state)
{
	uint8_t *large = calloc(1, LARGE);
	unsigned said = 0;

	assert_true(doors_has(t.doors, HEARS));
	assert_false(doors_has(t.doors, SAYS));
	assert_false(doors_has(t.doors, AG_SLOT_BROKER));
	assert_false(doors_flush(t.doors));
	t.ordered = true;
	for (;;) {
		large[0] = (uint8_t)(said + 1);
		if (doors_say(t.doors, HEARS, large, LARGE) != AG_OK)
			break;
		said++;
		assert_in_range(said, 1, 64);
	}
	assert_true(said >= QUEUE);
	assert_true(doors_flush(t.doors));
	hear_all();
	assert_int_equal(t.frames, said);
	assert_int_equal(t.heard, (size_t)said * LARGE);
	assert_false(doors_flush(t.doors));
	free(large);
}

/* Half a frame of what was dropped may have gone: the next one is whole. */
static void
what_waits_is_for_the_living(void **state)
{
	uint8_t *large = calloc(1, LARGE);
	unsigned said;

	large[0] = 1;
	for (said = 0; said < QUEUE; said++)
		assert_int_equal(doors_say(t.doors, HEARS, large, LARGE), AG_OK);
	assert_true(doors_flush(t.doors));
	doors_forget(t.doors, HEARS);
	doors_forget(t.doors, SAYS); /* has no pair */
	assert_false(doors_flush(t.doors));
	hear_all();
	assert_true(t.frames < QUEUE);
	t.frames = 0;
	assert_int_equal(doors_say(t.doors, HEARS, large, 100), AG_OK);
	t.heard = 0;
	hear_all();
	assert_int_equal(t.frames, 1);
	assert_int_equal(t.heard, 100);
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_said_early_waits, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(what_is_no_packet_is_no_frame,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_ended_is_let_be, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(what_has_no_room_waits, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(what_waits_is_for_the_living,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
