/* SPDX-License-Identifier: Apache-2.0 */
/* The plane in the kit: a client on one end of a socket pair, iam and audit
 * played by hand. */
#include "rest.h"

#include <aegis/kit.h>

#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct ag_actor ag_actor_rest;

static struct ag_kit *kit;
static struct rest *rest;
static struct event_base *base;
static int client;
static char answer[1 << 16];

static int
connect_client(void)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_non_null(conn_open(&rest->plane, ends[0], &peer));
	return ends[1];
}

static int
start(const char *config)
{
	kit = ag_kit_new(&ag_actor_rest, config, NULL);
	rest = ag_kit_state(kit);
	rest->plane.base = base = event_base_new();
	client = connect_client();
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return start(NULL);
}

static int
teardown(void **state)
{
	(void)state;
	close(client);
	ag_kit_free(&kit);
	event_base_free(base);
	return 0;
}

/* Lets the plane read, and time pass. */
static void
turn(int64_t ms)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	ag_kit_advance(kit, ms);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
say(const char *text)
{
	assert_int_equal(write(client, text, strlen(text)), strlen(text));
	turn(1);
}

/* Everything that has arrived; "" for nothing. */
static const char *
hear(void)
{
	ssize_t n = read(client, answer, sizeof(answer) - 1);

	answer[n < 0 ? 0 : n] = '\0';
	return answer;
}

static const char *
header_is(const char *line)
{
	if (strstr(answer, line) == NULL)
		fail_msg("no '%s' in: %s", line, answer);
	return answer;
}

static void
deliver(uint64_t n, unsigned status, ag_err err, const char *reason,
    uint16_t type, const void *reply)
{
	Ag__DeliverEvent event = AG__DELIVER_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	uint8_t bytes[4096];

	event.n = n;
	event.boot = ag_boot(ag_kit_ctx(kit));
	event.status = status;
	if (err != AG_OK) {
		refusal.err = err;
		refusal.reason_code = (char *)(uintptr_t)reason;
		event.refusal = &refusal;
	} else {
		event.has_reply_type = event.has_reply = 1;
		event.reply_type = type;
		event.reply.data = bytes;
		event.reply.len = protobuf_c_message_pack(reply, bytes);
	}
	ag_kit_deliver(kit, AG_ROLE_AUDIT, 0, AG_MSG_DELIVER_EVENT, NULL, &event);
	turn(1);
}

static const char sign[] = "POST /v1/keys/invoice/sign HTTP/1.1\r\nHost: h\r\n"
    "Authorization: Bearer a.b.c\r\nContent-Type: application/json\r\n"
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    "X-Request-Id: mine\r\nContent-Length: 26\r\n\r\n"
    "{\"message_b64\":\"aGVsbG8=\"}";

static void
deliver_signature(uint64_t n)
{
	Ag__SignReply reply = AG__SIGN_REPLY__INIT;
	char id[] = "key_1";

	reply.key_id = id;
	reply.key_version = 1;
	reply.algorithm = AG__ALGORITHM__V__ECDSA_SHA_256;
	reply.signature_b64.data = (uint8_t *)id;
	reply.signature_b64.len = 5;
	deliver(n, 200, AG_OK, NULL, AG_MSG_KEY_SIGN, &reply);
}

static void
test_sign(void **state)
{
	const struct ag_kit_sent *sent;
	const Ag__SignAsk *ask;

	(void)state;
	say(sign);
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_IAM);
	assert_int_equal(sent->type, AG_MSG_KEY_SIGN);
	assert_string_equal(sent->env->request->credential, "a.b.c");
	assert_string_equal(sent->env->request->selector, "invoice");
	assert_string_equal(sent->env->request->client_request_id, "mine");
	assert_string_equal(sent->env->request->trace_id,
	    "0af7651916cd43dd8448eb211c80319c");
	assert_int_equal(sent->env->request->n, 1);
	assert_int_equal(sent->env->request->reply_key.len, 32);
	assert_null(sent->env->request->refusal);
	ask = sent->body;
	assert_int_equal(ask->message_b64.len, 5);
	assert_string_equal(hear(), "");

	deliver_signature(1);
	hear();
	header_is("HTTP/1.1 200 OK\r\n");
	header_is("X-Request-Id: ");
	header_is("Content-Type: application/json\r\n");
	header_is("traceparent: 00-0af7651916cd43dd8448eb211c80319c-");
	header_is("\r\n\r\n{\"key_id\":\"key_1\",\"key_version\":1,"
	    "\"algorithm\":\"ECDSA_SHA_256\",\"signature_b64\":\"a2V5XzE=\"}");
	deliver_signature(1); /* again: nobody waits */
	assert_string_equal(hear(), "");
}

static void
test_pipelined_one_at_a_time(void **state)
{
	char two[2 * sizeof(sign)];

	(void)state;
	strcpy(two, sign);
	strcat(two, sign);
	say(two);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	assert_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	deliver_signature(1);
	header_is((hear(), "200 OK"));
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	deliver_signature(2);
	header_is((hear(), "200 OK"));
}

/* Bad JSON goes to iam, which says first who it was. */
static void
test_bad_body_is_passed_on(void **state)
{
	const struct ag_kit_sent *sent;

	(void)state;
	say("POST /v1/keys/k/sign HTTP/1.1\r\nHost: h\r\n"
	    "Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"x\":12}");
	sent = ag_kit_find(kit, AG_MSG_KEY_SIGN);
	assert_non_null(sent);
	assert_null(sent->env->request->credential);
	assert_int_equal(sent->env->request->refusal->err, AG_INVALID_FIELD);
	assert_string_equal(sent->env->request->refusal->field, "/x");
	deliver(1, 401, AG_UNAUTHENTICATED, "token_missing", 0, NULL);
	hear();
	header_is("HTTP/1.1 401 Unauthorized");
	header_is("WWW-Authenticate: Bearer realm=\"aegis\"\r\n");
	header_is("\"code\":\"Unauthenticated\",\"reason_code\":\"token_missing\"");
}

static void
test_wrong_content_type(void **state)
{
	const struct ag_kit_sent *sent;

	(void)state;
	say("POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Type: text/json\r\n"
	    "Content-Length: 2\r\n\r\n{}");
	sent = ag_kit_find(kit, AG_MSG_KEY_CREATE);
	assert_non_null(sent);
	assert_int_equal(sent->env->request->refusal->err,
	    AG_UNSUPPORTED_MEDIA_TYPE);
}

static void
test_created(void **state)
{
	Ag__Key key = AG__KEY__INIT;
	char id[] = "key_1", tenant[] = "default";

	(void)state;
	say("POST /v1/keys HTTP/1.1\r\nHost: h\r\nIdempotency-Key: once\r\n"
	    "Content-Type: application/json; charset=utf-8\r\nContent-Length: 22\r\n\r\n"
	    "{\"key_spec\":\"AES_256\"}");
	assert_string_equal(
	    ag_kit_find(kit, AG_MSG_KEY_CREATE)->env->request->route, "POST /v1/keys");
	key.id = id;
	key.tenant = key.rot = tenant;
	key.key_spec = AG__KEY_SPEC__V__AES_256;
	key.state = AG__KEY_STATE__V__PreActive;
	key.revision = 1;
	deliver(1, 201, AG_OK, NULL, AG_MSG_KEY_CREATE, &key);
	hear();
	header_is("HTTP/1.1 201 Created\r\n");
	header_is("Location: /v1/keys/key_1\r\n");
	header_is("ETag: \"1\"\r\n");
}

/* A station in between cannot answer for the key's shard. */
static void
test_unsealed_secret_is_no_answer(void **state)
{
	Ag__DecryptReply reply = AG__DECRYPT_REPLY__INIT;
	char id[] = "key_1", text[] = "forged";

	(void)state;
	say("POST /v1/keys/k/decrypt HTTP/1.1\r\nHost: h\r\n"
	    "Content-Type: application/json\r\nContent-Length: 25\r\n\r\n"
	    "{\"ciphertext_b64\":\"AAAA\"}");
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_DECRYPT));
	reply.key_id = id;
	reply.key_version = 1;
	reply.algorithm = AG__ALGORITHM__V__AES_GCM;
	reply.plaintext_b64.data = (uint8_t *)text;
	reply.plaintext_b64.len = sizeof(text) - 1;
	deliver(1, 200, AG_OK, NULL, AG_MSG_KEY_DECRYPT, &reply);
	hear();
	header_is("HTTP/1.1 500 ");
}

/* Refusals of our own are answered when audit has them. */
static void
refused_by_us(const char *text, unsigned status, const char *code)
{
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *outcome;
	char line[64];

	say(text);
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	assert_int_equal(sent->type, AG_MSG_OUTCOME_EVENT);
	assert_int_equal(sent->to_role, AG_ROLE_AUDIT);
	outcome = sent->body;
	assert_int_equal(outcome->event_type, AG__EVENT_TYPE__V__request);
	assert_int_equal(outcome->status, status);
	assert_null(outcome->request->credential);
	assert_string_equal(hear(), "");
	deliver(outcome->request->n, status, outcome->refusal->err,
	    outcome->refusal->reason_code, 0, NULL);
	hear();
	snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
	header_is(line);
	snprintf(line, sizeof(line), "\"code\":\"%s\"", code);
	header_is(line);
	header_is("Content-Type: application/problem+json");
}

static void
test_route_not_found(void **state)
{
	(void)state;
	refused_by_us("GET /nope HTTP/1.1\r\nHost: h\r\n\r\n", 404, "RouteNotFound");
	refused_by_us("DELETE /v1/keys HTTP/1.1\r\nHost: h\r\n\r\n", 405,
	    "MethodNotAllowed");
	header_is("Allow: GET, POST\r\n");
	refused_by_us("OPTIONS /v1/keys HTTP/1.1\r\nHost: h\r\n\r\n", 405,
	    "MethodNotAllowed");
}

static void
test_bad_framing(void **state)
{
	(void)state;
	refused_by_us("POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
	    "Content-Length: 2\r\n\r\n", 400, "MalformedRequest");
	header_is("Connection: close\r\n");
	turn(1);
	assert_int_equal(read(client, answer, 1), 0); /* closed */
}

static void
test_header_deadline_is_absolute(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 11; i++) { /* a byte a second keeps nothing alive */
		if (write(client, "GET /v1/keys "+ i, 1) != 1)
			fail();
		turn(1000);
	}
	refused_by_us("", 408, "RequestTimeout");
}

static void
test_timeout(void **state)
{
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *outcome;

	(void)state;
	say(sign);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	turn(2100);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	outcome = sent->body;
	assert_int_equal(outcome->outcome, AG__OUTCOME_KIND__V__unknown);
	assert_string_equal(outcome->operation, "key.sign");
	assert_string_equal(outcome->refusal->reason_code, "outcome_unknown");
	assert_int_equal(outcome->request->n, 1);
	deliver(1, 504, AG_DEADLINE_EXCEEDED, "outcome_unknown", 0, NULL);
	hear();
	header_is("HTTP/1.1 504 ");
}

static void
audit_is(bool up)
{
	Ag__PeerEvent event = AG__PEER_EVENT__INIT;

	event.slot = ag_slot(ag_kit_ctx(kit), AG_ROLE_AUDIT, 0);
	event.up = up;
	ag_kit_deliver(kit, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &event);
}

/* Audit stays silent: 503 without a record, owed and paid. */
static void
test_unrecorded(void **state)
{
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *outcome;

	(void)state;
	say(sign);
	deliver(99, 200, AG_OK, NULL, AG_MSG_KEY_SIGN, ag_kit_find(kit,
	    AG_MSG_KEY_SIGN)->body); /* audit is there; nobody waits for 99 */
	turn(2100);
	assert_non_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT));
	turn(2100);
	hear();
	header_is("HTTP/1.1 503 ");
	header_is("\"code\":\"Unavailable\",\"reason_code\":\"audit\"");
	header_is("Retry-After: ");
	/* Found by a stranger: each of an outage had an event of its own. */
	audit_is(false);
	for (int i = 0; i < 2; i++) {
		say(sign);
		hear();
		header_is("\"code\":\"Unavailable\",\"reason_code\":\"audit\"");
	}
	turn(3100);
	assert_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT)); /* to whom? */
	say(sign);
	hear();
	audit_is(true);
	turn(100);
	assert_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT)); /* the last of it? */
	turn(3000);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	outcome = sent->body;
	assert_string_equal(outcome->operation, "system.unrecorded");
	assert_int_equal(outcome->suppressed, 4);
	assert_string_equal(outcome->refusal->reason_code, "audit");
	turn(4000);
	assert_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT)); /* said once */
}

static void
test_overload(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(kit);
	unsigned taken = 0;

	(void)state;
	while (ag_credit_take(ctx, 1))
		taken++;
	say(sign);
	assert_null(ag_kit_next(kit));
	turn(500);
	assert_null(ag_kit_next(kit));
	turn(600);
	refused_by_us("", 503, "Unavailable");
	header_is("\"reason_code\":\"overloaded\"");
	header_is("Retry-After: 1\r\n");
	say(sign); /* waits, then credit comes */
	assert_null(ag_kit_next(kit));
	for (; taken > 0; taken--)
		ag_credit_give(ctx, 1);
	turn(60);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
}

static void
test_client_leaves(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(kit);
	unsigned left = 0;

	(void)state;
	say(sign);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	shutdown(client, SHUT_RDWR);
	turn(1);
	deliver_signature(1);
	turn(1);
	assert_int_equal(rest->plane.conn_count, 0);
	assert_int_equal(rest->plane.in_flight, 0);
	while (ag_credit_take(ctx, 1))
		left++;
	assert_int_equal(left, 4096);
}

static void
test_address_limit(void **state)
{
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *outcome;
	unsigned i;

	(void)state;
	ag_kit_free(&kit);
	close(client);
	event_base_free(base);
	start("limits: {address: {rate: 3, window_s: 60}}\n");
	for (i = 1; i <= 3; i++) {
		say(sign);
		assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
		deliver_signature(i);
		hear();
	}
	for (i = 0; i < 5; i++) {
		say(sign);
		hear();
		header_is("HTTP/1.1 429 ");
		header_is("\"reason_code\":\"address\"");
		header_is("Retry-After: ");
		assert_null(ag_kit_next(kit));
	}
	turn(10001);
	turn(51);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	outcome = sent->body;
	assert_int_equal(outcome->suppressed, 5);
	assert_string_equal(outcome->refusal->reason_code, "address");
	turn(60000);
	say(sign);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
}

static void
test_stream(void **state)
{
	Ag__StreamOpenReply reply = AG__STREAM_OPEN_REPLY__INIT;
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;
	Ag__Event event = AG__EVENT__INIT;
	const struct ag_kit_sent *sent;
	char text[] = "x";

	(void)state;
	say("GET /v1/audit/stream?operation=key.sign HTTP/1.1\r\nHost: h\r\n"
	    "Last-Event-ID: 41\r\n\r\n");
	sent = ag_kit_find(kit, AG_MSG_AUDIT_STREAM);
	assert_non_null(sent);
	assert_int_equal(((const Ag__AuditQueryAsk *)sent->body)->from_seq, 42);
	item.stream = 1;
	item.boot = ag_boot(ag_kit_ctx(kit));
	event.event_id = event.tenant = event.operation = text;
	event.event_type = AG__EVENT_TYPE__V__request;
	event.outcome = AG__OUTCOME_KIND__V__allowed;
	event.seq = 42;
	item.event = &event;
	ag_kit_deliver(kit, AG_ROLE_HISTORY, 0, AG_MSG_STREAM_ITEM_EVENT, NULL, &item);
	assert_string_equal(hear(), ""); /* not before the answer */
	reply.from_seq = 42;
	deliver(1, 200, AG_OK, NULL, AG_MSG_AUDIT_STREAM, &reply);
	hear();
	header_is("Content-Type: text/event-stream\r\n");
	header_is("retry: 1000\n\n");
	header_is("id: 42\nevent: audit\ndata: {\"event_id\":\"x\"");
	assert_non_null(ag_kit_find(kit, AG_MSG_STREAM_CREDIT_ORDER));
	turn(15100);
	hear();
	header_is(": keep-alive\n\n");
	shutdown(client, SHUT_RDWR);
	turn(1);
	assert_non_null(ag_kit_find(kit, AG_MSG_STREAM_STOP_ORDER));
	assert_int_equal(rest->plane.conn_count, 0);
}

/* Who does not read for a while finds, behind all that came before, that it
 * is behind; then the end. */
static void
test_a_reader_that_lags(void **state)
{
	Ag__StreamOpenReply reply = AG__STREAM_OPEN_REPLY__INIT;
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;
	Ag__Event event = AG__EVENT__INIT;
	char text[] = "x", tail[64] = "";
	ssize_t n;

	(void)state;
	say("GET /v1/audit/stream HTTP/1.1\r\nHost: h\r\n\r\n");
	deliver(1, 200, AG_OK, NULL, AG_MSG_AUDIT_STREAM, &reply);
	item.stream = 1;
	item.boot = ag_boot(ag_kit_ctx(kit));
	event.event_id = event.tenant = event.operation = text;
	event.event_type = AG__EVENT_TYPE__V__request;
	event.outcome = AG__OUTCOME_KIND__V__allowed;
	item.event = &event;
	while (ag_kit_find(kit, AG_MSG_STREAM_STOP_ORDER) == NULL) {
		assert_true(++event.seq < 10000);
		ag_kit_deliver(kit, AG_ROLE_HISTORY, 0, AG_MSG_STREAM_ITEM_EVENT, NULL,
		    &item);
	}
	turn(45000); /* it has a minute */
	while (turn(1), (n = read(client, answer, sizeof(answer) - 1)) > 0)
		snprintf(tail, sizeof(tail), "%.63s", answer + (n > 63 ? n - 63 : 0));
	assert_int_equal(n, 0); /* closed */
	snprintf(answer, sizeof(answer), "%s", tail);
	header_is("event: lagged\ndata: {\"last_seq\":");
	assert_int_equal(rest->plane.conn_count, 0);
}

static void
test_public_pages(void **state)
{
	json_error_t error;
	json_t *json;

	(void)state;
	say("GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz/live HTTP/1.1\r\n"
	    "Host: h\r\n\r\n");
	hear();
	header_is("\"product\":\"aegis\"");
	header_is("{\"status\":\"ok\",\"checks\":[{\"name\":\"broker\"");
	say("GET /healthz/ready HTTP/1.1\r\nHost: h\r\n\r\n");
	hear();
	header_is("HTTP/1.1 503 ");
	say("GET /docs HTTP/1.1\r\nHost: h\r\n\r\n");
	hear();
	header_is("Content-Security-Policy: default-src 'none'; style-src 'sha256-");
	say("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
	hear();
	header_is("aegis_rest_requests_total{process=\"rest.0\"}");
	assert_null(ag_kit_next(kit)); /* none of it is recorded */
	openapi_print(&rest->openapi);
	json = json_loadb(rest->openapi.bytes, rest->openapi.len,
	    JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		fail_msg("openapi: %s at %d", error.text, error.position);
	json_decref(json);
}

static void
test_jwks(void **state)
{
	Ag__JwksReply reply = AG__JWKS_REPLY__INIT;
	const struct ag_kit_sent *sent;

	(void)state;
	say("GET /.well-known/jwks.json HTTP/1.1\r\nHost: h\r\n\r\n");
	sent = ag_kit_find(kit, AG_MSG_JWKS_ASK);
	assert_non_null(sent);
	ag_kit_answer(kit, sent, AG_MSG_JWKS_REPLY, &reply);
	turn(1);
	hear();
	header_is("{\"keys\":[]}");
}

static void
test_connection_bound(void **state)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	int ends[2];

	(void)state;
	rest->plane.conn_max = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_null(conn_open(&rest->plane, ends[0], &peer));
	assert_int_equal(read(ends[1], answer, 1), 0);
	close(ends[1]);
}

static struct sockaddr_in
elsewhere(uint32_t host)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };

	peer.sin_addr.s_addr = htonl(0xc0000200 + host); /* 192.0.2.0/24 */
	return peer;
}

static int
connect_from(uint32_t host, struct conn **conn)
{
	const struct sockaddr_in peer = elsewhere(host);
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	*conn = conn_open(&rest->plane, ends[0], (const struct sockaddr *)&peer);
	return ends[1];
}

/* One address has a quarter of the connections; others have theirs; what it
 * lets go of it may take again. */
static void
test_one_address_has_its_part(void **state)
{
	unsigned part = (rest->plane.conn_max + 3) / 4, i;
	int *ends = calloc(part, sizeof(*ends)), end;
	struct conn *conn;

	(void)state;
	for (i = 0; i < part; i++) {
		ends[i] = connect_from(1, &conn);
		assert_non_null(conn);
	}
	end = connect_from(1, &conn);
	assert_null(conn);
	close(end);
	end = connect_from(2, &conn);
	assert_non_null(conn);
	close(end);
	close(ends[0]);
	turn(1);
	ends[0] = connect_from(1, &conn);
	assert_non_null(conn);
	for (i = 0; i < part; i++)
		close(ends[i]);
	turn(1);
	free(ends);
}

/* Its bodies that are not whole yet, too: many that stall keep nobody out. */
static void
test_bodies_of_one_address(void **state)
{
	char *piece = malloc(600 << 10);
	struct conn *conn;
	int ends[80], count = 0, refused = 0, i;

	(void)state;
	memset(piece, ' ', 600 << 10);
	for (i = 0; i < 80; i++, count++) {
		ends[i] = connect_from(i < 79 ? 1 : 2, &conn);
		assert_non_null(conn);
		conn_place(conn, CONN_FRESH);
		static const char head[] = "POST /v1/keys/k/sign HTTP/1.1\r\nHost: x\r\n"
		    "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";
		http_feed(&conn->in, head, sizeof(head) - 1);
		http_feed(&conn->in, piece, 600 << 10);
		refused += conn->in.stage == STAGE_BAD;
		if (conn->in.stage == STAGE_BAD)
			assert_string_equal(conn->in.refuse.reason, "overloaded");
	}
	assert_int_equal(refused, 79 - 64); /* a MiB each, of a quarter of 256 MiB */
	assert_int_equal(conn->in.stage, STAGE_BODY);
	for (i = 0; i < count; i++)
		close(ends[i]);
	turn(1);
	assert_int_equal(rest->plane.bodies.held, 0);
	free(piece);
}

/* What a proxy said of one request is not true of the next. */
static void
test_a_proxy_speaks_for_one_request(void **state)
{
	static const char line[] = "GET /healthz/live HTTP/1.1\r\nHost: x\r\n%s\r\n";
	char text[256];
	struct conn *conn;
	int end;

	(void)state;
	end = connect_from(9, &conn);
	assert_non_null(conn);
	conn->proxied = true;
	snprintf(text, sizeof(text), line, "X-Forwarded-For: 198.51.100.7\r\n");
	assert_true(write(end, text, strlen(text)) > 0);
	turn(1);
	assert_string_equal(conn->address, "198.51.100.7");
	snprintf(text, sizeof(text), line, "X-Forwarded-For: nobody\r\n");
	assert_true(write(end, text, strlen(text)) > 0);
	turn(1);
	assert_string_equal(conn->address, "192.0.2.9");
	close(end);
	turn(1);
}

/* Who finds no room among thousands of refused addresses is refused, and it is
 * recorded that somebody was. */
static void
test_a_flood_from_thousands_is_recorded(void **state)
{
	const struct ag_kit_sent *sent;
	unsigned retry_after_s, nameless = 0;
	struct conn *conn;
	uint64_t key = 0;
	int end;

	(void)state;
	ag_kit_free(&kit);
	close(client);
	event_base_free(base);
	start("limits: {address: {rate: 1, window_s: 60}}\n");
	end = connect_from(1, &conn);
	do {
		assert_true(++key < 100000);
		memcpy(conn->address_key, &key, sizeof(key));
		if (!limit_allows(conn, &retry_after_s))
			break; /* no room for a new one */
		assert_false(limit_allows(conn, &retry_after_s));
	} while (true);
	limit_report(&rest->plane, true);
	turn(1);
	while ((sent = ag_kit_next(kit)) != NULL) {
		const Ag__OutcomeEvent *outcome = sent->body;

		if (sent->type == AG_MSG_OUTCOME_EVENT &&
		    outcome->request->source_address == NULL)
			nameless += (unsigned)outcome->suppressed;
	}
	assert_int_equal(nameless, 1);
	close(end);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* Readers that do not read share one bound; who waits for little is not hit. */
static void
slow_readers_share_a_bound(void **state)
{
	enum { PIECE = 1 << 20, CLIENTS = 12 };
	char *piece = calloc(1, PIECE);
	struct conn *conns[CLIENTS];
	int clients[CLIENTS];
	unsigned broken = 0;

	assert_int_equal(rest->plane.unsent, 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = connect_client();
		conns[i] = TAILQ_LAST(&rest->plane.lists[CONN_FRESH], conn_list);
		for (unsigned k = 0; k < 7; k++)
			conn_write(conns[i], piece, PIECE);
		broken += conns[i]->broken;
		assert_true(rest->plane.unsent <= PLANE_OUTPUT_TOTAL_MAX);
	}
	assert_true(broken > 0 && broken < CLIENTS / 2);
	assert_true(rest->plane.unsent > PLANE_OUTPUT_TOTAL_MAX - 7 * PIECE);
	/* The first connection, whose client reads, is answered as ever. */
	say("GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n");
	hear();
	header_is("HTTP/1.1 200 OK");
	signal(SIGPIPE, SIG_IGN); /* as the loop has it */
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i]);
	turn(1);
	assert_int_equal(rest->plane.unsent, 0);
	free(piece);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sign), T(test_pipelined_one_at_a_time),
		T(test_bad_body_is_passed_on), T(test_wrong_content_type),
		T(test_created), T(test_unsealed_secret_is_no_answer),
		T(test_route_not_found), T(test_bad_framing),
		T(test_header_deadline_is_absolute), T(test_timeout),
		T(test_unrecorded), T(test_overload), T(test_client_leaves),
		T(test_address_limit), T(test_stream), T(test_a_reader_that_lags), T(test_public_pages),
		T(test_jwks), T(test_connection_bound),
		T(test_one_address_has_its_part), T(test_bodies_of_one_address),
		T(test_a_proxy_speaks_for_one_request),
		T(test_a_flood_from_thousands_is_recorded),
		T(slow_readers_share_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
