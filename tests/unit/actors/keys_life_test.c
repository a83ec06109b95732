/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key's life through the actor: create, import, update, activate, rotate,
 * compromise, freeze, destroy; and what the responder may do.
 */
#include "keys_fixture.h"

#include <aegis/stamp.h>

#define NO_WINDOW "keys:\n  destroy_min_window_s: 0\n"

static void
test_create(void **state)
{
	struct fixture f;
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NULL);
	id = new_id(&f);
	ask.key_spec = SPEC(EC_P256);
	ask.alias = (char *)(uintptr_t)"invoice-2026";
	assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	key = (const Ag__Key *)f.reply;
	assert_string_equal(key->id, id);
	assert_string_equal(key->alias, "invoice-2026");
	assert_int_equal(key->state, STATE(PreActive));
	assert_int_equal(key->version, 1);
	assert_int_equal(key->n_versions, 1);
	assert_string_equal(key->versions[0]->origin, "generated");
	assert_int_equal(key->n_usage, 2);
	assert_int_equal(key->revision, 1);
	assert_string_equal(key->rot, "software");
	assert_false(key->has_honey);
	assert_int_equal(f.appends, 1);
	/* The alias is taken: the material made for the loser goes again. */
	assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, new_id(&f), &ask), AG_ALREADY_EXISTS);
	assert_string_equal(f.reason_code, "alias");
	assert_int_equal(f.destroys, 1);
	fixture_free(&f);
}

static void
test_create_refuses(void **state)
{
	static const struct {
		int spec, usage, usage2;
		const char *alias, *rot;
		bool honey;
		ag_err err;
		const char *reason;
	} cases[] = {
		{ SPEC(EC_P256), 0, 0, "Not An Alias", NULL, false, AG_INVALID_FIELD, "bad_alias" },
		{ SPEC(EC_P256), 0, 0, "key_01", NULL, false, AG_INVALID_FIELD, "bad_alias" },
		{ SPEC(EC_P256), AG__USAGE__V__encrypt, 0, NULL, NULL, false, AG_INVALID_FIELD, "conflicting_fields" },
		{ SPEC(RSA_2048), AG__USAGE__V__sign, AG__USAGE__V__encrypt, NULL, NULL, false,
		    AG_INVALID_FIELD, "conflicting_fields" },
		{ SPEC(AES_256), AG__USAGE__V__encrypt, AG__USAGE__V__encrypt, NULL, NULL, false,
		    AG_INVALID_FIELD, "conflicting_fields" },
		{ SPEC(HMAC_SHA256), AG__USAGE__V__sign, 0, NULL, NULL, false, AG_INVALID_FIELD,
		    "conflicting_fields" },
		{ SPEC(CHACHA20_POLY1305), AG__USAGE__V__wrap, 0, NULL, NULL, false, AG_INVALID_FIELD,
		    "conflicting_fields" },
		{ SPEC(EC_P256), 0, 0, NULL, "aws", false, AG_FEATURE_NOT_SUPPORTED, "rot" },
		{ SPEC(EC_P256), 0, 0, NULL, NULL, true, AG_PERMISSION_DENIED, "scope_missing" },
	};
	struct fixture f;

	fixture_new(&f, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
		Ag__Usage__V usage[2] = { (Ag__Usage__V)cases[i].usage, (Ag__Usage__V)cases[i].usage2 };

		ask.key_spec = (Ag__KeySpec__V)cases[i].spec;
		ask.alias = (char *)(uintptr_t)cases[i].alias;
		ask.rot = (char *)(uintptr_t)cases[i].rot;
		ask.usage = usage;
		ask.n_usage = (cases[i].usage != 0) + (cases[i].usage2 != 0);
		ask.has_honey = ask.honey = cases[i].honey;
		assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, new_id(&f), &ask), cases[i].err);
		assert_string_equal(f.reason_code, cases[i].reason);
	}
	assert_int_equal(f.generates, 0); /* refused before the root of trust hears */
	assert_int_equal(f.appends, 0);
	fixture_free(&f);
}

static void
test_rot_away(void **state)
{
	struct fixture f;
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	Ag__SignAsk sign = AG__SIGN_ASK__INIT;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	f.rot_down = true;
	ask.key_spec = SPEC(EC_P256);
	assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, new_id(&f), &ask), AG_UNAVAILABLE);
	assert_string_equal(f.reason_code, "rot");
	sign.message_b64 = TEXT("m");
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &sign), AG_UNAVAILABLE);
	assert_string_equal(f.reason_code, "rot");
	f.rot_down = false;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &sign), AG_OK);
	f.rot_down = true; /* it is warm now */
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &sign), AG_OK);
	fixture_free(&f);
}

static void
test_read_is_of_the_tenant(void **state)
{
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(AES_256), true);
	read_key(&f, id);
	f.tenant = "other";
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_READ, id), AG_ITEM_NOT_FOUND);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_ITEM_NOT_FOUND);
	f.tenant = NULL;
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_READ, new_id(&f)), AG_ITEM_NOT_FOUND);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_READ, NULL), AG_ITEM_NOT_FOUND);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_READ, "key_x"), AG_ITEM_NOT_FOUND);
	fixture_free(&f);
}

static void
test_honey_is_shown_to_its_holders(void **state)
{
	struct fixture f;
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	const char *id;

	fixture_new(&f, NULL);
	id = new_id(&f);
	f.sees_honey = true;
	ask.key_spec = SPEC(AES_256);
	ask.has_honey = ask.honey = true;
	assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	assert_true(((const Ag__Key *)f.reply)->honey);
	assert_true(read_key(&f, id)->honey);
	f.sees_honey = false;
	assert_false(read_key(&f, id)->has_honey);
	f.sees_honey = true;
	assert_true(read_key(&f, id)->honey);
	fixture_free(&f);
}

static Ag__Pair
pair(const char *key, const char *value)
{
	Ag__Pair p = AG__PAIR__INIT;

	p.key = (char *)(uintptr_t)key;
	p.value = (char *)(uintptr_t)value;
	return p;
}

static void
test_update_merges(void **state)
{
	struct fixture f;
	Ag__KeyUpdateAsk ask = AG__KEY_UPDATE_ASK__INIT;
	Ag__Rotation rotation = AG__ROTATION__INIT;
	Ag__Pair a = pair("region", "eu"), b = pair("tier", "critical"), gone = pair("region", NULL);
	Ag__Pair *both[] = { &a, &b }, *one[] = { &gone };
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(AES_256), true);
	ask.labels = both;
	ask.n_labels = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	assert_int_equal(((const Ag__Key *)f.reply)->n_labels, 2);
	ask.labels = one;
	ask.n_labels = 1;
	rotation.has_every_s = true;
	rotation.every_s = 60;
	ask.rotation = &rotation;
	f.if_match = "\"2\"";
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	key = read_key(&f, id);
	assert_int_equal(key->n_labels, 1);
	assert_string_equal(key->labels[0]->key, "tier");
	assert_int_equal(key->rotation->every_s, 60);
	assert_int_equal(key->rotation->next_at, key->created_at + 60000);
	assert_int_equal(key->revision, 3);
	f.if_match = "\"2\"";
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_PRECONDITION_FAILED);
	rotation.has_next_at = true;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_PERMISSION_DENIED);
	assert_string_equal(f.reason_code, "system_attribute");
	rotation.has_next_at = false;
	a = pair("NOT A LABEL", "x");
	ask.labels = both;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

/* What a change may not say, whatever state the key is in. */
static void
test_changes_refused(void **state)
{
	static const struct { const char *hours, *reason; } hours[] = {
		{ "whenever", "out_of_range" },
		{ "mon-fri 09:00-17:00 Nowhere/Atall", "unknown_value" },
		{ "mon-fri 09:00-17:00 Europe/Berlin", NULL },
	};
	Ag__KeyUpdateAsk update = AG__KEY_UPDATE_ASK__INIT;
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	Ag__Pair pairs[33], *labels[33];
	char names[33][16], wide[514];
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	update.labels = labels;
	for (size_t i = 0; i < 33; i++) {
		snprintf(names[i], sizeof(names[i]), "name-%zu", i);
		ag__pair__init(&pairs[i]);
		pairs[i].key = names[i];
		pairs[i].value = (char *)(uintptr_t)"x";
		labels[i] = &pairs[i];
	}
	update.n_labels = 33;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &update), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/labels");
	update.n_labels = 32; /* as many as fit, and then one more */
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &update), AG_OK);
	labels[0] = &pairs[32];
	update.n_labels = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &update), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/labels");
	pairs[32].key = (char *)(uintptr_t)"Name";
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &update), AG_INVALID_FIELD);
	/* When it may be used. */
	pairs[32].key = (char *)(uintptr_t)"name-1";
	pairs[32].value = NULL;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &update), AG_OK);
	pairs[32].key = (char *)(uintptr_t)"allowed_windows";
	for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
		pairs[32].value = (char *)(uintptr_t)hours[i].hours;
		operate(&f, AG_MSG_KEY_UPDATE, id, &update);
		assert_int_equal(f.err, hours[i].reason == NULL ? AG_OK : AG_INVALID_FIELD);
		assert_string_equal(f.reason_code, hours[i].reason == NULL ? "" : hours[i].reason);
	}
	/* A reason says something, and not too much. */
	memset(wide, 'x', 513);
	wide[513] = '\0';
	for (size_t i = 0; i < 2; i++) {
		why.reason = i == 0 ? (char *)(uintptr_t)"" : wide;
		assert_int_equal(operate(&f, AG_MSG_KEY_DEACTIVATE, id, &why), AG_INVALID_FIELD);
		assert_string_equal(f.field, "/reason");
	}
	fixture_free(&f);
}

/* Each change holds to the revision that its caller saw. */
static void
test_changes_of_another_revision(void **state)
{
	Ag__KeyCompromiseAsk compromise = AG__KEY_COMPROMISE_ASK__INIT;
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	compromise.reason = (char *)(uintptr_t)"a test";
	f.if_match = "\"7\"";
	assert_int_equal(operate(&f, AG_MSG_KEY_COMPROMISE, id, &compromise), AG_PRECONDITION_FAILED);
	f.if_match = "\"7\"";
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_PRECONDITION_FAILED);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	f.if_match = "\"7\"";
	assert_int_equal(destroy_key(&f, id, 604800), AG_PRECONDITION_FAILED);
	assert_int_equal(destroy_key(&f, id, 604800), AG_OK);
	f.if_match = "\"7\"";
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_CANCEL_DESTROY, id), AG_PRECONDITION_FAILED);
	assert_int_equal(read_key(&f, id)->revision, 3);
	fixture_free(&f);
}

static void
test_life(void **state)
{
	struct fixture f;
	Ag__ReasonAsk empty = AG__REASON_ASK__INIT;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), false);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_ILLEGAL_OPERATION);
	assert_string_equal(f.reason_code, "transition");
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	assert_int_equal(((const Ag__Key *)f.reply)->state, STATE(Active));
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_ILLEGAL_OPERATION);
	assert_int_equal(destroy_key(&f, id, 604800), AG_ILLEGAL_OPERATION);
	empty.reason = (char *)(uintptr_t)"";
	assert_int_equal(operate(&f, AG_MSG_KEY_DEACTIVATE, id, &empty), AG_INVALID_FIELD);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	assert_true(((const Ag__Key *)f.reply)->versions[0]->has_deactivated_at);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_ILLEGAL_OPERATION);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_OK);
	assert_true(((const Ag__Key *)f.reply)->frozen);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_ILLEGAL_OPERATION);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_UNFREEZE, id), AG_OK);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_COMPROMISE, id), AG_OK);
	assert_int_equal(read_key(&f, id)->state, STATE(Compromised));
	assert_int_equal(f.appends, 6);
	fixture_free(&f);
}

static void
test_rotate(void **state)
{
	struct fixture f;
	const Ag__Key *key;
	const char *id;
	unsigned appends;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	appends = f.appends;
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	assert_int_equal(f.appends, appends + 1); /* both versions in one fact */
	key = (const Ag__Key *)f.reply;
	assert_int_equal(key->version, 2);
	assert_int_equal(key->versions[0]->state, STATE(Deactivated));
	assert_int_equal(key->versions[1]->state, STATE(Active));
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_JWKS, id), AG_OK);
	assert_int_equal(((const Ag__JwksReply *)f.reply)->n_keys, 2);
	fixture_free(&f);
}

/* Two writers at once: the second finds the first one's change done. */
static void
test_races_are_serial(void **state)
{
	struct fixture f;
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	ask.reason = (char *)(uintptr_t)"race";
	fixture_send(&f, AG_MSG_KEY_DEACTIVATE, id, &ask);
	fixture_send(&f, AG_MSG_KEY_DEACTIVATE, id, &ask);
	fixture_settle(&f);
	assert_int_equal(f.outcomes, 3);
	assert_int_equal(f.err, AG_ILLEGAL_OPERATION); /* the second's */
	assert_int_equal(read_key(&f, id)->revision, 2);
	fixture_free(&f);
}

static void
test_destroy_has_a_window(void **state)
{
	struct fixture f;
	Ag__VerifyAsk verify = AG__VERIFY_ASK__INIT;
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	assert_int_equal(destroy_key(&f, id, 10), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/pending_window_s");
	assert_int_equal(destroy_key(&f, id, 604800), AG_OK);
	assert_int_equal(((const Ag__Key *)f.reply)->destroy_at,
	    ag_kit_now(f.keys) + INT64_C(604800000));
	verify.message_b64 = TEXT("m");
	verify.signature_b64 = TEXT("s");
	assert_int_equal(operate(&f, AG_MSG_KEY_VERIFY, id, &verify), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "pending_destruction");
	assert_int_equal(destroy_key(&f, id, 604800), AG_ILLEGAL_OPERATION);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_CANCEL_DESTROY, id), AG_OK);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_CANCEL_DESTROY, id), AG_ILLEGAL_OPERATION);
	fixture_advance(&f, INT64_C(604800000) + 1000);
	key = read_key(&f, id);
	assert_int_equal(key->state, STATE(Deactivated)); /* cancelled is cancelled */
	assert_int_equal(f.destroys, 0);
	fixture_free(&f);
}

static void
test_destroy_happens(void **state)
{
	struct fixture f;
	Ag__SignAsk sign = AG__SIGN_ASK__INIT;
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NO_WINDOW);
	id = new_key(&f, SPEC(EC_P256), true);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	assert_int_equal(destroy_key(&f, id, 3600), AG_OK);
	fixture_advance(&f, 3600 * 1000 - 500);
	assert_int_equal(read_key(&f, id)->state, STATE(Deactivated));
	f.rot_down = true; /* the root of trust is away at first */
	fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->state, STATE(Deactivated));
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_CANCEL_DESTROY, id), AG_ILLEGAL_OPERATION);
	f.rot_down = false;
	f.destroys = 0;
	fixture_advance(&f, 1000);
	key = read_key(&f, id);
	assert_int_equal(key->state, STATE(Destroyed));
	assert_int_equal(key->versions[0]->state, STATE(Destroyed));
	assert_false(key->has_destroy_at);
	assert_int_equal(f.destroys, 2); /* once a version */
	assert_non_null(f.event);
	assert_string_equal(f.event->operation, "key.destroyed");
	assert_string_equal(f.event->resource_id, id);
	fixture_advance(&f, 5000);
	assert_int_equal(f.destroys, 2);
	sign.message_b64 = TEXT("m");
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &sign), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "destroyed");
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_JWK, id), AG_INVALID_KEY_STATE);
	fixture_free(&f);
}

/* One version of a key that goes on. */
static void
test_destroy_one_version(void **state)
{
	struct fixture f;
	Ag__KeyDestroyAsk ask = AG__KEY_DESTROY_ASK__INIT;
	Ag__SignAsk sign = AG__SIGN_ASK__INIT;
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NO_WINDOW);
	id = new_key(&f, SPEC(EC_P256), true);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	ask.reason = (char *)(uintptr_t)"old";
	ask.has_version = ask.has_pending_window_s = true;
	ask.version = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_DESTROY, id, &ask), AG_ILLEGAL_OPERATION);
	ask.version = 9;
	assert_int_equal(operate(&f, AG_MSG_KEY_DESTROY, id, &ask), AG_ITEM_NOT_FOUND);
	ask.version = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_DESTROY, id, &ask), AG_OK);
	fixture_advance(&f, 1000);
	key = read_key(&f, id);
	assert_int_equal(key->state, STATE(Active));
	assert_int_equal(key->versions[0]->state, STATE(Destroyed));
	assert_int_equal(f.destroys, 1);
	sign.message_b64 = TEXT("m");
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &sign), AG_OK);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_JWKS, id), AG_OK);
	assert_int_equal(((const Ag__JwksReply *)f.reply)->n_keys, 1);
	fixture_free(&f);
}

static const char p256_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\n"
    "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
    "-----END PUBLIC KEY-----\n";

static void
test_import(void **state)
{
	struct fixture f;
	Ag__KeyImportAsk ask = AG__KEY_IMPORT_ASK__INIT;
	Ag__Usage__V usage = AG__USAGE__V__sign;
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NO_WINDOW);
	id = new_id(&f);
	ask.key_spec = SPEC(EC_P256);
	ask.public_key_pem = (char *)(uintptr_t)p256_pem;
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, id, &ask), AG_OK);
	key = (const Ag__Key *)f.reply;
	assert_string_equal(key->versions[0]->origin, "imported");
	assert_int_equal(key->n_usage, 1);
	assert_int_equal(key->usage[0], AG__USAGE__V__verify);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_ILLEGAL_OPERATION);
	assert_int_equal(f.generates, 0);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_PUBLIC, id), AG_OK);
	assert_string_equal(((const Ag__KeyPublicReply *)f.reply)->public_key_pem, p256_pem);
	/* refused */
	ask.usage = &usage;
	ask.n_usage = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	ask.n_usage = 0;
	ask.key_spec = SPEC(ED25519);
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/public_key_pem");
	ask.key_spec = SPEC(AES_256);
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

static void
test_import_hostile(void **state)
{
	static const char *const pems[] = { "", "-----BEGIN PUBLIC KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END PUBLIC KEY-----\n",
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" };
	struct fixture f;
	Ag__KeyImportAsk ask = AG__KEY_IMPORT_ASK__INIT;
	char twice[2 * sizeof(p256_pem)];

	fixture_new(&f, NULL);
	ask.key_spec = SPEC(EC_P256);
	for (size_t i = 0; i < sizeof(pems) / sizeof(pems[0]); i++) {
		ask.public_key_pem = (char *)(uintptr_t)pems[i];
		assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	}
	snprintf(twice, sizeof(twice), "%s%s", p256_pem, p256_pem);
	ask.public_key_pem = twice;
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

/* ---------------------------------------------------------- the responder */

static const Ag__ActReply *
act(struct fixture *f, const char *action, const char *id, const char *rec, ag_err *err)
{
	static Ag__ActReply copy;
	Ag__ActAsk ask = AG__ACT_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	ask.action = (char *)(uintptr_t)action;
	ask.tenant = (char *)(uintptr_t)"default";
	ask.target = (char *)(uintptr_t)id;
	ask.recommendation_id = (char *)(uintptr_t)rec;
	ask.cause_event_id = (char *)(uintptr_t)"evt_0190a000000070008000000000000001";
	ask.reason = (char *)(uintptr_t)"detected";
	env.has_corr = true;
	env.corr = 77;
	ag_kit_deliver(f->keys, AG_ROLE_RESPONDER, 0, AG_MSG_ACT_ASK, &env, &ask);
	for (;;) {
		if (ag_kit_journal(f->keys))
			continue;
		sent = ag_kit_next(f->keys);
		assert_non_null(sent);
		if (sent->to_role == AG_ROLE_ROT)
			fixture_ask_rot(f, sent);
		else if (sent->to_role == AG_ROLE_RESPONDER)
			break;
	}
	*err = sent->type == AG_MSG_ACT_REPLY ? AG_OK : (ag_err)sent->env->status;
	if (*err == AG_OK)
		copy = *(const Ag__ActReply *)sent->body;
	return &copy;
}

static void
test_responder_acts_once(void **state)
{
	static const struct {
		const char *action;
		int state, version;
		bool frozen;
	} cases[] = {
		{ "freeze_key", STATE(Active), 1, true },
		{ "rotate_key", STATE(Active), 2, false },
		{ "deactivate_key", STATE(Deactivated), 1, false },
	};
	struct fixture f;
	ag_err err;

	fixture_new(&f, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *id = new_key(&f, SPEC(EC_P256), true);
		const Ag__Key *key;

		assert_true(act(&f, cases[i].action, id, "rec_1", &err)->changed);
		assert_int_equal(err, AG_OK);
		assert_false(act(&f, cases[i].action, id, "rec_1", &err)->changed);
		assert_int_equal(err, AG_OK);
		key = read_key(&f, id);
		assert_int_equal(key->state, cases[i].state);
		assert_int_equal(key->version, cases[i].version);
		assert_int_equal(key->frozen, cases[i].frozen);
	}
	fixture_free(&f);
}

static void
test_responder_refused(void **state)
{
	struct fixture f;
	const char *id;
	ag_err err;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	act(&f, "destroy_key", id, "rec_1", &err);
	assert_int_equal(err, AG_INVALID_FIELD);
	act(&f, "freeze_key", "agt_0190a000000070008000000000000001", "rec_1", &err);
	assert_int_equal(err, AG_INVALID_FIELD);
	act(&f, "freeze_key", new_id(&f), "rec_1", &err);
	assert_int_equal(err, AG_ITEM_NOT_FOUND);
	fixture_free(&f);
}

/* What a root of trust is asked because of a request says whose it is, and so
 * does the outcome; what happens by itself is nobody's. */
static void
test_stamped(void **state)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	char first[80];
	struct ag_stamp said;
	struct fixture f;
	const char *id;

	fixture_new(&f, NO_WINDOW);
	id = new_id(&f);
	ask.key_spec = SPEC(EC_P256);
	assert_int_equal(operate(&f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	assert_int_equal(f.generates, 1);
	assert_string_equal(f.stamp, f.provenance);
	assert_true(ag_stamp_parse(f.stamp, &said));
	assert_false(said.approved);
	strcpy(first, f.stamp);
	f.stamp[0] = '\0';
	assert_int_equal(operate(&f, AG_MSG_KEY_READ, id, &(Ag__Nothing)AG__NOTHING__INIT), AG_OK);
	assert_string_equal(f.stamp, ""); /* nobody was asked */
	assert_string_not_equal(f.provenance, first);
	assert_int_equal(destroy_key(&f, id, 60), AG_OK);
	strcpy(f.stamp, "none yet");
	fixture_advance(&f, 60 * 1000);
	fixture_advance(&f, 1000);
	assert_int_equal(f.destroys, 1);
	assert_string_equal(f.stamp, "");
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamped),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_refuses),
		cmocka_unit_test(test_rot_away),
		cmocka_unit_test(test_read_is_of_the_tenant),
		cmocka_unit_test(test_honey_is_shown_to_its_holders),
		cmocka_unit_test(test_update_merges),
		cmocka_unit_test(test_changes_refused),
		cmocka_unit_test(test_changes_of_another_revision),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_rotate),
		cmocka_unit_test(test_races_are_serial),
		cmocka_unit_test(test_destroy_has_a_window),
		cmocka_unit_test(test_destroy_happens),
		cmocka_unit_test(test_destroy_one_version),
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_import_hostile),
		cmocka_unit_test(test_responder_acts_once),
		cmocka_unit_test(test_responder_refused),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
