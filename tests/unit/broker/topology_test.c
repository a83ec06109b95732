/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"
#include "topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PLANE = 1, IAM = 2, KEYS = 3, AUDIT = 4, SUBSCRIBER = 160 };

static int
setup(void **state)
{
	struct topology *t = calloc(1, sizeof(*t));

	assert_int_equal(topology_set(t, PLANE, "rest", "plane"), AG_OK);
	assert_int_equal(topology_set(t, IAM, "iam", "iam"), AG_OK);
	assert_int_equal(topology_set(t, KEYS, "keys.0", "keys"), AG_OK);
	assert_int_equal(topology_set(t, AUDIT, "audit", "audit"), AG_OK);
	assert_int_equal(topology_set(t, SUBSCRIBER, "siem", "subscriber"), AG_OK);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

/* A frame with parts of these types and `body` bytes each. */
static size_t
frame_of(uint8_t *out, unsigned to, const uint16_t *types, unsigned count,
    size_t body)
{
	size_t at = AG_FRAME_HEADER;

	memset(out, 0, 512);
	ag_frame_write_header(out, (uint16_t)to, (uint16_t)count);
	for (unsigned i = 0; i < count; i++) {
		ag_part_write_header(out + at, (uint32_t)body,
		    types[i], 0);
		at += AG_PART_HEADER + body;
	}
	return at;
}

static enum judgement
judge_one(struct topology *t, unsigned from, unsigned to, uint16_t type,
    struct judged *out)
{
	uint8_t frame[512];
	size_t len = frame_of(frame, to, &type, 1, 5);

	return topology_judge(t, from, frame, len, out);
}

static void
the_ring_passes(void **state)
{
	struct judged j;

	assert_int_equal(judge_one(*state, PLANE, IAM, AG_MSG_KEY_SIGN, &j),
	    JUDGED_PASS);
	assert_int_equal(j.to, IAM);
	assert_int_equal(judge_one(*state, IAM, KEYS, AG_MSG_KEY_READ, &j),
	    JUDGED_PASS);
	assert_int_equal(judge_one(*state, KEYS, AUDIT, AG_MSG_OUTCOME_EVENT, &j),
	    JUDGED_PASS);
	assert_int_equal(judge_one(*state, AUDIT, PLANE, AG_MSG_DELIVER_EVENT, &j),
	    JUDGED_PASS);
	assert_int_equal(judge_one(*state, SUBSCRIBER, AUDIT,
	    AG_MSG_AUDIT_PULL_ASK, &j), JUDGED_PASS);
}

static void
what_is_not_listed_is_refused(void **state)
{
	static const struct {
		unsigned from, to;
		uint16_t type;
	} cases[] = {
		{ PLANE, KEYS, AG_MSG_KEY_SIGN },      /* around the checks */
		{ KEYS, PLANE, AG_MSG_DELIVER_EVENT }, /* around the record */
		{ SUBSCRIBER, IAM, AG_MSG_WHOAMI },
		{ SUBSCRIBER, AUDIT, AG_MSG_OUTCOME_EVENT },
		{ PLANE, IAM, AG_MSG_PEER_EVENT },     /* only the broker's */
		{ PLANE, AUDIT, AG_MSG_REFUSED_EVENT },
		{ IAM, KEYS, AG_MSG_KEY_CREATED_FACT }, /* only in the journal */
		{ PLANE, PLANE, AG_MSG_KEY_SIGN },
	};
	struct judged j;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(judge_one(*state, cases[i].from, cases[i].to,
		    cases[i].type, &j), JUDGED_REFUSED);
		assert_string_equal(j.why, "no such route");
		assert_int_equal(j.to, cases[i].to);
		assert_int_equal(j.type, cases[i].type);
	}
	assert_int_equal(judge_one(*state, PLANE, IAM, 0x7777, &j),
	    JUDGED_REFUSED);
	assert_string_equal(j.why, "unknown type");
	assert_int_equal(judge_one(*state, PLANE, 77, AG_MSG_KEY_SIGN, &j),
	    JUDGED_REFUSED);
	assert_string_equal(j.why, "no such row");
	assert_int_equal(judge_one(*state, PLANE, AG_SLOT_NONE, AG_MSG_KEY_SIGN,
	    &j), JUDGED_REFUSED);
}

static void
the_broker_hears_hello_only(void **state)
{
	struct judged j;

	assert_int_equal(judge_one(*state, PLANE, AG_SLOT_BROKER,
	    AG_MSG_HELLO_EVENT, &j), JUDGED_HELLO);
	assert_int_equal(judge_one(*state, PLANE, AG_SLOT_BROKER,
	    AG_MSG_PEER_EVENT, &j), JUDGED_REFUSED);
	assert_int_equal(judge_one(*state, PLANE, IAM, AG_MSG_HELLO_EVENT, &j),
	    JUDGED_REFUSED);
}

static void
one_bad_part_refuses_the_frame(void **state)
{
	static const uint16_t types[] = { AG_MSG_KEY_SIGN, AG_MSG_OUTCOME_EVENT,
		AG_MSG_KEY_SIGN };
	uint8_t frame[512];
	struct judged j;
	size_t len = frame_of(frame, IAM, types, 3, 7);

	assert_int_equal(topology_judge(*state, PLANE, frame, len, &j),
	    JUDGED_REFUSED);
	assert_int_equal(j.type, AG_MSG_OUTCOME_EVENT);
}

static void
garbage_is_garbage(void **state)
{
	static const uint16_t types[] = { AG_MSG_KEY_SIGN, AG_MSG_KEY_SIGN };
	uint8_t frame[512];
	struct judged j;
	size_t len = frame_of(frame, IAM, types, 2, 7);

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut + 1); /* for the sanitizer */

		memcpy(exact, frame, cut);
		assert_int_equal(topology_judge(*state, PLANE, exact, cut, &j),
		    JUDGED_GARBAGE);
		free(exact);
	}
	assert_int_equal(topology_judge(*state, PLANE, frame, len + 1, &j),
	    JUDGED_GARBAGE);
	frame[0] = 9; /* another version */
	assert_int_equal(topology_judge(*state, PLANE, frame, len, &j),
	    JUDGED_GARBAGE);
	len = frame_of(frame, IAM, types, 0, 0);
	assert_int_equal(topology_judge(*state, PLANE, frame, len, &j),
	    JUDGED_GARBAGE);
	/* refused, and cut behind that: still garbage, not a refusal */
	len = frame_of(frame, KEYS, types, 2, 7);
	assert_int_equal(topology_judge(*state, PLANE, frame, len - 1, &j),
	    JUDGED_GARBAGE);
}

static void
flipped_bytes_are_survived(void **state)
{
	static const uint16_t types[] = { AG_MSG_KEY_SIGN, AG_MSG_WHOAMI };
	struct judged j;
	uint8_t frame[512];
	unsigned seed = 7;

	for (unsigned i = 0; i < 200000; i++) {
		size_t len = frame_of(frame, IAM, types, 2, 9);
		uint8_t *exact;

		for (unsigned flips = 0; flips <= i % 4; flips++) {
			seed = seed * 1103515245 + 12345;
			frame[(seed >> 8) % len] ^= (uint8_t)(seed >> 24);
		}
		exact = malloc(len);
		memcpy(exact, frame, len);
		(void)!topology_judge(*state, PLANE, exact, len, &j);
		free(exact);
	}
}

static void
rows_have_names_and_roles(void **state)
{
	struct topology *t = *state;
	char name[80];

	memset(name, 'a', sizeof(name));
	name[79] = '\0';
	assert_int_equal(topology_set(t, 9, "x", "king"), AG_INVALID_FIELD);
	assert_int_equal(topology_set(t, 9, "", "iam"), AG_INVALID_FIELD);
	assert_int_equal(topology_set(t, 9, name, "iam"), AG_INVALID_FIELD);
	assert_int_equal(topology_set(t, TOPOLOGY_SLOTS_MAX, "x", "iam"),
	    AG_INVALID_FIELD);
	assert_int_equal(topology_find(t, AG_ROLE_AUDIT), AUDIT);
	assert_int_equal(topology_find(t, AG_ROLE_ROT), AG_SLOT_NONE);
	topology_clear(t, AUDIT);
	assert_false(topology_has(t, AUDIT));
	assert_int_equal(topology_find(t, AG_ROLE_AUDIT), AG_SLOT_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_ring_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_listed_is_refused,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(the_broker_hears_hello_only, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(one_bad_part_refuses_the_frame,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_is_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_bytes_are_survived, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(rows_have_names_and_roles, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
