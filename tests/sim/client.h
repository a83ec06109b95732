/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the clients remember: every request, and what they may conclude from
 * its answer about keys and agents.
 */
#ifndef AEGIS_SIM_CLIENT_H
#define AEGIS_SIM_CLIENT_H

#include "sim.h"

enum call_state { CALL_NONE, CALL_PENDING, CALL_DONE, CALL_REFUSED, CALL_UNKNOWN };

enum act {
	ACT_CREATE, ACT_ACTIVATE, ACT_DEACTIVATE, ACT_ROTATE, ACT_COMPROMISE,
	ACT_DESTROY, ACT_SIGN, ACT_AGENT_ISSUE, ACT_AGENT_SUSPEND,
	ACT_AGENT_REVOKE, ACT_AGENT_SIGN, ACT_AGENT_STRAY, ACT_WHOAMI,
	ACT_APPROVE, ACT_DENY, ACT_CANCEL,
	ACT_COUNT
};

struct call {
	enum call_state state;
	enum act act;
	bool probe;        /* not a client's: the simulator looks */
	bool stuck;        /* it must not succeed: what it uses has ended */
	bool again;        /* under an Idempotency-Key: asked until there is an answer */
	bool activate;     /* of a creation */
	unsigned spec;
	unsigned key, agent;
	unsigned person;   /* who asks; 0: the administrator */
	unsigned approval; /* what it brings, or is about, + 1; 0: none */
	uint64_t sent_us, done_us;
	uint64_t boot, n;  /* 0: the plane did not pass it on */
	bool recorded;     /* answered, and the answer names its event */
	char event_id[AG_ID_SIZE];
	ag_err err;
};

/* How often something was tried, and how often it is known to be done. */
struct tally {
	unsigned tried, done;
};

struct sim_key {
	char alias[24], id[AG_ID_SIZE];
	struct tally acts[ACT_COUNT];
	bool active_from_start;
	bool guarded; /* two others have to agree to a rotation */
	/* No use is answered with success that is asked after this; 0: may be. */
	uint64_t ended_us;
	/* As the probes saw it: before, and after the replay. */
	uint8_t *seen;
	size_t seen_len;
};
struct sim_agent {
	char id[AG_ID_SIZE], *token;
	unsigned key; /* the one that it may sign with */
	struct tally acts[ACT_COUNT];
	uint64_t ended_us;
	uint8_t *seen;
	size_t seen_len;
};

/* What people were asked to agree to: a rotation of a guarded key. */
struct sim_approval {
	char id[AG_ID_SIZE];
	unsigned key, person; /* who asked */
	bool said_yes[SIM_PEOPLE]; /* asked to say so, whatever came of it */
	bool decided[SIM_PEOPLE];  /* was told that it counts */
	unsigned brought, went_on; /* requests with it, and those told of success */
	char ended[12]; /* as which the fleet said that it ended; "": not yet */
	uint64_t ended_us; /* when it first said so */
	uint8_t *seen;
	size_t seen_len;
};

/* A request as the plane numbered it; a call that is asked again has several. */
struct sent {
	uint64_t boot, n;
};

struct client {
	char people[SIM_PEOPLE][2048]; /* credentials; the administrator's first */
	struct call calls[SIM_CALLS_MAX];
	unsigned call_count, wanted;
	struct sent sent[SIM_SENT_MAX];
	unsigned sent_count;
	uint64_t next_us[SIM_CLIENTS];
	unsigned call_of[SIM_CLIENTS]; /* + 1; 0: idle */
	struct sim_key keys[SIM_KEYS_MAX];
	struct sim_agent agents[SIM_AGENTS_MAX];
	unsigned key_count, agent_count;
	struct sim_approval approvals[SIM_APPROVALS_MAX];
	unsigned approval_count;
};
extern struct client client;

/* ---- client.c */
bool client_is_agents(enum act act);

/* ---- people.c: who asks for what needs others, and who agrees */
/* Who does it, with which approval; false: there is none of that yet. */
bool people_pick(struct call *c);
bool people_stuck(const struct call *c); /* would success break a promise? */
void people_tried(const struct call *c);
void people_learn(const struct call *c, const struct answer *answer);
void people_refused(const struct call *c, const struct answer *answer);
/* What the fleet says of one, whenever it says so. */
/* What was asked at asked_us was answered so. */
void people_check(struct sim_approval *a, const Ag__Approval *said,
    uint64_t asked_us);

/* ---- probe.c: answers of the simulator's own looking */
void probe_answered(struct call *call, const struct answer *answer);
/* The same bytes when the state was made from the journal alone. */
void probe_compare(const char *what, unsigned i, uint8_t **seen,
    size_t *seen_len, const ProtobufCMessage *msg);

#endif
