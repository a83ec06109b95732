/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What facts make of a key: with memory refused at each place where it is asked
 * for, with facts that do not fit, and every move between states that there
 * is. Then what a change of labels and rotation may say.
 */
#include "keys_fixture.h"

#include <fold.h>

#define STATE(s) AG__KEY_STATE__V__##s

static unsigned fail_at, asked; /* the fail_at-th is refused; 0: none */

void *__real_ag_alloc(struct ag_ctx *ctx, size_t size);
void *__wrap_ag_alloc(struct ag_ctx *ctx, size_t size);
char *__real_ag_strdup(struct ag_ctx *ctx, const char *text);
char *__wrap_ag_strdup(struct ag_ctx *ctx, const char *text);

void *
__wrap_ag_alloc(struct ag_ctx *ctx, size_t size)
{
	return fail_at != 0 && ++asked == fail_at ? NULL :
	    __real_ag_alloc(ctx, size);
}

char *
__wrap_ag_strdup(struct ag_ctx *ctx, const char *text)
{
	return fail_at != 0 && ++asked == fail_at ? NULL :
	    __real_ag_strdup(ctx, text);
}

static struct fixture f;
static struct ag_ctx *ctx;

static int
setup(void **state)
{
	fixture_new(&f, NULL);
	ctx = ag_kit_ctx(f.keys);
	return 0;
}

static int
teardown(void **state)
{
	fixture_free(&f);
	return 0;
}

/* ------------------------------------------------------------------- facts */

static uint8_t der[] = { 0x30, 3, 2, 1, 7 };
static Ag__Pair tier, team;
static Ag__Pair *labels[2] = { &tier, &team };
static Ag__Rotation rotation;
static Ag__Usage__V usage[1] = { AG__USAGE__V__sign };
static Ag__KeyCreatedFact created;
static Ag__KeyVersionFact version;
static Ag__KeyUpdatedFact updated;
static Ag__KeyCountedFact counted;

static const struct {
	uint16_t type;
	const void *fact;
} story[] = {
	{ AG_MSG_KEY_CREATED_FACT, &created },
	{ AG_MSG_KEY_VERSION_FACT, &version },
	{ AG_MSG_KEY_UPDATED_FACT, &updated },
	{ AG_MSG_KEY_COUNTED_FACT, &counted },
};
enum { STORY = sizeof(story) / sizeof(story[0]) };

static void
tell(void)
{
	ag__pair__init(&tier);
	ag__pair__init(&team);
	tier.key = (char *)"tier";
	tier.value = (char *)"gold";
	team.key = (char *)"team";
	team.value = (char *)"blue";
	ag__rotation__init(&rotation);
	rotation.has_every_s = true;
	rotation.every_s = 100;
	ag__key_created_fact__init(&created);
	created.key_id = (char *)"key_1";
	created.alias = (char *)"alias-1";
	created.tenant = (char *)"default";
	created.rot = (char *)"software";
	created.created_by = (char *)"hum_1";
	created.key_spec = AG__KEY_SPEC__V__EC_P256;
	created.origin = (char *)"generated";
	created.usage = usage;
	created.n_usage = 1;
	created.labels = labels;
	created.n_labels = 2;
	created.rotation = &rotation;
	created.active = true;
	created.has_public_key_der = true;
	created.public_key_der = (ProtobufCBinaryData){ sizeof(der), der };
	created.at = 1000;
	ag__key_version_fact__init(&version);
	version.key_id = created.key_id;
	version.version = 2;
	version.has_public_key_der = true;
	version.public_key_der = created.public_key_der;
	version.by = (char *)"hum_2";
	version.at = 2000;
	ag__key_updated_fact__init(&updated);
	updated.key_id = created.key_id;
	updated.labels = labels;
	updated.n_labels = 1;
	updated.rotation = &rotation;
	updated.at = 3000;
	ag__key_counted_fact__init(&counted);
	counted.key_id = created.key_id;
	counted.version = 2;
	counted.reserved_to = 64;
	counted.has_sealed_to = true;
	counted.sealed_to = 32;
}

/* The story's first n facts, as they would lie in the store. */
static Ag__KeyStored *
after(unsigned n)
{
	Ag__KeyStored *s = NULL;

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fold(ctx, &s, story[i].type, story[i].fact,
		    i + 1), AG_OK);
	return s;
}

static void
same(const Ag__KeyStored *a, const Ag__KeyStored *b)
{
	size_t len = ag__key_stored__get_packed_size(a);
	uint8_t *one = malloc(len), *two = malloc(len);

	assert_int_equal(ag__key_stored__get_packed_size(b), len);
	ag__key_stored__pack(a, one);
	ag__key_stored__pack(b, two);
	assert_memory_equal(one, two, len);
	free(one);
	free(two);
}

static void
test_the_story(void **state)
{
	Ag__KeyStored *s;

	tell();
	s = after(STORY);
	assert_string_equal(s->key->alias, "alias-1");
	assert_string_equal(s->key->created_by, "hum_1");
	assert_int_equal(s->key->n_versions, 2);
	assert_int_equal(s->key->version, 2);
	assert_int_equal(s->key->versions[0]->state, STATE(Deactivated));
	assert_int_equal(s->key->versions[0]->deactivated_at, 2000);
	assert_int_equal(s->key->versions[1]->state, STATE(Active));
	assert_int_equal(s->key->n_labels, 1);
	assert_int_equal(s->key->rotation->next_at, 2000 + 100 * 1000);
	assert_int_equal(s->key->revision, 3); /* counting is none */
	assert_int_equal(s->key->updated_at, 3000);
	assert_int_equal(s->seq, 4);
	assert_string_equal(s->rotated_by, "hum_2");
	assert_int_equal(s->counts[1]->reserved, 64);
	assert_int_equal(s->counts[0]->reserved, 0);
	assert_int_equal(s->public_key_der[1].len, sizeof(der));
	assert_false(s->key->honey);
	assert_false(s->material);
	fold_bound(s);
	assert_int_equal(s->key->versions[1]->operations, 64);
	assert_int_equal(s->counts[1]->sealed, 32);
}

/* Either the fact is refused for memory, or it says all that it says. */
static void
test_without_memory(void **state)
{
	enum { PLACES_MAX = 100 };

	tell();
	for (unsigned n = 0; n < STORY; n++) {
		Ag__KeyStored *want = after(n + 1);

		for (unsigned place = 1; ; place++) {
			Ag__KeyStored *s = after(n);
			ag_err err;

			assert_in_range(place, 1, PLACES_MAX);
			if (n == 3) /* as one that never counted */
				s->n_counts = 0;
			asked = 0;
			fail_at = place;
			err = fold(ctx, &s, story[n].type, story[n].fact, n + 1);
			fail_at = 0;
			if (asked < place) {
				assert_int_equal(err, AG_OK);
				same(s, want);
				assert_true(place > 1);
				break;
			}
			assert_int_equal(err, AG_NO_MEMORY);
			if (n == 0)
				assert_null(s);
		}
	}
}

static void
test_facts_that_do_not_fit(void **state)
{
	Ag__KeyStored *s = NULL;

	tell();
	for (unsigned n = 1; n < STORY; n++) {
		assert_int_equal(fold(ctx, &s, story[n].type, story[n].fact, 9),
		    AG_CORRUPT);
		assert_null(s);
	}
	s = after(1);
	assert_int_equal(fold(ctx, &s, AG_MSG_KEY_CREATED_FACT, &created, 9),
	    AG_CORRUPT);
	for (version.version = 0; version.version < 5; version.version++)
		if (version.version != 2)
			assert_int_equal(fold(ctx, &s, AG_MSG_KEY_VERSION_FACT,
			    &version, 9), AG_CORRUPT);
	for (counted.version = 0; counted.version < 4; counted.version += 2)
		assert_int_equal(fold(ctx, &s, AG_MSG_KEY_COUNTED_FACT, &counted,
		    9), AG_CORRUPT);
	assert_int_equal(fold(ctx, &s, AG_MSG_TENANT_FACT, &created, 9),
	    AG_CORRUPT);
	assert_int_equal(s->key->n_versions, 1);
	assert_int_equal(s->key->revision, 1);
	assert_null(fold_key_id("alias:default/a"));
	assert_null(fold_counted_id("key:key_1"));
	assert_string_equal(fold_key_id("key:key_1"), "key_1");
	assert_string_equal(fold_counted_id("counted:key_1"), "key_1");
	assert_null(fold_unpack(ctx, (const uint8_t *)"\xff\xff", 2));
}

/* Every pair of states: where the way leads, by the contract's graph; no way
 * leads back. One letter a state: p a d c x z, from PreActive on. */
static void
test_every_way(void **state)
{
	static const char letters[] = "padcxz";
	static const char *const leads[] = {
		/*     padcxz */
		/* p */ "papcxp",
		/* a */ "aadcaa",
		/* d */ "dddcxd",
		/* c */ "cccczc",
		/* x */ "xxxzxx",
		/* z */ "zzzzzz",
	};

	tell();
	for (int from = 0; from < 6; from++)
		for (int to = 0; to < 6; to++) {
			Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;
			Ag__KeyStored *s = after(1);
			Ag__KeyVersion *v = s->key->versions[0];
			int want = (int)(strchr(letters, leads[from][to]) -
			    letters);
			bool erased = from < 4 && want >= 4;

			v->state = (Ag__KeyState__V)(from + 1);
			fact.key_id = created.key_id;
			fact.state = (Ag__KeyState__V)(to + 1);
			fact.at = 77;
			assert_int_equal(fold(ctx, &s, AG_MSG_KEY_STATE_FACT,
			    &fact, 9), AG_OK);
			assert_int_equal(v->state, want + 1);
			assert_int_equal(s->key->state, want + 1);
			/* What is destroyed leaves no public half either. */
			assert_int_equal(v->has_destroyed_at, erased);
			/* What happened has its time, and only that. */
			assert_int_equal(v->has_deactivated_at, want != from &&
			    to == 2);
			assert_int_equal(v->has_compromised_at, want != from &&
			    to == 3);
			assert_int_equal(s->public_key_der[0].len, erased ? 0 :
			    sizeof(der));
		}
}

/* ----------------------------------------------------------------- changes */

static void
refused_at(ag_err err, const char *reason, const char *field)
{
	assert_int_equal(f.err, err);
	assert_string_equal(f.reason_code, reason);
	assert_string_equal(f.field, field);
}

static void
test_what_a_rotation_may_be(void **state)
{
	Ag__KeyUpdateAsk ask = AG__KEY_UPDATE_ASK__INIT;
	const char *id = new_key(&f, AG__KEY_SPEC__V__EC_P256, true);
	Ag__Rotation r = AG__ROTATION__INIT;

	ask.rotation = &r;
	r.has_after_operations = true; /* 0 */
	operate(&f, AG_MSG_KEY_UPDATE, id, &ask);
	refused_at(AG_INVALID_FIELD, "out_of_range",
	    "/rotation/after_operations");
	r = (Ag__Rotation)AG__ROTATION__INIT;
	r.has_every_s = true; /* 0 */
	operate(&f, AG_MSG_KEY_UPDATE, id, &ask);
	refused_at(AG_INVALID_FIELD, "out_of_range", "/rotation/every_s");
	r.every_s = INT64_C(10) * 366 * 86400 + 1;
	operate(&f, AG_MSG_KEY_UPDATE, id, &ask);
	refused_at(AG_INVALID_FIELD, "out_of_range", "/rotation/every_s");
	r.has_next_at = true;
	operate(&f, AG_MSG_KEY_UPDATE, id, &ask);
	refused_at(AG_PERMISSION_DENIED, "system_attribute",
	    "/rotation/next_at");
	assert_null(read_key(&f, id)->rotation);
	/* Each member alone is changed; the other stays. */
	r = (Ag__Rotation)AG__ROTATION__INIT;
	r.has_every_s = true;
	r.every_s = INT64_C(10) * 366 * 86400;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	r = (Ag__Rotation)AG__ROTATION__INIT;
	r.has_after_operations = true;
	r.after_operations = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	assert_int_equal(read_key(&f, id)->rotation->after_operations, 1);
	assert_int_equal(read_key(&f, id)->rotation->every_s,
	    INT64_C(10) * 366 * 86400);
}

static void
test_labels_are_bounded_together(void **state)
{
	enum { MAX = 32 };
	Ag__KeyUpdateAsk ask = AG__KEY_UPDATE_ASK__INIT;
	const char *id = new_key(&f, AG__KEY_SPEC__V__EC_P256, true);
	Ag__Pair pairs[MAX], one = AG__PAIR__INIT, *list[MAX], *last[1] = { &one };
	char names[MAX][8];

	for (unsigned i = 0; i < MAX; i++) {
		ag__pair__init(&pairs[i]);
		snprintf(names[i], sizeof(names[i]), "l%u", i);
		pairs[i].key = names[i];
		pairs[i].value = (char *)"v";
		list[i] = &pairs[i];
	}
	ask.labels = list;
	ask.n_labels = MAX;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	one.key = (char *)"one-more";
	one.value = (char *)"v";
	ask.labels = last;
	ask.n_labels = 1;
	operate(&f, AG_MSG_KEY_UPDATE, id, &ask);
	refused_at(AG_INVALID_FIELD, "out_of_range", "/labels");
	assert_int_equal(read_key(&f, id)->n_labels, MAX);
	/* In the place of one of them, it may come. */
	one.key = (char *)"l0";
	one.value = NULL;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, id, &ask), AG_OK);
	assert_int_equal(read_key(&f, id)->n_labels, MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_story),
		cmocka_unit_test(test_without_memory),
		cmocka_unit_test(test_facts_that_do_not_fit),
		cmocka_unit_test(test_every_way),
		cmocka_unit_test(test_what_a_rotation_may_be),
		cmocka_unit_test(test_labels_are_bounded_together),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
