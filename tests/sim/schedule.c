/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is next, and what goes wrong: among all that could happen now, one by
 * chance; if nothing could, time passes until something can.
 */
#include "sim.h"

enum {
	STEP_US_MAX = 40,         /* a turn takes some time, too */
	CALM_US = 3000 * SIM_MS, /* between two faults, at most */
	STORM_US = 250 * SIM_MS,
};

struct schedule {
	bool faults;
	uint64_t fault_us; /* the next one */
	unsigned every_us; /* the weather of this run */
	uint64_t heal_us;  /* when full disks have room again */
	int64_t ahead_ms;  /* the furthest that the wall clock was set ahead */
};
static struct schedule schedule;

/* ------------------------------------------------------------------- faults */

static struct proc *
anybody(void)
{
	return &sim.procs[rng_below(&sim.chance, sim.proc_count)];
}

static uint64_t
soon(unsigned us_max)
{
	return sim.now_us + 1 + rng_below(&sim.chance, us_max);
}

static void
fault_crash(void)
{
	proc_crash(anybody(), soon(SIM_S));
}

static void
fault_dies_at_disk(void)
{
	struct proc *p = anybody();

	p->dies_in = (int)rng_below(&sim.chance, 12);
}

static void
fault_broker(void)
{
	bus_restart(soon(800 * SIM_MS));
}

static void
fault_pause(void)
{
	struct proc *p = anybody();

	p->paused_us = soon(4 * SIM_S);
	sim_trace("pause %s", p->name);
}

static void
fault_full(void)
{
	struct proc *p = anybody();

	p->full = true;
	schedule.heal_us = soon(5 * SIM_S);
	sim_trace("full %s", p->name);
}

static void
fault_broken(void)
{
	struct proc *p = anybody();

	if (p->ctx != NULL)
		p->broken = true;
	sim_trace("disk error %s", p->name);
}

static void
fault_clock(void)
{
	int64_t by = (int64_t)rng_below(&sim.chance, 600001) - 300000;

	sim.wall_shift_ms += by;
	sim.set_back = sim.set_back || by < 0;
	if (sim.wall_shift_ms > schedule.ahead_ms)
		schedule.ahead_ms = sim.wall_shift_ms;
	sim_trace("clock %lld ms", (long long)by);
}

/* Everybody dies at once, and what was not synced is gone or torn. The machine
 * comes up with a clock that is not behind what the fleet has seen: one that
 * is, is believed by a new fleet, and what was issued lately is not valid yet. */
static void
fault_power(void)
{
	uint64_t back = soon(SIM_S);

	sim_trace("power");
	for (unsigned i = 0; i < sim.proc_count; i++)
		proc_crash(&sim.procs[i], back + i * SIM_MS);
	disk_power_lost();
	bus_power_lost(back);
	sim.wall_shift_ms = schedule.ahead_ms;
	fleet_begins();
}

static const struct {
	void (*happens)(void);
	unsigned weight;
} faults[] = {
	{ fault_crash, 30 },
	{ fault_dies_at_disk, 30 },
	{ fault_broker, 8 },
	{ fault_pause, 10 },
	{ fault_full, 6 },
	{ fault_broken, 5 },
	{ fault_clock, 6 },
	{ fault_power, 5 },
};

static void
one_fault(void)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sum += faults[i].weight;
	at = rng_below(&sim.chance, sum);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (at < faults[i].weight) {
			faults[i].happens();
			sim.faults++;
			return;
		}
		at -= faults[i].weight;
	}
}

static void
heal(void)
{
	for (unsigned i = 0; i < sim.proc_count; i++)
		sim.procs[i].full = false;
	schedule.heal_us = UINT64_MAX;
}

void
schedule_faults(bool on)
{
	schedule.faults = on;
	if (on)
		schedule.every_us = STORM_US +
		    rng_below(&sim.chance, CALM_US - STORM_US);
	schedule.fault_us = on ? soon(schedule.every_us) : UINT64_MAX;
	if (on)
		return;
	heal();
	for (unsigned i = 0; i < sim.proc_count; i++) {
		sim.procs[i].paused_us = 0;
		sim.procs[i].broken = false;
		sim.procs[i].dies_in = -1;
	}
}

/* ---------------------------------------------------------------- who is next */

enum { DO_FRAMES, DO_TIMERS, DO_START, DO_BROKER, DO_CLIENT, DO_MAX = 64 };

struct choice {
	unsigned what;
	struct proc *p;
};

static unsigned
choices(struct choice *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.proc_count; i++) {
		struct proc *p = &sim.procs[i];

		if (p->ctx == NULL) {
			if (p->restart_us != 0 && p->restart_us <= sim.now_us)
				out[n++] = (struct choice){ DO_START, p };
			continue;
		}
		if (p->paused_us > sim.now_us)
			continue;
		if (proc_next_us(p) <= sim.now_us)
			out[n++] = (struct choice){ DO_TIMERS, p };
		if (bus_mailbox_next_us(p) <= sim.now_us)
			out[n++] = (struct choice){ DO_FRAMES, p };
	}
	if (bus_next_us() <= sim.now_us)
		out[n++] = (struct choice){ DO_BROKER, NULL };
	if (client_next_us() <= sim.now_us)
		out[n++] = (struct choice){ DO_CLIENT, NULL };
	return n;
}

static void
take(const struct choice *c)
{
	switch (c->what) {
	case DO_FRAMES:
		proc_frames(c->p);
		break;
	case DO_TIMERS:
		if (c->p->work_us <= sim.now_us)
			proc_work(c->p);
		else
			proc_timers(c->p);
		break;
	case DO_START:
		proc_start(c->p);
		break;
	case DO_BROKER:
		bus_broker_step();
		break;
	case DO_CLIENT:
		client_step();
		break;
	}
}

static void
least(uint64_t *at, uint64_t other)
{
	if (other < *at)
		*at = other;
}

/* When something can happen next, if nothing can now. */
static uint64_t
next_us(void)
{
	uint64_t at = bus_next_us();

	least(&at, client_next_us());
	least(&at, schedule.fault_us);
	least(&at, schedule.heal_us);
	for (unsigned i = 0; i < sim.proc_count; i++) {
		const struct proc *p = &sim.procs[i];
		uint64_t mail = p->ctx == NULL ? UINT64_MAX :
		    bus_mailbox_next_us(p);

		least(&at, proc_next_us(p));
		least(&at, mail < p->paused_us ? p->paused_us : mail);
	}
	return at;
}

bool
schedule_run(uint64_t until_us, bool (*done)(void))
{
	struct choice list[DO_MAX];
	unsigned n;

	while (sim.now_us < until_us) {
		if (done != NULL && done())
			return true;
		if (schedule.heal_us <= sim.now_us)
			heal();
		if (schedule.faults && schedule.fault_us <= sim.now_us) {
			schedule.fault_us = soon(schedule.every_us);
			one_fault();
		}
		n = choices(list);
		if (n > 0) {
			sim.steps++;
			take(&list[rng_below(&sim.chance, n)]);
			sim.now_us += 1 + rng_below(&sim.chance, STEP_US_MAX);
			continue;
		}
		uint64_t at = next_us();

		if (at == UINT64_MAX || at > until_us)
			at = until_us;
		sim.now_us = at > sim.now_us ? at : sim.now_us + 1;
	}
	return done == NULL || done();
}
