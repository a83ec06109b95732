/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approvals as the journal has them, from its first record on, whatever anybody
 * was told: each step is one that may follow, who asked never decides, each
 * person counts once, nothing is approved without its quorum, what ended stays
 * ended, one yes is used once; and a guarded key has no more new versions than
 * approvals of it were used before.
 */
#include "client.h"

#include <string.h>

enum { WANTED = 2 };

struct agreed {
	char id[AG_ID_SIZE];
	bool ended;
	unsigned used;
	size_t decisions;
};
struct guarded {
	char id[AG_ID_SIZE];
	unsigned used, versions;
};
/* Those whose id no client was told are there, too. */
static struct agreed agreed[2 * SIM_CALLS_MAX];
static struct guarded guarded[SIM_KEYS_MAX];
static unsigned agreed_count, guarded_count;

static struct guarded *
guarded_find(const char *id)
{
	for (unsigned i = 0; i < guarded_count; i++)
		if (strcmp(guarded[i].id, id) == 0)
			return &guarded[i];
	return NULL;
}

static struct agreed *
agreed_find(const char *id)
{
	struct agreed *a;

	for (unsigned i = 0; i < agreed_count; i++)
		if (strcmp(agreed[i].id, id) == 0)
			return &agreed[i];
	if (agreed_count == 2 * SIM_CALLS_MAX)
		ag_panic("more approvals than the simulator remembers");
	a = &agreed[agreed_count++];
	snprintf(a->id, sizeof(a->id), "%s", id);
	return a;
}

static unsigned
yes_of(const Ag__Approval *a)
{
	unsigned yes = 0;

	for (size_t i = 0; i < a->n_decisions; i++) {
		const char *by = a->decisions[i]->by;

		yes += strcmp(a->decisions[i]->decision, "approved") == 0;
		for (size_t k = 0; k < a->n_chain; k++)
			if (strcmp(a->chain[k]->id, by) == 0)
				sim_wrong("journal: %s decided on %s, which is of "
				    "its own", by, a->id);
		if (strcmp(a->requester->id, by) == 0)
			sim_wrong("journal: who asked for %s decided on it", a->id);
		for (size_t k = 0; k < i; k++)
			if (strcmp(a->decisions[k]->by, by) == 0)
				sim_wrong("journal: %s counts twice for %s", by,
				    a->id);
	}
	return yes;
}

/* A use changes nothing but the count; everything else ends what waits. */
static void
check_step(const struct agreed *was, const Ag__Approval *a)
{
	if (was->ended && (strcmp(a->state, "approved") != 0 ||
	    a->used != was->used + 1 || a->n_decisions != was->decisions))
		sim_wrong("journal: %s had ended, and is %s, used %u", a->id,
		    a->state, a->used);
	if (!was->ended && a->used > 0)
		sim_wrong("journal: %s was used while it was %s", a->id, a->state);
	if (a->used > 1)
		sim_wrong("journal: %s was used %u times", a->id, a->used);
}

static void
on_approval(const Ag__ApprovalFact *fact)
{
	const Ag__Approval *a = fact->approval;
	struct agreed *was = agreed_find(a->id);
	struct guarded *key;

	check_step(was, a);
	if (yes_of(a) < WANTED && strcmp(a->state, "approved") == 0)
		sim_wrong("journal: %s is approved by %u", a->id, yes_of(a));
	if (a->used > was->used) {
		key = guarded_find(a->resource->id);
		if (key != NULL)
			key->used++;
	}
	was->ended = strcmp(a->state, "pending") != 0;
	was->used = a->used;
	was->decisions = a->n_decisions;
}

static void
on_created(const Ag__KeyCreatedFact *fact)
{
	for (size_t i = 0; i < fact->n_labels; i++)
		if (strcmp(fact->labels[i]->key, "guard") == 0 &&
		    guarded_find(fact->key_id) == NULL &&
		    guarded_count < SIM_KEYS_MAX)
			snprintf(guarded[guarded_count++].id, AG_ID_SIZE, "%s",
			    fact->key_id);
}

static void
on_version(const Ag__KeyVersionFact *fact)
{
	struct guarded *key = guarded_find(fact->key_id);

	if (key != NULL && ++key->versions > key->used)
		sim_wrong("journal: %s has %u new versions, and approvals of %u "
		    "were used", key->id, key->versions, key->used);
}

void
agreed_record(const Ag__JournalRecord *r)
{
	const struct ag_message *row = ag_message_find((uint16_t)r->type);
	ProtobufCMessage *fact;

	if (r->type != AG_MSG_APPROVAL_FACT &&
	    r->type != AG_MSG_KEY_CREATED_FACT &&
	    r->type != AG_MSG_KEY_VERSION_FACT)
		return;
	fact = row == NULL ? NULL : protobuf_c_message_unpack(row->body,
	    NULL, r->event.len, r->event.data);
	if (fact == NULL) {
		sim_wrong("journal: record %llu cannot be read",
		    (unsigned long long)r->seq);
		return;
	}
	if (r->type == AG_MSG_APPROVAL_FACT)
		on_approval((const Ag__ApprovalFact *)fact);
	else if (r->type == AG_MSG_KEY_CREATED_FACT)
		on_created((const Ag__KeyCreatedFact *)fact);
	else
		on_version((const Ag__KeyVersionFact *)fact);
	protobuf_c_message_free_unpacked(fact, NULL);
}
