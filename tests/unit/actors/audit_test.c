/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/audit.h"
#include "audit_log.h"

#include <aegis/event.h>
#include <aegis/seglog.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct fixture {
	struct audit_log log;
	char dir[64];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/aegis-audit-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	audit_log_open(&f->log, f->dir, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	audit_log_close(&f->log);
	EVP_PKEY_free(f->log.key);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void
restart(struct fixture *f)
{
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, NULL);
}

/* The event at pos, as a puller gets it; freed by the caller. */
static Ag__Event *
event_at(struct fixture *f, uint64_t pos)
{
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;
	const Ag__AuditPullReply *reply;

	ask.from_pos = pos;
	ask.max = 1;
	env.has_corr = true;
	env.corr = 9;
	ag_kit_deliver(f->log.kit, AG_ROLE_HISTORY, 0, AG_MSG_AUDIT_PULL_ASK, &env,
	    &ask);
	sent = ag_kit_find(f->log.kit, AG_MSG_AUDIT_PULL_REPLY);
	assert_non_null(sent);
	reply = sent->body;
	if (reply->n_items == 0)
		return NULL;
	assert_int_equal(reply->items[0]->pos, pos);
	return ag__event__unpack(NULL, reply->items[0]->event.len,
	    reply->items[0]->event.data);
}

static uint64_t
head(struct fixture *f)
{
	uint64_t pos = 0;
	Ag__Event *e;

	while ((e = event_at(f, pos + 1)) != NULL) {
		ag__event__free_unpacked(e, NULL);
		pos++;
	}
	return pos;
}

static void
records_then_delivers(void **state)
{
	struct fixture *f = *state;
	const struct ag_kit_sent *sent;
	const Ag__DeliverEvent *d;
	Ag__OutcomeEvent o;
	Ag__Event *e;
	Ag__Grant g;
	char *rate[] = { (char *)"\"principal\";q=6000;w=60" };

	audit_log_grant(&f->log, &g, "default");
	g.rate = rate;
	g.n_rate = 1;
	audit_log_outcome(&o);
	/* What a sender claims beside the grant is not believed. */
	o.tenant = (char *)"other";
	o.actor_id = (char *)"hum_mallory";
	o.operation = (char *)"key.destroy";
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	sent = ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT);
	assert_non_null(sent);
	assert_int_equal(sent->to, g.plane);
	d = sent->body;
	assert_int_equal(d->n, 1);
	assert_int_equal(d->boot, 77);
	assert_int_equal(d->status, 200);
	assert_memory_equal(d->reply.data, "answer", 6);
	assert_int_equal(d->n_rate, 1);
	e = event_at(f, 1);
	assert_non_null(e);
	assert_int_equal(e->seq, 1);
	assert_string_equal(e->tenant, "default");
	assert_string_equal(e->actor->name, "alice");
	assert_string_equal(e->operation, "key.sign");
	assert_string_equal(e->resource->alias, "invoice-2026");
	assert_string_equal(e->plane, "rest");
	assert_int_equal(e->status, 200);
	assert_memory_equal(e->event_id, "evt_", 4);
	ag__event__free_unpacked(e, NULL);
}

static void
says_why_it_was_refused(void **state)
{
	struct fixture *f = *state;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	const Ag__DeliverEvent *d;
	Ag__OutcomeEvent o;
	Ag__Event *e;
	Ag__Grant g;

	refusal.err = AG_PERMISSION_DENIED;
	refusal.reason_code = (char *)"scope_missing";
	audit_log_grant(&f->log, &g, "default");
	audit_log_outcome(&o);
	o.outcome = AG__OUTCOME_KIND__V__denied;
	o.refusal = &refusal;
	audit_log_say(&f->log, AG_ROLE_IAM, &g, &o);
	d = ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT)->body;
	assert_int_equal(d->status, 403);
	assert_string_equal(d->refusal->reason_code, "scope_missing");
	assert_false(d->has_reply); /* a refusal carries no answer */
	e = event_at(f, 1);
	assert_string_equal(e->code, "PermissionDenied");
	assert_string_equal(e->reason_code, "scope_missing");
	ag__event__free_unpacked(e, NULL);
}

static void
believes_no_grant_but_iams(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	uint8_t mac[32] = { 1 };
	uint8_t *bytes;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, "default");
	g.request_id.data = mac;
	g.request_id.len = 16;
	bytes = malloc(ag__grant__get_packed_size(&g));
	audit_log_outcome(&o);
	o.has_grant = o.has_grant_mac = true;
	o.grant.data = bytes;
	o.grant.len = ag__grant__pack(&g, bytes);
	o.grant_mac.data = mac;
	o.grant_mac.len = sizeof(mac);
	ag_kit_deliver(f->log.kit, AG_ROLE_KEYS, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	assert_null(event_at(f, 1));
	free(bytes);
}

static void
request_of(Ag__Request *q, const uint8_t id[16], uint64_t n)
{
	ag__request__init(q);
	q->request_id.data = (uint8_t *)id;
	q->request_id.len = 16;
	q->boot = 77;
	q->n = n;
}

static void
a_plane_may_say_little(void **state)
{
	struct fixture *f = *state;
	static const uint8_t id[16] = { 1, 2, 3 };
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	Ag__Request q;
	Ag__OutcomeEvent o;
	Ag__Event *e;

	request_of(&q, id, 1);
	ag__outcome_event__init(&o);
	o.event_type = AG__EVENT_TYPE__V__request;
	o.operation = (char *)"key.sign";
	o.request = &q;
	o.outcome = AG__OUTCOME_KIND__V__allowed;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_null(event_at(f, 1)); /* success is not a plane's to claim */
	o.outcome = AG__OUTCOME_KIND__V__denied;
	o.event_type = AG__EVENT_TYPE__V__response;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_null(event_at(f, 1));
	o.event_type = AG__EVENT_TYPE__V__request;
	refusal.err = AG_UNAUTHENTICATED;
	refusal.reason_code = (char *)"token_missing";
	o.refusal = &refusal;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_non_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	e = event_at(f, 1);
	assert_non_null(e);
	assert_string_equal(e->tenant, "system");
	assert_null(e->actor);
	ag__event__free_unpacked(e, NULL);
	/* Not for a boot that is another plane's. */
	q.n = 2;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 1, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_null(event_at(f, 2));
}

static void
unknown_then_late_then_no_more(void **state)
{
	struct fixture *f = *state;
	static const uint8_t id[16] = { 1, 2, 3 };
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	Ag__Request q;
	Ag__OutcomeEvent o;
	Ag__Event *e, *late;
	Ag__Grant g;

	request_of(&q, id, 1);
	refusal.err = AG_DEADLINE_EXCEEDED;
	audit_log_outcome(&o);
	o.has_reply = false;
	o.outcome = AG__OUTCOME_KIND__V__unknown;
	o.request = &q;
	o.refusal = &refusal;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_non_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	for (unsigned i = 0; i < 2; i++) {
		f->log.n = 0;
		audit_log_grant(&f->log, &g, "default");
		g.request_id.data = (uint8_t *)id;
		g.request_id.len = 16;
		audit_log_outcome(&o);
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		/* Its reply is dropped. */
		assert_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	}
	e = event_at(f, 1);
	late = event_at(f, 2);
	assert_int_equal(e->outcome, AG__OUTCOME_KIND__V__unknown);
	assert_int_equal(late->event_type, AG__EVENT_TYPE__V__outcome_late);
	assert_int_equal(late->outcome, AG__OUTCOME_KIND__V__allowed);
	assert_string_equal(late->cause_event_id, e->event_id);
	assert_string_not_equal(late->event_id, e->event_id);
	ag__event__free_unpacked(e, NULL);
	ag__event__free_unpacked(late, NULL);
	assert_null(event_at(f, 3)); /* at most one */
}

static void
one_outcome_per_request_across_restarts(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_events(&f->log, "default", 3);
	assert_int_equal(head(f), 3);
	restart(f);
	for (f->log.n = 0; f->log.n < 3;) {
		audit_log_grant(&f->log, &g, "default");
		audit_log_outcome(&o);
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	}
	assert_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	assert_int_equal(head(f), 3);
	audit_log_events(&f->log, "default", 1);
	assert_int_equal(head(f), 4);
}

static void
gaps_become_unaccounted(void **state)
{
	struct fixture *f = *state;
	Ag__Event *e;

	audit_log_events(&f->log, "default", 1);
	f->log.n = 3; /* 2 and 3 end nowhere */
	audit_log_events(&f->log, "default", 1);
	for (unsigned i = 0; i < 2 * AG_SLOW_FACTOR * AG_DEADLINE_MS / 1000; i++)
		ag_kit_advance(f->log.kit, 1000);
	assert_null(event_at(f, 3)); /* they may still come */
	for (unsigned i = 0; i < 4; i++)
		ag_kit_advance(f->log.kit, 1000);
	e = event_at(f, 3);
	assert_non_null(e);
	assert_int_equal(e->event_type, AG__EVENT_TYPE__V__unaccounted);
	assert_int_equal(e->plane_n, 2);
	ag__event__free_unpacked(e, NULL);
	assert_int_equal(head(f), 4);
	for (unsigned i = 0; i < 10; i++)
		ag_kit_advance(f->log.kit, 1000);
	assert_int_equal(head(f), 4); /* once */
}

/* A large RSA key takes its time while others come and go. */
static void
a_slow_request_is_waited_for(void **state)
{
	struct fixture *f = *state;
	Ag__Event *e;

	audit_log_events(&f->log, "default", 1);
	f->log.n = 2; /* 2 takes as long as it may */
	audit_log_events(&f->log, "default", 1);
	while (ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT) != NULL)
		;
	for (unsigned i = 0; i < AG_SLOW_FACTOR * AG_DEADLINE_MS / 1000; i++)
		ag_kit_advance(f->log.kit, 1000);
	f->log.n = 1;
	audit_log_events(&f->log, "default", 1);
	assert_non_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
	e = event_at(f, 3);
	assert_non_null(e);
	assert_int_equal(e->event_type, AG__EVENT_TYPE__V__request);
	assert_int_equal(e->plane_n, 2);
	ag__event__free_unpacked(e, NULL);
}

static void
detections_are_idempotent(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;

	o.event_type = AG__EVENT_TYPE__V__detection;
	o.outcome = AG__OUTCOME_KIND__V__allowed;
	o.operation = (char *)"detection.scope_violation";
	o.tenant = (char *)"default";
	o.event_id = (char *)"evt_01890000000070008000000000000009";
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_int_equal(head(f), 1);
	restart(f);
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_int_equal(head(f), 1);
	/* Not everybody's to say, and not under any id. */
	o.event_id = (char *)"evt_01890000000070008000000000000010";
	ag_kit_deliver(f->log.kit, AG_ROLE_KEYS, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	o.event_id = (char *)"../../etc/passwd";
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_int_equal(head(f), 1);
}

/* A tenant that cannot be one is its sender's fault, not the disk's. */
static void
a_bad_tenant_fills_nothing(void **state)
{
	static const char *const bad[] = { "", "A", "../up", "a\nb",
		"0123456789012345678901234567890123456789012345678901234567890123" };
	struct fixture *f = *state;
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;

	o.event_type = AG__EVENT_TYPE__V__detection;
	o.outcome = AG__OUTCOME_KIND__V__allowed;
	o.operation = (char *)"detection.scope_violation";
	o.event_id = (char *)"evt_01890000000070008000000000000009";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o.tenant = (char *)bad[i];
		ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0,
		    AG_MSG_OUTCOME_EVENT, NULL, &o);
		assert_int_equal(head(f), 0);
	}
	ag_kit_advance(f->log.kit, 2000);
	assert_false(((struct audit *)ag_kit_state(f->log.kit))->full);
	o.tenant = (char *)"default";
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_OUTCOME_EVENT,
	    NULL, &o);
	assert_int_equal(head(f), 1);
}

static void
marks_follow_the_journal(void **state)
{
	struct fixture *f = *state;
	Ag__AuditMarksAsk ask = AG__AUDIT_MARKS_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const Ag__AuditMarksReply *reply;
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, "default");
	audit_log_outcome(&o);
	o.has_journal_seq = true;
	o.journal_seq = 12;
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	restart(f);
	env.has_corr = true;
	env.corr = 3;
	ag_kit_deliver(f->log.kit, AG_ROLE_KEYS, 0, AG_MSG_AUDIT_MARKS_ASK, &env, &ask);
	reply = ag_kit_find(f->log.kit, AG_MSG_AUDIT_MARKS_REPLY)->body;
	assert_int_equal(reply->n_marks, 1);
	assert_string_equal(reply->marks[0]->author, "keys.0");
	assert_int_equal(reply->marks[0]->journal_seq, 12);
	/* Delivered again: below the mark it is old, above it is recorded. */
	f->log.boot = 78;
	f->log.n = 0;
	audit_log_grant(&f->log, &g, "default");
	o.has_redelivered = o.redelivered = true;
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	assert_int_equal(head(f), 1);
	o.journal_seq = 13;
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	assert_int_equal(head(f), 2);
}

static uint64_t
mark(struct fixture *f)
{
	Ag__AuditMarksAsk ask = AG__AUDIT_MARKS_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const Ag__AuditMarksReply *reply;

	env.has_corr = true;
	env.corr = 5;
	ag_kit_deliver(f->log.kit, AG_ROLE_KEYS, 0, AG_MSG_AUDIT_MARKS_ASK, &env, &ask);
	reply = ag_kit_find(f->log.kit, AG_MSG_AUDIT_MARKS_REPLY)->body;
	return reply->n_marks == 0 ? 0 : reply->marks[0]->journal_seq;
}

static void
say_change(struct fixture *f, uint64_t prev, uint64_t seq, bool again)
{
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, "default");
	audit_log_outcome(&o);
	o.has_journal_seq = o.has_journal_prev = true;
	o.journal_seq = seq;
	o.journal_prev = prev;
	o.has_redelivered = o.redelivered = again;
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
}

/* Told again from the journal: the grant's signature is an earlier start's. */
static void
say_unsigned(struct fixture *f, enum ag_role from, Ag__Grant *g,
    Ag__OutcomeEvent *o)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	ag_kit_grant(f->log.kit, g, &env);
	o->has_journal_seq = o->has_redelivered = o->redelivered = true;
	o->has_grant = true;
	o->grant = env.grant;
	ag_kit_deliver(f->log.kit, from, 0, AG_MSG_OUTCOME_EVENT, NULL, o);
	free(env.grant.data);
	free(env.grant_mac.data);
}

/* Found by reading: whoever writes to the journal was believed any grant. */
static void
a_change_told_again_is_its_executors(void **state)
{
	static const enum ag_role others[] = { AG_ROLE_RESPONDER,
		AG_ROLE_APPROVALS, AG_ROLE_GATEWAY, AG_ROLE_IAM, AG_ROLE_RISK };
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	Ag__Grant g;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		audit_log_grant(&f->log, &g, "default");
		g.op = AG_MSG_KEY_ROTATE;
		audit_log_outcome(&o);
		o.journal_seq = 7;
		say_unsigned(f, others[i], &g, &o);
		assert_int_equal(head(f), 0);
	}
	g.op = 0xffff; /* hostile: no operation at all */
	o.journal_seq = 6;
	say_unsigned(f, AG_ROLE_KEYS, &g, &o);
	assert_int_equal(head(f), 0);
	g.op = AG_MSG_KEY_ROTATE;
	o.journal_seq = 7;
	say_unsigned(f, AG_ROLE_KEYS, &g, &o);
	assert_int_equal(head(f), 1);
}

/* Found by reading: its author was asked for it for ever. */
static void
what_cannot_be_recorded_is_not_asked_for_again(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, "default");
	g.op = AG_MSG_AGENT_ISSUE; /* no key shard's */
	audit_log_outcome(&o);
	o.journal_seq = 7;
	say_unsigned(f, AG_ROLE_KEYS, &g, &o);
	assert_int_equal(head(f), 0);
	assert_int_equal(mark(f), 7);
	/* Nobody else's mark, and none of who writes no journal. */
	o.journal_seq = 9;
	say_unsigned(f, AG_ROLE_RISK, &g, &o);
	assert_int_equal(mark(f), 7);
	/* What comes behind it is recorded. */
	say_change(f, 7, 8, true);
	assert_int_equal(head(f), 1);
	assert_int_equal(mark(f), 8);
}

/* Found by attacking: a plane that gave a change a number which was used, or is
 * none, had it done without an event. */
static void
a_spoiled_number_hides_no_change(void **state)
{
	static const struct { uint64_t boot, n; } spoiled[] = {
		{ 77, 1 }, { 77, 0 }, { 0, 1 }, { 91, 1 }, { 77, UINT64_MAX },
		{ 77, UINT64_MAX }, { 77, 2 },
	};
	struct fixture *f = *state;
	static const uint8_t id[16] = { 1, 2, 3 };
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	uint64_t events;
	Ag__Request q;
	Ag__OutcomeEvent o;
	Ag__Grant g;
	Ag__Event *e;

	audit_log_events(&f->log, "default", 1);
	request_of(&q, id, 1);
	q.boot = 91; /* another plane's, now */
	refusal.err = AG_DEADLINE_EXCEEDED;
	audit_log_outcome(&o);
	o.has_reply = false;
	o.outcome = AG__OUTCOME_KIND__V__failed;
	o.request = &q;
	o.refusal = &refusal;
	ag_kit_deliver(f->log.kit, AG_ROLE_PLANE, 1, AG_MSG_OUTCOME_EVENT, NULL, &o);
	assert_int_equal(head(f), 2);
	for (size_t i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
		audit_log_grant(&f->log, &g, "default");
		g.boot = spoiled[i].boot;
		g.n = spoiled[i].n;
		audit_log_outcome(&o);
		o.has_journal_seq = true;
		o.journal_seq = 100 + i;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		events = head(f);
		e = event_at(f, events);
		assert_non_null(e);
		assert_int_equal(e->journal_seq, 100 + i);
		ag__event__free_unpacked(e, NULL);
		/* What only reads has no effect that could be hidden. */
		o.has_journal_seq = false;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		assert_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
		assert_int_equal(head(f), events);
	}
}

/* Found by reading: behind the last number there is none, so what is counted up
 * to it never ended. */
static void
the_last_number_is_none(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	uint64_t events;
	Ag__Grant g;

	audit_log_events(&f->log, "default", 1);
	for (uint64_t n = UINT64_MAX - 1; n != 0; n = n + 1) {
		audit_log_grant(&f->log, &g, "default");
		g.n = n;
		audit_log_outcome(&o);
		o.has_journal_seq = true;
		o.journal_seq = n == UINT64_MAX ? 9 : 8;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	}
	events = head(f);
	for (unsigned i = 0; i < 4 * AG_SLOW_FACTOR * AG_DEADLINE_MS / 1000; i++)
		ag_kit_advance(f->log.kit, 1000);
	assert_int_equal(head(f), events); /* nothing is missing */
}

/* A policy that changed is in its event whole, also when it is told again. */
static void
a_policy_told_again_has_its_text(void **state)
{
	struct fixture *f = *state;
	Ag__Policy now = AG__POLICY__INIT;
	Ag__OutcomeEvent o;
	Ag__Grant g;
	Ag__Event *e;
	uint8_t packed[256];

	audit_log_grant(&f->log, &g, "default");
	g.op = AG_MSG_POLICY_SET;
	audit_log_outcome(&o);
	now.name = (char *)"base";
	now.text = (char *)"permit (principal, action, resource);";
	now.policy_version = 3;
	o.operation = (char *)"policy.update";
	o.reply_type = AG_MSG_POLICY_SET;
	o.reply.data = packed;
	o.reply.len = ag__policy__pack(&now, packed);
	o.journal_seq = 7;
	say_unsigned(f, AG_ROLE_IAM, &g, &o);
	e = event_at(f, 1);
	assert_non_null(e->policy_change);
	assert_string_equal(e->policy_change->text, now.text);
	assert_int_equal(e->policy_change->policy_version, 3);
	ag__event__free_unpacked(e, NULL);
	assert_null(ag_kit_find(f->log.kit, AG_MSG_DELIVER_EVENT));
}

/* An outcome that was lost below others is asked for again, and closes it. */
static void
a_mark_does_not_pass_a_gap(void **state)
{
	struct fixture *f = *state;

	say_change(f, 0, 12, false);
	say_change(f, 15, 20, false); /* 15 never came */
	say_change(f, 20, 21, false);
	assert_int_equal(mark(f), 12);
	restart(f);
	assert_int_equal(mark(f), 12);
	say_change(f, 12, 15, true);
	assert_int_equal(mark(f), 21);
	assert_int_equal(head(f), 4);
	restart(f);
	assert_int_equal(mark(f), 21);
}

static void
pokes_only_who_waits(void **state)
{
	struct fixture *f = *state;
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	env.has_corr = true;
	env.corr = 4;
	ask.from_pos = 1;
	ask.max = 10;
	ag_kit_deliver(f->log.kit, AG_ROLE_ANOMALY, 0, AG_MSG_AUDIT_PULL_ASK, &env, &ask);
	ag_kit_deliver(f->log.kit, AG_ROLE_IAM, 0, AG_MSG_AUDIT_PULL_ASK, &env, &ask);
	audit_log_events(&f->log, "default", 1);
	sent = ag_kit_find(f->log.kit, AG_MSG_AUDIT_POKE_EVENT);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_ANOMALY); /* at once */
	ag_kit_advance(f->log.kit, 10);
	sent = ag_kit_find(f->log.kit, AG_MSG_AUDIT_POKE_EVENT);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_IAM); /* a little later */
	audit_log_events(&f->log, "default", 1);
	ag_kit_advance(f->log.kit, 10);
	assert_null(ag_kit_find(f->log.kit, AG_MSG_AUDIT_POKE_EVENT));
}

static void
signs_heads_and_keeps_chains_apart(void **state)
{
	struct fixture *f = *state;
	struct ag_seg_record record;
	struct ag_segs *segs;
	unsigned checkpoints = 0, events = 0;
	char dir[96];

	audit_log_events(&f->log, "default", 3);
	audit_log_events(&f->log, "other", 2);
	audit_log_sign(&f->log);
	snprintf(dir, sizeof(dir), "%s/audit", f->dir);
	assert_int_equal(ag_segs_open(dir, &segs), AG_OK);
	while (ag_segs_next(segs, &record) == AG_OK) {
		Ag__Checkpoint *c;

		if (record.kind == AG_SEG_EVENT)
			events++;
		if (record.kind != AG_SEG_CHECKPOINT)
			continue;
		c = ag__checkpoint__unpack(NULL, record.body_len, record.body);
		assert_int_equal(c->size,
		    strcmp(record.tenant, "default") == 0 ? 3 : 2);
		ag__checkpoint__free_unpacked(c, NULL);
		checkpoints++;
	}
	ag_segs_close(&segs);
	assert_int_equal(events, 5);
	assert_int_equal(checkpoints, 2);
	snprintf(dir, sizeof(dir), "%s/audit/public-key.pem", f->dir);
	assert_int_equal(access(dir, R_OK), 0);
	/* Nothing new: nothing signed. */
	ag_kit_advance(f->log.kit, 5000);
	assert_int_equal(audit_log_rot(&f->log), 0);
}

static void
tear(struct fixture *f, const char *bytes, size_t len)
{
	uint64_t segment, offset, pos;
	struct ag_seg_record record;
	struct ag_segs *segs;
	char path[128];
	int fd;

	audit_log_close(&f->log);
	snprintf(path, sizeof(path), "%s/audit", f->dir);
	assert_int_equal(ag_segs_open(path, &segs), AG_OK);
	while (ag_segs_next(segs, &record) == AG_OK)
		;
	ag_segs_where(segs, &segment, &offset, &pos);
	ag_segs_close(&segs);
	snprintf(path, sizeof(path), "%s/audit/%016llx.seg", f->dir,
	    (unsigned long long)segment);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
	audit_log_open(&f->log, f->dir, NULL);
}

static void
cuts_a_torn_tail_and_says_so(void **state)
{
	struct fixture *f = *state;
	Ag__Event *e;

	audit_log_events(&f->log, "default", 3);
	tear(f, "half a record", 13);
	e = event_at(f, 4);
	assert_non_null(e);
	assert_string_equal(e->operation, "audit.recovered");
	assert_string_equal(e->params[2]->key, "bytes");
	assert_string_equal(e->params[2]->value, "13");
	ag__event__free_unpacked(e, NULL);
	/* The next outcome continues the chain. */
	audit_log_events(&f->log, "default", 1);
	e = event_at(f, 5);
	assert_int_equal(e->seq, 4);
	ag__event__free_unpacked(e, NULL);
	audit_log_sign(&f->log);
	restart(f);
	assert_int_equal(head(f), 5);
}

static void
goes_on_over_many_segments(void **state)
{
	struct fixture *f = *state;
	Ag__OutcomeEvent o;
	Ag__Grant g;
	Ag__Pair pair = AG__PAIR__INIT, *list[1] = { &pair };
	static char text[200000];

	memset(text, 'x', sizeof(text) - 1);
	pair.key = (char *)"k";
	pair.value = text;
	for (unsigned i = 0; i < 100; i++) {
		audit_log_grant(&f->log, &g, "default");
		audit_log_outcome(&o);
		o.params = list;
		o.n_params = 1;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		ag_kit_work(f->log.kit);
	}
	assert_int_equal(head(f), 100);
	restart(f);
	audit_log_events(&f->log, "default", 1);
	assert_int_equal(head(f), 101);
	/* Duplicates from before the last segment are still known. */
	f->log.n = 95;
	audit_log_events(&f->log, "default", 2);
	assert_int_equal(head(f), 101);
}

/* ---------------------------------------------------------------- redaction */

#define JWT "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.c2ln"
#define CARD "4111111111111111"

static void
reopen(struct fixture *f, const char *config)
{
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, config);
	audit_log_rot(&f->log); /* with the key */
}

/* One event with these; freed by the caller. */
static Ag__Event *
recorded(struct fixture *f, const char *tenant, const char *user_agent,
    const char *param)
{
	Ag__Pair pair = AG__PAIR__INIT, *list[1] = { &pair };
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, tenant);
	g.user_agent = (char *)(uintptr_t)user_agent;
	audit_log_outcome(&o);
	pair.key = (char *)"note";
	pair.value = (char *)(uintptr_t)param;
	o.params = list;
	o.n_params = 1;
	o.reason = (char *)(uintptr_t)param;
	audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	return event_at(f, head(f));
}

static void
a_secret_is_not_recorded(void **state)
{
	struct fixture *f = *state;
	Ag__Event *a, *b, *other;

	reopen(f, NULL);
	a = recorded(f, "default", "curl with " JWT " in it", CARD);
	assert_memory_equal(a->user_agent, "curl with [redacted:jwt:", 24);
	assert_non_null(strstr(a->user_agent, "] in it"));
	assert_memory_equal(a->params[0]->value, "[redacted:card:", 15);
	assert_string_equal(a->params[0]->value, a->reason);
	/* The same value, in whatever spelling, in another field, after a
	 * restart: the same hash. */
	reopen(f, NULL);
	b = recorded(f, "default", "paid by 4111-1111-1111-1111", JWT);
	assert_string_equal(b->user_agent + 8, a->params[0]->value);
	assert_memory_equal(b->params[0]->value, a->user_agent + 10,
	    strlen(b->params[0]->value));
	/* Not in another tenant: nobody joins across. */
	other = recorded(f, "elsewhere", CARD, NULL);
	assert_memory_equal(other->user_agent, "[redacted:card:", 15);
	assert_string_not_equal(other->user_agent, a->params[0]->value);
	ag__event__free_unpacked(a, NULL);
	ag__event__free_unpacked(b, NULL);
	ag__event__free_unpacked(other, NULL);
}

static void
rules_take_whole_values(void **state)
{
	struct fixture *f = *state;
	Ag__Event *e;

	reopen(f, "audit:\n  redact:\n"
	    "    - {operation: key.*, field: user_agent}\n"
	    "    - {operation: agent.issue, field: reason}\n"
	    "    - {field: params.note.args.pin}\n");
	e = recorded(f, "default", "curl/8",
	    "{\"args\":{\"pin\":\"1234\",\"n\":1},\"x\":2}");
	assert_memory_equal(e->user_agent, "[redacted:rule:", 15);
	assert_memory_equal(e->params[0]->value,
	    "{\"args\":{\"pin\":\"[redacted:rule:", 31);
	assert_non_null(strstr(e->params[0]->value, "\"n\":1},\"x\":2}"));
	assert_null(strstr(e->params[0]->value, "1234"));
	/* The rule for another operation does not fit. */
	assert_non_null(strstr(e->reason, "1234"));
	ag__event__free_unpacked(e, NULL);
	/* A member that is not there: nothing happens. */
	e = recorded(f, "default", "curl/8", "{\"args\":{\"n\":1}}");
	assert_string_equal(e->params[0]->value, "{\"args\":{\"n\":1}}");
	ag__event__free_unpacked(e, NULL);
	/* Hostile: what cannot be looked into goes whole. */
	e = recorded(f, "default", "curl/8", "{\"args\":{\"pin\":\"1234\"}");
	assert_memory_equal(e->params[0]->value, "[redacted:rule:", 15);
	ag__event__free_unpacked(e, NULL);
}

static void
a_secret_goes_even_without_the_key(void **state)
{
	struct fixture *f = *state;
	Ag__Event *e = recorded(f, "default", "by " JWT, NULL);

	assert_string_equal(e->user_agent, "by [redacted:jwt:no-key]");
	ag__event__free_unpacked(e, NULL);
}

/* A key of another length would make hashes that nobody can reproduce. */
static void
a_strange_key_is_not_taken(void **state)
{
	struct fixture *f = *state;
	const struct ag_kit_sent *sent;
	Ag__RotSecretReply reply = AG__ROT_SECRET_REPLY__INIT;
	Ag__Sealed sealed = AG__SEALED__INIT;
	Ag__Event *e;

	sent = ag_kit_find(f->log.kit, AG_MSG_ROT_SECRET_ASK);
	assert_non_null(sent);
	assert_int_equal(ag_seal(ag_kit_ctx(f->log.kit),
	    ((const Ag__RotSecretAsk *)sent->body)->reply_key.data, "short", 5,
	    &sealed), AG_OK);
	reply.material = &sealed;
	ag_kit_answer(f->log.kit, sent, AG_MSG_ROT_SECRET_REPLY, &reply);
	e = recorded(f, "default", "by " JWT, NULL);
	assert_string_equal(e->user_agent, "by [redacted:jwt:no-key]");
	ag__event__free_unpacked(e, NULL);
	/* It is asked again. */
	ag_kit_advance(f->log.kit, 200);
	assert_non_null(ag_kit_find(f->log.kit, AG_MSG_ROT_SECRET_ASK));
}

/* Alice's request, with marks as its stations sent them; the event of it. */
static Ag__Event *
traced(struct fixture *f, Ag__Trace *trace)
{
	Ag__Envelope grant = AG__ENVELOPE__INIT, env = AG__ENVELOPE__INIT;
	Ag__OutcomeEvent o;
	Ag__Grant g;

	audit_log_grant(&f->log, &g, "default");
	audit_log_outcome(&o);
	ag_kit_grant(f->log.kit, &g, &grant);
	ag_kit_advance(f->log.kit, 1);
	o.has_grant = o.has_grant_mac = true;
	o.grant = grant.grant;
	o.grant_mac = grant.grant_mac;
	env.trace = trace;
	ag_kit_deliver(f->log.kit, AG_ROLE_KEYS, 0, AG_MSG_OUTCOME_EVENT, &env, &o);
	free(grant.grant.data);
	free(grant.grant_mac.data);
	return event_at(f, 1);
}

static void
a_trace_is_in_its_event(void **state)
{
	struct fixture *f = *state;
	struct ag_ctx *ctx = ag_kit_ctx(f->log.kit);
	uint64_t now = ag_mono_us(ctx);
	Ag__Mark mark[5], *marks[5];
	Ag__Trace trace = AG__TRACE__INIT;
	Ag__Event *e, shown;

	for (size_t i = 0; i < 5; i++) {
		ag__mark__init(marks[i] = &mark[i]);
		mark[i].slot = ag_slot(ctx, AG_ROLE_IAM, 0);
		mark[i].begin_us = now + 10;
		mark[i].end_us = now + 30;
	}
	mark[1].end_us = now + 5000;  /* after the event was recorded */
	mark[1].slot = ag_slot_named(ctx, "software");
	mark[1].has_under = true;
	mark[1].under = mark[0].slot;
	mark[2].slot = UINT32_MAX;    /* nobody */
	mark[3].begin_us = now - 1;   /* before it came */
	mark[4].end_us = now;         /* ended before it began */
	trace.parent_id = (char *)"b7ad6b7169203331";
	trace.marks = marks;
	trace.n_marks = 5;
	e = traced(f, &trace);
	assert_non_null(e);
	assert_string_equal(e->parent_id, "b7ad6b7169203331");
	assert_int_equal(e->n_spans, 4);
	assert_string_equal(e->spans[0]->name, "rest");
	assert_false(e->spans[0]->has_under);
	assert_string_equal(e->spans[1]->name, "iam");
	assert_int_equal(e->spans[1]->under, 1);
	assert_int_equal(e->spans[1]->begin_us, 10);
	assert_int_equal(e->spans[1]->duration_us, 20);
	assert_string_equal(e->spans[2]->name, "software");
	assert_int_equal(e->spans[2]->under, 2);
	assert_int_equal(e->spans[2]->duration_us, 990); /* it ends with the whole */
	assert_string_equal(e->spans[3]->name, "audit");
	ag_event_shown(e, &shown);
	assert_int_equal(shown.n_spans, 0);
	assert_null(shown.parent_id);
	ag__event__free_unpacked(e, NULL);
}

/* Each mark is looked for among all before it. */
static void
no_more_marks_than_stations_make(void **state)
{
	enum { MANY = AG_TRACE_MARKS_MAX + 1 };
	struct fixture *f = *state;
	struct ag_ctx *ctx = ag_kit_ctx(f->log.kit);
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;
	Ag__Request request = AG__REQUEST__INIT;
	Ag__Mark mark = AG__MARK__INIT, *marks[MANY];
	Ag__Trace trace = AG__TRACE__INIT;
	Ag__Event e = AG__EVENT__INIT;

	request.received_us = mark.begin_us = mark.end_us = ag_mono_us(ctx);
	mark.slot = ag_slot(ctx, AG_ROLE_IAM, 0);
	for (size_t i = 0; i < MANY; i++)
		marks[i] = &mark;
	trace.marks = marks;
	request.trace = &trace;
	o.request = &request; /* the plane refused it itself */
	trace.n_marks = MANY;
	assert_int_equal(event_spans(ctx, &o, NULL, &e), AG_OK);
	assert_int_equal(e.n_spans, 0);
	trace.n_marks = MANY - 1;
	assert_int_equal(event_spans(ctx, &o, NULL, &e), AG_OK);
	assert_int_equal(e.n_spans, MANY); /* the plane's is one */
}

static void
without_a_trace_there_is_none(void **state)
{
	Ag__Event *e = traced(*state, NULL);

	assert_non_null(e);
	assert_int_equal(e->n_spans, 0);
	ag__event__free_unpacked(e, NULL);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_then_delivers),
		TEST(says_why_it_was_refused),
		TEST(believes_no_grant_but_iams),
		TEST(a_plane_may_say_little),
		TEST(unknown_then_late_then_no_more),
		TEST(one_outcome_per_request_across_restarts),
		TEST(gaps_become_unaccounted),
		TEST(a_slow_request_is_waited_for),
		TEST(detections_are_idempotent),
		TEST(a_bad_tenant_fills_nothing),
		TEST(marks_follow_the_journal),
		TEST(a_change_told_again_is_its_executors),
		TEST(what_cannot_be_recorded_is_not_asked_for_again),
		TEST(a_spoiled_number_hides_no_change),
		TEST(the_last_number_is_none),
		TEST(a_policy_told_again_has_its_text),
		TEST(a_mark_does_not_pass_a_gap),
		TEST(pokes_only_who_waits),
		TEST(signs_heads_and_keeps_chains_apart),
		TEST(cuts_a_torn_tail_and_says_so),
		TEST(goes_on_over_many_segments),
		TEST(a_secret_is_not_recorded),
		TEST(rules_take_whole_values),
		TEST(a_secret_goes_even_without_the_key),
		TEST(a_strange_key_is_not_taken),
		TEST(a_trace_is_in_its_event),
		TEST(no_more_marks_than_stations_make),
		TEST(without_a_trace_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
