/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encrypt, decrypt, generate-data-key.
 */
#include "use.h"

#include <openssl/rand.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

static ag_err
binding_check(const struct binding *b, struct why *why)
{
	if (b->n_pairs > 0 && b->has_aad)
		return no(why, AG_INVALID_FIELD, "conflicting_fields", "/aad_b64",
		    "context or aad_b64, not both.");
	if (b->n_pairs > 0 && b->raw)
		return no(why, AG_INVALID_FIELD, "conflicting_fields", "/context",
		    "The raw format is bound to aad_b64 alone.");
	if (b->n_pairs > CONTEXT_PAIRS_MAX)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/context",
		    "At most 32 pairs.");
	return AG_OK;
}

ag_err
binding_aad(struct use *u, const struct binding *b, uint32_t version,
    struct text *t, struct why *why)
{
	const char *tenant = u->hot->stored->key->tenant;
	uint8_t *context = NULL, *aad;
	size_t len = 0;
	ag_err err;

	if (b->raw) {
		t->aad = b->has_aad ? b->aad->data : NULL;
		t->aad_len = b->has_aad ? b->aad->len : 0;
		return AG_OK;
	}
	if (b->has_aad) {
		context = b->aad->data;
		len = b->aad->len;
	} else if ((err = context_bytes(u->ctx, b->pairs, b->n_pairs, &context, &len,
	    why)) != AG_OK) {
		return err;
	}
	err = bound_aad(u->ctx, tenant, u->hot->id, version, context, len, &aad,
	    &t->aad_len);
	t->aad = aad;
	return err;
}

static bool
is_raw(bool has, Ag__CipherFormat__V format)
{
	return has && format == AG__CIPHER_FORMAT__V__raw;
}

static ag_err
pick(struct use *u, bool has, int wanted, struct plan *plan, struct why *why)
{
	plan->algorithm = algorithm_pick(u->spec->crypt, has, wanted);
	if (plan->algorithm != NULL)
		return AG_OK;
	return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/algorithm",
	    "A key of this key_spec does not do this algorithm.");
}

/* OAEP takes what is left of the modulus (RFC 8017 §7.1.1). */
static ag_err
plain_check(const struct use *u, const struct plan *plan, size_t len,
    struct why *why)
{
	if (u->spec->kind != SPEC_RSA ||
	    len + 2 * plan->algorithm->size + 2 <= u->spec->bits / 8)
		return AG_OK;
	return no(why, AG_INVALID_FIELD, "out_of_range", "/plaintext_b64",
	    "The plaintext is too long for this key and algorithm.");
}

/* ------------------------------------------------------------------- encrypt */

static struct binding
encrypt_binding(const Ag__EncryptAsk *ask)
{
	return (struct binding){ ask->context, ask->n_context, ask->has_aad_b64,
		&ask->aad_b64, is_raw(ask->has_format, ask->format) };
}

ag_err
plan_encrypt(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__EncryptAsk *ask = msg;
	struct binding b = encrypt_binding(ask);
	ag_err err;

	plan->version = u->hot->stored->key->version;
	plan->is_private = u->spec->kind == SPEC_SYMMETRIC;
	if ((err = pick(u, ask->has_algorithm, ask->algorithm, plan, why)) != AG_OK ||
	    (err = binding_check(&b, why)) != AG_OK)
		return err;
	plan->seals = plan->algorithm->family == FAMILY_AEAD;
	return plain_check(u, plan, ask->plaintext_b64.len, why);
}

static void
put_header(uint8_t *p, const struct plan *plan)
{
	p[0] = FORMAT_VERSION;
	p[1] = (uint8_t)plan->algorithm->id;
	p[2] = (uint8_t)(plan->version >> 24);
	p[3] = (uint8_t)(plan->version >> 16);
	p[4] = (uint8_t)(plan->version >> 8);
	p[5] = (uint8_t)plan->version;
}

/* Without iv and tag. */
static ag_err
seal_bare(struct parsed *p, const struct plan *plan, const struct text *t,
    struct sealed *s)
{
	ag_err err;

	s->body = s->bytes + HEADER_BYTES;
	err = plan->algorithm->family == FAMILY_KW ?
	    kw_wrap(p, plan->algorithm, t->in, t->len, s->body, &s->body_len) :
	    oaep_encrypt(p, plan->algorithm, t, s->body, &s->body_len);
	s->len = HEADER_BYTES + s->body_len;
	return err;
}

ag_err
seal(struct use *u, const struct plan *plan, const struct text *t,
    struct sealed *s)
{
	size_t room = HEADER_BYTES + IV_BYTES + cipher_room(u->spec, t->len) + TAG_BYTES;
	struct parsed *p = plan->is_private ? use_private(u, plan->version) :
	    use_public(u, plan->version);

	*s = (struct sealed){ .bytes = ag_alloc(u->ctx, room) };
	if (p == NULL || s->bytes == NULL)
		return AG_NO_MEMORY;
	put_header(s->bytes, plan);
	if (plan->algorithm->family != FAMILY_AEAD)
		return seal_bare(p, plan, t, s);
	s->iv = s->bytes + HEADER_BYTES;
	s->body = s->iv + IV_BYTES;
	s->body_len = t->len;
	s->tag = s->body + t->len;
	s->len = HEADER_BYTES + IV_BYTES + t->len + TAG_BYTES;
	return aead_encrypt(p, t, s->iv, s->body, s->tag);
}

ag_err
run_encrypt(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__EncryptAsk *ask = msg;
	Ag__EncryptReply *reply = out;
	struct binding b = encrypt_binding(ask);
	struct text t = { .in = ask->plaintext_b64.data, .len = ask->plaintext_b64.len };
	struct sealed s;
	ag_err err;

	if ((err = binding_aad(u, &b, plan->version, &t, why)) != AG_OK ||
	    (err = seal(u, plan, &t, &s)) != AG_OK)
		return err;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	reply->ciphertext_b64 = (ProtobufCBinaryData){ s.len, s.bytes };
	if (b.raw) {
		reply->ciphertext_b64 = (ProtobufCBinaryData){ s.body_len, s.body };
		reply->has_iv_b64 = reply->has_tag_b64 = s.iv != NULL;
		reply->iv_b64 = (ProtobufCBinaryData){ s.iv == NULL ? 0 : IV_BYTES, s.iv };
		reply->tag_b64 = (ProtobufCBinaryData){ s.tag == NULL ? 0 : TAG_BYTES, s.tag };
	}
	u->used = plan->version;
	return AG_OK;
}

/* ------------------------------------------------------------------- decrypt */

static struct binding
decrypt_binding(const Ag__DecryptAsk *ask)
{
	return (struct binding){ ask->context, ask->n_context, ask->has_aad_b64,
		&ask->aad_b64, is_raw(ask->has_format, ask->format) };
}

static ag_err
plan_decrypt_raw(struct use *u, const Ag__DecryptAsk *ask, struct plan *plan,
    struct why *why)
{
	bool aead = u->spec->kind == SPEC_SYMMETRIC;
	ag_err err;

	if ((err = pick(u, ask->has_algorithm, ask->algorithm, plan, why)) != AG_OK)
		return err;
	if ((err = plan_version(ask->has_key_version, ask->key_version,
	    u->hot->stored->key->version, plan, why)) != AG_OK)
		return err;
	if (aead && (!ask->has_iv_b64 || ask->iv_b64.len != IV_BYTES))
		return no(why, AG_INVALID_FIELD, ask->has_iv_b64 ? "out_of_range" :
		    "missing", "/iv_b64", "An IV of 12 bytes is wanted.");
	if (aead && (!ask->has_tag_b64 || ask->tag_b64.len != TAG_BYTES))
		return no(why, AG_INVALID_FIELD, ask->has_tag_b64 ? "out_of_range" :
		    "missing", "/tag_b64", "A tag of 16 bytes is wanted.");
	if (!aead && (ask->has_iv_b64 || ask->has_tag_b64))
		return no(why, AG_INVALID_FIELD, "conflicting_fields",
		    ask->has_iv_b64 ? "/iv_b64" : "/tag_b64",
		    "RSA has neither IV nor tag.");
	return AG_OK;
}

ag_err
header_read(const struct use *u, const ProtobufCBinaryData *c,
    const Ag__Algorithm__V *list, struct plan *plan)
{
	const uint8_t *p = c->data;

	if (c->len < HEADER_BYTES || p[0] != FORMAT_VERSION)
		return AG_CRYPTOGRAPHIC_FAILURE;
	plan->algorithm = algorithm_pick(list, true, p[1]);
	plan->version = (uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 |
	    (uint32_t)p[4] << 8 | p[5];
	if (plan->algorithm == NULL ||
	    fold_version(u->hot->stored, plan->version) == NULL)
		return AG_CRYPTOGRAPHIC_FAILURE;
	if (plan->algorithm->family == FAMILY_AEAD &&
	    c->len < HEADER_BYTES + IV_BYTES + TAG_BYTES)
		return AG_CRYPTOGRAPHIC_FAILURE;
	return AG_OK;
}

static ag_err
plan_decrypt_aegis(struct use *u, const Ag__DecryptAsk *ask, struct plan *plan,
    struct why *why)
{
	if (ask->has_iv_b64 || ask->has_tag_b64 || ask->has_algorithm ||
	    ask->has_key_version)
		return no(why, AG_INVALID_FIELD, "conflicting_fields", "/format",
		    "iv_b64, tag_b64, algorithm and key_version go with the raw format.");
	if (u->spec->crypt[0] == 0)
		return pick(u, false, 0, plan, why);
	return header_read(u, &ask->ciphertext_b64, u->spec->crypt, plan);
}

ag_err
plan_decrypt(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__DecryptAsk *ask = msg;
	struct binding b = decrypt_binding(ask);
	ag_err err = binding_check(&b, why);

	plan->is_private = true;
	if (err != AG_OK)
		return err;
	return b.raw ? plan_decrypt_raw(u, ask, plan, why) :
	    plan_decrypt_aegis(u, ask, plan, why);
}

/* Where body, iv and tag are. */
static void
take_apart(const Ag__DecryptAsk *ask, bool raw, bool aead, struct text *t,
    const uint8_t **iv, const uint8_t **tag)
{
	const ProtobufCBinaryData *c = &ask->ciphertext_b64;

	t->in = c->data;
	t->len = c->len;
	*iv = ask->iv_b64.data;
	*tag = ask->tag_b64.data;
	if (raw)
		return;
	t->in += HEADER_BYTES;
	t->len -= HEADER_BYTES;
	if (!aead)
		return;
	*iv = t->in;
	t->in += IV_BYTES;
	t->len -= IV_BYTES + TAG_BYTES;
	*tag = t->in + t->len;
}

ag_err
run_decrypt(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__DecryptAsk *ask = msg;
	Ag__DecryptReply *reply = out;
	struct binding b = decrypt_binding(ask);
	bool aead = plan->algorithm->family == FAMILY_AEAD;
	struct parsed *p = use_private(u, plan->version);
	const uint8_t *iv, *tag;
	struct text t = { 0 };
	uint8_t *plain;
	ag_err err;

	take_apart(ask, b.raw, aead, &t, &iv, &tag);
	plain = ag_alloc(u->ctx, cipher_room(u->spec, t.len));
	if (p == NULL || plain == NULL)
		return AG_NO_MEMORY;
	if ((err = binding_aad(u, &b, plan->version, &t, why)) != AG_OK)
		return err;
	reply->plaintext_b64.len = t.len;
	err = aead ? aead_decrypt(p, &t, iv, tag, plain) :
	    oaep_decrypt(p, plan->algorithm, &t, plain, &reply->plaintext_b64.len);
	if (err != AG_OK)
		return err;
	reply->plaintext_b64.data = plain;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	u->used = plan->version;
	return AG_OK;
}

/* ----------------------------------------------------------------- data keys */

static size_t
data_key_bytes(Ag__KeySpec__V spec)
{
	static const struct {
		Ag__KeySpec__V spec;
		size_t bytes;
	} sizes[] = {
		{ AG__KEY_SPEC__V__AES_128, 16 }, { AG__KEY_SPEC__V__AES_192, 24 },
		{ AG__KEY_SPEC__V__AES_256, 32 }, { AG__KEY_SPEC__V__HMAC_SHA256, 32 },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i].spec == spec)
			return sizes[i].bytes;
	return 0;
}

ag_err
plan_data_key(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__DataKeyAsk *ask = msg;
	struct binding b = { ask->context, ask->n_context, ask->has_aad_b64,
		&ask->aad_b64, false };
	ag_err err;

	if (data_key_bytes(ask->data_key_spec) == 0)
		return no(why, AG_INVALID_FIELD, "unknown_value", "/data_key_spec",
		    "AES_128, AES_192, AES_256 or HMAC_SHA256 is wanted.");
	plan->version = u->hot->stored->key->version;
	plan->is_private = true;
	if ((err = pick(u, false, 0, plan, why)) != AG_OK)
		return err;
	plan->seals = true;
	return binding_check(&b, why);
}

ag_err
run_data_key(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__DataKeyAsk *ask = msg;
	Ag__DataKeyReply *reply = out;
	struct binding b = { ask->context, ask->n_context, ask->has_aad_b64,
		&ask->aad_b64, false };
	struct text t = { .len = data_key_bytes(ask->data_key_spec) };
	uint8_t *key = ag_alloc(u->ctx, t.len); /* wiped with the turn */
	struct sealed s;
	ag_err err;

	if (key == NULL)
		return AG_NO_MEMORY;
	if (RAND_priv_bytes(key, (int)t.len) != 1)
		return AG_GENERAL_FAILURE;
	t.in = key;
	if ((err = binding_aad(u, &b, plan->version, &t, why)) != AG_OK ||
	    (err = seal(u, plan, &t, &s)) != AG_OK)
		return err;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->ciphertext_b64 = (ProtobufCBinaryData){ s.len, s.bytes };
	if (!(ask->has_without_plaintext && ask->without_plaintext)) {
		reply->has_plaintext_b64 = true;
		reply->plaintext_b64 = (ProtobufCBinaryData){ t.len, key };
	}
	u->used = plan->version;
	return AG_OK;
}
