/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outcomes a second that audit makes durable: the actor itself, with its real
 * segments in the folder that is named, fed turns as full as a loaded fleet's
 * lines make them. A turn is over when everything of it was written through to
 * the disk; only what was then delivered to its plane counts. One thread; the
 * zeroing of spare segments, which a fleet leaves to another, is included.
 */
#include "engine.h"

#include <aegis/kit.h>

#include "turns.h"

#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_audit;

enum {
	TURN = AG_TURN_FRAMES_MAX * 16, /* a full turn of lines */
	TURNS = 64, /* made ready together, outside the time */
	ROUNDS = 12,
	FACTORS = 8,
	FRAME_MAX = AG_FRAME_HEADER + TURN * 4096,
};

struct frame {
	size_t len;
	uint8_t bytes[FRAME_MAX];
};

static const char *const names[FACTORS] = { "rate", "hour", "address_set",
	"operation_mix", "key_set", "principal_kind", "credential_age",
	"scope_breadth" };

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static Ag__Verdict *
verdict(void)
{
	static Ag__RiskInput input = AG__RISK_INPUT__INIT;
	static Ag__Factor factors[FACTORS], *list[FACTORS];
	static Ag__Verdict v = AG__VERDICT__INIT;

	for (unsigned i = 0; i < FACTORS; i++) {
		ag__factor__init(list[i] = &factors[i]);
		factors[i].name = text(names[i]);
	}
	v.decision = AG__DECISION__V__allow;
	v.model_version = text("1");
	v.n_factors = FACTORS;
	v.factors = list;
	v.input = &input;
	return &v;
}

/* An agent of alice's signs; n-th request of its plane. */
static void
grant(struct ag_kit *kit, uint64_t n, Ag__Envelope *signed_grant)
{
	static Ag__Link links[2] = { AG__LINK__INIT, AG__LINK__INIT };
	static Ag__Link *chain[2] = { &links[0], &links[1] };
	static char *rate[2];
	Ag__Grant g = AG__GRANT__INIT;

	rate[0] = text("\"principal\";q=6000;w=60");
	rate[1] = text("\"principal\";r=5999;t=60");
	links[0].id = text("hum_01890000000070008000000000000001");
	links[0].kind = AG__KIND__V__human;
	links[0].name = text("alice");
	links[1].id = text("agt_01890000000070008000000000000003");
	links[1].kind = AG__KIND__V__agent;
	g.op = AG_MSG_KEY_SIGN;
	g.n = n;
	g.boot = 77;
	g.actor_id = links[1].id;
	g.has_actor_kind = true;
	g.actor_kind = AG__KIND__V__agent;
	g.actor_label = text("invoicing");
	g.n_chain = 2;
	g.chain = chain;
	g.resource_type = text("key");
	g.resource_id = text("key_01890000000070008000000000000002");
	g.resource_alias = text("invoice-2026");
	g.source_address = text("192.0.2.7");
	g.user_agent = text("python-requests/2.31.0");
	g.n_rate = 2;
	g.rate = rate;
	ag_kit_grant(kit, &g, signed_grant);
}

static void
add_outcome(struct ag_kit *kit, struct frame *f, uint64_t n)
{
	static uint8_t signature[96];
	static Ag__Pair param = AG__PAIR__INIT, *params = &param;
	Ag__Envelope empty = AG__ENVELOPE__INIT, env = AG__ENVELOPE__INIT;
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;
	size_t env_len, body_len;

	grant(kit, n, &env);
	param.key = text("algorithm");
	param.value = text("ECDSA_SHA_256");
	o.event_type = AG__EVENT_TYPE__V__request;
	o.outcome = AG__OUTCOME_KIND__V__allowed;
	o.operation = text("key.sign");
	o.verdict = verdict();
	o.n_params = 1;
	o.params = &params;
	o.has_grant = o.has_grant_mac = true;
	o.grant = env.grant;
	o.grant_mac = env.grant_mac;
	o.has_reply_type = o.has_reply = true;
	o.reply_type = AG_MSG_KEY_SIGN;
	o.reply.data = signature;
	o.reply.len = sizeof(signature);
	env_len = ag__envelope__get_packed_size(&empty);
	body_len = ag__outcome_event__get_packed_size(&o);
	if (f->len + AG_PART_HEADER + env_len + body_len > sizeof(f->bytes))
		abort();
	ag_part_write_header(f->bytes + f->len, (uint32_t)(env_len + body_len),
	    AG_MSG_OUTCOME_EVENT, (uint32_t)env_len);
	f->len += AG_PART_HEADER;
	f->len += ag__envelope__pack(&empty, f->bytes + f->len);
	f->len += ag__outcome_event__pack(&o, f->bytes + f->len);
	free(env.grant.data);
	free(env.grant_mac.data);
}

static void
fill(struct ag_kit *kit, struct frame *f, uint64_t *n)
{
	f->len = AG_FRAME_HEADER;
	for (unsigned i = 0; i < TURN; i++)
		add_outcome(kit, f, ++*n);
	ag_frame_write_header(f->bytes, (uint16_t)ag_self(ag_kit_ctx(kit)), TURN);
}

static uint64_t
delivered(struct ag_kit *kit)
{
	const struct ag_kit_sent *sent;
	uint64_t count = 0;

	while ((sent = ag_kit_next(kit)) != NULL)
		count += sent->type == AG_MSG_DELIVER_EVENT;
	return count;
}

int
main(int argc, char **argv)
{
	static struct frame frames[TURNS];
	struct ag_kit *kit;
	uint64_t n = 0, got = 0;
	double us = 0, begin;

	if (argc != 2) {
		fprintf(stderr, "usage: audit_durable FOLDER (on the disk that is to be measured)\n");
		return 2;
	}
	kit = ag_kit_new(&ag_actor_audit, NULL, argv[1]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < TURNS; i++)
			fill(kit, &frames[i], &n);
		begin = turns_now_us();
		for (unsigned i = 0; i < TURNS; i++) {
			ag_kit_deliver_bytes(kit, AG_ROLE_KEYS, 0, frames[i].bytes,
			    frames[i].len);
			ag_kit_work(kit);
		}
		us += turns_now_us() - begin;
		got += delivered(kit);
	}
	ag_kit_free(&kit);
	if (got != n) {
		fprintf(stderr, "%llu of %llu were delivered\n",
		    (unsigned long long)got, (unsigned long long)n);
		return 1;
	}
	printf("%.0f\n", (double)n * 1e6 / us);
	return 0;
}
