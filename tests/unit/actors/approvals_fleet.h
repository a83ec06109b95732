/* SPDX-License-Identifier: Apache-2.0 */
/* The approvals in a kit: an agent that asks, people who decide, and what came
 * of it. Shared by approvals_test.c and approvals_edges_test.c. */
#ifndef TESTS_APPROVALS_FLEET_H
#define TESTS_APPROVALS_FLEET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/bytes.h>
#include <aegis/kit.h>

#include "approvals/approvals.h"

extern const struct ag_actor ag_actor_approvals;

#define HEX "0123456789abcdef0123456789abcde"
static char agent[] = "agt_" HEX "f", root[] = "hum_" HEX "0",
    key[] = "key_" HEX "f";
static char alice[] = "hum_" HEX "a", dora[] = "hum_" HEX "d";

/* ----------------------------------------------------------------- the fleet */

/* What the last trip came to. */
struct end {
	bool passed;   /* on, to the executor */
	bool appended; /* to the journal, before that */
	ag_err err;
	char reason[32], id[AG_ID_SIZE], state[16];
	unsigned used;
};

static inline struct end
play(struct ag_kit *kit)
{
	const struct ag_kit_sent *sent;
	struct end end = { .err = AG_OK };

	for (;;) {
		while (ag_kit_journal(kit))
			end.appended = true;
		if ((sent = ag_kit_next(kit)) == NULL)
			return end;
		if (sent->type == AG_MSG_KEY_DECRYPT) {
			assert_int_equal(sent->to_role, AG_ROLE_KEYS);
			assert_false(end.passed);
			end.passed = true;
		} else if (sent->type == AG_MSG_OUTCOME_EVENT) {
			const Ag__OutcomeEvent *o = sent->body;

			end.err = o->refusal == NULL ? AG_OK :
			    (ag_err)o->refusal->err;
			if (o->refusal != NULL && o->refusal->reason_code != NULL)
				snprintf(end.reason, sizeof(end.reason), "%s",
				    o->refusal->reason_code);
			if (o->refusal != NULL && o->refusal->approval_id != NULL)
				snprintf(end.id, sizeof(end.id), "%s",
				    o->refusal->approval_id);
			if (o->has_reply && o->reply_type < AG_MSG_BREAK_GLASS_OPEN) {
				Ag__Approval *a = ag__approval__unpack(NULL,
				    o->reply.len, o->reply.data);

				assert_non_null(a);
				snprintf(end.state, sizeof(end.state), "%s", a->state);
				end.used = a->used;
				snprintf(end.id, sizeof(end.id), "%s", a->id);
				ag__approval__free_unpacked(a, NULL);
			}
		}
	}
}

static Ag__ApprovalNeed needs[2];
static Ag__ApprovalNeed *need_list[2] = { &needs[0], &needs[1] };
static Ag__Link links[2];
static Ag__Link *chain[2] = { &links[0], &links[1] };
static char *behind[1]; /* NULL: nobody */

static inline void
need(unsigned i, const char *group, unsigned quorum)
{
	ag__approval_need__init(&needs[i]);
	needs[i].group = (char *)group;
	needs[i].quorum = quorum;
	needs[i].rule = (char *)"d/rule";
}

static inline void
from_agent(Ag__Grant *g, const char *approval)
{
	ag__grant__init(g);
	ag__link__init(&links[0]);
	ag__link__init(&links[1]);
	links[0].id = root;
	links[0].kind = AG__KIND__V__human;
	links[1].id = agent;
	links[1].kind = AG__KIND__V__agent;
	g->actor_id = agent;
	g->has_actor_kind = 1;
	g->actor_kind = AG__KIND__V__agent;
	g->chain = chain;
	g->n_chain = 2;
	g->resource_type = (char *)"key";
	g->resource_id = key;
	g->needs = need_list;
	g->n_needs = 1;
	g->approval = (char *)approval;
	g->behind = behind;
	g->n_behind = behind[0] != NULL;
}

static inline struct end
decrypt(struct ag_kit *kit, const char *text, const char *approval)
{
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	Ag__Grant g;

	ask.ciphertext_b64.data = (uint8_t *)text;
	ask.ciphertext_b64.len = strlen(text);
	from_agent(&g, approval);
	ag_kit_operate(kit, AG_MSG_KEY_DECRYPT, &g, &ask);
	return play(kit);
}

/* Asks ahead of decrypting it; which: NULL for as iam says it. */
static inline struct end
ask_ahead(struct ag_kit *kit, const char *text, Ag__Ahead *which)
{
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	Ag__ApprovalRequestAsk request = AG__APPROVAL_REQUEST_ASK__INIT;
	Ag__Ahead ahead = AG__AHEAD__INIT;
	uint8_t bytes[64], digest[32];
	Ag__Grant g;

	ask.ciphertext_b64.data = (uint8_t *)text;
	ask.ciphertext_b64.len = strlen(text);
	ag_sha256(bytes, ag__decrypt_ask__pack(&ask, bytes), digest);
	ahead.op = AG_MSG_KEY_DECRYPT;
	ahead.digest.data = digest;
	ahead.digest.len = sizeof(digest);
	ahead.needs = need_list;
	ahead.n_needs = 1;
	from_agent(&g, NULL);
	g.needs = NULL;
	g.n_needs = 0;
	g.ahead = which == NULL ? &ahead : which;
	request.operation = (char *)"key.decrypt";
	request.reason = (char *)"later";
	ag_kit_operate(kit, AG_MSG_APPROVAL_REQUEST, &g, &request);
	return play(kit);
}

static inline struct end
decide(struct ag_kit *kit, uint16_t op, const char *id, char *who,
    const char *role)
{
	Ag__ApprovalDecideAsk ask = AG__APPROVAL_DECIDE_ASK__INIT;
	Ag__Grant g = AG__GRANT__INIT;
	char *roles[1] = { (char *)role };

	g.actor_id = who;
	g.has_actor_kind = 1;
	g.actor_kind = strncmp(who, "hum", 3) == 0 ? AG__KIND__V__human :
	    AG__KIND__V__agent;
	g.resource_id = (char *)id;
	g.has_approver = 1;
	g.approver = who != agent;
	g.roles = roles;
	g.n_roles = 1;
	ag_kit_operate(kit, op, &g, &ask);
	return play(kit);
}

static inline struct ag_kit *
fleet(const char *config)
{
	need(0, "leads", 1);
	need(1, "boss", 1);
	return ag_kit_new(&ag_actor_approvals, config, NULL);
}

#define EXPECT(e, want_err, want_reason) do { \
	struct end end_ = (e); \
	assert_int_equal(end_.err, want_err); \
	assert_string_equal(end_.reason, want_reason); \
	assert_false(end_.passed); \
} while (0)

#endif
