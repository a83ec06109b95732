/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs under the lines: order, frames larger than a packet, a socket that
 * is full, and ends whose process dies between two packets or lies in them.
 */
#include "test.h"

#include <endian.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUEUE = 64, LARGE = 300000 };

struct line {
	int ends[2];
	struct ag_pair_out *out;
	struct ag_pair_in *in;
	struct ag_pair_room *room;
	unsigned frames, malformed;
	size_t len;
	uint8_t first, last;
	bool in_order; /* each frame's first byte is one more than the last's */
};

static void
on_frame(void *arg, uint8_t *bytes, size_t len)
{
	struct line *line = arg;

	line->in_order = line->in_order &&
	    (line->frames == 0 || bytes[0] == (uint8_t)(line->first + 1));
	line->frames++;
	line->len = len;
	line->first = bytes[0];
	line->last = bytes[len - 1];
}

static int
setup(void **state)
{
	struct line *line = calloc(1, sizeof(*line));

	line->in_order = true;
	assert_int_equal(ag_pair_make(line->ends), AG_OK);
	assert_int_equal(ag_pair_out_open(dup(line->ends[0]), QUEUE, &line->out),
	    AG_OK);
	assert_int_equal(ag_pair_in_open(dup(line->ends[1]), &line->in), AG_OK);
	assert_int_equal(ag_pair_room_new(&line->room), AG_OK);
	*state = line;
	return 0;
}

static int
teardown(void **state)
{
	struct line *line = *state;

	ag_pair_out_close(&line->out, 0);
	ag_pair_in_close(&line->in);
	ag_pair_room_free(&line->room);
	close(line->ends[0]);
	close(line->ends[1]);
	free(line);
	return 0;
}

static ag_err
say(struct line *line, uint8_t word, size_t len)
{
	uint8_t *bytes = malloc(len);
	ag_err err;

	memset(bytes, word, len);
	err = ag_pair_out_send(line->out, bytes, len);
	free(bytes);
	return err;
}

static bool
is_empty(const struct line *line)
{
	struct pollfd fd = { .fd = line->ends[1], .events = POLLIN };

	return poll(&fd, 1, 0) == 0;
}

/* All that was said. */
static void
hear(struct line *line)
{
	while (!is_empty(line) || ag_pair_out_waits(line->out)) {
		ag_pair_out_flush(line->out);
		assert_int_equal(ag_pair_in_turn(line->in, line->room,
		    &line->malformed, on_frame, line), AG_OK);
	}
}

static void
packet(struct line *line, uint32_t len, uint32_t at, size_t n)
{
	uint8_t bytes[8 + 100] = { 0 };
	uint32_t head[2] = { htole32(len), htole32(at) };

	memcpy(bytes, head, sizeof(head));
	memset(bytes + 8, 'p', sizeof(bytes) - 8);
	assert_int_equal(send(line->ends[0], bytes, 8 + n, 0), (ssize_t)(8 + n));
}

static void
frames_arrive_whole_and_in_order(void **state)
{
	struct line *line = *state;

	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(say(line, (uint8_t)i, 100 + i), AG_OK);
	hear(line);
	assert_int_equal(line->frames, 40);
	assert_true(line->in_order);
	assert_int_equal(line->len, 139);
	assert_int_equal(line->last, 39);
}

static void
a_turn_takes_its_share_and_no_more(void **state)
{
	struct line *line = *state;

	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(say(line, (uint8_t)i, 100), AG_OK);
	assert_int_equal(ag_pair_in_turn(line->in, line->room, &line->malformed,
	    on_frame, line), AG_OK);
	assert_int_equal(line->frames, AG_TURN_FRAMES_MAX);
}

static void
a_large_frame_goes_in_packets(void **state)
{
	struct line *line = *state;

	assert_int_equal(say(line, 1, LARGE), AG_OK);
	assert_int_equal(say(line, 2, 10), AG_OK);
	assert_int_equal(say(line, 3, AG_FRAME_BYTES_MAX), AG_OK);
	hear(line);
	assert_int_equal(line->frames, 3);
	assert_true(line->in_order);
	assert_int_equal(line->len, AG_FRAME_BYTES_MAX);
	assert_int_equal(line->last, 3);
	assert_int_equal(line->malformed, 0);
}

static void
what_has_no_room_waits_and_is_bounded(void **state)
{
	struct line *line = *state;
	unsigned said = 0;
	ag_err err = AG_OK;

	while (err == AG_OK && said < 10000)
		if ((err = say(line, (uint8_t)said, LARGE)) == AG_OK)
			said++;
	assert_int_equal(err, AG_FULL);
	assert_true(said >= QUEUE);
	assert_true(ag_pair_out_waits(line->out));
	hear(line);
	assert_int_equal(line->frames, said);
	assert_true(line->in_order);
	assert_false(ag_pair_out_waits(line->out));
}

static void
a_successor_hears_what_nobody_took(void **state)
{
	struct line *line = *state;

	assert_int_equal(say(line, 1, 10), AG_OK);
	ag_pair_in_close(&line->in); /* it dies; its end stays with the parent */
	assert_int_equal(say(line, 2, 10), AG_OK);
	assert_int_equal(ag_pair_in_open(dup(line->ends[1]), &line->in), AG_OK);
	hear(line);
	assert_int_equal(line->frames, 2);
	assert_true(line->in_order);
}

static void
half_a_frame_of_the_dead_is_dropped(void **state)
{
	struct line *line = *state;

	packet(line, 300, 0, 100);
	packet(line, 300, 100, 100);
	assert_int_equal(say(line, 7, 10), AG_OK); /* its successor */
	hear(line);
	assert_int_equal(line->frames, 1);
	assert_int_equal(line->first, 7);
	packet(line, 300, 200, 100); /* whoever joined in the middle */
	hear(line);
	assert_int_equal(line->frames, 1);
	packet(line, 200, 0, 100); /* the same again, and this time all of it */
	packet(line, 200, 100, 100);
	hear(line);
	assert_int_equal(line->frames, 2);
	assert_int_equal(line->len, 200);
}

static void
packets_that_lie_are_counted(void **state)
{
	static const struct { uint32_t len, at; size_t n; } lies[] = {
		{ 100, 50, 100 },          /* more than is left */
		{ 100, 200, 10 },          /* behind the end */
		{ UINT32_MAX, 0, 10 },     /* larger than a frame */
		{ 100, UINT32_MAX, 10 },
	};
	struct line *line = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		packet(line, lies[i].len, lies[i].at, lies[i].n);
	assert_int_equal(send(line->ends[0], "short", 5, 0), 5);
	assert_int_equal(send(line->ends[0], "", 0, 0), 0);
	hear(line);
	assert_int_equal(line->frames, 0);
	assert_int_equal(line->malformed, 6);
	assert_int_equal(say(line, 1, 10), AG_OK);
	hear(line);
	assert_int_equal(line->frames, 1);
}

static void
it_is_one_way_only(void **state)
{
	struct line *line = *state;

	assert_int_equal(send(line->ends[1], "x", 1, MSG_NOSIGNAL), -1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_arrive_whole_and_in_order),
		TEST(a_turn_takes_its_share_and_no_more),
		TEST(a_large_frame_goes_in_packets),
		TEST(what_has_no_room_waits_and_is_bounded),
		TEST(a_successor_hears_what_nobody_took),
		TEST(half_a_frame_of_the_dead_is_dropped),
		TEST(packets_that_lie_are_counted),
		TEST(it_is_one_way_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
