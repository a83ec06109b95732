/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: every actor of a fleet, unchanged, in one process, over a
 * simulated bus, clock, disk and source of randomness. One number decides
 * everything that happens; the same number, the same run, byte for byte.
 *
 * The seams are those of the engine: engine/bus.c and engine/store.c are
 * replaced (bus.c, store.c here), the calls that reach the machine's clock and
 * files are wrapped by the linker (machine.c, files.c), and OpenSSL and
 * libsodium draw from the seed (machine.c). The actors' objects are those that
 * the fleet's programs are linked from.
 */
#ifndef AEGIS_SIM_H
#define AEGIS_SIM_H

#include "ctx.h"

#include <setjmp.h>

enum {
	SIM_PROCS_MAX = 16,
	SIM_CALLS_MAX = 1024,
	SIM_SENT_MAX = 4096,
	SIM_KEYS_MAX = 24,
	SIM_AGENTS_MAX = 24,
	SIM_APPROVALS_MAX = 48,
	SIM_PEOPLE = 4,    /* the administrator, and three that it made */
	SIM_CLIENTS = 5,   /* requests under way at a time */
	SIM_PATH_MAX = 200,
};

/* ---- machine.c: chance and time */
struct rng {
	uint64_t s[4];
};
void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *rng);
unsigned rng_below(struct rng *rng, unsigned n); /* 0 … n-1; n > 0 */
bool rng_chance(struct rng *rng, unsigned per_mille);
void machine_begin(uint64_t seed); /* from here on clock and chance are ours */

/* ---- what happens */
struct frame {
	struct frame *next;
	uint64_t due_us;
	size_t len;
	uint8_t *bytes; /* malloc'd */
};
struct queue {
	struct frame *first, *last;
};

struct ag_bus {
	unsigned slot;
};

/* What ctx->lines_to points to here. */
struct sim_line {
	unsigned from, to;
};

struct proc {
	const struct ag_actor *actor;
	char name[32];
	enum ag_role role;
	unsigned slot, index;
	struct ag_ctx *ctx;   /* NULL: it does not run */
	struct ag_bus bus;
	struct sim_line lines[SIM_PROCS_MAX];
	uint64_t tick_us, work_us;
	uint64_t restart_us;  /* when it is not running; 0: stays down */
	uint64_t paused_us;   /* stopped (SIGSTOP) until then */
	unsigned starts;
	/* The disk. zombie: nothing that it does from here on has an effect;
	 * a crash is that, and its end when the turn is over. */
	bool zombie;
	int dies_in;          /* storage operations until it dies; -1: does not */
	bool full;            /* no space is left */
	bool broken;          /* the next commit or write fails for good */
	bool excused;         /* it met a disk fault: it may end by itself */
	jmp_buf panic;
};

struct sim {
	uint64_t seed;
	struct rng chance, crypto, work; /* what happens; secrets; what is asked */
	bool machine;      /* clock and files are simulated */
	uint64_t now_us;   /* monotonic */
	int64_t wall_shift_ms;
	bool set_back;     /* the wall clock was, once */
	char dir[SIM_PATH_MAX];
	uint8_t mac_key[32];
	int64_t started_wall_ms;
	uint64_t started_mono_ms;
	struct proc procs[SIM_PROCS_MAX];
	unsigned proc_count;
	struct proc *now;  /* who is running */
	uint64_t steps;
	FILE *trace;       /* NULL: none */
	bool verbose;      /* the actors' log lines, too */
	char wrong[512];   /* the first broken promise; "": none */
	/* What this run met, for the summary. */
	unsigned crashes, bus_restarts, faults, answers, refusals, unknowns;
};
extern struct sim sim;

enum { SIM_US = 1, SIM_MS = 1000, SIM_S = 1000000 };

/* Notes the first broken promise; the run goes on to its end. */
void sim_wrong(const char *fmt, ...) AG_PRINTF(1, 2);
void sim_trace(const char *fmt, ...) AG_PRINTF(1, 2);

/* ---- store.c, files.c: the disk */
/* True: the process died at (before) this operation. */
bool disk_operation(void);
void disk_power_lost(void); /* files lose what was not synced */
void files_forget(void);    /* everything is synced */
void files_check(const struct proc *p);

/* ---- bus.c */
void bus_init(void);
void bus_proc_up(struct proc *p);   /* its connection is there */
/* It is gone; unless it ended in order, with some of what it had said. */
void bus_proc_down(struct proc *p, bool orderly);
void bus_restart(uint64_t back_us); /* the broker dies, and is back then */
void bus_power_lost(uint64_t back_us); /* nothing is left of what was said */
uint64_t bus_next_us(void);
/* Moves frames that are due by one hop at the broker; false: none was. */
bool bus_broker_step(void);
/* A queue with a due frame for this process: its index, or -1. */
int bus_mailbox(const struct proc *p);
/* Takes one due frame out of it. */
struct frame *bus_take(const struct proc *p, int mailbox, unsigned *from);
uint64_t bus_mailbox_next_us(const struct proc *p);
bool bus_is_up(void);

/* ---- proc.c: a process's life */
void proc_add(const struct ag_actor *actor, const char *name, enum ag_role role,
    unsigned index);
struct proc *proc_named(const char *name);
void fleet_begins(void); /* a new start: another MAC key, the clocks */
void proc_start(struct proc *p);
void proc_crash(struct proc *p, uint64_t back_us); /* kill -9 */
void proc_stop(struct proc *p);   /* SIGTERM, and waits for its end */
void proc_frames(struct proc *p); /* a turn: what waits for it */
void proc_timers(struct proc *p); /* a turn: its timers and tick */
void proc_work(struct proc *p);   /* a turn: its worker's job */
uint64_t proc_next_us(const struct proc *p);
/* Runs `say` in a turn of its own, as a callback of the loop would. */
void proc_call(struct proc *p, void (*say)(struct ag_ctx *ctx, void *arg),
    void *arg);

/* ---- schedule.c: who is next */
void schedule_faults(bool on);
/* Until this time, or until done() says so; then true. */
bool schedule_run(uint64_t until_us, bool (*done)(void));

/* ---- plane.c: an actor of ours that ends no wire protocol */
struct answer {
	ag_err err;
	const char *reason; /* or NULL */
	uint16_t reply_type;
	const void *reply;  /* unpacked, or NULL; borrowed */
	const char *event_id;
	const char *approval; /* ApprovalRequired: which one, or NULL */
	bool recorded;      /* false: nobody could record it */
};
extern const struct ag_actor ag_actor_plane;
struct question {
	unsigned call; /* whose answer it is */
	uint16_t op;
	const char *credential, *selector, *idempotency_key;
	const char *approval; /* that it brings, or NULL */
	const void *body;
};
void plane_ask(struct ag_ctx *ctx, const struct question *ask);
unsigned plane_in_flight(void);
/* The client's side. */
void client_sent(unsigned call, uint64_t boot, uint64_t n);
void client_answered(unsigned call, const struct answer *answer);
void client_lost(unsigned call); /* the plane died with it */

/* ---- client.c: who asks, and what was answered */
void client_begin(unsigned calls);
bool client_done(void);
uint64_t client_next_us(void);
void client_step(void);
/* Asks for every key, agent and approval. */
void client_probe(const char *what, bool after);
void client_people(void); /* those who agree are made, in peace */
bool client_check(void);

/* ---- check.c: what must hold */
void check_log(void);

/* ---- agreed.c: what must hold of approvals, record by record */
void agreed_record(const Ag__JournalRecord *record);

#endif
