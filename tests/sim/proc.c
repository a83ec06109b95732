/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's life in the simulator: what engine/run.c does around an actor,
 * turn by turn, but each turn when the schedule says so, and with ends at any
 * storage operation.
 *
 * A crash is not a jump out of the actor: from the operation at which it dies
 * the process is a zombie, of whose doing nothing is stored or sent, and its
 * memory is freed when the turn is over. To everybody else that is the same.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRAMES_MAX = AG_TURN_FRAMES_MAX, WORK_US_MAX = 5 * SIM_MS };

static const char config_text[] =
    "keys: { destroy_min_window_s: 0 }\n"
    "approvals:\n"
    "  second_factor: false\n" /* who is asked is somebody; codes have tests */
    "  ttl_s: 90\n"
    "  window_s: 60\n"
    "  denied_s: 20\n"
    "  dual_control:\n"
    "    - { operation: key.rotate, label: guard=yes, quorum: 2 }\n";

void
proc_add(const struct ag_actor *actor, const char *name, enum ag_role role,
    unsigned index)
{
	struct proc *p = &sim.procs[sim.proc_count];

	if (sim.proc_count == SIM_PROCS_MAX)
		ag_panic("more processes than the simulator has room for");
	p->actor = actor;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->role = role;
	p->slot = p->bus.slot = sim.proc_count++;
	p->index = index;
	p->dies_in = -1;
}

struct proc *
proc_named(const char *name)
{
	for (unsigned i = 0; i < sim.proc_count; i++)
		if (strcmp(sim.procs[i].name, name) == 0)
			return &sim.procs[i];
	ag_panic("there is no %s", name);
}

/* -------------------------------------------------------------------- panics */

void __wrap_ag_panic_at(const char *file, int line, const char *fmt, ...);
void __real_ag_panic_at(const char *file, int line, const char *fmt, ...);

/* An actor's panic ends its process, not the simulator. */
void
__wrap_ag_panic_at(const char *file, int line, const char *fmt, ...)
{
	struct proc *p = sim.now;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (p == NULL)
		__real_ag_panic_at(file, line, "%s", text);
	if (!p->zombie && !p->excused)
		sim_wrong("%s panics: %s:%d: %s", p->name, file, line, text);
	sim_trace("panic %s: %s", p->name, text);
	p->zombie = true;
	longjmp(p->panic, 1);
}

/* ------------------------------------------------------------------- to live */

static void
add_row(Ag__Boot *boot, Ag__BootRow *rows, const struct proc *p)
{
	Ag__BootRow *row = &rows[boot->n_rows];

	ag__boot_row__init(row);
	row->slot = p->slot;
	row->name = (char *)(uintptr_t)p->name;
	row->role = (char *)(uintptr_t)ag_role_name(p->role);
	boot->rows[boot->n_rows++] = row;
}

static char *
packed_config(void)
{
	struct ag_config *config = NULL;
	char message[512] = "", *out = NULL;

	if (ag_config_parse("sim", config_text, strlen(config_text), &config,
	        message, sizeof(message)) != AG_OK ||
	    ag_config_pack(config, &out) != AG_OK)
		ag_panic("configuration: %s", message);
	ag_config_free(&config);
	return out;
}

/* As the supervisor writes it; packed and unpacked, so that the engine owns it. */
static Ag__Boot *
boot_message(struct proc *p)
{
	Ag__Boot boot = AG__BOOT__INIT, *out;
	Ag__BootRow rows[SIM_PROCS_MAX], *list[SIM_PROCS_MAX];
	char run[SIM_PATH_MAX + 8];
	uint8_t *bytes;
	size_t len;

	boot.rows = list;
	for (unsigned i = 0; i < sim.proc_count; i++)
		add_row(&boot, rows, &sim.procs[i]);
	boot.self = list[p->slot];
	snprintf(run, sizeof(run), "%s/run", sim.dir);
	boot.state_dir = sim.dir;
	boot.run_dir = run;
	boot.jail = (char *)(uintptr_t)"PURE";
	boot.config = packed_config();
	boot.has_index = true;
	boot.index = p->index;
	boot.has_mac_key = true;
	boot.mac_key.data = sim.mac_key;
	boot.mac_key.len = sizeof(sim.mac_key);
	boot.has_credit_requests = boot.has_credit_bytes = true;
	boot.credit_requests = 4096;
	boot.credit_bytes = 64 << 20;
	boot.has_clock_wall_ms = boot.has_clock_mono_ms = true;
	boot.clock_wall_ms = sim.started_wall_ms;
	boot.clock_mono_ms = sim.started_mono_ms;
	len = ag__boot__get_packed_size(&boot);
	bytes = malloc(len);
	ag__boot__pack(&boot, bytes);
	out = ag__boot__unpack(NULL, len, bytes);
	free(bytes);
	free(boot.config);
	if (out == NULL)
		ag_panic("boot message");
	return out;
}

/* orderly: what it said is on its way, and its actor may still write. */
static void
end(struct proc *p, uint64_t back_us, bool orderly)
{
	struct ag_ctx *ctx = p->ctx;

	p->zombie = !orderly;
	bus_proc_down(p, orderly);
	sim.now = p;
	if (setjmp(p->panic) == 0)
		ctx_fini(ctx);
	else
		ag_db_close(&ctx->db); /* whatever it was at is left behind */
	sim.now = NULL;
	free(ctx);
	p->ctx = NULL;
	p->zombie = p->broken = p->excused = false;
	p->dies_in = -1;
	p->restart_us = back_us;
}

/* After a turn: is it still there? */
static void
look(struct proc *p)
{
	uint64_t back_us = sim.now_us + 100 * SIM_MS +
	    rng_below(&sim.chance, 900 * SIM_MS);

	sim.now = NULL;
	if (p->zombie) {
		sim.crashes++;
		sim_trace("ends %s", p->name);
		end(p, back_us, false);
	} else if (p->ctx->stopping) {
		if (!p->excused)
			sim_wrong("%s ended by itself, status %d", p->name,
			    p->ctx->exit_status);
		sim_trace("ends %s by itself", p->name);
		end(p, back_us, false);
	} else if (p->role == AG_ROLE_AUDIT && p->ctx->ready) {
		files_check(p);
	}
}

static void
give_lines(struct proc *p)
{
	for (unsigned to = 0; to < sim.proc_count; to++) {
		p->lines[to] = (struct sim_line){ p->slot, to };
		if (ag_line_between(p->role, sim.procs[to].role))
			p->ctx->lines_to[to] = (struct line_to *)&p->lines[to];
	}
}

/* What the supervisor makes when it starts. */
void
fleet_begins(void)
{
	struct timespec now;

	ag_random(sim.mac_key, sizeof(sim.mac_key));
	clock_gettime(CLOCK_REALTIME, &now);
	sim.started_wall_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
	sim.started_mono_ms = sim.now_us / 1000;
}

void
proc_start(struct proc *p)
{
	struct ag_ctx *ctx = calloc(1, sizeof(*ctx));
	volatile ag_err err = AG_OK; /* set between setjmp and longjmp */

	if (ctx == NULL)
		abort();
	p->starts++;
	p->restart_us = 0;
	p->zombie = p->excused = false;
	p->tick_us = sim.now_us + TICK_MS * SIM_MS;
	p->work_us = UINT64_MAX;
	p->ctx = ctx;
	ctx->bus = &p->bus;
	give_lines(p);
	sim.now = p;
	sim_trace("start %s", p->name);
	bus_proc_up(p);
	ag_log_open(p->name, sim.verbose ? AG_DEBUG : AG_ERROR + 1);
	if (setjmp(p->panic) == 0) {
		err = ctx_init(ctx, p->actor, boot_message(p));
		if (err == AG_OK) {
			run_hello(ctx);
			run_turn_end(ctx);
		}
	}
	if (err != AG_OK && !p->zombie) {
		if (!p->excused && !p->full)
			sim_wrong("%s does not start: %s", p->name,
			    ag_err_row(err)->name);
		p->zombie = true;
	}
	look(p);
}

void
proc_crash(struct proc *p, uint64_t back_us)
{
	if (p->ctx == NULL)
		return;
	sim.crashes++;
	sim_trace("crash %s", p->name);
	end(p, back_us, false);
}

/* What engine/run.c's finish() does after a drain. */
void
proc_stop(struct proc *p)
{
	struct ag_ctx *ctx = p->ctx;

	if (ctx == NULL)
		return;
	sim_trace("stop %s", p->name);
	sim.now = p;
	ag_log_open(p->name, sim.verbose ? AG_DEBUG : AG_ERROR + 1);
	if (setjmp(p->panic) == 0) {
		ctx->draining = true;
		if (p->actor->drain != NULL)
			p->actor->drain(ctx->state, ctx);
		run_turn_end(ctx);
		if (ag_store_commit(ctx) != AG_OK)
			sim_wrong("%s cannot commit at its end", p->name);
	}
	sim.now = NULL;
	end(p, 0, true);
}

/* --------------------------------------------------------------------- turns */

static void
begin_turn(struct proc *p)
{
	sim.now = p;
	ag_log_open(p->name, sim.verbose ? AG_DEBUG : AG_ERROR + 1);
}

static void
end_turn(struct proc *p, bool look_for_work)
{
	struct ag_ctx *ctx = p->ctx;

	if (!ctx->stopping) {
		timer_run(ctx);
		trip_run_queue(ctx);
		run_turn_end(ctx);
	}
	if (ctx->worker != NULL && p->work_us == UINT64_MAX && look_for_work)
		p->work_us = sim.now_us + rng_below(&sim.chance, WORK_US_MAX);
}

static uint64_t
digest(const struct frame *f)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < f->len; i++)
		h = (h ^ f->bytes[i]) * UINT64_C(1099511628211);
	return h;
}

static void
one_frame(struct proc *p, struct frame *f, unsigned from)
{
	struct ag_frame head = { 0 };

	if (sim.trace != NULL && ag_frame_parse(f->bytes, f->len, &head) == AG_OK)
		sim_trace("frame %s from %s: type %#x, %zu bytes, %016llx",
		    p->name, head.from < sim.proc_count && from != AG_SLOT_BROKER ?
		    sim.procs[head.from].name : from == AG_SLOT_BROKER ?
		    "broker" : sim.procs[from].name,
		    f->bytes[AG_FRAME_HEADER + 4] |
		    f->bytes[AG_FRAME_HEADER + 5] << 8, f->len,
		    (unsigned long long)digest(f));
	if (from == AG_SLOT_BROKER)
		trip_frame(p->ctx, f->bytes, f->len);
	else
		line_frame(p->ctx, from, f->bytes, f->len);
}

void
proc_frames(struct proc *p)
{
	unsigned n = 1 + rng_below(&sim.chance, FRAMES_MAX), from;
	struct frame *f;
	int box;

	begin_turn(p);
	if (setjmp(p->panic) == 0) {
		while (n-- > 0 && !p->ctx->stopping &&
		    (box = bus_mailbox(p)) >= 0 &&
		    (f = bus_take(p, box, &from)) != NULL) {
			one_frame(p, f, from);
			free(f->bytes);
			free(f);
		}
		end_turn(p, true);
	}
	look(p);
}

void
proc_timers(struct proc *p)
{
	begin_turn(p);
	sim_trace("timers %s", p->name);
	if (setjmp(p->panic) == 0) {
		if (p->tick_us <= sim.now_us) {
			p->tick_us = sim.now_us + TICK_MS * SIM_MS;
			run_tick(p->ctx);
		}
		end_turn(p, true);
	}
	look(p);
}

void
proc_work(struct proc *p)
{
	begin_turn(p);
	p->work_us = UINT64_MAX;
	if (setjmp(p->panic) == 0) {
		bool found = work_run_one(p->ctx);

		if (found)
			sim_trace("work %s", p->name);
		end_turn(p, found);
	}
	look(p);
}

void
proc_call(struct proc *p, void (*say)(struct ag_ctx *ctx, void *arg), void *arg)
{
	begin_turn(p);
	if (setjmp(p->panic) == 0) {
		say(p->ctx, arg);
		end_turn(p, true);
	}
	look(p);
}

/* When it has something to do by itself. */
uint64_t
proc_next_us(const struct proc *p)
{
	uint64_t next = p->tick_us, timer;

	if (p->ctx == NULL)
		return p->restart_us == 0 ? UINT64_MAX : p->restart_us;
	timer = timer_next_ms(p->ctx);
	if (timer != UINT64_MAX && timer * 1000 < next)
		next = timer * 1000;
	if (p->work_us < next)
		next = p->work_us;
	return next < p->paused_us ? p->paused_us : next;
}
