/* SPDX-License-Identifier: Apache-2.0 */
/* The MCP plane in the kit: a client on one end of a socket pair, iam and
 * audit played by hand. */
#include "mcp.h"

#include <aegis/kit.h>

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct ag_actor ag_actor_mcp;

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" \
	"\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define SIGN "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\"," \
	"\"params\":{\"name\":\"sign\",\"arguments\":{\"key\":\"invoice\"," \
	"\"message_b64\":\"aGVsbG8=\"}," META "}}"

static struct ag_kit *kit;
static struct mcp *mcp;
static struct event_base *base;
static int client;
static char answer[1 << 16];

static int
setup(void **state)
{
	const struct sockaddr peer = { .sa_family = AF_UNIX };
	int ends[2];

	(void)state;
	kit = ag_kit_new(&ag_actor_mcp, NULL, NULL);
	mcp = ag_kit_state(kit);
	mcp->plane.base = base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_non_null(conn_open(&mcp->plane, ends[0], &peer));
	client = ends[1];
	return 0;
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

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	ag_kit_advance(kit, 1);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
say(const char *fields, const char *body)
{
	char text[4096];
	int len = snprintf(text, sizeof(text), "POST /mcp HTTP/1.1\r\n"
	    "Host: localhost\r\nAuthorization: Bearer a.b.c\r\n"
	    "Content-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
	    fields, strlen(body), body);

	assert_int_equal(write(client, text, (size_t)len), len);
	turn();
}

static void
hears(const char *wanted)
{
	ssize_t n = read(client, answer, sizeof(answer) - 1);

	answer[n < 0 ? 0 : n] = '\0';
	if (strstr(answer, wanted) == NULL)
		fail_msg("no '%s' in: %s", wanted, answer);
}

static void
deliver(unsigned status, ag_err err, const void *reply)
{
	Ag__DeliverEvent event = AG__DELIVER_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	uint8_t bytes[4096];

	event.n = 1;
	event.boot = ag_boot(ag_kit_ctx(kit));
	event.status = status;
	refusal.err = err;
	if (err != AG_OK) {
		event.refusal = &refusal;
	} else {
		event.has_reply = 1;
		event.reply.data = bytes;
		event.reply.len = protobuf_c_message_pack(reply, bytes);
	}
	ag_kit_deliver(kit, AG_ROLE_AUDIT, 0, AG_MSG_DELIVER_EVENT, NULL, &event);
	turn();
}

static const char fields[] = "MCP-Protocol-Version: 2026-07-28\r\n"
    "Mcp-Method: tools/call\r\nMcp-Name: sign\r\n";

static void
test_a_call_is_an_operation(void **state)
{
	Ag__SignReply reply = AG__SIGN_REPLY__INIT;

	(void)state;
	say(fields, SIGN);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	reply.key_id = (char *)(uintptr_t)"key_1";
	reply.key_version = 1;
	deliver(200, AG_OK, &reply);
	hears("\"id\":7,\"result\":{\"resultType\":\"complete\"");
	assert_non_null(strstr(answer, "\"structuredContent\":{\"key_id\":\"key_1\""));
}

static void
test_a_refusal_is_the_tools(void **state)
{
	(void)state;
	say(fields, SIGN);
	deliver(403, AG_PERMISSION_DENIED, NULL);
	hears("HTTP/1.1 200 ");
	assert_non_null(strstr(answer, "\"isError\":true"));
}

static void
test_a_bad_credential_is_https(void **state)
{
	(void)state;
	say(fields, SIGN);
	deliver(401, AG_UNAUTHENTICATED, NULL);
	hears("HTTP/1.1 401 ");
	assert_non_null(strstr(answer, "resource_metadata=\"http://localhost"
	    "/.well-known/oauth-protected-resource/mcp\""));
}

static void
test_a_page_from_elsewhere_never_reaches_iam(void **state)
{
	(void)state;
	say("Origin: https://evil.example\r\n", SIGN);
	assert_int_equal(ag_kit_next(kit)->type, AG_MSG_OUTCOME_EVENT);
	assert_null(ag_kit_next(kit)); /* and nothing else */
	deliver(403, AG_PERMISSION_DENIED, NULL);
	hears("HTTP/1.1 403 ");
}

/* Fields that lie are iam's to refuse, as no operation of any key. */
static void
test_fields_that_lie(void **state)
{
	(void)state;
	say("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n", SIGN);
	assert_int_equal(ag_kit_next(kit)->type, AG_MSG_TOOL_CONNECT);
	assert_null(ag_kit_next(kit)); /* and nothing else */
	deliver(400, AG_INVALID_FIELD, NULL);
	hears("\"code\":-32020");
	assert_non_null(strstr(answer, "HTTP/1.1 400 "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_call_is_an_operation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_refusal_is_the_tools, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_credential_is_https, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_page_from_elsewhere_never_reaches_iam, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_fields_that_lie, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
