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

/* Asks, as `about` says whom and what for, and waits for the answer. */
static void
look(struct call about, uint16_t op, const char *credential,
    const char *selector, const void *body)
{
	struct question ask = { .op = op, .credential = credential,
		.selector = selector, .body = body };
	struct call *c;

	if (client.call_count == SIM_CALLS_MAX)
		ag_panic("more requests than the simulator remembers");
	ask.call = client.call_count++;
	client.wanted = client.call_count;
	c = &client.calls[ask.call];
	*c = about;
	c->probe = true;
	c->state = CALL_PENDING;
	c->sent_us = sim.now_us;
	probe.call = c;
	probe.ask = &ask;
	probe.open = true;
	proc_call(proc_named("rest"), say_it, NULL);
	if (!schedule_run(sim.now_us + PROBE_US, is_answered))
		sim_wrong("%s: no answer about key %u agent %u", probe.what, c->key,
		    c->agent);
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

void
probe_compare(const char *what, unsigned i, uint8_t **seen,
    size_t *seen_len, const ProtobufCMessage *msg)
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
	probe_compare("key", c->key, &k->seen, &k->seen_len, &key->base);
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
	probe_compare("agent", c->agent, &a->seen, &a->seen_len, &agent->base);
}

/* What waits may end while we look: the time goes on. */
static void
on_approval(const struct call *c, const struct answer *answer)
{
	struct sim_approval *a = &client.approvals[c->approval - 1];
	const Ag__Approval *said = answer->reply;

	if (answer->err != AG_OK) {
		sim_wrong("approval %s cannot be read: %s", a->id,
		    ag_err_row(answer->err)->name);
		return;
	}
	people_check(a, said, c->sent_us);
	if (strcmp(said->state, "pending") != 0 &&
	    (!probe.after || a->seen != NULL))
		probe_compare("approval", c->approval, &a->seen, &a->seen_len,
		    &said->base);
}

/* People were made, and given credentials. */
static void
on_person(const struct call *c, const struct answer *answer)
{
	char *token = client.people[c->person];

	if (answer->err != AG_OK)
		sim_wrong("person %u: %s", c->person,
		    ag_err_row(answer->err)->name);
	else if (answer->reply_type == AG_MSG_TOKEN_ISSUE)
		snprintf(token, sizeof(client.people[0]), "%s",
		    ((const Ag__TokenIssueReply *)answer->reply)->token);
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
	if (c->person != 0)
		on_person(c, answer);
	else if (c->approval != 0)
		on_approval(c, answer);
	else if (c->act == ACT_CREATE)
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
			look((struct call){ .act = ACT_SIGN, .key = i },
			    AG_MSG_KEY_SIGN, client.people[0],
			    client.keys[i].alias, &sign);
	for (unsigned i = 0; i < client.agent_count; i++)
		if (client.agents[i].ended_us != 0)
			look((struct call){ .act = ACT_AGENT_SIGN,
			    .key = client.agents[i].key, .agent = i },
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
		look((struct call){ .act = ACT_CREATE, .key = i },
		    AG_MSG_KEY_READ, client.people[0], client.keys[i].alias,
		    &nothing);
	for (unsigned i = 0; i < client.agent_count; i++)
		if (client.agents[i].id[0] != '\0')
			look((struct call){ .act = ACT_AGENT_ISSUE, .agent = i },
			    AG_MSG_AGENT_READ, client.people[0],
			    client.agents[i].id, &nothing);
	for (unsigned i = 0; i < client.approval_count; i++)
		look((struct call){ .act = ACT_APPROVE, .approval = i + 1 },
		    AG_MSG_APPROVAL_READ, client.people[0],
		    client.approvals[i].id, &nothing);
	try_ended();
}

void
client_people(void)
{
	Ag__PrincipalCreateAsk create = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__TokenIssueAsk issue = AG__TOKEN_ISSUE_ASK__INIT;
	char name[16], *roles[] = { (char *)(uintptr_t)"admin" };

	probe.what = "people";
	create.kind = AG__KIND__V__human;
	create.name = name;
	create.roles = roles;
	create.n_roles = 1;
	for (unsigned i = 1; i < SIM_PEOPLE; i++) {
		snprintf(name, sizeof(name), "person-%u", i);
		look((struct call){ .person = i }, AG_MSG_PRINCIPAL_CREATE,
		    client.people[0], NULL, &create);
		look((struct call){ .person = i }, AG_MSG_TOKEN_ISSUE,
		    client.people[0], name, &issue);
	}
}
