/* SPDX-License-Identifier: Apache-2.0 */
/* Signed policies, where they are wanted: what is put, and what is found. */
#include "iam_fleet.h"

#include "iam.h"

#include <openssl/pem.h>
#include <unistd.h>

#define ALL "permit (principal, action, resource);"
#define NONE "forbid (principal, action, resource);"
#define ENFORCE "policies: {enforce: true, signers: ["
#define DAY_MS INT64_C(86400000)

static struct fleet *f;
static EVP_PKEY *issuer, *alice, *mallory;
static char dir[64], pem[2][80];
static char id[2][AG_SIGNED_HEX_SIZE];

/* Its public key as a file. */
static void
publish(EVP_PKEY *key, int i)
{
	FILE *file;
	char text[AG_SIGNED_PEM_MAX];
	size_t len;

	snprintf(pem[i], sizeof(pem[i]), "%s-%d.pem", dir, i);
	file = fopen(pem[i], "w+");
	assert_non_null(file);
	assert_int_equal(PEM_write_PUBKEY(file, key), 1);
	rewind(file);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	EVP_PKEY_free(ag_signed_public(text, len, id[i]));
}

static void
begin(const char *config)
{
	if (f != NULL)
		fleet_free(f);
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(config, dir, issuer);
}

/* With nothing in it yet. */
static void
other_fleet(const char *config)
{
	char command[80];

	fleet_free(f);
	f = NULL;
	snprintf(command, sizeof(command), "rm -rf %s/*", dir);
	assert_int_equal(system(command), 0);
	begin(config);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
}

static const char *
enforced(const char *more)
{
	static char config[512];

	snprintf(config, sizeof(config), ENFORCE "{name: alice, "
	    "public_key_file: %s%s}]}\n", pem[0], more);
	return config;
}

static int
setup(void **state)
{
	strcpy(dir, "/tmp/iam-signers-XXXXXX");
	assert_non_null(mkdtemp(dir));
	issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	alice = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	mallory = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	publish(alice, 0);
	publish(mallory, 1);
	f = NULL;
	begin(enforced(""));
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	return 0;
}

static int
teardown(void **state)
{
	char command[300];

	fleet_free(f);
	EVP_PKEY_free(issuer);
	EVP_PKEY_free(alice);
	EVP_PKEY_free(mallory);
	snprintf(command, sizeof(command), "rm -rf %s %s %s", dir, pem[0],
	    pem[1]);
	assert_int_equal(system(command), 0);
	return 0;
}

/* text NULL: that it is gone. In a buffer that the next call takes. */
static char *
sign_of(EVP_PKEY *by, const char *tenant, const char *name, int64_t version,
    const char *text)
{
	static char out[AG_SIGNED_TEXT_SIZE];
	struct ag_signed what = { .version = version };

	strcpy(what.tenant, tenant);
	strcpy(what.name, name);
	ag_signed_digest(text, text == NULL ? 0 : strlen(text), what.sha256);
	what.expires_at = (ag_kit_now(f->kit) / 1000) * 1000 + DAY_MS;
	strcpy(what.signer, id[by == mallory]);
	assert_true(ag_signed_make(&what, by, out));
	return out;
}

static struct ended
put(const char *name, const char *text, char *signature)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	ask.signature = signature;
	return request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static struct ended
drop(const char *name, char *signature)
{
	Ag__PolicyDeleteAsk ask = AG__POLICY_DELETE_ASK__INIT;

	ask.reason = (char *)"because";
	ask.signature = signature;
	return request(f, AG_MSG_POLICY_DELETE, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static void
refused(struct ended e, const char *reason)
{
	assert_string_equal(e.rule, "policies.signers");
	assert_string_equal(e.field, "/signature");
	expect(e, AG_PERMISSION_DENIED, reason);
}

/* The rule that ends it; NULL: it goes on. */
static void
ruled(const char *rule)
{
	struct ended e = sign(f, f->admin, "invoice");

	assert_int_equal(e.err, rule == NULL ? AG_OK : AG_PERMISSION_DENIED);
	if (rule != NULL)
		assert_string_equal(e.rule, rule);
	ended_free(&e);
}

static void
test_taken(void **state)
{
	struct ended e = put("base", ALL, sign_of(alice, "default", "base", 7,
	    ALL));
	const Ag__Policy *p = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(p->signed_version, 7);
	assert_string_equal(p->signer, id[0]);
	assert_non_null(p->signature);
	assert_string_equal(e.outcome->params[0]->key, "signer");
	assert_string_equal(e.outcome->params[0]->value, "alice");
	ended_free(&e);
	ruled(NULL);
	/* The same again, a newer one, its end. */
	expect(put("base", ALL, sign_of(alice, "default", "base", 7, ALL)),
	    AG_OK, NULL);
	expect(put("base", NONE, sign_of(alice, "default", "base", 8, NONE)),
	    AG_OK, NULL);
	ruled("base/0");
	refused(drop("base", NULL), "signature_missing");
	refused(drop("base", sign_of(alice, "default", "base", 9, NONE)),
	    "signature_altered");
	expect(drop("base", sign_of(alice, "default", "base", 9, NULL)), AG_OK,
	    NULL);
	ruled("default-deny");
	/* What was deleted does not come back by its old signature. */
	refused(put("base", ALL, sign_of(alice, "default", "base", 9, ALL)),
	    "signature_older");
}

static void
test_refused(void **state)
{
	char *good;
	struct ended e;

	expect(put("base", ALL, sign_of(alice, "default", "base", 5, ALL)),
	    AG_OK, NULL);
#define NO(reason, ...) refused(put("base", NONE, sign_of(__VA_ARGS__)), reason)
	refused(put("base", NONE, NULL), "signature_missing");
	refused(put("base", NONE, (char *)"x.y.z"), "signature_malformed");
	NO("signer_unknown", mallory, "default", "base", 6, NONE);
	NO("signature_tenant", alice, "acme", "base", 6, NONE);
	NO("signature_name", alice, "default", "stop", 6, NONE);
	NO("signature_altered", alice, "default", "base", 6, ALL);
	NO("signature_older", alice, "default", "base", 4, NONE);
	NO("signature_older", alice, "default", "base", 5, NONE);
	good = sign_of(alice, "default", "base", 6, NONE);
	good[strlen(good) - 4] ^= 1;
	e = put("base", NONE, good);
	assert_string_equal(e.rule, "policies.signers");
	assert_true(strcmp(e.reason, "signature_wrong") == 0 ||
	    strcmp(e.reason, "signature_malformed") == 0);
	ended_free(&e);
	good = strdup(sign_of(alice, "default", "base", 6, NONE));
	ag_kit_advance(f->kit, DAY_MS);
	later(f, 1000);
	refused(put("base", NONE, good), "signature_expired");
	free(good);
	/* An old text needs a new signature, too. */
	{
		Ag__PolicyRollbackAsk ask = AG__POLICY_ROLLBACK_ASK__INIT;

		ask.version = 1;
		ask.reason = (char *)"because";
		refused(request(f, AG_MSG_POLICY_ROLLBACK, ASK(.token = f->admin,
		    .selector = "base"), &ask), "signature_missing");
	}
	ruled(NULL);
}

/* Until when, and for whom, a signer counts. */
static void
test_signers(void **state)
{
	char more[80] = ", until: ", *token;
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ag_time_text(ag_kit_now(f->kit) + 60000, more + strlen(more));
	other_fleet(enforced(more));
	expect(put("base", ALL, sign_of(alice, "default", "base", 1, ALL)),
	    AG_OK, NULL);
	later(f, 61000);
	refused(put("base", NONE, sign_of(alice, "default", "base", 2, NONE)),
	    "signer_expired");
	/* What was put in time stands; whose key is taken away does not. */
	begin(enforced(more));
	ruled(NULL);
	begin(enforced(", tenant: acme"));
	ruled("default-deny");
	refused(put("base", ALL, sign_of(alice, "default", "base", 3, ALL)),
	    "signer_unknown");
	other_fleet(enforced(", tenant: acme"));
	token = tenant_of(f, "acme");
	ask.text = (char *)ALL;
	ask.signature = sign_of(alice, "acme", "base", 1, ALL);
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = token,
	    .selector = "base"), &ask), AG_OK, NULL);
	free(token);
}

static void
injected(uint64_t version, const char *text, char *signature)
{
	Ag__PolicyFact p = AG__POLICY_FACT__INIT;

	p.tenant = (char *)"default";
	p.name = (char *)"base";
	p.state = (char *)"active";
	p.text = (char *)text;
	p.at = ag_kit_now(f->kit);
	p.policy_version = version;
	p.signature = signature;
	fact(f, "policy:default/base", version, AG_MSG_POLICY_FACT, &p);
}

/* What somebody wrote into the journal is not in force: nothing is. */
static void
test_altered_in_the_journal(void **state)
{
	char *first = strdup(sign_of(alice, "default", "base", 1, ALL));

	expect(put("base", ALL, first), AG_OK, NULL);
	expect(put("base", ALL, sign_of(alice, "default", "base", 2, ALL)),
	    AG_OK, NULL);
	ruled(NULL);
	injected(3, ALL "// altered", sign_of(alice, "default", "base", 3, ALL));
	ruled("default-deny");
	injected(4, ALL, sign_of(alice, "default", "base", 4, ALL));
	ruled(NULL);
	injected(5, ALL, first); /* an older one, as it was signed */
	ruled("default-deny");
	injected(6, ALL, sign_of(alice, "default", "stop", 6, ALL));
	ruled("default-deny");
	injected(7, ALL, sign_of(mallory, "default", "base", 7, ALL));
	ruled("default-deny");
	injected(8, ALL, NULL);
	ruled("default-deny");
	injected(9, ALL, sign_of(alice, "default", "base", 8, ALL));
	ruled(NULL);
	free(first);
}

/* Signatures stay over a start. */
static void
test_restart(void **state)
{
	expect(put("base", ALL, sign_of(alice, "default", "base", 1, ALL)),
	    AG_OK, NULL);
	begin(enforced(""));
	ruled(NULL);
	refused(put("base", NONE, sign_of(alice, "default", "base", 1, NONE)),
	    "signature_older");
}

/* Not wanted: looked at if there is one. Wanted after all: what is not signed
 * is not in force. */
static void
test_not_enforced(void **state)
{
	other_fleet(NULL);
	expect(put("base", ALL, NULL), AG_OK, NULL);
	refused(put("base", NONE, sign_of(alice, "default", "base", 1, NONE)),
	    "signer_unknown");
	ruled(NULL);
	begin(enforced(""));
	ruled("default-deny");
}

/* Unsigned ones in between do not make it forget which came last. */
static void
test_the_newest_is_remembered(void **state)
{
	char config[200];

	snprintf(config, sizeof(config), "policies: {signers: [{name: alice, "
	    "public_key_file: %s}]}\n", pem[0]);
	other_fleet(config);
	expect(put("base", ALL, sign_of(alice, "default", "base", 5, ALL)),
	    AG_OK, NULL);
	for (int i = 0; i < 70; i++)
		expect(put("base", ALL, NULL), AG_OK, NULL);
	begin(enforced(""));
	refused(put("base", NONE, sign_of(alice, "default", "base", 5, NONE)),
	    "signature_older");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_taken), T(test_refused), T(test_signers),
		T(test_altered_in_the_journal), T(test_restart),
		T(test_not_enforced), T(test_the_newest_is_remembered),
	};

	return cmocka_run_group_tests_name("iam_signers", tests, NULL, NULL);
}
