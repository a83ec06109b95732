/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus's interface (engine.h), simulated, and a broker with the manners of
 * broker/broker.c: what one row says to another through it arrives in order,
 * what different rows say in any; lines (proto/lines.def) go beside it. Frames
 * are lost where the real bus loses them: with a process that dies, or the
 * broker.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum {
	BROKER = SIM_PROCS_MAX, /* the mailbox that is its: what it sends on */
	HOP_US_MAX = 150,
	SETTLE_US = 2000 * SIM_MS,
	LINE_LOSES = 100, /* per mille: it was full, and its writer dies with the rest */
};

struct bus {
	struct queue in[SIM_PROCS_MAX];  /* to the broker */
	struct queue out[SIM_PROCS_MAX]; /* from the broker */
	struct queue line[SIM_PROCS_MAX][SIM_PROCS_MAX]; /* from, to */
	/* A pair that is slow for this run, as by a scheduler or a network. */
	unsigned slow_us[SIM_PROCS_MAX][SIM_PROCS_MAX + 1];
	bool up[SIM_PROCS_MAX]; /* said HELLO on this connection */
	bool connected[SIM_PROCS_MAX];
	bool settled;
	uint64_t started_us, back_us; /* back_us: it is away until then */
};
static struct bus bus;

/* ------------------------------------------------------------------- queues */

static void
put(struct queue *q, uint8_t *bytes, size_t len, unsigned delay_us)
{
	struct frame *f = calloc(1, sizeof(*f));
	uint64_t due = sim.now_us + 1 + delay_us;

	if (f == NULL)
		abort();
	f->bytes = bytes;
	f->len = len;
	/* In order: nobody overtakes within a queue. */
	f->due_us = q->last != NULL && q->last->due_us > due ? q->last->due_us :
	    due;
	if (q->first == NULL)
		q->first = f;
	else
		q->last->next = f;
	q->last = f;
}

static struct frame *
pull(struct queue *q)
{
	struct frame *f = q->first;

	if (f == NULL)
		return NULL;
	q->first = f->next;
	if (q->first == NULL)
		q->last = NULL;
	f->next = NULL;
	return f;
}

static void
frame_free(struct frame *f)
{
	free(f->bytes);
	free(f);
}

static unsigned
length(const struct queue *q)
{
	unsigned n = 0;

	for (struct frame *f = q->first; f != NULL; f = f->next)
		n++;
	return n;
}

/* Loses the first, which the reader had in memory, or all but the first, which
 * had left the writer. */
static void
lose_first(struct queue *q, unsigned n)
{
	for (; n > 0; n--)
		frame_free(pull(q));
}

static void
lose_last(struct queue *q, unsigned kept)
{
	struct queue rest = *q;

	*q = (struct queue){ NULL, NULL };
	for (; kept > 0 && rest.first != NULL; kept--) {
		struct frame *f = pull(&rest);

		if (q->first == NULL)
			q->first = f;
		else
			q->last->next = f;
		q->last = f;
	}
	lose_first(&rest, length(&rest));
}

static unsigned
some(const struct queue *q)
{
	return rng_below(&sim.chance, length(q) + 1);
}

/* --------------------------------------------------- what the engine sees */

static unsigned
delay(unsigned from, unsigned to)
{
	unsigned slow = bus.slow_us[from][to];

	return rng_below(&sim.chance, HOP_US_MAX + 1) +
	    (slow > 0 ? rng_below(&sim.chance, slow) : 0);
}

static bool
is_mute(unsigned from)
{
	return sim.procs[from].zombie;
}

ag_err
ag_bus_send(struct ag_bus *from, uint8_t *bytes, size_t len)
{
	if (is_mute(from->slot))
		free(bytes);
	else
		put(&bus.in[from->slot], bytes, len, delay(from->slot, BROKER));
	return AG_OK;
}

/* The linker brings the engine here: ctx->lines_to are ours (proc.c). */
ag_err __wrap_line_send(struct line_to *to, const uint8_t *bytes, size_t len)
    AG_MUST;

ag_err
__wrap_line_send(struct line_to *to, const uint8_t *bytes, size_t len)
{
	const struct sim_line *line = (const struct sim_line *)to;
	uint8_t *copy = malloc(len);

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	if (is_mute(line->from))
		free(copy);
	else
		put(&bus.line[line->from][line->to], copy, len,
		    delay(line->from, line->to));
	return AG_OK;
}

bool
ag_bus_waiting(struct ag_bus *from)
{
	(void)from;
	return false; /* the schedule looks */
}

/* Only engine/run.c's loop asks for these, and the schedule stands in for it. */
ag_err
ag_bus_connect(const char *endpoint, const char *name, const uint8_t token[32],
    unsigned queue_max, struct ag_bus **out)
{
	(void)endpoint;
	(void)name;
	(void)token;
	(void)queue_max;
	(void)out;
	return AG_USAGE;
}

void
ag_bus_close(struct ag_bus **b, unsigned linger_ms)
{
	(void)linger_ms;
	*b = NULL;
}

int
ag_bus_fd(struct ag_bus *b)
{
	(void)b;
	return -1;
}

ag_err
ag_bus_recv(struct ag_bus *b, const uint8_t **bytes, size_t *len)
{
	(void)b;
	(void)bytes;
	(void)len;
	return AG_ITEM_NOT_FOUND;
}

/* ---------------------------------------------------------------- the broker */

static void
say_peer(unsigned to, unsigned about, bool up)
{
	Ag__PeerEvent event = AG__PEER_EVENT__INIT;
	const struct proc *row = &sim.procs[about];
	size_t body, len;
	uint8_t *frame;

	if (!bus.connected[to])
		return;
	event.slot = about;
	event.up = up;
	event.name = (char *)(uintptr_t)row->name;
	event.role = (char *)(uintptr_t)ag_role_name(row->role);
	body = ag__peer_event__get_packed_size(&event);
	len = AG_FRAME_HEADER + AG_PART_HEADER + body;
	if ((frame = calloc(1, len)) == NULL)
		abort();
	ag_frame_write_header(frame, (uint16_t)to, 1);
	ag_frame_stamp(frame, AG_SLOT_BROKER);
	ag_part_write_header(frame + AG_FRAME_HEADER, (uint32_t)body,
	    AG_MSG_PEER_EVENT, 0);
	ag__peer_event__pack(&event, frame + AG_FRAME_HEADER + AG_PART_HEADER);
	put(&bus.out[to], frame, len, delay(to, BROKER));
}

static void
tell_all(unsigned about, bool up)
{
	for (unsigned to = 0; to < sim.proc_count; to++)
		if (to != about && bus.up[to])
			say_peer(to, about, up);
}

static void
tell_of_all(unsigned to)
{
	for (unsigned peer = 0; peer < sim.proc_count; peer++)
		if (peer != to && (bus.up[peer] || bus.settled))
			say_peer(to, peer, bus.up[peer]);
}

static void
on_hello(unsigned slot)
{
	say_peer(slot, slot, true);
	if (bus.up[slot])
		return;
	bus.up[slot] = true;
	tell_of_all(slot);
	tell_all(slot, true);
}

/* No actor of ours says what proto/routes.def does not list. */
static bool
listed(unsigned from, const struct frame *f, const struct ag_frame *head)
{
	size_t offset = AG_FRAME_HEADER;
	struct ag_part part;
	const char *why;

	for (unsigned i = 0; i < head->count; i++) {
		if (ag_frame_part(f->bytes, f->len, &offset, &part) != AG_OK)
			return false;
		why = ag_route_refusal(sim.procs[from].role,
		    sim.procs[head->to].role, part.type);
		if (why == NULL)
			continue;
		sim_wrong("%s said %#x to %s: %s", sim.procs[from].name,
		    part.type, sim.procs[head->to].name, why);
		return false;
	}
	return true;
}

static void
broker_frame(unsigned from, struct frame *f)
{
	struct ag_frame head;

	if (ag_frame_parse(f->bytes, f->len, &head) != AG_OK) {
		sim_wrong("%s sent something that is no frame",
		    sim.procs[from].name);
		frame_free(f);
		return;
	}
	if (head.to == AG_SLOT_BROKER) {
		on_hello(from);
		frame_free(f);
		return;
	}
	if (head.to >= sim.proc_count || !listed(from, f, &head) ||
	    !bus.connected[head.to]) {
		frame_free(f); /* nobody is there */
		return;
	}
	ag_frame_stamp(f->bytes, (uint16_t)from);
	put(&bus.out[head.to], f->bytes, f->len, delay(head.to, BROKER));
	free(f);
}

static void
settle(void)
{
	bus.settled = true;
	for (unsigned slot = 0; slot < sim.proc_count; slot++)
		if (!bus.up[slot])
			tell_all(slot, false);
}

bool
bus_is_up(void)
{
	return bus.back_us == 0;
}

/* A new broker knows nobody, and asks who is there. */
static void
broker_back(void)
{
	bus.back_us = 0;
	bus.started_us = sim.now_us;
	bus.settled = false;
	sim_trace("broker back");
	for (unsigned slot = 0; slot < sim.proc_count; slot++)
		if (sim.procs[slot].ctx != NULL) {
			bus.connected[slot] = true;
			say_peer(slot, slot, false);
		}
}

bool
bus_broker_step(void)
{
	unsigned due[SIM_PROCS_MAX], n = 0, from;
	struct frame *f;

	if (bus.back_us != 0) {
		if (bus.back_us > sim.now_us)
			return false;
		broker_back();
		return true;
	}
	if (!bus.settled && bus.started_us + SETTLE_US <= sim.now_us) {
		settle();
		return true;
	}
	for (unsigned slot = 0; slot < sim.proc_count; slot++)
		if (bus.in[slot].first != NULL &&
		    bus.in[slot].first->due_us <= sim.now_us)
			due[n++] = slot;
	if (n == 0)
		return false;
	from = due[rng_below(&sim.chance, n)];
	f = pull(&bus.in[from]);
	broker_frame(from, f);
	return true;
}

void
bus_restart(uint64_t back_us)
{
	if (bus.back_us != 0)
		return;
	sim.bus_restarts++;
	sim_trace("broker dies");
	for (unsigned slot = 0; slot < sim.proc_count; slot++) {
		lose_first(&bus.in[slot], some(&bus.in[slot]));
		lose_last(&bus.out[slot], some(&bus.out[slot]));
		bus.up[slot] = bus.connected[slot] = false;
	}
	bus.back_us = back_us;
}

/* ---------------------------------------------------------- lives and deaths */

void
bus_proc_up(struct proc *p)
{
	bus.connected[p->slot] = bus.back_us == 0;
	if (bus.connected[p->slot])
		say_peer(p->slot, p->slot, false);
}

/* A line is the supervisor's: what nobody has taken from it stays there. */
static void
lose_of(struct proc *p)
{
	unsigned slot = p->slot;

	/* Without a broker nothing has left it. */
	lose_last(&bus.in[slot], bus.back_us != 0 ? 0 : some(&bus.in[slot]));
	for (unsigned to = 0; to < sim.proc_count; to++)
		if (rng_chance(&sim.chance, LINE_LOSES))
			lose_last(&bus.line[slot][to], some(&bus.line[slot][to]));
}

void
bus_proc_down(struct proc *p, bool orderly)
{
	unsigned slot = p->slot;

	lose_first(&bus.out[slot], length(&bus.out[slot]));
	if (!orderly)
		lose_of(p);
	/* What had left it is still moved on before the broker sees the end. */
	while (bus.back_us == 0 && bus.in[slot].first != NULL)
		broker_frame(slot, pull(&bus.in[slot]));
	bus.connected[slot] = false;
	if (bus.up[slot]) {
		bus.up[slot] = false;
		tell_all(slot, false);
	}
}

void
bus_power_lost(uint64_t back_us)
{
	for (unsigned i = 0; i < SIM_PROCS_MAX; i++) {
		lose_last(&bus.in[i], 0);
		lose_last(&bus.out[i], 0);
		for (unsigned k = 0; k < SIM_PROCS_MAX; k++)
			lose_last(&bus.line[i][k], 0);
	}
	bus_restart(back_us);
}

/* ----------------------------------------------------------------- mailboxes */

static struct queue *
mailbox(const struct proc *p, unsigned i)
{
	return i == BROKER ? &bus.out[p->slot] : &bus.line[i][p->slot];
}

int
bus_mailbox(const struct proc *p)
{
	unsigned due[SIM_PROCS_MAX + 1], n = 0;

	for (unsigned i = 0; i <= SIM_PROCS_MAX; i++) {
		const struct frame *f = mailbox(p, i)->first;

		if (f != NULL && f->due_us <= sim.now_us)
			due[n++] = i;
	}
	return n == 0 ? -1 : (int)due[rng_below(&sim.chance, n)];
}

struct frame *
bus_take(const struct proc *p, int i, unsigned *from)
{
	struct queue *q = mailbox(p, (unsigned)i);

	*from = i == BROKER ? AG_SLOT_BROKER : (unsigned)i;
	if (q->first == NULL || q->first->due_us > sim.now_us)
		return NULL;
	return pull(q);
}

static void
earliest(uint64_t *least, const struct queue *q)
{
	if (q->first != NULL && q->first->due_us < *least)
		*least = q->first->due_us;
}

uint64_t
bus_mailbox_next_us(const struct proc *p)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i <= SIM_PROCS_MAX; i++)
		earliest(&least, mailbox(p, i));
	return least;
}

uint64_t
bus_next_us(void)
{
	uint64_t least = UINT64_MAX;

	if (bus.back_us != 0)
		return bus.back_us;
	if (!bus.settled)
		least = bus.started_us + SETTLE_US;
	for (unsigned slot = 0; slot < sim.proc_count; slot++)
		earliest(&least, &bus.in[slot]);
	return least;
}

/* A third of the runs have pairs that are a thousand times slower. */
void
bus_init(void)
{
	bus.started_us = sim.now_us;
	if (!rng_chance(&sim.chance, 333))
		return;
	for (unsigned n = rng_below(&sim.chance, 4); n > 0; n--)
		bus.slow_us[rng_below(&sim.chance, SIM_PROCS_MAX)]
		    [rng_below(&sim.chance, SIM_PROCS_MAX + 1)] =
		    rng_below(&sim.chance, 80 * SIM_MS) + 1;
}
