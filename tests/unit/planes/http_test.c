/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP reader, fed with bytes: whole, in pieces, and hostile. */
#include "http.h"

#include <aegis/proto.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct http_limits limits = { 512, 1024, 4096, NULL };
static struct http_reader reader;

static int
setup(void **state)
{
	(void)state;
	http_init(&reader, &limits);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	http_fini(&reader);
	return 0;
}

static enum http_stage
feed(const char *text)
{
	http_feed(&reader, text, strlen(text));
	return reader.stage;
}

static const char sign[] = "POST /v1/keys/k/sign?a=b HTTP/1.1\r\nHost: h\r\n"
    "Accept: */*\r\nAuthorization: Bearer t.o.k\r\nX-Empty:\r\n"
    "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";

static void
check_sign(void)
{
	size_t len;

	assert_int_equal(reader.stage, STAGE_WHOLE);
	assert_int_equal(reader.match.route->op, AG_MSG_KEY_SIGN);
	assert_string_equal(reader.match.params[0], "k");
	assert_string_equal(http_query(&reader), "a=b");
	assert_string_equal(http_field(&reader, FIELD_AUTHORIZATION), "Bearer t.o.k");
	assert_string_equal(http_field(&reader, FIELD_CONTENT_TYPE),
	    "application/json");
	assert_null(http_field(&reader, FIELD_IF_MATCH));
	assert_int_equal(reader.body_len, 7);
	assert_memory_equal(reader.body, "{\"a\":1}", 7);
	assert_memory_equal(http_path(&reader, &len), "/v1/keys/k/sign", 15);
	assert_int_equal(len, 15);
	assert_true(reader.keep_alive);
}

static void
test_whole(void **state)
{
	(void)state;
	assert_int_equal(http_feed(&reader, sign, sizeof(sign) - 1),
	    sizeof(sign) - 1);
	check_sign();
}

static void
test_byte_by_byte(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sign) - 1; i++)
		assert_int_equal(http_feed(&reader, sign + i, 1), 1);
	check_sign();
}

static void
test_pipelined(void **state)
{
	char two[2 * sizeof(sign)];
	size_t took;

	(void)state;
	strcpy(two, sign);
	strcat(two, sign);
	took = http_feed(&reader, two, strlen(two));
	assert_int_equal(took, sizeof(sign) - 1);
	check_sign();
	http_next(&reader);
	assert_int_equal(http_feed(&reader, two + took, strlen(two) - took),
	    sizeof(sign) - 1);
	check_sign();
}

static void
test_chunked(void **state)
{
	(void)state;
	assert_int_equal(feed("POST /v1/keys HTTP/1.1\r\nHost: h\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
	    "Authorization: Bearer from-a-trailer\r\n\r\n"), STAGE_WHOLE);
	assert_int_equal(reader.body_len, 5);
	assert_memory_equal(reader.body, "abcde", 5);
	assert_null(http_field(&reader, FIELD_AUTHORIZATION));
}

static void
test_get_close(void **state)
{
	(void)state;
	assert_int_equal(feed("GET /v1/whoami HTTP/1.1\r\nHost: h\r\n"
	    "Connection: close\r\n\r\n"), STAGE_WHOLE);
	assert_false(reader.keep_alive);
	http_next(&reader);
	assert_int_equal(feed("GET http://h:1/v1/whoami HTTP/1.1\r\nHost: h\r\n\r\n"),
	    STAGE_WHOLE);
	assert_int_equal(reader.match.route->op, AG_MSG_WHOAMI);
	http_next(&reader);
	assert_int_equal(feed("GET /v1/whoami HTTP/1.0\r\n\r\n"), STAGE_WHOLE);
	assert_false(reader.keep_alive);
}

static void
test_upgrade_is_ignored(void **state)
{
	(void)state;
	assert_int_equal(feed("GET /v1/whoami HTTP/1.1\r\nHost: h\r\n"
	    "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), STAGE_WHOLE);
}

struct bad {
	const char *text;
	ag_err err;
	const char *reason;
};

static const struct bad bads[] = {
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
	    "Content-Length: 2\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\n"
	    "Transfer-Encoding: gzip, chunked\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/2.0\r\nHost: h\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys#x HTTP/1.1\r\nHost: h\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys/%00 HTTP/1.1\r\nHost: h\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\nHost: h\n\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\nHost: h\r\n\rX", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabcXX0\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\rXabc\r\n0\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n0\n\n", AG_MALFORMED_REQUEST, "http" },
	{ "NONSENSE\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\nHost: h\r\nExpect: the best\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "GET /v1/keys HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\n"
	    "Authorization: b\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 1025\r\n\r\n",
	    AG_REQUEST_TOO_LARGE, "body" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
	    AG_MALFORMED_REQUEST, "http" },
	{ "POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: "
	    "99999999999999999999\r\n\r\n", AG_MALFORMED_REQUEST, "http" },
};

static void
test_bad(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		http_next(&reader);
		if (feed(bads[i].text) != STAGE_BAD)
			fail_msg("taken: %s", bads[i].text);
		assert_int_equal(reader.refuse.err, bads[i].err);
		assert_string_equal(reader.refuse.reason, bads[i].reason);
	}
}

static void
test_nul_in_header(void **state)
{
	static const char text[] = "GET /v1/keys HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n";

	(void)state;
	http_feed(&reader, text, sizeof(text) - 1);
	assert_int_equal(reader.stage, STAGE_BAD);
	assert_int_equal(reader.refuse.err, AG_MALFORMED_REQUEST);
}

static void
test_header_too_large(void **state)
{
	char text[700];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	http_feed(&reader, text, sizeof(text));
	assert_int_equal(reader.stage, STAGE_BAD);
	assert_int_equal(reader.refuse.err, AG_HEADERS_TOO_LARGE);
}

static void
test_body_grows_too_large(void **state)
{
	char chunk[512];
	unsigned i;

	(void)state;
	feed("POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	memset(chunk, 'x', sizeof(chunk));
	for (i = 0; i < 4 && reader.stage == STAGE_BODY; i++) {
		feed("200\r\n");
		http_feed(&reader, chunk, sizeof(chunk));
		feed("\r\n");
	}
	assert_int_equal(reader.stage, STAGE_BAD);
	assert_int_equal(reader.refuse.err, AG_REQUEST_TOO_LARGE);
}

/* Chunk extensions are no body, and no way around its bound. */
static void
test_chunk_extensions_are_bounded(void **state)
{
	unsigned i;

	(void)state;
	feed("POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1");
	for (i = 0; i < 100000 && reader.stage == STAGE_BODY; i++)
		feed(";abcdefgh=01234567");
	assert_int_equal(reader.stage, STAGE_BAD);
}

static void
test_batch_may_be_larger(void **state)
{
	(void)state;
	assert_int_equal(feed("POST /v1/keys/k/batch HTTP/1.1\r\nHost: h\r\n"
	    "Content-Length: 4096\r\n\r\n"), STAGE_BODY);
}

static void
test_cut_short(void **state)
{
	(void)state;
	feed("POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
	http_feed(&reader, "", 0);
	assert_int_equal(reader.stage, STAGE_BAD);
	assert_string_equal(reader.refuse.reason, "http");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_whole), T(test_byte_by_byte), T(test_pipelined),
		T(test_chunked), T(test_get_close), T(test_upgrade_is_ignored),
		T(test_bad), T(test_nul_in_header), T(test_header_too_large),
		T(test_body_grows_too_large), T(test_chunk_extensions_are_bounded),
		T(test_batch_may_be_larger), T(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
