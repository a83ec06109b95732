/* SPDX-License-Identifier: Apache-2.0 */
/* Places in chains by the hash of who does what to which thing. */
#include "under_way.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHAINS = 2048, /* a power of two */
	LATE_MS = 1000, /* an outcome may be on its way for so long */
	PLACE_BITS = 16,
};

struct place {
	bool used;
	uint64_t what, until_ms;
	uint64_t turn; /* how often the place was taken */
	unsigned plane, next; /* next: an index and one; 0: the last */
	unsigned *tenant_used;
};
struct iam_under_way {
	struct place places[IAM_UNDER_WAY_MAX];
	unsigned chains[CHAINS]; /* as next */
	unsigned free;           /* as next */
};

ag_err
iam_under_way_new(struct iam_under_way **out)
{
	struct iam_under_way *u = *out = calloc(1, sizeof(*u));
	uint64_t turn;

	if (u == NULL)
		return AG_NO_MEMORY;
	/* Ends of what another life of iam admitted end nothing here. */
	if (RAND_bytes((uint8_t *)&turn, sizeof(turn)) != 1)
		return AG_NO_MEMORY;
	for (unsigned i = IAM_UNDER_WAY_MAX; i > 0; i--) {
		u->places[i - 1].turn = turn >> (PLACE_BITS + 1);
		u->places[i - 1].next = u->free;
		u->free = i;
	}
	return AG_OK;
}

void
iam_under_way_free(struct iam_under_way **u)
{
	free(*u);
	*u = NULL;
}

/* Ids have no line breaks, so no two questions are the same text. */
static uint64_t
hash_of(const struct iam_under_way_query *q)
{
	char text[384];
	uint8_t hash[32];
	uint64_t out;
	int n = snprintf(text, sizeof(text), "%s\n%s\n%s", q->who, q->action,
	    q->resource == NULL ? "" : q->resource);

	ag_sha256(text, n < 0 || n >= (int)sizeof(text) ? sizeof(text) - 1 :
	    (size_t)n, hash);
	memcpy(&out, hash, sizeof(out));
	return out;
}

static unsigned *
chain_of(struct iam_under_way *u, uint64_t what)
{
	return &u->chains[what & (CHAINS - 1)];
}

/* Takes out what `at` leads to. */
static void
leave(struct iam_under_way *u, unsigned *at)
{
	unsigned i = *at;
	struct place *p = &u->places[i - 1];

	*at = p->next;
	if (p->tenant_used != NULL)
		--*p->tenant_used;
	p->used = false;
	p->next = u->free;
	u->free = i;
}

static void
drop_late(struct iam_under_way *u, unsigned *at, uint64_t now_ms)
{
	while (*at != 0) {
		struct place *p = &u->places[*at - 1];

		if (now_ms > p->until_ms)
			leave(u, at);
		else
			at = &p->next;
	}
}

static bool
is_full(const struct iam_under_way *u, const struct iam_under_way_query *q)
{
	return u->free == 0 || (q->used != NULL && *q->used >= q->most);
}

static bool
has_room(struct iam_under_way *u, const struct iam_under_way_query *q)
{
	for (unsigned i = 0; is_full(u, q) && i < CHAINS; i++)
		drop_late(u, &u->chains[i], q->now_ms);
	return !is_full(u, q);
}

int64_t
iam_under_way_look(struct iam_under_way *u, const struct iam_under_way_query *q)
{
	uint64_t what = hash_of(q);
	unsigned *chain = chain_of(u, what);
	int64_t count = 1;

	drop_late(u, chain, q->now_ms);
	for (unsigned i = *chain; i != 0; i = u->places[i - 1].next)
		count += u->places[i - 1].what == what;
	return has_room(u, q) ? count : -1;
}

uint64_t
iam_under_way_take(struct iam_under_way *u, const struct iam_under_way_query *q,
    unsigned plane, uint64_t deadline_ms)
{
	uint64_t what = hash_of(q);
	unsigned *chain = chain_of(u, what), i;
	struct place *p;

	if (!has_room(u, q))
		return 0;
	i = u->free;
	p = &u->places[i - 1];
	u->free = p->next;
	*p = (struct place){ true, what, deadline_ms + LATE_MS, p->turn + 1,
		plane, *chain, q->used };
	*chain = i;
	if (q->used != NULL)
		++*q->used;
	return p->turn << PLACE_BITS | i;
}

void
iam_under_way_end(struct iam_under_way *u, uint64_t place, unsigned plane)
{
	unsigned i = (unsigned)(place & ((1 << PLACE_BITS) - 1)), *at;
	struct place *p;

	if (i == 0 || i > IAM_UNDER_WAY_MAX)
		return;
	p = &u->places[i - 1];
	if (!p->used || p->turn != place >> PLACE_BITS || p->plane != plane)
		return;
	for (at = chain_of(u, p->what); *at != i; at = &u->places[*at - 1].next)
		;
	leave(u, at);
}
