/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap and unwrap: keys of the caller's under a key of ours. The Aegis form
 * begins with the header of every Aegis ciphertext; AES_GCM and RSA-OAEP are
 * bound to tenant, key and version as encrypt binds them (with no context),
 * AES_KW and AES_KWP take no additional data. The raw form is what others
 * write: the bare wrapped key; of AES_GCM iv, ciphertext, tag.
 */
#include "use.h"

static bool
is_raw(bool has, Ag__CipherFormat__V format)
{
	return has && format == AG__CIPHER_FORMAT__V__raw;
}

static ag_err
pick(struct use *u, bool has, int wanted, struct plan *plan, struct why *why)
{
	plan->algorithm = algorithm_pick(u->spec->wrap, has, wanted);
	if (plan->algorithm != NULL)
		return AG_OK;
	return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/algorithm",
	    "A key of this key_spec does not wrap with this algorithm.");
}

/* RFC 3394 §2: at least two blocks of 8; RFC 8017 §7.1.1. */
static ag_err
length_check(const struct use *u, const struct algorithm *a, size_t len,
    struct why *why)
{
	if (len == 0 || len > KW_BYTES_MAX)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/key_b64",
		    "A key of 1 to 16384 bytes is wanted.");
	if (a->id == AG__ALGORITHM__V__AES_KW && (len < 16 || len % 8 != 0))
		return no(why, AG_INVALID_FIELD, "out_of_range", "/key_b64",
		    "AES_KW wraps 16 bytes or more, in steps of 8; AES_KWP any length.");
	if (a->family == FAMILY_OAEP && len + 2 * a->size + 2 > u->spec->bits / 8)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/key_b64",
		    "The key is too long for this key and algorithm.");
	return AG_OK;
}

ag_err
plan_wrap(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__WrapAsk *ask = msg;
	ag_err err;

	plan->version = u->hot->stored->key->version;
	plan->is_private = u->spec->kind == SPEC_SYMMETRIC;
	if ((err = pick(u, ask->has_algorithm, ask->algorithm, plan, why)) != AG_OK)
		return err;
	plan->seals = plan->algorithm->family == FAMILY_AEAD;
	return length_check(u, plan->algorithm, ask->key_b64.len, why);
}

static ag_err
bind(struct use *u, const struct plan *plan, bool raw, struct text *t,
    struct why *why)
{
	struct binding b = { .raw = raw };

	if (plan->algorithm->family == FAMILY_KW)
		return AG_OK;
	return binding_aad(u, &b, plan->version, t, why);
}

ag_err
run_wrap(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__WrapAsk *ask = msg;
	Ag__WrapReply *reply = out;
	bool raw = is_raw(ask->has_format, ask->format);
	struct text t = { .in = ask->key_b64.data, .len = ask->key_b64.len };
	struct sealed s;
	ag_err err;

	if ((err = bind(u, plan, raw, &t, why)) != AG_OK ||
	    (err = seal(u, plan, &t, &s)) != AG_OK)
		return err;
	reply->wrapped_key_b64 = (ProtobufCBinaryData){ s.len, s.bytes };
	if (raw) {
		reply->wrapped_key_b64.data += HEADER_BYTES;
		reply->wrapped_key_b64.len -= HEADER_BYTES;
	}
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	u->used = plan->version;
	return AG_OK;
}

/* ------------------------------------------------------------------- unwrap */

/* The header names version and algorithm; what the caller says must agree. */
static ag_err
plan_unwrap_aegis(struct use *u, const Ag__UnwrapAsk *ask, struct plan *plan,
    struct why *why)
{
	ag_err err;

	if (ask->has_key_version)
		return no(why, AG_INVALID_FIELD, "conflicting_fields", "/key_version",
		    "key_version goes with the raw format.");
	if ((err = header_read(u, &ask->wrapped_key_b64, u->spec->wrap, plan)) != AG_OK)
		return err;
	if (ask->has_algorithm && ask->algorithm != plan->algorithm->id)
		return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/algorithm",
		    "The key was wrapped with another algorithm.");
	return AG_OK;
}

ag_err
plan_unwrap(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__UnwrapAsk *ask = msg;
	struct plan wanted;
	ag_err err;

	plan->is_private = true;
	/* An algorithm of other keys is that, whatever the bytes are. */
	if ((err = pick(u, ask->has_algorithm, ask->algorithm, &wanted, why)) != AG_OK)
		return err;
	if (!is_raw(ask->has_format, ask->format))
		return plan_unwrap_aegis(u, ask, plan, why);
	plan->algorithm = wanted.algorithm;
	return plan_version(ask->has_key_version, ask->key_version,
	    u->hot->stored->key->version, plan, why);
}

static ag_err
open_wrapped(struct use *u, const struct plan *plan, bool raw, struct text *t,
    uint8_t *out, size_t *out_len, struct why *why)
{
	struct parsed *p = use_private(u, plan->version);
	const uint8_t *iv, *tag;
	ag_err err;

	if (p == NULL)
		return AG_NO_MEMORY;
	if (plan->algorithm->family == FAMILY_KW)
		return kw_unwrap(p, plan->algorithm, t->in, t->len, out, out_len);
	if ((err = bind(u, plan, raw, t, why)) != AG_OK)
		return err;
	if (plan->algorithm->family == FAMILY_OAEP)
		return oaep_decrypt(p, plan->algorithm, t, out, out_len);
	if (t->len < IV_BYTES + TAG_BYTES)
		return AG_CRYPTOGRAPHIC_FAILURE;
	iv = t->in;
	t->in += IV_BYTES;
	t->len -= IV_BYTES + TAG_BYTES;
	tag = t->in + t->len;
	*out_len = t->len;
	return aead_decrypt(p, t, iv, tag, out);
}

ag_err
run_unwrap(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__UnwrapAsk *ask = msg;
	Ag__UnwrapReply *reply = out;
	bool raw = is_raw(ask->has_format, ask->format);
	size_t skip = raw ? 0 : HEADER_BYTES;
	struct text t = { .in = ask->wrapped_key_b64.data + skip,
		.len = ask->wrapped_key_b64.len - skip };
	uint8_t *key = ag_alloc(u->ctx, cipher_room(u->spec, t.len));
	ag_err err;

	if (key == NULL)
		return AG_NO_MEMORY;
	if ((err = open_wrapped(u, plan, raw, &t, key, &reply->key_b64.len, why)) != AG_OK)
		return err;
	reply->key_b64.data = key;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	u->used = plan->version;
	return AG_OK;
}
