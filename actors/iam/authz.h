/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about what would be decided, and the opinions that answer them:
 * authz.c makes them, explain.c says why and lists them.
 */
#ifndef AEGIS_IAM_AUTHZ_H
#define AEGIS_IAM_AUTHZ_H

#include "iam.h"
#include "reach.h"
#include "ruling.h"

/* A question, with all names resolved. */
struct question {
	struct iam_node *node;
	const struct iam_token *token; /* the caller's own; else NULL */
	const struct ag_operation *op;
	const struct iam_key *key;
	const struct iam_node *subject;
	struct ag_scope_target target;
	bool found;
	struct iam_rules_query rules;
	int64_t now;
	bool sees_honey;
};

/* The answer: what is refused, by what, or what policies said. */
struct opinion {
	enum ag_rules_decision decision;
	const char *reason_code, *rule;
	bool asked; /* policies were */
	struct iam_trail trail;
	struct iam_rules_room room;
	struct ag_rules_ask ask;
	struct ag_rules_answer answer; /* good until the next decision */
	const struct ag_rules *set;
};

/* Why a question cannot be answered. */
struct trouble {
	const char *reason_code, *field, *detail;
};

/* Resolves the names of what was asked. False: *t says what is wrong. */
bool iam_question_of(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__AuthzCheckAsk *ask,
    struct question *q, struct trouble *t);
/* From where and when: what was said, else the caller's own. */
void iam_question_context(struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AuthzContext *said, struct iam_rules_query *out);
void iam_opinion_form(struct iam *iam, struct ag_ctx *ctx,
    const struct question *q, struct opinion *out);
/* In the words of the answer; in the turn's memory. */
ag_err iam_opinion_say(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const struct opinion *o, Ag__AuthzCheckReply *out) AG_MUST;
/* Question and opinion of a request in one. *o: in the turn's memory. */
ag_err iam_opinion_asked(void *state, struct ag_ctx *ctx, const void *msg,
    struct iam_caller *caller, struct question *q, struct opinion **o) AG_MUST;

#endif
