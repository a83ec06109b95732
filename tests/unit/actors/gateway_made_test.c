/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that come and go by API, and sessions at replicas, in the kit. What is
 * asked of servers waits in a row until the test answers it (gateway_fetch.h).
 */
#include "gateway_fetch.h"

#include <sys/stat.h>

#define CONFIG "gateway:\n" \
	"  enabled: true\n" \
	"  discovery: false\n" \
	"  origins: ['https://tools.example', 'http://127.0.0.1:1']\n"
#define TOOLS "\"result\":{\"tools\":[{\"name\":\"get\",\"description\":\"D\"," \
	"\"inputSchema\":{\"type\":\"object\"}}]}"

static int
setup(void **state)
{
	(void)state;
	kit = ag_kit_new(&ag_actor_gateway, CONFIG, NULL);
	gateway = ag_kit_state(kit);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fetch_drop();
	ag_kit_free(&kit);
	return 0;
}

static Ag__ToolServerSetAsk
plain(const char *url)
{
	Ag__ToolServerSetAsk ask = AG__TOOL_SERVER_SET_ASK__INIT;

	ask.url = (char *)(uintptr_t)url;
	ask.protocol = (char *)(uintptr_t)WIRE_NOW;
	return ask;
}

static void
put(const char *name, const Ag__ToolServerSetAsk *ask)
{
	Ag__Grant grant = AG__GRANT__INIT;

	grant.resource_id = (char *)(uintptr_t)name;
	ag_kit_operate(kit, AG_MSG_TOOL_SERVER_SET, &grant, ask);
}

static void
drop(const char *name)
{
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;

	ask.reason = (char *)(uintptr_t)"moved";
	grant.resource_id = (char *)(uintptr_t)name;
	ag_kit_operate(kit, AG_MSG_TOOL_SERVER_DELETE, &grant, &ask);
}

static void
call(const char *path, const char *session)
{
	Ag__ToolCallAsk ask = AG__TOOL_CALL_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;

	grant.resource_id = (char *)(uintptr_t)path;
	grant.session = (char *)(uintptr_t)session;
	grant.has_reply_key = true;
	grant.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(ag_kit_ctx(kit));
	grant.reply_key.len = AG_SEAL_KEY_BYTES;
	ag_kit_operate(kit, AG_MSG_TOOL_CALL, &grant, &ask);
}

/* The next outcome of that operation. */
static const Ag__OutcomeEvent *
outcome(const char *operation)
{
	const Ag__OutcomeEvent *o;
	const struct ag_kit_sent *sent;

	do {
		assert_non_null(sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT));
		o = sent->body;
	} while (strcmp(o->operation, operation) != 0);
	return o;
}

static void
assert_field(const Ag__ToolServerSetAsk *ask, const char *field)
{
	const Ag__OutcomeEvent *o;

	put("box", ask);
	o = outcome("tool.update");
	assert_non_null(o->refusal);
	assert_int_equal(o->refusal->err, AG_INVALID_FIELD);
	assert_string_equal(o->refusal->field, field);
}

static void
add(const Ag__ToolServerSetAsk *ask)
{
	struct asked a;

	put("box", ask);
	assert_true(ag_kit_journal(kit));
	assert_null(outcome("tool.update")->refusal);
	ag_kit_advance(kit, 250);
	if (is_asked("initialize")) {
		a = take("initialize");
		answer(&a, "\"result\":{}", "own");
		a = take("notifications/initialized");
		answer(&a, "\"x\":0", "");
	}
	a = take("tools/list");
	answer(&a, TOOLS, "");
	assert_true(ag_kit_journal(kit)); /* of what is accepted */
	assert_int_equal(gateway->servers[0]->tools[0].state, TOOL_ACCEPTED);
}

static void
test_one_is_added_and_taken_away(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	struct asked a;

	(void)state;
	add(&ask);
	assert_int_equal(gateway->server_count, 1);
	assert_int_equal(gateway->servers[0]->version, 2);
	/* A call that is under way ends well, though its server has gone. */
	call("box/get", NULL);
	a = take("tools/call");
	drop("box");
	assert_true(ag_kit_journal(kit));
	assert_null(outcome("tool.delete")->refusal);
	assert_int_equal(gateway->server_count, 0);
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	call("box/get", NULL);
	assert_int_equal(outcome("tool.call")->refusal->err, AG_ITEM_NOT_FOUND);
	drop("box");
	assert_int_equal(outcome("tool.delete")->refusal->err, AG_ITEM_NOT_FOUND);
	/* Added again it is held to what was accepted before. */
	put("box", &ask);
	assert_true(ag_kit_journal(kit));
	assert_int_equal(gateway->servers[0]->version, 4);
	assert_true(gateway->servers[0]->pinned);
}

/* The journal takes its time: what waits for it counts. */
static void
test_many_at_once_are_not_too_many(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	unsigned i, refused = 0;
	char name[16];

	(void)state;
	for (i = 0; i < GATEWAY_MADE_MAX + 3; i++) {
		snprintf(name, sizeof(name), "box-%u", i);
		put(name, &ask);
	}
	while (ag_kit_journal(kit))
		ag_kit_advance(kit, 1);
	for (i = 0; i < GATEWAY_MADE_MAX + 3; i++) {
		const Ag__OutcomeEvent *o = outcome("tool.update");

		if (o->refusal == NULL)
			continue;
		assert_int_equal(o->refusal->err, AG_ILLEGAL_OPERATION);
		refused++;
	}
	assert_int_equal(refused, 3);
	assert_int_equal(gateway->server_count, GATEWAY_MADE_MAX);
	assert_int_equal(made_version(gateway, gateway->servers[0]->tenant,
	    "box-16"), 0);
}

/* It is kept, and found no place: that can be taken away, as the others can. */
static void
test_one_without_room_is_taken_away(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	unsigned i;

	(void)state;
	put("box", &ask);
	assert_true(ag_kit_journal(kit));
	assert_null(outcome("tool.update")->refusal);
	server_leave(gateway->servers[0]);
	/* The table is full of others'. */
	for (i = 0; i < GATEWAY_SERVERS_MAX; i++) {
		gateway->servers[i] = calloc(1, sizeof(struct server));
		gateway->servers[i]->name = "other";
		gateway->servers[i]->tenant = "other";
		gateway->servers[i]->gateway = gateway;
		gateway->servers[i]->list_due_ms = UINT64_MAX;
		gateway->servers[i]->replica_count = 1;
		gateway->servers[i]->modern = true;
	}
	gateway->server_count = GATEWAY_SERVERS_MAX;
	drop("box");
	assert_true(ag_kit_journal(kit));
	assert_null(outcome("tool.delete")->refusal);
	drop("box");
	assert_int_equal(outcome("tool.delete")->refusal->err, AG_ITEM_NOT_FOUND);
	assert_int_equal(gateway->server_count, GATEWAY_SERVERS_MAX);
}

static void
test_what_is_refused(void **state)
{
	Ag__ToolServerSetAsk ask = plain("http://127.0.0.1:2/mcp"); /* no origin */
	char *replicas[] = { (char *)(uintptr_t)"https://elsewhere.example/mcp" };

	(void)state;
	assert_field(&ask, "/url");
	ask.url = (char *)(uintptr_t)"https://tools.example.evil.example/mcp";
	assert_field(&ask, "/url");
	ask.url = (char *)(uintptr_t)"https://tools.example@evil.example/mcp";
	assert_field(&ask, "/url");
	ask.url = (char *)(uintptr_t)"https://tools.example/mcp";
	ask.replicas = replicas;
	ask.n_replicas = 1;
	assert_field(&ask, "/replicas");
	ask.n_replicas = 0;
	ask.secret = (char *)(uintptr_t)"../admin.token";
	assert_field(&ask, "/secret");
	ask.secret = (char *)(uintptr_t)"none";
	assert_field(&ask, "/secret");
	ask.secret = NULL;
	ask.ca_pem = (char *)(uintptr_t)"";
	assert_field(&ask, "/ca_pem");
	ask.ca_pem = (char *)(uintptr_t)"-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n";
	assert_field(&ask, "/ca_pem");
	assert_int_equal(gateway->server_count, 0);
	assert_int_equal(ask_count, 0);
}

static int
setup_anywhere(void **state)
{
	(void)state;
	ask_count = 0;
	kit = ag_kit_new(&ag_actor_gateway, "gateway:\n  enabled: true\n", NULL);
	gateway = ag_kit_state(kit);
	return 0;
}

static const Ag__Refusal *
put_of(const char *tenant, const char *url)
{
	Ag__ToolServerSetAsk ask = plain(url);
	Ag__Grant grant = AG__GRANT__INIT;

	grant.tenant = (char *)(uintptr_t)tenant;
	grant.resource_id = (char *)(uintptr_t)"box";
	ag_kit_operate(kit, AG_MSG_TOOL_SERVER_SET, &grant, &ask);
	while (ag_kit_journal(kit))
		continue;
	return outcome("tool.update")->refusal;
}

/* Without gateway.origins: what listens on loopback is the operator's. */
static void
test_loopback_is_not_every_tenants(void **state)
{
	const Ag__Refusal *refusal;

	(void)state;
	assert_null(put_of("default", "http://127.0.0.1:1/mcp"));
	refusal = put_of("acme", "http://127.0.0.1:1/mcp");
	assert_non_null(refusal);
	assert_string_equal(refusal->field, "/url");
	assert_null(put_of("acme", "https://tools.example/mcp"));
}

/* Whoever chose the address learns nothing of what is there. */
static void
test_failures_are_told_as_classes(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	struct fetch_answer got = { .status = 503, .bytes = "", .session = "" };
	struct asked a;

	(void)state;
	put("box", &ask);
	assert_true(ag_kit_journal(kit));
	ag_kit_advance(kit, 250);
	a = take("tools/list");
	die(&a); /* Connection refused */
	assert_string_equal(gateway->servers[0]->error, "it cannot be reached");
	ag_kit_advance(kit, 1300);
	a = take("tools/list");
	a.done(a.arg, &got);
	assert_string_equal(gateway->servers[0]->error,
	    "it answered with HTTP 5xx");
}

/* The replica of a session, by the url that its call went to. */
static struct asked
begin_at(const char *session)
{
	struct asked a;
	char id[64];

	call("box/get", session);
	assert_false(is_asked("tools/call"));
	a = take("initialize");
	snprintf(id, sizeof(id), "its-%s", session);
	answer(&a, "\"result\":{}", id);
	a = take("notifications/initialized");
	answer(&a, "\"x\":0", "");
	a = take("tools/call");
	assert_string_equal(a.session, id);
	return a;
}

static Ag__ToolServerSetAsk
three(char *replicas[2])
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/a");

	ask.protocol = (char *)(uintptr_t)WIRE_THEN;
	replicas[0] = (char *)(uintptr_t)"https://tools.example/b";
	replicas[1] = (char *)(uintptr_t)"https://tools.example/c";
	ask.replicas = replicas;
	ask.n_replicas = 2;
	ask.has_stateful = ask.stateful = true;
	return ask;
}

static void
test_a_session_stays_until_its_replica_dies(void **state)
{
	char *replicas[2];
	const Ag__ToolServerSetAsk ask = three(replicas);
	const Ag__OutcomeEvent *o;
	struct asked a, b;
	char home[128];

	(void)state;
	add(&ask);
	a = begin_at("s1");
	snprintf(home, sizeof(home), "%s", a.url);
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	call("box/get", "s1");
	b = take("tools/call");
	assert_string_equal(b.url, home);
	assert_string_equal(b.session, "its-s1");
	/* It dies: who was there is told, once, and begins anew elsewhere. */
	die(&b);
	o = outcome("tool.call");
	assert_int_equal(o->refusal->err, AG_CONFLICT);
	assert_string_equal(o->refusal->reason_code, "session_lost");
	a = begin_at("s1");
	assert_string_not_equal(a.url, home);
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	assert_false(server_is_open(gateway->servers[0]));
}

/* A replica that forgets a session is as good as dead for it. */
static void
test_a_session_that_is_forgotten(void **state)
{
	char *replicas[2];
	const Ag__ToolServerSetAsk ask = three(replicas);
	const struct fetch_answer gone = { .status = 404, .bytes = "", .session = "" };
	struct asked a;

	(void)state;
	add(&ask);
	a = begin_at("s1");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	call("box/get", "s1");
	a = take("tools/call");
	a.done(a.arg, &gone);
	ag_kit_advance(kit, 1);
	assert_string_equal(outcome("tool.call")->refusal->reason_code,
	    "session_lost");
	a = begin_at("s1");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
}

/* One call of a session that is there, and what is refused to one that is not. */
static void
called(const char *session)
{
	struct asked a;

	call("box/get", session);
	a = take("tools/call");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
}

static void
assert_lost_once(const char *session)
{
	struct asked a;

	call("box/get", session);
	assert_string_equal(outcome("tool.call")->refusal->reason_code,
	    "session_lost");
	a = begin_at(session);
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	called(session);
}

/* What it held is not with the server that is there now. */
static void
test_a_changed_server_has_lost_its_sessions(void **state)
{
	char *replicas[2];
	Ag__ToolServerSetAsk ask = three(replicas);
	struct asked a;

	(void)state;
	add(&ask);
	a = begin_at("s1");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	called("s1");
	ask.has_timeout_ms = true;
	ask.timeout_ms = 1000;
	put("box", &ask);
	assert_true(ag_kit_journal(kit));
	assert_null(outcome("tool.update")->refusal);
	ag_kit_advance(kit, 250);
	a = take("initialize");
	answer(&a, "\"result\":{}", "own");
	a = take("notifications/initialized");
	answer(&a, "\"x\":0", "");
	a = take("tools/list");
	answer(&a, TOOLS, "");
	assert_lost_once("s1");
	a = begin_at("s2"); /* had none */
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
}

static void
put_secret(const char *secret)
{
	char path[600], next[608];
	FILE *file;

	snprintf(path, sizeof(path), "%s/tool-secrets", ag_kit_state_dir(kit));
	(void)mkdir(path, 0700);
	strcat(path, "/default");
	(void)mkdir(path, 0700);
	strcat(path, "/its");
	snprintf(next, sizeof(next), "%s.next", path);
	assert_non_null(file = fopen(next, "w"));
	assert_int_equal(chmod(next, 0600), 0);
	assert_true(fputs(secret, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(next, path), 0);
}

/* Who speaks to the server is somebody else then; the same secret, written
 * anew, is the same. */
static void
test_another_secret_has_lost_the_sessions(void **state)
{
	char *replicas[2];
	Ag__ToolServerSetAsk ask = three(replicas);
	struct asked a;

	(void)state;
	put_secret("the first secret of all");
	ask.secret = (char *)(uintptr_t)"its";
	add(&ask);
	a = begin_at("s1");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	put_secret("the first secret of all");
	called("s1");
	put_secret("the other secret of all");
	assert_lost_once("s1");
}

/* Two calls of a session that has not begun: it begins once. */
static void
test_a_session_begins_once(void **state)
{
	char *replicas[2];
	const Ag__ToolServerSetAsk ask = three(replicas);
	struct asked a;

	(void)state;
	add(&ask);
	call("box/get", "s1");
	call("box/get", "s1");
	a = take("initialize");
	assert_false(is_asked("initialize"));
	answer(&a, "\"result\":{}", "one");
	a = take("tools/call");
	answer(&a, "\"result\":{\"content\":[]}", "");
	a = take("tools/call");
	assert_string_equal(a.session, "one");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	assert_null(outcome("tool.call")->refusal);
}

/* W22: of many keys each replica has its share, and one that goes moves only
 * those that were at it. */
static void
test_keys_are_spread(void **state)
{
	char *replicas[2], key[SESSION_KEY_SIZE];
	const Ag__ToolServerSetAsk ask = three(replicas);
	unsigned at[100], count[3] = { 0 }, i, now;
	struct server *server;

	(void)state;
	add(&ask);
	server = gateway->servers[0];
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "session-%u", i);
		at[i] = replica_for(server, key);
		assert_int_equal(replica_for(server, key), at[i]);
		count[at[i]]++;
	}
	for (i = 0; i < 3; i++)
		assert_in_range(count[i], 15, 60);
	replica_failed(server, 1);
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "session-%u", i);
		now = replica_for(server, key);
		assert_true(at[i] == 1 ? now != 1 : now == at[i]);
	}
	replica_failed(server, 0);
	replica_failed(server, 2);
	assert_false(server_has_live(server));
	ag_kit_advance(kit, 31000); /* gateway.breaker_s */
	assert_true(server_has_live(server));
	snprintf(key, sizeof(key), "session-%u", 7u);
	assert_int_equal(replica_for(server, key), at[7]);
}

static void
tenant_is(const char *name, const char *now)
{
	Ag__TenantFact fact = AG__TENANT_FACT__INIT;
	const struct ag_fact_record record = { .seq = 1000, .version = 2,
		.stream = "tenant:x", .type = AG_MSG_TENANT_FACT, .fact = &fact,
		.tenant = name, .author = "iam" };

	fact.name = (char *)(uintptr_t)name;
	fact.state = (char *)(uintptr_t)now;
	assert_int_equal(ag_actor_gateway.apply(gateway, ag_kit_ctx(kit), &record),
	    AG_OK);
}

/* Nobody is asked on behalf of a tenant that has ended. */
static void
test_a_tenant_that_ends_takes_its_servers(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	const char *tenant;

	(void)state;
	add(&ask);
	tenant = strdup(gateway->servers[0]->tenant);
	tenant_is("another", "deleted");
	tenant_is(tenant, "suspended");
	assert_int_equal(gateway->server_count, 1);
	tenant_is(tenant, "deleting");
	assert_int_equal(gateway->server_count, 0);
	/* And not after a start, either. */
	assert_int_equal(made_load(gateway), AG_OK);
	assert_int_equal(gateway->server_count, 0);
	free((char *)(uintptr_t)tenant);
}

/* And asked again when it is back. */
static void
test_a_suspended_tenants_servers_are_left_alone(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	char *tenant;

	(void)state;
	add(&ask);
	tenant = strdup(gateway->servers[0]->tenant);
	tenant_is(tenant, "suspended");
	ag_kit_advance(kit, 3600 * 1000);
	assert_false(is_asked("tools/list"));
	tenant_is("another", "active");
	ag_kit_advance(kit, 1000);
	assert_false(is_asked("tools/list"));
	tenant_is(tenant, "active");
	ag_kit_advance(kit, 1000);
	assert_true(is_asked("tools/list"));
	free(tenant);
}

static unsigned
catalogs(void)
{
	unsigned count = 0;

	while (ag_kit_find(kit, AG_MSG_TOOL_CATALOG_EVENT) != NULL)
		count++;
	return count;
}

/* Its failures cost the planes nothing, and itself less each time. */
static void
test_one_that_fails_is_left_alone_longer(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	struct asked a;

	(void)state;
	put("box", &ask);
	assert_true(ag_kit_journal(kit));
	ag_kit_advance(kit, 250);
	a = take("tools/list");
	(void)catalogs();
	die(&a);
	ag_kit_advance(kit, 1300);
	a = take("tools/list");
	die(&a);
	ag_kit_advance(kit, 1500);
	assert_false(is_asked("tools/list"));
	ag_kit_advance(kit, 800);
	a = take("tools/list");
	assert_int_equal(catalogs(), 0);
	answer(&a, TOOLS, "");
	assert_true(ag_kit_journal(kit));
	assert_int_equal(gateway->servers[0]->retry_ms, 0);
	assert_true(catalogs() > 0);
	for (unsigned i = 0; i < 9; i++) {
		gateway->servers[0]->list_due_ms = 0;
		ag_kit_advance(kit, 250);
		a = take("tools/list");
		die(&a);
	}
	assert_int_equal(gateway->servers[0]->retry_ms, gateway->refresh_ms);
	assert_int_equal(catalogs(), 0);
}

/* Slow servers of one tenant leave room for another's. */
static void
test_a_tenant_has_its_share_of_calls(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	struct server other = { .name = "box", .tenant = "other",
		.list_due_ms = UINT64_MAX, .modern = true };
	struct asked a;
	unsigned i;

	(void)state;
	add(&ask);
	for (i = 0; i < GATEWAY_TENANT_CALLS_MAX; i++) {
		gateway->jobs[i].used = true;
		gateway->jobs[i].server = gateway->servers[0];
	}
	call("box/get", NULL); /* nobody else is there */
	a = take("tools/call");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	gateway->servers[gateway->server_count++] = &other;
	call("box/get", NULL);
	assert_string_equal(outcome("tool.call")->refusal->reason_code,
	    "overloaded");
	assert_false(is_asked("tools/call"));
	gateway->jobs[0].server = &other; /* one less of its own */
	call("box/get", NULL);
	a = take("tools/call");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
	gateway->server_count--;
	memset(gateway->jobs, 0, GATEWAY_TENANT_CALLS_MAX *
	    sizeof(gateway->jobs[0]));
}

/* W17: switched off, the list is as little there as what it would list. */
static void
test_nothing_is_discovered(void **state)
{
	Ag__ToolServerSetAsk ask = plain("https://tools.example/mcp");
	Ag__ToolShowAsk show = AG__TOOL_SHOW_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	struct asked a;

	(void)state;
	add(&ask);
	grant.has_read_all = grant.read_all = true;
	ag_kit_operate(kit, AG_MSG_TOOL_SHOW, &grant, &show);
	assert_int_equal(outcome("tool.show")->refusal->err, AG_ITEM_NOT_FOUND);
	call("box/get", NULL); /* by its name, all the same */
	a = take("tools/call");
	answer(&a, "\"result\":{\"content\":[]}", "");
	assert_null(outcome("tool.call")->refusal);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_is_added_and_taken_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_tenant_that_ends_takes_its_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_suspended_tenants_servers_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_fails_is_left_alone_longer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_tenant_has_its_share_of_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_discovered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_at_once_are_not_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_without_room_is_taken_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback_is_not_every_tenants, setup_anywhere, teardown),
		cmocka_unit_test_setup_teardown(test_failures_are_told_as_classes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_session_stays_until_its_replica_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_session_that_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_changed_server_has_lost_its_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_secret_has_lost_the_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_session_begins_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_spread, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
