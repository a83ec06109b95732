/* SPDX-License-Identifier: Apache-2.0 */
/* What is a policy and what is not, and how the latter is said. */
#include "test.h"

static const struct {
	const char *text;
	bool ok;
} rows[] = {
#include "parse_rows.def"
};

static enum ag_cedar_err
read(const char *text, size_t len, size_t max, struct ag_cedar_problem *p)
{
	struct ag_cedar_set *set;
	enum ag_cedar_err err;

	assert_int_equal(ag_cedar_set_new(max, &set), AG_CEDAR_OK);
	err = ag_cedar_set_text(set, "policy", text, len, p);
	ag_cedar_set_free(&set);
	assert_null(set);
	return err;
}

static void
same_as_the_reference(void **state)
{
	struct ag_cedar_problem p;
	char room[512];
	enum ag_cedar_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = test_policy(rows[i].text, room, sizeof(room));

		err = read(text, strlen(text), TEST_MEMORY, &p);
		if ((err == AG_CEDAR_OK) != rows[i].ok)
			fail_msg("%s: %s", text, p.text);
		if (err != AG_CEDAR_OK && (p.line == 0 || p.column == 0 ||
		    p.text[0] == '\0' || p.code != err))
			fail_msg("%s: refused without place or reason", text);
	}
}

/* What, where, and what would be right. */
static const struct {
	const char *text;
	uint32_t line, column;
	const char *says;
} refused[] = {
	{ "permit(principal,\n  actoin, resource);", 2, 3, "expected `action`" },
	{ "allow(principal,action,resource);", 1, 1, "`permit` or `forbid`" },
	{ "permit(principal,action,resource)", 1, 34, "expected `;`" },
	{ "permit(principal,action,resource) when { a };", 1, 42, "no variable" },
	{ "permit(principal,action,resource)\nwhen { 1 == 2 == 3 };", 2, 15,
	    "do not chain" },
	{ "permit(principal,action,resource) when { context.if };", 1, 50,
	    "[\"if\"]" },
	{ "permit(principal,action,resource) when { \"a };", 1, 42,
	    "close it with" },
	{ "permit(principal,action,resource) when { \"\\q\" == 1 };", 1, 43,
	    "\\u{1f600}" },
	{ "permit(principal,action,resource) when { true & false };", 1, 47,
	    "'&&'" },
	{ "permit(principal = A::\"a\",action,resource);", 1, 18, "`==`" },
	{ "permit(principal,action,resource) when { isIpv4(1) };", 1, 42,
	    "x.isIpv4(…)" },
	{ "permit(principal,action,resource) when { 9223372036854775808 };", 1,
	    42, "9223372036854775807" },
};

static void
problems_have_a_place(void **state)
{
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(read(refused[i].text, strlen(refused[i].text),
		    TEST_MEMORY, &p), AG_CEDAR_SYNTAX);
		if (p.line != refused[i].line || p.column != refused[i].column ||
		    strstr(p.text, refused[i].says) == NULL)
			fail_msg("%s: %u:%u %s", refused[i].text, p.line, p.column,
			    p.text);
	}
}

static char *
repeat(const char *head, const char *piece, size_t count, const char *tail)
{
	size_t n = strlen(piece), at = strlen(head);
	char *text = malloc(at + n * count + strlen(tail) + 1);

	assert_non_null(text);
	memcpy(text, head, at);
	for (size_t i = 0; i < count; i++, at += n)
		memcpy(text + at, piece, n);
	strcpy(text + at, tail);
	return text;
}

/* Deep, high, wide and long: refused by name of the limit, or taken. */
static void
limits(void **state)
{
	static const struct {
		const char *head, *piece;
		size_t count;
		const char *tail;
		enum ag_cedar_err want;
	} tall[] = {
		{ "permit(principal,action,resource) when { ", "(", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { ", "[", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { ", "{a:", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { ", "if ", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { ", "ip(", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal == ", "(", 100000, "", AG_CEDAR_LIMIT },
		{ "permit(principal, action in ", "(", 100000, "",
		    AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { true", " && true",
		    5000, " };", AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { true", " && true",
		    900, " };", AG_CEDAR_OK },
		{ "permit(principal,action,resource) when { context", ".a", 5000,
		    " };", AG_CEDAR_LIMIT },
		{ "permit(principal,action,resource) when { [", "1,", 50000,
		    "] == [] };", AG_CEDAR_OK },
		{ "", "permit(principal,action,resource);\n", 5000, "",
		    AG_CEDAR_OK },
		{ "// ", "x", 11 << 20, "", AG_CEDAR_LIMIT },
	};
	struct ag_cedar_problem p;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(tall) / sizeof(tall[0]); i++) {
		text = repeat(tall[i].head, tall[i].piece, tall[i].count,
		    tall[i].tail);
		if (read(text, strlen(text), 64 << 20, &p) != tall[i].want)
			fail_msg("%s%s…: %s", tall[i].head, tall[i].piece, p.text);
		free(text);
	}
}

static void
too_little_memory(void **state)
{
	static const char text[] = "permit(principal == U::\"a\", action in "
	    "[Action::\"b\"], resource is T) when { [1, {a: \"x\"}] == ip(\"::\") };";
	struct ag_cedar_problem p;
	unsigned refused_count = 0;

	(void)state;
	for (size_t max = 0; max < 4096; max += 16)
		refused_count += read(text, strlen(text), max, &p) ==
		    AG_CEDAR_NO_MEMORY;
	assert_true(refused_count > 10 && refused_count < 4096 / 16);
}

static void
bytes_that_are_no_text(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = {
		{ "\xff", 1 }, { "// \xc0\x80", 5 }, { "\"\xed\xa0\x80\"", 5 },
		{ "\xf4\x90\x80\x80", 4 }, { "\xe2\x82", 2 }, { "\0", 1 },
		{ "permit\0", 7 },
	};
	static const char white[] = "\xc2\xa0permit\xe2\x80\xa8(principal,"
	    "action\t,resource)\xe3\x80\x80;// \xf0\x9f\x98\x80";
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read(bad[i].text, bad[i].len, TEST_MEMORY, &p),
		    AG_CEDAR_SYNTAX);
	/* Unicode's white space is white, and a comment may hold anything. */
	assert_int_equal(read(white, sizeof(white) - 1, TEST_MEMORY, &p),
	    AG_CEDAR_OK);
}

static void
ids_and_annotations(void **state)
{
	struct ag_cedar_set *set = test_set("@id(\"first\") @empty "
	    "permit(principal,action,resource);\n\n"
	    "  forbid(principal,action,resource);");
	struct ag_cedar_policy_info info;
	struct ag_cedar_problem p;
	struct ag_cedar_str value, name;

	(void)state;
	assert_int_equal(ag_cedar_set_count(set), 2);
	ag_cedar_policy_info(set, 0, &info);
	assert_string_equal(info.id, "policy0");
	assert_false(info.forbid);
	assert_int_equal(info.annotation_count, 2);
	assert_true(ag_cedar_policy_annotation(set, 0, "id", &value));
	assert_memory_equal(value.p, "first", 5);
	assert_true(ag_cedar_policy_annotation(set, 0, "empty", &value));
	assert_int_equal(value.len, 0);
	assert_false(ag_cedar_policy_annotation(set, 1, "id", &value));
	assert_true(ag_cedar_policy_annotation_at(set, 0, 1, &name, &value));
	assert_memory_equal(name.p, "empty", 5);
	assert_false(ag_cedar_policy_annotation_at(set, 0, 2, &name, &value));
	ag_cedar_policy_info(set, 1, &info);
	assert_string_equal(info.id, "policy1");
	assert_true(info.forbid);
	assert_int_equal(info.line, 3);
	assert_int_equal(info.column, 3);
	/* What is compiled takes nothing more. */
	assert_int_equal(ag_cedar_set_text(set, "x", "", 0, &p),
	    AG_CEDAR_INVALID);
	ag_cedar_set_free(&set);
	assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_text(set, "p",
	    "permit(principal,action,resource);", 34, &p), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_text(set, "p",
	    "permit(principal,action,resource);", 34, &p), AG_CEDAR_DUPLICATE);
	ag_cedar_set_free(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_reference),
		cmocka_unit_test(problems_have_a_place),
		cmocka_unit_test(limits),
		cmocka_unit_test(too_little_memory),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(ids_and_annotations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
