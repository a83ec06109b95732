/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second factor of people: enrolled by them or by who may update them,
 * confirmed by a first code, taken away by somebody else. The secret is in
 * the journal only wrapped by a key of the root of trust; which codes were
 * used is in the snapshot, committed before the request that used one goes on,
 * and where nodes share, in what they share, before that.
 */
#include "attached.h"
#include "credentials.h"
#include "exec.h"
#include "factors.h"
#include "shares.h"

#include <aegis/bytes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_S = 5,
	CLAIM_MS = 1500,          /* how long an answer may take, at most */
	CODE_AGE_MS = 90 * 1000,  /* since when a good code may have been used */
	CODE_KEPT_MS = 300 * 1000, /* for how long its use is remembered */
};

static const struct iam_noun person_noun = { iam_principal_find, "principal" };

/* ------------------------------------------------------- the wrapping key */

static ag_err
on_key(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const Ag__RotSecretReply *reply = msg;
	ag_err err = status;

	iam->asking_totp_key = false;
	if (err == AG_OK && iam->totp_key == NULL)
		err = ag_unseal(ctx, reply->material, &iam->totp_key);
	if (err != AG_OK)
		ag_log(ctx, AG_WARN, "TOTP-KEY", "err=%s", ag_err_row(err)->name);
	return AG_OK; /* the timer asks again */
}

void
iam_totp_fetch_key(struct iam *iam, struct ag_ctx *ctx)
{
	if (iam->totp_key != NULL || iam->asking_totp_key)
		return;
	iam->asking_totp_key = iam_rot_secret(ctx, "totp", on_key) ==
	    AG_PENDING;
}

static ag_err
no_key(struct ag_ctx *ctx)
{
	ag_refuse_retry(ctx, RETRY_S);
	return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
	    "The root of trust has not answered yet.");
}

/* ------------------------------------------------------ what the facts say */

static ag_err
take(struct iam_node *node, const void *msg)
{
	const Ag__TotpFact *fact = msg;
	bool confirmed = strcmp(fact->state, "confirmed") == 0;

	if (strcmp(fact->state, "none") == 0) {
		free(node->totp);
		node->totp = NULL;
		return AG_OK;
	}
	if (!fact->has_wrapped || fact->wrapped.len != IAM_OTP_WRAPPED)
		return AG_CORRUPT;
	if (node->totp == NULL &&
	    (node->totp = calloc(1, sizeof(*node->totp))) == NULL)
		return AG_NO_MEMORY;
	node->totp->confirmed = confirmed;
	node->totp->confirmed_at = confirmed ? fact->at : 0;
	memcpy(node->totp->wrapped, fact->wrapped.data, IAM_OTP_WRAPPED);
	return AG_OK;
}

static void
show(Ag__Principal *p, const void *msg)
{
	const Ag__TotpFact *fact = msg;

	p->totp = fact->state;
}

static bool
is_there(const struct iam_node *node)
{
	return node->totp != NULL;
}

static const struct iam_attached factor = {
	.fact = AG_MSG_TOTP_FACT,
	.table = IAM_T_TOTP,
	.show = show,
	.take = take,
	.is_there = is_there,
};

ag_err
iam_totp_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__TotpFact *fact = r->fact;
	struct iam_node *node;
	ag_err err = iam_attached_apply(iam, ctx, &factor, fact->principal_id,
	    fact->at, r, &node);

	if (node != NULL && (node->totp == NULL || node->totp->confirmed))
		iam_challenges_end(iam, node);
	return err;
}

/* Who began it may have had no factor to show then. */
ag_err
iam_totp_drop(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	Ag__Principal *p;
	ag_err err;

	if (node->totp == NULL || node->totp->confirmed)
		return AG_OK;
	if ((p = iam_principal_view(ctx, node)) == NULL)
		return AG_NO_MEMORY;
	p->totp = (char *)"none";
	/* Memory last: it says whether there is something left to do. */
	if ((err = iam_store_msg(ctx, IAM_T_PRINCIPALS, p->id, p)) != AG_OK ||
	    ((err = ag_store_del(ctx, IAM_T_TOTP, node->id,
	    strlen(node->id))) != AG_OK && err != AG_ITEM_NOT_FOUND) ||
	    (err = iam_take_principal(iam, p, &node)) != AG_OK)
		return err;
	free(node->totp);
	node->totp = NULL;
	return AG_OK;
}

struct loading {
	struct iam *iam;
	ag_err err;
};

static bool
visit_totp(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct loading *l = arg;
	Ag__TotpFact *fact = ag__totp_fact__unpack(NULL, value_len, value);
	struct iam_node *node;

	if (fact == NULL) {
		l->err = AG_CORRUPT;
		return false;
	}
	node = iam_node_find(l->iam, fact->principal_id);
	l->err = node == NULL ? AG_CORRUPT : take(node, fact);
	ag__totp_fact__free_unpacked(fact, NULL);
	return l->err == AG_OK;
}

static bool
visit_step(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct loading *l = arg;
	char id[AG_ID_SIZE] = "";
	struct iam_node *node;

	if (key_len >= sizeof(id) || value_len != sizeof(uint64_t)) {
		l->err = AG_CORRUPT;
		return false;
	}
	memcpy(id, key, key_len);
	node = iam_node_find(l->iam, id);
	if (node != NULL && node->totp != NULL)
		node->totp->step = ag_get_be64(value);
	return true;
}

ag_err
iam_totp_load(struct iam *iam, struct ag_ctx *ctx)
{
	struct loading l = { .iam = iam };
	ag_err err = ag_store_scan(ctx, IAM_T_TOTP, NULL, 0, visit_totp, &l);

	if (err == AG_OK && l.err == AG_OK)
		err = ag_store_scan(ctx, IAM_T_TOTP_STEPS, NULL, 0, visit_step,
		    &l);
	return err != AG_OK ? err : l.err;
}

bool
iam_totp_enrolled(const struct iam_node *node)
{
	return node->totp != NULL && node->totp->confirmed;
}

/* -------------------------------------------------------------- one code */

static const struct iam_limit wrong_limit = { IAM_CODES_WRONG,
	IAM_CODES_WINDOW_MS };

/* Each node has its part: nobody is asked about what anybody may send. */
static struct iam_limit
wrong_here(const struct iam *iam)
{
	return iam_shares_part(iam, &wrong_limit);
}

static ag_err
failed(struct ag_ctx *ctx, struct iam_totp *totp, const char *reason)
{
	iam_window_take(&totp->wrong, &wrong_limit, ag_mono_ms(ctx), 1);
	return ag_refuse(ctx, AG_STEP_UP_FAILED, reason, NULL,
	    "The code was not accepted.");
}

static ag_err
used_before(struct ag_ctx *ctx, struct iam_totp *totp)
{
	ag_metric_add(ctx, IAM_M_REPLAYS, 1);
	return failed(ctx, totp, "code_used");
}

/* Which step's code it is; 0: no step's of now. */
static ag_err
match(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node,
    const char *code, uint64_t *step)
{
	struct ag_secret *secret = NULL;
	ag_err err = iam_otp_unwrap(iam->totp_key, node->id,
	    node->totp->wrapped, &secret);

	*step = 0;
	if (err == AG_OK && !iam_otp_match(ag_secret_bytes(secret),
	    ag_secret_len(secret), ag_now_ms(ctx), code, step))
		*step = 0;
	ag_secret_free(&secret);
	return err;
}

/* ------------------------------------------- was it used on another node? */

struct claim {
	char node[AG_ID_SIZE];
	uint8_t request[AG_UUID_BYTES];
	uint64_t step;
};

static void
claimed(struct iam *iam, const struct claim *memo, int claim)
{
	struct iam_node *node = iam_node_find(iam, memo->node);

	if (node == NULL || node->totp == NULL)
		return;
	memcpy(node->totp->claim_of, memo->request, sizeof(memo->request));
	node->totp->claim_step = memo->step;
	node->totp->claim = claim;
}

void
iam_totp_claimed(struct iam *iam, ag_err status, const void *msg,
    const void *memo)
{
	const Ag__SharedOnceReply *reply = msg;

	claimed(iam, memo, status != AG_OK ? IAM_CLAIM_UNKNOWN :
	    reply->first ? IAM_CLAIM_FIRST : IAM_CLAIM_USED);
}

static bool
is_claimed(const struct iam_totp *of, const uint8_t *request, uint64_t step)
{
	return of->claim_step == step && memcmp(of->claim_of, request,
	    sizeof(of->claim_of)) == 0;
}

ag_err
iam_totp_claim(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const uint8_t request[AG_UUID_BYTES], const char *code, ag_then *then)
{
	Ag__SharedOnceAsk ask = AG__SHARED_ONCE_ASK__INIT;
	struct iam_limit limit = wrong_here(iam);
	struct claim memo = { .step = 0 };
	char text[AG_ID_SIZE + 32];
	uint8_t id[32];
	ag_err err;

	/* What iam_totp_take refuses by itself it refuses. */
	if (!iam_shares_on(iam) || iam->totp_key == NULL ||
	    !iam_window_look(&node->totp->wrong, &limit, ag_mono_ms(ctx), 1).ok)
		return AG_OK;
	if ((err = match(iam, ctx, node, code, &memo.step)) != AG_OK)
		return err;
	if (memo.step <= node->totp->step ||
	    is_claimed(node->totp, request, memo.step))
		return AG_OK;
	strcpy(memo.node, node->id);
	memcpy(memo.request, request, sizeof(memo.request));
	snprintf(text, sizeof(text), "totp/%s/%llu", node->id,
	    (unsigned long long)memo.step);
	ag_sha256(text, strlen(text), id);
	ask.id = (ProtobufCBinaryData){ sizeof(id), id };
	ask.kept_ms = CODE_KEPT_MS;
	ask.age_ms = CODE_AGE_MS;
	err = ag_ask(ctx, ag_slot(ctx, AG_ROLE_SHARED, 0),
	    AG_MSG_SHARED_ONCE_ASK, &ask, AG_MSG_SHARED_ONCE_REPLY, CLAIM_MS,
	    then, &memo, sizeof(memo));
	if (err == AG_PENDING)
		return err;
	claimed(iam, &memo, IAM_CLAIM_UNKNOWN);
	return AG_OK;
}

/* A code that nobody can say was not used is not good. */
static ag_err
check_claim(const struct iam *iam, struct ag_ctx *ctx, struct iam_totp *totp,
    uint64_t step)
{
	const Ag__Grant *grant = ag_grant(ctx);

	if (!iam_shares_on(iam))
		return AG_OK;
	if (grant == NULL || grant->request_id.len != AG_UUID_BYTES ||
	    !is_claimed(totp, grant->request_id.data, step) ||
	    totp->claim == IAM_CLAIM_UNKNOWN) {
		ag_refuse_retry(ctx, RETRY_S);
		return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "Whether the code was used already cannot be told now.");
	}
	return totp->claim == IAM_CLAIM_FIRST ? AG_OK : used_before(ctx, totp);
}

ag_err
iam_totp_take(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *code)
{
	struct iam_totp *totp = node->totp;
	struct iam_limit limit = wrong_here(iam);
	struct iam_room room = iam_window_look(&totp->wrong, &limit,
	    ag_mono_ms(ctx), 1);
	uint8_t step_be[8];
	uint64_t step;
	ag_err err;

	if (!room.ok) {
		ag_refuse_retry(ctx, room.retry_s);
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
		    "Too many wrong codes.");
	}
	if (iam->totp_key == NULL)
		return no_key(ctx);
	if ((err = match(iam, ctx, node, code, &step)) != AG_OK)
		return err;
	if (step == 0)
		return failed(ctx, totp, "code_wrong");
	if (step <= totp->step)
		return used_before(ctx, totp);
	if ((err = check_claim(iam, ctx, totp, step)) != AG_OK)
		return err;
	ag_put_be64(step_be, step);
	if ((err = ag_store_put(ctx, IAM_T_TOTP_STEPS, node->id,
	    strlen(node->id), step_be, sizeof(step_be))) != AG_OK)
		return err;
	totp->step = step;
	iam->store_changed = true;
	return AG_OK;
}

/* --------------------------------------------------------------- handlers */

static ag_err
illegal(struct ag_ctx *ctx, const char *detail)
{
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL, "%s",
	    detail);
}

static void
sign_off(const struct iam_caller *caller, const struct iam_node *node,
    Ag__TotpFact *fact)
{
	fact->principal_id = (char *)(uintptr_t)node->id;
	fact->at = caller->now;
	fact->by = (char *)(uintptr_t)caller->id;
}

/* It is read back from what is kept: what is shown is what will be checked. */
static ag_err
begun(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const struct iam_node *node = iam_node_find(iam, memo);
	Ag__TotpBeginReply reply = AG__TOTP_BEGIN_REPLY__INIT;
	struct ag_secret *secret = NULL;
	ag_err err = status;

	if (err == AG_OK && (node == NULL || node->totp == NULL))
		err = AG_CONFLICT;
	if (err != AG_OK || (err = iam_otp_unwrap(iam->totp_key, node->id,
	    node->totp->wrapped, &secret)) != AG_OK)
		return err;
	reply.secret_b32 = ag_alloc(ctx, IAM_OTP_BASE32);
	if (reply.secret_b32 != NULL) {
		iam_otp_base32(ag_secret_bytes(secret), reply.secret_b32);
		/* As the authenticators' key URI format has it; the defaults
		 * are written out, because some take others. */
		reply.otpauth_uri = ag_printf(ctx, "otpauth://totp/Aegis:%s@%s"
		    "?secret=%s&issuer=Aegis&algorithm=SHA1&digits=%d&period=%d",
		    node->name, node->tenant->name, reply.secret_b32,
		    IAM_OTP_DIGITS, IAM_OTP_STEP_S);
	}
	ag_secret_free(&secret);
	return reply.otpauth_uri == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_TOTP_BEGIN, &reply);
}

static ag_err
make_secret(struct iam *iam, const struct iam_node *node,
    uint8_t wrapped[IAM_OTP_WRAPPED])
{
	struct ag_secret *secret = NULL;
	ag_err err = ag_secret_new(IAM_OTP_SECRET, &secret);

	if (err != AG_OK)
		return err;
	err = RAND_priv_bytes(ag_secret_bytes(secret), IAM_OTP_SECRET) == 1 ?
	    iam_otp_wrap(iam->totp_key, node->id, secret, wrapped) :
	    AG_GENERAL_FAILURE;
	ag_secret_free(&secret);
	return err;
}

ag_err
iam_on_totp_begin(void *state, struct ag_ctx *ctx, const void *msg)
{
	static const Ag__TotpBeginReply replay = AG__TOTP_BEGIN_REPLY__INIT;
	struct iam *iam = state;
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;
	uint8_t wrapped[IAM_OTP_WRAPPED];
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&person_noun, iam, ctx, &caller, true, &node);

	if (err != AG_OK)
		return err;
	if (node->kind != AG__KIND__V__human)
		return illegal(ctx, "Only people have a second factor.");
	if (node->state != IAM_LIVE)
		return illegal(ctx, "The principal is not active.");
	if (iam_totp_enrolled(node))
		return illegal(ctx, "There is a second factor; somebody else "
		    "must take it away first.");
	/* Who has a key shows it: a stolen credential must not add a code. */
	if (node == caller.node &&
	    (err = iam_step_up_wanted(iam, ctx, &caller)) != AG_OK)
		return err;
	if (iam->totp_key == NULL)
		return no_key(ctx);
	if ((err = make_secret(iam, node, wrapped)) != AG_OK)
		return err;
	fact.state = (char *)"pending";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ sizeof(wrapped), wrapped };
	sign_off(&caller, node, &fact);
	return iam_attached_persist(ctx, &factor, node, &fact, NULL, &replay,
	    begun);
}

static ag_err
confirm_again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);
	const Ag__TotpConfirmAsk *ask = ag_unpack(ctx,
	    &ag__totp_confirm_ask__descriptor, body, len);

	iam_totp_claimed(state, status, msg, memo);
	return ask == NULL ? AG_NO_MEMORY : iam_on_totp_confirm(state, ctx, ask);
}

static ag_err
confirmed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct iam_node *node = iam_node_find(state, memo);
	Ag__TotpConfirmReply reply = AG__TOTP_CONFIRM_REPLY__INIT;

	if (status != AG_OK)
		return status;
	if (node == NULL || node->totp == NULL)
		return AG_CONFLICT;
	reply.confirmed_at = node->totp->confirmed_at;
	return ag_reply(ctx, AG_MSG_TOTP_CONFIRM, &reply);
}

ag_err
iam_on_totp_confirm(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__TotpConfirmAsk *ask = msg;
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&person_noun, state, ctx, &caller, true, &node);

	if (err != AG_OK)
		return err;
	if (node != caller.node)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
		    "A second factor is confirmed by whose it is.");
	if (!iam_otp_valid(ask->code))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/code",
		    "A code has six digits.");
	if (node->totp == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no second factor to confirm.");
	if (node->totp->confirmed)
		return illegal(ctx, "The second factor is confirmed.");
	if ((err = iam_totp_claim(state, ctx, node,
	    ag_grant(ctx)->request_id.data, ask->code, confirm_again)) != AG_OK ||
	    (err = iam_totp_take(state, ctx, node, ask->code)) != AG_OK)
		return err;
	fact.state = (char *)"confirmed";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ IAM_OTP_WRAPPED,
		node->totp->wrapped };
	sign_off(&caller, node, &fact);
	return iam_attached_persist(ctx, &factor, node, &fact, NULL, NULL,
	    confirmed);
}

static ag_err
removed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct iam_node *node = iam_node_find(state, memo);
	Ag__Principal *view;

	if (status != AG_OK)
		return status;
	view = node == NULL ? NULL : iam_principal_view(ctx, node);
	return view == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_TOTP_REMOVE, view);
}

ag_err
iam_on_totp_remove(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ReasonAsk *ask = msg;
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	Ag__Principal *after;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK || (err = iam_subject(
	    &person_noun, state, ctx, &caller, true, &node)) != AG_OK)
		return err;
	if (node == caller.node)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
		    "Somebody else must take one's second factor away.");
	if (node->totp == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no second factor.");
	fact.state = (char *)"none";
	fact.reason = ask->reason;
	sign_off(&caller, node, &fact);
	after = iam_attached_view(ctx, &factor, node, &fact, fact.at,
	    node->version + 1);
	return after == NULL ? AG_NO_MEMORY : iam_attached_persist(ctx, &factor,
	    node, &fact, NULL, after, removed);
}
