/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second factor of people: enrolled by them or by who may update them,
 * confirmed by a first code, taken away by somebody else. The secret is in
 * the journal only wrapped by a key of the root of trust; which codes were
 * used is in the snapshot, committed before the request that used one goes on.
 */
#include "iam.h"

#include <aegis/bytes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_MAX = 64, RETRY_S = 5 };

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
take(struct iam_node *node, const Ag__TotpFact *fact)
{
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

static ag_err
totp_store(struct ag_ctx *ctx, const struct iam_node *node,
    const Ag__TotpFact *fact)
{
	ag_err err;

	if (node->totp != NULL)
		return iam_store_msg(ctx, IAM_T_TOTP, node->id, fact);
	err = ag_store_del(ctx, IAM_T_TOTP, node->id, strlen(node->id));
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

ag_err
iam_totp_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__TotpFact *fact = r->fact;
	struct iam_node *node = iam_node_find(iam, fact->principal_id);
	Ag__Principal *p;
	uint64_t before;
	ag_err err;

	if (node == NULL || node->parent != NULL)
		return AG_CORRUPT;
	if ((before = node->version) >= r->version)
		return AG_OK;
	if ((p = iam_principal_view(ctx, node)) == NULL)
		return AG_NO_MEMORY;
	p->totp = fact->state;
	p->revision = r->version;
	p->updated_at = fact->at;
	if ((err = take(node, fact)) != AG_OK ||
	    (err = iam_take_principal(iam, p, &node)) != AG_OK ||
	    (err = iam_store_msg(ctx, IAM_T_PRINCIPALS, p->id, p)) != AG_OK ||
	    (err = totp_store(ctx, node, fact)) != AG_OK)
		node->version = before; /* it comes again, as if never seen */
	return err;
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

static ag_err
failed(struct ag_ctx *ctx, struct iam_totp *totp, const char *reason)
{
	iam_window_take(&totp->wrong, &wrong_limit, ag_mono_ms(ctx), 1);
	return ag_refuse(ctx, AG_STEP_UP_FAILED, reason, NULL,
	    "The code was not accepted.");
}

ag_err
iam_totp_take(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *code)
{
	struct iam_totp *totp = node->totp;
	struct iam_room room = iam_window_look(&totp->wrong, &wrong_limit,
	    ag_mono_ms(ctx), 1);
	struct ag_secret *secret = NULL;
	uint8_t step_be[8];
	uint64_t step = 0;
	bool good;
	ag_err err;

	if (!room.ok) {
		ag_refuse_retry(ctx, room.retry_s);
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
		    "Too many wrong codes.");
	}
	if (iam->totp_key == NULL)
		return no_key(ctx);
	if ((err = iam_otp_unwrap(iam->totp_key, node->id, totp->wrapped,
	    &secret)) != AG_OK)
		return err;
	good = iam_otp_match(ag_secret_bytes(secret), ag_secret_len(secret),
	    ag_now_ms(ctx), code, &step);
	ag_secret_free(&secret);
	if (!good)
		return failed(ctx, totp, "code_wrong");
	if (step <= totp->step)
		return failed(ctx, totp, "code_used");
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

static ag_err
persist(struct ag_ctx *ctx, const struct iam_node *node, Ag__TotpFact *fact,
    const void *replay, ag_then *then)
{
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	fact->principal_id = (char *)(uintptr_t)node->id;
	snprintf(stream, sizeof(stream), "principal:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version, AG_MSG_TOTP_FACT,
		fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), NULL, replay, then,
	    node->id, sizeof(node->id));
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
	if (iam->totp_key == NULL)
		return no_key(ctx);
	if ((err = make_secret(iam, node, wrapped)) != AG_OK)
		return err;
	fact.state = (char *)"pending";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ sizeof(wrapped), wrapped };
	fact.at = caller.now;
	fact.by = (char *)(uintptr_t)caller.id;
	return persist(ctx, node, &fact, &replay, begun);
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
	if ((err = iam_totp_take(state, ctx, node, ask->code)) != AG_OK)
		return err;
	fact.state = (char *)"confirmed";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ IAM_OTP_WRAPPED,
		node->totp->wrapped };
	fact.at = caller.now;
	fact.by = (char *)(uintptr_t)caller.id;
	return persist(ctx, node, &fact, NULL, confirmed);
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
	if ((after = iam_principal_view(ctx, node)) == NULL)
		return AG_NO_MEMORY;
	after->totp = (char *)"none";
	after->updated_at = caller.now;
	after->revision = node->version + 1;
	fact.state = (char *)"none";
	fact.at = caller.now;
	fact.by = (char *)(uintptr_t)caller.id;
	fact.reason = ask->reason;
	return persist(ctx, node, &fact, after, removed);
}
