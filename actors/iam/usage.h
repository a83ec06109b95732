/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each agent did, by hour and operation: counted from the audit log, in
 * the same commit as the place in it, so that the counters are what the log
 * says whatever died meanwhile.
 */
#ifndef AEGIS_ACTORS_IAM_USAGE_H
#define AEGIS_ACTORS_IAM_USAGE_H

#include <aegis/aegis.h>

enum {
	IAM_USAGE_PENDING_MAX = 256, /* rows counted in a turn, power of two */
	IAM_USAGE_KEY_MAX = 128,
	IAM_USAGE_OPERATION = 48,    /* bytes of its name, with NUL */
};

enum iam_usage_count {
	IAM_U_ALLOWED, IAM_U_DENIED, IAM_U_FAILED, IAM_U_UNKNOWN, /* requests */
	IAM_U_LATE,  /* late outcomes of unknown ones */
	IAM_U_ITEMS, /* operations that were allowed; a batch's are its items */
	IAM_U_COUNTS,
};

struct iam_usage_row {
	char agent[AG_ID_SIZE]; /* "": free */
	char operation[IAM_USAGE_OPERATION];
	uint32_t hour; /* since 1970 */
	uint64_t counts[IAM_U_COUNTS];
};

struct iam_usage {
	struct iam_usage_row pending[IAM_USAGE_PENDING_MAX];
	unsigned used;
	int64_t kept_ms;
	uint8_t sweep_at[IAM_USAGE_KEY_MAX]; /* the next row to look at */
	size_t sweep_len;
};

void iam_usage_init(struct iam_usage *usage, struct ag_ctx *ctx);
/* An agent's request or late outcome. */
ag_err iam_usage_event(struct iam_usage *usage, struct ag_ctx *ctx,
    const Ag__Event *event) AG_MUST;
/* To the store: before every commit. */
ag_err iam_usage_flush(struct iam_usage *usage, struct ag_ctx *ctx) AG_MUST;
/* Removes a few rows that are older than limits.usage_kept_s. */
void iam_usage_sweep(struct iam_usage *usage, struct ag_ctx *ctx);

ag_handler iam_on_agent_usage;

#endif
