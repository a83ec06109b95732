/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nine factors, each a value from 0 (ordinary) to 1 (as odd as can be),
 * times a weight. The weights are chosen so that no two oddities together
 * reach a step-up (0.7 by default), and so that what an ordinary first day, a
 * benchmark or a batch job does stays below half of it; a stolen credential
 * that is old, broad, used from elsewhere, at another hour, in a burst and for
 * something never done before reaches 0.9.
 */
#include "score.h"

#include <string.h>

#include "../rows.h"

const char *const risk_factor_names[RISK_FACTORS] = {
	"rate", "hour", "address_set", "operation_mix", "key_set",
	"principal_kind", "credential_age", "scope_breadth", "environment",
};

const double risk_weights[RISK_FACTORS] = {
	[RISK_RATE] = 0.20,
	[RISK_HOUR] = 0.10,
	[RISK_ADDRESS_SET] = 0.20,
	[RISK_OPERATION_MIX] = 0.15,
	[RISK_KEY_SET] = 0.10,
	[RISK_PRINCIPAL_KIND] = 0.05,
	[RISK_CREDENTIAL_AGE] = 0.10,
	[RISK_SCOPE_BREADTH] = 0.05,
	[RISK_ENVIRONMENT] = 0.05,
};

static const double neutral = 0.5; /* for what is not known */

#define HOUR_MS INT64_C(3600000)

static double
clamp(double v)
{
	return v < 0 ? 0 : v > 1 ? 1 : v;
}

static unsigned
hour_of_week(int64_t at_ms)
{
	/* 1970-01-01 was a Thursday: 72 hours after Monday. */
	int64_t h = (at_ms / HOUR_MS + 72) % RISK_HOURS;

	return (unsigned)(h < 0 ? h + RISK_HOURS : h);
}

/* How much the unfamiliar counts: not at all for a newcomer. */
static double
acquaintance(const struct risk_baseline *usual)
{
	return clamp(((double)usual->learned - RISK_COLD_MIN) /
	    (RISK_COLD_FULL - RISK_COLD_MIN));
}

static double
rate(const struct risk_baseline *usual, const struct risk_request *request)
{
	double limit = 2.0 * usual->peak_per_s;

	if (limit < RISK_RATE_FLOOR)
		limit = RISK_RATE_FLOOR;
	/* 0 up to the limit, 1 from ten times it on. */
	return clamp((request->per_s / limit - 1) / 9);
}

static double
hour(const struct risk_baseline *usual, const struct risk_request *request)
{
	unsigned h = hour_of_week(request->at_ms), same = h % 24;
	uint32_t near = usual->hours[(h + RISK_HOURS - 1) % RISK_HOURS] +
	    usual->hours[(h + 1) % RISK_HOURS];

	if (usual->hour_total == 0)
		return 0;
	for (unsigned day = 0; day < 7; day++)
		near += usual->hours[day * 24 + same];
	/* Ordinary if 2 % of what it does is done about then. */
	return clamp(1 - near / (0.02 * usual->hour_total));
}

static double
address_set(const struct risk_baseline *usual, uint32_t address)
{
	for (unsigned i = 0; i < RISK_ADDRESSES; i++)
		if (usual->addresses[i] == address)
			return 0;
	return 1;
}

static double
operation_mix(const struct risk_baseline *usual, uint32_t op)
{
	uint16_t seen = usual->ops[op < RISK_OPS ? op : RISK_OPS - 1];

	if (seen == 0)
		return 1;
	return seen < 0.005 * usual->op_total ? 0.5 : 0;
}

static double
key_set(const struct risk_baseline *usual, uint32_t key)
{
	if (key == 0)
		return 0;
	for (unsigned i = 0; i < RISK_KEYS; i++)
		if (usual->keys[i] == key)
			return 0;
	/* Whose keys are often new to us (more than we remember), is known for
	 * that. */
	return clamp(1 - 4 * (double)usual->new_key_share);
}

static double
credential_age(const struct risk_request *request)
{
	/* An agent's credential lives for a day at most, others' for 30. */
	int64_t old_ms = HOUR_MS * (request->kind == RISK_AGENT ? 8 : 30 * 24);

	return clamp((double)request->credential_age_ms / (double)old_ms);
}

void
risk_score(const struct risk_baseline *usual,
    const struct risk_request *request, struct risk_score *out)
{
	static const double kinds[] = {
		[RISK_HUMAN] = 0, [RISK_SERVICE] = 0.5, [RISK_AGENT] = 1,
	};
	double known = acquaintance(usual), sum = 0;
	bool no_address = request->address == 0;
	bool no_age = request->credential_age_ms < 0;
	bool no_scope = request->scope_count == 0;
	double *v = out->values;

	v[RISK_RATE] = rate(usual, request);
	v[RISK_HOUR] = known * hour(usual, request);
	v[RISK_ADDRESS_SET] = no_address ? neutral :
	    known * address_set(usual, request->address);
	v[RISK_OPERATION_MIX] = known * operation_mix(usual, request->op);
	v[RISK_KEY_SET] = known * key_set(usual, request->key);
	v[RISK_PRINCIPAL_KIND] = kinds[request->kind];
	v[RISK_CREDENTIAL_AGE] = no_age ? neutral : credential_age(request);
	/* One scope is narrow, 32 are broad. */
	v[RISK_SCOPE_BREADTH] = no_scope ? neutral :
	    clamp((request->scope_count - 1.0) / 31);
	/* What is at stake: the same oddity is worse in prod. */
	v[RISK_ENVIRONMENT] = request->prod ? 1 : 0;
	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		out->contributions[i] = v[i] * risk_weights[i];
		sum += out->contributions[i];
	}
	/* A whole number of millionths: a threshold is met exactly. */
	out->score = (double)(int64_t)(clamp(sum) * 1e6 + 0.5) / 1e6;
	out->degraded = no_address || no_age || no_scope;
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
