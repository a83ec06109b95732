/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixtures: what always answers the same, what asks the client on its
 * stream (2025-11-25), what repeats the request, and the rows of the lists.
 */
#include "fixture_text.h"

#include <stdio.h>
#include <string.h>

#define MIRRORED "test_mirrored_argument"

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
	{ "tools/call", MIRRORED, NULL, CONTENT(TEXT("done")) },
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

bool
fixture_same(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

bool
fixture_is_declared(const json_t *meta, const char *capability)
{
	return json_object_get(json_object_get(meta, META "clientCapabilities"),
	    capability) != NULL;
}

static bool
bind_fixed(struct call *call, const char *method, const char *name)
{
	struct fixture *fixture = &call->fixture;
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].method, method) != 0 ||
		    (fixed[i].name != NULL && !fixture_same(fixed[i].name, name)))
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
		if (!fixture_same(asking[i].name, name))
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
		call->fixture.error = !fixture_is_declared(meta, "sampling");
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
	    !fixture_bind_input(call, method, name, params, meta, refuse) &&
	    !bind_said(call, method, name, params, meta))
		return false;
	call->kind = CALL_FIXTURE;
	return true;
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

#define SCHEMA_MIRRORED "{\"type\":\"object\",\"properties\":{\"key\":{" \
	"\"type\":\"string\",\"x-mcp-header\":\"Key\"}},\"required\":[\"key\"]}"

static void
list_tool(struct text *out, const char *name)
{
	const char *schema = "{\"type\":\"object\"}";

	if (strcmp(name, "json_schema_2020_12_tool") == 0)
		schema = SCHEMA_2020;
	else if (fixture_is_mirrored(name))
		schema = SCHEMA_MIRRORED;
	text_printf(out, ",{\"name\":\"%s\",\"description\":\"A fixture.\","
	    "\"inputSchema\":%s}", name, schema);
}

bool
fixture_is_mirrored(const char *tool)
{
	return strcmp(tool, MIRRORED) == 0;
}

void
fixture_tools(struct text *out)
{
	const char *name;
	unsigned at;
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].method, "tools/call") == 0)
			list_tool(out, fixed[i].name);
	for (i = 0; i < sizeof(asking) / sizeof(asking[0]); i++)
		list_tool(out, asking[i].name);
	for (at = 0; (name = fixture_input_tool(at)) != NULL; at++)
		list_tool(out, name);
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
