/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients: a few at a time, each with one request under way, who ask for
 * random things and remember what they were told. What must not work is asked
 * for as well: that is the point.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

enum {
	THINK_US_MAX = 400 * SIM_MS,
	RETRY_US = 500 * SIM_MS,
	TTL_S = 8 * 3600,
};

struct client client;

/* --------------------------------------------------------------- what to ask */

static const unsigned weights[ACT_COUNT] = {
	[ACT_CREATE] = 10, [ACT_ACTIVATE] = 6, [ACT_DEACTIVATE] = 4,
	[ACT_ROTATE] = 16, [ACT_COMPROMISE] = 3, [ACT_DESTROY] = 5,
	[ACT_SIGN] = 24, [ACT_AGENT_ISSUE] = 8, [ACT_AGENT_SUSPEND] = 2,
	[ACT_AGENT_REVOKE] = 3, [ACT_AGENT_SIGN] = 18, [ACT_AGENT_STRAY] = 2,
	[ACT_WHOAMI] = 2,
	[ACT_APPROVE] = 26, [ACT_DENY] = 2, [ACT_CANCEL] = 2,
};
static const uint16_t operations[ACT_COUNT] = {
	[ACT_CREATE] = AG_MSG_KEY_CREATE, [ACT_ACTIVATE] = AG_MSG_KEY_ACTIVATE,
	[ACT_DEACTIVATE] = AG_MSG_KEY_DEACTIVATE,
	[ACT_ROTATE] = AG_MSG_KEY_ROTATE,
	[ACT_COMPROMISE] = AG_MSG_KEY_COMPROMISE,
	[ACT_DESTROY] = AG_MSG_KEY_DESTROY, [ACT_SIGN] = AG_MSG_KEY_SIGN,
	[ACT_AGENT_ISSUE] = AG_MSG_AGENT_ISSUE,
	[ACT_AGENT_SUSPEND] = AG_MSG_AGENT_SUSPEND,
	[ACT_AGENT_REVOKE] = AG_MSG_AGENT_REVOKE,
	[ACT_AGENT_SIGN] = AG_MSG_KEY_SIGN, [ACT_AGENT_STRAY] = AG_MSG_KEY_SIGN,
	[ACT_WHOAMI] = AG_MSG_WHOAMI,
	[ACT_APPROVE] = AG_MSG_APPROVAL_APPROVE,
	[ACT_DENY] = AG_MSG_APPROVAL_DENY,
	[ACT_CANCEL] = AG_MSG_APPROVAL_CANCEL,
};

static enum act
any_act(void)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < ACT_COUNT; i++)
		sum += weights[i];
	at = rng_below(&sim.work, sum);
	for (unsigned i = 0; i < ACT_COUNT; i++) {
		if (at < weights[i])
			return (enum act)i;
		at -= weights[i];
	}
	return ACT_WHOAMI;
}

bool
client_is_agents(enum act act)
{
	return act >= ACT_AGENT_SUSPEND && act <= ACT_AGENT_STRAY;
}

/* Picks who and what; false: there is none of that yet. */
static bool
pick(struct call *c)
{
	if (c->act == ACT_CREATE) {
		c->key = client.key_count;
		return client.key_count < SIM_KEYS_MAX;
	}
	if (c->act == ACT_WHOAMI)
		return true;
	if (client.key_count == 0)
		return false;
	c->key = rng_below(&sim.work, client.key_count);
	if (c->act == ACT_ROTATE || c->act >= ACT_APPROVE)
		return people_pick(c);
	if (c->act == ACT_AGENT_ISSUE) {
		c->agent = client.agent_count;
		return client.agent_count < SIM_AGENTS_MAX;
	}
	if (!client_is_agents(c->act))
		return true;
	if (client.agent_count == 0)
		return false;
	c->agent = rng_below(&sim.work, client.agent_count);
	if (client.agents[c->agent].token == NULL)
		return false;
	if (c->act == ACT_AGENT_STRAY)
		return c->key != client.agents[c->agent].key;
	c->key = client.agents[c->agent].key;
	return true;
}

/* ------------------------------------------------------------------- asking */

struct sending {
	struct call *call;
	struct question ask;
};

static void
say_it(struct ag_ctx *ctx, void *arg)
{
	struct sending *s = arg;

	plane_ask(ctx, &s->ask);
}

static void
fill_create(struct call *c, Ag__KeyCreateAsk *ask, Ag__Pair **labels)
{
	static const Ag__KeySpec__V specs[] = { AG__KEY_SPEC__V__EC_P256,
		AG__KEY_SPEC__V__ED25519 };
	struct sim_key *key = &client.keys[c->key];

	snprintf(key->alias, sizeof(key->alias), "key-%u", c->key);
	ask->key_spec = specs[c->spec];
	ask->alias = key->alias;
	ask->has_activate = true;
	ask->activate = key->active_from_start = c->activate;
	if (key->guarded) {
		ask->labels = labels;
		ask->n_labels = 1;
	}
}

static void
fill_issue(struct call *c, Ag__AgentIssueAsk *ask, char *scope, size_t size,
    char **scopes, char *label)
{
	snprintf(scope, size, "key:%s:sign", client.keys[c->key].alias);
	snprintf(label, 24, "agent-%u", c->agent);
	scopes[0] = scope;
	ask->scopes = scopes;
	ask->n_scopes = 1;
	ask->label = label;
	ask->has_ttl_s = true;
	ask->ttl_s = TTL_S;
}

static void
hand_over(struct call *c, const void *body)
{
	struct proc *plane = proc_named("rest");
	char key[24];
	struct sending s = { .call = c, .ask = { .op = operations[c->act],
		.call = (unsigned)(c - client.calls),
		.credential = client.people[c->person],
		.body = body } };

	if (c->act == ACT_AGENT_SIGN || c->act == ACT_AGENT_STRAY)
		s.ask.credential = client.agents[c->agent].token;
	if (c->act == ACT_ROTATE && c->approval != 0)
		s.ask.approval = client.approvals[c->approval - 1].id;
	if (c->act >= ACT_APPROVE)
		s.ask.selector = client.approvals[c->approval - 1].id;
	else if (c->act == ACT_AGENT_SUSPEND || c->act == ACT_AGENT_REVOKE)
		s.ask.selector = client.agents[c->agent].id;
	else if (c->act != ACT_CREATE && c->act != ACT_AGENT_ISSUE &&
	    c->act != ACT_WHOAMI)
		s.ask.selector = client.keys[c->key].alias;
	snprintf(key, sizeof(key), "call-%u", s.ask.call);
	if (c->again)
		s.ask.idempotency_key = key;
	c->state = CALL_PENDING;
	if (c->sent_us == 0)
		c->sent_us = sim.now_us;
	sim_trace("asks %u: act %u key %u agent %u person %u approval %u",
	    s.ask.call, c->act, c->key, c->agent, c->person, c->approval);
	proc_call(plane, say_it, &s);
}

/* Would an answer of success break a promise? */
static bool
is_stuck(const struct call *c)
{
	const struct sim_key *key = &client.keys[c->key];
	const struct sim_agent *agent = &client.agents[c->agent];

	if (c->act == ACT_AGENT_STRAY)
		return true;
	if (c->act == ACT_AGENT_SIGN && agent->ended_us != 0)
		return true;
	if (people_stuck(c))
		return true;
	return (c->act == ACT_SIGN || c->act == ACT_ROTATE ||
	    c->act == ACT_AGENT_SIGN || c->act == ACT_ACTIVATE) &&
	    key->ended_us != 0;
}

static void
ask_one(struct call *c)
{
	Ag__KeyCreateAsk create = AG__KEY_CREATE_ASK__INIT;
	Ag__AgentIssueAsk issue = AG__AGENT_ISSUE_ASK__INIT;
	Ag__SignAsk sign = AG__SIGN_ASK__INIT;
	Ag__ReasonAsk reason = AG__REASON_ASK__INIT;
	Ag__KeyCompromiseAsk compromise = AG__KEY_COMPROMISE_ASK__INIT;
	Ag__KeyDestroyAsk destroy = AG__KEY_DESTROY_ASK__INIT;
	Ag__ApprovalDecideAsk said = AG__APPROVAL_DECIDE_ASK__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	Ag__Pair guard = AG__PAIR__INIT, *labels[] = { &guard };
	const void *bodies[ACT_COUNT] = { [ACT_CREATE] = &create,
		[ACT_ACTIVATE] = &nothing, [ACT_DEACTIVATE] = &reason,
		[ACT_ROTATE] = &nothing, [ACT_COMPROMISE] = &compromise,
		[ACT_DESTROY] = &destroy, [ACT_SIGN] = &sign,
		[ACT_AGENT_ISSUE] = &issue, [ACT_AGENT_SUSPEND] = &reason,
		[ACT_AGENT_REVOKE] = &reason, [ACT_AGENT_SIGN] = &sign,
		[ACT_AGENT_STRAY] = &sign, [ACT_WHOAMI] = &nothing,
		[ACT_APPROVE] = &said, [ACT_DENY] = &said,
		[ACT_CANCEL] = &said };
	char scope[64], label[24], *scopes[1];

	sign.message_b64.data = (uint8_t *)(uintptr_t)"an invoice";
	sign.message_b64.len = 10;
	reason.reason = compromise.reason = destroy.reason =
	    (char *)(uintptr_t)"the simulator wants it";
	destroy.has_pending_window_s = true;
	guard.key = (char *)(uintptr_t)"guard";
	guard.value = (char *)(uintptr_t)"yes";
	if (c->act == ACT_CREATE)
		fill_create(c, &create, labels);
	if (c->act == ACT_AGENT_ISSUE)
		fill_issue(c, &issue, scope, sizeof(scope), scopes, label);
	hand_over(c, bodies[c->act]);
}

/* What is decided once, however often it has to be asked. */
static void
decide(struct call *c)
{
	const struct ag_operation *op = ag_operation_find(operations[c->act]);

	c->again = (op->flags & AG_OP_IDEM) != 0 && rng_chance(&sim.work, 500);
	c->spec = rng_below(&sim.work, 2);
	c->activate = rng_chance(&sim.work, 700);
	if (c->act == ACT_CREATE)
		client.keys[client.key_count++].guarded = rng_chance(&sim.work,
		    500);
	if (c->act == ACT_AGENT_ISSUE)
		client.agents[client.agent_count++].key = c->key;
	c->stuck = is_stuck(c);
	if (client_is_agents(c->act))
		client.agents[c->agent].acts[c->act].tried++;
	else
		client.keys[c->key].acts[c->act].tried++;
	people_tried(c);
}

/* ----------------------------------------------------------------- answers */

static struct call *
live(unsigned call)
{
	struct call *c = &client.calls[call];

	/* A plane that dies in this turn has told nobody anything. */
	return c->state == CALL_PENDING &&
	    (sim.now == NULL || !sim.now->zombie) ? c : NULL;
}

static void
finish(struct call *c, enum call_state state)
{
	unsigned i = (unsigned)(c - client.calls);

	c->state = state;
	c->done_us = sim.now_us;
	for (unsigned k = 0; k < SIM_CLIENTS; k++)
		if (client.call_of[k] == i + 1) {
			client.call_of[k] = 0;
			client.next_us[k] = sim.now_us + 1 +
			    rng_below(&sim.work, THINK_US_MAX);
		}
}

/* Nobody knows whether it was done: the same again, or never more. */
static void
unknown(struct call *c)
{
	unsigned i = (unsigned)(c - client.calls);

	sim.unknowns++;
	if (!c->again) {
		finish(c, CALL_UNKNOWN);
		return;
	}
	c->state = CALL_NONE;
	c->boot = c->n = 0;
	for (unsigned k = 0; k < SIM_CLIENTS; k++)
		if (client.call_of[k] == i + 1)
			client.next_us[k] = sim.now_us + RETRY_US;
}

void
client_sent(unsigned call, uint64_t boot, uint64_t n)
{
	client.calls[call].boot = boot;
	client.calls[call].n = n;
	if (client.sent_count == SIM_SENT_MAX)
		ag_panic("more requests than the simulator remembers");
	client.sent[client.sent_count++] = (struct sent){ boot, n };
}

static void
learn_agent(struct sim_agent *agent, const Ag__AgentIssueReply *reply)
{
	snprintf(agent->id, sizeof(agent->id), "%s", reply->agent_id);
	free(agent->token); /* a repeat's answer has none: it is no secret's place */
	agent->token = reply->token == NULL ? NULL : strdup(reply->token);
}

static void
learn(struct call *c, const struct answer *answer)
{
	struct sim_key *key = &client.keys[c->key];
	struct sim_agent *agent = &client.agents[c->agent];

	if (c->stuck)
		sim_wrong("call %u (act %u, key %u, agent %u, person %u, approval "
		    "%u) succeeded, though what it uses had ended, or nobody agreed",
		    (unsigned)(c - client.calls), c->act, c->key, c->agent,
		    c->person, c->approval);
	if (client_is_agents(c->act))
		agent->acts[c->act].done++;
	else
		key->acts[c->act].done++;
	if (c->act == ACT_CREATE)
		snprintf(key->id, sizeof(key->id), "%s",
		    ((const Ag__Key *)answer->reply)->id);
	if (c->act == ACT_AGENT_ISSUE)
		learn_agent(agent, answer->reply);
	people_learn(c, answer);
	if ((c->act == ACT_DEACTIVATE || c->act == ACT_COMPROMISE ||
	    c->act == ACT_DESTROY) && key->ended_us == 0)
		key->ended_us = sim.now_us;
	if ((c->act == ACT_AGENT_SUSPEND || c->act == ACT_AGENT_REVOKE) &&
	    agent->ended_us == 0)
		agent->ended_us = sim.now_us;
}

void
client_answered(unsigned call, const struct answer *answer)
{
	struct call *c = live(call);

	if (c == NULL)
		return;
	sim_trace("answered %u: %s %s", call, ag_err_row(answer->err)->name,
	    answer->reason == NULL ? "-" : answer->reason);
	c->err = answer->err;
	c->recorded = answer->recorded;
	if (answer->event_id != NULL)
		snprintf(c->event_id, sizeof(c->event_id), "%s", answer->event_id);
	else if (answer->recorded)
		sim_wrong("call %u was answered without naming its event", call);
	sim.answers++;
	if (c->probe) {
		c->state = answer->err == AG_OK ? CALL_DONE : CALL_REFUSED;
		probe_answered(c, answer);
		return;
	}
	if (answer->err == AG_OK) {
		learn(c, answer);
		finish(c, CALL_DONE);
	} else if (answer->err == AG_DEADLINE_EXCEEDED || !answer->recorded) {
		unknown(c);
	} else {
		sim.refusals++;
		people_refused(c, answer);
		finish(c, CALL_REFUSED);
	}
}

void
client_lost(unsigned call)
{
	struct call *c = &client.calls[call];

	if (c->state != CALL_PENDING)
		return;
	sim_trace("lost %u", call);
	if (c->probe)
		c->state = CALL_UNKNOWN;
	else
		unknown(c);
}

/* ------------------------------------------------------------------ their day */

void
client_begin(unsigned calls)
{
	client.wanted = client.call_count + calls;
	if (client.wanted > SIM_CALLS_MAX)
		ag_panic("more requests than the simulator remembers");
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		client.next_us[i] = sim.now_us + rng_below(&sim.work,
		    THINK_US_MAX);
}

bool
client_done(void)
{
	if (client.call_count < client.wanted)
		return false;
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (client.call_of[i] != 0)
			return false;
	return true;
}

/* An idle one asks for something new, one without an answer for the same. */
static bool
has_to_ask(unsigned who)
{
	if (client.call_of[who] != 0)
		return client.calls[client.call_of[who] - 1].state == CALL_NONE;
	return client.call_count < client.wanted;
}

uint64_t
client_next_us(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (has_to_ask(i) && client.next_us[i] < least)
			least = client.next_us[i];
	return least;
}

void
client_step(void)
{
	struct call *c = &client.calls[client.call_count];
	unsigned who = 0;

	while (who < SIM_CLIENTS && (!has_to_ask(who) ||
	    client.next_us[who] > sim.now_us))
		who++;
	if (who == SIM_CLIENTS)
		return;
	if (proc_named("rest")->ctx == NULL) { /* nobody listens */
		client.next_us[who] = sim.now_us + RETRY_US;
		return;
	}
	if (client.call_of[who] != 0) {
		ask_one(&client.calls[client.call_of[who] - 1]);
		return;
	}
	do {
		memset(c, 0, sizeof(*c));
		c->act = any_act();
	} while (!pick(c));
	client.call_of[who] = ++client.call_count;
	decide(c);
	ask_one(c);
}
