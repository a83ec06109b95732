/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker: the switch between all processes. It moves frames without opening
 * bodies, stamps who sent them, and enforces the topology.
 * Hears HELLO_EVENT (every row); descriptor 3: boot message, then rows to open.
 * Says PEER_EVENT (everybody), REFUSED_EVENT (audit).
 * Keeps nothing: a restarted broker learns the table from the supervisor, and
 * from every row that it is there.
 */
#include "doors.h"
#include "orders.h"
#include "refusals.h"
#include "topology.h"

#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	/* Frames that may wait for one row. A frame carries what one turn gave;
	 * planes admit far less than this in total, so that it is never met. */
	QUEUE_MAX = 16384,
	WAIT_MS = 250, /* the health page wants a beat every 500 ms */
	TICK_MS = 100,
	RETRY_MS = 1, /* a greeting, or what a pair had no room for */
	SETTLE_MS = 2000, /* in which the rows find the way back to a new broker */
	/* What one plane, guest or subscriber may say to others than iam, where
	 * nothing makes it wait: a hundred times what any of ours does. */
	BUS_BYTES_PER_S_MAX = 8 << 20,
	SECOND_MS = 1000,
};

enum metric {
	FORWARDED,
	REFUSED,
	GARBAGE,
	DROPPED_FULL,
	DROPPED_NOBODY,
	HANDSHAKES_DENIED,
	METRIC_COUNT
};

static const struct ag_metric_row metric_rows[METRIC_COUNT] = {
	[FORWARDED] = { "broker_forwarded_total", "Frames moved", AG_COUNTER },
	[REFUSED] = { "broker_refused_total",
	    "Frames that the topology does not list", AG_COUNTER },
	[GARBAGE] = { "broker_garbage_total", "Not a frame", AG_COUNTER },
	[DROPPED_FULL] = { "broker_dropped_full_total",
	    "The destination's queue was full", AG_COUNTER },
	[DROPPED_NOBODY] = { "broker_dropped_nobody_total",
	    "The destination was not connected", AG_COUNTER },
	[HANDSHAKES_DENIED] = { "broker_handshakes_denied_total",
	    "Wrong name, token or uid", AG_COUNTER },
};

struct broker {
	struct ag_switch *sw;
	struct doors *doors;
	struct ag_metrics_block *block;
	unsigned metric[METRIC_COUNT];
	struct topology topology;
	struct refusals refusals;
	bool up[TOPOLOGY_SLOTS_MAX]; /* said HELLO on this connection */
	bool greet[TOPOLOGY_SLOTS_MAX]; /* connected, not greeted yet */
	unsigned greets;
	unsigned frames;             /* in this turn */
	size_t bus_bytes[TOPOLOGY_SLOTS_MAX]; /* in this second, not to iam */
	uint64_t second_ms;          /* when it began */
	uint64_t denied;             /* said so far */
	uint64_t started_ms;
	bool settled;                /* who is not up by now is down */
	uint64_t tick_ms;            /* of the last look at what to tell */
	bool stop;
	struct orders orders; /* rows to open, as they arrive */
};

static volatile sig_atomic_t terminated;

static void
on_signal(int signo)
{
	terminated = 1;
}

static uint64_t
boottime_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
count(struct broker *b, enum metric m)
{
	b->block->metrics[b->metric[m]].value++;
}

/* A copy. All of what one row hears goes one way, and so keeps its order. */
static ag_err
give(struct broker *b, unsigned to, const uint8_t *bytes, size_t len)
{
	if (!doors_has(b->doors, to))
		return ag_switch_send(b->sw, to, bytes, len);
	return ag_switch_is_live(b->sw, to) ?
	    doors_say(b->doors, to, bytes, len) : AG_NOBODY;
}

/* ---------------------------------------------- what the broker says itself */

/* One frame with one part and an empty envelope. */
static ag_err
say(struct broker *b, unsigned to, uint16_t type, const ProtobufCMessage *body)
{
	uint8_t frame[512];
	size_t body_len = protobuf_c_message_get_packed_size(body);
	size_t len = AG_FRAME_HEADER + AG_PART_HEADER + body_len;

	if (len > sizeof(frame))
		return AG_FULL;
	memset(frame, 0, sizeof(frame));
	ag_frame_write_header(frame, (uint16_t)to, 1);
	ag_frame_stamp(frame, AG_SLOT_BROKER);
	ag_part_write_header(frame + AG_FRAME_HEADER, (uint32_t)body_len, type,
	    0);
	protobuf_c_message_pack(body, frame + AG_FRAME_HEADER + AG_PART_HEADER);
	return give(b, to, frame, len);
}

static ag_err
say_peer(struct broker *b, unsigned to, unsigned about, bool up)
{
	Ag__PeerEvent event = AG__PEER_EVENT__INIT;
	const struct topology_row *row = &b->topology.rows[about];

	event.slot = about;
	event.up = up;
	event.name = (char *)row->name;
	event.role = (char *)ag_role_name(row->role);
	return say(b, to, AG_MSG_PEER_EVENT, &event.base);
}

static void
tell_all(struct broker *b, unsigned about, bool up)
{
	for (unsigned to = 0; to < TOPOLOGY_SLOTS_MAX; to++)
		if (to != about && b->up[to] &&
		    say_peer(b, to, about, up) == AG_FULL)
			count(b, DROPPED_FULL);
}

/* Who is up; and, once that is certain, who is not: after a restart of the
 * broker a row may still believe in one that went away meanwhile. */
static void
tell_of_all(struct broker *b, unsigned to)
{
	for (unsigned peer = 0; peer < TOPOLOGY_SLOTS_MAX; peer++) {
		if (peer == to || !topology_has(&b->topology, peer))
			continue;
		if ((b->up[peer] || b->settled) &&
		    say_peer(b, to, peer, b->up[peer]) == AG_FULL)
			count(b, DROPPED_FULL);
	}
}

static void
settle(struct broker *b)
{
	b->settled = true;
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS_MAX; slot++)
		if (topology_has(&b->topology, slot) && !b->up[slot])
			tell_all(b, slot, false);
}

static void
tell_audit(struct broker *b, unsigned from, const struct judged *what,
    uint64_t suppressed)
{
	Ag__RefusedEvent event = AG__REFUSED_EVENT__INIT;
	unsigned audit = topology_find(&b->topology, AG_ROLE_AUDIT);

	event.from = from;
	event.to = what->to;
	event.type = what->type;
	event.why = (char *)what->why;
	event.has_suppressed = suppressed > 0;
	event.suppressed = suppressed;
	if (audit == AG_SLOT_NONE || !b->up[audit] ||
	    say(b, audit, AG_MSG_REFUSED_EVENT, &event.base) != AG_OK)
		refusals_return(&b->refusals, from, what, suppressed);
}

/* ------------------------------------------------------------ what it hears */

static void
set_greet(struct broker *b, unsigned slot, bool greet)
{
	b->greets += greet - b->greet[slot];
	b->greet[slot] = greet;
}

/* Of everybody first, so that whoever is greeted knows who is there. What had
 * nowhere to go is said again by greet(). */
static void
welcome(struct broker *b, unsigned slot)
{
	tell_of_all(b, slot);
	if (say_peer(b, slot, slot, true) == AG_OK)
		set_greet(b, slot, false);
}

/* A row says that it is there: it learns who else is, they learn of it, and it
 * is greeted. Rows repeat themselves; then the greeting is the answer. */
static void
on_hello(struct broker *b, unsigned slot)
{
	if (b->up[slot]) {
		(void)!say_peer(b, slot, slot, true);
		return;
	}
	b->up[slot] = true;
	welcome(b, slot);
	tell_all(b, slot, true);
	/* Requests that came before anybody could be given them have waited. */
	if (doors_has(b->doors, slot) && doors_listen(b->doors, b->sw) != AG_OK) {
		ag_log_plain(AG_ERROR, "DOORS-DEAF", "errno=%d", errno);
		b->stop = true;
	}
}

static void
tell_refused(struct broker *b, unsigned from, const struct judged *what)
{
	uint64_t suppressed = 0;

	if (!refusals_note(&b->refusals, from, what, boottime_ms(), &suppressed))
		return;
	ag_log_plain(AG_WARN, "FRAME-REFUSED",
	    "from=%s to=%u type=0x%04x why=\"%s\" suppressed=%llu",
	    b->topology.rows[from].name, what->to, what->type, what->why,
	    (unsigned long long)suppressed);
	tell_audit(b, from, what, suppressed);
}

static void
on_refused(struct broker *b, unsigned from, const struct judged *what)
{
	count(b, REFUSED);
	tell_refused(b, from, what);
}

/* A row that is taken out of the table may still have said something. */
static void
on_garbage(struct broker *b, unsigned from)
{
	const struct judged what = { .to = AG_SLOT_BROKER,
		.why = "not a frame" };

	count(b, GARBAGE);
	if (topology_has(&b->topology, from))
		tell_refused(b, from, &what);
}

/* Who speaks for somebody outside, or is somebody else's program. */
static bool
is_outer(const struct broker *b, unsigned slot)
{
	enum ag_role role = b->topology.rows[slot].role;

	return role == AG_ROLE_PLANE || role == AG_ROLE_GUEST ||
	    role == AG_ROLE_SUBSCRIBER;
}

/* Nothing makes who speaks by the bus wait, so what is too much is refused.
 * What iam has no room for is dropped when it is forwarded. */
static bool
is_too_much(struct broker *b, unsigned from, unsigned to, size_t len)
{
	if (!is_outer(b, from) || b->topology.rows[to].role == AG_ROLE_IAM)
		return false;
	b->bus_bytes[from] += len;
	return b->bus_bytes[from] > BUS_BYTES_PER_S_MAX;
}

/* Nobody is given anything before it was told who else is there: a journal that
 * does not know iam yet would not tell iam what it commits. */
static void
forward(struct broker *b, unsigned from, unsigned to, uint8_t *bytes,
    size_t len, bool by_door)
{
	bool crowds = !by_door && is_outer(b, from) &&
	    doors_crowded(b->doors, to);

	ag_frame_stamp(bytes, (uint16_t)from);
	switch (!b->up[to] ? AG_NOBODY : crowds ? AG_FULL :
	    by_door || doors_has(b->doors, to) ?
	    give(b, to, bytes, len) : ag_switch_forward(b->sw, to)) {
	case AG_OK:
		count(b, FORWARDED);
		break;
	case AG_NOBODY:
		count(b, DROPPED_NOBODY);
		break;
	default: /* its queue is full, or it is going away */
		count(b, DROPPED_FULL);
		break;
	}
}

static void
take(struct broker *b, unsigned slot, uint8_t *bytes, size_t len, bool by_door)
{
	struct judged judged;

	b->frames++;
	switch (topology_judge(&b->topology, slot, bytes, len, &judged)) {
	case JUDGED_PASS:
		if (is_too_much(b, slot, judged.to, len)) {
			judged.why = "too much at once";
			on_refused(b, slot, &judged);
			break;
		}
		forward(b, slot, judged.to, bytes, len, by_door);
		break;
	case JUDGED_HELLO:
		on_hello(b, slot);
		break;
	case JUDGED_REFUSED:
		on_refused(b, slot, &judged);
		break;
	case JUDGED_GARBAGE:
		on_garbage(b, slot);
		break;
	}
}

static void
on_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	take(arg, slot, bytes, len, false);
}

static void
on_door_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len)
{
	take(arg, slot, bytes, len, true);
}

/* A connection is not yet a row at work: the row is asked to say HELLO, and
 * counts when it did. After a restart of the broker that is how it learns.
 * libzmq tells of a connection shortly before it can be sent to, so the
 * greeting is tried until it goes. A HELLO may overtake it, too; then the
 * answer had nowhere to go, and is given now. */
static void
greet(struct broker *b)
{
	for (unsigned slot = 0; b->greets > 0 && slot < TOPOLOGY_SLOTS_MAX;
	    slot++) {
		if (!b->greet[slot] || say_peer(b, slot, slot, false) == AG_FULL)
			continue;
		if (b->up[slot])
			welcome(b, slot);
		else
			set_greet(b, slot, false);
	}
}

static void
on_peer(void *arg, unsigned slot, bool up)
{
	struct broker *b = arg;

	if (b->sw == NULL)
		return; /* at the end, everybody goes */
	set_greet(b, slot, up);
	if (up || !b->up[slot])
		return;
	b->up[slot] = false;
	doors_forget(b->doors, slot);
	tell_all(b, slot, false);
}

/* -------------------------------------------------------- rows, from boot on */

static ag_err
open_row(struct broker *b, const Ag__BootRow *row)
{
	struct ag_switch_row want = { .slot = row->slot, .name = row->name,
		.endpoint = row->endpoint, .has_uid = row->has_uid,
		.uid = row->uid };
	ag_err err;

	if (row->endpoint == NULL) { /* taken out of the table */
		if (topology_has(&b->topology, row->slot))
			ag_switch_close(b->sw, row->slot);
		topology_clear(&b->topology, row->slot);
		return AG_OK;
	}
	if (!row->has_token || row->token.len != sizeof(want.token_hash))
		return AG_INVALID_FIELD;
	memcpy(want.token_hash, row->token.data, sizeof(want.token_hash));
	if (b->up[row->slot % TOPOLOGY_SLOTS_MAX])
		on_peer(b, row->slot % TOPOLOGY_SLOTS_MAX, false);
	err = topology_set(&b->topology, row->slot, row->name, row->role);
	if (err != AG_OK)
		return err;
	return ag_switch_open(b->sw, &want);
}

static void
on_order(void *arg, const uint8_t *bytes, size_t len)
{
	struct broker *b = arg;
	Ag__BootRow *row = ag__boot_row__unpack(NULL, len, bytes);
	ag_err err;

	if (row == NULL) {
		ag_log_plain(AG_ERROR, "ORDER-BAD", "bytes=%zu", len);
		return;
	}
	if (row->log_level != NULL) {
		ag_log_turn(row->log_level);
		ag__boot_row__free_unpacked(row, NULL);
		return;
	}
	err = open_row(b, row);
	ag_log_plain(err == AG_OK ? AG_DEBUG : AG_ERROR, "ROW-OPEN",
	    "row=%s slot=%u err=%s", row->name, row->slot,
	    err == AG_OK ? "none" : ag_err_row(err)->name);
	ag__boot_row__free_unpacked(row, NULL);
}

/* ------------------------------------------------------------ start and loop */

static ag_err
define_metrics(struct broker *b, const char *run_dir)
{
	ag_err err = ag_metrics_create(run_dir, "broker", "broker", &b->block);

	for (int i = 0; err == AG_OK && i < METRIC_COUNT; i++)
		b->metric[i] = ag_metrics_define(b->block, metric_rows[i].name,
		    metric_rows[i].help, metric_rows[i].kind);
	return err;
}

static ag_err
open_rows(struct broker *b, const Ag__Boot *boot)
{
	for (size_t i = 0; i < boot->n_rows; i++) {
		ag_err err = open_row(b, boot->rows[i]);

		if (err != AG_OK) {
			ag_log_plain(AG_ERROR, "ROW-OPEN", "row=%s err=%s",
			    boot->rows[i]->name, ag_err_row(err)->name);
			return err;
		}
	}
	return AG_OK;
}

static void
catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
}

static ag_err
start(struct broker *b, const Ag__Boot *boot)
{
	ag_err err;

	catch_signals();
	if ((err = define_metrics(b, boot->run_dir)) != AG_OK)
		return err;
	err = ag_switch_new(TOPOLOGY_SLOTS_MAX, QUEUE_MAX, boot->uid, &b->sw);
	if (err != AG_OK)
		return err;
	err = doors_open(boot, QUEUE_MAX, on_door_frame, b, &b->doors);
	if (err != AG_OK || (err = open_rows(b, boot)) != AG_OK)
		return err;
	if ((err = ag_jail_enter(boot->jail)) != AG_OK)
		return err;
	fcntl(AG_BOOT_FD, F_SETFL, O_NONBLOCK);
	return ag_boot_tell(AG_BOOT_FD, "ready");
}

static void
tell_suppressed(struct broker *b)
{
	struct judged what;
	unsigned from, audit = topology_find(&b->topology, AG_ROLE_AUDIT);
	uint64_t suppressed;

	if (audit == AG_SLOT_NONE || !b->up[audit])
		return; /* kept until audit is back */
	while (refusals_due(&b->refusals, boottime_ms(), &from, &what,
	    &suppressed))
		tell_audit(b, from, &what, suppressed);
}

/* Whoever it was: it has no name that anybody would believe. */
static void
say_denied(struct broker *b)
{
	uint64_t denied = ag_switch_denied(b->sw);

	if (denied != b->denied)
		ag_log_plain(AG_WARN, "HANDSHAKES-DENIED", "more=%llu total=%llu",
		    (unsigned long long)(denied - b->denied),
		    (unsigned long long)denied);
	b->denied = denied;
}

static void
beat(struct broker *b)
{
	b->block->queue = b->frames;
	b->block->metrics[b->metric[HANDSHAKES_DENIED]].value =
	    ag_switch_denied(b->sw);
	b->block->beat_ms = boottime_ms();
	b->frames = 0;
	if (b->block->beat_ms - b->tick_ms < TICK_MS)
		return;
	b->tick_ms = b->block->beat_ms;
	if (b->tick_ms - b->second_ms >= SECOND_MS) {
		b->second_ms = b->tick_ms;
		memset(b->bus_bytes, 0, sizeof(b->bus_bytes));
		say_denied(b);
	}
	tell_suppressed(b);
	if (!b->settled && b->tick_ms - b->started_ms >= SETTLE_MS)
		settle(b);
}

static ag_err
loop(struct broker *b)
{
	ag_err err = AG_OK;

	b->block->ready = 1;
	b->started_ms = boottime_ms();
	while (err == AG_OK && !b->stop && !terminated) {
		bool extra = false, soon = doors_flush(b->doors) || b->greets > 0;

		err = ag_switch_turn(b->sw, soon ? RETRY_MS :
		    WAIT_MS, AG_BOOT_FD, &extra, on_frame, on_peer, b);
		if (extra)
			b->stop = b->stop || !orders_hear(&b->orders, AG_BOOT_FD,
			    on_order, b);
		greet(b);
		beat(b);
	}
	b->block->ready = 0;
	return err;
}

int
main(void)
{
	static struct broker broker;
	Ag__Boot *boot = NULL;
	ag_err err;

	ag_jail_early();
	ag_log_open("broker", AG_INFO);
	if ((err = ag_boot_read(AG_BOOT_FD, &boot)) == AG_OK &&
	    (err = start(&broker, boot)) == AG_OK)
		err = loop(&broker);
	if (err != AG_OK)
		ag_log_plain(AG_ERROR, "BROKER-ENDED", "err=%s",
		    ag_err_row(err)->name);
	if (boot != NULL)
		ag__boot__free_unpacked(boot, NULL);
	doors_free(&broker.doors);
	ag_switch_free(&broker.sw);
	ag_metrics_close(&broker.block);
	return err == AG_OK ? 0 : ag_err_row(err)->cli_exit;
}
