/* SPDX-License-Identifier: Apache-2.0 */
#include <pg.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Whether TLS may be left out, and how many are asked in turn. */
static void
hosts_of_a_url(void **state)
{
	static const struct {
		const char *url;
		unsigned count;
		bool local;
	} rows[] = {
		{ "postgresql://a@/db", 1, true },
		{ "postgresql://a@127.0.0.1:1/db", 1, true },
		{ "postgresql://a@localhost,127.0.0.1:2,[::1]:3/db", 3, true },
		{ "postgresql://a@db.example/db", 1, false },
		{ "postgresql://a@127.0.0.1,db.example/db", 2, false },
		{ "postgresql://a@db.example,127.0.0.1/db", 2, false },
		{ "postgresql://a@localhost/db?hostaddr=192.0.2.1", 1, false },
		{ "postgresql:///db?host=/run/a,/run/b&port=1,2", 2, true },
	};
	struct pg_server server;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(pg_server_set(&server, rows[i].url, NULL));
		assert_int_equal(server.host_count, rows[i].count);
		assert_int_equal(server.local, rows[i].local);
	}
}

static void
urls_that_are_refused(void **state)
{
	struct pg_server server;

	(void)state;
	assert_non_null(pg_server_set(&server, NULL, NULL));
	assert_non_null(pg_server_set(&server, "not a URL of it", NULL));
	assert_non_null(pg_server_set(&server, "postgresql://a:secret@h/db", NULL));
	assert_null(pg_server_set(&server, "postgresql://h,h,h,h,h,h,h,h/db", NULL));
	assert_non_null(pg_server_set(&server, "postgresql://h,h,h,h,h,h,h,h,h/db",
	    NULL));
	assert_non_null(pg_server_set(&server, "postgresql://h,,h/db", NULL));
	assert_non_null(pg_server_set(&server, "postgresql://h,/db", NULL));
	assert_non_null(pg_server_set(&server, "postgresql://,h/db", NULL));
	assert_non_null(pg_server_set(&server,
	    "postgresql://h,h/db?hostaddr=127.0.0.1,", NULL));
}

/* Where none is said a port is PostgreSQL's own, for each host. */
static void
hosts_without_ports(void **state)
{
	static const struct {
		const char *url, *host, *port; /* of the call'th */
		unsigned call;
	} rows[] = {
		{ "postgresql://a@127.0.0.1,127.0.0.2/db", "127.0.0.1", "5432", 1 },
		{ "postgresql://a@127.0.0.1,127.0.0.2/db", "127.0.0.2", "5432", 2 },
		{ "postgresql://a@127.0.0.1,127.0.0.2:1/db", "127.0.0.1", "5432", 1 },
		{ "postgresql://a@127.0.0.1,127.0.0.2:1/db", "127.0.0.2", "1", 2 },
		{ "postgresql://a@127.0.0.1:1,127.0.0.2/db", "127.0.0.2", "5432", 2 },
		{ "postgresql://a@127.0.0.1,127.0.0.2/db?port=1", "127.0.0.2", "1", 2 },
	};
	struct pg_server server = { .timeout_ms = 50 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pg_link link = { .calls = rows[i].call - 1 };

		assert_null(pg_server_set(&server, rows[i].url, NULL));
		/* Nobody has to be there. */
		if (pg_begin(&link, &server) != AG_OK)
			assert_non_null(link.conn);
		assert_null(strstr(PQerrorMessage(link.conn), "could not match"));
		assert_string_equal(PQhost(link.conn), rows[i].host);
		assert_string_equal(PQport(link.conn), rows[i].port);
		pg_close(&link);
	}
}

static int
listener(int backlog, unsigned *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* One that takes the connection and says nothing must not keep the next one from
 * being asked. */
static void
each_call_asks_the_next_host(void **state)
{
	struct pg_link link = { .conn = NULL };
	struct pg_server server = { .timeout_ms = 50 };
	unsigned first, second;
	int one = listener(8, &first), two = listener(8, &second), got;
	char url[128];

	(void)state;
	snprintf(url, sizeof(url), "postgresql://a@127.0.0.1:%u,127.0.0.1:%u/db",
	    first, second);
	assert_null(pg_server_set(&server, url, NULL));
	assert_int_equal(pg_connect(&link, &server), AG_UNAVAILABLE);
	assert_int_equal(link.calls, 2);
	assert_int_equal(pg_host(&link, &server), 1);
	assert_true((got = accept(one, NULL, NULL)) >= 0);
	close(got);
	assert_true((got = accept(two, NULL, NULL)) >= 0);
	close(got);
	assert_int_equal(pg_begin(&link, &server), AG_OK);
	assert_int_equal(pg_host(&link, &server), 0);
	assert_true((got = accept(one, NULL, NULL)) >= 0);
	close(got);
	pg_close(&link);
	close(one);
	close(two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_of_a_url),
		cmocka_unit_test(urls_that_are_refused),
		cmocka_unit_test(hosts_without_ports),
		cmocka_unit_test(each_call_asks_the_next_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
