/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: what another node revoked, compromised or destroyed is heard from the
 * database alone. A node that cannot hear goes on by what it knows for
 * journal.postgres.lease_s, and then no longer: its iam admits nobody, its key
 * shards use no secret (503 revocation_stale).
 */
#include "row.h"
#include "shared.h"

enum { TELL_EVERY_MS = 500 };

static uint64_t
lease_ms(const struct shared *s)
{
	return (uint64_t)ag_config_int(s->ctx, "journal.postgres.lease_s") * 1000;
}

ag_err
lease_hear(struct shared *s)
{
	const char *const values[] = { s->node, s->epoch };
	uint64_t asked_ms = ag_mono_ms(s->ctx), head = UINT64_MAX;
	uint64_t until_ms = pg_mono_ms() + s->server.timeout_ms;
	PGresult *result = NULL;
	ag_err heard, err;
	int rows;

	if (!pipeline_send(s, "hear", 2, values, true) || tail_send(s) != AG_OK)
		return AG_IO;
	heard = pipeline_result(s, until_ms, &result);
	if (heard == AG_OK && PQntuples(result) == 1)
		head = row_number(result, 0, 0);
	PQclear(result);
	if (heard != AG_OK && heard != AG_UNAVAILABLE)
		return heard;
	/* What was sent behind a refusal is answered as well. */
	if ((err = tail_receive(s, until_ms, &rows)) == AG_OK &&
	    s->journal->head >= head)
		s->heard_ms = asked_ms;
	return heard != AG_OK && err == AG_OK ? heard : err;
}

static const enum ag_role listeners[] = { AG_ROLE_IAM, AG_ROLE_KEYS };
enum { LISTENERS = sizeof(listeners) / sizeof(listeners[0]) };

static bool
is_listener(enum ag_role role)
{
	for (unsigned i = 0; i < LISTENERS; i++)
		if (listeners[i] == role)
			return true;
	return false;
}

/* Whoever hears it ends the lease by itself: who would tell it may be gone. */
void
lease_tell(struct journal *j, struct ag_ctx *ctx, unsigned slot)
{
	Ag__JournalHeardEvent ev = AG__JOURNAL_HEARD_EVENT__INIT;
	uint64_t whole = lease_ms(j->shared);
	uint64_t age = ag_mono_ms(ctx) - j->shared->heard_ms;

	if (!is_listener(ag_slot_role(ctx, slot)))
		return;
	ev.heard = !j->shared->stale;
	ev.has_left_ms = whole > 0;
	ev.left_ms = age < whole ? whole - age : 0;
	/* Who is not there is told when it is. */
	if (ag_send(ctx, slot, AG_MSG_JOURNAL_HEARD_EVENT, &ev) != AG_OK)
		ag_log(ctx, AG_WARN, "JOURNAL-LEASE", "unsaid=%s",
		    ag_slot_name(ctx, slot));
}

void
lease_look(struct shared *s)
{
	uint64_t whole = lease_ms(s), now = ag_mono_ms(s->ctx);
	bool stale = whole > 0 && now - s->heard_ms > whole;

	/* Of use again only when all that was missed is here. */
	if (stale != s->stale && (stale || !s->filling)) {
		s->stale = stale;
		s->tell_at_ms = now;
		ag_log(s->ctx, AG_WARN, stale ? "JOURNAL-STALE" : "JOURNAL-HEARD",
		    "lease_s=%llu", (unsigned long long)whole / 1000);
	}
	if (now < s->tell_at_ms)
		return;
	s->tell_at_ms = now + TELL_EVERY_MS;
	for (unsigned r = 0; r < LISTENERS; r++)
		for (unsigned i = 0; i < ag_slot_count(s->ctx, listeners[r]); i++) {
			unsigned slot = ag_slot(s->ctx, listeners[r], i);

			if (ag_slot_up(s->ctx, slot))
				lease_tell(s->journal, s->ctx, slot);
		}
}
