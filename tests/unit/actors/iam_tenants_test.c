/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant sleeps, wakes and ends; its keys are erased to the last one, also
 * when iam or the root of trust was away in the middle. */
#include "iam_fleet.h"

#include "iam.h"

static struct fleet *f;
static char *other; /* acme's admin */

static int
setup(void **state)
{
	f = fleet_new(NULL);
	other = tenant_of(f, "acme");
	return 0;
}

static int
teardown(void **state)
{
	free(other);
	fleet_free(f);
	return 0;
}

/* The root of trust says what is left; false: it was not asked. */
static bool
erase(uint64_t erased, uint64_t left, bool answers)
{
	const struct ag_kit_sent *sent;
	bool asked = false;

	while ((sent = ag_kit_next(f->kit)) != NULL) {
		const Ag__RotShredAsk *ask = sent->body;
		Ag__RotShredReply reply = AG__ROT_SHRED_REPLY__INIT;

		if (sent->type != AG_MSG_ROT_SHRED_ASK)
			continue;
		assert_string_equal(ask->tenant, "acme");
		asked = true;
		reply.erased = erased;
		reply.left = left;
		if (answers)
			ag_kit_answer(f->kit, sent, AG_MSG_ROT_SHRED_REPLY,
			    &reply);
		else
			ag_kit_answer_error(f->kit, sent, AG_UNAVAILABLE, "rot");
		break;
	}
	while (ag_kit_journal(f->kit))
		continue;
	return asked;
}

static const char *
state_of(const char *name, struct ended *e)
{
	Ag__PageAsk page = AG__PAGE_ASK__INIT;
	const Ag__TenantListReply *list;

	*e = request(f, AG_MSG_TENANT_LIST, ASK(.token = f->admin), &page);
	list = e->reply;
	for (size_t i = 0; i < list->n_items; i++)
		if (strcmp(list->items[i]->name, name) == 0)
			return list->items[i]->state;
	return "absent";
}

static void
is_state(const char *name, const char *word)
{
	struct ended e;

	assert_string_equal(state_of(name, &e), word);
	ended_free(&e);
}

static void
test_suspend_and_resume(void **state)
{
	struct agent a = agent_of(f, other, "key:x:sign", 0);

	because(f, AG_MSG_TENANT_SUSPEND, f->admin, "acme", AG_OK, NULL);
	expect(sign(f, other, "x"), AG_UNAUTHENTICATED, "tenant_suspended");
	expect(sign(f, a.token, "x"), AG_UNAUTHENTICATED, "tenant_suspended");
	expect(sign(f, f->admin, "x"), AG_ITEM_NOT_FOUND, NULL);
	is_state("acme", "suspended");
	because(f, AG_MSG_TENANT_SUSPEND, f->admin, "acme", AG_OK, NULL);
	because(f, AG_MSG_TENANT_RESUME, f->admin, "acme", AG_OK, NULL);
	expect(sign(f, other, "x"), AG_ITEM_NOT_FOUND, NULL);
	is_state("acme", "active");
	agent_free(&a);
}

static void
test_refused(void **state)
{
	static const uint16_t ops[] = { AG_MSG_TENANT_SUSPEND,
		AG_MSG_TENANT_DELETE };
	Ag__ReasonAsk bare = AG__REASON_ASK__INIT;

	bare.reason = (char *)"";
	for (unsigned i = 0; i < 2; i++) {
		because(f, ops[i], other, "acme", AG_PERMISSION_DENIED,
		    "scope_missing");
		because(f, ops[i], f->admin, "default", AG_ILLEGAL_OPERATION,
		    "transition");
		because(f, ops[i], f->admin, "nobody", AG_ITEM_NOT_FOUND, NULL);
		expect(request(f, ops[i], ASK(.token = f->admin,
		    .selector = "acme"), &bare), AG_INVALID_FIELD,
		    "out_of_range");
	}
	expect(sign(f, other, "x"), AG_ITEM_NOT_FOUND, NULL);
}

static void
test_delete(void **state)
{
	Ag__TenantCreateAsk again = AG__TENANT_CREATE_ASK__INIT;
	const struct ag_kit_sent *sent;
	unsigned said = 0;

	again.name = (char *)"acme";
	again.admin_name = (char *)"admin";
	because(f, AG_MSG_TENANT_DELETE, f->admin, "acme", AG_OK, NULL);
	expect(sign(f, other, "x"), AG_UNAUTHENTICATED, "token_revoked");
	because(f, AG_MSG_TENANT_RESUME, f->admin, "acme", AG_ILLEGAL_OPERATION,
	    "transition");
	is_state("acme", "deleting");
	ag_kit_advance(f->kit, 1000);
	assert_true(erase(64, 6, true));
	assert_true(erase(70, 0, true)); /* asked on at once */
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		const Ag__OutcomeEvent *out = sent->body;

		if (sent->type != AG_MSG_OUTCOME_EVENT ||
		    strcmp(out->operation, "system.tenant-erased") != 0)
			continue;
		assert_string_equal(out->tenant, "default");
		assert_string_equal(out->params[0]->value, "70");
		said++;
	}
	assert_int_equal(said, 1);
	is_state("acme", "deleted");
	expect(request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &again),
	    AG_ALREADY_EXISTS, "name");
	because(f, AG_MSG_TENANT_DELETE, f->admin, "acme", AG_OK, NULL);
	ag_kit_advance(f->kit, 3000);
	assert_false(erase(0, 0, true));
}

static void
test_delete_goes_on(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	char *token;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	token = tenant_of(f, "acme");
	because(f, AG_MSG_TENANT_DELETE, f->admin, "acme", AG_OK, NULL);
	ag_kit_advance(f->kit, 1000);
	assert_true(erase(0, 0, false));
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	expect(sign(f, token, "x"), AG_UNAUTHENTICATED, "token_revoked");
	ag_kit_advance(f->kit, 1000);
	assert_true(erase(3, 0, true));
	fleet_free(f);
	f = was;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	free(token);
}

static ag_err
standing(const char *tenant, const char *id, const char *jti, const char *op,
    char code[64])
{
	Ag__StandingAsk ask = AG__STANDING_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;
	const Ag__ErrorReply *no;

	env.has_corr = true;
	env.corr = 77;
	ask.tenant = (char *)tenant;
	ask.actor_id = (char *)id;
	ask.jti = (char *)jti;
	ask.kind = AG_KIND_AUDIT;
	ask.op = (char *)op;
	while (ag_kit_next(f->kit) != NULL)
		continue;
	ag_kit_deliver(f->kit, AG_ROLE_HISTORY, 0, AG_MSG_STANDING_ASK, &env,
	    &ask);
	sent = ag_kit_next(f->kit);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_HISTORY);
	if (sent->type == AG_MSG_DONE_REPLY)
		return AG_OK;
	no = sent->body;
	snprintf(code, 64, "%s", no->refusal->reason_code == NULL ? "" :
	    no->refusal->reason_code);
	return (ag_err)no->refusal->err;
}

/* What history is told of who opened a stream. */
static void
test_standing(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	struct iam_node *node = iam_node_find(ag_kit_state(f->kit), a.id);
	char reason[64] = "";
	struct ended e = request(f, AG_MSG_WHOAMI, ASK(.token = other), NULL);
	const Ag__WhoamiReply *ann = e.reply;

	assert_int_equal(standing("acme", ann->id, ann->credential->jti, "read",
	    reason), AG_OK);
	assert_int_equal(standing("acme", ann->id, NULL, "read", reason), AG_OK);
	assert_int_equal(standing("default", ann->id, NULL, "read", reason),
	    AG_UNAUTHENTICATED);
	assert_int_equal(standing("acme", "hum_0", NULL, "read", reason),
	    AG_UNAUTHENTICATED);
	assert_int_equal(standing("acme", ann->id, "no such", "read", reason),
	    AG_UNAUTHENTICATED);
	assert_int_equal(standing("default", a.id, node->token.jti, "read",
	    reason), AG_PERMISSION_DENIED);
	because(f, AG_MSG_AGENT_SUSPEND, f->admin, a.id, AG_OK, NULL);
	assert_int_equal(standing("default", a.id, node->token.jti, "read",
	    reason), AG_PRINCIPAL_SUSPENDED);
	assert_string_equal(reason, "by_person");
	because(f, AG_MSG_TENANT_SUSPEND, f->admin, "acme", AG_OK, NULL);
	assert_int_equal(standing("acme", ann->id, ann->credential->jti, "read",
	    reason), AG_UNAUTHENTICATED);
	assert_string_equal(reason, "tenant_suspended");
	ended_free(&e);
	agent_free(&a);
}

/* Each shard is told, at once and again when it is over. */
static void
test_shards_are_told(void **state)
{
	const struct ag_kit_sent *sent;
	unsigned told = 0;

	because(f, AG_MSG_TENANT_DELETE, f->admin, "acme", AG_OK, NULL);
	ag_kit_advance(f->kit, 1000);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		if (sent->type == AG_MSG_TENANT_ENDED_ORDER) {
			assert_int_equal(sent->to_role, AG_ROLE_KEYS);
			assert_string_equal(((const Ag__TenantEndedOrder *)
			    sent->body)->tenant, "acme");
			told++;
		}
	assert_int_equal(told, 2);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_suspend_and_resume),
		TEST(test_refused),
		TEST(test_delete),
		TEST(test_delete_goes_on),
		TEST(test_standing),
		TEST(test_shards_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
