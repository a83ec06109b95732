/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which action a recommendation calls for: the first rule that fits, what it
 * acts on, and whether it may be done at all (dry run, cap per minute).
 */
#ifndef RESPONDER_RULES_H
#define RESPONDER_RULES_H

#include <aegis/aegis.h>

enum { RULES_MAX = 256, ACTIONS_A_MINUTE_MAX = 10000 };

enum rule_target {
	TARGET_NOTHING, /* say it, do nothing */
	TARGET_AGENT,   /* the agent itself (iam) */
	TARGET_TOP,     /* the agent next to the root of its chain (iam) */
	TARGET_KEY,     /* the key it used (its shard) */
	TARGET_ACTOR,   /* whoever it was (risk) */
};

struct rule {
	const char *detector;
	Ag__Severity__V severity; /* 0: any */
	Ag__Kind__V kind;         /* 0: any */
	const char *action;
};

struct rules {
	bool dry_run;
	unsigned a_minute; /* max_actions_per_minute */
	size_t count;
	struct rule rules[RULES_MAX];
	/* When the last a_minute actions were done: a ring. */
	uint64_t acted_ms[ACTIONS_A_MINUTE_MAX];
	uint64_t acted;
};

struct decision {
	const char *action;     /* "alert" if nothing is to be done */
	const char *instead_of; /* what was called for and is not done, or NULL */
	enum rule_target target;
	const char *id;         /* of the target */
	bool dry_run;
};

/* From the configuration; the defaults of the contract if it has no rules. */
void rules_read(struct rules *rules, struct ag_ctx *ctx);
void rules_decide(const struct rules *rules, const Ag__Recommendation *r,
    uint64_t mono_ms, struct decision *out);
/* An action was begun (it counts for the cap); or could not be done after
 * all. */
void rules_count(struct rules *rules, uint64_t mono_ms);
void rules_uncount(struct rules *rules);

#endif
