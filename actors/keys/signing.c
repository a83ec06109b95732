/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign and verify.
 */
#include "use.h"

static bool
is_p1363(bool has, Ag__SignatureFormat__V format)
{
	return has && format == AG__SIGNATURE_FORMAT__V__p1363;
}

static struct message
message_of(const ProtobufCBinaryData *bytes, bool has, Ag__MessageType__V type)
{
	return (struct message){ bytes->data, bytes->len,
		has && type == AG__MESSAGE_TYPE__V__digest };
}

static ag_err
plan_signature(struct use *u, bool has, int wanted, const struct message *m,
    bool p1363, struct plan *plan, struct why *why)
{
	plan->algorithm = algorithm_pick(u->spec->sign, has, wanted);
	if (plan->algorithm == NULL)
		return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/algorithm",
		    "A key of this key_spec does not do this algorithm.");
	if (p1363 && plan->algorithm->family != FAMILY_ECDSA)
		return no(why, AG_INVALID_FIELD, "algorithm_mismatch",
		    "/signature_format", "p1363 is a format of ECDSA.");
	return message_check(plan->algorithm, m, why);
}

ag_err
plan_sign(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__SignAsk *ask = msg;
	struct message m = message_of(&ask->message_b64, ask->has_message_type,
	    ask->message_type);

	plan->version = u->hot->stored->key->version;
	plan->is_private = true;
	return plan_signature(u, ask->has_algorithm, ask->algorithm, &m,
	    is_p1363(ask->has_signature_format, ask->signature_format), plan, why);
}

ag_err
run_sign(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__SignAsk *ask = msg;
	Ag__SignReply *reply = out;
	struct parsed *p = use_private(u, plan->version);
	struct message m = message_of(&ask->message_b64, ask->has_message_type,
	    ask->message_type);
	uint8_t *sig = ag_alloc(u->ctx, SIGNATURE_BYTES_MAX);
	ag_err err;

	if (p == NULL || sig == NULL)
		return AG_NO_MEMORY;
	err = keys_sign(p, plan->algorithm, &m,
	    is_p1363(ask->has_signature_format, ask->signature_format), sig,
	    &reply->signature_b64.len);
	if (err != AG_OK)
		return err;
	reply->signature_b64.data = sig;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	u->used = plan->version;
	return AG_OK;
}

ag_err
plan_verify(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__VerifyAsk *ask = msg;
	struct message m = message_of(&ask->message_b64, ask->has_message_type,
	    ask->message_type);
	ag_err err = plan_version(ask->has_key_version, ask->key_version, 0, plan,
	    why);

	if (err != AG_OK)
		return err;
	return plan_signature(u, ask->has_algorithm, ask->algorithm, &m,
	    is_p1363(ask->has_signature_format, ask->signature_format), plan, why);
}

static ag_err
check_one(struct use *u, const void *msg, const struct plan *plan,
    uint32_t version, bool *valid)
{
	const Ag__VerifyAsk *ask = msg;
	struct message m = message_of(&ask->message_b64, ask->has_message_type,
	    ask->message_type);
	struct parsed *p = use_public(u, version);

	if (p == NULL)
		return AG_NO_MEMORY;
	return keys_verify(p, plan->algorithm, &m, ask->signature_b64.data,
	    ask->signature_b64.len,
	    is_p1363(ask->has_signature_format, ask->signature_format), valid);
}

ag_err
run_verify(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	Ag__VerifyReply *reply = out;
	uint32_t version;
	bool valid;
	ag_err err = use_versions(u, msg, plan, check_one, &version, &valid, why);

	if (err != AG_OK)
		return err;
	reply->valid = valid;
	reply->key_id = u->hot->id;
	reply->key_version = version;
	reply->algorithm = plan->algorithm->id;
	u->used = version;
	return AG_OK;
}
