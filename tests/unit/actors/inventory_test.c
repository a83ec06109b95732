/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of keys: what is in it, who sees what, and paging while others
 * write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/kit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_inventory;

static uint64_t seq;
static Ag__KeyListReply *page;
static ag_err err;
static char reason[64];

static void
push(struct ag_kit *kit, const char *id, uint64_t version, uint16_t type, const void *fact)
{
	Ag__JournalRecord r = AG__JOURNAL_RECORD__INIT;
	char stream[64];

	snprintf(stream, sizeof(stream), "key:%s", id);
	r.seq = ++seq;
	r.stream = stream;
	r.version = version;
	r.type = type;
	r.event.len = protobuf_c_message_get_packed_size(fact);
	r.event.data = malloc(r.event.len + 1);
	protobuf_c_message_pack(fact, r.event.data);
	r.committed_at = 1;
	r.tenant = (char *)(uintptr_t)"system";
	r.author = (char *)(uintptr_t)"keys.0";
	ag_kit_deliver(kit, AG_ROLE_JOURNAL, 0, AG_MSG_JOURNAL_RECORD_EVENT, NULL, &r);
	free(r.event.data);
}

struct add {
	const char *tenant, *alias, *label;
	bool honey;
	int spec;
};

static const char *
id_of(unsigned i)
{
	static char id[AG_ID_SIZE];

	snprintf(id, sizeof(id), "key_0190a0000000700080000000%08x", i);
	return id;
}

static void
add(struct ag_kit *kit, unsigned i, const struct add *a)
{
	Ag__KeyCreatedFact f = AG__KEY_CREATED_FACT__INIT;
	Ag__Usage__V usage[] = { AG__USAGE__V__sign, AG__USAGE__V__verify };
	Ag__Pair pair = AG__PAIR__INIT, *labels[] = { &pair };

	f.key_id = (char *)(uintptr_t)id_of(i);
	f.tenant = (char *)(uintptr_t)(a->tenant == NULL ? "default" : a->tenant);
	f.alias = (char *)(uintptr_t)a->alias;
	f.key_spec = (Ag__KeySpec__V)(a->spec == 0 ? AG__KEY_SPEC__V__EC_P256 : a->spec);
	f.usage = usage;
	f.n_usage = 2;
	pair.key = (char *)(uintptr_t)"env";
	pair.value = (char *)(uintptr_t)a->label;
	f.labels = labels;
	f.n_labels = a->label != NULL;
	f.rot = (char *)(uintptr_t)"software";
	f.origin = (char *)(uintptr_t)"generated";
	f.has_honey = f.honey = a->honey;
	f.at = 1;
	push(kit, f.key_id, 1, AG_MSG_KEY_CREATED_FACT, &f);
}

struct who {
	const char *tenant, *scope;
	bool sees_honey;
};

static void
list(struct ag_kit *kit, const struct who *who, const Ag__KeyListAsk *ask)
{
	Ag__Grant grant = AG__GRANT__INIT;
	char *scopes[1] = { (char *)(uintptr_t)who->scope };
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *o;

	grant.tenant = (char *)(uintptr_t)who->tenant;
	grant.has_read_all = true;
	grant.read_all = who->scope == NULL;
	grant.read_scopes = scopes;
	grant.n_read_scopes = who->scope != NULL;
	grant.has_sees_honey = true;
	grant.sees_honey = who->sees_honey;
	ag_kit_operate(kit, AG_MSG_KEY_LIST, &grant, ask);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	o = sent->body;
	if (page != NULL)
		ag__key_list_reply__free_unpacked(page, NULL);
	page = NULL;
	err = o->refusal == NULL ? AG_OK : (ag_err)o->refusal->err;
	snprintf(reason, sizeof(reason), "%s", o->refusal == NULL ||
	    o->refusal->reason_code == NULL ? "" : o->refusal->reason_code);
	if (o->has_reply)
		page = ag__key_list_reply__unpack(NULL, o->reply.len, o->reply.data);
}

static const struct who everybody = { NULL, NULL, false };

static void
test_filters(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_inventory, NULL, NULL);
	Ag__KeyListAsk ask = AG__KEY_LIST_ASK__INIT;
	Ag__KeyStateFact active = AG__KEY_STATE_FACT__INIT;

	seq = 0;
	add(kit, 1, &(struct add){ .alias = "invoice-1", .label = "prod" });
	add(kit, 2, &(struct add){ .alias = "invoice-2", .label = "test" });
	add(kit, 3, &(struct add){ .alias = "other", .spec = AG__KEY_SPEC__V__AES_256 });
	active.key_id = (char *)(uintptr_t)id_of(2);
	active.state = AG__KEY_STATE__V__Active;
	active.at = 5;
	push(kit, id_of(2), 2, AG_MSG_KEY_STATE_FACT, &active);
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 3);
	assert_int_equal(page->items[0]->n_versions, 0);
	assert_null(page->next_cursor);
	ask.has_state = true;
	ask.state = AG__KEY_STATE__V__Active;
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 1);
	assert_string_equal(page->items[0]->alias, "invoice-2");
	assert_int_equal(page->items[0]->revision, 2);
	ask.has_state = false;
	ask.label = (char *)(uintptr_t)"env=prod";
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 1);
	ask.label = (char *)(uintptr_t)"env";
	list(kit, &everybody, &ask);
	assert_int_equal(err, AG_INVALID_FIELD);
	ask.label = NULL;
	ask.alias_prefix = (char *)(uintptr_t)"invoice-";
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 2);
	ask.alias_prefix = NULL;
	ask.has_key_spec = true;
	ask.key_spec = AG__KEY_SPEC__V__AES_256;
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 1);
	ask.has_key_spec = false;
	ask.has_usage = true;
	ask.usage = AG__USAGE__V__decrypt;
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 0);
	ask.has_usage = false;
	ask.has_limit = true;
	ask.limit = 0;
	list(kit, &everybody, &ask);
	assert_int_equal(err, AG_INVALID_FIELD);
	ask.limit = 1001;
	list(kit, &everybody, &ask);
	assert_int_equal(err, AG_INVALID_FIELD);
	ag_kit_free(&kit);
}

static void
test_who_sees_what(void **state)
{
	static const struct {
		struct who who;
		size_t count;
	} cases[] = {
		{ { NULL, NULL, false }, 2 },
		{ { NULL, NULL, true }, 3 },
		{ { "other", NULL, false }, 1 },
		{ { "default2", NULL, false }, 0 },
		{ { "defaul", NULL, false }, 0 },
		{ { NULL, "key:one:read", false }, 1 },
		{ { NULL, "key:label=env=prod:*", false }, 1 },
		{ { NULL, "key:one:sign", false }, 0 },
		{ { NULL, "agent:*:read", false }, 0 },
		{ { NULL, "no scope", false }, 0 },
	};
	struct ag_kit *kit = ag_kit_new(&ag_actor_inventory, NULL, NULL);
	Ag__KeyListAsk ask = AG__KEY_LIST_ASK__INIT;

	seq = 0;
	add(kit, 1, &(struct add){ .alias = "one" });
	add(kit, 2, &(struct add){ .alias = "two", .label = "prod" });
	add(kit, 3, &(struct add){ .alias = "bait", .honey = true });
	add(kit, 4, &(struct add){ .alias = "one", .tenant = "other" });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		list(kit, &cases[i].who, &ask);
		assert_int_equal(page->n_items, cases[i].count);
		for (size_t k = 0; k < page->n_items; k++)
			assert_int_equal(page->items[k]->has_honey,
			    cases[i].who.sees_honey && page->items[k]->honey);
	}
	ag_kit_free(&kit);
}

/* 10,000 keys in pages, while a writer changes and adds keys. */
static void
test_pages_while_others_write(void **state)
{
	enum { N = 10000 };
	struct ag_kit *kit = ag_kit_new(&ag_actor_inventory, NULL, NULL);
	Ag__KeyListAsk ask = AG__KEY_LIST_ASK__INIT;
	char *seen = calloc(1, N + 1000), *cursor = NULL;
	unsigned next = N, pages = 0;

	seq = 0;
	for (unsigned i = 0; i < N; i++)
		add(kit, i, &(struct add){ 0 });
	ask.has_limit = true;
	ask.limit = 333;
	do {
		Ag__KeyFrozenFact frozen = AG__KEY_FROZEN_FACT__INIT;

		ask.cursor = cursor;
		list(kit, &everybody, &ask);
		assert_int_equal(err, AG_OK);
		for (size_t k = 0; k < page->n_items; k++) {
			unsigned i = (unsigned)strtoul(page->items[k]->id + 28, NULL, 16);

			assert_int_equal(seen[i], 0);
			seen[i] = 1;
		}
		free(cursor);
		cursor = page->next_cursor == NULL ? NULL : strdup(page->next_cursor);
		frozen.key_id = (char *)(uintptr_t)id_of(pages * 333 + 5);
		frozen.frozen = true;
		frozen.at = 9;
		push(kit, frozen.key_id, 2, AG_MSG_KEY_FROZEN_FACT, &frozen);
		add(kit, next++, &(struct add){ 0 });
		pages++;
	} while (cursor != NULL && pages < 40);
	assert_null(cursor);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
	free(seen);
	ag_kit_free(&kit);
}

static void
test_cursors(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_inventory, NULL, NULL);
	Ag__KeyListAsk ask = AG__KEY_LIST_ASK__INIT;
	struct who other = { "other", NULL, false };
	char cursor[256];

	seq = 0;
	for (unsigned i = 0; i < 5; i++)
		add(kit, i, &(struct add){ .alias = i == 0 ? "a" : NULL });
	ask.has_limit = true;
	ask.limit = 2;
	list(kit, &everybody, &ask);
	assert_non_null(page->next_cursor);
	snprintf(cursor, sizeof(cursor), "%s", page->next_cursor);
	ask.cursor = cursor;
	ask.limit = 3; /* another page size is the same list */
	list(kit, &everybody, &ask);
	assert_int_equal(page->n_items, 3);
	assert_null(page->next_cursor);
	list(kit, &other, &ask);
	assert_int_equal(err, AG_INVALID_FIELD);
	assert_string_equal(reason, "bad_cursor");
	ask.has_key_spec = true;
	ask.key_spec = AG__KEY_SPEC__V__EC_P256;
	list(kit, &everybody, &ask);
	assert_string_equal(reason, "bad_cursor");
	ask.has_key_spec = false;
	for (size_t i = 0; cursor[i] != '\0'; i++) {
		char was = cursor[i];

		cursor[i] = was == 'A' ? 'B' : 'A';
		list(kit, &everybody, &ask);
		assert_string_equal(reason, "bad_cursor");
		cursor[i] = was;
	}
	ask.cursor = (char *)(uintptr_t)"";
	list(kit, &everybody, &ask);
	assert_string_equal(reason, "bad_cursor");
	ask.cursor = cursor;
	ag_kit_advance(kit, 3600 * 1000 + 1);
	list(kit, &everybody, &ask);
	assert_string_equal(reason, "bad_cursor");
	ag_kit_free(&kit);
}

static int
drop_page(void **state)
{
	if (page != NULL)
		ag__key_list_reply__free_unpacked(page, NULL);
	page = NULL;
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_filters, drop_page),
		cmocka_unit_test_teardown(test_who_sees_what, drop_page),
		cmocka_unit_test_teardown(test_pages_while_others_write, drop_page),
		cmocka_unit_test_teardown(test_cursors, drop_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
