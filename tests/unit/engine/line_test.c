/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: what comes without the broker is judged like what comes through it;
 * and a line admits its own row only.
 */
#include "test.h"

#include <aegis/kit.h>

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOOKS_MAX = 200, LOOK_MS = 10 };

/* ------------------------------------------------------ what is let through */

static ag_err
on_key_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)ctx;
	(void)msg;
	++*(unsigned *)state;
	return AG_OK;
}

static ag_err
hearer_init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	(void)ctx;
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_READ, on_key_read },
	{ AG_MSG_RULING_ASK, on_key_read },
};

static const struct ag_actor hearer = {
	.name = "keys", /* who hears risk on a line */
	.state_size = sizeof(unsigned),
	AG_ROWS(rows),
	.init = hearer_init,
};

/* A frame from risk, of two parts with empty envelopes and bodies. */
static size_t
two_parts(uint8_t *frame, uint16_t to, uint16_t first, uint16_t second)
{
	memset(frame, 0, AG_FRAME_HEADER + 2 * AG_PART_HEADER);
	ag_frame_write_header(frame, to, 2);
	ag_part_write_header(frame + AG_FRAME_HEADER, 0, first, 0);
	ag_part_write_header(frame + AG_FRAME_HEADER + AG_PART_HEADER, 0, second,
	    0);
	return AG_FRAME_HEADER + 2 * AG_PART_HEADER;
}

static void
what_is_not_listed_is_refused_whole_and_told(void **unused)
{
	struct ag_kit *kit = ag_kit_new(&hearer, NULL, NULL);
	struct ag_ctx *ctx = ag_kit_ctx(kit);
	const struct ag_kit_sent *sent;
	uint8_t frame[64];
	size_t len = two_parts(frame, (uint16_t)ag_self(ctx), AG_MSG_KEY_READ,
	    AG_MSG_RULING_ASK); /* the responder's to give, to iam */

	(void)unused;
	ag_kit_deliver_bytes(kit, AG_ROLE_RISK, 0, frame, len);
	assert_int_equal(*(unsigned *)ag_kit_state(kit), 0);
	sent = ag_kit_find(kit, AG_MSG_REFUSED_EVENT);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_AUDIT);
	const Ag__RefusedEvent *told = sent->body;
	assert_int_equal(told->from, ag_slot(ctx, AG_ROLE_RISK, 0));
	assert_int_equal(told->to, ag_self(ctx));
	assert_int_equal(told->type, AG_MSG_RULING_ASK);
	assert_string_equal(told->why, "no such route");
	ag_kit_free(&kit);
}

static void
an_unknown_type_and_a_frame_for_another_are_refused(void **unused)
{
	struct ag_kit *kit = ag_kit_new(&hearer, NULL, NULL);
	struct ag_ctx *ctx = ag_kit_ctx(kit);
	const struct ag_kit_sent *sent;
	uint8_t frame[64];
	size_t len = two_parts(frame, (uint16_t)ag_self(ctx), 0x7777,
	    AG_MSG_KEY_READ);

	(void)unused;
	ag_kit_deliver_bytes(kit, AG_ROLE_RISK, 0, frame, len);
	sent = ag_kit_find(kit, AG_MSG_REFUSED_EVENT);
	assert_non_null(sent);
	assert_string_equal(((const Ag__RefusedEvent *)sent->body)->why,
	    "unknown type");
	len = two_parts(frame, (uint16_t)ag_slot(ctx, AG_ROLE_IAM, 0),
	    AG_MSG_KEY_READ, AG_MSG_KEY_READ);
	ag_kit_deliver_bytes(kit, AG_ROLE_RISK, 0, frame, len);
	ag_kit_deliver_bytes(kit, AG_ROLE_RISK, 0, frame, len - 1);
	assert_null(ag_kit_next(kit));
	assert_int_equal(*(unsigned *)ag_kit_state(kit), 0);
	ag_kit_free(&kit);
}

static void
no_line_leads_to_iam_or_the_journal(void **unused)
{
	(void)unused;
	for (int from = 0; from < AG_ROLE_COUNT; from++) {
		assert_false(ag_line_between((enum ag_role)from, AG_ROLE_IAM));
		assert_false(ag_line_between((enum ag_role)from,
		    AG_ROLE_JOURNAL));
		assert_false(ag_line_between(AG_ROLE_PLANE,
		    (enum ag_role)from));
	}
	assert_true(ag_line_between(AG_ROLE_RISK, AG_ROLE_KEYS));
}

/* ----------------------------------------------------------- who is let in */

struct ends {
	struct ag_bus *hears, *says;
	char broker[64], line[64];
	uint8_t token[32];
	unsigned frames, from;
};

static void
on_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	struct ends *e = arg;

	(void)bytes;
	(void)len;
	e->frames++;
	e->from = slot;
}

static void
look(struct ends *e, unsigned frames)
{
	struct epoll_event event;
	int epoll = epoll_create1(0);

	event.events = EPOLLIN;
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD,
	    ag_bus_lines_fd(e->hears), &event), 0);
	for (unsigned i = 0; i < LOOKS_MAX && e->frames < frames; i++) {
		epoll_wait(epoll, &event, 1, LOOK_MS);
		while (ag_bus_lines_turn(e->hears, on_frame, e))
			;
	}
	close(epoll);
}

static void
say(struct ag_bus *bus, unsigned to)
{
	uint8_t *bytes = malloc(1);

	bytes[0] = 'x';
	assert_int_equal(ag_bus_send(bus, to, bytes, 1), AG_OK);
}

static void
ends_open(struct ends *e, const char *name, uint8_t word)
{
	struct ag_switch_row row = { .slot = 3, .name = "left",
		.endpoint = e->line };
	uint8_t other[32];

	memset(e, 0, sizeof(*e));
	snprintf(e->broker, sizeof(e->broker), "ipc:///tmp/aegis-line-%d-b",
	    (int)getpid());
	snprintf(e->line, sizeof(e->line), "ipc:///tmp/aegis-line-%d-l",
	    (int)getpid());
	memset(e->token, 7, sizeof(e->token));
	memset(other, word, sizeof(other));
	ag_sha256(e->token, sizeof(e->token), row.token_hash);
	assert_int_equal(ag_bus_connect(e->broker, "right", e->token, 100,
	    &e->hears), AG_OK);
	assert_int_equal(ag_bus_connect(e->broker, "left", e->token, 100,
	    &e->says), AG_OK);
	assert_int_equal(ag_bus_lines_fd(e->hears), -1);
	assert_int_equal(ag_bus_line_from(e->hears, (unsigned)getuid(), &row),
	    AG_OK);
	assert_int_equal(ag_bus_line_to(e->says, 5, e->line, name, other), AG_OK);
	assert_int_equal(ag_bus_line_to(e->says, 5, e->line, name, other),
	    AG_INVALID_FIELD);
}

static void
ends_close(struct ends *e)
{
	ag_bus_close(&e->says, 0);
	ag_bus_close(&e->hears, 0);
	unlink(e->line + strlen("ipc://"));
}

static void
a_line_carries_frames_without_the_broker(void **unused)
{
	struct ends e;

	(void)unused;
	ends_open(&e, "left", 7);
	for (unsigned i = 0; i < 100; i++)
		say(e.says, 5); /* before the peer is there: they wait */
	look(&e, 100);
	assert_int_equal(e.frames, 100);
	assert_int_equal(e.from, 3);
	ends_close(&e);
}

static void
a_line_admits_its_row_and_token_only(void **unused)
{
	struct ends e;

	(void)unused;
	ends_open(&e, "left", 8);
	say(e.says, 5);
	look(&e, 1);
	assert_int_equal(e.frames, 0);
	ends_close(&e);
	ends_open(&e, "wrong", 7);
	say(e.says, 5);
	look(&e, 1);
	assert_int_equal(e.frames, 0);
	ends_close(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_listed_is_refused_whole_and_told),
		cmocka_unit_test(
		    an_unknown_type_and_a_frame_for_another_are_refused),
		cmocka_unit_test(no_line_leads_to_iam_or_the_journal),
		cmocka_unit_test(a_line_carries_frames_without_the_broker),
		cmocka_unit_test(a_line_admits_its_row_and_token_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
