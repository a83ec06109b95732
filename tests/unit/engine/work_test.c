/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs on the worker's own thread, with the loop's beside it: `make tsan` looks
 * for what both touch. (The kit alone runs jobs in its own thread.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <aegis/kit.h>
#include <aegis/merkle.h>
#include <ctx.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 200, ROUNDS = 50 };

struct probe {
	unsigned done, failed;
};

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	(void)ctx;
	return AG_OK;
}

static const struct ag_actor probe_actor = {
	.name = "probe",
	.state_size = sizeof(struct probe),
	.init = init,
};

static struct ag_kit *kit;
static struct ag_ctx *ctx;
static struct event_base *base;

static int
setup(void **state)
{
	kit = ag_kit_new(&probe_actor, NULL, NULL);
	ctx = ag_kit_ctx(kit);
	base = event_base_new();
	assert_non_null(base);
	ctx->base = base; /* as in a process: jobs get a thread */
	return 0;
}

static int
teardown(void **state)
{
	if (ctx->work_event != NULL)
		event_free(ctx->work_event);
	ctx->work_event = NULL;
	ctx->base = NULL;
	ag_kit_free(&kit);
	event_base_free(base);
	return 0;
}

struct job {
	unsigned n;
	uint8_t hash[32];
};

/* What several actors do there and in the loop: hashing. */
static void
hash(unsigned n, uint8_t out[32])
{
	char text[32];

	snprintf(text, sizeof(text), "%u", n);
	ag_sha256(text, strlen(text), out);
	for (unsigned i = 0; i < ROUNDS; i++)
		ag_sha256(out, 32, out);
}

static ag_err
work(void *arg)
{
	struct job *job = arg;

	hash(job->n, job->hash);
	return job->n % 7 == 0 ? AG_UNAVAILABLE : AG_OK;
}

static ag_err
on_done(void *state, struct ag_ctx *c, ag_err status, const void *msg,
    void *memo)
{
	struct probe *probe = state;
	struct job *job = memo;
	uint8_t want[32];

	assert_ptr_equal(c, ctx);
	assert_null(msg);
	hash(job->n, want);
	assert_memory_equal(job->hash, want, sizeof(want));
	assert_int_equal(status, job->n % 7 == 0 ? AG_UNAVAILABLE : AG_OK);
	assert_int_equal(job->n, probe->done); /* in their order */
	probe->done++;
	probe->failed += status != AG_OK;
	free(job);
	return AG_OK;
}

static ag_err
put(unsigned n)
{
	struct job *job = calloc(1, sizeof(*job));
	ag_err err;

	assert_non_null(job);
	job->n = n;
	if ((err = ag_work(ctx, work, job, on_done)) != AG_PENDING)
		free(job);
	return err;
}

/* Handed over whole, handed back whole, in their order. */
static void
test_there_and_back(void **state)
{
	struct probe *probe = ag_kit_state(kit);
	uint8_t own[32];

	for (unsigned n = 0; n < JOBS;) {
		ag_err err = put(n);

		n += err == AG_PENDING;
		hash(n, own); /* the loop has work of its own */
		if (err != AG_PENDING) {
			assert_int_equal(err, AG_FULL);
			event_base_loop(base, EVLOOP_ONCE);
		}
	}
	while (probe->done < JOBS)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(probe->failed, (JOBS + 6) / 7);
}

/* An end does not wait for what nobody began. */
static void
test_stops_in_between(void **state)
{
	static struct job jobs[3]; /* the test's: nobody gets them back */
	struct probe *probe = ag_kit_state(kit);

	for (unsigned n = 0; n < 3; n++) {
		jobs[n].n = n;
		assert_int_equal(ag_work(ctx, work, &jobs[n], on_done),
		    AG_PENDING);
	}
	assert_int_equal(probe->done, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_stops_in_between, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
