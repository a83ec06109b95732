/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a name means: a million random ones. A principal's own name is canonical
 * or refused, so no two spellings are one; identities of other issuers are
 * compared byte by byte, so two are never one principal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iam.h"
#include "issuers.h"

enum { CASES = 1000000, HELD = 8192, PART_MAX = 7 };

static uint64_t seed = 20261121;

static unsigned
random_below(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* Few letters, so that many are nearly or wholly the same. */
static void
random_text(char out[PART_MAX + 1])
{
	static const char letters[] = "aab/:A \xc3\xa9.";
	unsigned n = random_below(PART_MAX + 1);

	for (unsigned i = 0; i < n; i++)
		out[i] = letters[random_below(sizeof(letters) - 1)];
	out[n] = '\0';
}

static void
an_identity_is_one_principal(void **state)
{
	struct iam *iam = calloc(1, sizeof(*iam));
	struct iam_node *nodes = calloc(HELD + 1, sizeof(*nodes));
	struct iam_node *late = &nodes[HELD];
	Ag__External external = AG__EXTERNAL__INIT;
	char issuer[PART_MAX + 1], subject[PART_MAX + 1];
	unsigned held = 0, met = 0;

	(void)state;
	iam_table_init(&iam->externals, HELD);
	external.issuer = issuer;
	external.subject = subject;
	for (unsigned i = 0; i < CASES; i++) {
		struct iam_node *found;

		random_text(issuer);
		random_text(subject);
		if ((found = iam_external_find(iam, issuer, subject)) != NULL) {
			assert_string_equal(found->external->issuer, issuer);
			assert_string_equal(found->external->subject, subject);
			assert_int_equal(iam_external_take(iam, late, &external),
			    AG_OK);
			assert_null(late->external); /* who has it keeps it */
			met++;
		} else if (held < HELD) {
			assert_int_equal(iam_external_take(iam, &nodes[held],
			    &external), AG_OK);
			assert_ptr_equal(iam_external_find(iam, issuer, subject),
			    &nodes[held++]);
		}
	}
	assert_int_equal(held, HELD);
	assert_true(met > HELD);
	for (unsigned i = 0; i < held; i++) {
		const struct iam_external *e = nodes[i].external;

		assert_ptr_equal(iam_external_find(iam, e->issuer, e->subject),
		    &nodes[i]);
	}
	for (unsigned i = 0; i < held; i++)
		iam_external_free(&nodes[i]);
	iam_table_fini(&iam->externals);
	free(nodes);
	free(iam);
}

/* The contract's words, once more: [a-z0-9][a-z0-9._-]{0,62}, and not like an
 * id. */
static bool
canonical(const char *name, size_t len)
{
	static const char *const ids[] = { "key_", "hum_", "svc_", "agt_", "evt_",
		"rec_", "chl_", "apr_", "brk_", "grt_", "pol_" };

	if (len < 1 || len > 63 || strcmp(name, "import") == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool word = (name[i] >= 'a' && name[i] <= 'z') ||
		    (name[i] >= '0' && name[i] <= '9');

		if (!word && (i == 0 || strchr("._-", name[i]) == NULL))
			return false;
	}
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (strncmp(name, ids[i], 4) == 0)
			return false;
	return true;
}

static void
a_name_is_canonical_or_refused(void **state)
{
	static const char letters[] = "keyagthumsvc_0123456789.-abcz"
	    "AZ /\\\t\n%\"\xc3\xa9\xe2\x80\xae";
	char name[80];
	unsigned good = 0;

	(void)state;
	for (unsigned i = 0; i < CASES; i++) {
		size_t n = random_below(i % 100 == 0 ? 70 : 6);
		/* Mostly of those that are allowed, or nothing would be. */
		unsigned among = i % 4 == 0 ? sizeof(letters) - 1 : 29;

		for (size_t k = 0; k < n; k++)
			name[k] = letters[random_below(among)];
		name[n] = '\0';
		if (ag_name_valid(name) != canonical(name, n))
			fail_msg("\"%s\"", name);
		good += canonical(name, n);
	}
	assert_true(good > CASES / 10 && good < CASES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_identity_is_one_principal),
		cmocka_unit_test(a_name_is_canonical_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
