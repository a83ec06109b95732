/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The risk score: what is known of a principal, what it asks for now, and
 * how odd that is. Pure: no clock, no context, no allocation, O(1).
 */
#ifndef RISK_SCORE_H
#define RISK_SCORE_H

#include <weigh.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RISK_HOURS = 168, /* of the week, UTC; 0 is Monday, midnight */
	RISK_OPS = 128,
	RISK_ADDRESSES = 8,
	RISK_KEYS = 32,
};

/* What a principal usually does, learned from what it was allowed. A change of
 * layout is a change of RISK_BASELINE_VERSION. */
enum { RISK_BASELINE_VERSION = 3 };
struct risk_baseline {
	uint32_t version;
	uint32_t learned; /* requests, saturating */
	uint32_t hour_total;
	uint32_t op_total;
	int64_t second; /* that is being counted, since 1970 */
	uint32_t second_count;
	float peak_per_s;  /* of allowed requests, following slowly */
	float new_key_share; /* of key operations, moving average */
	uint32_t key_next;  /* where the ring is written next */
	uint32_t addresses[RISK_ADDRESSES];
	uint32_t address_stamps[RISK_ADDRESSES];
	uint32_t keys[RISK_KEYS]; /* a ring */
	uint16_t hours[RISK_HOURS];
	uint16_t ops[RISK_OPS];
};

/* One request. Hashes are rows_hash's; 0 means "not there". */
struct risk_request {
	int64_t at_ms;
	double per_s;      /* its principal's requests a second, this one included */
	uint32_t op;       /* < RISK_OPS */
	uint32_t address;  /* habit_network; 0: unknown, neutral */
	uint32_t key;      /* 0: no existing key is named */
	enum risk_kind kind;
	int64_t credential_age_ms; /* < 0: unknown, neutral */
	uint32_t scope_count;      /* 0: unknown, neutral */
	uint32_t items;
	bool prod; /* environment: prod */
};

/* The facts that count, of what is usual and what is asked. */
void risk_look(const struct risk_baseline *usual,
    const struct risk_request *request, struct ag_risk_input *out);
/* risk_look, then ag_risk_weigh. */
void risk_score(const struct risk_baseline *usual,
    const struct risk_request *request, struct risk_score *out);
/* Takes an allowed request into the baseline. */
void risk_learn(struct risk_baseline *usual, const struct risk_request *request);

/* The live rate: of requests, whatever became of them. Never stored. */
struct risk_pulse {
	uint64_t second;
	uint32_t now;
	uint32_t before;
};
/* Counts n requests at this monotonic time; how many came in the second up to
 * it. */
double risk_pulse(struct risk_pulse *pulse, uint64_t mono_ms, uint32_t n);

#endif
