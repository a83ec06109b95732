/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of the two logs when a run is over: the chain verifies, each
 * request has one outcome, each answer its event, each change its record.
 */
#include "client.h"

#include <aegis/seglog.h>
#include <verify.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen_event {
	uint64_t boot, n, journal_seq;
	char id[AG_ID_SIZE], author[32];
	Ag__EventType__V type;
	Ag__OutcomeKind__V outcome;
};
struct seen_log {
	struct seen_event *events;
	size_t count, cap;
};
static struct seen_log seen;

static void
take(const Ag__Event *e)
{
	struct seen_event *out;

	if (seen.count == seen.cap) {
		seen.cap = seen.cap == 0 ? 1024 : seen.cap * 2;
		seen.events = realloc(seen.events, seen.cap * sizeof(*out));
		if (seen.events == NULL)
			abort();
	}
	out = &seen.events[seen.count++];
	*out = (struct seen_event){ .type = e->event_type,
		.outcome = e->outcome,
		.boot = e->has_plane_boot ? e->plane_boot : 0,
		.n = e->has_plane_n ? e->plane_n : 0,
		.journal_seq = e->has_journal_seq ? e->journal_seq : 0 };
	snprintf(out->id, sizeof(out->id), "%s", e->event_id);
	snprintf(out->author, sizeof(out->author), "%s",
	    e->author == NULL ? "" : e->author);
}

static void
read_log(void)
{
	char dir[SIM_PATH_MAX + 8];
	struct ag_segs *segs = NULL;
	struct ag_seg_record record;
	ag_err err;

	snprintf(dir, sizeof(dir), "%s/audit", sim.dir);
	if (ag_segs_open(dir, &segs) != AG_OK) {
		sim_wrong("the audit log cannot be opened");
		return;
	}
	while ((err = ag_segs_next(segs, &record)) == AG_OK) {
		Ag__Event *e;

		if (record.kind != AG_SEG_EVENT)
			continue;
		e = ag__event__unpack(NULL, record.body_len, record.body);
		if (e == NULL) {
			sim_wrong("event %llu cannot be read",
			    (unsigned long long)record.pos);
			continue;
		}
		take(e);
		ag__event__free_unpacked(e, NULL);
	}
	if (err != AG_ITEM_NOT_FOUND)
		sim_wrong("the audit log: %s", ag_segs_why(segs));
	ag_segs_close(&segs);
}

/* As anybody would, with the public key alone. */
static void
verify(void)
{
	char dir[SIM_PATH_MAX + 8], key[SIM_PATH_MAX + 40], out[SIM_PATH_MAX + 16];
	char text[256] = "";
	char *argv[] = { (char *)(uintptr_t)"verify", (char *)(uintptr_t)"--dir",
		dir, (char *)(uintptr_t)"--public-key", key, NULL };
	int keep = dup(STDOUT_FILENO), fd, status;
	ssize_t n;

	snprintf(dir, sizeof(dir), "%s/audit", sim.dir);
	snprintf(key, sizeof(key), "%s/audit/public-key.pem", sim.dir);
	snprintf(out, sizeof(out), "%s/verify.out", sim.dir);
	fflush(stdout);
	fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (keep < 0 || fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		ag_panic("no file for what verify says");
	status = ag_cmd_audit_verify(5, argv);
	fflush(stdout);
	dup2(keep, STDOUT_FILENO);
	close(keep);
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (n > 0)
		text[strcspn(text, "\n")] = '\0';
	sim_trace("verify: %s", text);
	if (status != 0)
		sim_wrong("the chain does not verify (%d): %s", status, text);
}

/* ------------------------------------------------------ requests and events */

struct counts {
	unsigned requests, late, unaccounted;
	const struct seen_event *event;
};

static struct counts
count(uint64_t boot, uint64_t n)
{
	struct counts c = { 0 };

	for (size_t i = 0; i < seen.count; i++) {
		const struct seen_event *e = &seen.events[i];

		if (e->boot != boot || e->n != n)
			continue;
		if (e->type == AG__EVENT_TYPE__V__request) {
			c.requests++;
			c.event = e;
		} else if (e->type == AG__EVENT_TYPE__V__outcome_late) {
			c.late++;
		} else if (e->type == AG__EVENT_TYPE__V__unaccounted) {
			c.unaccounted++;
		}
	}
	return c;
}

static void
check_call(const struct call *c, unsigned i)
{
	struct counts found;

	if (c->n == 0)
		return; /* it never left the plane */
	if (!c->recorded)
		return;
	found = count(c->boot, c->n);
	if (found.requests == 0)
		sim_wrong("call %u was answered, and there is no event of it", i);
	else if (strcmp(found.event->id, c->event_id) != 0)
		sim_wrong("call %u was answered as %s, recorded as %s", i,
		    c->event_id, found.event->id);
	else if ((c->err == AG_OK) !=
	    (found.event->outcome == AG__OUTCOME_KIND__V__allowed))
		sim_wrong("call %u was told %s, the log has outcome %d", i,
		    ag_err_row(c->err)->name, (int)found.event->outcome);
}

/* The newest number of a plane's start that audit has heard of. */
static uint64_t
newest(uint64_t boot)
{
	uint64_t n = 0;

	for (size_t i = 0; i < seen.count; i++)
		if (seen.events[i].boot == boot && seen.events[i].n > n)
			n = seen.events[i].n;
	return n;
}

/* At most one outcome each; and who never had one is accounted for, as soon as
 * audit has heard of a later one, and the gap has outlived every deadline. */
static void
check_sent(void)
{
	for (unsigned i = 0; i < client.sent_count; i++) {
		const struct sent *s = &client.sent[i];
		struct counts found = count(s->boot, s->n);

		if (found.requests > 1)
			sim_wrong("request %llu of plane's start %llx has %u outcomes",
			    (unsigned long long)s->n,
			    (unsigned long long)s->boot, found.requests);
		if (found.late > 1)
			sim_wrong("request %llu of plane's start %llx has %u late "
			    "outcomes", (unsigned long long)s->n,
			    (unsigned long long)s->boot, found.late);
		if (found.requests == 0 && found.unaccounted == 0 &&
		    s->n < newest(s->boot))
			sim_wrong("request %llu of plane's start %llx has no outcome, "
			    "and is not accounted for",
			    (unsigned long long)s->n,
			    (unsigned long long)s->boot);
	}
}

/* No event of a request that nobody made, and none twice. */
static void
check_events(void)
{
	for (size_t i = 0; i < seen.count; i++) {
		const struct seen_event *e = &seen.events[i];
		bool known = e->boot == 0 ||
		    e->type != AG__EVENT_TYPE__V__request;

		for (unsigned k = 0; !known && k < client.sent_count; k++)
			known = client.sent[k].boot == e->boot &&
			    client.sent[k].n == e->n;
		if (!known)
			sim_wrong("event %s is of a request that nobody made",
			    e->id);
		for (size_t k = 0; k < i; k++)
			if (strcmp(seen.events[k].id, e->id) == 0)
				sim_wrong("event %s is there twice", e->id);
	}
}

static bool
on_record(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	Ag__JournalRecord *r = ag__journal_record__unpack(NULL, value_len, value);
	bool found = false;

	(void)arg;
	(void)key;
	(void)key_len;
	if (r == NULL) {
		sim_wrong("a record of the journal cannot be read");
		return true;
	}
	for (size_t i = 0; r->has_outcome && !found && i < seen.count; i++)
		found = seen.events[i].journal_seq == r->seq &&
		    strcmp(seen.events[i].author, r->author) == 0;
	if (r->has_outcome && !found)
		sim_wrong("change %llu of %s is in the journal, and no event of it "
		    "in the log", (unsigned long long)r->seq, r->author);
	agreed_record(r);
	ag__journal_record__free_unpacked(r, NULL);
	return true;
}

/* Every change whose outcome is to be known has its event. */
static void
check_changes(void)
{
	static const char *const tables[] = { "events", NULL };
	char dir[SIM_PATH_MAX + 8];
	struct ag_db *db = NULL;

	snprintf(dir, sizeof(dir), "%s/journal", sim.dir);
	if (ag_db_open(dir, tables, 0, &db) != AG_OK ||
	    ag_db_scan(db, 0, NULL, 0, on_record, NULL) != AG_OK)
		sim_wrong("the journal cannot be read");
	ag_db_close(&db);
}

void
check_log(void)
{
	verify();
	read_log();
	for (unsigned i = 0; i < client.call_count; i++)
		check_call(&client.calls[i], i);
	check_sent();
	check_events();
	check_changes();
	sim_trace("events %zu", seen.count);
}
