/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every pair of state and operation, against the contract written out a
 * second time: who may do what in which state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <state.h>
#include <string.h>

#define STATE(s) AG__KEY_STATE__V__##s

/* One letter a state, from PreActive on: y yes, t transition, p pre_active,
 * d deactivated, c compromised, x destroyed. */
static const struct {
	enum key_op op;
	const char *plain;
	const char *pending; /* - : as plain */
	const char *frozen;
} expected[] = {
	/*                         ........  P: pending_destruction  F: frozen */
	{ KEY_OP_PROTECT,        "pydcxx", "PPPcxx", "FFFcxx" },
	{ KEY_OP_PROCESS,        "pyycxx", "PPPcxx", "FFFcxx" },
	{ KEY_OP_PUBLIC,         "yyyyxx", "yyyyxx", "yyyyxx" },
	{ KEY_OP_READ,           "yyyyyy", "yyyyyy", "yyyyyy" },
	{ KEY_OP_UPDATE,         "yyyyxx", "yyyyxx", "yyyyxx" },
	{ KEY_OP_ACTIVATE,       "yttttt", "PPPPPP", "yttttt" },
	{ KEY_OP_DEACTIVATE,     "tytttt", "PPPPPP", "tytttt" },
	{ KEY_OP_ROTATE,         "tytttt", "PPPPPP", "tytttt" },
	{ KEY_OP_COMPROMISE,     "yyytyt", "yyytyt", "yyytyt" },
	{ KEY_OP_DESTROY,        "ytyytt", "tttttt", "ytyytt" },
	{ KEY_OP_CANCEL_DESTROY, "tttttt", "yyyyyy", "tttttt" },
	{ KEY_OP_FREEZE,         "yyyytt", "yyyytt", "tttttt" },
	{ KEY_OP_UNFREEZE,       "tttttt", "tttttt", "yyyyyy" },
};

static void
expect(enum key_op op, const struct standing *s, char letter)
{
	static const struct {
		char letter;
		ag_err err;
		const char *reason;
	} meaning[] = {
		{ 'y', AG_OK, NULL },
		{ 't', AG_ILLEGAL_OPERATION, "transition" },
		{ 'p', AG_INVALID_KEY_STATE, "pre_active" },
		{ 'd', AG_INVALID_KEY_STATE, "deactivated" },
		{ 'c', AG_KEY_COMPROMISED, NULL },
		{ 'x', AG_INVALID_KEY_STATE, "destroyed" },
		{ 'P', AG_INVALID_KEY_STATE, "pending_destruction" },
		{ 'F', AG_INVALID_KEY_STATE, "frozen" },
	};
	struct verdict v = state_check(op, s);

	for (size_t i = 0; i < sizeof(meaning) / sizeof(meaning[0]); i++) {
		if (meaning[i].letter != letter)
			continue;
		if (v.err != meaning[i].err)
			fail_msg("op %d state %d: error %d", op, s->state, v.err);
		if (meaning[i].reason == NULL)
			assert_null(v.reason_code);
		else
			assert_string_equal(v.reason_code, meaning[i].reason);
		return;
	}
	fail();
}

static void
test_every_pair(void **state)
{
	assert_int_equal(sizeof(expected) / sizeof(expected[0]), KEY_OP_COUNT);
	for (size_t i = 0; i < KEY_OP_COUNT; i++) {
		for (int st = STATE(PreActive); st <= STATE(DestroyedCompromised); st++) {
			struct standing s = { (Ag__KeyState__V)st, false, false };

			expect(expected[i].op, &s, expected[i].plain[st - 1]);
			s.pending = true;
			expect(expected[i].op, &s, expected[i].pending[st - 1]);
			s = (struct standing){ (Ag__KeyState__V)st, false, true };
			expect(expected[i].op, &s, expected[i].frozen[st - 1]);
		}
	}
}

/* A state that this build does not know lets nothing through. */
static void
test_unknown_state(void **state)
{
	struct standing s = { (Ag__KeyState__V)99, false, false };

	for (int op = 0; op < KEY_OP_COUNT; op++)
		assert_int_not_equal(state_check((enum key_op)op, &s).err, AG_OK);
	s.state = (Ag__KeyState__V)0;
	assert_int_not_equal(state_check(KEY_OP_PROTECT, &s).err, AG_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_unknown_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
