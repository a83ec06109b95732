/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixtures that want more input before they answer (2026-07-28): what each
 * asks for in which round, and the state that tells the rounds apart.
 */
#include "fixture_text.h"

#include <aegis/id.h>
#include <aegis/secret.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum { STATE_MAC = 32, ROUNDS_MAX = 2, ASKED_MAX = 3 };

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
		if (!fixture_is_declared(meta, asked[i].capability))
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

bool
fixture_bind_input(struct call *call, const char *method,
    const char *name, json_t *params, const json_t *meta,
    struct refuse *refuse)
{
	size_t i;

	for (i = 0; call->modern && i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (strcmp(inputs[i].method, method) != 0 ||
		    !fixture_same(inputs[i].name, name))
			continue;
		run_input(call, &inputs[i], params, meta, refuse);
		return true;
	}
	return false;
}

const char *
fixture_input_tool(unsigned i)
{
	size_t at;

	for (at = 0; at < sizeof(inputs) / sizeof(inputs[0]); at++)
		if (strcmp(inputs[at].method, "tools/call") == 0 && i-- == 0)
			return inputs[at].name;
	return NULL;
}
