/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_log.h"
#include "history/history.h"

#include <aegis/merkle.h>
#include <aegis/seglog.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

extern const struct ag_actor ag_actor_history;

enum { EVENTS = 3000 };

struct fixture {
	char dir[64];
	struct audit_log log;
	struct ag_kit *kit;
	uint64_t head;
};

/* 3,000 events: every tenth is of tenant "other", every hundredth of "default"
 * is denied and by the agent. One log for all tests; they only read it. */
static int
make_log(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char *chain_ids[] = { (char *)"hum_01890000000070008000000000000001",
		(char *)"agt_01890000000070008000000000000005" };
	Ag__Link links[2], *chain[2] = { &links[0], &links[1] };
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	strcpy(f->dir, "/tmp/aegis-history-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return 1;
	for (unsigned i = 0; i < 2; i++) {
		ag__link__init(&links[i]);
		links[i].id = chain_ids[i];
		links[i].kind = i == 0 ? AG__KIND__V__human : AG__KIND__V__agent;
		links[i].name = (char *)(i == 0 ? "alice" : "batch");
	}
	refusal.err = AG_PERMISSION_DENIED;
	refusal.reason_code = (char *)"scope_missing";
	audit_log_open(&f->log, f->dir, NULL);
	for (unsigned i = 1; i <= EVENTS; i++) {
		Ag__OutcomeEvent o;
		Ag__Grant g;

		audit_log_grant(&f->log, &g, i % 10 == 0 ? "other" : "default");
		audit_log_outcome(&o);
		if (i % 100 == 1) {
			g.actor_id = chain_ids[1];
			g.has_actor_kind = true;
			g.actor_kind = AG__KIND__V__agent;
			g.chain = chain;
			g.n_chain = 2;
			o.outcome = AG__OUTCOME_KIND__V__denied;
			o.refusal = &refusal;
		}
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		if (i % 100 == 0)
			ag_kit_advance(f->log.kit, 10);
		audit_log_rot(&f->log);
		if (i % 333 == 0) /* heads of all sizes */
			audit_log_sign(&f->log);
	}
	audit_log_sign(&f->log);
	audit_log_close(&f->log);
	*state = f;
	return 0;
}

static int
drop_log(void **state)
{
	struct fixture *f = *state;
	char command[128];

	EVP_PKEY_free(f->log.key);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	free(f);
	return system(command);
}

static int
setup(void **state)
{
	struct fixture *f = *state;

	f->head = EVENTS;
	f->kit = ag_kit_new(&ag_actor_history, NULL, f->dir);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	ag_kit_free(&f->kit);
	return 0;
}

/* Plays audit until a message of this type comes. */
static const struct ag_kit_sent *
wait_for(struct fixture *f, uint16_t type)
{
	Ag__AuditPullReply reply = AG__AUDIT_PULL_REPLY__INIT;
	const struct ag_kit_sent *sent;

	reply.head_pos = f->head;
	for (unsigned i = 0; i < 200; i++) {
		while ((sent = ag_kit_next(f->kit)) != NULL) {
			if (sent->type == type)
				return sent;
			if (sent->type != AG_MSG_AUDIT_PULL_ASK)
				continue;
			reply.next_pos = ((const Ag__AuditPullAsk *)sent->body)->from_pos;
			ag_kit_answer(f->kit, sent, AG_MSG_AUDIT_PULL_REPLY, &reply);
		}
		ag_kit_advance(f->kit, 1);
	}
	return NULL;
}

static const Ag__OutcomeEvent *
outcome(struct fixture *f, uint16_t op, const char *tenant, const char *id,
    const void *body)
{
	const struct ag_kit_sent *sent;
	Ag__Grant g = AG__GRANT__INIT;

	g.tenant = (char *)tenant;
	g.resource_id = (char *)id;
	ag_kit_operate(f->kit, op, &g, body);
	sent = wait_for(f, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	return sent->body;
}

static void *
answer(struct fixture *f, uint16_t op, const char *tenant, const char *id,
    const void *body)
{
	const Ag__OutcomeEvent *o = outcome(f, op, tenant, id, body);
	void *reply;

	if (o->refusal != NULL)
		fail_msg("refused: %s", ag_err_row((ag_err)o->refusal->err)->name);
	reply = protobuf_c_message_unpack(ag_operation_find(op)->reply, NULL,
	    o->reply.len, o->reply.data);
	assert_non_null(reply);
	return reply;
}

static unsigned
refused(struct fixture *f, uint16_t op, const char *id, const void *body)
{
	const Ag__OutcomeEvent *o = outcome(f, op, "default", id, body);

	return o->refusal == NULL ? 0 : o->refusal->err;
}

static Ag__AuditQueryReply *
query(struct fixture *f, const char *tenant, const Ag__AuditQueryAsk *ask)
{
	return answer(f, AG_MSG_AUDIT_QUERY, tenant, NULL, ask);
}

static void
free_reply(void *reply)
{
	protobuf_c_message_free_unpacked(reply, NULL);
}

static void
pages_down_and_up(void **state)
{
	struct fixture *f = *state;
	static const char *const orders[] = { "desc", "asc" };

	for (unsigned k = 0; k < 2; k++) {
		Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
		uint64_t seq = k == 0 ? 2701 : 0;
		char *cursor = NULL;
		unsigned total = 0;

		ask.order = (char *)orders[k];
		ask.has_limit = true;
		ask.limit = 999;
		do {
			Ag__AuditQueryReply *page;

			ask.cursor = cursor;
			page = query(f, "default", &ask);
			free(cursor);
			cursor = page->next_cursor == NULL ? NULL :
			    strdup(page->next_cursor);
			for (size_t i = 0; i < page->n_items; i++) {
				const Ag__Event *e = page->items[i];

				seq = k == 0 ? seq - 1 : seq + 1;
				assert_int_equal(e->seq, seq);
				assert_string_equal(e->tenant, "default");
				assert_true(e->has_hash_b64 && e->has_prev_hash_b64);
				/* Not for readers. */
				assert_null(e->author);
				assert_false(e->has_plane_n || e->has_recorded_us);
			}
			total += (unsigned)page->n_items;
			free_reply(page);
		} while (cursor != NULL);
		assert_int_equal(total, 2700);
	}
}

static void
hashes_link_across_pages(void **state)
{
	struct fixture *f = *state;
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	uint8_t prev[32] = { 0 };
	Ag__AuditQueryReply *page;

	/* "other" has every tenth event: its previous one is often far away. */
	ask.order = (char *)"asc";
	ask.has_limit = true;
	ask.limit = 300;
	page = query(f, "other", &ask);
	assert_int_equal(page->n_items, 300);
	for (size_t i = 0; i < page->n_items; i++) {
		assert_memory_equal(page->items[i]->prev_hash_b64.data, prev, 32);
		memcpy(prev, page->items[i]->hash_b64.data, 32);
	}
	free_reply(page);
	ask.order = NULL;
	ask.limit = 1;
	page = query(f, "other", &ask);
	assert_memory_equal(page->items[0]->hash_b64.data, prev, 32);
	free_reply(page);
}

static size_t
count(struct fixture *f, Ag__AuditQueryAsk *ask)
{
	Ag__AuditQueryReply *page;
	size_t n;

	ask->has_limit = true;
	ask->limit = 1000;
	page = query(f, "default", ask);
	n = page->n_items;
	free_reply(page);
	return n;
}

static void
filters(void **state)
{
	struct fixture *f = *state;
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;

	ask.agent = (char *)"agt_01890000000070008000000000000005";
	assert_int_equal(count(f, &ask), 30);
	ag__audit_query_ask__init(&ask);
	ask.has_outcome = true;
	ask.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(count(f, &ask), 30);
	ask.code = (char *)"PermissionDenied";
	assert_int_equal(count(f, &ask), 30);
	ask.code = (char *)"Unauthenticated";
	assert_int_equal(count(f, &ask), 0);
	/* By name, with what was done for her by agents. */
	ag__audit_query_ask__init(&ask);
	ask.actor = (char *)"alice";
	ask.has_outcome = true;
	ask.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(count(f, &ask), 0);
	ask.has_include_agents = ask.include_agents = true;
	assert_int_equal(count(f, &ask), 30);
	ask.root = (char *)"alice";
	assert_int_equal(count(f, &ask), 30);
	ag__audit_query_ask__init(&ask);
	ask.key = (char *)"treasury-master";
	assert_int_equal(count(f, &ask), 0);
	ask.key = (char *)"invoice-2026";
	ask.operation = (char *)"key.sign";
	ask.plane = (char *)"rest";
	assert_int_equal(count(f, &ask), 1000);
	ag__audit_query_ask__init(&ask);
	ask.has_since = true;
	ask.since = ag_kit_now(f->kit) + 3600000;
	assert_int_equal(count(f, &ask), 0);
}

static void
refuses_bad_questions(void **state)
{
	struct fixture *f = *state;
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	Ag__AuditQueryReply *page;

	ask.has_limit = true;
	ask.limit = 0;
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	ask.limit = 1001;
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	ask.limit = 10;
	ask.order = (char *)"sideways";
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	ask.order = NULL;
	ask.cursor = (char *)"nonsense";
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	/* A cursor is good for its tenant and its filter only. */
	ask.cursor = NULL;
	page = query(f, "other", &ask);
	ask.cursor = page->next_cursor;
	assert_non_null(ask.cursor);
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	free_reply(page);
	ask.cursor = NULL;
	page = query(f, "default", &ask);
	ask.cursor = page->next_cursor;
	ask.operation = (char *)"key.sign";
	assert_int_equal(refused(f, AG_MSG_AUDIT_QUERY, NULL, &ask), AG_INVALID_FIELD);
	free_reply(page);
}

static char *
some_event(struct fixture *f, const char *tenant, uint64_t back)
{
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	Ag__AuditQueryReply *page;
	char *id;

	ask.has_limit = true;
	ask.limit = (uint32_t)back;
	page = query(f, tenant, &ask);
	id = strdup(page->items[page->n_items - 1]->event_id);
	free_reply(page);
	return id;
}

static void
reads_one_and_only_ones_own(void **state)
{
	struct fixture *f = *state;
	char *id = some_event(f, "default", 700), *foreign = some_event(f, "other", 3);
	Ag__Nothing nothing = AG__NOTHING__INIT;
	Ag__Event *e = answer(f, AG_MSG_AUDIT_READ, "default", id, &nothing);

	assert_string_equal(e->event_id, id);
	assert_int_equal(e->seq, 2001);
	free_reply(e);
	assert_int_equal(refused(f, AG_MSG_AUDIT_READ, foreign, &nothing),
	    AG_ITEM_NOT_FOUND);
	assert_int_equal(refused(f, AG_MSG_AUDIT_READ,
	    "evt_01890000000070008000000000000099", &nothing), AG_ITEM_NOT_FOUND);
	assert_int_equal(refused(f, AG_MSG_AUDIT_READ, "../secret", &nothing),
	    AG_ITEM_NOT_FOUND);
	free(id);
	free(foreign);
}

static void
proves_inclusion(void **state)
{
	struct fixture *f = *state;
	static const uint64_t backs[] = { 1, 2, 137, 444, 1000 };
	Ag__Nothing nothing = AG__NOTHING__INIT;

	for (unsigned i = 0; i < 5; i++) {
		char *id = some_event(f, "default", backs[i]);
		Ag__AuditProofReply *p = answer(f, AG_MSG_AUDIT_PROOF, "default", id,
		    &nothing);
		uint8_t path[64][32];

		assert_int_equal(p->index, 2700 - backs[i]);
		assert_int_equal(p->checkpoint->size, 2700);
		for (size_t k = 0; k < p->n_path_b64; k++)
			memcpy(path[k], p->path_b64[k].data, 32);
		assert_true(ag_merkle_proof_ok(p->leaf_hash_b64.data, p->index, p->size,
		    path, p->n_path_b64, p->checkpoint->root_b64.data));
		path[0][0] ^= 1;
		assert_false(ag_merkle_proof_ok(p->leaf_hash_b64.data, p->index,
		    p->size, path, p->n_path_b64, p->checkpoint->root_b64.data));
		free_reply(p);
		free(id);
	}
}

/* The sizes of the tenant's checkpoints, newest first; how many. */
static unsigned
checkpoint_sizes(struct fixture *f, uint64_t *out, unsigned max)
{
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;
	Ag__CheckpointListReply *page;
	unsigned n;

	ask.has_limit = true;
	ask.limit = max;
	page = answer(f, AG_MSG_AUDIT_CHECKPOINTS, "default", NULL, &ask);
	for (n = 0; n < page->n_items; n++)
		out[n] = page->items[n]->size;
	free_reply(page);
	return n;
}

static bool
consistent(const Ag__AuditConsistencyReply *r)
{
	uint8_t path[64][32];

	for (size_t i = 0; i < r->n_path_b64; i++)
		memcpy(path[i], r->path_b64[i].data, 32);
	return ag_merkle_consistent(r->first->size, r->first->root_b64.data,
	    r->second->size, r->second->root_b64.data,
	    (const uint8_t (*)[32])path, r->n_path_b64);
}

static void
proves_consistency(void **state)
{
	struct fixture *f = *state;
	Ag__AuditConsistencyAsk ask = AG__AUDIT_CONSISTENCY_ASK__INIT;
	Ag__AuditConsistencyReply *r;
	uint64_t sizes[100] = { 0 };
	unsigned n = checkpoint_sizes(f, sizes, 100);

	assert_true(n > 3);
	for (unsigned i = 0; i < n; i++) {
		ask.first = sizes[i];
		ask.has_second = i % 2 == 1;
		ask.second = sizes[i / 2];
		r = answer(f, AG_MSG_AUDIT_CONSISTENCY, "default", NULL, &ask);
		assert_int_equal(r->first->size, sizes[i]);
		assert_int_equal(r->second->size, sizes[ask.has_second ? i / 2 : 0]);
		assert_true(consistent(r));
		r->first->root_b64.data[0] ^= 1;
		assert_false(consistent(r));
		free_reply(r);
	}
	/* What no checkpoint covers, the wrong way round, another tenant's. */
	ask.has_second = false;
	ask.first = sizes[1] + 1;
	assert_int_equal(refused(f, AG_MSG_AUDIT_CONSISTENCY, NULL, &ask),
	    AG_ITEM_NOT_FOUND);
	ask.first = 0;
	assert_int_equal(refused(f, AG_MSG_AUDIT_CONSISTENCY, NULL, &ask),
	    AG_INVALID_FIELD);
	ask.first = sizes[0];
	ask.has_second = true;
	ask.second = sizes[1];
	assert_int_equal(refused(f, AG_MSG_AUDIT_CONSISTENCY, NULL, &ask),
	    AG_INVALID_FIELD);
	ask.second = UINT64_MAX;
	assert_int_equal(refused(f, AG_MSG_AUDIT_CONSISTENCY, NULL, &ask),
	    AG_ITEM_NOT_FOUND);
	assert_int_equal(outcome(f, AG_MSG_AUDIT_CONSISTENCY, "nobody", NULL,
	    &ask)->refusal->err, AG_ITEM_NOT_FOUND);
}

static void
lists_checkpoints_and_keys(void **state)
{
	struct fixture *f = *state;
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	Ag__CheckpointListReply *page;
	Ag__AuditKeyListReply *keys;
	uint64_t newest;

	ask.has_limit = true;
	ask.limit = 1;
	page = answer(f, AG_MSG_AUDIT_CHECKPOINTS, "default", NULL, &ask);
	assert_int_equal(page->n_items, 1);
	newest = page->items[0]->size;
	assert_int_equal(newest, 2700);
	assert_non_null(page->next_cursor);
	ask.cursor = strdup(page->next_cursor);
	free_reply(page);
	page = answer(f, AG_MSG_AUDIT_CHECKPOINTS, "default", NULL, &ask);
	assert_true(page->items[0]->size < newest);
	free_reply(page);
	free(ask.cursor);
	keys = answer(f, AG_MSG_AUDIT_PUBLIC_KEY, "default", NULL, &nothing);
	assert_int_equal(keys->n_items, 1);
	assert_string_equal(keys->items[0]->key_id, "checkpoint-1");
	assert_int_equal(keys->items[0]->from_seq, 1);
	assert_memory_equal(keys->items[0]->public_key_pem, "-----BEGIN", 10);
	free_reply(keys);
}

static void
open_stream(struct fixture *f, Ag__Grant *g, uint64_t from_seq)
{
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;

	ag__grant__init(g);
	g->n = 500;
	ask.has_from_seq = from_seq != 0;
	ask.from_seq = from_seq;
	ag_kit_operate(f->kit, AG_MSG_AUDIT_STREAM, g, &ask);
	assert_non_null(wait_for(f, AG_MSG_OUTCOME_EVENT));
}

static void
give_credit(struct fixture *f, uint32_t events)
{
	Ag__StreamCreditOrder order = AG__STREAM_CREDIT_ORDER__INIT;

	order.stream = 500;
	order.boot = 1;
	order.events = events;
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, 0, AG_MSG_STREAM_CREDIT_ORDER, NULL,
	    &order);
}

static void
streams_against_credit(void **state)
{
	struct fixture *f = *state;
	const struct ag_kit_sent *sent;
	Ag__Grant g;

	open_stream(f, &g, 2691);
	assert_null(wait_for(f, AG_MSG_STREAM_ITEM_EVENT)); /* no credit yet */
	give_credit(f, 5);
	for (uint64_t seq = 2691; seq < 2696; seq++) {
		const Ag__StreamItemEvent *item;

		sent = wait_for(f, AG_MSG_STREAM_ITEM_EVENT);
		assert_non_null(sent);
		item = sent->body;
		assert_int_equal(item->stream, 500);
		assert_int_equal(item->event->seq, seq);
	}
	assert_null(wait_for(f, AG_MSG_STREAM_ITEM_EVENT));
	give_credit(f, 100);
	for (unsigned i = 0; i < 5; i++)
		assert_non_null(wait_for(f, AG_MSG_STREAM_ITEM_EVENT));
	assert_null(wait_for(f, AG_MSG_STREAM_ITEM_EVENT));
}

/* Found by a stranger: what a page takes was taken, and did nothing. */
static void
a_stream_takes_no_page(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *order, *field; bool limit; } bad[] = {
		{ "zz", "?order", false }, { "desc", "?order", false },
		{ NULL, "?limit", true },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
		const struct ag_kit_sent *sent;
		const Ag__OutcomeEvent *out;
		Ag__Grant g = AG__GRANT__INIT;

		g.n = 500;
		ask.order = (char *)bad[i].order;
		ask.has_limit = bad[i].limit;
		ag_kit_operate(f->kit, AG_MSG_AUDIT_STREAM, &g, &ask);
		assert_non_null(sent = wait_for(f, AG_MSG_OUTCOME_EVENT));
		out = sent->body;
		assert_int_equal(out->refusal->err, AG_INVALID_FIELD);
		assert_string_equal(out->refusal->field, bad[i].field);
	}
}

static void
closes_a_stream_that_lags(void **state)
{
	struct fixture *f = *state;
	const Ag__StreamItemEvent *item;
	const struct ag_kit_sent *sent;
	Ag__AuditPokeEvent poke = AG__AUDIT_POKE_EVENT__INIT;
	Ag__Grant g;

	f->head = 1000; /* the log is not longer yet */
	open_stream(f, &g, 0);
	give_credit(f, 1);
	assert_null(wait_for(f, AG_MSG_STREAM_ITEM_EVENT));
	f->head = 2500;
	poke.head_pos = f->head;
	ag_kit_deliver(f->kit, AG_ROLE_AUDIT, 0, AG_MSG_AUDIT_POKE_EVENT, NULL, &poke);
	sent = wait_for(f, AG_MSG_STREAM_ITEM_EVENT);
	assert_non_null(sent);
	item = sent->body;
	assert_int_equal(item->event->seq, 901);
	sent = wait_for(f, AG_MSG_STREAM_ITEM_EVENT);
	assert_non_null(sent);
	item = sent->body;
	assert_null(item->event);
	assert_int_equal(item->lagged_seq, 901);
}

static ag_err
stream_of(struct fixture *f, const char *tenant, uint64_t n)
{
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	const Ag__OutcomeEvent *outcome;
	Ag__Grant g = AG__GRANT__INIT;

	g.tenant = (char *)(uintptr_t)tenant;
	g.n = n;
	ag_kit_operate(f->kit, AG_MSG_AUDIT_STREAM, &g, &ask);
	outcome = wait_for(f, AG_MSG_OUTCOME_EVENT)->body;
	return outcome->refusal == NULL ? AG_OK : (ag_err)outcome->refusal->err;
}

static void
a_tenant_leaves_streams_to_others(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < STREAMS_MAX - STREAMS_LAST; i++)
		assert_int_equal(stream_of(f, "default", 600 + i), AG_OK);
	assert_int_equal(stream_of(f, "default", 600 + i), AG_UNAVAILABLE);
	for (i = 0; i < STREAMS_LAST; i++)
		assert_int_equal(stream_of(f, "other", 700 + i), AG_OK);
	assert_int_equal(stream_of(f, "third", 800), AG_UNAVAILABLE);
}

static void
says_503_without_audit(void **state)
{
	struct fixture *f = *state;
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	const struct ag_kit_sent *sent;
	Ag__Grant g = AG__GRANT__INIT;

	while (ag_kit_next(f->kit) != NULL)
		;
	ag_kit_operate(f->kit, AG_MSG_AUDIT_QUERY, &g, &ask);
	sent = ag_kit_find(f->kit, AG_MSG_AUDIT_PULL_ASK);
	assert_non_null(sent);
	ag_kit_answer_error(f->kit, sent, AG_UNAVAILABLE, NULL);
	sent = ag_kit_find(f->kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	assert_int_equal(((const Ag__OutcomeEvent *)sent->body)->refusal->err,
	    AG_UNAVAILABLE);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(pages_down_and_up),
		TEST(hashes_link_across_pages),
		TEST(filters),
		TEST(refuses_bad_questions),
		TEST(reads_one_and_only_ones_own),
		TEST(proves_inclusion),
		TEST(proves_consistency),
		TEST(lists_checkpoints_and_keys),
		TEST(streams_against_credit),
		TEST(a_stream_takes_no_page),
		TEST(closes_a_stream_that_lags),
		TEST(a_tenant_leaves_streams_to_others),
		TEST(says_503_without_audit),
	};

	return cmocka_run_group_tests(tests, make_log, drop_log);
}
