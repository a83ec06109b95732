/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a principal's habits counts for a request, and how they are learned.
 * How much it counts is policy's (policy/weigh.c).
 */
#include "score.h"

#include <string.h>

#include "../rows.h"

#define HOUR_MS INT64_C(3600000)

static unsigned
hour_of_week(int64_t at_ms)
{
	/* 1970-01-01 was a Thursday: 72 hours after Monday. */
	int64_t h = (at_ms / HOUR_MS + 72) % RISK_HOURS;

	return (unsigned)(h < 0 ? h + RISK_HOURS : h);
}

/* What it did about that hour of the week, or that hour of any day. */
static uint32_t
hour_near(const struct risk_baseline *usual, int64_t at_ms)
{
	unsigned h = hour_of_week(at_ms), same = h % 24;
	uint32_t near = usual->hours[(h + RISK_HOURS - 1) % RISK_HOURS] +
	    usual->hours[(h + 1) % RISK_HOURS];

	for (unsigned day = 0; day < 7; day++)
		near += usual->hours[day * 24 + same];
	return near;
}

static enum risk_known
known_among(const uint32_t *set, unsigned size, uint32_t one)
{
	if (one == 0)
		return RISK_ABSENT;
	for (unsigned i = 0; i < size; i++)
		if (set[i] == one)
			return RISK_KNOWN;
	return RISK_NEW;
}

void
risk_look(const struct risk_baseline *usual,
    const struct risk_request *request, struct ag_risk_input *out)
{
	uint32_t op = request->op < RISK_OPS ? request->op : RISK_OPS - 1;

	*out = (struct ag_risk_input){
		.learned = usual->learned,
		.per_s = request->per_s,
		.peak_per_s = usual->peak_per_s,
		.hour_near = hour_near(usual, request->at_ms),
		.hour_total = usual->hour_total,
		.op_seen = usual->ops[op],
		.op_total = usual->op_total,
		.address = known_among(usual->addresses, RISK_ADDRESSES,
		    request->address),
		.key = known_among(usual->keys, RISK_KEYS, request->key),
		.new_key_share = usual->new_key_share,
		.kind = request->kind,
		.credential_age_ms = request->credential_age_ms,
		.scope_count = request->scope_count,
		.prod = request->prod,
	};
}

void
risk_score(const struct risk_baseline *usual,
    const struct risk_request *request, struct risk_score *out)
{
	struct ag_risk_input in;

	risk_look(usual, request, &in);
	ag_risk_weigh(&in, out);
}

/* Adds n to one bucket of a histogram; halves them all before one overflows,
 * which also lets old habits fade. */
static void
count(uint16_t *buckets, unsigned size, unsigned i, uint32_t n, uint32_t *total)
{
	if (n > UINT16_MAX / 2)
		n = UINT16_MAX / 2;
	if (buckets[i] + n > UINT16_MAX) {
		*total = 0;
		for (unsigned j = 0; j < size; j++) {
			buckets[j] = (uint16_t)((buckets[j] + 1u) / 2);
			*total += buckets[j];
		}
	}
	buckets[i] = (uint16_t)(buckets[i] + n);
	*total += n;
}

static void
learn_rate(struct risk_baseline *usual, int64_t at_ms, uint32_t n)
{
	int64_t second = at_ms / 1000;

	if (second > usual->second) {
		float gap = (float)usual->second_count - usual->peak_per_s;

		usual->peak_per_s += gap * (gap > 0 ? 0.25f : 0.002f);
		usual->second = second;
		usual->second_count = 0;
	}
	usual->second_count += n;
}

static void
learn_address(struct risk_baseline *usual, uint32_t address)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < RISK_ADDRESSES; i++) {
		if (usual->addresses[i] == address) {
			usual->address_stamps[i] = usual->learned;
			return;
		}
		if (usual->address_stamps[i] < usual->address_stamps[oldest])
			oldest = i;
	}
	usual->addresses[oldest] = address;
	usual->address_stamps[oldest] = usual->learned;
}

static void
learn_key(struct risk_baseline *usual, uint32_t key)
{
	for (unsigned i = 0; i < RISK_KEYS; i++)
		if (usual->keys[i] == key) {
			usual->new_key_share *= 0.95f;
			return;
		}
	usual->new_key_share += (1 - usual->new_key_share) * 0.05f;
	usual->keys[usual->key_next % RISK_KEYS] = key;
	usual->key_next = (usual->key_next + 1) % RISK_KEYS;
}

void
risk_learn(struct risk_baseline *usual, const struct risk_request *request)
{
	uint32_t n = request->items > 0 ? request->items : 1;
	unsigned op = request->op < RISK_OPS ? request->op : RISK_OPS - 1;

	usual->version = RISK_BASELINE_VERSION;
	if (usual->learned < UINT32_MAX)
		usual->learned++;
	count(usual->hours, RISK_HOURS, hour_of_week(request->at_ms), n,
	    &usual->hour_total);
	count(usual->ops, RISK_OPS, op, n, &usual->op_total);
	learn_rate(usual, request->at_ms, n);
	if (request->address != 0)
		learn_address(usual, request->address);
	if (request->key != 0)
		learn_key(usual, request->key);
}

double
risk_pulse(struct risk_pulse *pulse, uint64_t mono_ms, uint32_t n)
{
	uint64_t second = mono_ms / 1000;

	if (second != pulse->second) {
		pulse->before = second == pulse->second + 1 ? pulse->now : 0;
		pulse->now = 0;
		pulse->second = second;
	}
	pulse->now += n;
	/* The part of the second before that is still within one second. */
	return pulse->now +
	    pulse->before * (double)(999 - mono_ms % 1000) / 1000;
}
