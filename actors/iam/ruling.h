/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ruling.c: what is asked of policies, and what else is looked at before a key is
 * used: its hours, its region, what people agreed to lately.
 */
#ifndef AEGIS_ACTORS_IAM_RULING_H
#define AEGIS_ACTORS_IAM_RULING_H

#include "iam.h"

struct iam_rules_query {
	const struct iam_node *node; /* who asks */
	const struct ag_operation *op;
	const char *scope_op;        /* a batch: its items' */
	const struct iam_key *key;
	const struct iam_node *subject;
	const char *selector;        /* as it was written; NULL: none */
	int64_t now, credential_age_ms;
	const char *source, *plane;
	bool stepped_up, break_glass, tracked;
	uint32_t items;
	bool has_since_step_up;
	int64_t since_step_up_ms;
	bool has_since_approval;
	int64_t since_approval_ms;
	int64_t bytes; /* of the body */
	bool has_under_way; /* else it is what it is */
	int64_t under_way;
	bool has_recent; /* the same */
	struct ag_rules_recent recent;
};
struct iam_rules_room { /* what the ask borrows */
	const char *roles[IAM_ROLES_MAX], *party_roles[IAM_ROLES_MAX];
	char action[64];
};
/* Is it a question for policies at all? out borrows q and room. */
bool iam_rules_ask(const struct iam_rules_query *q, struct iam_rules_room *room,
    struct ag_rules_ask *out);
/* Do the tenant's policies still let what was opened go on? */
ag_err iam_rules_stand(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__StandingAsk *said) AG_MUST;
/* Since its last second factor. */
void iam_rules_step_up(const struct iam_node *node, int64_t now,
    struct iam_rules_query *q);
/* What was admitted lately, if the set in force looks at it. resource: an id;
 * NULL: none. real: ask is a request, not a question about one. */
void iam_rules_recent(struct iam *iam, const struct ag_rules *rules,
    struct iam_node *node, const char *resource, bool real,
    struct ag_rules_ask *ask);
/* The same of what is under way. */
void iam_rules_under_way(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_rules *rules, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask);
ag_err iam_on_request_ended(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- hours.c: when a key may be used */
ag_err iam_hours_read(struct iam_key *key) AG_MUST;
bool iam_hours_open(struct iam *iam, const struct iam_key *key,
    const char *action, int64_t now);

/* ---- agreed.c: to what people agreed lately */
struct iam_agreed {
	uint8_t hash[32]; /* of principal, operation, resource */
	int64_t at;       /* 0: a free place */
};
ag_err iam_agreed_init(struct iam *iam) AG_MUST;
ag_err iam_agreed_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_agreed_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
/* Says it in the ask. resource: an id; NULL: none. */
void iam_rules_agreed(struct iam *iam, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask);

/* ---- evaluate.c: others' policies (opa.url) */
void iam_evaluate_init(struct iam *iam, struct ag_ctx *ctx);

/* ---- residency.c: from where a key may be used */
ag_err iam_regions_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_regions_fini(struct iam *iam);
/* address NULL: it is not known, and so in no region. */
bool iam_resides(const struct iam *iam, const struct iam_key *key,
    const char *action, const char *address);

#endif
