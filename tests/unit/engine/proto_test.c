/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

static void
every_number_finds_its_row(void **state)
{
	unsigned found = 0, operations = 0;

	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		const struct ag_message *m = ag_message_find((uint16_t)type);
		const struct ag_operation *op = ag_operation_find((uint16_t)type);

		if (m != NULL) {
			assert_int_equal(m->type, type);
			assert_non_null(m->body->name);
			found++;
		}
		if (op != NULL) {
			assert_int_equal(op->type, type);
			assert_true(ag_is_operation((uint16_t)type));
			assert_int_equal(m->group, AG_GROUP_OPERATION);
			assert_ptr_equal(m->body, op->ask);
			assert_ptr_equal(ag_operation_named(op->operation), op);
			operations++;
		}
	}
	assert_true(found > operations && operations > 50);
	assert_non_null(ag_operation_at(operations - 1));
	assert_null(ag_operation_at(operations));
}

static void
rows_are_what_the_tables_say(void **state)
{
	const struct ag_operation *op = ag_operation_find(AG_MSG_KEY_SIGN);

	assert_string_equal(op->name, "KEY_SIGN");
	assert_string_equal(op->operation, "key.sign");
	assert_ptr_equal(op->ask, &ag__sign_ask__descriptor);
	assert_ptr_equal(op->reply, &ag__sign_reply__descriptor);
	assert_int_equal(op->executor, AG_ROLE_KEYS);
	assert_int_equal(op->kind, AG_KIND_KEY);
	assert_string_equal(op->op, "sign");
	assert_int_equal(ag_operation_find(AG_MSG_KEY_DECRYPT)->flags,
	    AG_OP_SECRET);
	assert_ptr_equal(ag_message_find(AG_MSG_DONE_REPLY)->body,
	    &ag__done__descriptor);
	assert_int_equal(ag_message_find(AG_MSG_OUTCOME_EVENT)->group,
	    AG_GROUP_OUTCOME);
	assert_null(ag_operation_named("key.nothing"));
}

static void
topology_allows_what_is_listed_only(void **state)
{
	unsigned count = 0;

	assert_true(ag_route_allowed(AG_ROLE_PLANE, AG_ROLE_IAM,
	    AG_GROUP_OPERATION));
	assert_true(ag_route_allowed(AG_ROLE_RISK, AG_ROLE_KEYS,
	    AG_GROUP_OPERATION));
	assert_false(ag_route_allowed(AG_ROLE_PLANE, AG_ROLE_KEYS,
	    AG_GROUP_OPERATION));
	assert_false(ag_route_allowed(AG_ROLE_PLANE, AG_ROLE_ROT,
	    AG_GROUP_ROT_KEY));
	assert_false(ag_route_allowed(AG_ROLE_KEYS, AG_ROLE_PLANE,
	    AG_GROUP_DELIVER));
	assert_false(ag_route_allowed((enum ag_role)99, AG_ROLE_IAM,
	    AG_GROUP_OPERATION));
	assert_false(ag_route_allowed(AG_ROLE_PLANE, AG_ROLE_IAM,
	    (enum ag_group)99));
	for (int f = -1; f <= AG_ROLE_COUNT; f++)
		for (int t = -1; t <= AG_ROLE_COUNT; t++)
			for (int g = -1; g <= AG_GROUP_COUNT; g++)
				count += ag_route_allowed((enum ag_role)f,
				    (enum ag_role)t, (enum ag_group)g);
#define ROUTE(from, to, group) count--;
#include "routes.def"
#undef ROUTE
	assert_int_equal(count, 0);
}

static void
names(void **state)
{
	for (unsigned i = 1; i < AG_ROLE_COUNT; i++)
		assert_int_equal(ag_role_named(ag_role_name((enum ag_role)i)), i);
	assert_string_equal(ag_role_name(AG_ROLE_KEYS), "keys");
	assert_int_equal(ag_role_named("KEYS"), AG_ROLE_KEYS);
	assert_int_equal(ag_role_named("none"), AG_ROLE_NONE);
	assert_int_equal(ag_role_named("root"), AG_ROLE_NONE);
	assert_string_equal(ag_kind_name(AG_KIND_SYSTEM), "system");
	assert_string_equal(ag_enum_name(&ag__key_spec__v__descriptor,
	    AG__KEY_SPEC__V__EC_P256), "EC_P256");
	assert_null(ag_enum_name(&ag__key_spec__v__descriptor, 4711));
}

static void
errors(void **state)
{
	assert_int_equal(ag_err_row(AG_OK)->http, 200);
	assert_int_equal(ag_err_row(AG_INVALID_FIELD)->http, 400);
	assert_string_equal(ag_err_row(AG_FULL)->code, "Unavailable");
	assert_string_equal(ag_err_row((ag_err)-1)->code, "GeneralFailure");
	assert_string_equal(ag_err_row(AG_PENDING)->code, "GeneralFailure");
	assert_int_equal(ag_err_from_code("ItemNotFound"), AG_ITEM_NOT_FOUND);
	assert_int_equal(ag_err_from_code("Unavailable"), AG_UNAVAILABLE);
	assert_int_equal(ag_err_from_code("Nonsense"), AG_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_finds_its_row),
		cmocka_unit_test(rows_are_what_the_tables_say),
		cmocka_unit_test(topology_allows_what_is_listed_only),
		cmocka_unit_test(names),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
