/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: what another node revoked, compromised or destroyed is heard from the
 * database alone. A node that cannot hear goes on using keys by what it knows
 * for journal.postgres.lease_s, and then no longer: 503 revocation_stale.
 */
#include "shared.h"

void
lease_tell(struct journal *j, struct ag_ctx *ctx, unsigned slot)
{
	Ag__JournalHeardEvent ev = AG__JOURNAL_HEARD_EVENT__INIT;

	if (ag_slot_role(ctx, slot) != AG_ROLE_KEYS)
		return;
	ev.heard = !j->shared->stale;
	/* Who is not there is told when it is. */
	if (ag_send(ctx, slot, AG_MSG_JOURNAL_HEARD_EVENT, &ev) != AG_OK)
		ag_log(ctx, AG_WARN, "JOURNAL-LEASE", "unsaid=%s",
		    ag_slot_name(ctx, slot));
}

void
lease_look(struct shared *s)
{
	uint64_t lease_ms = (uint64_t)ag_config_int(s->ctx,
	    "journal.postgres.lease_s") * 1000;
	bool stale = lease_ms > 0 && ag_mono_ms(s->ctx) - s->heard_ms > lease_ms;

	if (stale == s->stale)
		return;
	s->stale = stale;
	ag_log(s->ctx, AG_WARN, stale ? "JOURNAL-STALE" : "JOURNAL-HEARD",
	    "lease_s=%llu", (unsigned long long)lease_ms / 1000);
	for (unsigned i = 0; i < ag_slot_count(s->ctx, AG_ROLE_KEYS); i++) {
		unsigned slot = ag_slot(s->ctx, AG_ROLE_KEYS, i);

		if (ag_slot_up(s->ctx, slot))
			lease_tell(s->journal, s->ctx, slot);
	}
}
