/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When people last agreed to the same: this principal, operation and resource.
 * The approvals' facts tell it; policies ask for it (context.since_approval).
 * A table of fixed size: where it is full, the agreement that is oldest is
 * forgotten, and what is forgotten or a day old is none.
 */
#include "iam.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES = 16, HASH = 32, TIME_BYTES = 8 };
#define KEPT_MS INT64_C(86400000)

ag_err
iam_agreed_init(struct iam *iam)
{
	iam->agreed = calloc(IAM_AGREED_MAX, sizeof(*iam->agreed));
	return iam->agreed == NULL ? AG_NO_MEMORY : AG_OK;
}

static void
hash_of(const char *principal, const char *action, const char *resource,
    uint8_t out[HASH])
{
	uint8_t all[3][HASH];

	ag_sha256(principal, strlen(principal), all[0]);
	ag_sha256(action, strlen(action), all[1]);
	ag_sha256(resource == NULL ? "" : resource, resource == NULL ? 0 :
	    strlen(resource), all[2]);
	ag_sha256(all, sizeof(all), out);
}

/* Where it is, or may be put; what is there is the oldest around. */
static struct iam_agreed *
place_of(struct iam *iam, const uint8_t hash[HASH])
{
	struct iam_agreed *oldest = NULL;
	uint32_t at;

	memcpy(&at, hash, sizeof(at));
	for (uint32_t i = 0; i < PROBES; i++) {
		struct iam_agreed *a = &iam->agreed[(at + i) % IAM_AGREED_MAX];

		if (a->at != 0 && memcmp(a->hash, hash, HASH) == 0)
			return a;
		if (oldest == NULL || a->at < oldest->at)
			oldest = a;
	}
	return oldest;
}

static bool
is_it(const struct iam_agreed *a, const uint8_t hash[HASH])
{
	return a->at != 0 && memcmp(a->hash, hash, HASH) == 0;
}

static void
put(struct iam *iam, struct iam_agreed *a, const uint8_t hash[HASH], int64_t at)
{
	memcpy(a->hash, hash, HASH);
	a->at = at;
	iam->has_agreed = true;
}

ag_err
iam_agreed_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__Approval *a = ((const Ag__ApprovalFact *)r->fact)->approval;
	uint8_t hash[HASH], time[TIME_BYTES];
	struct iam_agreed *place;
	ag_err err;

	if (strcmp(a->state, "approved") != 0 || !a->has_decided_at ||
	    a->decided_at <= 0 || a->requester->id == NULL)
		return AG_OK;
	hash_of(a->requester->id, a->operation, a->resource == NULL ? NULL :
	    a->resource->id, hash);
	place = place_of(iam, hash);
	/* When it is used it is told again. */
	if (is_it(place, hash) ? place->at >= a->decided_at :
	    place->at > a->decided_at)
		return AG_OK;
	if (place->at != 0 && !is_it(place, hash) && (err = ag_store_del(ctx,
	    IAM_T_AGREED, place->hash, HASH)) != AG_OK &&
	    err != AG_ITEM_NOT_FOUND)
		return err;
	put(iam, place, hash, a->decided_at);
	for (size_t i = 0; i < TIME_BYTES; i++)
		time[i] = (uint8_t)((uint64_t)a->decided_at >> 8 * i);
	return ag_store_put(ctx, IAM_T_AGREED, hash, HASH, time, TIME_BYTES);
}

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct iam *iam = arg;
	uint64_t at = 0;

	if (key_len != HASH || value_len != TIME_BYTES)
		return true; /* of another program; it is none */
	for (size_t i = 0; i < TIME_BYTES; i++)
		at |= (uint64_t)value[i] << 8 * i;
	if (at > 0 && at <= INT64_MAX)
		put(iam, place_of(iam, key), key, (int64_t)at);
	return true;
}

ag_err
iam_agreed_load(struct iam *iam, struct ag_ctx *ctx)
{
	return ag_store_scan(ctx, IAM_T_AGREED, NULL, 0, visit, iam);
}

void
iam_rules_agreed(struct iam *iam, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask)
{
	const struct iam_agreed *place;
	uint8_t hash[HASH];

	if (!iam->has_agreed)
		return;
	hash_of(node->id, ask->action, resource, hash);
	place = place_of(iam, hash);
	if (!is_it(place, hash) || ask->at_ms - place->at >= KEPT_MS)
		return;
	ask->has_since_approval = true;
	ask->since_approval_ms = ask->at_ms > place->at ?
	    ask->at_ms - place->at : 0;
}
