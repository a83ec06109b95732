/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nine factors, each a value from 0 (ordinary) to 1 (as odd as can be),
 * times a weight. The weights are chosen so that no two oddities together
 * reach a step-up (0.7 by default), and so that what an ordinary first day, a
 * benchmark or a batch job does stays below half of it; a stolen credential
 * that is old, broad, used from elsewhere, at another hour, in a burst and for
 * something never done before reaches 0.9.
 */
#include "weigh.h"

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

/* How much the unfamiliar counts: not at all for a newcomer. */
static double
acquaintance(const struct ag_risk_input *in)
{
	return clamp(((double)in->learned - RISK_COLD_MIN) /
	    (RISK_COLD_FULL - RISK_COLD_MIN));
}

static double
rate(const struct ag_risk_input *in)
{
	double limit = 2.0 * in->peak_per_s;

	if (limit < RISK_RATE_FLOOR)
		limit = RISK_RATE_FLOOR;
	/* 0 up to the limit, 1 from ten times it on. */
	return clamp((in->per_s / limit - 1) / 9);
}

static double
hour(const struct ag_risk_input *in)
{
	if (in->hour_total == 0)
		return 0;
	/* Ordinary if 2 % of what it does is done about then. */
	return clamp(1 - in->hour_near / (0.02 * in->hour_total));
}

static double
operation_mix(const struct ag_risk_input *in)
{
	if (in->op_seen == 0)
		return 1;
	return in->op_seen < 0.005 * in->op_total ? 0.5 : 0;
}

static double
key_set(const struct ag_risk_input *in)
{
	/* Whose keys are often new to us (more than we remember), is known for
	 * that. */
	return in->key == RISK_NEW ? clamp(1 - 4 * (double)in->new_key_share) : 0;
}

static double
credential_age(const struct ag_risk_input *in)
{
	/* An agent's credential lives for a day at most, others' for 30. */
	int64_t old_ms = HOUR_MS * (in->kind == RISK_AGENT ? 8 : 30 * 24);

	return clamp((double)in->credential_age_ms / (double)old_ms);
}

void
ag_risk_weigh(const struct ag_risk_input *in, struct risk_score *out)
{
	static const double kinds[] = {
		[RISK_HUMAN] = 0, [RISK_SERVICE] = 0.5, [RISK_AGENT] = 1,
	};
	double known = acquaintance(in), sum = 0;
	bool no_address = in->address == RISK_ABSENT;
	bool no_age = in->credential_age_ms < 0;
	bool no_scope = in->scope_count == 0;
	double *v = out->values;

	v[RISK_RATE] = rate(in);
	v[RISK_HOUR] = known * hour(in);
	v[RISK_ADDRESS_SET] = no_address ? neutral :
	    known * (in->address == RISK_NEW);
	v[RISK_OPERATION_MIX] = known * operation_mix(in);
	v[RISK_KEY_SET] = known * key_set(in);
	v[RISK_PRINCIPAL_KIND] = kinds[in->kind];
	v[RISK_CREDENTIAL_AGE] = no_age ? neutral : credential_age(in);
	/* One scope is narrow, 32 are broad. */
	v[RISK_SCOPE_BREADTH] = no_scope ? neutral :
	    clamp((in->scope_count - 1.0) / 31);
	/* What is at stake: the same oddity is worse in prod. */
	v[RISK_ENVIRONMENT] = in->prod ? 1 : 0;
	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		out->contributions[i] = v[i] * risk_weights[i];
		sum += out->contributions[i];
	}
	/* A whole number of millionths: a threshold is met exactly. */
	out->score = (double)(int64_t)(clamp(sum) * 1e6 + 0.5) / 1e6;
	out->degraded = no_address || no_age || no_scope;
}
