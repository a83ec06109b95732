/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one cannot do alone: a rotation of a guarded key needs two others. Some
 * ask, some agree, some say no or never mind; some try what must not work: to
 * agree to their own, twice, or to what has ended, to use an approval that is
 * another's, for another key, or a second time.
 */
#include "client.h"

#include <string.h>

enum { QUORUM = 2, RECENT = 3 };

/* The newest are asked about most, or nothing would come of any. */
static unsigned
any_approval(void)
{
	unsigned n = client.approval_count, recent = n < RECENT ? n : RECENT;

	return rng_chance(&sim.work, 800) ? n - 1 - rng_below(&sim.work, recent) :
	    rng_below(&sim.work, n);
}

/* Who asked was made by the administrator: that one has no say in it. */
static bool
may_decide(const struct sim_approval *a, unsigned person)
{
	return person != 0 && person != a->person;
}

static bool
may_rotate(const struct sim_key *key)
{
	return key->guarded && key->ended_us == 0;
}

/* Mostly one that needs others; about the rest nobody is asked. */
static void
pick_guarded(struct call *c)
{
	for (unsigned i = 0; i < client.key_count && rng_chance(&sim.work, 950) &&
	    !may_rotate(&client.keys[c->key]); i++)
		c->key = (c->key + 1) % client.key_count;
}

/* Mostly who has not decided yet. */
static void
pick_decider(struct call *c, const struct sim_approval *a)
{
	for (unsigned i = 0; i < SIM_PEOPLE && (!may_decide(a, c->person) ||
	    a->decided[c->person]); i++)
		c->person = (c->person + 1) % SIM_PEOPLE;
}

bool
people_pick(struct call *c)
{
	const struct sim_approval *a;

	c->person = rng_below(&sim.work, SIM_PEOPLE);
	if (c->act == ACT_ROTATE && (client.approval_count == 0 ||
	    rng_chance(&sim.work, 400))) {
		pick_guarded(c); /* what comes of it: people are asked */
		return true;
	}
	if (client.approval_count == 0)
		return false;
	c->approval = any_approval() + 1;
	a = &client.approvals[c->approval - 1];
	if (c->act == ACT_ROTATE && rng_chance(&sim.work, 850)) {
		c->person = a->person;
		c->key = a->key;
	} else if (c->act == ACT_CANCEL && rng_chance(&sim.work, 700)) {
		c->person = a->person;
	} else if (c->act != ACT_ROTATE && rng_chance(&sim.work, 850)) {
		pick_decider(c, a);
	}
	return true;
}

static unsigned
yes_count(const struct sim_approval *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SIM_PEOPLE; i++)
		n += a->said_yes[i] && may_decide(a, i);
	return n;
}

bool
people_stuck(const struct call *c)
{
	const struct sim_approval *a = c->approval == 0 ? NULL :
	    &client.approvals[c->approval - 1];

	if (c->act == ACT_ROTATE && client.keys[c->key].guarded)
		return a == NULL || a->key != c->key ||
		    a->person != c->person || a->went_on > 0 ||
		    (a->ended[0] != '\0' && strcmp(a->ended, "approved") != 0);
	if (c->act < ACT_APPROVE)
		return false;
	if (a->ended[0] != '\0')
		return true;
	return c->act == ACT_CANCEL ? c->person != a->person :
	    !may_decide(a, c->person) || a->decided[c->person];
}

void
people_tried(const struct call *c)
{
	struct sim_approval *a;

	if (c->approval == 0)
		return;
	a = &client.approvals[c->approval - 1];
	a->said_yes[c->person] |= c->act == ACT_APPROVE;
	a->brought += c->act == ACT_ROTATE;
}

/* An answer may come late, or be given again: then it is how things stood. */
static bool
has_come_back(const struct sim_approval *a, const char *state, uint64_t asked_us)
{
	if (a->ended[0] == '\0' || strcmp(a->ended, state) == 0)
		return false;
	return strcmp(state, "pending") != 0 || asked_us > a->ended_us;
}

void
people_check(struct sim_approval *a, const Ag__Approval *said, uint64_t asked_us)
{
	unsigned yes = 0;

	if (has_come_back(a, said->state, asked_us))
		sim_wrong("approval %s ended as %s, and is %s", a->id, a->ended,
		    said->state);
	if (a->ended[0] == '\0' && strcmp(said->state, "pending") != 0) {
		snprintf(a->ended, sizeof(a->ended), "%s", said->state);
		a->ended_us = sim.now_us;
	}
	for (size_t i = 0; i < said->n_decisions; i++) {
		const Ag__ApprovalDecision *d = said->decisions[i];

		yes += strcmp(d->decision, "approved") == 0;
		if (strcmp(d->by, said->requester->id) == 0)
			sim_wrong("approval %s: who asked decided", a->id);
		for (size_t k = 0; k < i; k++)
			if (strcmp(d->by, said->decisions[k]->by) == 0)
				sim_wrong("approval %s: %s counts twice", a->id,
				    d->by);
	}
	if (yes < QUORUM && strcmp(said->state, "approved") == 0)
		sim_wrong("approval %s is approved, and %u agreed", a->id, yes);
	if (yes > yes_count(a))
		sim_wrong("approval %s: %u agreed, %u were asked to", a->id, yes,
		    yes_count(a));
	if (said->used > 1 || said->used < a->went_on ||
	    said->used > a->brought)
		sim_wrong("approval %s was used %u times, brought %u times, went "
		    "on %u times", a->id, said->used, a->brought, a->went_on);
}

void
people_learn(const struct call *c, const struct answer *answer)
{
	struct sim_approval *a;

	if (c->approval == 0)
		return;
	a = &client.approvals[c->approval - 1];
	if (c->act >= ACT_APPROVE) {
		a->decided[c->person] |= c->act != ACT_CANCEL;
		people_check(a, answer->reply, c->sent_us);
	} else if (client.keys[c->key].guarded) {
		/* Which of two that were under way was the first, nobody says. */
		if (++a->went_on > 1)
			sim_wrong("approval %s let two requests go on", a->id);
		if (yes_count(a) < QUORUM)
			sim_wrong("approval %s let a request go on, and %u were "
			    "asked to agree", a->id, yes_count(a));
	}
}

/* Refused, and told who is asked now: that is how one comes to be. */
void
people_refused(const struct call *c, const struct answer *answer)
{
	struct sim_approval *a;

	if (answer->err != AG_APPROVAL_REQUIRED || answer->approval == NULL ||
	    c->act != ACT_ROTATE)
		return;
	for (unsigned i = 0; i < client.approval_count; i++)
		if (strcmp(client.approvals[i].id, answer->approval) == 0)
			return;
	if (client.approval_count == SIM_APPROVALS_MAX)
		ag_panic("more approvals than the simulator remembers");
	a = &client.approvals[client.approval_count++];
	snprintf(a->id, sizeof(a->id), "%s", answer->approval);
	a->key = c->key;
	a->person = c->person;
}
