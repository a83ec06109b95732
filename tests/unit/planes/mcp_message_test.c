/* SPDX-License-Identifier: Apache-2.0 */
/* One message of MCP: both eras, and whoever lies about it. */
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" \
	"\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}"

static struct pool pool;
static struct call call;
static struct tool_ask ask;
static struct refuse refuse;

static int
setup(void **state)
{
	(void)state;
	codec_init();
	return pool_init(&pool) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	pool_fini(&pool);
	return 0;
}

static void
read_with(const struct mcp_fields *fields, const char *body)
{
	pool_reset(&pool);
	refuse.err = AG_OK;
	mcp_read(&pool, fields, (const uint8_t *)body, strlen(body), &call, &ask,
	    &refuse);
}

/* A message of 2026-07-28 whose fields agree with it. */
static void
read_now(const char *method, const char *name, const char *params)
{
	struct mcp_fields fields = { .version = MCP_NOW, .method = method,
		.name = name };
	char body[8192];

	snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
	    "\"%s\",\"params\":{" META "%s}}", method, params);
	read_with(&fields, body);
}

static void
assert_refused(ag_err err, int code, const char *reason)
{
	assert_null(ask.msg);
	assert_int_equal(refuse.err, err);
	assert_int_equal(call.code, code);
	if (reason == NULL)
		assert_null(refuse.reason);
	else
		assert_string_equal(refuse.reason, reason);
}

static void
test_a_call_of_now(void **state)
{
	const Ag__SignAsk *sign;

	(void)state;
	read_now("tools/call", "sign", ",\"name\":\"sign\",\"arguments\":{\"key\":"
	    "\"invoice\",\"message_b64\":\"aGVsbG8=\"}");
	assert_int_equal(refuse.err, AG_OK);
	assert_int_equal(ask.op, AG_MSG_KEY_SIGN);
	assert_string_equal(ask.selector, "invoice");
	assert_true(call.modern);
	assert_string_equal(call.id, "1");
	sign = ask.msg;
	assert_int_equal(sign->message_b64.len, 5);
}

/* What Mcp-Param-Key says, and whether that agrees with the argument key. */
static const struct param {
	const char *field, *key;
	bool agrees;
} repeated[] = {
	{ NULL, "\"invoice\"", true },
	{ "invoice", "\"invoice\"", true },
	{ " invoice\t", "\"invoice\"", true },
	{ "=?base64?aW52b2ljZQ==?=", "\"invoice\"", true },
	{ "=?base64?aW52b2ljZQ==", "\"=?base64?aW52b2ljZQ==\"", true },
	{ "aW52b2ljZQ==?=", "\"aW52b2ljZQ==?=\"", true },
	{ "=?base64?" "?=", "\"\"", true },
	{ "", "\"invoice\"", false },
	{ "Invoice", "\"invoice\"", false },
	{ "=?base64?aW52b2ljZQ?=", "\"invoice\"", false },
	{ "=?base64?aW52!!!jZQ=?=", "\"invoice\"", false },
	{ "=?base64?aW52b2ljZQA=?=", "\"invoice\"", false }, /* a NUL */
	{ "=?base64?=", "\"\"", false },
	{ "7", "7", false },
	{ "null", "null", false },
};

static void
test_a_field_that_repeats_an_argument(void **state)
{
	struct mcp_fields fields = { .version = MCP_NOW, .method = "tools/call",
		.name = "sign" };
	char body[1024];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(repeated) / sizeof(repeated[0]); i++) {
		snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,"
		    "\"method\":\"tools/call\",\"params\":{" META ",\"name\":\"sign\","
		    "\"arguments\":{\"key\":%s,\"message_b64\":\"aGk=\"}}}",
		    repeated[i].key);
		fields.param = repeated[i].field;
		read_with(&fields, body);
		if (repeated[i].agrees) {
			assert_int_equal(call.code, 0);
			continue;
		}
		assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH,
		    "conflicting_fields");
		assert_string_equal(refuse.field, "Mcp-Param-Key");
	}
	/* A tool without a key has none to repeat. */
	fields.param = "invoice";
	fields.name = "my_scopes";
	read_with(&fields, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\","
	    "\"params\":{" META ",\"name\":\"my_scopes\"}}");
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
}

static void
test_a_call_of_then(void **state)
{
	const struct mcp_fields fields = { .version = MCP_THEN, .session = "s" };

	(void)state;
	read_with(&fields, "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"method\":"
	    "\"tools/call\",\"params\":{\"name\":\"my_scopes\"}}");
	assert_int_equal(refuse.err, AG_OK);
	assert_int_equal(ask.op, AG_MSG_WHOAMI);
	assert_false(call.modern);
	assert_string_equal(call.id, "\"a\\\"b\"");
	read_with(&fields, "{\"jsonrpc\":\"2.0\",\"method\":"
	    "\"notifications/initialized\"}");
	assert_int_equal(call.kind, CALL_NOTICE);
	assert_int_equal(ask.op, AG_MSG_TOOL_CONNECT);
	assert_non_null(ask.msg);
}

static void
test_initialize(void **state)
{
	const struct mcp_fields none = { .version = NULL };

	(void)state;
	read_with(&none, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\","
	    "\"params\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}}");
	assert_int_equal(call.kind, CALL_INITIALIZE);
	assert_string_equal(call.version, MCP_BEFORE);
	read_with(&none, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\","
	    "\"params\":{\"protocolVersion\":\"1999-01-01\"}}");
	assert_string_equal(call.version, MCP_THEN); /* ours; the client decides */
	read_with(&none, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\"}");
	assert_refused(AG_INVALID_FIELD, 0, "missing");
	read_now("initialize", NULL, ""); /* is gone */
	assert_refused(AG_ROUTE_NOT_FOUND, 0, NULL);
}

static void
test_versions_and_mirrors(void **state)
{
	static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
	    "\"tools/list\",\"params\":{" META "}}";
	struct mcp_fields f = { .version = MCP_NOW, .method = "tools/list" };

	(void)state;
	read_with(&f, list);
	assert_int_equal(refuse.err, AG_OK);
	f.method = "tools/LIST";
	read_with(&f, list);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
	f.method = NULL;
	read_with(&f, list);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "missing");
	f.version = NULL;
	read_with(&f, list);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "missing");
	f.version = MCP_THEN;
	read_with(&f, list);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
	f.version = "v999";
	read_with(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
	assert_refused(AG_INVALID_FIELD, RPC_UNSUPPORTED_VERSION, "unknown_value");
	assert_string_equal(call.version, "v999");
	f.version = MCP_NOW;
	f.method = "tools/list";
	read_with(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
	assert_refused(AG_INVALID_FIELD, 0, "missing"); /* -32602 of the table */
	assert_true(call.envelope);
	read_with(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\","
	    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":"
	    "\"2026-07-28\"}}}");
	assert_refused(AG_INVALID_FIELD, 0, "missing");
}

static void
test_names_are_mirrored(void **state)
{
	static const char params[] = ",\"name\":\"my_scopes\"";

	(void)state;
	read_now("tools/call", "my_scopes", params);
	assert_int_equal(refuse.err, AG_OK);
	read_now("tools/call", "=?base64?bXlfc2NvcGVz?=", params);
	assert_int_equal(refuse.err, AG_OK);
	read_now("tools/call", "=?base64?bXlfc2NvcGV?=", params);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
	read_now("tools/call", "=?base64?bXlfc2NvcGVzAA==?=", params); /* NUL */
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
	read_now("tools/call", "sign", params);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "conflicting_fields");
	read_now("tools/call", NULL, params);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH, "missing");
	read_now("resources/read", "aegis://me/scopes",
	    ",\"uri\":\"aegis://me/scopes\"");
	assert_int_equal(refuse.err, AG_OK);
	assert_int_equal(ask.op, AG_MSG_WHOAMI);
}

/* White space around a field's value is not part of it; within, it is. */
static void
test_white_space_around_fields(void **state)
{
	struct mcp_fields fields = { .version = " " MCP_NOW "\t",
		.method = "tools/call ", .name = " \tmy_scopes \t " };
	static const char body[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
	    "\"tools/call\",\"params\":{" META ",\"name\":\"my_scopes\"}}";

	(void)state;
	read_with(&fields, body);
	assert_non_null(ask.msg);
	fields.name = "my_ scopes";
	read_with(&fields, body);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH,
	    "conflicting_fields");
	fields.name = " \t ";
	read_with(&fields, body);
	assert_refused(AG_INVALID_FIELD, RPC_HEADER_MISMATCH,
	    "conflicting_fields");
}

static void
test_arguments(void **state)
{
	(void)state;
	read_now("tools/call", "my_scopes", ",\"name\":\"my_scopes\","
	    "\"arguments\":[]");
	assert_refused(AG_INVALID_FIELD, 0, "wrong_type");
	assert_false(call.envelope);
	read_now("tools/call", "sign", ",\"name\":\"sign\"");
	assert_refused(AG_INVALID_FIELD, 0, "missing");
	assert_int_equal(ask.op, AG_MSG_KEY_SIGN); /* recorded as what it was */
	read_now("tools/call", "sign", ",\"name\":\"sign\",\"arguments\":"
	    "{\"key\":\"k\",\"message_b64\":\"aGk=\",\"more\":1}");
	assert_refused(AG_INVALID_FIELD, 0, "unknown_field");
	read_now("tools/call", "sign", ",\"name\":\"sign\",\"arguments\":"
	    "{\"key\":\"a\\u0000b\",\"message_b64\":\"aGk=\"}");
	assert_null(ask.msg);
	read_now("tools/call", "no_such", ",\"name\":\"no_such\"");
	assert_refused(AG_INVALID_FIELD, 0, "unknown_value");
	read_now("tools/list", NULL, ",\"cursor\":\"x\"");
	assert_refused(AG_INVALID_FIELD, 0, "bad_cursor");
	read_now("prompts/get", "rotate_safely", ",\"name\":\"rotate_safely\"");
	assert_refused(AG_INVALID_FIELD, 0, "missing");
}

static void
test_a_data_key_has_no_plaintext(void **state)
{
	(void)state;
	read_now("tools/call", "generate_data_key", ",\"name\":"
	    "\"generate_data_key\",\"arguments\":{\"key\":\"k\","
	    "\"data_key_spec\":\"AES_256\"}");
	assert_int_equal(refuse.err, AG_OK);
	assert_true(((Ag__DataKeyAsk *)ask.msg)->without_plaintext);
	read_now("tools/call", "generate_data_key", ",\"name\":"
	    "\"generate_data_key\",\"arguments\":{\"key\":\"k\","
	    "\"data_key_spec\":\"AES_256\",\"without_plaintext\":false}");
	assert_refused(AG_INVALID_FIELD, 0, "unknown_field");
}

static void
test_claims(void **state)
{
	struct mcp_fields fields = { .version = MCP_NOW, .method = "tools/list" };
	char body[1024], hash[66];

	(void)state;
	memset(hash, 'a', 64);
	hash[64] = '\0';
#define CLAIM "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"," \
	"\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" \
	"\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}," \
	"\"io.aegis/prompt_sha256\":\"%s\",\"io.aegis/model\":\"%s\"}}}"
	snprintf(body, sizeof(body), CLAIM, hash, "a-model");
	read_with(&fields, body);
	assert_int_equal(refuse.err, AG_OK);
	assert_true(call.has_prompt_hash);
	assert_int_equal(call.prompt_hash[31], 0xaa);
	assert_string_equal(call.model, "a-model");
	hash[63] = 'A';
	snprintf(body, sizeof(body), CLAIM, hash, "a-model");
	read_with(&fields, body);
	assert_refused(AG_INVALID_FIELD, 0, "wrong_type");
	hash[63] = 'a';
	snprintf(body, sizeof(body), CLAIM, hash, "caf\u00e9");
	read_with(&fields, body);
	assert_refused(AG_INVALID_FIELD, 0, "out_of_range");
}

static void
test_hostile(void **state)
{
	static const struct { const char *body, *reason; } rows[] = {
		{ "", "json" },
		{ "[]", "json" },
		{ "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\"}", "duplicate_member" },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", "json" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", "json" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", "json" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "json" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}", "json" },
		{ "{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "depth" },
		{ "\xff", "json" },
	};
	const struct mcp_fields none = { .version = NULL };
	char body[1024];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_with(&none, rows[i].body);
		assert_null(ask.msg);
		assert_int_equal(refuse.err, AG_MALFORMED_REQUEST);
		assert_true(call.envelope);
		if (i != 9)
			assert_string_equal(refuse.reason, rows[i].reason);
	}
	memset(body, 0, sizeof(body));
	strcpy(body, "{\"jsonrpc\":\"2.0\",\"id\":\"");
	memset(body + strlen(body), 'x', 300);
	strcat(body, "\",\"method\":\"ping\"}");
	read_with(&none, body);
	assert_int_equal(refuse.err, AG_MALFORMED_REQUEST);
	assert_string_equal(call.id, "");
}

static void
test_tools_by_scope(void **state)
{
	char *none[] = { NULL }, *sign[] = { (char *)"key:invoice:sign" };
	char *all[] = { (char *)"*:*:*" }, *one[] = { (char *)"key:invoice:*" };
	char *label[] = { (char *)"key:label=team=a:b:decrypt" };

	(void)state;
	assert_true(tool_is_shown(tool_named("my_scopes"), none, 0));
	assert_false(tool_is_shown(tool_named("sign"), none, 0));
	assert_true(tool_is_shown(tool_named("sign"), sign, 1));
	assert_false(tool_is_shown(tool_named("verify"), sign, 1));
	assert_true(tool_is_shown(tool_named("decrypt"), label, 1));
	assert_true(tool_is_shown(tool_named("rotate_key"), one, 1));
	assert_false(tool_is_shown(tool_named("create_key"), one, 1));
	assert_false(tool_is_shown(tool_named("list_keys"), one, 1));
	assert_true(tool_is_shown(tool_named("create_key"), all, 1));
	assert_true(tool_is_shown(tool_named("destroy_key"), one, 1));
	assert_false(tool_is_shown(tool_named("destroy_key"), sign, 1));
	assert_false(tool_is_shown(tool_named("revoke_agent"), one, 1));
	assert_true(tool_is_shown(tool_named("request_access"), none, 0));
	assert_null(tool_named("unwrap"));
}

static void
test_definitions_are_json(void **state)
{
	const struct tool *tool;
	json_t *root;
	unsigned i;

	(void)state;
	for (i = 0; (tool = tool_at(i)) != NULL; i++) {
		struct text text = { 0 };

		assert_non_null(tool_operation(tool));
		tool_input(&text, tool);
		assert_false(text.failed);
		root = json_loadb(text.bytes, text.len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		assert_string_equal(json_string_value(json_object_get(root, "type")),
		    "object");
		if (tool->about != NULL)
			assert_non_null(json_object_get(json_object_get(root,
			    "properties"), tool->about));
		json_decref(root);
		text_reset(&text, false);
		tool_output(&text, tool);
		root = json_loadb(text.bytes, text.len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		json_decref(root);
		text_fini(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_call_of_now),
		cmocka_unit_test(test_a_field_that_repeats_an_argument),
		cmocka_unit_test(test_a_call_of_then),
		cmocka_unit_test(test_initialize),
		cmocka_unit_test(test_versions_and_mirrors),
		cmocka_unit_test(test_names_are_mirrored),
		cmocka_unit_test(test_white_space_around_fields),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_a_data_key_has_no_plaintext),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_tools_by_scope),
		cmocka_unit_test(test_definitions_are_json),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
