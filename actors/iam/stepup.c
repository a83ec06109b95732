/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step-up: risk (or an operation of iam's own) wants a second factor of a
 * person. The request is refused with a challenge; when the identical request
 * (operation, selector, body) comes back with the challenge and a good code, or
 * with one that was answered by itself (by a code or a FIDO2 key), its grant
 * says so, and it runs once. Challenges are in memory only: one that
 * a restart of iam forgot is answered as one that expired.
 */
#include "call.h"
#include "exec.h"
#include "factors.h"
#include "webauthn.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum { METHOD_AT = AG_ID_SIZE - 4 /* of "chl_" + 32 hex */ };

/* ---------------------------------------------------------------- the table */

/* enrols: of a key that is being enrolled, not of a request. */
static struct iam_challenge *
find(struct iam *iam, const char *id, bool enrols)
{
	for (size_t i = 0; i < IAM_CHALLENGES_MAX; i++)
		if (strcmp(iam->challenges[i].id, id) == 0)
			return (iam->challenges[i].name[0] != '\0') == enrols ?
			    &iam->challenges[i] : NULL;
	return NULL;
}

static struct iam_challenge *
challenge_find(struct iam *iam, const char *id)
{
	return find(iam, id, false);
}

/* A free or expired one; else this principal's oldest if it has its share;
 * else the oldest of all. */
static struct iam_challenge *
challenge_slot(struct iam *iam, const struct iam_node *node, int64_t now)
{
	struct iam_challenge *free_one = NULL, *oldest = iam->challenges,
	    *own = NULL;
	unsigned count = 0;

	for (size_t i = 0; i < IAM_CHALLENGES_MAX; i++) {
		struct iam_challenge *c = &iam->challenges[i];

		if (c->id[0] == '\0' || c->expires_at <= now) {
			free_one = c;
			continue;
		}
		if (c->expires_at < oldest->expires_at)
			oldest = c;
		if (c->node != node)
			continue;
		count++;
		if (own == NULL || c->expires_at < own->expires_at)
			own = c;
	}
	return count >= IAM_CHALLENGES_EACH ? own :
	    free_one != NULL ? free_one : oldest;
}

static struct iam_challenge *
challenge_make(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node)
{
	int64_t now = ag_now_ms(ctx);
	struct iam_challenge *c = challenge_slot(iam, node, now);

	memset(c, 0, sizeof(*c));
	ag_id_new(ctx, "chl", c->id);
	if (RAND_bytes(c->nonce, sizeof(c->nonce)) != 1)
		ag_panic("no random bytes");
	c->node = node;
	c->expires_at = now + IAM_CHALLENGE_MS;
	return c;
}

static const struct iam_challenge *
challenge_new(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node,
    const uint8_t digest[32])
{
	struct iam_challenge *c = challenge_make(iam, ctx, node);

	memcpy(c->digest, digest, sizeof(c->digest));
	ag_metric_add(ctx, IAM_M_CHALLENGES, 1);
	return c;
}

struct iam_challenge *
iam_challenge_enrol(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const char *name)
{
	struct iam_challenge *c = challenge_make(iam, ctx, node);

	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

struct iam_challenge *
iam_challenge_enrolling(struct iam *iam, const char *id,
    const struct iam_node *node, int64_t now)
{
	struct iam_challenge *c = !ag_id_valid(id, "chl") ? NULL :
	    find(iam, id, true);

	return c != NULL && c->node == node && c->expires_at > now ? c : NULL;
}

void
iam_challenges_end(struct iam *iam, const struct iam_node *node)
{
	for (size_t i = 0; i < IAM_CHALLENGES_MAX; i++)
		if (iam->challenges[i].node == node &&
		    !iam->challenges[i].spent)
			iam->challenges[i].id[0] = '\0';
}

ag_err
iam_on_challenge(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ChallengeAsk *ask = msg;
	Ag__ChallengeReply reply = AG__CHALLENGE_REPLY__INIT;
	const struct iam_node *node = iam_node_find(state, ask->principal_id);
	const struct iam_challenge *c;

	if (node == NULL || !iam_second_factor(node) || ask->digest.len != 32)
		return ag_refuse(ctx, AG_PERMISSION_DENIED,
		    "step_up_not_enrolled", NULL, "There is no second factor.");
	c = challenge_new(state, ctx, node, ask->digest.data);
	reply.challenge_id = (char *)(uintptr_t)c->id;
	reply.expires_at = c->expires_at;
	reply.has_methods = true;
	reply.methods = iam_methods(node);
	return ag_reply(ctx, AG_MSG_CHALLENGE_REPLY, &reply);
}

ag_err
iam_step_up_wanted(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const struct iam_challenge *c;

	if (!iam_second_factor(caller->node) || grant->step_up != NULL)
		return AG_OK;
	if (!grant->has_step_up_digest || grant->step_up_digest.len != 32)
		return AG_BAD_MESSAGE;
	c = challenge_new(iam, ctx, caller->node, grant->step_up_digest.data);
	ag_refuse_challenge(ctx, c->id, c->expires_at);
	ag_refuse_methods(ctx, iam_methods(caller->node));
	ag_note_param(ctx, "challenge_id", c->id);
	return ag_refuse(ctx, AG_STEP_UP_REQUIRED, NULL, NULL,
	    "This needs your second factor.");
}

ag_err
iam_step_up_asked(struct call *c)
{
	const struct iam_challenge *challenge;

	if (c->node->kind != AG__KIND__V__human || !iam_second_factor(c->node))
		return REFUSE(c, AG_PERMISSION_DENIED, "step_up_not_enrolled", NULL,
		    c->node->kind == AG__KIND__V__human ?
		    "This needs a second factor, and you have none." :
		    "This needs a second factor; only people have one.");
	challenge = challenge_new(c->iam, c->ctx, c->node, c->step_up_digest);
	ag_refuse_challenge(c->ctx, challenge->id, challenge->expires_at);
	ag_refuse_methods(c->ctx, iam_methods(c->node));
	ag_note_param(c->ctx, "challenge_id", challenge->id);
	return REFUSE(c, AG_STEP_UP_REQUIRED, NULL, NULL,
	    "This needs your second factor.");
}

/* ------------------------------------------------------------- by itself */

static ag_err
say_challenge(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    struct iam_challenge *c)
{
	unsigned has = iam_methods(node);
	char *methods[2];
	Ag__Challenge reply = AG__CHALLENGE__INIT;

	reply.id = (char *)(uintptr_t)c->id;
	reply.state = (char *)(uintptr_t)(c->spent ? "spent" : c->answered ?
	    "answered" : "open");
	if ((has & AG_METHOD_TOTP) != 0)
		methods[reply.n_methods++] = (char *)(uintptr_t)"totp";
	if ((has & AG_METHOD_WEBAUTHN) != 0)
		methods[reply.n_methods++] = (char *)(uintptr_t)"webauthn";
	reply.methods = methods;
	if ((has & AG_METHOD_WEBAUTHN) != 0 && !c->spent && !c->answered &&
	    (reply.webauthn = iam_webauthn_request(iam, ctx, node, c->nonce)) ==
	    NULL)
		return AG_NO_MEMORY;
	reply.tries_left = c->tries < IAM_CHALLENGE_TRIES ?
	    IAM_CHALLENGE_TRIES - c->tries : 0;
	reply.expires_at = c->expires_at;
	return ag_reply(ctx, ag_type(ctx), &reply);
}

/* One of the caller's own that is not over; another's looks like none. */
static ag_err
find_own(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *caller,
    struct iam_challenge **out)
{
	const char *id = ag_grant(ctx)->resource_id;
	ag_err err = iam_caller(iam, ctx, caller);

	if (err != AG_OK)
		return err;
	*out = id == NULL || !ag_id_valid(id, "chl") ? NULL :
	    challenge_find(iam, id);
	if (*out != NULL && (*out)->node == caller->node &&
	    (*out)->expires_at > ag_now_ms(ctx)) {
		ag_note_resource(ctx, "challenge", id, NULL);
		return AG_OK;
	}
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such challenge, or its time is over.");
}

ag_err
iam_on_challenge_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam_challenge *challenge;
	struct iam_caller caller;
	ag_err err = find_own(state, ctx, &caller, &challenge);

	return err != AG_OK ? err :
	    say_challenge(state, ctx, caller.node, challenge);
}

static ag_err
answer_again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);
	const Ag__ChallengeAnswerAsk *ask = ag_unpack(ctx,
	    &ag__challenge_answer_ask__descriptor, body, len);

	iam_totp_claimed(state, status, msg, memo);
	return ask == NULL ? AG_NO_MEMORY :
	    iam_on_challenge_answer(state, ctx, ask);
}

static ag_err
no_factor(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_PERMISSION_DENIED, "step_up_not_enrolled", NULL,
	    "There is no such second factor.");
}

static ag_err
answer_totp(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    struct iam_challenge *challenge, const char *code)
{
	ag_err err;

	if (!iam_totp_enrolled(node))
		return no_factor(ctx);
	if ((err = iam_totp_claim(iam, ctx, node,
	    ag_grant(ctx)->request_id.data, code, answer_again)) != AG_OK)
		return err;
	challenge->tries++;
	if ((err = iam_totp_take(iam, ctx, node, code)) != AG_OK)
		return err;
	challenge->answered = true;
	return say_challenge(iam, ctx, node, challenge);
}

static ag_err
asserted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam_challenge *challenge = challenge_find(state, memo);
	struct iam_caller caller;
	ag_err err = status != AG_OK ? status : iam_caller(state, ctx, &caller);

	if (err != AG_OK)
		return err;
	if (challenge == NULL || challenge->node != caller.node)
		return ag_refuse(ctx, AG_STEP_UP_FAILED, "challenge_expired", NULL,
		    "The challenge has expired.");
	challenge->answered = true;
	return say_challenge(state, ctx, caller.node, challenge);
}

static ag_err
answer_webauthn(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    struct iam_challenge *challenge, const Ag__WebauthnAssertion *with)
{
	char stream[IAM_STREAM_MAX];
	ag_err err;

	if ((iam_methods(node) & AG_METHOD_WEBAUTHN) == 0)
		return no_factor(ctx);
	/* One at a time: each moves the key's counter. */
	snprintf(stream, sizeof(stream), "principal:%s", node->id);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	challenge->tries++;
	return iam_webauthn_answer(iam, ctx, node, challenge->nonce, with,
	    asserted, challenge->id, sizeof(challenge->id));
}

/* The request that it is for then names it and needs no code. */
ag_err
iam_on_challenge_answer(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ChallengeAnswerAsk *ask = msg;
	struct iam_challenge *challenge;
	struct iam_caller caller;
	ag_err err = find_own(state, ctx, &caller, &challenge);

	if (err != AG_OK)
		return err;
	if ((ask->totp == NULL) == (ask->webauthn == NULL))
		return ag_refuse(ctx, AG_INVALID_FIELD, ask->totp == NULL ?
		    "missing" : "conflicting_fields", "/totp",
		    "Either totp or webauthn answers it.");
	if (ask->totp != NULL && !iam_otp_valid(ask->totp))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/totp",
		    "A code has six digits.");
	if (challenge->spent || challenge->answered ||
	    challenge->tries >= IAM_CHALLENGE_TRIES)
		return ag_refuse(ctx, AG_STEP_UP_FAILED, "challenge_spent", NULL,
		    "The challenge was answered, or tried too often.");
	return ask->totp != NULL ?
	    answer_totp(state, ctx, caller.node, challenge, ask->totp) :
	    answer_webauthn(state, ctx, caller.node, challenge, ask->webauthn);
}

/* ------------------------------------------------------- what came with it */

/* What makes two requests the same; the body's digest is in the grant, too. */
static void
digest(struct call *c)
{
	char head[AG_NAME_MAX + 16];
	uint8_t both[64];
	size_t len;
	const uint8_t *body = ag_body(c->ctx, &len);

	ag_sha256(body, len, c->body_digest);
	c->grant.has_body_digest = true;
	c->grant.body_digest = (ProtobufCBinaryData){ 32, c->body_digest };
	snprintf(head, sizeof(head), "%u\n%s", c->op->type,
	    c->rq->selector == NULL ? "" : c->rq->selector);
	ag_sha256(head, strlen(head), both);
	memcpy(both + 32, c->body_digest, 32);
	ag_sha256(both, sizeof(both), c->step_up_digest);
	c->grant.has_step_up_digest = true;
	c->grant.step_up_digest = (ProtobufCBinaryData){ 32,
		c->step_up_digest };
}

static ag_err
failed(struct call *c, const char *reason, const char *detail)
{
	return REFUSE(c, AG_STEP_UP_FAILED, reason, "Aegis-Step-Up", "%s",
	    detail);
}

/* "<challenge_id> totp=123456", or the id alone of one that was answered by
 * itself: *code is NULL then. */
static bool
parse(const char *text, char id[AG_ID_SIZE], const char **code)
{
	static const char method[] = " totp=";

	*code = NULL;
	if (strlen(text) == METHOD_AT) {
		memcpy(id, text, METHOD_AT + 1);
		return ag_id_valid(id, "chl");
	}
	if (strlen(text) != METHOD_AT + sizeof(method) - 1 + IAM_OTP_DIGITS ||
	    memcmp(text + METHOD_AT, method, sizeof(method) - 1) != 0)
		return false;
	memcpy(id, text, METHOD_AT);
	id[METHOD_AT] = '\0';
	*code = text + METHOD_AT + sizeof(method) - 1;
	return ag_id_valid(id, "chl") && iam_otp_valid(*code);
}

static ag_err
answer(struct call *c, struct iam_challenge *challenge, const char *code)
{
	ag_err err;

	if (challenge->spent)
		ag_metric_add(c->ctx, IAM_M_REPLAYS, 1);
	if (challenge->spent || (!challenge->answered &&
	    challenge->tries >= IAM_CHALLENGE_TRIES))
		return failed(c, "challenge_spent",
		    "The challenge was answered, or tried too often.");
	if (memcmp(challenge->digest, c->step_up_digest, 32) != 0)
		return failed(c, "request_changed",
		    "The challenge is for another request.");
	if (code == NULL && !challenge->answered)
		return failed(c, "code_wrong", "The challenge has no answer yet.");
	/* Counted first, and signed: whatever is refused below has an actor. */
	if (code != NULL && !iam_totp_enrolled(c->node))
		return failed(c, "code_wrong", "There is no second factor of codes.");
	if (code != NULL) {
		challenge->tries++;
		if ((err = iam_call_sign(c)) != AG_OK || (err = iam_totp_take(
		    c->iam, c->ctx, c->node, code)) != AG_OK)
			return err;
	}
	challenge->spent = true;
	c->node->stepped_up_at = c->now;
	c->grant.step_up = challenge->id;
	ag_metric_add(c->ctx, IAM_M_STEPPED_UP, 1);
	return AG_OK;
}

static ag_err
again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	iam_totp_claimed(state, status, msg, memo);
	return iam_station(state, ctx, NULL);
}

/* Only for an answer that would be taken: nothing else is worth asking for. */
ag_err
iam_step_up_ready(struct call *c)
{
	const struct iam_challenge *challenge;
	char id[AG_ID_SIZE];
	const char *code;
	ag_err err;

	if (!iam_shares_on(c->iam) || c->rq->step_up == NULL ||
	    c->node->kind != AG__KIND__V__human || !iam_totp_enrolled(c->node) ||
	    !parse(c->rq->step_up, id, &code) || code == NULL)
		return AG_OK;
	digest(c);
	challenge = challenge_find(c->iam, id);
	if (challenge == NULL || challenge->node != c->node ||
	    challenge->expires_at <= c->now || challenge->spent ||
	    challenge->tries >= IAM_CHALLENGE_TRIES ||
	    memcmp(challenge->digest, c->step_up_digest, 32) != 0)
		return AG_OK;
	/* The grant is for the refusal, should there be one. */
	if ((err = ag_set_grant(c->ctx, &c->grant)) != AG_OK)
		return err;
	return iam_totp_claim(c->iam, c->ctx, c->node, c->rq->request_id.data,
	    code, again);
}

ag_err
iam_check_step_up(struct call *c)
{
	struct iam_challenge *challenge;
	char id[AG_ID_SIZE];
	const char *code;

	/* Whoever has no second factor gets risk's word as it is. */
	if (c->node->kind != AG__KIND__V__human || !iam_second_factor(c->node))
		return AG_OK;
	digest(c);
	if (c->rq->step_up == NULL)
		return AG_OK;
	if (!parse(c->rq->step_up, id, &code))
		return REFUSE(c, AG_INVALID_FIELD, "wrong_type", "Aegis-Step-Up",
		    "It is <challenge_id> totp=<six digits>, or the id alone "
		    "of one that was answered.");
	challenge = challenge_find(c->iam, id);
	/* Another's looks like none. */
	if (challenge == NULL || challenge->node != c->node ||
	    challenge->expires_at <= c->now)
		return failed(c, "challenge_expired",
		    "The challenge has expired.");
	return answer(c, challenge, code);
}
