/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's parts that need no process. */
#include "supervisor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void
backoff_doubles_and_starts_over(void **state)
{
	static const unsigned want[] = { 100, 200, 400, 800, 1600, 3200, 6400,
		10000, 10000 };
	unsigned ms = 0;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		ms = ag_backoff_next(ms, 5);
		assert_int_equal(ms, want[i]);
	}
	assert_int_equal(ag_backoff_next(ms, BACKOFF_RESET_MS), BACKOFF_MIN_MS);
}

static void
listen_addresses(void **state)
{
	static const struct {
		const char *text, *host, *port; /* NULL: refused */
	} cases[] = {
		{ "127.0.0.1:8470", "127.0.0.1", "8470" },
		{ "localhost:0", "localhost", "0" },
		{ "[::1]:443", "::1", "443" },
		{ "::1:443", NULL, NULL },
		{ "127.0.0.1", NULL, NULL },
		{ "127.0.0.1:", NULL, NULL },
		{ ":8470", NULL, NULL },
		{ "[]:1", NULL, NULL },
		{ "h:65536", NULL, NULL },
		{ "h:-1", NULL, NULL },
		{ "h:+1", NULL, NULL },
		{ "h:8x", NULL, NULL },
		{ "", NULL, NULL },
	};
	char host[64], port[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok = ag_listen_split(cases[i].text, host, sizeof(host), port,
		    sizeof(port));

		assert_int_equal(ok, cases[i].host != NULL);
		if (!ok)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_string_equal(port, cases[i].port);
	}
}

static void
endpoints_have_a_generation_and_a_limit(void **state)
{
	char endpoint[ENDPOINT_SIZE], dir[200];

	assert_true(ag_endpoint_name("/s/run", "iam", 3, endpoint));
	assert_string_equal(endpoint, "ipc:///s/run/bus/iam.3");
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[120] = '\0';
	assert_false(ag_endpoint_name(dir, "iam", 3, endpoint));
	/* 107 bytes fit a sockaddr_un, 108 do not */
	dir[107 - strlen("/bus/iam.3")] = '\0';
	assert_true(ag_endpoint_name(dir, "iam", 3, endpoint));
	dir[strlen(dir)] = 'd';
	dir[108 - strlen("/bus/iam.3")] = '\0';
	assert_false(ag_endpoint_name(dir, "iam", 3, endpoint));
}

static void
how_it_ended(void **state)
{
	char text[64];

	ag_status_text(2 << 8, text, sizeof(text));
	assert_string_equal(text, "exit status 2");
	ag_status_text(SIGKILL, text, sizeof(text));
	assert_string_equal(text, "signal 9 (Killed)");
}

/* ------------------------------------------------------------ actors.d files */

static ag_err
read_text(const char *text, struct local_actor *out, char *message, size_t size)
{
	char file[] = "/tmp/aegis-local-XXXXXX";
	int fd = mkstemp(file);
	ag_err err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	err = ag_local_read(file, "mine", out, message, size);
	unlink(file);
	return err;
}

static void
an_actor_file_is_read(void **state)
{
	struct local_actor actor;
	char message[256] = "";

	assert_int_equal(read_text("role: actor\nprogram: /bin/cat\n"
	    "args: [-u, \"a b\"]\n", &actor, message, sizeof(message)), AG_OK);
	assert_string_equal(actor.role, "guest");
	assert_string_equal(actor.program, "/bin/cat");
	assert_int_equal(actor.arg_count, 2);
	assert_string_equal(actor.args[1], "a b");
	assert_null(actor.args[2]);
	ag_local_free(&actor);
}

static void
a_bad_actor_file_says_where(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "program: /bin/cat\nrole: king\n", ":2: role: subscriber or actor" },
		{ "program: /bin/cat\ncolour: red\n",
		    ":2: colour: unknown key (program, role, args)" },
		{ "program: cat\n", ":1: program: an absolute path" },
		{ "program: /nowhere/x\n", ":1: program: /nowhere/x: No such file" },
		{ "role: actor\n", "program: is missing" },
		{ "program: /bin/cat\n", "role: is missing" },
		{ "program: /bin/cat\nprogram: /bin/cat\n", ":2: given twice" },
		{ "program: /bin/cat\nrole: actor\nargs: x\n",
		    ":3: args: a list of words" },
		{ "program: /bin/cat\nrole: actor\nargs: [{a: b}]\n",
		    ":3: args: a list of words" },
		{ "[a, b]\n", ":1: keys are wanted" },
		{ "", "program: an absolute path is wanted" },
		{ "program: \"unterminated\n", ":" },
		{ "\xff\xfe\x00", ":" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct local_actor actor;
		char message[512] = "";

		assert_int_equal(read_text(cases[i].text, &actor, message,
		    sizeof(message)), AG_USAGE);
		if (strstr(message, cases[i].says) == NULL)
			fail_msg("%zu: %s", i, message);
	}
}

/* -------------------------------------------------------------------- guests */

static struct supervisor *
sup_in(char *dir)
{
	struct supervisor *sup = calloc(1, sizeof(*sup));
	char guests[64];

	assert_non_null(mkdtemp(dir));
	snprintf(sup->state_dir, sizeof(sup->state_dir), "%s", dir);
	snprintf(sup->run_dir, sizeof(sup->run_dir), "%s/run", dir);
	snprintf(guests, sizeof(guests), "%s/guests", dir);
	assert_int_equal(mkdir(guests, 0700), 0);
	sup->children[0].fd = -1; /* no broker to tell */
	snprintf(sup->children[0].name, sizeof(sup->children[0].name), "keys.0");
	sup->count = 1;
	return sup;
}

static void
remove_all(const char *dir)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void
a_guest_keeps_its_slot_not_its_token(void **state)
{
	char dir[] = "/tmp/aegis-guests-XXXXXX", why[256];
	struct supervisor *sup = sup_in(dir), *next = calloc(1, sizeof(*next));
	uint8_t first[32], second[32], hash[32];
	struct guest *guest;

	assert_int_equal(ag_guest_enroll(sup, "siem", "subscriber", first, &guest,
	    why, sizeof(why)), AG_OK);
	assert_int_equal(guest->slot, GUEST_SLOT);
	assert_int_equal(ag_guest_enroll(sup, "siem", "guest", second, &guest, why,
	    sizeof(why)), AG_OK);
	assert_int_equal(guest->slot, GUEST_SLOT);
	assert_int_equal(guest->generation, 2);
	assert_memory_not_equal(first, second, 32);
	/* the next supervisor knows the hash, and nothing more */
	snprintf(next->state_dir, sizeof(next->state_dir), "%s", dir);
	snprintf(next->run_dir, sizeof(next->run_dir), "%s/run", dir);
	assert_int_equal(ag_guests_load(next), EXIT_YES);
	ag_sha256(second, 32, hash);
	assert_memory_equal(next->guests[0].token_hash, hash, 32);
	assert_string_equal(next->guests[0].role, "guest");
	assert_string_equal(next->guests[0].endpoint, guest->endpoint);
	free(sup);
	free(next);
	remove_all(dir);
}

static void
a_guest_is_not_of_the_fleet(void **state)
{
	static const char *const names[] = { "keys", "keys.0", "", "Siem", "../x",
		"a/b", "import", "x.new" };
	char dir[] = "/tmp/aegis-guests-XXXXXX", why[256];
	struct supervisor *sup = sup_in(dir);
	struct guest *guest;
	uint8_t token[32];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(ag_guest_enroll(sup, names[i], "guest", token,
		    &guest, why, sizeof(why)), AG_INVALID_FIELD);
	for (int i = 0; i < GUESTS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i);
		assert_int_equal(ag_guest_enroll(sup, name, "guest", token, &guest,
		    why, sizeof(why)), AG_OK);
	}
	assert_int_equal(ag_guest_enroll(sup, "more", "guest", token, &guest, why,
	    sizeof(why)), AG_FULL);
	free(sup);
	remove_all(dir);
}

static void
a_bad_guest_record_is_refused(void **state)
{
	static const char *const records[] = { "", "{}", "[]",
		"{\"role\":\"guest\",\"slot\":1,\"generation\":1,\"token_sha256\":"
		    "\"00\"}",
		"{\"role\":\"plane\",\"slot\":160,\"generation\":1,\"token_sha256\":"
		    "\"0000000000000000000000000000000000000000000000000000000000000000\"}" };

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		char dir[] = "/tmp/aegis-guests-XXXXXX", file[64];
		struct supervisor *sup = sup_in(dir);
		FILE *f;

		snprintf(file, sizeof(file), "%s/guests/siem", dir);
		f = fopen(file, "w");
		fputs(records[i], f);
		fclose(f);
		assert_int_equal(ag_guests_load(sup), EXIT_BAD_INPUT);
		free(sup);
		remove_all(dir);
	}
}

/* --------------------------------------------------------------------- fleet */

static unsigned
expand(const char *yaml, struct ag_fleet_row *rows, char *message, size_t size,
    ag_err *err)
{
	char file[] = "/tmp/aegis-fleet-XXXXXX";
	struct ag_config *config;
	unsigned count = 0;
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	*err = ag_config_load(file, &config, message, size);
	unlink(file);
	if (*err != AG_OK)
		return 0;
	*err = ag_fleet_expand(config, rows, &count, message, size);
	ag_config_free(&config);
	return count;
}

static const struct ag_fleet_row *
row_named(const struct ag_fleet_row *rows, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static void
the_fleet_follows_the_configuration(void **state)
{
	struct ag_fleet_row rows[AG_FLEET_ROWS_MAX];
	char message[256] = "";
	const struct ag_fleet_row *row;
	ag_err err;
	unsigned count = expand("keys: {shards: 3}\nrest: {processes: 2}\n"
	    "sinks:\n  - {name: archive, kind: file, path: /tmp/a}\n"
	    "  - {name: console, kind: stdout}\n", rows, message,
	    sizeof(message), &err);

	if (err != AG_OK)
		fail_msg("%s", message);
	assert_non_null(row_named(rows, count, "keys.0"));
	row = row_named(rows, count, "keys.2");
	assert_non_null(row);
	assert_int_equal(row->index, 2);
	assert_null(row_named(rows, count, "keys.3"));
	assert_non_null(row_named(rows, count, "rest"));
	assert_non_null(row_named(rows, count, "rest.1"));
	row = row_named(rows, count, "stdout.console");
	assert_non_null(row);
	assert_int_equal(row->index, 1);
	assert_int_equal(row_named(rows, count, "file.archive")->index, 0);
	assert_ptr_equal(rows[0].proc, ag_proc_at(0));
}

static void
sinks_have_names_of_their_own(void **state)
{
	struct ag_fleet_row rows[AG_FLEET_ROWS_MAX];
	char message[256] = "";
	ag_err err;

	(void)expand("sinks:\n  - {name: a, kind: stdout}\n"
	    "  - {name: a, kind: file, path: /tmp/x}\n", rows, message,
	    sizeof(message), &err);
	assert_int_equal(err, AG_USAGE);
	assert_non_null(strstr(message, "a"));
	(void)expand("sinks:\n  - {name: \"../a\", kind: stdout}\n", rows,
	    message, sizeof(message), &err);
	assert_int_equal(err, AG_USAGE);
}

/* The log's is opened by the supervisor, before any fence. */
static void
every_configured_file_is_somebodys_behind_the_fence(void **state)
{
	const struct ag_config_key *key;
	unsigned files = 0;

	(void)state;
	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++) {
		if (key->type != AG_CFG_PATH || strcmp(key->path, "log.file") == 0)
			continue;
		files++;
		if (!ag_fence_is_owned(key->path))
			fail_msg("%s is nobody's in bin/supervise/fence.c",
			    key->path);
	}
	assert_true(files > 20);
	assert_false(ag_fence_is_owned("log.file"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_and_starts_over),
		cmocka_unit_test(listen_addresses),
		cmocka_unit_test(endpoints_have_a_generation_and_a_limit),
		cmocka_unit_test(how_it_ended),
		cmocka_unit_test(an_actor_file_is_read),
		cmocka_unit_test(a_bad_actor_file_says_where),
		cmocka_unit_test(a_guest_keeps_its_slot_not_its_token),
		cmocka_unit_test(a_guest_is_not_of_the_fleet),
		cmocka_unit_test(a_bad_guest_record_is_refused),
		cmocka_unit_test(the_fleet_follows_the_configuration),
		cmocka_unit_test(sinks_have_names_of_their_own),
		cmocka_unit_test(every_configured_file_is_somebodys_behind_the_fence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
