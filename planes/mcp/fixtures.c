/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixtures, in five tables: what always answers the same, what asks the
 * client on its stream (2025-11-25), what wants more input (2026-07-28), what
 * repeats the request, and the rows of the lists.
 */
#include "mcp.h"

#include <aegis/id.h>
#include <aegis/secret.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define META "io.modelcontextprotocol/"
#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dw" \
	"HwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
#define WAV "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
#define TEXT(s) "{\"type\":\"text\",\"text\":\"" s "\"}"
#define IMAGE "{\"type\":\"image\",\"data\":\"" PNG "\",\"mimeType\":\"image/png\"}"
#define CONTENT(items) "\"content\":[" items "]"
#define RESOURCE(uri, mime, text) "{\"type\":\"resource\",\"resource\":{\"uri\":" \
	"\"" uri "\",\"mimeType\":\"" mime "\",\"text\":\"" text "\"}}"
#define NOTE(method, params) "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/" \
	method "\",\"params\":{" params "}}\n"
#define LOG(text) NOTE("message", "\"level\":\"info\",\"data\":\"" text "\"")
#define SCHEMA(properties) "\"requestedSchema\":{\"type\":\"object\"," \
	"\"properties\":{" properties "}}"
#define MESSAGE(role, content) "{\"role\":\"" role "\",\"content\":" content "}"

enum { STATE_MAC = 32, ROUNDS_MAX = 2, ASKED_MAX = 3 };

/* ------------------------------------------------ what only ever answers */

static const struct {
	const char *method, *name, *before, *text;
} fixed[] = {
	{ "tools/call", "test_simple_text", NULL,
	    CONTENT(TEXT("This is a simple text response for testing.")) },
	{ "tools/call", "test_image_content", NULL, CONTENT(IMAGE) },
	{ "tools/call", "test_audio_content", NULL, CONTENT("{\"type\":\"audio\","
	    "\"data\":\"" WAV "\",\"mimeType\":\"audio/wav\"}") },
	{ "tools/call", "test_embedded_resource", NULL,
	    CONTENT(RESOURCE("test://embedded-resource", "text/plain",
	    "This is an embedded resource content.")) },
	{ "tools/call", "test_multiple_content_types", NULL,
	    CONTENT(TEXT("Multiple content types test:") "," IMAGE ","
	    RESOURCE("test://mixed-content-resource", "application/json",
	    "{\\\"test\\\":\\\"data\\\",\\\"value\\\":123}")) },
	{ "tools/call", "test_error_handling", NULL, "\"isError\":true,"
	    CONTENT(TEXT("This tool intentionally returns an error for testing")) },
	{ "tools/call", "test_tool_with_logging", LOG("Tool execution started")
	    LOG("Tool processing data") LOG("Tool execution completed"),
	    CONTENT(TEXT("done")) },
	{ "tools/call", "test_logging_tool", NULL, CONTENT(TEXT("done")) },
	{ "tools/call", "json_schema_2020_12_tool", NULL, CONTENT(TEXT("done")) },
	{ "prompts/get", "test_simple_prompt", NULL, "\"messages\":["
	    MESSAGE("user", TEXT("This is a simple prompt for testing.")) "]" },
	{ "prompts/get", "test_prompt_with_image", NULL, "\"messages\":["
	    MESSAGE("user", IMAGE) ","
	    MESSAGE("user", TEXT("Please analyze the image above.")) "]" },
	{ "resources/read", "test://static-text", NULL, "\"contents\":[{\"uri\":"
	    "\"test://static-text\",\"mimeType\":\"text/plain\",\"text\":"
	    "\"This is the content of the static text resource.\"}]" },
	{ "resources/read", "test://static-binary", NULL, "\"contents\":[{\"uri\":"
	    "\"test://static-binary\",\"mimeType\":\"image/png\",\"blob\":\"" PNG
	    "\"}]" },
	{ "completion/complete", NULL, NULL,
	    "\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}" },
	{ "logging/setLevel", NULL, NULL, "" },
	{ "resources/subscribe", NULL, NULL, "" },
	{ "resources/unsubscribe", NULL, NULL, "" },
};

static bool
same(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

static bool
bind_fixed(struct call *call, const char *method, const char *name)
{
	struct fixture *fixture = &call->fixture;
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].method, method) != 0 ||
		    (fixed[i].name != NULL && !same(fixed[i].name, name)))
			continue;
		snprintf(fixture->text, sizeof(fixture->text), "%s%s",
		    call->modern && strcmp(method, "resources/read") == 0 ?
		    "\"ttlMs\":0,\"cacheScope\":\"private\"," : "", fixed[i].text);
		fixture->stream = fixed[i].before != NULL;
		snprintf(fixture->before, sizeof(fixture->before), "%s",
		    fixture->stream ? fixed[i].before : "");
		return true;
	}
	return false;
}

/* ------------------------------------- what asks the client (2025-11-25) */

#define ELICIT(properties) "\"method\":\"elicitation/create\",\"params\":{" \
	"\"message\":\"Please provide your information\"," SCHEMA(properties) "}"
#define OPTION(value, title) "{\"const\":\"" value "\",\"title\":\"" title "\"}"
#define OPTIONS "\"enum\":[\"option1\",\"option2\",\"option3\"]"
#define TITLED OPTION("value1", "First Option") "," \
	OPTION("value2", "Second Option") "," OPTION("value3", "Third Option")

static const struct {
	const char *name, *ask;
} asking[] = {
	{ "test_sampling", "\"method\":\"sampling/createMessage\",\"params\":{"
	    "\"messages\":[" MESSAGE("user", TEXT("Test prompt for sampling")) "],"
	    "\"maxTokens\":100}" },
	{ "test_elicitation", ELICIT("\"username\":{\"type\":\"string\","
	    "\"description\":\"User's response\"},\"email\":{\"type\":\"string\","
	    "\"description\":\"User's email address\"}") },
	{ "test_elicitation_sep1034_defaults", ELICIT(
	    "\"name\":{\"type\":\"string\",\"default\":\"John Doe\"},"
	    "\"age\":{\"type\":\"integer\",\"default\":30},"
	    "\"score\":{\"type\":\"number\",\"default\":95.5},"
	    "\"status\":{\"type\":\"string\",\"enum\":[\"active\",\"inactive\","
	    "\"pending\"],\"default\":\"active\"},"
	    "\"verified\":{\"type\":\"boolean\",\"default\":true}") },
	{ "test_elicitation_sep1330_enums", ELICIT(
	    "\"untitledSingle\":{\"type\":\"string\"," OPTIONS "},"
	    "\"titledSingle\":{\"type\":\"string\",\"oneOf\":[" TITLED "]},"
	    "\"legacyEnum\":{\"type\":\"string\",\"enum\":[\"opt1\",\"opt2\","
	    "\"opt3\"],\"enumNames\":[\"Option One\",\"Option Two\","
	    "\"Option Three\"]},"
	    "\"untitledMulti\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
	    OPTIONS "}},"
	    "\"titledMulti\":{\"type\":\"array\",\"items\":{\"anyOf\":[" TITLED
	    "]}}") },
};

static bool
bind_asking(struct call *call, const char *method, const char *name)
{
	struct fixture *fixture = &call->fixture;
	size_t i;

	if (call->modern || strcmp(method, "tools/call") != 0)
		return false;
	for (i = 0; i < sizeof(asking) / sizeof(asking[0]); i++) {
		if (!same(asking[i].name, name))
			continue;
		fixture->stream = fixture->asks = true;
		snprintf(fixture->before, sizeof(fixture->before), "%s",
		    asking[i].ask);
		snprintf(fixture->text, sizeof(fixture->text), "%s",
		    CONTENT(TEXT("The client answered.")));
		return true;
	}
	return false;
}

/* ----------------------------------- what wants more input (2026-07-28) */

#define ASK_FORM(key, message, properties) { key, "elicitation", \
	"{\"method\":\"elicitation/create\",\"params\":{\"message\":\"" message \
	"\"," SCHEMA(properties) "}}" }
#define ASK_MODEL(key, text, tokens) { key, "sampling", \
	"{\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[" \
	MESSAGE("user", TEXT(text)) "],\"maxTokens\":" tokens "}}" }
#define ASK_ROOTS(key) { key, "roots", "{\"method\":\"roots/list\",\"params\":{}}" }
#define STRING(name) "\"" name "\":{\"type\":\"string\"}"
#define ASK_NAME ASK_FORM("user_name", "What is your name?", STRING("name"))
#define ASK_OK ASK_FORM("confirm", "Please confirm", "\"ok\":{\"type\":\"boolean\"}")
#define TOOL(name) "tools/call", "test_input_required_result_" name

static const struct input {
	const char *method, *name;
	bool state; /* rounds are told apart by requestState */
	struct asked {
		const char *key, *capability, *request;
	} rounds[ROUNDS_MAX][ASKED_MAX];
} inputs[] = {
	{ TOOL("elicitation"), false, { { ASK_NAME } } },
	{ TOOL("sampling"), false, { { ASK_MODEL("capital_question",
	    "What is the capital of France?", "100") } } },
	{ TOOL("list_roots"), false, { { ASK_ROOTS("client_roots") } } },
	{ TOOL("request_state"), true, { { ASK_OK } } },
	{ TOOL("tampered_state"), true, { { ASK_OK } } },
	{ TOOL("multiple_inputs"), true, { { ASK_NAME,
	    ASK_MODEL("greeting", "Generate a greeting", "50"),
	    ASK_ROOTS("client_roots") } } },
	{ TOOL("multi_round"), true, {
	    { ASK_FORM("step1", "Step 1: What is your name?", STRING("name")) },
	    { ASK_FORM("step2", "Step 2: What is your favorite color?",
	    STRING("color")) } } },
	{ TOOL("capabilities"), false, { { ASK_NAME,
	    ASK_MODEL("greeting", "Generate a greeting", "50") } } },
	{ "tools/call", "test_streaming_elicitation", false, { { ASK_NAME } } },
	{ "prompts/get", "test_input_required_result_prompt", false, {
	    { ASK_FORM("user_context", "What context should the prompt use?",
	    STRING("context")) } } },
};

/* "<round>-<HMAC-SHA256 of tool and round, in hex>", under a key of this
 * process alone. */
static void
state_print(const char *name, unsigned round, char out[2 * STATE_MAC + 4])
{
	static uint8_t key[32];
	static bool have;
	uint8_t mac[STATE_MAC];
	char text[128];
	int len = snprintf(text, sizeof(text), "%s/%u", name, round);

	if (!have && RAND_bytes(key, sizeof(key)) != 1)
		ag_panic("no random bytes");
	have = true;
	if (HMAC(EVP_sha256(), key, sizeof(key), (uint8_t *)text, (size_t)len, mac,
	    NULL) == NULL)
		ag_panic("no HMAC");
	out[0] = (char)('0' + round);
	out[1] = '-';
	ag_hex(mac, sizeof(mac), out + 2);
}

/* ROUNDS_MAX: it is not ours. */
static unsigned
state_round(const struct input *input, const char *state)
{
	char ours[2 * STATE_MAC + 4];
	unsigned round;

	for (round = 0; round < ROUNDS_MAX; round++) {
		state_print(input->name, round, ours);
		if (strlen(state) == strlen(ours) &&
		    CRYPTO_memcmp(state, ours, strlen(ours)) == 0)
			return round;
	}
	return ROUNDS_MAX;
}

static bool
is_declared(const json_t *meta, const char *capability)
{
	return json_object_get(json_object_get(meta, META "clientCapabilities"),
	    capability) != NULL;
}

/* Prints what is asked for; false: it was all answered. */
static bool
ask_round(struct text *out, const struct input *input, unsigned round,
    const json_t *meta, const json_t *responses)
{
	const struct asked *asked = input->rounds[round];
	char state[2 * STATE_MAC + 4];
	bool wanting = false;
	const char *comma = "";
	unsigned i;

	text_str(out, "\"inputRequests\":{");
	for (i = 0; i < ASKED_MAX && asked[i].key != NULL; i++) {
		if (!is_declared(meta, asked[i].capability))
			continue;
		wanting = wanting ||
		    !json_is_object(json_object_get(responses, asked[i].key));
		text_printf(out, "%s\"%s\":%s", comma, asked[i].key,
		    asked[i].request);
		comma = ",";
	}
	text_char(out, '}');
	if (input->state) {
		state_print(input->name, round, state);
		text_printf(out, ",\"requestState\":\"%s\"", state);
	}
	return wanting;
}

static void
run_input(struct call *call, const struct input *input, json_t *params,
    const json_t *meta, struct refuse *refuse)
{
	const json_t *responses = json_object_get(params, "inputResponses");
	const json_t *state = json_object_get(params, "requestState");
	struct fixture *fixture = &call->fixture;
	struct text out = { 0 };
	unsigned round = 0;

	if (responses != NULL && !json_is_object(responses)) {
		refuse_set(refuse, AG_INVALID_FIELD, "wrong_type",
		    "/params/inputResponses", "an object is expected");
		return;
	}
	if (state != NULL && (round = state_round(input,
	    json_is_string(state) ? json_string_value(state) : "")) == ROUNDS_MAX) {
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_value",
		    "/params/requestState", "this is no state of ours");
		return;
	}
	if (input->state && state == NULL)
		responses = NULL;
	fixture->input = ask_round(&out, input, round, meta, responses);
	if (!fixture->input && round + 1 < ROUNDS_MAX &&
	    input->rounds[round + 1][0].key != NULL) {
		text_reset(&out, false);
		fixture->input = ask_round(&out, input, round + 1, meta, NULL);
	}
	if (!fixture->input) {
		text_reset(&out, false);
		text_str(&out, strcmp(input->method, "prompts/get") == 0 ?
		    "\"messages\":[" MESSAGE("user", TEXT("The context is known."))
		    "]" : CONTENT(TEXT("state-ok: all input is there.")));
	}
	text_add(&out, "", 1);
	snprintf(fixture->text, sizeof(fixture->text), "%s",
	    out.failed ? "" : out.bytes);
	text_fini(&out);
}

static bool
bind_input(struct call *call, const char *method, const char *name,
    json_t *params, const json_t *meta, struct refuse *refuse)
{
	size_t i;

	for (i = 0; call->modern && i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (strcmp(inputs[i].method, method) != 0 ||
		    !same(inputs[i].name, name))
			continue;
		run_input(call, &inputs[i], params, meta, refuse);
		return true;
	}
	return false;
}

/* ------------------------------------------------- what says the request */

static void
put_progress(struct call *call, struct text *out, const json_t *meta)
{
	const char *token = json_string_value(json_object_get(meta,
	    "progressToken"));
	static const unsigned done[] = { 0, 50, 100 };
	struct text before = { 0 };
	unsigned i;

	for (i = 0; token != NULL && i < sizeof(done) / sizeof(done[0]); i++) {
		text_str(&before, "{\"jsonrpc\":\"2.0\",\"method\":"
		    "\"notifications/progress\",\"params\":{\"progressToken\":");
		text_json(&before, token);
		text_printf(&before, ",\"progress\":%u,\"total\":100}}\n", done[i]);
	}
	text_add(&before, "", 1);
	call->fixture.stream = token != NULL;
	snprintf(call->fixture.before, sizeof(call->fixture.before), "%s",
	    before.failed ? "" : before.bytes);
	text_fini(&before);
	text_str(out, CONTENT(TEXT("done")));
}

static void
put_arguments(struct text *out, const json_t *arguments)
{
	struct text said = { 0 };
	const char *one = json_string_value(json_object_get(arguments, "arg1"));
	const char *two = json_string_value(json_object_get(arguments, "arg2"));

	text_printf(&said, "Prompt with arguments: arg1='%s', arg2='%s'",
	    one == NULL ? "" : one, two == NULL ? "" : two);
	text_add(&said, "", 1);
	text_str(out, "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":"
	    "\"text\",\"text\":");
	text_json(out, said.failed ? "" : said.bytes);
	text_str(out, "}}]");
	text_fini(&said);
}

static void
put_embedded(struct text *out, const json_t *arguments)
{
	const char *uri = json_string_value(json_object_get(arguments,
	    "resourceUri"));

	text_str(out, "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":"
	    "\"resource\",\"resource\":{\"uri\":");
	text_json(out, uri == NULL ? "test://example-resource" : uri);
	text_str(out, ",\"mimeType\":\"text/plain\",\"text\":\"Embedded resource "
	    "content for testing.\"}}}," MESSAGE("user",
	    TEXT("Please process the embedded resource above.")) "]");
}

static void
put_template(struct call *call, struct text *out, const char *uri)
{
	const char *id = uri + strlen("test://template/");
	int len = (int)strcspn(id, "/");
	struct text data = { 0 };

	text_printf(&data, "{\"id\":\"%.*s\",\"templateTest\":true,\"data\":"
	    "\"Data for ID: %.*s\"}", len, id, len, id);
	text_add(&data, "", 1);
	if (call->modern)
		text_str(out, "\"ttlMs\":0,\"cacheScope\":\"private\",");
	text_str(out, "\"contents\":[{\"uri\":");
	text_json(out, uri);
	text_str(out, ",\"mimeType\":\"application/json\",\"text\":");
	text_json(out, data.failed ? "" : data.bytes);
	text_str(out, "}]");
	text_fini(&data);
}

static bool
bind_said(struct call *call, const char *method, const char *name,
    const json_t *params, const json_t *meta)
{
	const json_t *arguments = json_object_get(params, "arguments");
	struct text out = { 0 };

	if (name == NULL)
		return false;
	if (strcmp(name, "test_tool_with_progress") == 0) {
		put_progress(call, &out, meta);
	} else if (strcmp(name, "test_prompt_with_arguments") == 0) {
		put_arguments(&out, arguments);
	} else if (strcmp(name, "test_prompt_with_embedded_resource") == 0) {
		put_embedded(&out, arguments);
	} else if (strncmp(name, "test://template/", 16) == 0) {
		put_template(call, &out, name);
	} else if (strcmp(name, "test_missing_capability") == 0) {
		call->fixture.error = !is_declared(meta, "sampling");
		text_str(&out, call->fixture.error ? "\"code\":-32021,\"message\":"
		    "\"sampling is needed\",\"data\":{\"requiredCapabilities\":"
		    "{\"sampling\":{}}}" : CONTENT(TEXT("done")));
	} else {
		return false;
	}
	text_add(&out, "", 1);
	snprintf(call->fixture.text, sizeof(call->fixture.text), "%s",
	    out.failed ? "" : out.bytes);
	text_fini(&out);
	return true;
}

bool
fixture_bind(struct call *call, const char *method, const char *name,
    json_t *params, const json_t *meta, struct refuse *refuse)
{
	if (!bind_fixed(call, method, name) && !bind_asking(call, method, name) &&
	    !bind_input(call, method, name, params, meta, refuse) &&
	    !bind_said(call, method, name, params, meta))
		return false;
	call->kind = CALL_FIXTURE;
	return true;
}

/* ------------------------------------------------------------------ answers */

static void
ask_id(const struct conn *conn, char out[24])
{
	memcpy(out, "\"fixture-", 9);
	ag_hex(conn->request_id + AG_UUID_BYTES - 6, 6, out + 9);
	memcpy(out + 21, "\"", 2);
}

static void
print_answer(const struct call *call, struct text *out)
{
	const struct fixture *fixture = &call->fixture;
	size_t len;

	text_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"%s\":{", call->id,
	    fixture->error ? "error" : "result");
	if (fixture->input)
		text_str(out, "\"resultType\":\"input_required\",");
	else if (!fixture->error)
		mcp_result_open(call, out);
	text_str(out, fixture->text);
	len = out->len;
	if (!out->failed && len > 0 && out->bytes[len - 1] == ',')
		out->len--; /* nothing followed */
	text_str(out, "}}");
}

static void
stream_event(struct conn *conn, const char *data, size_t len)
{
	struct text event = { 0 };

	text_str(&event, "event: message\ndata: ");
	text_add(&event, data, len);
	text_str(&event, "\n\n");
	if (!event.failed)
		stream_write(conn, event.bytes, event.len);
	text_fini(&event);
}

static void
stream_result(struct conn *conn)
{
	struct text answer = { 0 };

	print_answer(&mcp_conn_of(conn)->call, &answer);
	if (!answer.failed)
		stream_event(conn, answer.bytes, answer.len);
	text_fini(&answer);
	session_forget(conn);
	stream_finish(conn);
}

static void
stream_ask(struct conn *conn)
{
	struct text ask = { 0 };
	char id[24];

	ask_id(conn, id);
	text_printf(&ask, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id,
	    mcp_conn_of(conn)->call.fixture.before);
	if (!ask.failed)
		stream_event(conn, ask.bytes, ask.len);
	text_fini(&ask);
	if (conn->broken)
		conn_drop(conn);
}

void
fixture_answer(struct conn *conn)
{
	const struct call *call = &mcp_conn_of(conn)->call;
	const char *line = call->fixture.before, *end;
	struct text *out = &conn->plane->out;
	unsigned status = call->fixture.error ? 400 : 200;
	size_t body_at;

	if (!call->fixture.stream) {
		answer_head(conn, out, status);
		body_at = answer_type(out, "application/json");
		print_answer(call, out);
		answer_send(conn, status, body_at, false);
		return;
	}
	session_stream(conn, session_named(conn));
	if (call->fixture.asks) {
		stream_ask(conn);
		return;
	}
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		stream_event(conn, line, (size_t)(end - line));
	stream_result(conn);
}

void
fixture_answered(struct conn *conn)
{
	const char *id = mcp_conn_of(conn)->call.id;
	struct mcp_conn *at, *next;
	char asked[24];

	for (at = TAILQ_FIRST(&mcp_of(conn)->streams); at != NULL; at = next) {
		next = TAILQ_NEXT(at, stream_link);
		ask_id(&at->conn, asked);
		if (at->call.kind == CALL_FIXTURE && strcmp(asked, id) == 0)
			stream_result(&at->conn);
	}
}

/* -------------------------------------------------------------------- lists */

#define FIXTURE "\"description\":\"A fixture.\""
#define SCHEMA_2020 "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"" \
	",\"type\":\"object\",\"$defs\":{\"address\":{\"$anchor\":\"addressDef\"," \
	"\"type\":\"object\",\"properties\":{\"street\":{\"type\":\"string\"}," \
	"\"city\":{\"type\":\"string\"}}}},\"properties\":{\"name\":{\"type\":" \
	"\"string\"},\"address\":{\"$ref\":\"#/$defs/address\"},\"contactMethod\":" \
	"{\"type\":\"string\",\"enum\":[\"phone\",\"email\"]},\"phone\":{\"type\":" \
	"\"string\"},\"email\":{\"type\":\"string\"}},\"allOf\":[{\"anyOf\":[{" \
	"\"required\":[\"phone\"]},{\"required\":[\"email\"]}]}],\"if\":{" \
	"\"properties\":{\"contactMethod\":{\"const\":\"phone\"}},\"required\":[" \
	"\"contactMethod\"]},\"then\":{\"required\":[\"phone\"]},\"else\":{" \
	"\"required\":[\"email\"]},\"additionalProperties\":false}"

static void
list_tool(struct text *out, const char *name)
{
	text_printf(out, ",{\"name\":\"%s\",\"description\":\"A fixture.\","
	    "\"inputSchema\":%s}", name,
	    strcmp(name, "json_schema_2020_12_tool") == 0 ? SCHEMA_2020 :
	    "{\"type\":\"object\"}");
}

void
fixture_tools(struct text *out)
{
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].method, "tools/call") == 0)
			list_tool(out, fixed[i].name);
	for (i = 0; i < sizeof(asking) / sizeof(asking[0]); i++)
		list_tool(out, asking[i].name);
	for (i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		if (strcmp(inputs[i].method, "tools/call") == 0)
			list_tool(out, inputs[i].name);
	list_tool(out, "test_tool_with_progress");
	list_tool(out, "test_missing_capability");
}

void
fixture_resources(struct text *out)
{
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].method, "resources/read") == 0)
			text_printf(out, ",{\"uri\":\"%s\",\"name\":\"%s\"}",
			    fixed[i].name, fixed[i].name);
}

void
fixture_templates(struct text *out)
{
	text_str(out, "{\"uriTemplate\":\"test://template/{id}/data\",\"name\":"
	    "\"template\"}");
}

void
fixture_prompts(struct text *out)
{
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].method, "prompts/get") == 0)
			text_printf(out, ",{\"name\":\"%s\"," FIXTURE "}",
			    fixed[i].name);
	text_str(out, ",{\"name\":\"test_input_required_result_prompt\"," FIXTURE "},"
	    "{\"name\":\"test_prompt_with_arguments\"," FIXTURE ",\"arguments\":["
	    "{\"name\":\"arg1\",\"required\":true},"
	    "{\"name\":\"arg2\",\"required\":true}]},"
	    "{\"name\":\"test_prompt_with_embedded_resource\"," FIXTURE ","
	    "\"arguments\":["
	    "{\"name\":\"resourceUri\",\"required\":true}]}");
}
