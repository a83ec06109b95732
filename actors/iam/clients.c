/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client secrets: how a service that has no token gets one. The secret is made
 * here, shown once, and kept as its Argon2id hash only. Hashing is slow on
 * purpose, so it is done by the worker, IAM_HASHES_MAX at a time; who comes
 * beyond is asked to come again.
 */
#include "attached.h"
#include "call.h"
#include "credentials.h"
#include "exec.h"
#include "factors.h"
#include "phc.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECRET_BYTES = 32,  /* base64url: 43 characters */
	SECRET_MAX = 128,   /* of what a client says that its secret is */
	BASIC_MAX = 512,    /* characters of base64 */
	TOKEN_TTL_S = 3600,
	RETRY_S = 1,
};

static const struct iam_noun service_noun = { iam_principal_find, "principal" };

/* What the worker gets, and gives back. */
struct job {
	char id[AG_ID_SIZE]; /* "": of nobody */
	struct ag_secret *secret;
	char phc[IAM_PHC_SIZE];
};

static void
job_free(struct iam *iam, struct job *job)
{
	if (iam != NULL)
		iam->hashing--;
	ag_secret_free(&job->secret);
	free(job);
}

/* Takes the job in any case. */
static ag_err
hash(struct iam *iam, struct ag_ctx *ctx, ag_err (*work)(void *job),
    struct job *job, ag_then *then)
{
	ag_err err = AG_FULL;

	if (iam->hashing < IAM_HASHES_MAX)
		err = ag_work(ctx, work, job, then);
	if (err == AG_PENDING) {
		iam->hashing++;
		return err;
	}
	job_free(NULL, job);
	if (err != AG_FULL)
		return err;
	ag_refuse_retry(ctx, RETRY_S);
	return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
	    "Too many client secrets are being checked.");
}

/* ------------------------------------------------------ what the facts say */

static ag_err
take(struct iam_node *node, const void *msg)
{
	const Ag__ClientSecretFact *fact = msg;

	if (fact->phc == NULL) {
		free(node->client);
		node->client = NULL;
		return AG_OK;
	}
	if (!iam_phc_valid(fact->phc))
		return AG_CORRUPT;
	if (node->client == NULL &&
	    (node->client = calloc(1, sizeof(*node->client))) == NULL)
		return AG_NO_MEMORY;
	strcpy(node->client->phc, fact->phc);
	return AG_OK;
}

static void
show(Ag__Principal *p, const void *msg)
{
	const Ag__ClientSecretFact *fact = msg;

	p->has_client_secret_at = fact->phc != NULL;
	p->client_secret_at = fact->at;
}

static bool
is_there(const struct iam_node *node)
{
	return node->client != NULL;
}

static const struct iam_attached client_secret = {
	.fact = AG_MSG_CLIENT_SECRET_FACT,
	.table = IAM_T_CLIENTS,
	.show = show,
	.take = take,
	.is_there = is_there,
};

ag_err
iam_client_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__ClientSecretFact *fact = r->fact;
	struct iam_node *node;

	return iam_attached_apply(iam, ctx, &client_secret, fact->principal_id,
	    fact->at, r, &node);
}

ag_err
iam_client_take(struct iam *iam, const Ag__ClientSecretFact *fact)
{
	struct iam_node *node = iam_node_find(iam, fact->principal_id);

	return node == NULL ? AG_CORRUPT : take(node, fact);
}

/* -------------------------------------------------------------- made, taken */

static ag_err
service_subject(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *caller,
    struct iam_node **node)
{
	static const Ag__TokenIssueAsk everything = AG__TOKEN_ISSUE_ASK__INIT;
	ag_err err = iam_subject(&service_noun, iam, ctx, caller, true, node);

	if (err != AG_OK)
		return err;
	if ((*node)->kind != AG__KIND__V__service)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "Only services have a client secret.");
	if ((*node)->state != IAM_LIVE)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The principal is not active.");
	/* It is good for tokens with all that the service may. */
	return iam_token_reach(iam, ctx, caller, *node, &everything);
}

static void
sign_off(struct ag_ctx *ctx, const struct iam_node *node,
    Ag__ClientSecretFact *fact)
{
	fact->principal_id = (char *)(uintptr_t)node->id;
	fact->at = ag_now_ms(ctx);
	fact->by = ag_grant(ctx)->actor_id;
}

/* The client gets the text; the text is what is hashed. */
static ag_err
make_work(void *arg)
{
	struct job *job = arg;

	return iam_phc_make(job->secret, job->phc);
}

static ag_err
on_made(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	struct job *job = memo;
	Ag__ClientSecretFact fact = AG__CLIENT_SECRET_FACT__INIT;
	Ag__ClientSecretReply reply = AG__CLIENT_SECRET_REPLY__INIT, replay;
	struct iam_node *node = iam_node_find(iam, job->id);
	ag_err err = status;

	if (err == AG_OK && (node == NULL || node->state != IAM_LIVE))
		err = AG_CONFLICT;
	if (err == AG_OK) {
		fact.phc = job->phc;
		reply.client_id = job->id;
		reply.created_at = ag_now_ms(ctx);
		replay = reply;
		reply.client_secret = ag_alloc(ctx, ag_secret_len(job->secret) + 1);
		if (reply.client_secret == NULL)
			err = AG_NO_MEMORY;
	}
	if (err == AG_OK) {
		memcpy(reply.client_secret, ag_secret_bytes(job->secret),
		    ag_secret_len(job->secret));
		sign_off(ctx, node, &fact);
		err = iam_attached_persist(ctx, &client_secret, node, &fact,
		    &reply, &replay, NULL);
	}
	job_free(iam, job);
	return err;
}

static ag_err
new_secret(struct ag_secret **out)
{
	char text[2 * SECRET_BYTES];
	uint8_t bytes[SECRET_BYTES];
	ag_err err = AG_GENERAL_FAILURE;

	if (RAND_priv_bytes(bytes, sizeof(bytes)) == 1) {
		ag_base64url(bytes, sizeof(bytes), text);
		err = ag_secret_copy(text, strlen(text), out);
	}
	ag_wipe(bytes, sizeof(bytes));
	ag_wipe(text, sizeof(text));
	return err;
}

ag_err
iam_on_client_secret(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	struct job *job;
	ag_err err = service_subject(iam, ctx, &caller, &node);

	if (err != AG_OK)
		return err;
	if ((job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	strcpy(job->id, node->id);
	if ((err = new_secret(&job->secret)) != AG_OK) {
		job_free(NULL, job);
		return err;
	}
	return hash(iam, ctx, make_work, job, on_made);
}

ag_err
iam_on_client_secret_remove(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ReasonAsk *ask = msg;
	Ag__ClientSecretFact fact = AG__CLIENT_SECRET_FACT__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	Ag__Principal *after;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK || (err = iam_subject(
	    &service_noun, state, ctx, &caller, true, &node)) != AG_OK)
		return err;
	if (node->client == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no client secret.");
	fact.reason = ask->reason;
	sign_off(ctx, node, &fact);
	after = iam_attached_view(ctx, &client_secret, node, &fact, fact.at,
	    node->version + 1);
	return after == NULL ? AG_NO_MEMORY : iam_attached_persist(ctx,
	    &client_secret, node, &fact, after, NULL, NULL);
}

/* ----------------------------------------------------------------- checked */

/* RFC 7617: base64 of "<id>:<secret>". What is no such text names nobody. */
static bool
read_basic(const char *text, char id[AG_ID_SIZE], struct ag_secret **secret)
{
	uint8_t plain[BASIC_MAX];
	const uint8_t *colon;
	size_t len = strlen(text), n, rest;
	bool good = false;

	if (len > BASIC_MAX ||
	    !ag_base64_parse(text, len, plain, sizeof(plain), &n))
		return false;
	colon = memchr(plain, ':', n);
	rest = colon == NULL ? 0 : n - (size_t)(colon + 1 - plain);
	if (rest > 0 && rest <= SECRET_MAX && colon - plain < AG_ID_SIZE) {
		memcpy(id, plain, (size_t)(colon - plain));
		id[colon - plain] = '\0';
		good = ag_id_valid(id, "svc") &&
		    ag_secret_copy(colon + 1, rest, secret) == AG_OK;
	}
	ag_wipe(plain, sizeof(plain));
	return good;
}

static ag_err
check_work(void *arg)
{
	struct job *job = arg;

	return iam_phc_match(job->phc, job->secret) ? AG_OK : AG_UNAUTHENTICATED;
}

/* Nobody, a wrong secret, and one that was replaced meanwhile look alike. */
static ag_err
judge(struct call *c, const struct job *job, ag_err status)
{
	struct iam_node *node = iam_node_find(c->iam, job->id);
	struct iam_token wrong = { .node = node };
	ag_err err;

	if (status == AG_OK && node != NULL && node->client != NULL &&
	    strcmp(node->client->phc, job->phc) == 0) {
		err = iam_call_assume(c, node, "client_secret");
		return err != AG_OK ? err : iam_call_go_on(c);
	}
	c->token = &wrong; /* whose account it counts against */
	err = iam_unauthenticated(c, "invalid_client",
	    "The client is not known, or its secret is wrong.");
	c->token = NULL;
	return err;
}

static ag_err
on_checked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct job *job = memo;
	ag_err err = status;
	struct call *c;

	if (status == AG_OK || status == AG_UNAUTHENTICATED) {
		c = iam_call_new(state, ctx);
		err = c == NULL ? AG_NO_MEMORY : judge(c, job, status);
	}
	job_free(state, job);
	return err;
}

ag_err
iam_client_authenticate(struct call *c)
{
	const char *text = c->rq->credential;
	struct iam_node *node;
	struct job *job;
	ag_err err;

	if (text == NULL)
		return iam_unauthenticated(c, "token_missing", NULL);
	if ((err = iam_guard_address(c)) != AG_OK)
		return err;
	if ((job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	if (!read_basic(text, job->id, &job->secret)) {
		job_free(NULL, job);
		return iam_unauthenticated(c, "token_malformed", NULL);
	}
	node = iam_node_find(c->iam, job->id);
	if (node != NULL && (err = iam_guard_account(c, node)) != AG_OK) {
		job_free(NULL, job);
		return err;
	}
	strcpy(job->phc, node != NULL && node->client != NULL ?
	    node->client->phc : iam_phc_nobody);
	return hash(c->iam, c->ctx, check_work, job, on_checked);
}

/* --------------------------------------------------------------- exchanged */

/* RFC 6749 §3.3: separated by single spaces. */
static ag_err
read_scope(struct ag_ctx *ctx, const char *text, Ag__TokenIssueAsk *out)
{
	char *copy = ag_strdup(ctx, text), *word, *rest = copy;

	out->scopes = iam_array(ctx, IAM_SCOPES_MAX + 1);
	if (copy == NULL || out->scopes == NULL)
		return AG_NO_MEMORY;
	while ((word = strsep(&rest, " ")) != NULL &&
	    out->n_scopes <= IAM_SCOPES_MAX)
		out->scopes[out->n_scopes++] = word;
	return iam_token_scopes(ctx, out, "/scope");
}

static ag_err
token_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	Ag__ClientTokenReply reply = AG__CLIENT_TOKEN_REPLY__INIT;
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);
	const Ag__ClientTokenAsk *ask = ag_unpack(ctx,
	    &ag__client_token_ask__descriptor, body, len);

	(void)iam;
	if (ask == NULL)
		return AG_NO_MEMORY;
	reply.token_type = (char *)"Bearer";
	reply.access_token = draft->token;
	reply.expires_in = TOKEN_TTL_S;
	reply.scope = ask->scope;
	reply.jti = draft->jti;
	reply.issued_at = draft->issued_at;
	reply.expires_at = draft->expires_at;
	ag_metric_add(ctx, IAM_M_EXCHANGES, 1);
	return iam_token_persist(ctx, draft, &reply, NULL);
}

ag_err
iam_on_client_token(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__ClientTokenAsk *ask = msg;
	Ag__TokenIssueAsk issue = AG__TOKEN_ISSUE_ASK__INIT;
	struct iam_caller caller;
	struct iam_draft *draft = NULL;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if (strcmp(ask->grant_type, "client_credentials") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/grant_type", "client_credentials is what there is.");
	if (ask->scope != NULL &&
	    (err = read_scope(ctx, ask->scope, &issue)) != AG_OK)
		return err;
	if ((err = iam_token_reach(iam, ctx, &caller, caller.node, &issue)) !=
	    AG_OK || (err = iam_quota_check(iam, ctx, caller.tenant,
	    IAM_C_TOKENS)) != AG_OK)
		return err;
	err = iam_token_draft(iam, ctx, caller.node, &issue, TOKEN_TTL_S, NULL,
	    &draft);
	return draft == NULL ? err :
	    iam_draft_sign(iam, ctx, draft, token_signed);
}
