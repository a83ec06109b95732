/* SPDX-License-Identifier: Apache-2.0 */
/* JSON and queries to messages and back: what is taken, and each way to be
 * refused, with the pointer to it. */
#include "codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pool pool;
static struct refuse refuse;
static struct codec_batch batch;
static struct text out;

static int
setup(void **state)
{
	(void)state;
	memset(&refuse, 0, sizeof(refuse));
	return pool_init(&pool) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	pool_fini(&pool);
	text_fini(&out);
	return 0;
}

static void *
body(const ProtobufCMessageDescriptor *d, const char *json)
{
	return codec_bind_body(&pool, d, (const uint8_t *)json, strlen(json), &batch,
	    &refuse);
}

static void *
query(const ProtobufCMessageDescriptor *d, const char *text)
{
	return codec_bind_query(&pool, d, pool_strndup(&pool, text, strlen(text)),
	    &refuse);
}

static const char *
print(const void *msg)
{
	text_reset(&out, false);
	codec_print(&out, msg);
	text_char(&out, '\0');
	return out.bytes;
}

static void
test_sign_ask(void **state)
{
	Ag__SignAsk *ask = body(&ag__sign_ask__descriptor,
	    "{\"message_b64\":\"aGVsbG8=\",\"algorithm\":\"ECDSA_SHA_256\","
	    "\"signature_format\":\"p1363\"}");

	(void)state;
	assert_non_null(ask);
	assert_int_equal(ask->message_b64.len, 5);
	assert_memory_equal(ask->message_b64.data, "hello", 5);
	assert_true(ask->has_algorithm);
	assert_int_equal(ask->algorithm, AG__ALGORITHM__V__ECDSA_SHA_256);
	assert_int_equal(ask->signature_format, AG__SIGNATURE_FORMAT__V__p1363);
	assert_false(ask->has_message_type);
}

static void
test_key_create(void **state)
{
	Ag__KeyCreateAsk *ask = body(&ag__key_create_ask__descriptor,
	    "{\"key_spec\":\"AES_256\",\"alias\":\"a\",\"usage\":[\"encrypt\","
	    "\"generate-data-key\"],\"labels\":{\"tier\":\"critical\",\"x\":\"\"},"
	    "\"rotation\":{\"every_s\":86400},\"activate\":true,\"rot\":null}");

	(void)state;
	assert_non_null(ask);
	assert_int_equal(ask->n_usage, 2);
	assert_int_equal(ask->usage[1], AG__USAGE__V__generate_data_key);
	assert_int_equal(ask->n_labels, 2);
	assert_string_equal(ask->labels[0]->key, "tier");
	assert_string_equal(ask->labels[0]->value, "critical");
	assert_true(ask->rotation->has_every_s);
	assert_true(ask->activate);
	assert_null(ask->rot);
}

struct bad {
	const ProtobufCMessageDescriptor *d;
	const char *json;
	ag_err err;
	const char *reason;
	const char *field;
};
#define INVALID AG_INVALID_FIELD
#define MALFORMED AG_MALFORMED_REQUEST
#define SIGN &ag__sign_ask__descriptor
#define CREATE &ag__key_create_ask__descriptor
#define BATCH &ag__batch_ask__descriptor

static const struct bad bads[] = {
	{ SIGN, "{\"message_b64\":\"\",\"nope\":1}", INVALID, "unknown_field", "/nope" },
	{ SIGN, "{}", INVALID, "missing", "/message_b64" },
	{ SIGN, "", INVALID, "missing", "/message_b64" },
	{ SIGN, "{\"message_b64\":null}", INVALID, "missing", "/message_b64" },
	{ SIGN, "{\"message_b64\":1}", INVALID, "wrong_type", "/message_b64" },
	{ SIGN, "{\"message_b64\":\"aGVsbG8\"}", INVALID, "bad_base64", "/message_b64" },
	{ SIGN, "{\"message_b64\":\"aGVsbG9=\"}", INVALID, "bad_base64", "/message_b64" },
	{ SIGN, "{\"message_b64\":\"aGVs bG8=\"}", INVALID, "bad_base64", "/message_b64" },
	{ SIGN, "{\"message_b64\":\"\",\"algorithm\":\"MD5\"}", INVALID,
	    "unknown_value", "/algorithm" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"usage\":[\"sign\",\"mac_verify\"]}",
	    INVALID, "unknown_value", "/usage/1" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"labels\":{\"a/b\":1}}", INVALID,
	    "wrong_type", "/labels/a~1b" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"labels\":{\"a\":null}}", INVALID,
	    "wrong_type", "/labels/a" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"rotation\":{\"next_at\":"
	    "\"2026-01-01T00:00:00Z\"}}", INVALID, "unknown_field", "/rotation/next_at" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"activate\":\"true\"}", INVALID,
	    "wrong_type", "/activate" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"rotation\":{\"after_operations\":-1}}",
	    INVALID, "out_of_range", "/rotation/after_operations" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"rotation\":[]}", INVALID,
	    "wrong_type", "/rotation" },
	{ &ag__token_issue_ask__descriptor, "{\"ttl_s\":4294967296}", INVALID,
	    "out_of_range", "/ttl_s" },
	{ &ag__token_issue_ask__descriptor, "{\"ttl_s\":1.5}", INVALID,
	    "wrong_type", "/ttl_s" },
	{ &ag__role_grant_ask__descriptor, "{\"role\":\"admin\"}", INVALID,
	    "unknown_field", "/role" },
	{ &ag__role_grant_ask__descriptor, "{\"valid_from\":\"yesterday\"}", INVALID,
	    "out_of_range", "/valid_from" },
	/* Empty is not left out: a token of no scope is not one of all. */
	{ &ag__token_issue_ask__descriptor, "{\"scopes\":[]}", INVALID,
	    "out_of_range", "/scopes" },
	{ &ag__agent_issue_ask__descriptor, "{\"label\":\"a\",\"scopes\":[]}",
	    INVALID, "out_of_range", "/scopes" },
	{ &ag__agent_issue_ask__descriptor, "{\"source_cidrs\":[]}", INVALID,
	    "out_of_range", "/source_cidrs" },
	{ CREATE, "{\"key_spec\":\"EC_P256\",\"usage\":[]}", INVALID,
	    "out_of_range", "/usage" },
	{ &ag__role_set_ask__descriptor, "{}", INVALID, "missing", "/scopes" },
	{ &ag__role_set_ask__descriptor, "{\"scopes\":null}", INVALID, "missing",
	    "/scopes" },
	{ &ag__key_update_ask__descriptor, "{\"state\":\"Active\"}",
	    AG_PERMISSION_DENIED, "system_attribute", "/state" },
	{ &ag__key_update_ask__descriptor, "{\"nope\":1}", INVALID, "unknown_field",
	    "/nope" },
	{ SIGN, "{\"message_b64\":\"\",\"message_b64\":\"\"}", MALFORMED,
	    "duplicate_member", "" },
	{ SIGN, "{\"message_b64\":\"\xff\"}", MALFORMED, "utf8", "" },
	{ SIGN, "{\"message_b64\":\"\\u0000\"}", MALFORMED, "json", "" },
	{ SIGN, "{\"message_b64\":\"\"", MALFORMED, "json", "" },
	{ SIGN, "{\"message_b64\":\"\"} x", MALFORMED, "json", "" },
	{ SIGN, "[]", MALFORMED, "json", "" },
	{ SIGN, "17", MALFORMED, "json", "" },
	{ SIGN, "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", MALFORMED, "depth", "" },
	{ BATCH, "{\"operation\":\"sign\",\"items\":[]}", INVALID, "out_of_range",
	    "/items" },
	{ BATCH, "{\"operation\":\"sign\"}", INVALID, "missing", "/items" },
	{ BATCH, "{\"items\":[{}]}", INVALID, "missing", "/operation" },
	{ BATCH, "{\"operation\":\"wrap\",\"items\":[{}]}", INVALID, "unknown_value",
	    "/operation" },
	{ BATCH, "{\"operation\":\"sign\",\"items\":[{}]}", INVALID, "missing",
	    "/items/0/message_b64" },
	{ BATCH, "{\"operation\":\"sign\",\"sign\":[],\"items\":[{}]}", INVALID,
	    "unknown_field", "/sign" },
};

static void
test_bad(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		if (body(bads[i].d, bads[i].json) != NULL)
			fail_msg("taken: %s", bads[i].json);
		if (refuse.err != bads[i].err ||
		    strcmp(refuse.reason, bads[i].reason) != 0 ||
		    strcmp(refuse.field, bads[i].field) != 0)
			fail_msg("%s: %d %s %s", bads[i].json, refuse.err,
			    refuse.reason, refuse.field);
		pool_reset(&pool);
	}
}

static void
test_empty_lists(void **state)
{
	(void)state;
	assert_non_null(body(&ag__role_set_ask__descriptor, "{\"scopes\":[]}"));
	assert_non_null(body(&ag__principal_create_ask__descriptor,
	    "{\"kind\":\"human\",\"name\":\"a\",\"roles\":[]}"));
	assert_non_null(body(&ag__token_issue_ask__descriptor,
	    "{\"scopes\":null}"));
}

static void
test_patch(void **state)
{
	Ag__KeyUpdateAsk *ask = body(&ag__key_update_ask__descriptor,
	    "{\"labels\":{\"a\":\"b\",\"c\":null},"
	    "\"rotation\":{\"every_s\":null,\"after_operations\":7}}");

	(void)state;
	assert_non_null(ask);
	assert_int_equal(ask->n_labels, 2);
	assert_string_equal(ask->labels[0]->value, "b");
	assert_null(ask->labels[1]->value);
	assert_false(ask->rotation->has_every_s);
	assert_int_equal(ask->rotation->after_operations, 7);
	assert_int_equal(ask->n_nulls, 1);
	assert_string_equal(ask->nulls[0], "/rotation/every_s");
	ask = body(&ag__key_update_ask__descriptor,
	    "{\"labels\":null,\"rotation\":null}");
	assert_non_null(ask);
	assert_null(ask->rotation);
	assert_int_equal(ask->n_labels, 0);
	assert_int_equal(ask->n_nulls, 2);
	assert_string_equal(ask->nulls[0], "/labels");
	assert_string_equal(ask->nulls[1], "/rotation");
	assert_null(body(&ag__key_update_ask__descriptor,
	    "{\"nulls\":[\"/labels\"]}"));
}

static void
test_batch(void **state)
{
	Ag__BatchAsk *ask = body(&ag__batch_ask__descriptor,
	    "{\"operation\":\"decrypt\",\"items\":[{\"ciphertext_b64\":\"AQ==\"},"
	    "{\"ciphertext_b64\":\"Ag==\",\"context\":{\"k\":\"v\"}}]}");

	(void)state;
	assert_non_null(ask);
	assert_int_equal(ask->operation, AG__USAGE__V__decrypt);
	assert_int_equal(ask->n_decrypt, 2);
	assert_string_equal(ask->decrypt[1]->context[0]->key, "k");
	assert_int_equal(batch.items, 2);
	assert_string_equal(batch.scope_op, "decrypt");
}

/* The body of another operation, as that packs it. */
static void
test_ahead(void **state)
{
	const ProtobufCMessageDescriptor *d = &ag__approval_request_ask__descriptor;
	Ag__ApprovalRequestAsk *ask = body(d, "{\"operation\":\"key.decrypt\","
	    "\"resource\":\"k\",\"reason\":\"r\",\"request\":"
	    "{\"ciphertext_b64\":\"AQ==\"}}");
	Ag__KeyUpdateAsk *update;
	static const struct { const char *json, *reason, *field; } bad[] = {
		{ "{\"resource\":\"k\",\"reason\":\"r\"}", "missing", "/operation" },
		{ "{\"operation\":\"key.sing\",\"reason\":\"r\"}", "unknown_value",
		    "/operation" },
		{ "{\"operation\":\"key.batch\",\"reason\":\"r\"}", "unknown_value",
		    "/operation" },
		{ "{\"operation\":\"key.decrypt\",\"reason\":\"r\",\"request\":[]}",
		    "wrong_type", "/request" },
		{ "{\"operation\":\"key.decrypt\",\"reason\":\"r\",\"request\":{}}",
		    "missing", "/request/ciphertext_b64" },
		{ "{\"operation\":\"key.decrypt\",\"reason\":\"r\",\"request\":"
		    "{\"ciphertext_b64\":\"AQ==\",\"x\":1}}", "unknown_field",
		    "/request/x" },
		{ "{\"operation\":\"key.decrypt\",\"request\":{}}", "missing",
		    "/reason" },
		{ "{\"operation\":\"key.decrypt\",\"reason\":\"r\",\"requester\":"
		    "\"hum_1\"}", "unknown_field", "/requester" },
	};

	(void)state;
	assert_non_null(ask);
	assert_string_equal(ask->resource, "k");
	assert_int_equal(ask->request.len, 3);
	assert_memory_equal(ask->request.data, "\x0a\x01\x01", 3);
	ask = body(d, "{\"operation\":\"key.rotate\",\"reason\":\"r\"}");
	assert_non_null(ask);
	assert_int_equal(ask->request.len, 0);
	ask = body(d, "{\"operation\":\"key.update\",\"reason\":\"r\","
	    "\"request\":{\"labels\":null}}");
	assert_non_null(ask);
	update = ag__key_update_ask__unpack(NULL, ask->request.len,
	    ask->request.data);
	assert_int_equal(update->n_nulls, 1);
	assert_string_equal(update->nulls[0], "/labels");
	ag__key_update_ask__free_unpacked(update, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&refuse, 0, sizeof(refuse));
		assert_null(body(d, bad[i].json));
		assert_string_equal(refuse.reason, bad[i].reason);
		assert_string_equal(refuse.field, bad[i].field);
	}
}

static void
test_batch_too_many(void **state)
{
	struct text json = { 0 };
	unsigned i;

	(void)state;
	text_str(&json, "{\"operation\":\"sign\",\"items\":[{}");
	for (i = 0; i < CODEC_BATCH_MAX; i++)
		text_str(&json, ",{}");
	text_str(&json, "]}");
	text_char(&json, '\0');
	assert_null(body(&ag__batch_ask__descriptor, json.bytes));
	assert_int_equal(refuse.err, AG_REQUEST_TOO_LARGE);
	assert_string_equal(refuse.reason, "batch");
	text_fini(&json);
}

/* A string of base64 that is long, and what is around it. */
static void *
long_body(const ProtobufCMessageDescriptor *d, const char *before,
    size_t digits, const char *after)
{
	struct text json = { 0 };
	void *msg;

	text_str(&json, before);
	for (size_t i = 0; i < digits; i++)
		text_char(&json, 'A');
	text_str(&json, after);
	text_char(&json, '\0');
	/* In the pool: what is bound may point there. */
	msg = body(d, pool_strndup(&pool, json.bytes, json.len));
	text_fini(&json);
	return msg;
}

/* Long strings are lifted out before the rest is parsed: nobody can tell. */
static void
test_long(void **state)
{
	static const char *const behind[] = { "\"}", "\",\"algorithm\":null}",
		"\" , \"algorithm\" : \"ECDSA_SHA_256\"}" };
	static const struct bad bad[] = {
		{ SIGN, "=\"}", INVALID, "bad_base64", "/message_b64" },
		{ SIGN, " \"}", INVALID, "bad_base64", "/message_b64" },
		{ SIGN, "\x7f\"}", INVALID, "bad_base64", "/message_b64" },
		{ SIGN, "\\u0041\"}", INVALID, "bad_base64", "/message_b64" },
		{ SIGN, "\n\"}", MALFORMED, "json", "" },
		{ SIGN, "\xff\"}", MALFORMED, "utf8", "" },
		{ SIGN, "\"", MALFORMED, "json", "" },
		{ SIGN, "", MALFORMED, "json", "" },
		{ SIGN, "\":1}", MALFORMED, "json", "" },
		{ SIGN, "\"} x", MALFORMED, "json", "" },
		{ SIGN, "\",\"message_b64\":\"\"}", MALFORMED, "duplicate_member", "" },
		{ SIGN, "\",\"nope\":1}", INVALID, "unknown_field", "/nope" },
		{ SIGN, "\",\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", MALFORMED,
		    "depth", "" },
	};
	Ag__KeyCreateAsk *create;
	Ag__SignAsk *sign;
	Ag__BatchAsk *many;

	(void)state;
	for (size_t digits = 56; digits <= 1024; digits += 4) {
		sign = long_body(SIGN, "{\"message_b64\":\"", digits,
		    behind[digits / 4 % 3]);
		assert_non_null(sign);
		assert_int_equal(sign->message_b64.len, digits / 4 * 3);
		assert_int_equal(sign->message_b64.data[digits / 4 * 3 - 1], 0);
		pool_reset(&pool);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (long_body(SIGN, "{\"message_b64\":\"", 64, bad[i].json) != NULL)
			fail_msg("taken: %s", bad[i].json);
		if (refuse.err != bad[i].err ||
		    strcmp(refuse.reason, bad[i].reason) != 0 ||
		    strcmp(refuse.field, bad[i].field) != 0)
			fail_msg("%s: %d %s %s", bad[i].json, refuse.err,
			    refuse.reason, refuse.field);
		pool_reset(&pool);
	}
	/* Columns are those of the body, not of what was parsed. */
	assert_null(long_body(SIGN, "{\"message_b64\":\"", 100, "\" x}"));
	assert_non_null(strstr(refuse.detail, "column 119"));
	/* A word as we write them, of a client's: it is the client's. */
	assert_null(long_body(SIGN, "{\"algorithm\":\"\x7f" "0\",\"message_b64\":\"",
	    64, "\"}"));
	assert_string_equal(refuse.field, "/algorithm");
	/* Texts, values of pairs; a long name stays what it is. */
	create = long_body(CREATE, "{\"key_spec\":\"AES_256\",\"labels\":{\"a\":\"b\","
	    "\"c\":\"", 70, "\"}}");
	assert_non_null(create);
	assert_int_equal(strlen(create->labels[1]->value), 70);
	assert_string_equal(create->labels[0]->value, "b");
	create = long_body(CREATE, "{\"key_spec\":\"AES_256\",\"alias\":\"", 70,
	    "\"}");
	assert_int_equal(strlen(create->alias), 70);
	assert_null(long_body(CREATE, "{\"key_spec\":\"AES_256\",\"", 70, "\" : 1}"));
	assert_int_equal(strlen(refuse.field), 71);
	many = long_body(BATCH, "{\"operation\":\"sign\",\"items\":["
	    "{\"message_b64\":\"aGVsbG8=\"},{\"message_b64\":\"", 80, "\"}]}");
	assert_non_null(many);
	assert_int_equal(many->n_sign, 2);
	assert_memory_equal(many->sign[0]->message_b64.data, "hello", 5);
	assert_int_equal(many->sign[1]->message_b64.len, 60);
	assert_null(long_body(BATCH, "{\"operation\":\"sign\",\"items\":["
	    "{\"message_b64\":\"aGVsbG8=\"},{\"message_b64\":\"", 81, "\"}]}"));
	assert_string_equal(refuse.field, "/items/1/message_b64");
}

/* A mebibyte of {} makes jansson want 90: the ceiling is an error. */
static void
test_memory_ceiling(void **state)
{
	struct text json = { 0 };
	unsigned i;

	(void)state;
	text_str(&json, "{\"a\":[{}");
	for (i = 0; i < 349000; i++)
		text_str(&json, ",{}");
	text_str(&json, "]}");
	text_char(&json, '\0');
	assert_null(body(&ag__sign_ask__descriptor, json.bytes));
	assert_int_equal(refuse.err, AG_REQUEST_TOO_LARGE);
	assert_string_equal(refuse.reason, "json_memory");
	text_fini(&json);
}

static void
test_query(void **state)
{
	Ag__AuditQueryAsk *ask = query(&ag__audit_query_ask__descriptor,
	    "since=2026-11-20T21:33:14.123Z&include_agents=1&limit=10&outcome=denied"
	    "&key=a%2Bb+c");

	(void)state;
	assert_non_null(ask);
	assert_int_equal(ask->since, INT64_C(1795210394123));
	assert_true(ask->include_agents);
	assert_int_equal(ask->limit, 10);
	assert_int_equal(ask->outcome, AG__OUTCOME_KIND__V__denied);
	assert_string_equal(ask->key, "a+b c");
	assert_non_null(query(&ag__key_list_ask__descriptor, "label=tier=critical"));
	assert_non_null(query(&ag__nothing__descriptor, ""));
}

static const struct bad bad_queries[] = {
	{ &ag__key_list_ask__descriptor, "nope=1", INVALID, "unknown_field", "?nope" },
	{ &ag__key_list_ask__descriptor, "limit=1&limit=2", MALFORMED,
	    "duplicate_member", "?limit" },
	{ &ag__key_list_ask__descriptor, "limit=x", INVALID, "wrong_type", "?limit" },
	{ &ag__key_list_ask__descriptor, "limit=-1", INVALID, "wrong_type", "?limit" },
	{ &ag__key_list_ask__descriptor, "limit=99999999999", INVALID,
	    "out_of_range", "?limit" },
	{ &ag__key_list_ask__descriptor, "state=active", INVALID, "unknown_value",
	    "?state" },
	{ &ag__key_list_ask__descriptor, "label=%ff", MALFORMED, "utf8", "" },
	{ &ag__reason_ask__descriptor, "", INVALID, "missing", "?reason" },
	{ &ag__nothing__descriptor, "a=1", INVALID, "unknown_field", "?a" },
};

static void
test_bad_query(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad_queries) / sizeof(bad_queries[0]); i++) {
		if (query(bad_queries[i].d, bad_queries[i].json) != NULL)
			fail_msg("taken: %s", bad_queries[i].json);
		assert_int_equal(refuse.err, bad_queries[i].err);
		assert_string_equal(refuse.reason, bad_queries[i].reason);
		assert_string_equal(refuse.field, bad_queries[i].field);
	}
}

static void
test_print(void **state)
{
	Ag__Key key = AG__KEY__INIT;
	Ag__Usage__V usage[] = { AG__USAGE__V__sign, AG__USAGE__V__mac_verify };
	Ag__Pair pair = AG__PAIR__INIT, *pairs[] = { &pair };
	char quote[] = "a\"\\\n\x01\xc3\xa9\xff";
	char id[] = "key_1", tenant[] = "default", rot[] = "software", k[] = "k";

	(void)state;
	pair.key = k;
	pair.value = quote;
	key.id = id;
	key.tenant = tenant;
	key.key_spec = AG__KEY_SPEC__V__EC_P256;
	key.n_usage = 2;
	key.usage = usage;
	key.state = AG__KEY_STATE__V__Active;
	key.version = 1;
	key.n_labels = 1;
	key.labels = pairs;
	key.rot = rot;
	key.created_at = key.updated_at = INT64_C(1795210394123);
	key.revision = 3;
	assert_string_equal(print(&key),
	    "{\"id\":\"key_1\",\"alias\":null,\"tenant\":\"default\","
	    "\"key_spec\":\"EC_P256\",\"usage\":[\"sign\",\"mac-verify\"],"
	    "\"state\":\"Active\",\"version\":1,"
	    "\"labels\":{\"k\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\"},"
	    "\"rotation\":null,\"rot\":\"software\",\"frozen\":false,"
	    "\"destroy_at\":null,\"created_at\":\"2026-11-20T21:33:14.123Z\","
	    "\"created_by\":null,\"updated_at\":\"2026-11-20T21:33:14.123Z\","
	    "\"revision\":3}");
}

static void
test_print_batch(void **state)
{
	Ag__BatchReply reply = AG__BATCH_REPLY__INIT;
	Ag__BatchResult good = AG__BATCH_RESULT__INIT, bad = AG__BATCH_RESULT__INIT;
	Ag__BatchResult *results[] = { &good, &bad };
	Ag__SignReply sign = AG__SIGN_REPLY__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	char id[] = "key_1", reason[] = "bad_base64", detail[] = "d";

	(void)state;
	reply.operation = AG__USAGE__V__sign;
	reply.key_id = sign.key_id = id;
	reply.n_results = 2;
	reply.results = results;
	reply.failed = 1;
	sign.key_version = 1;
	sign.algorithm = AG__ALGORITHM__V__ED25519;
	sign.signature_b64.data = (uint8_t *)id;
	sign.signature_b64.len = 3;
	good.sign = &sign;
	refusal.err = AG_INVALID_FIELD;
	refusal.reason_code = reason;
	refusal.detail = detail;
	bad.error = &refusal;
	assert_string_equal(print(&reply),
	    "{\"operation\":\"sign\",\"key_id\":\"key_1\",\"results\":["
	    "{\"key_id\":\"key_1\",\"key_version\":1,\"algorithm\":\"ED25519\","
	    "\"signature_b64\":\"a2V5\"},"
	    "{\"error\":{\"code\":\"InvalidField\",\"reason_code\":\"bad_base64\","
	    "\"detail\":\"d\"}}],\"failed\":1}");
}

/* Fields for detectors and proofs are not for readers. */
static void
test_print_hides(void **state)
{
	Ag__Event event = AG__EVENT__INIT;
	Ag__Jwk jwk = AG__JWK__INIT;
	char text[] = "x", kty[] = "OKP";

	(void)state;
	event.event_id = event.tenant = event.operation = text;
	event.event_type = AG__EVENT_TYPE__V__request;
	event.outcome = AG__OUTCOME_KIND__V__allowed;
	event.has_honey = event.honey = 1;
	event.reason = text;
	assert_null(strstr(print(&event), "honey"));
	assert_null(strstr(print(&event), "\"reason\""));
	assert_non_null(strstr(print(&event), "\"chain\":[]"));
	jwk.kty = kty;
	assert_string_equal(print(&jwk), "{\"kty\":\"OKP\"}");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sign_ask), T(test_key_create), T(test_bad),
		T(test_empty_lists), T(test_patch),
		T(test_batch), T(test_ahead), T(test_batch_too_many), T(test_long), T(test_memory_ceiling),
		T(test_query), T(test_bad_query), T(test_print),
		T(test_print_batch), T(test_print_hides),
	};

	codec_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
