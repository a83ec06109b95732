/* SPDX-License-Identifier: Apache-2.0 */
/* What a tool server may say, and what passes of it. */
#include "gateway.h"
#include "sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------------ wire */

static const struct stream {
	const char *body;
	bool found;
} streams[] = {
	{ "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n", true },
	{ "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", true },
	{ "event: message\r\ndata:{\"id\":7,\r\ndata: \"result\":{}}\r\n\r\n", true },
	{ ": hello\n\ndata: {\"id\":6,\"result\":{}}\n\ndata: {\"id\":7,\"error\":{}}\n\n", true },
	{ "data: x\n\ndata: {\"id\":7,\"result\":{}}\n\n", true },
	{ "data: {\"id\":\"7\",\"result\":{}}\n\n", false },
	{ "data: {\"id\":7}\n\n", false },
	{ "dat", false },
	{ "", false },
};

static void
test_streams(void **state)
{
	json_t *root;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		root = wire_answer(streams[i].body, strlen(streams[i].body), true, 7);
		if ((root != NULL) != streams[i].found)
			fail_msg("%s", streams[i].body);
		json_decref(root);
	}
}

static void
test_json_is_bounded(void **state)
{
	static const char quoted[] = "[\"{[,\\\"{[,\\\\\",1]";
	char deep[200], wide[3 * WIRE_VALUES_MAX];
	json_t *root;
	size_t i;

	(void)state;
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_false(wire_is_bounded(deep, sizeof(deep)));
	assert_true(wire_is_bounded(deep + 100 - WIRE_DEPTH_MAX,
	    2 * WIRE_DEPTH_MAX));
	wide[0] = '[';
	for (i = 1; i + 2 < sizeof(wide); i += 2)
		memcpy(wide + i, "1,", 2);
	assert_false(wire_is_bounded(wide, sizeof(wide)));
	root = wire_parse(quoted, sizeof(quoted) - 1);
	assert_int_equal(json_array_size(root), 2);
	json_decref(root);
	assert_null(wire_parse("{\"a\":1,\"a\":2}", 13));
	assert_null(wire_parse("\"\\", 2));
}

static void
test_requests(void **state)
{
	char *text = wire_request(false, 3, "tools/list", NULL);

	(void)state;
	assert_string_equal(text,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"tools/list\",\"id\":3}");
	free(text);
	text = wire_request(true, 0, "x", json_pack("{s:i}", "a", 1));
	assert_null(strstr(text, "\"id\""));
	assert_non_null(strstr(text, "io.modelcontextprotocol/protocolVersion\":\""
	    WIRE_NOW));
	free(text);
}

/* ----------------------------------------------------------------------- sieve */

#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N"
static const struct passing {
	const char *in, *out; /* NULL: as it came */
} passings[] = {
	{ "", NULL },
	{ "nothing to see", NULL },
	{ "AKIAIOSFODNN7EXAMPLE", "[redacted:cloud_key]" },
	{ "a=AKIAIOSFODNN7EXAMPLE;", "a=[redacted:cloud_key];" },
	{ "xAKIAIOSFODNN7EXAMPLE", NULL }, /* the middle of a word */
	{ "AKIAshort", NULL },
	{ "AKIA", NULL },
	{ JWT, "[redacted:jwt]" },
	{ "Bearer " JWT " end", "Bearer [redacted:jwt] end" },
	{ "eyJhbGciOiJIUzI1NiJ9 eyJzdWIiOiIxIn0", NULL },
	{ "eyJhbGciOiJIUzI1NiJ9.hush.dozjgNryP4J3", "[redacted:jwt]" },
	{ "4111 1111 1111 1111", NULL }, /* a card: the log's business */
	{ "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\nx",
	    "[redacted:pem]\nx" },
	{ "-----BEGIN EC PRIVATE KEY-----\nAA and cut", "[redacted:pem]" },
	{ "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----", NULL },
	{ "-----BEGIN", NULL },
	{ "two hush hush", "two [redacted:upstream_secret] "
	    "[redacted:upstream_secret]" },
	{ "xhushx", "x[redacted:upstream_secret]x" },
};

static void
test_texts(void **state)
{
	struct sieve sieve;
	char *out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(passings) / sizeof(passings[0]); i++) {
		sieve = (struct sieve){ .secret = "hush", .secret_len = 4 };
		out = sieve_text(&sieve, passings[i].in, strlen(passings[i].in));
		assert_false(sieve.failed);
		if ((sieve.taken > 0) != (passings[i].out != NULL))
			fail_msg("%s", passings[i].in);
		if (passings[i].out == NULL)
			assert_null(out);
		else
			assert_string_equal(out, passings[i].out);
		free(out);
	}
}

static void
assert_sieved(const char *in, const char *out, unsigned taken)
{
	struct sieve sieve = { .fields = { "pin" }, .field_count = 1,
		.secret = "hush", .secret_len = 4 };
	json_t *value = sieve_value(&sieve, json_loads(in, JSON_DECODE_ANY, NULL));
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_false(sieve.failed);
	assert_string_equal(text, out);
	assert_int_equal(sieve.taken, taken);
	free(text);
	json_decref(value);
}

static void
test_values(void **state)
{
	(void)state;
	assert_sieved("[1,true,null,2.5,\"x\"]", "[1,true,null,2.5,\"x\"]", 0);
	assert_sieved("{\"a\":[{\"pin\":{\"b\":1}}]}",
	    "{\"a\":[{\"pin\":\"[redacted]\"}]}", 1);
	assert_sieved("{\"a hush\":1}", "{\"a [redacted:upstream_secret]\":1}", 1);
	/* A member in a text that is JSON, and in a text inside that one. */
	assert_sieved("\"{\\\"pin\\\":4}\"", "\"{\\\"pin\\\":\\\"[redacted]\\\"}\"", 1);
	assert_sieved("\"[\\\"{\\\\\\\"pin\\\\\\\":4}\\\"]\"",
	    "\"[\\\"{\\\\\\\"pin\\\\\\\":\\\\\\\"[redacted]\\\\\\\"}\\\"]\"", 1);
	assert_sieved("\" \\r\\n\\t{\\\"pin\\\":4}\"",
	    "\"{\\\"pin\\\":\\\"[redacted]\\\"}\"", 1);
	/* What we do not decode, somebody may: none of it passes. */
	assert_sieved("\"{\\\"pin\\\":4,\\\"pin\\\":5}\"", "\"[redacted]\"", 1);
	assert_sieved("\"{\\\"pin\\\"\"", "\"[redacted]\"", 1);
	assert_sieved("\"{\\\"a\\\":1} {\\\"pin\\\":4}\"", "\"[redacted]\"", 1);
	assert_sieved("\"{\\\"a\\\":1} {\\\"p\\\\u0069n\\\":4}\"", "\"[redacted]\"", 1);
	assert_sieved("\"[99999999999999999999,{\\\"pin\\\":4}]\"", "\"[redacted]\"", 1);
	assert_sieved("\"[1, two\"", "\"[1, two\"", 0);
	assert_sieved("\"the pin\"", "\"the pin\"", 0);
}

/* No member is to be taken out; secrets behind escapes are. */
static void
test_escapes_hide_nothing(void **state)
{
	static const struct { const char *in, *out; } texts[] = {
		{ "{\"a\":\"b\\nAKIAIOSFODNN7EXAMPLE\"}",
		    "{\"a\":\"b\\n[redacted:cloud_key]\"}" },
		{ "\n[\"AKIA\\u0049OSFODNN7EXAMPLE\"]", "[\"[redacted:cloud_key]\"]" },
		{ "[\"hu\\/sh\"]", "[\"[redacted:upstream_secret]\"]" },
		{ "{\"hu\\u002fsh\":1}", "{\"[redacted:upstream_secret]\":1}" },
		{ "{ \"a\" : \"b\\n\" }", "{ \"a\" : \"b\\n\" }" },
		{ "[ 1, 2 ]", "[ 1, 2 ]" },
	};
	struct sieve sieve;
	json_t *value;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		sieve = (struct sieve){ .secret = "hu/sh", .secret_len = 5 };
		value = sieve_value(&sieve, json_string(texts[i].in));
		assert_false(sieve.failed);
		assert_string_equal(json_string_value(value), texts[i].out);
		json_decref(value);
	}
}

static void
test_what_cannot_be_looked_into_does_not_pass(void **state)
{
	struct sieve sieve = { .fields = { "pin" }, .field_count = 1 };
	char deep[101] = "";

	(void)state;
	memset(deep, '[', 100);
	json_decref(sieve_value(&sieve, json_string(deep)));
	assert_true(sieve.failed);
	/* Without such members only escapes are in the way. */
	sieve = (struct sieve){ .secret = NULL };
	json_decref(sieve_value(&sieve, json_string(deep)));
	assert_false(sieve.failed);
	deep[99] = '\\';
	json_decref(sieve_value(&sieve, json_string(deep)));
	assert_true(sieve.failed);
}

static void
test_hidden_characters(void **state)
{
	static const char *const bad[] = { "\x01", "a\x7f", "\xc2\x85", "\xc2\xad",
		"\xe2\x80\x8b", "\xe2\x80\xae", "\xe2\x81\xa6", "\xef\xbb\xbf",
		"\xf3\xa0\x81\x81", "\xef\xb8\x8f" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sieve_unfit(bad[i], 100) == NULL)
			fail_msg("%zu", i);
	assert_null(sieve_unfit("Grüße\n\t— 天気 🌦", 100));
	assert_non_null(sieve_unfit("four", 3));
}

/* ------------------------------------------------------------------- arguments */

static const struct argument {
	const char *schema, *value, *reason, *at; /* NULL: it fits */
} arguments[] = {
	{ "{\"type\":\"object\"}", "{}", NULL, NULL },
	{ "{\"type\":\"object\"}", "[]", "wrong_type", "" },
	{ "{\"type\":\"object\"}", "{\"a\":1}", "unknown_field", "/a" },
	{ "{\"additionalProperties\":true}", "{\"a\":1}", NULL, NULL },
	{ "{\"allOf\":[{\"properties\":{\"a\":{}}}]}", "{\"a\":1}", NULL, NULL },
	{ "{\"required\":[\"a\"]}", "{}", "missing", "/a" },
	{ "{\"properties\":{\"a\":{\"type\":[\"string\",\"null\"]}}}",
	    "{\"a\":null}", NULL, NULL },
	{ "{\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":1.5}",
	    "wrong_type", "/a" },
	{ "{\"properties\":{\"a\":{\"enum\":[1,\"x\"]}}}", "{\"a\":2}",
	    "unknown_value", "/a" },
	{ "{\"properties\":{\"a\":{\"const\":1}}}", "{\"a\":1}", NULL, NULL },
	{ "{\"properties\":{\"a\":{\"maxLength\":2}}}", "{\"a\":\"éé\"}", NULL, NULL },
	{ "{\"properties\":{\"a\":{\"items\":{\"maximum\":3}}}}",
	    "{\"a\":[1,4]}", "out_of_range", "/a/1" },
	{ "{\"properties\":{\"a\":{\"maxItems\":1}}}", "{\"a\":[1,4]}",
	    "out_of_range", "/a" },
	{ "{\"properties\":{\"a\":false}}", "{\"a\":1}", "unknown_value", "/a" },
	{ "{\"properties\":{\"a\":{\"properties\":{\"b\":{}}}}}",
	    "{\"a\":{\"b\":1,\"c\":2}}", "unknown_field", "/a/c" },
};

static void
test_arguments(void **state)
{
	json_t *schema, *value;
	struct misfit misfit;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
		schema = json_loads(arguments[i].schema, 0, NULL);
		value = json_loads(arguments[i].value, 0, NULL);
		if (arguments_fit(schema, value, &misfit) !=
		    (arguments[i].reason == NULL))
			fail_msg("%s %s", arguments[i].schema, arguments[i].value);
		if (arguments[i].reason != NULL) {
			assert_string_equal(misfit.reason, arguments[i].reason);
			assert_string_equal(misfit.at + strlen("/arguments"),
			    arguments[i].at);
		}
		json_decref(schema);
		json_decref(value);
	}
}

static void
test_schemas(void **state)
{
	static const struct { const char *text; bool fit; } schemas[] = {
		{ "{\"type\":\"object\"}", true },
		{ "{\"type\":\"string\"}", false },
		{ "{}", false },
		{ "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/b\"}}}", true },
		{ "{\"type\":\"object\",\"anyOf\":[{\"$ref\":\"https://x/y\"}]}", false },
		{ "{\"type\":\"object\",\"$ref\":\"//x/y\"}", false },
		{ "{\"type\":\"object\",\"$dynamicRef\":\"#a\",\"$id\":\"#b\"}", true },
		{ "{\"type\":\"object\",\"items\":{\"$dynamicRef\":\"https://x/y\"}}", false },
		{ "{\"type\":\"object\",\"items\":{\"$id\":\"https://x/y\"}}", false },
		{ "{\"type\":\"object\",\"properties\":{\"$id\":{\"title\":\"a\\n\"}}}", true },
		{ "{\"type\":\"object\",\"properties\":{\"a\":{\"title\":\"\\u001b[2J\"}}}", false },
		{ "{\"type\":\"object\",\"required\":[\"\\u0008\"]}", false },
		{ "{\"type\":\"object\",\"properties\":{\"a\\u0008\":{}}}", false },
	};
	json_t *schema;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		schema = json_loads(schemas[i].text, 0, NULL);
		if ((schema_unfit(schema) == NULL) != schemas[i].fit)
			fail_msg("%s", schemas[i].text);
		json_decref(schema);
	}
	schema = json_loads("{\"type\":\"object\",\"properties\":{\"x-mcp-header\":"
	    "{\"type\":\"string\",\"x-mcp-header\":\"K\"}}}", 0, NULL);
	assert_null(schema_unfit(schema));
	assert_int_equal(json_object_size(json_object_get(json_object_get(schema,
	    "properties"), "x-mcp-header")), 1);
	json_decref(schema);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_json_is_bounded),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_escapes_hide_nothing),
		cmocka_unit_test(test_what_cannot_be_looked_into_does_not_pass),
		cmocka_unit_test(test_hidden_characters),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_schemas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
