/* SPDX-License-Identifier: Apache-2.0 */
/* Texts under a shared key: the MAC is the standard's, and of a button's value no
 * character can be changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/signed.h>

#define APR "apr_0123456789abcdef0123456789abcdef"

static struct ag_secret *
key_of(const char *text)
{
	struct ag_secret *key = NULL;

	assert_int_equal(ag_secret_copy(text, strlen(text), &key), AG_OK);
	return key;
}

/* RFC 4231, test case 2, whole and in two parts. */
static void
test_hmac(void **state)
{
	static const char want[] =
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
	static const char data[] = "what do ya want for nothing?";
	struct ag_secret *key = key_of("Jefe");
	char hex[AG_SIGNED_HEX];

	(void)state;
	assert_true(ag_signed_hex(key, "", data, strlen(data), hex));
	assert_string_equal(hex, want);
	assert_true(ag_signed_hex(key, "what do ya ", data + 11,
	    strlen(data) - 11, hex));
	assert_string_equal(hex, want);
	ag_secret_free(&key);
}

static void
test_click(void **state)
{
	struct ag_secret *key = key_of("0123456789abcdef"),
	    *other = key_of("0123456789abcdeg");
	struct ag_click click = { .approval = APR, .yes = true, .until = 1795265121790 },
	    got;
	char text[AG_CLICK_TEXT], bent[AG_CLICK_TEXT + 1];

	(void)state;
	assert_true(ag_click_write(key, &click, text));
	assert_true(ag_click_read(key, text, &got));
	assert_string_equal(got.approval, APR);
	assert_true(got.yes);
	assert_int_equal(got.until, 1795265121000);
	assert_false(ag_click_read(other, text, &got));
	for (size_t i = 0; i < strlen(text); i++) {
		strcpy(bent, text);
		bent[i] = bent[i] == '1' ? '2' : '1';
		assert_false(ag_click_read(key, bent, &got));
		bent[i] = '\0';
		assert_false(ag_click_read(key, bent, &got));
	}
	snprintf(bent, sizeof(bent), "%s0", text);
	assert_false(ag_click_read(key, bent, &got));
	/* The other button is another text. */
	click.yes = false;
	assert_true(ag_click_write(key, &click, bent));
	assert_string_not_equal(bent, text);
	assert_true(ag_click_read(key, bent, &got));
	assert_false(got.yes);
	ag_secret_free(&key);
	ag_secret_free(&other);
}

static void
test_hostile(void **state)
{
	static const char *const texts[] = { "", "v1", "v1.", "v1.apr_.approve.1.",
		"v1." APR ".approve.1", "v1." APR ".approve.1.",
		"v1." APR ".maybe.1.00", "v1." APR ".approve.-1.00",
		"v1." APR ".approve.999999999999999999999.00",
		"v2." APR ".approve.1.00", "v1.apr_%s%s%n.approve.1.00" };
	struct ag_secret *key = key_of("0123456789abcdef");
	struct ag_click got;
	char long_text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(ag_click_read(key, texts[i], &got));
	memset(long_text, 'a', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	assert_false(ag_click_read(key, long_text, &got));
	ag_secret_free(&key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_click),
		cmocka_unit_test(test_hostile),
	};

	if (ag_secret_init() != AG_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
