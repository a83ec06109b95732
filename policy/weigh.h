/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How odd a request is, from the few facts that count: what was known of its
 * principal and what it asked for. Pure, so that a recorded decision can be made
 * again from what was recorded.
 */
#ifndef AEGIS_POLICY_WEIGH_H
#define AEGIS_POLICY_WEIGH_H

#include <stdbool.h>
#include <stdint.h>

/* Of the functions here: another number means other results. */
#define RISK_MODEL_VERSION "2"

enum {
	/* Until a principal has this many allowed requests behind it, nothing is
	 * unusual for it; from then on unfamiliarity counts more and more, and
	 * fully from RISK_COLD_FULL on. */
	RISK_COLD_MIN = 64,
	RISK_COLD_FULL = 256,
	RISK_RATE_FLOOR = 100, /* requests a second that are never a burst */
};

/* The order in which they are named in every verdict. */
enum risk_factor {
	RISK_RATE,
	RISK_HOUR,
	RISK_ADDRESS_SET,
	RISK_OPERATION_MIX,
	RISK_KEY_SET,
	RISK_PRINCIPAL_KIND,
	RISK_CREDENTIAL_AGE,
	RISK_SCOPE_BREADTH,
	RISK_ENVIRONMENT,
	RISK_FACTORS
};

enum risk_kind { RISK_HUMAN, RISK_SERVICE, RISK_AGENT };
enum risk_known { RISK_ABSENT, RISK_KNOWN, RISK_NEW };

struct ag_risk_input {
	uint32_t learned;      /* allowed requests that the principal has behind it */
	double per_s;          /* its requests a second, this one included */
	float peak_per_s;      /* its usual peak */
	uint32_t hour_near;    /* of hour_total, about this hour of the week */
	uint32_t hour_total;
	uint32_t op_seen;      /* of op_total, this operation */
	uint32_t op_total;
	enum risk_known address; /* ABSENT: unknown, neutral */
	enum risk_known key;     /* ABSENT: no existing key is named */
	float new_key_share;   /* of its key operations, moving average */
	enum risk_kind kind;
	int64_t credential_age_ms; /* < 0: unknown, neutral */
	uint32_t scope_count;  /* 0: unknown, neutral */
	bool prod;             /* environment: prod */
};

struct risk_score {
	double score; /* 0…1, in steps of a millionth */
	double values[RISK_FACTORS];        /* 0…1 */
	double contributions[RISK_FACTORS]; /* value · weight */
	bool degraded; /* something was unknown and counted as neutral */
};

extern const char *const risk_factor_names[RISK_FACTORS];
extern const double risk_weights[RISK_FACTORS]; /* sum: 1 */

void ag_risk_weigh(const struct ag_risk_input *in, struct risk_score *out);

#endif
