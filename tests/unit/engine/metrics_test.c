/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static int
setup(void **state)
{
	strcpy(dir, "/tmp/aegis-metrics-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "keys.0", "iam", "junk", "short" };
	char path[128];

	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/metrics/%s", dir, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/metrics", dir);
	rmdir(path);
	return rmdir(dir);
}

static void
junk(const char *name, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/metrics/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void
written_here_read_there(void **state)
{
	struct ag_metrics_block *keys, *iam, *all;
	struct timespec now;
	char path[128];
	struct stat st;
	size_t n;
	mode_t mask = umask(027); /* processes with uids of their own */

	assert_int_equal(ag_metrics_create(dir, "keys.0", "keys", &keys), AG_OK);
	snprintf(path, sizeof(path), "%s/metrics/keys.0", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	umask(077); /* all others */
	assert_int_equal(ag_metrics_create(dir, "iam", "iam", &iam), AG_OK);
	umask(mask);
	snprintf(path, sizeof(path), "%s/metrics/iam", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ag_metrics_define(keys, "signs_total", "Signs", 0), 0);
	assert_int_equal(ag_metrics_define(keys, "took_us", "Time", 2), 1);
	keys->metrics[0].value = 42;
	keys->ready = 1;
	clock_gettime(CLOCK_BOOTTIME, &now);
	keys->beat_ms = (uint64_t)now.tv_sec * 1000;
	junk("junk", sizeof(*keys));
	junk("short", 10);

	assert_int_equal(ag_metrics_read(dir, &all, &n), AG_OK);
	assert_int_equal(n, 2);
	assert_string_equal(all[0].name, "iam");
	assert_string_equal(all[1].name, "keys.0");
	assert_string_equal(all[1].role, "keys");
	assert_int_equal(all[1].pid, getpid());
	assert_int_equal(all[1].count, 2);
	assert_int_equal(all[1].metrics[0].value, 42);
	assert_false(ag_metrics_alive(&all[0]));
	assert_true(ag_metrics_alive(&all[1]));
	all[1].beat_ms -= 5000;
	assert_false(ag_metrics_alive(&all[1]));
	free(all);
	ag_metrics_close(&keys);
	assert_null(keys);
	/* A new start: a fresh block under the same name. */
	assert_int_equal(ag_metrics_create(dir, "keys.0", "keys", &keys), AG_OK);
	assert_int_equal(keys->count, 0);
	ag_metrics_close(&keys);
	ag_metrics_close(&iam);
}

/* However many tenants there are, what is shown is bounded and adds up. */
static void
tenants_are_bounded(void **state)
{
	struct ag_metrics_block *iam, *all;
	unsigned calls, other = 0, named = 0;
	uint64_t sum = 0;
	char name[16];
	size_t n;

	assert_int_equal(ag_metrics_create(dir, "iam", "iam", &iam), AG_OK);
	calls = ag_metrics_define(iam, "calls_total", "Calls", 0);
	ag_metrics_define(iam, "others_total", "Not of them", 0);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "t%d", i);
			iam->metrics[ag_metrics_of_tenant(iam, calls, name)]
			    .value++;
		}
	assert_int_equal(ag_metrics_of_tenant(iam, calls, "t0"),
	    ag_metrics_of_tenant(iam, calls, "t0"));
	assert_int_equal(ag_metrics_read(dir, &all, &n), AG_OK);
	assert_int_equal(n, 1);
	assert_int_equal(all[0].count, 2 + AG_METRIC_TENANTS_MAX);
	for (unsigned i = 2; i < all[0].count; i++) {
		assert_string_equal(all[0].metrics[i].name, "calls_total");
		sum += all[0].metrics[i].value;
		if (strcmp(all[0].metrics[i].tenant, "other") == 0)
			other++;
		else
			named += all[0].metrics[i].value == 3;
	}
	assert_int_equal(sum, 300);
	assert_int_equal(other, 1);
	assert_int_equal(named, AG_METRIC_TENANTS_MAX - 1);
	assert_int_equal(all[0].metrics[calls].value, 0);
	free(all);
	ag_metrics_close(&iam);
}

static void
buckets(void **state)
{
	static const struct { uint64_t us; unsigned bucket; } cases[] = {
		{ 0, 0 }, { 50, 0 }, { 51, 1 }, { 100, 1 }, { 101, 2 },
		{ 200, 2 }, { 201, 3 }, { 50 << 14, 14 }, { (50 << 14) + 1, 15 },
		{ UINT64_MAX, 15 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ag_metric m = { .kind = 2 };

		ag_metrics_observe(&m, cases[i].us);
		assert_int_equal(m.buckets[cases[i].bucket], 1);
		assert_int_equal(m.value, 1);
		assert_true(m.sum_us == cases[i].us);
	}
}

static void
nothing_there(void **state)
{
	struct ag_metrics_block *b;
	size_t n = 7;

	assert_int_equal(ag_metrics_read(dir, &b, &n), AG_OK);
	assert_int_equal(n, 0);
	assert_int_equal(ag_metrics_create("/nowhere", "a", "b", &b), AG_IO);
	assert_null(b);
	ag_metrics_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(written_here_read_there, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(tenants_are_bounded, setup,
		    teardown),
		cmocka_unit_test(buckets),
		cmocka_unit_test_setup_teardown(nothing_there, setup, teardown),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
