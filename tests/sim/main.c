/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: runs seeds, each in a process of its own, and says which of them broke
 * a promise, with the command that runs it again.
 *
 *   sim [--seeds N] [--from N] [--jobs N]   many
 *   sim --seed N [--trace FILE] [--verbose] one
 *   sim --named                             those that once found something
 */
#include "client.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CALLS = 110,
	START_US = 60 * SIM_S,
	DAY_US = 240 * SIM_S,  /* the clients' day, at most */
	QUIET_US = 45 * SIM_S, /* all deadlines are over, twice */
	SETTLE_US = 2 * SIM_S,
	JOBS_MAX = 64,
	BROKEN_MAX = 10,       /* broken seeds that are told of */
};

extern const struct ag_actor ag_actor_software, ag_actor_journal, ag_actor_audit,
    ag_actor_iam, ag_actor_keys, ag_actor_inventory, ag_actor_history,
    ag_actor_risk, ag_actor_approvals, ag_actor_responder, ag_actor_anomaly;

struct sim sim;

static const struct {
	uint64_t seed;
	const char *what;
} named[] = {
#define SEED(number, what) { number, what },
#include "seeds.def"
#undef SEED
	{ 0, NULL }
};

void
sim_wrong(const char *fmt, ...)
{
	va_list ap;

	if (sim.wrong[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(sim.wrong, sizeof(sim.wrong), fmt, ap);
	va_end(ap);
	sim_trace("wrong: %s", sim.wrong);
}

void
sim_trace(const char *fmt, ...)
{
	va_list ap;

	if (sim.trace == NULL)
		return;
	fprintf(sim.trace, "%llu.%06llu ",
	    (unsigned long long)(sim.now_us / 1000000),
	    (unsigned long long)(sim.now_us % 1000000));
	va_start(ap, fmt);
	vfprintf(sim.trace, fmt, ap);
	va_end(ap);
	fputc('\n', sim.trace);
	if (sim.verbose)
		fflush(sim.trace);
}

/* ------------------------------------------------------------------ one run */

static void
add_fleet(void)
{
	proc_add(&ag_actor_software, "software", AG_ROLE_ROT, 0);
	proc_add(&ag_actor_journal, "journal", AG_ROLE_JOURNAL, 0);
	proc_add(&ag_actor_audit, "audit", AG_ROLE_AUDIT, 0);
	proc_add(&ag_actor_iam, "iam", AG_ROLE_IAM, 0);
	proc_add(&ag_actor_keys, "keys.0", AG_ROLE_KEYS, 0);
	proc_add(&ag_actor_keys, "keys.1", AG_ROLE_KEYS, 1);
	proc_add(&ag_actor_inventory, "inventory", AG_ROLE_INVENTORY, 0);
	proc_add(&ag_actor_history, "history", AG_ROLE_HISTORY, 0);
	proc_add(&ag_actor_risk, "risk", AG_ROLE_RISK, 0);
	proc_add(&ag_actor_approvals, "approvals", AG_ROLE_APPROVALS, 0);
	proc_add(&ag_actor_responder, "responder", AG_ROLE_RESPONDER, 0);
	proc_add(&ag_actor_anomaly, "anomaly", AG_ROLE_ANOMALY, 0);
	proc_add(&ag_actor_plane, "rest", AG_ROLE_PLANE, 0);
}

static bool
all_ready(void)
{
	for (unsigned i = 0; i < sim.proc_count; i++)
		if (sim.procs[i].ctx == NULL || !sim.procs[i].ctx->ready)
			return false;
	return true;
}

static void
name_unready(const char *when)
{
	for (unsigned i = 0; i < sim.proc_count; i++)
		if (sim.procs[i].ctx == NULL || !sim.procs[i].ctx->ready)
			sim_wrong("%s is not ready %s", sim.procs[i].name, when);
}

static void
read_admin(void)
{
	char path[SIM_PATH_MAX + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/admin.token", sim.dir);
	file = fopen(path, "re");
	if (file == NULL || fgets(client.people[0], sizeof(client.people[0]),
	    file) == NULL)
		sim_wrong("there is no admin credential");
	if (file != NULL)
		fclose(file);
	client.people[0][strcspn(client.people[0], "\n")] = '\0';
}

/* Everything but the two logs and the keys is only a cache of them. */
static void
forget_states(void)
{
	char dir[SIM_PATH_MAX + 48];

	for (unsigned i = 0; i < sim.proc_count; i++) {
		struct proc *p = &sim.procs[i];

		if (p->role == AG_ROLE_ROT || p->role == AG_ROLE_JOURNAL ||
		    p->role == AG_ROLE_AUDIT)
			continue;
		proc_stop(p);
		snprintf(dir, sizeof(dir), "%s/snapshots/%s", sim.dir, p->name);
		if (ag_db_wipe(dir) != AG_OK)
			sim_wrong("no snapshot to forget");
		p->restart_us = sim.now_us + 1;
	}
	if (!schedule_run(sim.now_us + START_US, all_ready))
		name_unready("after a replay");
	schedule_run(sim.now_us + SETTLE_US, NULL); /* all know of each other */
}

static void
run(void)
{
	fleet_begins();
	add_fleet();
	bus_init();
	schedule_faults(false);
	for (unsigned i = 0; i < sim.proc_count; i++)
		proc_start(&sim.procs[i]);
	if (!schedule_run(sim.now_us + START_US, all_ready)) {
		name_unready("at the start");
		return;
	}
	read_admin();
	client_people();
	files_forget();
	client_begin(CALLS);
	schedule_faults(true);
	if (!schedule_run(sim.now_us + DAY_US, client_done))
		sim_wrong("the clients do not come to an end");
	schedule_faults(false);
	schedule_run(sim.now_us + QUIET_US, NULL);
	if (!schedule_run(sim.now_us + START_US, all_ready))
		name_unready("in peace");
	if (sim.wrong[0] != '\0')
		return;
	client_probe("in peace", false);
	forget_states();
	client_probe("after a replay", true);
	for (unsigned i = sim.proc_count; i-- > 0;)
		proc_stop(&sim.procs[i]);
	check_log();
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* In a process of its own. */
static int
run_seed(uint64_t seed)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char run_dir[SIM_PATH_MAX + 8];

	snprintf(sim.dir, sizeof(sim.dir), "%s/aegis-sim-XXXXXX", base);
	if (mkdtemp(sim.dir) == NULL) {
		fprintf(stderr, "sim: %s: %s\n", base, strerror(errno));
		return 2;
	}
	snprintf(run_dir, sizeof(run_dir), "%s/run", sim.dir);
	mkdir(run_dir, 0700);
	machine_begin(seed);
	if (ag_secret_init() != AG_OK)
		ag_panic("no locked memory");
	run();
	sim.machine = false;
	nftw(sim.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (sim.trace != NULL)
		fclose(sim.trace);
	return sim.wrong[0] == '\0' ? 0 : 1;
}

/* ----------------------------------------------------------------- many runs */

struct totals {
	uint64_t steps, calls, crashes, bus_restarts, faults, unknowns, refusals;
};
struct result {
	uint64_t seed;
	int status;
	struct totals totals;
	char wrong[sizeof(sim.wrong)];
};
struct job {
	pid_t pid;
	uint64_t seed;
	int fd;
};

static bool
start_job(struct job *job, uint64_t seed)
{
	int fds[2];

	if (pipe(fds) != 0)
		return false;
	job->seed = seed;
	job->fd = fds[0];
	job->pid = fork();
	if (job->pid == 0) {
		struct result r = { .seed = seed };

		close(fds[0]);
		r.status = run_seed(seed);
		r.totals = (struct totals){ sim.steps, client.call_count,
			sim.crashes, sim.bus_restarts, sim.faults, sim.unknowns,
			sim.refusals };
		memcpy(r.wrong, sim.wrong, sizeof(r.wrong));
		_exit(write(fds[1], &r, sizeof(r)) == sizeof(r) ? r.status : 2);
	}
	close(fds[1]);
	return job->pid > 0;
}

static void
end_job(struct job *job, struct result *out)
{
	int status = 0;

	memset(out, 0, sizeof(*out));
	if (read(job->fd, out, sizeof(*out)) != sizeof(*out)) {
		out->seed = job->seed;
		out->status = 2;
		snprintf(out->wrong, sizeof(out->wrong), "the simulator died");
	}
	close(job->fd);
	waitpid(job->pid, &status, 0);
	job->pid = 0;
}

static void
tell(const struct result *r, struct totals *sum, unsigned *broken)
{
	sum->steps += r->totals.steps;
	sum->calls += r->totals.calls;
	sum->crashes += r->totals.crashes;
	sum->bus_restarts += r->totals.bus_restarts;
	sum->faults += r->totals.faults;
	sum->unknowns += r->totals.unknowns;
	sum->refusals += r->totals.refusals;
	if (r->status == 0)
		return;
	if ((*broken)++ < BROKEN_MAX)
		printf("seed %llu: %s\n  again: make sim SEED=%llu\n",
		    (unsigned long long)r->seed, r->wrong,
		    (unsigned long long)r->seed);
	fflush(stdout);
}

/* seeds[i], or from + i if seeds is NULL. */
static int
run_many(const uint64_t *seeds, uint64_t from, uint64_t count, unsigned jobs,
    unsigned until_broken)
{
	struct job job[JOBS_MAX] = { { 0 } };
	struct totals sum = { 0 };
	uint64_t next = 0, done = 0;
	unsigned broken = 0;

	for (; done < count && (until_broken == 0 || broken < until_broken);) {
		struct result r;
		unsigned k = (unsigned)(done % jobs);

		while (next < count && next < done + jobs) {
			if (!start_job(&job[next % jobs],
			        seeds == NULL ? from + next : seeds[next]))
				return 2;
			next++;
		}
		end_job(&job[k], &r);
		done++;
		tell(&r, &sum, &broken);
	}
	for (; done < next; done++) {
		struct result r;

		end_job(&job[done % jobs], &r);
	}
	printf("%llu seeds: %llu steps, %llu requests (%llu refused, %llu of unknown "
	    "outcome), %llu faults, %llu deaths, %llu restarts of the broker\n",
	    (unsigned long long)done, (unsigned long long)sum.steps,
	    (unsigned long long)sum.calls, (unsigned long long)sum.refusals,
	    (unsigned long long)sum.unknowns, (unsigned long long)sum.faults,
	    (unsigned long long)sum.crashes,
	    (unsigned long long)sum.bus_restarts);
	printf("%llu passed, %u failed\n", (unsigned long long)done - broken, broken);
	return broken == 0 ? 0 : 1;
}

static int
run_named(unsigned jobs)
{
	uint64_t seeds[sizeof(named) / sizeof(named[0])] = { 0 };
	uint64_t count = 0;

	for (; named[count].what != NULL; count++)
		seeds[count] = named[count].seed;
	return run_many(seeds, 0, count, jobs, 0);
}

static int
run_single(uint64_t seed)
{
	int status = run_seed(seed);

	for (size_t i = 0; named[i].what != NULL; i++)
		if (named[i].seed == seed)
			printf("seed %llu once found: %s\n",
			    (unsigned long long)seed, named[i].what);
	printf("seed %llu: %s\n", (unsigned long long)seed,
	    sim.wrong[0] == '\0' ? "every promise was kept" : sim.wrong);
	printf("%llu steps, %u requests, %u faults, %u deaths, %u restarts of the "
	    "broker\n", (unsigned long long)sim.steps, client.call_count,
	    sim.faults, sim.crashes, sim.bus_restarts);
	return status;
}

static int
usage(void)
{
	fprintf(stderr, "usage: sim [--seeds N] [--from N] [--jobs N] [--until N]\n"
	    "       sim --seed N [--trace FILE] [--verbose]\n"
	    "       sim --named [--jobs N]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	uint64_t seeds = 100, from = 1, seed = 0;
	unsigned jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), until = 0;
	bool one = false, of_names = false;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(word, "--verbose") == 0) {
			sim.verbose = true;
			continue;
		}
		if (strcmp(word, "--named") == 0) {
			of_names = true;
			continue;
		}
		if (++i >= argc)
			return usage();
		if (strcmp(word, "--seeds") == 0)
			seeds = strtoull(value, NULL, 10);
		else if (strcmp(word, "--from") == 0)
			from = strtoull(value, NULL, 10);
		else if (strcmp(word, "--jobs") == 0)
			jobs = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(word, "--until") == 0)
			until = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(word, "--seed") == 0) {
			seed = strtoull(value, NULL, 10);
			one = true;
		} else if (strcmp(word, "--trace") == 0) {
			if ((sim.trace = fopen(value, "we")) == NULL) {
				fprintf(stderr, "sim: %s: %s\n", value,
				    strerror(errno));
				return 2;
			}
		} else {
			return usage();
		}
	}
	if (jobs == 0 || jobs > JOBS_MAX)
		jobs = 2;
	if (one)
		return run_single(seed);
	return of_names ? run_named(jobs) : run_many(NULL, from, seeds, jobs, until);
}
