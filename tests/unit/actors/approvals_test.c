/* SPDX-License-Identifier: Apache-2.0 */
/* The approvals: every transition, who may decide, and that a yes is used up
 * before anything goes on. */
#include "approvals_fleet.h"

/* ------------------------------------------------------------------- state */

/* All 25: whoever waits may end in four ways, and nothing comes back. */
static void
test_transitions(void **state)
{
	for (unsigned from = 0; from < APPROVAL_STATES; from++)
		for (unsigned to = 0; to < APPROVAL_STATES; to++)
			assert_int_equal(approval_may_become(from, to),
			    from == APPROVAL_PENDING && to != APPROVAL_PENDING);
	for (unsigned i = 0; i < APPROVAL_STATES; i++) {
		assert_int_equal(approval_state_named(approval_state_name(i)), i);
		assert_false(approval_may_become(i, APPROVAL_STATES));
		assert_false(approval_may_become(APPROVAL_STATES, i));
	}
	assert_int_equal(approval_state_named("open"), APPROVAL_STATES);
	assert_int_equal(approval_state_named(NULL), APPROVAL_STATES);
	assert_string_equal(approval_state_name(APPROVAL_STATES), "unknown");
}

/* -------------------------------------------------------------------- tests */

static void
test_once(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	struct end end = decrypt(kit, "a", NULL);
	char id[AG_ID_SIZE];

	assert_int_equal(end.err, AG_APPROVAL_REQUIRED);
	assert_string_equal(end.reason, "pending");
	assert_true(end.appended);
	strcpy(id, end.id);
	end = decrypt(kit, "a", NULL); /* the same question */
	assert_string_equal(end.id, id);
	assert_false(end.appended);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "pending");
	end = decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	assert_string_equal(end.state, "approved");
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "approved");
	EXPECT(decrypt(kit, "b", id), AG_APPROVAL_REQUIRED, "mismatch");
	EXPECT(decrypt(kit, "a", "apr_" HEX "f"), AG_APPROVAL_REQUIRED, "unknown");
	end = decrypt(kit, "a", id);
	assert_true(end.passed && end.appended);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "used");
	ag_kit_free(&kit);
}

/* Nothing goes on before the journal has the use; what it refused is no use. */
static void
test_used_first(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	struct end end = decrypt(kit, "a", NULL);
	const struct ag_kit_sent *sent;
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	char id[AG_ID_SIZE];
	Ag__Grant g;

	strcpy(id, end.id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	ask.ciphertext_b64.data = (uint8_t *)"a";
	ask.ciphertext_b64.len = 1;
	from_agent(&g, id);
	for (unsigned i = 0; i < 2; i++) /* two at once: one is asked of the journal */
		ag_kit_operate(kit, AG_MSG_KEY_DECRYPT, &g, &ask);
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_JOURNAL_APPEND_ASK);
	assert_false(((const Ag__JournalAppendAsk *)sent->body)->has_outcome);
	ag_kit_answer_error(kit, sent, AG_CONFLICT, NULL);
	end = play(kit); /* the first was refused, the second had its turn */
	assert_true(end.passed);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "used");
	ag_kit_free(&kit);
}

/* Nobody agrees with what they issued; nor does it help to issue it after. */
static void
test_behind(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	char id[AG_ID_SIZE];

	behind[0] = alice;
	strcpy(id, decrypt(kit, "a", NULL).id);
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads"),
	    AG_PERMISSION_DENIED, "own_request");
	assert_string_equal(decide(kit, AG_MSG_APPROVAL_APPROVE, id, dora,
	    "leads").state, "approved");
	behind[0] = dora;
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "changed");
	behind[0] = NULL;
	assert_true(decrypt(kit, "a", id).passed);
	ag_kit_free(&kit);
}

static void
test_who_decides(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	struct end end = decrypt(kit, "a", NULL);
	char id[AG_ID_SIZE];

	strcpy(id, end.id);
	for (unsigned i = 0; i < 2; i++) {
		uint16_t op = i == 0 ? AG_MSG_APPROVAL_APPROVE :
		    AG_MSG_APPROVAL_DENY;

		EXPECT(decide(kit, op, id, root, "leads"), AG_PERMISSION_DENIED,
		    "own_request");
		EXPECT(decide(kit, op, id, agent, "leads"), AG_PERMISSION_DENIED,
		    "not_an_approver");
		EXPECT(decide(kit, op, id, alice, "other"), AG_PERMISSION_DENIED,
		    "not_an_approver");
		EXPECT(decide(kit, op, "apr_1", alice, "leads"),
		    AG_ITEM_NOT_FOUND, "");
		EXPECT(decide(kit, op, "apr_" HEX "f", alice, "leads"),
		    AG_ITEM_NOT_FOUND, "");
	}
	EXPECT(decide(kit, AG_MSG_APPROVAL_CANCEL, id, alice, "leads"),
	    AG_PERMISSION_DENIED, "not_own_request");
	end = decide(kit, AG_MSG_APPROVAL_DENY, id, dora, "leads");
	assert_string_equal(end.state, "denied");
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads"),
	    AG_ILLEGAL_OPERATION, "transition");
	EXPECT(decide(kit, AG_MSG_APPROVAL_CANCEL, id, root, ""),
	    AG_ILLEGAL_OPERATION, "transition");
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "denied");
	ag_kit_free(&kit);
}

/* Two groups, one with two people; nobody counts twice. */
static void
test_quorum(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	char id[AG_ID_SIZE];
	struct end end;

	need(0, "leads", 2);
	end = decrypt(kit, "a", NULL);
	strcpy(id, end.id);
	assert_string_equal(decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice,
	    "leads").state, "pending");
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads"),
	    AG_CONFLICT, "");
	assert_string_equal(decide(kit, AG_MSG_APPROVAL_APPROVE, id, dora,
	    "leads").state, "approved");
	need(0, "leads", 3); /* more is wanted by now than they agreed to */
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "changed");
	need(0, "leads", 2);
	assert_true(decrypt(kit, "a", id).passed);
	ag_kit_free(&kit);
}

static void
test_time(void **state)
{
	struct ag_kit *kit = fleet("approvals: {ttl_s: 60, window_s: 10}\n");
	char id[AG_ID_SIZE], other[AG_ID_SIZE];
	struct end end;

	end = decrypt(kit, "a", NULL);
	strcpy(id, end.id);
	end = decrypt(kit, "b", NULL);
	strcpy(other, end.id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	ag_kit_advance(kit, 10000);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "expired");
	ag_kit_advance(kit, 50000);
	end = play(kit);
	assert_true(end.appended);
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, other, alice, "leads"),
	    AG_ILLEGAL_OPERATION, "transition");
	EXPECT(decrypt(kit, "b", other), AG_APPROVAL_REQUIRED, "expired");
	end = decrypt(kit, "b", NULL);
	assert_string_equal(end.reason, "pending");
	assert_string_not_equal(end.id, other);
	ag_kit_free(&kit);
}

/* A window counts as long as the policy still grants it, and no longer. */
static void
test_window(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	char id[AG_ID_SIZE];

	needs[0].has_window_s = 1;
	needs[0].window_s = 600;
	strcpy(id, decrypt(kit, "a", NULL).id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	assert_true(decrypt(kit, "a", id).passed);
	assert_true(decrypt(kit, "a", id).passed);
	needs[0].window_s = 599;
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "changed");
	need(0, "leads", 1); /* once, by now */
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "changed");
	assert_string_equal(decrypt(kit, "a", NULL).reason, "pending");
	ag_kit_free(&kit);
}

/* One request with an Idempotency-Key; the journal knows its answer, or not. */
static struct end
repeat(struct ag_kit *kit, const char *id, const Ag__JournalIdemReply *known)
{
	static uint8_t idem[32] = { 7 };
	const struct ag_kit_sent *sent;
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	Ag__Grant g;

	ask.ciphertext_b64.data = (uint8_t *)"a";
	ask.ciphertext_b64.len = 1;
	from_agent(&g, id);
	g.has_idem = 1;
	g.idem.data = idem;
	g.idem.len = sizeof(idem);
	ag_kit_operate(kit, AG_MSG_KEY_DECRYPT, &g, &ask);
	if (known != NULL) {
		sent = ag_kit_next(kit);
		assert_non_null(sent);
		assert_int_equal(sent->type, AG_MSG_JOURNAL_IDEM_ASK);
		ag_kit_answer(kit, sent, AG_MSG_JOURNAL_IDEM_REPLY, known);
	}
	return play(kit);
}

/* A repeat goes on to its answer, and only if there is one. */
static void
test_repeat(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	Ag__JournalIdemReply known = AG__JOURNAL_IDEM_REPLY__INIT;
	struct end end;
	char id[AG_ID_SIZE];

	strcpy(id, decrypt(kit, "a", NULL).id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	end = repeat(kit, id, NULL);
	assert_true(end.passed && end.appended);
	/* It died before there was an answer: that was the one use. */
	EXPECT(repeat(kit, id, &known), AG_APPROVAL_REQUIRED, "used");
	known.known = known.has_same = 1;
	EXPECT(repeat(kit, id, &known), AG_APPROVAL_REQUIRED, "used");
	known.same = 1;
	end = repeat(kit, id, &known);
	assert_true(end.passed && !end.appended);
	ag_kit_free(&kit);
}

/* Rows that nobody asked for do not hide what waits behind them. */
static void
test_many(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_approvals, NULL, NULL);
	Ag__ApprovalListAsk ask = AG__APPROVAL_LIST_ASK__INIT;
	Ag__Grant g = AG__GRANT__INIT;
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Link who = AG__LINK__INIT;
	char id[AG_ID_SIZE];
	uint8_t match[APPROVAL_MATCH] = { 1 };
	const struct ag_kit_sent *sent;
	size_t found = 0;

	who.id = agent;
	who.kind = AG__KIND__V__agent;
	a.id = id;
	a.operation = (char *)"key.decrypt";
	a.requester = &who;
	a.tenant = (char *)"default";
	a.has_match = 1;
	a.match.data = match;
	a.match.len = sizeof(match);
	for (unsigned i = 0; i < 4100; i++) {
		snprintf(id, sizeof(id), "apr_%032x", i);
		a.state = (char *)"pending";
		a.requested_at = a.expires_at = 1000 + i; /* 0 is the oldest */
		assert_int_equal(book_apply(ag_kit_ctx(kit), &a, 1), AG_OK);
		a.state = (char *)"cancelled";
		if (i > 0)
			assert_int_equal(book_apply(ag_kit_ctx(kit), &a, 2),
			    AG_OK);
	}
	ask.state = (char *)"pending";
	for (unsigned pages = 1; ask.cursor != NULL || pages == 1; pages++) {
		const Ag__OutcomeEvent *o;
		Ag__ApprovalListReply *page;

		g.actor_id = alice;
		g.has_actor_kind = 1;
		g.actor_kind = AG__KIND__V__human;
		g.has_approver = g.approver = 1;
		ag_kit_operate(kit, AG_MSG_APPROVAL_LIST, &g, &ask);
		free(ask.cursor);
		sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
		assert_non_null(sent);
		o = sent->body;
		assert_null(o->refusal);
		page = ag__approval_list_reply__unpack(NULL, o->reply.len,
		    o->reply.data);
		assert_non_null(page);
		found += page->n_items;
		ask.cursor = page->next_cursor == NULL ? NULL :
		    strdup(page->next_cursor);
		ag__approval_list_reply__free_unpacked(page, NULL);
		assert_true(pages < 9);
	}
	assert_int_equal(found, 1);
	ag_kit_free(&kit);
}

static void
test_caps(void **state)
{
	struct ag_kit *kit = fleet("approvals: {pending_max: 2}\n");

	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(decrypt(kit, "b", NULL), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(decrypt(kit, "c", NULL), AG_RATE_LIMITED, "account");
	ag_kit_free(&kit);
}

/* What needs nobody has no business here; nor does anything go on by a fact
 * that may not follow. */
static void
test_hostile(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Link who = AG__LINK__INIT;
	uint8_t match[APPROVAL_MATCH] = { 1 };
	Ag__Grant g;

	from_agent(&g, NULL);
	g.n_needs = 0;
	ag_kit_operate(kit, AG_MSG_KEY_DECRYPT, &g, &ask);
	EXPECT(play(kit), AG_GENERAL_FAILURE, "");
	who.id = agent;
	a.id = (char *)"apr_" HEX "f";
	a.state = (char *)"approved"; /* out of nothing */
	a.operation = (char *)"key.decrypt";
	a.requester = &who;
	a.tenant = (char *)"default";
	a.has_match = 1;
	a.match.data = match;
	a.match.len = sizeof(match);
	assert_int_equal(book_apply(ag_kit_ctx(kit), &a, 1), AG_OK);
	assert_null(book_find(ag_kit_ctx(kit), a.id));
	a.match.len = 3;
	assert_int_equal(book_apply(ag_kit_ctx(kit), &a, 1), AG_CORRUPT);
	assert_false(decide_met(&a)); /* nobody was asked: nobody allowed it */
	ag_kit_free(&kit);
}

/* ------------------------------------------------------------ broken glass */

/* All nine: what is open ends in two ways, and nothing opens again. */
static void
test_glass_transitions(void **state)
{
	for (unsigned from = 0; from < GLASS_STATES; from++)
		for (unsigned to = 0; to < GLASS_STATES; to++)
			assert_int_equal(glass_may_become(from, to),
			    from == GLASS_ACTIVE && to != GLASS_ACTIVE);
	for (unsigned i = 0; i < GLASS_STATES; i++)
		assert_int_equal(glass_state_named(glass_state_name(i)), i);
	assert_int_equal(glass_state_named("open"), GLASS_STATES);
	assert_false(glass_may_become(GLASS_ACTIVE, GLASS_STATES));
}

static struct end
break_glass(struct ag_kit *kit, char *who, char *thing, const char *why)
{
	Ag__BreakGlassOpenAsk ask = AG__BREAK_GLASS_OPEN_ASK__INIT;
	Ag__Grant g = AG__GRANT__INIT;

	ask.key = (char *)"payroll";
	ask.reason_code = (char *)"incident";
	ask.justification = (char *)why;
	g.actor_id = who;
	g.has_actor_kind = 1;
	g.actor_kind = strncmp(who, "hum", 3) == 0 ? AG__KIND__V__human :
	    AG__KIND__V__agent;
	g.resource_id = thing;
	ag_kit_operate(kit, AG_MSG_BREAK_GLASS_OPEN, &g, &ask);
	return play(kit);
}

#define WHY "the payroll run fails"

/* One at a time for a person; at each bound, to the millisecond. */
static void
test_glass_bounds(void **state)
{
	struct ag_kit *kit = fleet("break_glass: {cooldown_s: 10, user_quota: 2, "
	    "key_quota: 2, ttl_max_s: 60}\n");
	static char other[] = "key_" HEX "0";
	struct end end;

	EXPECT(break_glass(kit, agent, key, WHY), AG_PERMISSION_DENIED,
	    "not_for_agents");
	EXPECT(break_glass(kit, alice, key, "short"), AG_INVALID_FIELD,
	    "out_of_range");
	end = break_glass(kit, alice, key, WHY);
	assert_true(end.appended && end.err == AG_OK);
	EXPECT(break_glass(kit, alice, key, WHY), AG_CONFLICT, "");
	/* Another key is no way around the cool-down. */
	EXPECT(break_glass(kit, alice, other, WHY), AG_CONFLICT, "");
	ag_kit_advance(kit, 60 * 1000);
	assert_true(play(kit).appended); /* it is over */
	ag_kit_advance(kit, 9999);
	EXPECT(break_glass(kit, alice, other, WHY), AG_RATE_LIMITED, "account");
	ag_kit_advance(kit, 1);
	assert_int_equal(break_glass(kit, alice, other, WHY).err, AG_OK);
	ag_kit_advance(kit, 60 * 1000);
	assert_true(play(kit).appended);
	ag_kit_advance(kit, 10 * 1000); /* that was the second of two */
	EXPECT(break_glass(kit, alice, key, WHY), AG_RATE_LIMITED, "account");
	/* Dora has her own cool-down and quota, but the key's is shared. */
	assert_int_equal(break_glass(kit, dora, key, WHY).err, AG_OK);
	EXPECT(break_glass(kit, root, key, WHY), AG_RATE_LIMITED, "account");
	ag_kit_sleep(kit, 86400 * 1000 - 140 * 1000 - 1);
	play(kit);
	EXPECT(break_glass(kit, alice, key, WHY), AG_RATE_LIMITED, "account");
	ag_kit_advance(kit, 1);
	play(kit);
	assert_int_equal(break_glass(kit, alice, key, WHY).err, AG_OK);
	ag_kit_free(&kit);
}

static size_t
glass_count(struct ag_kit *kit)
{
	Ag__BreakGlassListAsk ask = AG__BREAK_GLASS_LIST_ASK__INIT;
	const struct ag_kit_sent *sent;
	Ag__Grant g = AG__GRANT__INIT;
	size_t n = SIZE_MAX;

	g.actor_id = alice;
	g.has_actor_kind = 1;
	g.actor_kind = AG__KIND__V__human;
	g.has_approver = g.approver = 1;
	ag_kit_operate(kit, AG_MSG_BREAK_GLASS_LIST, &g, &ask);
	while ((sent = ag_kit_next(kit)) != NULL) {
		const Ag__OutcomeEvent *o = sent->body;
		Ag__BreakGlassListReply *r;

		if (sent->type != AG_MSG_OUTCOME_EVENT || !o->has_reply)
			continue;
		r = ag__break_glass_list_reply__unpack(NULL, o->reply.len,
		    o->reply.data);
		assert_non_null(r);
		n = r->n_items;
		ag__break_glass_list_reply__free_unpacked(r, NULL);
	}
	return n;
}

/* The last one of a person for a key is never forgotten: its place in the journal
 * counts. Those before it are. */
static void
test_glass_purge(void **state)
{
	struct ag_kit *kit = fleet("approvals: {keep_s: 172800}\n"
	    "break_glass: {cooldown_s: 0, ttl_max_s: 60}\n");
	struct end first = break_glass(kit, alice, key, WHY), second;

	assert_int_equal(first.err, AG_OK);
	ag_kit_advance(kit, 61 * 1000);
	play(kit);
	ag_kit_sleep(kit, 3 * 86400 * 1000);
	play(kit);
	assert_int_equal(glass_count(kit), 1);
	second = break_glass(kit, alice, key, WHY);
	assert_true(second.appended && second.err == AG_OK);
	ag_kit_advance(kit, 61 * 1000);
	play(kit);
	assert_int_equal(glass_count(kit), 1);
	assert_int_equal(break_glass(kit, alice, key, WHY).err, AG_OK);
	ag_kit_free(&kit);
}

/* How often it was said that `id` is about to expire. */
static unsigned
reminded(struct ag_kit *kit, const char *id)
{
	const struct ag_kit_sent *sent;
	unsigned n = 0;

	for (;;) {
		while (ag_kit_journal(kit))
			;
		if ((sent = ag_kit_next(kit)) == NULL)
			return n;
		if (sent->type == AG_MSG_OUTCOME_EVENT) {
			const Ag__OutcomeEvent *o = sent->body;

			if (o->operation == NULL ||
			    strcmp(o->operation, "approval.remind") != 0)
				continue;
			assert_string_equal(o->resource_id, id);
			assert_true(ag_id_valid(o->event_id, "evt"));
			assert_string_not_equal(o->event_id + 4, id + 4);
			n++;
		}
	}
}

/* Once, while it still waits; never of what was decided. */
static void
test_reminded_once(void **state)
{
	struct ag_kit *kit = fleet("approvals: {ttl_s: 100, remind_s: 30}\n");
	struct end end = decrypt(kit, "a", NULL), other = decrypt(kit, "b", NULL);

	decide(kit, AG_MSG_APPROVAL_DENY, other.id, alice, "leads");
	ag_kit_advance(kit, 69 * 1000);
	assert_int_equal(reminded(kit, end.id), 0);
	ag_kit_advance(kit, 2000);
	assert_int_equal(reminded(kit, end.id), 1);
	ag_kit_advance(kit, 10 * 1000);
	assert_int_equal(reminded(kit, end.id), 0);
	ag_kit_free(&kit);
	kit = fleet("approvals: {ttl_s: 100, remind_s: 0}\n");
	end = decrypt(kit, "a", NULL);
	ag_kit_advance(kit, 99 * 1000);
	assert_int_equal(reminded(kit, end.id), 0);
	ag_kit_free(&kit);
}

static ag_err
read_one(struct ag_kit *kit, const char *id)
{
	Ag__Nothing nothing = AG__NOTHING__INIT;
	Ag__Grant g = AG__GRANT__INIT;

	g.actor_id = alice;
	g.has_actor_kind = 1;
	g.actor_kind = AG__KIND__V__human;
	g.has_approver = g.approver = 1;
	g.resource_id = (char *)id;
	ag_kit_operate(kit, id[0] == 'b' ? AG_MSG_BREAK_GLASS_READ :
	    AG_MSG_APPROVAL_READ, &g, &nothing);
	return play(kit).err;
}

/* What ended is kept so long and then gone; what waits, or may be used, stays. */
static void
test_purge(void **state)
{
	struct ag_kit *kit = fleet("approvals: {keep_s: 172800, ttl_s: 604800, "
	    "window_s: 86400}\n");
	struct end waits = decrypt(kit, "a", NULL), no = decrypt(kit, "b", NULL),
	    yes = decrypt(kit, "c", NULL);

	decide(kit, AG_MSG_APPROVAL_DENY, no.id, alice, "leads");
	decide(kit, AG_MSG_APPROVAL_APPROVE, yes.id, alice, "leads");
	ag_kit_sleep(kit, 172800 * INT64_C(1000) - 1);
	play(kit);
	assert_int_equal(read_one(kit, no.id), AG_OK);
	ag_kit_advance(kit, 1001);
	play(kit);
	assert_int_equal(read_one(kit, no.id), AG_ITEM_NOT_FOUND);
	assert_int_equal(read_one(kit, yes.id), AG_OK);
	ag_kit_sleep(kit, 86400 * 1000);
	play(kit);
	assert_int_equal(read_one(kit, yes.id), AG_ITEM_NOT_FOUND);
	assert_int_equal(read_one(kit, waits.id), AG_OK);
	/* Asked anew: a forgotten one stands in nobody's way. */
	assert_string_not_equal(decrypt(kit, "b", NULL).id, no.id);
	ag_kit_free(&kit);
}

/* What a rule agreed to, as the event says; "" nothing. */
static void
agreed(struct ag_kit *kit, char approver[64])
{
	const struct ag_kit_sent *sent;

	approver[0] = '\0';
	ag_kit_advance(kit, 1000);
	for (;;) {
		while (ag_kit_journal(kit))
			;
		if ((sent = ag_kit_next(kit)) == NULL)
			return;
		if (sent->type == AG_MSG_OUTCOME_EVENT) {
			const Ag__OutcomeEvent *o = sent->body;

			if (o->operation == NULL ||
			    strcmp(o->operation, "approval.auto") != 0)
				continue;
			assert_string_equal(o->params[0]->value, "pending");
			assert_string_equal(o->params[1]->value, "approved");
			assert_string_equal(o->params[2]->key, "auto");
			assert_string_equal(o->params[2]->value, "true");
			snprintf(approver, 64, "%s",
			    o->params[o->n_params - 1]->value);
		}
	}
}

#define AUTO "approvals: {auto: [{name: days, operation: key.decrypt, " \
	"group: leads, kind: agent%s}]}\n"

static struct ag_kit *
fleet_auto(const char *more)
{
	char config[256];

	snprintf(config, sizeof(config), AUTO, more);
	return fleet(config);
}

/* A rule speaks for its group, operation, kind and hours, and for nothing else;
 * what it agreed to is good once, like anything. */
static void
test_auto(void **state)
{
	struct ag_kit *kit = fleet_auto("");
	struct end end = decrypt(kit, "a", NULL);
	char by[64];

	EXPECT(end, AG_APPROVAL_REQUIRED, "pending");
	agreed(kit, by);
	assert_string_equal(by, "policy:days");
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "approved");
	assert_true(decrypt(kit, "a", end.id).passed);
	EXPECT(decrypt(kit, "a", end.id), AG_APPROVAL_REQUIRED, "used");
	/* Two people, another group, dual control: those are for people. */
	need(0, "leads", 2);
	decrypt(kit, "b", NULL);
	agreed(kit, by);
	assert_string_equal(by, "");
	need(0, "boss", 1);
	decrypt(kit, "c", NULL);
	agreed(kit, by);
	assert_string_equal(by, "");
	need(0, "leads", 1);
	needs[0].rule = (char *)"dual-control";
	decrypt(kit, "d", NULL);
	agreed(kit, by);
	assert_string_equal(by, "");
	ag_kit_free(&kit);
}

/* Outside of its hours, and of its kind, nothing happens by itself: the request
 * waits, also when the hours come. Nobody is faster than a person. */
static void
test_auto_bounds(void **state)
{
	int64_t now;
	struct ag_kit *kit;
	char by[64], hours[64];
	struct end end;
	unsigned hour;

	kit = fleet_auto("");
	now = ag_kit_now(kit);
	ag_kit_free(&kit);
	hour = (unsigned)(now / 3600000 % 24);
	snprintf(hours, sizeof(hours), ", hours: 'mon-sun %02u:00-%02u:00'",
	    (hour + 2) % 24, (hour + 3) % 24);
	kit = fleet_auto(hours);
	end = decrypt(kit, "a", NULL);
	agreed(kit, by);
	assert_string_equal(by, "");
	ag_kit_advance(kit, 3500 * 1000);
	agreed(kit, by);
	assert_string_equal(by, "");
	assert_string_equal(end.reason, "pending");
	ag_kit_free(&kit);
	snprintf(hours, sizeof(hours), ", hours: 'mon-sun %02u:00-%02u:00'", hour,
	    (hour + 2) % 24);
	kit = fleet_auto(hours);
	decrypt(kit, "a", NULL);
	agreed(kit, by);
	assert_string_equal(by, "policy:days");
	end = decrypt(kit, "b", NULL);
	decide(kit, AG_MSG_APPROVAL_DENY, end.id, alice, "leads");
	agreed(kit, by);
	assert_string_equal(by, "");
	EXPECT(decrypt(kit, "b", NULL), AG_APPROVAL_REQUIRED, "denied");
	ag_kit_free(&kit);
	kit = fleet("approvals: {auto: [{name: x, operation: key.decrypt, "
	    "group: leads, kind: human}]}\n");
	decrypt(kit, "a", NULL);
	agreed(kit, by);
	assert_string_equal(by, "");
	ag_kit_free(&kit);
}

/* How long a grant may be for a rule, to the second. */
static void
test_auto_length(void **state)
{
	static const struct { const char *ttl_s; bool fits; } rows[] = {
		{ "599", true }, { "600", true }, { "601", false }, { NULL, false } };
	struct ag_kit *kit = fleet("approvals: {auto: [{name: short, operation: "
	    "grant.request, group: leads, ttl_max_s: 600}]}\n");
	Ag__Pair pair = AG__PAIR__INIT, *asked[1] = { &pair };
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Link who = AG__LINK__INIT;

	who.id = alice;
	who.kind = AG__KIND__V__human;
	a.requester = &who;
	a.operation = (char *)"grant.request";
	a.needs = need_list;
	a.n_needs = 1;
	a.asked = asked;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pair.key = (char *)"ttl_s";
		pair.value = (char *)rows[i].ttl_s;
		a.n_asked = rows[i].ttl_s != NULL;
		assert_int_equal(auto_fits(ag_kit_state(kit), &a,
		    ag_kit_now(kit)), rows[i].fits);
	}
	a.n_needs = 0;
	assert_false(auto_fits(ag_kit_state(kit), &a, ag_kit_now(kit)));
	ag_kit_free(&kit);
}

/* All of it is in the journal: another start knows it. */
static void
test_restart(void **state)
{
	char dir[] = "/tmp/aegis-approvals-XXXXXX", id[AG_ID_SIZE];
	struct ag_kit *kit;
	struct end end;

	assert_non_null(mkdtemp(dir));
	need(0, "leads", 1);
	kit = ag_kit_new(&ag_actor_approvals, NULL, dir);
	end = decrypt(kit, "a", NULL);
	strcpy(id, end.id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	assert_true(decrypt(kit, "a", id).passed);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_approvals, NULL, dir);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "used");
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_used_first),
		cmocka_unit_test(test_who_decides),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_reminded_once),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_auto_bounds),
		cmocka_unit_test(test_auto_length),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_glass_purge),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_glass_transitions),
		cmocka_unit_test(test_glass_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
