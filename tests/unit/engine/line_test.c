/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: what comes without the broker is judged like what comes through it.
 */
#include "test.h"

#include <aegis/kit.h>

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
	/* Requests have pairs as far as the broker and from there, and only they. */
	assert_true(ag_door_between(AG_ROLE_PLANE, AG_ROLE_IAM));
	assert_true(ag_door_to(AG_ROLE_IAM));
	assert_false(ag_door_between(AG_ROLE_PLANE, AG_ROLE_KEYS));
	assert_false(ag_door_between(AG_ROLE_GUEST, AG_ROLE_IAM));
	assert_false(ag_door_to(AG_ROLE_JOURNAL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_listed_is_refused_whole_and_told),
		cmocka_unit_test(
		    an_unknown_type_and_a_frame_for_another_are_refused),
		cmocka_unit_test(no_line_leads_to_iam_or_the_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
