/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking: what the fleet says of every key and agent once it is quiet, against
 * what the clients were told; and the same again when every state was made anew
 * from the journal.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

enum { PROBE_US = 60 * SIM_S };

struct probe {
	const char *what;
	bool after;
	bool open;
	struct call *call;
	const struct question *ask;
};
static struct probe probe;

static void
say_it(struct ag_ctx *ctx, void *arg)
{
	(void)arg;
	plane_ask(ctx, probe.ask);
}

static bool
is_answered(void)
{
	return !probe.open;
}

/* Asks until there is an answer that was recorded. */
static void
look(enum act act, unsigned key, unsigned agent, uint16_t op,
    const char *credential, const char *selector, const void *body)
{
	struct question ask = { .op = op, .credential = credential,
		.selector = selector, .body = body };
	struct call *c;

	if (client.call_count == SIM_CALLS_MAX)
		ag_panic("more requests than the simulator remembers");
	ask.call = client.call_count++;
	client.wanted = client.call_count;
	c = &client.calls[ask.call];
	*c = (struct call){ .act = act, .key = key, .agent = agent,
		.probe = true, .state = CALL_PENDING, .sent_us = sim.now_us };
	probe.call = c;
	probe.ask = &ask;
	probe.open = true;
	proc_call(proc_named("rest"), say_it, NULL);
	if (!schedule_run(sim.now_us + PROBE_US, is_answered))
		sim_wrong("%s: no answer about key %u agent %u", probe.what, key,
		    agent);
}

/* -------------------------------------------------------------- the verdicts */

static bool
is_ended(Ag__KeyState__V state)
{
	return state != AG__KEY_STATE__V__PreActive &&
	    state != AG__KEY_STATE__V__Active;
}

/* No acknowledged write is lost, and nothing happened that nobody asked for. */
static void
check_key(const struct sim_key *k, unsigned i, const Ag__Key *key)
{
	const struct tally *t = k->acts;
	unsigned versions = key->version;

	if (t[ACT_ROTATE].done + 1 > versions)
		sim_wrong("key %u: %u rotations were acknowledged, it is at version "
		    "%u", i, t[ACT_ROTATE].done, versions);
	if (versions > t[ACT_ROTATE].tried + 1)
		sim_wrong("key %u: version %u after %u rotations asked for", i,
		    versions, t[ACT_ROTATE].tried);
	if ((t[ACT_ACTIVATE].done > 0 || (t[ACT_CREATE].done > 0 &&
	    k->active_from_start)) && key->state == AG__KEY_STATE__V__PreActive)
		sim_wrong("key %u: its activation was acknowledged and is lost", i);
	if (key->state == AG__KEY_STATE__V__Active && !k->active_from_start &&
	    t[ACT_ACTIVATE].tried == 0)
		sim_wrong("key %u: active, and nobody activated it", i);
	if (t[ACT_DEACTIVATE].done > 0 && !is_ended(key->state))
		sim_wrong("key %u: its deactivation was acknowledged and is lost", i);
	if (t[ACT_COMPROMISE].done > 0 &&
	    key->state != AG__KEY_STATE__V__Compromised &&
	    key->state != AG__KEY_STATE__V__DestroyedCompromised)
		sim_wrong("key %u: its compromise was acknowledged and is lost", i);
	/* A clock that was ahead when the window was set, and was set back, makes
	 * it longer: then it still waits. */
	if (t[ACT_DESTROY].done > 0 && key->state !=
	    AG__KEY_STATE__V__Destroyed && key->state !=
	    AG__KEY_STATE__V__DestroyedCompromised &&
	    (!sim.set_back || !key->has_destroy_at))
		sim_wrong("key %u: its destruction was acknowledged, and its state "
		    "is %d", i, (int)key->state);
	if (is_ended(key->state) && t[ACT_DEACTIVATE].tried +
	    t[ACT_COMPROMISE].tried + t[ACT_DESTROY].tried == 0)
		sim_wrong("key %u: ended, and nobody asked for it", i);
}

static void
check_agent(const struct sim_agent *a, unsigned i, const Ag__Agent *agent)
{
	if (a->acts[ACT_AGENT_REVOKE].done > 0 &&
	    strcmp(agent->state, "revoked") != 0)
		sim_wrong("agent %u: its revocation was acknowledged, and it is %s",
		    i, agent->state);
	if (a->ended_us != 0 && strcmp(agent->state, "active") == 0)
		sim_wrong("agent %u: its end was acknowledged, and it is active", i);
}

/* The same bytes when the state was made from the journal alone. */
static void
compare(const char *what, unsigned i, uint8_t **seen, size_t *seen_len,
    const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *bytes = malloc(len + 1);

	if (bytes == NULL)
		abort();
	protobuf_c_message_pack(msg, bytes);
	if (probe.after && (*seen == NULL || *seen_len != len ||
	    memcmp(*seen, bytes, len) != 0))
		sim_wrong("%s %u is another one after a replay of the journal",
		    what, i);
	free(*seen);
	*seen = bytes;
	*seen_len = len;
}

static void
on_key(const struct call *c, const struct answer *answer)
{
	struct sim_key *k = &client.keys[c->key];
	Ag__Key *key;

	if (answer->err == AG_ITEM_NOT_FOUND) {
		if (k->acts[ACT_CREATE].done > 0)
			sim_wrong("key %u: its creation was acknowledged, and it is "
			    "not there", c->key);
		return;
	}
	if (answer->err != AG_OK) {
		sim_wrong("key %u cannot be read: %s", c->key,
		    ag_err_row(answer->err)->name);
		return;
	}
	key = (Ag__Key *)(uintptr_t)answer->reply;
	check_key(k, c->key, key);
	for (size_t v = 0; v < key->n_versions; v++)
		key->versions[v]->operations = 0; /* a bound after a crash */
	compare("key", c->key, &k->seen, &k->seen_len, &key->base);
}

static void
on_agent(const struct call *c, const struct answer *answer)
{
	struct sim_agent *a = &client.agents[c->agent];
	Ag__Agent *agent;

	if (answer->err != AG_OK) {
		sim_wrong("agent %u cannot be read: %s", c->agent,
		    ag_err_row(answer->err)->name);
		return;
	}
	agent = (Ag__Agent *)(uintptr_t)answer->reply;
	check_agent(a, c->agent, agent);
	/* What it does while we look is no part of the journal. */
	agent->has_last_activity_at = false;
	agent->allowed_count = agent->refused_count = 0;
	compare("agent", c->agent, &a->seen, &a->seen_len, &agent->base);
}

void
probe_answered(struct call *c, const struct answer *answer)
{
	if (c != probe.call)
		return;
	probe.open = false;
	if (!answer->recorded) {
		sim_wrong("%s: an answer without an event in peace", probe.what);
		return;
	}
	if (c->act == ACT_CREATE)
		on_key(c, answer);
	else if (c->act == ACT_AGENT_ISSUE)
		on_agent(c, answer);
	else if (answer->err == AG_OK)
		sim_wrong("%s: key %u agent %u still works, though it has ended",
		    probe.what, c->key, c->agent);
}

/* What has ended is tried once more, by who could until then. */
static void
try_ended(void)
{
	Ag__SignAsk sign = AG__SIGN_ASK__INIT;

	sign.message_b64.data = (uint8_t *)(uintptr_t)"again";
	sign.message_b64.len = 5;
	for (unsigned i = 0; i < client.key_count; i++)
		if (client.keys[i].ended_us != 0)
			look(ACT_SIGN, i, 0, AG_MSG_KEY_SIGN, client.admin,
			    client.keys[i].alias, &sign);
	for (unsigned i = 0; i < client.agent_count; i++)
		if (client.agents[i].ended_us != 0)
			look(ACT_AGENT_SIGN, client.agents[i].key, i,
			    AG_MSG_KEY_SIGN, client.agents[i].token,
			    client.keys[client.agents[i].key].alias, &sign);
}

void
client_probe(const char *what, bool after)
{
	Ag__Nothing nothing = AG__NOTHING__INIT;

	probe.what = what;
	probe.after = after;
	for (unsigned i = 0; i < client.key_count; i++)
		look(ACT_CREATE, i, 0, AG_MSG_KEY_READ, client.admin,
		    client.keys[i].alias, &nothing);
	for (unsigned i = 0; i < client.agent_count; i++)
		if (client.agents[i].id[0] != '\0')
			look(ACT_AGENT_ISSUE, 0, i, AG_MSG_AGENT_READ,
			    client.admin, client.agents[i].id, &nothing);
	try_ended();
}
