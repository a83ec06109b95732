/* SPDX-License-Identifier: Apache-2.0 */
/* The decision on a plane's request, check by check, in their order. */
#include "iam_fleet.h"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury-master", "tier", "critical", false);
	key(f, "default", HONEY, "backup", NULL, NULL, true);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
test_admin(void **state)
{
	struct ended e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL);
	Ag__WhoamiReply *who = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_non_null(who);
	assert_string_equal(who->name, "admin");
	assert_string_equal(who->tenant, "default");
	assert_int_equal(who->n_chain, 1);
	assert_string_equal(who->roles[0], "admin");
	assert_string_equal(who->scopes[0], "*:*:*");
	assert_string_equal(who->client_address, "192.0.2.1");
	assert_int_equal(e.grant->n_rate, 2);
	assert_string_equal(e.grant->rate[0], "\"principal\";q=6000;w=60");
	assert_memory_equal(e.grant->rate[1], "\"principal\";r=", 14);
	ended_free(&e);
}

static void
test_credential(void **state)
{
	char *bad = strdup(f->admin);
	struct ended e;

	expect(request(f, AG_MSG_WHOAMI, ASK(.token = NULL), NULL),
	    AG_UNAUTHENTICATED, "token_missing");
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = ""), NULL),
	    AG_UNAUTHENTICATED, "token_missing");
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = "x.y"), NULL),
	    AG_UNAUTHENTICATED, "token_malformed");
	bad[strlen(bad) - 2] ^= 1;
	e = request(f, AG_MSG_WHOAMI, ASK(.token = bad), NULL);
	assert_int_equal(e.err, AG_UNAUTHENTICATED);
	assert_null(e.grant); /* nobody was authenticated */
	assert_null(e.outcome->request->credential);
	ended_free(&e);
	free(bad);
}

static void
test_expired(void **state)
{
	char *alice = person(f, f->admin, AG__KIND__V__human, "exp", "admin");
	char *token = token_of(f, f->admin, alice, NULL);

	expect(request(f, AG_MSG_WHOAMI, ASK(.token = token), NULL), AG_OK, NULL);
	ag_kit_advance(f->kit, 12 * 3600 * 1000);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = token), NULL),
	    AG_UNAUTHENTICATED, "token_expired"); /* was cached */
	free(token);
	free(alice);
}

static void
test_keys(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	struct ended e = sign(f, a.token, "invoice-2026");

	assert_true(e.passed);
	assert_string_equal(e.grant->resource_id, INVOICE);
	assert_string_equal(e.grant->resource_alias, "invoice-2026");
	assert_string_equal(e.grant->resource_type, "key");
	assert_string_equal(e.grant->actor_id, a.id);
	assert_string_equal(e.grant->actor_label, "claude");
	assert_string_equal(e.grant->actor_model, "model-x");
	assert_int_equal(e.grant->n_chain, 2);
	assert_string_equal(e.grant->chain[0]->name, "admin");
	assert_string_equal(e.grant->chain[1]->id, a.id);
	assert_int_equal(e.grant->scope_count, 1);
	assert_false(e.grant->held);
	ended_free(&e);
	expect(sign(f, a.token, INVOICE), AG_OK, NULL);
	expect(sign(f, f->admin, "ghost"), AG_ITEM_NOT_FOUND, NULL);
	agent_free(&a);
}

static void
idem_of(const char *key, const char *selector, uint8_t out[32])
{
	struct ended e = request(f, AG_MSG_KEY_ROTATE, ASK(.token = f->admin,
	    .selector = selector, .idem = key), NULL);

	assert_true(e.passed);
	assert_true(e.grant->has_idem);
	assert_int_equal(e.grant->idem.len, 32);
	memcpy(out, e.grant->idem.data, 32);
	ended_free(&e);
}

/* Found by reading: only REST's route says what the request is about, so over
 * the others a second key's rotation got the first one's answer. */
static void
test_an_idempotency_key_is_of_one_resource(void **state)
{
	uint8_t one[32], again[32], other[32];

	idem_of("once", "invoice-2026", one);
	idem_of("once", "invoice-2026", again);
	assert_memory_equal(one, again, 32);
	idem_of("once", "treasury-master", other);
	assert_memory_not_equal(one, other, 32);
	idem_of("twice", "invoice-2026", other);
	assert_memory_not_equal(one, other, 32);
}

static void
test_unknown_key_is_no_violation(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:ghost:sign", 0);

	expect(sign(f, a.token, "phantom"), AG_PERMISSION_DENIED,
	    "scope_missing");
	expect(sign(f, a.token, "ghost"), AG_ITEM_NOT_FOUND, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = a.token), NULL), AG_OK,
	    NULL); /* not held */
	agent_free(&a);
}

/* ------------------------------------------------------------------- hold */

static void
ruling(const char *event_id, const char *agent_id)
{
	Ag__RulingAsk ask = AG__RULING_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;

	env.has_corr = true;
	env.corr = 78;
	ask.event_id = (char *)event_id;
	ask.agent_id = (char *)agent_id;
	ag_kit_deliver(f->kit, AG_ROLE_RESPONDER, 0, AG_MSG_RULING_ASK, &env,
	    &ask);
}

static Ag__ActReply
act(const char *action, const char *agent_id, ag_err want)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__ActAsk ask = AG__ACT_ASK__INIT;
	Ag__ActReply got = AG__ACT_REPLY__INIT;
	const struct ag_kit_sent *sent;

	env.has_corr = true;
	env.corr = 77;
	ask.action = (char *)action;
	ask.tenant = (char *)"default";
	ask.target = (char *)agent_id;
	ask.recommendation_id = (char *)"rec_1";
	ask.cause_event_id = (char *)"evt_1";
	ask.reason = (char *)"AnomalyAlert(rec_1)";
	ag_kit_deliver(f->kit, AG_ROLE_RESPONDER, 0, AG_MSG_ACT_ASK, &env, &ask);
	while (ag_kit_journal(f->kit))
		continue;
	while ((sent = ag_kit_next(f->kit)) != NULL &&
	    sent->to_role != AG_ROLE_RESPONDER)
		continue;
	assert_non_null(sent);
	assert_int_equal(sent->env->status, want);
	if (want == AG_OK) {
		assert_int_equal(sent->type, AG_MSG_ACT_REPLY);
		got.changed = ((const Ag__ActReply *)sent->body)->changed;
		got.count = ((const Ag__ActReply *)sent->body)->count;
		got.committed_at =
		    ((const Ag__ActReply *)sent->body)->committed_at;
	}
	return got;
}

static void
test_hold_and_revoke(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	struct ended e = sign(f, a.token, "treasury-master"), e2 = { 0 };
	char event_id[AG_ID_SIZE];
	Ag__SignAsk ask = sign_ask();
	uint8_t id[16];
	Ag__ActReply done;

	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_string_equal(e.reason, "scope_missing");
	assert_string_equal(e.rule, "scopes");
	assert_true(e.grant->held);
	assert_true(e.grant->tier_critical);
	assert_false(e.grant->honey);
	assert_string_equal(e.grant->resource_id, TREASURY);
	ag_id_from_uuid("evt", e.grant->request_id.data, event_id);
	ended_free(&e);
	/* in scope, at once, from another plane: it waits */
	deliver(f, AG_MSG_KEY_SIGN, &ASK(.token = a.token,
	    .selector = "invoice-2026", .plane = 1), &ask, id);
	play(f, AG_MSG_KEY_SIGN, &e2);
	assert_false(e2.over || e2.passed);
	/* a ruling on something else changes nothing */
	ruling("evt_00000000000000000000000000000000", a.id);
	play(f, AG_MSG_KEY_SIGN, &e2);
	assert_false(e2.over || e2.passed);
	done = act("revoke_agent", a.id, AG_OK);
	assert_true(done.changed);
	assert_int_equal(done.count, 1);
	assert_true(done.committed_at > 0);
	ruling(event_id, a.id);
	play(f, AG_MSG_KEY_SIGN, &e2);
	assert_true(e2.over);
	assert_int_equal(e2.err, AG_UNAUTHENTICATED);
	assert_string_equal(e2.reason, "token_revoked");
	assert_string_equal(e2.grant->actor_id, a.id);
	ended_free(&e2);
	/* again: nothing changes */
	done = act("revoke_agent", a.id, AG_OK);
	assert_false(done.changed);
	assert_int_equal(done.count, 0);
	agent_free(&a);
}

static void
test_hold_passed_over(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	struct ended e = sign(f, a.token, "treasury-master"), e2 = { 0 };
	char event_id[AG_ID_SIZE];
	Ag__SignAsk ask = sign_ask();
	uint8_t id[16];

	ag_id_from_uuid("evt", e.grant->request_id.data, event_id);
	ended_free(&e);
	deliver(f, AG_MSG_KEY_SIGN, &ASK(.token = a.token,
	    .selector = "invoice-2026"), &ask, id);
	ruling(event_id, a.id);
	play(f, AG_MSG_KEY_SIGN, &e2);
	assert_true(e2.passed); /* the responder passed: it goes on */
	ended_free(&e2);
	agent_free(&a);
}

/* Killed between the refusal and the ruling: the agent gains nothing by it. */
static void
test_hold_outlives_a_restart(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64], event_id[AG_ID_SIZE];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	struct agent a;
	struct ended e;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury-master", NULL, NULL, false);
	a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	e = sign(f, a.token, "treasury-master");
	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	ag_id_from_uuid("evt", e.grant->request_id.data, event_id);
	ended_free(&e);
	fleet_free(f);

	f = fleet_on(NULL, dir, issuer);
	e = sign(f, a.token, "invoice-2026");
	assert_false(e.over || e.passed);
	ended_free(&e);
	ag_kit_advance(f->kit, 60);
	play(f, AG_MSG_KEY_SIGN, &e);
	assert_int_equal(e.err, AG_UNAVAILABLE);
	ended_free(&e);
	ruling(event_id, a.id);
	expect(sign(f, a.token, "invoice-2026"), AG_OK, NULL);
	fleet_free(f);

	/* And what was ruled stays ruled. */
	f = fleet_on(NULL, dir, issuer);
	expect(sign(f, a.token, "invoice-2026"), AG_OK, NULL);
	fleet_free(f);
	f = was;
	agent_free(&a);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void
test_hold_times_out_and_stays(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	Ag__SignAsk ask = sign_ask();
	struct ended e = { 0 };
	uint8_t id[16];

	expect(sign(f, a.token, "treasury-master"), AG_PERMISSION_DENIED,
	    "scope_missing");
	for (int i = 0; i < 3; i++) {
		deliver(f, AG_MSG_KEY_SIGN, &ASK(.token = a.token,
		    .selector = "invoice-2026"), &ask, id);
		ag_kit_advance(f->kit, 49);
		play(f, AG_MSG_KEY_SIGN, &e);
		assert_false(e.over || e.passed);
		ag_kit_advance(f->kit, 2);
		play(f, AG_MSG_KEY_SIGN, &e);
		assert_true(e.over);
		assert_int_equal(e.err, AG_UNAVAILABLE);
		assert_string_equal(e.reason, "response");
		assert_non_null(e.grant); /* the refusal names the actor */
		assert_string_equal(e.grant->actor_id, a.id);
		ended_free(&e);
	}
	/* others are not concerned */
	expect(sign(f, f->admin, "invoice-2026"), AG_OK, NULL);
	/* people let go of it */
	because(f, AG_MSG_AGENT_RESUME, f->admin, a.id, AG_OK, NULL);
	expect(sign(f, a.token, "invoice-2026"), AG_OK, NULL);
	agent_free(&a);
}

static void
test_hold_bounded(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	Ag__SignAsk ask = sign_ask();
	const struct ag_kit_sent *sent;
	uint8_t id[16];
	int refused = 0;

	expect(sign(f, a.token, "treasury-master"), AG_PERMISSION_DENIED,
	    "scope_missing");
	for (int i = 0; i < 200; i++)
		deliver(f, AG_MSG_KEY_SIGN, &ASK(.token = a.token,
		    .selector = "invoice-2026"), &ask, id);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			refused++;
	assert_int_equal(refused, 200 - 64); /* at once, not after waiting */
	ag_kit_advance(f->kit, 60);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			refused++;
	assert_int_equal(refused, 200);
	agent_free(&a);
}

static void
test_honey(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:backup:sign", 0);
	char *alice = person(f, f->admin, AG__KIND__V__human, "hon", "key-admin");
	char *token = token_of(f, f->admin, alice, NULL);
	struct ended e = sign(f, a.token, "backup"), none;

	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_true(e.grant->held);
	assert_true(e.grant->honey);
	ended_free(&e);
	/* exactly as a missing scope looks, for people, too */
	e = sign(f, token, "backup");
	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_true(e.grant->honey);
	assert_false(e.grant->held);
	none = request(f, AG_MSG_AUDIT_QUERY, ASK(.token = token), NULL);
	assert_string_equal(e.reason, none.reason);
	assert_string_equal(e.rule, none.rule);
	assert_string_equal(e.outcome->refusal->detail,
	    "The scope key:backup:sign is not held.");
	ended_free(&none);
	ended_free(&e);
	/* who holds system:*:honey sees it as a key */
	e = sign(f, f->admin, "backup");
	assert_true(e.passed);
	assert_true(e.grant->sees_honey);
	ended_free(&e);
	free(alice);
	free(token);
	agent_free(&a);
}

/* ------------------------------------------------------- roles and the chain */

static void
test_parent_loses_role(void **state)
{
	Ag__RoleGrantAsk role = AG__ROLE_GRANT_ASK__INIT;
	char *alice = person(f, f->admin, AG__KIND__V__human, "rol", "admin");
	char *token = token_of(f, f->admin, alice, NULL);
	struct agent a = agent_of(f, token, "key:invoice-2026:sign", 1);
	struct agent b = agent_of(f, a.token, "key:" INVOICE ":sign", 0);
	struct ended e;

	expect(sign(f, b.token, "invoice-2026"), AG_OK, NULL);
	role.role = (char *)"admin";
	expect(request(f, AG_MSG_ROLE_UNGRANT, ASK(.token = f->admin,
	    .selector = "rol"), &role), AG_OK, NULL);
	e = sign(f, b.token, "invoice-2026");
	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_string_equal(e.reason, "parent_scope_missing");
	assert_false(e.grant->held); /* not the agent's doing */
	ended_free(&e);
	role.role = (char *)"key-user";
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = "rol"), &role), AG_OK, NULL);
	expect(sign(f, b.token, "invoice-2026"), AG_OK, NULL);
	expect(sign(f, a.token, "invoice-2026"), AG_OK, NULL);
	agent_free(&a);
	agent_free(&b);
	free(alice);
	free(token);
}

static void
test_role_in_time(void **state)
{
	Ag__RoleGrantAsk role = AG__ROLE_GRANT_ASK__INIT;
	char *who = person(f, f->admin, AG__KIND__V__service, "tim", NULL);
	char *token = token_of(f, f->admin, who, NULL);

	expect(sign(f, token, "invoice-2026"), AG_PERMISSION_DENIED,
	    "scope_missing");
	role.role = (char *)"key-user";
	role.has_valid_from = role.has_valid_until = true;
	role.valid_from = ag_kit_now(f->kit) + 10000;
	role.valid_until = ag_kit_now(f->kit) + 20000;
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = who), &role), AG_OK, NULL);
	expect(sign(f, token, "invoice-2026"), AG_PERMISSION_DENIED,
	    "scope_missing");
	ag_kit_advance(f->kit, 10000);
	expect(sign(f, token, "invoice-2026"), AG_OK, NULL);
	ag_kit_advance(f->kit, 10000);
	expect(sign(f, token, "invoice-2026"), AG_PERMISSION_DENIED,
	    "scope_missing");
	free(who);
	free(token);
}

static void
test_narrow_token(void **state)
{
	char *who = person(f, f->admin, AG__KIND__V__service, "nar", "key-user");
	char *token = token_of(f, f->admin, who, "key:invoice-2026:*");

	expect(sign(f, token, "invoice-2026"), AG_OK, NULL);
	expect(sign(f, token, "treasury-master"), AG_PERMISSION_DENIED,
	    "scope_missing");
	/* the token says `*`, the role does not */
	because(f, AG_MSG_KEY_FREEZE, token, "invoice-2026",
	    AG_PERMISSION_DENIED, "scope_missing");
	free(who);
	free(token);
}

static void
test_labels_change(void **state)
{
	Ag__KeyUpdatedFact up = AG__KEY_UPDATED_FACT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[1] = { &pair };
	struct agent a;

	key(f, "default", "key_00000000000000000000000000000009", "lab", "team",
	    "pay", false);
	a = agent_of(f, f->admin, "key:label=team=pay:sign", 0);
	expect(sign(f, a.token, "lab"), AG_OK, NULL);
	up.key_id = (char *)"key_00000000000000000000000000000009";
	pair.key = (char *)"team";
	up.labels = pairs;
	up.n_labels = 1; /* no value: removed */
	fact(f, "key:key_00000000000000000000000000000009", 2,
	    AG_MSG_KEY_UPDATED_FACT, &up);
	expect(sign(f, a.token, "lab"), AG_PERMISSION_DENIED, "scope_missing");
	agent_free(&a);
}

static void
test_batch(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;

	ask.operation = AG__USAGE__V__sign;
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = a.token,
	    .selector = "invoice-2026", .scope_op = "sign", .items = 5), &ask),
	    AG_OK, NULL);
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = a.token,
	    .selector = "invoice-2026", .scope_op = "*"), &ask),
	    AG_INVALID_FIELD, "unknown_value");
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = a.token,
	    .selector = "invoice-2026", .scope_op = "decrypt"), &ask),
	    AG_PERMISSION_DENIED, "scope_missing");
	agent_free(&a);
}

static void
test_plane_refusal_has_actor(void **state)
{
	Ag__Refusal r = AG__REFUSAL__INIT;
	struct ended e;

	r.err = AG_INVALID_FIELD;
	r.reason_code = (char *)"unknown_field";
	r.field = (char *)"/colour";
	r.detail = (char *)"unknown member";
	e = request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .selector = "invoice-2026", .refusal = &r), NULL);
	assert_int_equal(e.err, AG_INVALID_FIELD);
	assert_string_equal(e.reason, "unknown_field");
	assert_string_equal(e.field, "/colour");
	assert_string_equal(e.grant->actor_name, "admin");
	ended_free(&e);
	/* a bad body does not come before the credential */
	expect(request(f, AG_MSG_KEY_SIGN, ASK(.token = NULL, .refusal = &r),
	    NULL), AG_UNAUTHENTICATED, "token_missing");
	r.err = 4711;
	expect(request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .refusal = &r), NULL), AG_MALFORMED_REQUEST, NULL);
}

static void
test_people_only(void **state)
{
	Ag__KeyCompromiseAsk ask = AG__KEY_COMPROMISE_ASK__INIT;
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:*", 0);

	ask.reason = (char *)"r";
	expect(request(f, AG_MSG_KEY_COMPROMISE, ASK(.token = a.token,
	    .selector = "invoice-2026"), &ask), AG_PERMISSION_DENIED,
	    "not_for_agents");
	expect(request(f, AG_MSG_KEY_COMPROMISE, ASK(.token = f->admin,
	    .selector = "invoice-2026"), &ask), AG_OK, NULL);
	agent_free(&a);
}

static void
test_create_gets_id(void **state)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	struct ended e;

	ask.key_spec = AG__KEY_SPEC__V__EC_P256;
	e = request(f, AG_MSG_KEY_CREATE, ASK(.token = f->admin), &ask);
	assert_true(e.passed);
	assert_true(ag_id_valid(e.grant->resource_id, "key"));
	ended_free(&e);
}

static void
test_read_scopes(void **state)
{
	Ag__KeyListAsk ask = AG__KEY_LIST_ASK__INIT;
	char *who = person(f, f->admin, AG__KIND__V__service, "rea", "admin");
	char *token = token_of(f, f->admin, who, "key:*:list");
	struct ended e = request(f, AG_MSG_KEY_LIST, ASK(.token = f->admin),
	    &ask);

	assert_true(e.passed);
	assert_true(e.grant->read_all);
	ended_free(&e);
	e = request(f, AG_MSG_KEY_LIST, ASK(.token = token), &ask);
	assert_true(e.passed);
	assert_false(e.grant->read_all);
	assert_int_equal(e.grant->n_read_scopes, 0);
	ended_free(&e);
	free(who);
	free(token);
}

/* ------------------------------------------------------------------ limits */

static void
test_limits(void **state)
{
	struct fleet *own = fleet_new("limits:\n  principal: {rate: 5, window_s: "
	    "10}\n  key: {rate: 3, window_s: 10}\n");
	struct ended e;
	Ag__BatchAsk batch = AG__BATCH_ASK__INIT;
	struct fleet *was = f;

	f = own;
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	for (int i = 0; i < 3; i++)
		expect(sign(f, f->admin, INVOICE), AG_OK, NULL);
	/* Found by a stranger: the principal's window stood there. */
	e = sign(f, f->admin, INVOICE);
	assert_int_equal(e.err, AG_RATE_LIMITED);
	assert_string_equal(e.reason, "key");
	assert_string_equal(e.grant->rate[0], "\"key\";q=3;w=10");
	assert_memory_equal(e.grant->rate[1], "\"key\";r=0;t=", 12);
	ended_free(&e);
	e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL);
	assert_int_equal(e.err, AG_OK);
	assert_string_equal(e.grant->rate[1], "\"principal\";r=0;t=10");
	ended_free(&e);
	e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL);
	assert_int_equal(e.err, AG_RATE_LIMITED);
	assert_string_equal(e.reason, "principal");
	assert_in_range(e.retry_after_s, 1, 11);
	assert_string_equal(e.grant->actor_name, "admin");
	assert_string_equal(e.grant->rate[0], "\"principal\";q=5;w=10");
	ended_free(&e);
	ag_kit_advance(f->kit, 11000);
	batch.operation = AG__USAGE__V__sign;
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin,
	    .selector = INVOICE, .scope_op = "sign", .items = 6), &batch),
	    AG_RATE_LIMITED, "principal");
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin,
	    .selector = INVOICE, .scope_op = "sign", .items = 3), &batch),
	    AG_OK, NULL);
	f = was;
	fleet_free(own);
}

/* ----------------------------------------------------------------- degraded */

static void
test_degraded(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(f->kit);
	Ag__PeerEvent down = AG__PEER_EVENT__INIT;
	struct ended e;

	down.slot = ag_slot(ctx, AG_ROLE_RISK, 0);
	ag_kit_deliver(f->kit, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &down);
	expect(sign(f, f->admin, INVOICE), AG_UNAVAILABLE, "risk");
	e = request(f, AG_MSG_KEY_READ, ASK(.token = f->admin,
	    .selector = INVOICE), NULL);
	assert_true(e.passed);
	assert_true(e.grant->degraded);
	assert_int_equal(e.to, ag_shard(ctx, AG_ROLE_KEYS, INVOICE));
	ended_free(&e);
	e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL);
	assert_int_equal(e.err, AG_OK);
	assert_non_null(e.reply);
	ended_free(&e);
	down.up = true;
	ag_kit_deliver(f->kit, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &down);
	expect(sign(f, f->admin, INVOICE), AG_OK, NULL);
}

static void
test_hostile_planes(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__SignAsk ask = sign_ask();
	Ag__Request rq = AG__REQUEST__INIT;
	const struct ag_kit_sent *sent;

	/* neither request nor grant */
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, 0, AG_MSG_KEY_SIGN, &env, &ask);
	/* a request from somebody who is no plane */
	rq.request_id.data = (uint8_t *)"0123456789abcdef";
	rq.request_id.len = 16;
	rq.credential = f->admin;
	env.request = &rq;
	ag_kit_deliver(f->kit, AG_ROLE_KEYS, 0, AG_MSG_KEY_SIGN, &env, &ask);
	/* an id of the wrong length */
	rq.request_id.len = 3;
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, 0, AG_MSG_KEY_SIGN, &env, &ask);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		assert_int_not_equal(sent->to_role, AG_ROLE_RISK);
	expect(sign(f, f->admin, INVOICE), AG_OK, NULL);
}

/* Ten wrong ones a minute, of an address and of an account (RL04); whoever is
 * known goes on. */
static void
test_wrong_credentials(void **state)
{
	struct fleet *g = fleet_new(
	    "limits: {authentication: {rate: 10, window_s: 60}}\n");
	char *id = person(g, g->admin, AG__KIND__V__human, "wrong", "key-user");
	char *token = token_of(g, g->admin, id, NULL), address[32];

	for (int i = 0; i < 10; i++)
		expect(request(g, AG_MSG_WHOAMI, ASK(.token = "a.b.c"), NULL),
		    AG_UNAUTHENTICATED, NULL);
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = "a.b.c"), NULL),
	    AG_RATE_LIMITED, "address");
	/* Another address may; a token that was verified may; none is no try. */
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = "a.b.c",
	    .address = "192.0.2.2"), NULL), AG_UNAUTHENTICATED, NULL);
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = g->admin), NULL), AG_OK,
	    NULL);
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = NULL), NULL),
	    AG_UNAUTHENTICATED, "token_missing");
	/* One not verified yet waits: right or wrong, nobody learns. */
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = token), NULL),
	    AG_RATE_LIMITED, "address");
	/* An account, from ever other addresses. */
	because(g, AG_MSG_PRINCIPAL_DELETE, g->admin, "wrong", AG_OK, NULL);
	for (int i = 0; i < 11; i++) {
		snprintf(address, sizeof(address), "198.51.100.%d", i);
		expect(request(g, AG_MSG_WHOAMI, ASK(.token = token,
		    .address = address), NULL), i < 10 ? AG_UNAUTHENTICATED :
		    AG_RATE_LIMITED, i < 10 ? "token_revoked" : "account");
	}
	/* The windows slide. */
	ag_kit_advance(g->kit, 70000);
	expect(request(g, AG_MSG_WHOAMI, ASK(.token = "a.b.c"), NULL),
	    AG_UNAUTHENTICATED, NULL);
	free(id);
	free(token);
	fleet_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_an_idempotency_key_is_of_one_resource),
		cmocka_unit_test(test_unknown_key_is_no_violation),
		cmocka_unit_test(test_hold_and_revoke),
		cmocka_unit_test(test_hold_passed_over),
		cmocka_unit_test(test_hold_outlives_a_restart),
		cmocka_unit_test(test_hold_times_out_and_stays),
		cmocka_unit_test(test_hold_bounded),
		cmocka_unit_test(test_honey),
		cmocka_unit_test(test_parent_loses_role),
		cmocka_unit_test(test_role_in_time),
		cmocka_unit_test(test_narrow_token),
		cmocka_unit_test(test_labels_change),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_plane_refusal_has_actor),
		cmocka_unit_test(test_people_only),
		cmocka_unit_test(test_create_gets_id),
		cmocka_unit_test(test_read_scopes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_degraded),
		cmocka_unit_test(test_hostile_planes),
		cmocka_unit_test(test_wrong_credentials),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
