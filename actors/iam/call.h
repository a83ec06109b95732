/* SPDX-License-Identifier: Apache-2.0 */
/* One request while the station judges it: shared by authn.c, which finds out
 * who it is, and station.c, which decides. */
#ifndef AEGIS_ACTORS_IAM_CALL_H
#define AEGIS_ACTORS_IAM_CALL_H

#include "iam.h"
#include "shares.h"

enum { RATE_TEXT = 64 };

/* In the turn's arena, as the grant is. */
struct call {
	struct iam *iam;
	struct ag_ctx *ctx;
	const struct ag_operation *op;
	const Ag__Request *rq;
	int64_t now;
	uint64_t mono;
	struct iam_node *node;
	struct iam_token *token;
	/* What it is about, if it is known. */
	struct iam_key *key;
	struct iam_node *subject;
	struct iam_token *subject_token;
	struct ag_scope_target target;
	struct ag_scope_label server; /* of a tool */
	char server_name[AG_NAME_MAX + 1];
	bool found;
	bool free; /* everybody may: no scope is needed */
	bool wants_step_up; /* a policy does */
	const struct ag_rules_ask *counted; /* NULL: policies look at no counts */
	const struct ag_rules_ask *tracked; /* NULL: nor at what is under way */
	const char *scope_op;
	const Ag__ApprovalRequestAsk *ahead; /* it is asked about: nothing is done */
	struct call *about; /* approval.request: what it asks ahead of */
	uint32_t items;
	Ag__Grant grant;
	char new_id[AG_ID_SIZE];
	char *rate[2];
	char rate_text[RATE_TEXT];
	uint32_t least_left; /* of the window that is told */
	struct iam_share *principal_share, *key_share;
	uint8_t body_digest[32], step_up_digest[32];
};

/* Signs the grant, so that the refusal that follows names the actor. */
ag_err iam_call_sign(struct call *c) AG_MUST;
#define REFUSE(c, ...) \
	(iam_call_sign(c) == AG_OK ? ag_refuse((c)->ctx, __VA_ARGS__) : \
	    AG_GENERAL_FAILURE)

/* The request of the trip that is worked on, nobody's yet; NULL: no memory. */
struct call *iam_call_new(struct iam *iam, struct ag_ctx *ctx);
/* It is known who it is: what else must be checked, and on. */
ag_err iam_call_go_on(struct call *c) AG_MUST;
/* Somebody who proved it without a token of ours; issuer lasts. */
ag_err iam_call_assume(struct call *c, struct iam_node *node, const char *issuer)
    AG_MUST;
/* clients.c: AG_PENDING, and then the request goes on or is refused. */
ag_err iam_client_authenticate(struct call *c) AG_MUST;
/* prompts.c: the hash of what the host says was asked of the model. */
ag_err iam_prompt(struct call *c) AG_MUST;
/* 401; detail NULL: the usual words. */
ag_err iam_unauthenticated(struct call *c, const char *reason,
    const char *detail);
/* issuers.c: a token that is not ours; c->token, or why not. */
ag_err iam_foreign(struct call *c, const struct iam_jwt *jwt,
    const uint8_t hash[32]) AG_MUST;
/* guard.c: has this address, or this account, been wrong too often? */
ag_err iam_guard_address(struct call *c) AG_MUST;
ag_err iam_guard_account(struct call *c, const struct iam_node *node) AG_MUST;
/* It was wrong once more. */
void iam_guard_failed(struct call *c);
/* callback.c: a click on a button; c->token is whose it is. */
ag_err iam_callback_take(struct call *c) AG_MUST;
/* Credential, standing: who it is. */
ag_err iam_authenticate(struct call *c) AG_MUST;
/* Every link's max_uses is set aside in the journal; AG_PENDING: the trip
 * waits for that, and comes again. */
ag_err iam_uses_ready(struct call *c) AG_MUST;
/* The last check: takes what was set aside. */
ag_err iam_check_uses(struct call *c) AG_MUST;
ag_err iam_check_networks(struct call *c) AG_MUST;
ag_err iam_limit_principal(struct call *c) AG_MUST;
/* 429; reason: whose rate it is. */
ag_err iam_limited(struct call *c, const char *reason,
    const struct iam_room *room) AG_MUST;
/* Only looked at: a refusal below must not use up others' share. */
ag_err iam_limit_key(struct call *c) AG_MUST;
/* The tenant's policies, above the floor of scopes. */
ag_err iam_check_policies(struct call *c) AG_MUST;
/* needs.c: so many people of this role must agree. AG_FULL: too many groups. */
ag_err iam_need(struct call *c, const char *group, unsigned quorum,
    unsigned window_s, const char *rule) AG_MUST;
/* access.c: may it be had for a while, and who must agree? */
ag_err iam_access_asked(struct call *c) AG_MUST;
/* Whose agreement policies want; into the grant. */
ag_err iam_needs_ruled(struct call *c, const struct ag_rules_answer *answer)
    AG_MUST;
/* The body of what it is about, ahead of its request or not. */
const uint8_t *iam_call_body(struct call *c, size_t *len);
/* station.c: would it be admitted, as far as its needs? Into its grant. */
ag_err iam_call_ahead(struct call *c) AG_MUST;
/* The same of the configuration, and which approval the request brings. */
ag_err iam_check_needs(struct call *c) AG_MUST;
/* May its key be used now? */
ag_err iam_check_hours(struct call *c) AG_MUST;
/* evaluate.c: the very last: what others' policies say, and on. */
ag_err iam_evaluate(struct call *c) AG_MUST;
/* On, to risk. */
ag_err iam_pass(struct call *c) AG_MUST;
/* ruling.c: what policies are asked; NULL: nothing. In the turn's memory. */
ag_err iam_rules_about(struct call *c, struct ag_rules_ask **ask) AG_MUST;
/* And from there? */
ag_err iam_check_residency(struct call *c) AG_MUST;
/* It is admitted: counts it, if policies look at what was. */
void iam_policies_take(struct call *c);
/* glass.c: is what it says of a broken glass so? Into the grant. */
ag_err iam_check_glass(struct call *c) AG_MUST;
/* Does it end something, and may that be done? */
ag_err iam_check_end(struct call *c) AG_MUST;
/* Which key it is to be broken for, and may it be at all? */
ag_err iam_glass_opening(struct call *c) AG_MUST;
/* Has it the second factor that a policy wants? */
ag_err iam_check_wanted(struct call *c) AG_MUST;
/* Refuses with a challenge, or says why there can be none. */
ag_err iam_step_up_asked(struct call *c) AG_MUST;
/* Whether its code was used on another node is known; AG_PENDING: the request
 * waits for that, and comes again. */
ag_err iam_step_up_ready(struct call *c) AG_MUST;
/* A person's answer to a challenge, if the request brings one. */
ag_err iam_check_step_up(struct call *c) AG_MUST;

#endif
