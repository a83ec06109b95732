/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's own keys, in the same vault as everybody's, as tenant "system".
 * Version n of a purpose is noted with the time from which it signs; when it
 * ends follows from the next version's, so a restart knows both.
 */
#include "purpose.h"

#include "make.h"

#include <aegis/seglog.h>

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

enum {
	SIGNATURE_BYTES = 64, SIGNED_BYTES_MAX = 65536, NOTE_MAX = 32,
	TEXT_MAX = 512,
};

enum { ISSUER, CHECKPOINT };
static const char *const names[PURPOSES] = {
	[ISSUER] = "issuer", [CHECKPOINT] = "checkpoint",
};
/* Those whose public halves are kept when they are over: what they signed is
 * looked at for ever. */
static const bool shown_for_ever[PURPOSES] = { [CHECKPOINT] = true };

/* ------------------------------------------------------------- in the vault */

/* Made at the first use; kept like every other key. */
static ag_err
material_of(struct vault *v, struct ag_ctx *ctx, const char *name,
    uint32_t version, Ag__KeySpec__V spec, struct ag_secret **out)
{
	struct vault_id id = { "system", name, version };
	ag_err err = vault_get(v, ctx, &id, out);

	if (err != AG_ITEM_NOT_FOUND)
		return err;
	if ((err = make_now(make_spec_find(spec), out)) != AG_OK)
		return err;
	err = vault_put(v, ctx, &id, *out);
	if (err != AG_OK)
		ag_secret_free(out);
	return err;
}

static void
note_name(const char *name, uint32_t version, char out[NOTE_MAX])
{
	if (version == 1)
		snprintf(out, NOTE_MAX, "%s", name);
	else
		snprintf(out, NOTE_MAX, "%s.%u", name, version);
}

/* AG_ITEM_NOT_FOUND: there is no such version yet. */
static ag_err
note_get(struct ag_ctx *ctx, const char *name, uint32_t version, int64_t *from)
{
	const uint8_t *value;
	char note[NOTE_MAX];
	size_t len;
	ag_err err;

	note_name(name, version, note);
	err = ag_store_get(ctx, VAULT_TABLE_NOTES, note, strlen(note), &value, &len);
	if (err != AG_OK)
		return err;
	if (len != sizeof(*from))
		return AG_CORRUPT;
	memcpy(from, value, sizeof(*from));
	return AG_OK;
}

static ag_err
note_put(struct ag_ctx *ctx, const char *name, uint32_t version, int64_t from)
{
	char note[NOTE_MAX];
	ag_err err;

	note_name(name, version, note);
	err = ag_store_put(ctx, VAULT_TABLE_NOTES, note, strlen(note), &from,
	    sizeof(from));
	return err != AG_OK ? err : ag_store_commit(ctx);
}

/* ------------------------------------------------------------------- keys */

static void
key_free(struct purpose_key *key)
{
	EVP_MD_CTX_free(key->signer);
	EVP_PKEY_free(key->pkey);
	memset(key, 0, sizeof(*key));
}

/* Takes material. */
static ag_err
key_open(struct ag_ctx *ctx, struct ag_secret **material,
    struct purpose_key *key)
{
	uint8_t digest[32], *der;
	size_t len;

	key->pkey = make_parse(*material);
	ag_secret_free(material);
	if (key->pkey == NULL)
		return AG_CORRUPT;
	key->signer = EVP_MD_CTX_new();
	if (key->signer == NULL ||
	    EVP_DigestSignInit(key->signer, NULL, NULL, NULL, key->pkey) != 1 ||
	    (der = make_public(ctx, key->pkey, &len)) == NULL) {
		key_free(key);
		return AG_NO_MEMORY;
	}
	ag_sha256(der, len, digest);
	ag_hex(digest, (PURPOSE_ID_TEXT - 1) / 2, key->id);
	return AG_OK;
}

/* ---------------------------------------------------------- shown for ever */

static size_t
shown_name(int which, uint32_t version, char out[NOTE_MAX])
{
	return (size_t)snprintf(out, NOTE_MAX, "%s.pub.%u", names[which], version);
}

/* The public half is kept, signed for by the key before it (NULL: it is the
 * first). Not committed. */
static ag_err
shown_put(struct ag_ctx *ctx, int which, const struct purpose_key *key,
    const struct purpose_key *before)
{
	Ag__RotKey row = AG__ROT_KEY__INIT;
	uint8_t signature[SIGNATURE_BYTES], *packed;
	char name[NOTE_MAX], text[TEXT_MAX];
	size_t len = sizeof(signature), text_len;

	row.key_id = (char *)key->id;
	row.from_at = key->from_at;
	row.public_key_der.data = make_public(ctx, key->pkey,
	    &row.public_key_der.len);
	if (row.public_key_der.data == NULL)
		return AG_NO_MEMORY;
	if (before != NULL) {
		text_len = ag_seg_key_text(text, sizeof(text), key->id,
		    &row.public_key_der, key->from_at);
		if (text_len == 0 || EVP_DigestSign(before->signer, signature, &len,
		        (const uint8_t *)text, text_len) != 1) {
			ERR_clear_error();
			return AG_GENERAL_FAILURE;
		}
		row.endorsed_by = (char *)before->id;
		row.has_endorsement = true;
		row.endorsement = (ProtobufCBinaryData){ len, signature };
	}
	if ((packed = ag_pack(ctx, &row, &len)) == NULL)
		return AG_NO_MEMORY;
	return ag_store_put(ctx, VAULT_TABLE_NOTES, name,
	    shown_name(which, key->version, name), packed, len);
}

/* In the turn's arena; AG_ITEM_NOT_FOUND: it is not noted yet. */
static ag_err
shown_get(struct ag_ctx *ctx, int which, uint32_t version, Ag__RotKey **out)
{
	const uint8_t *row;
	char name[NOTE_MAX];
	size_t len;
	ag_err err = ag_store_get(ctx, VAULT_TABLE_NOTES, name,
	    shown_name(which, version, name), &row, &len);

	if (err != AG_OK)
		return err;
	*out = ag_unpack(ctx, &ag__rot_key__descriptor, row, len);
	return *out == NULL ? AG_CORRUPT : AG_OK;
}

/* The new key and, if it is of before such notes, the one it comes after. */
static ag_err
shown_add(struct ag_ctx *ctx, int which, const struct purpose *of,
    const struct purpose_key *key)
{
	const struct purpose_key *before = of->count == 0 ? NULL :
	    &of->keys[of->count - 1];
	Ag__RotKey *known;
	ag_err err = AG_OK;

	if (before != NULL) {
		err = shown_get(ctx, which, before->version, &known);
		if (err == AG_ITEM_NOT_FOUND)
			err = shown_put(ctx, which, before, NULL);
	}
	return err != AG_OK ? err : shown_put(ctx, which, key, before);
}

/* A new version is in the vault before it is noted: what a crash in between
 * leaves is taken up by the next try. */
static ag_err
add_version(struct purposes *p, struct vault *v, struct ag_ctx *ctx, int which,
    int64_t from)
{
	struct purpose *of = &p->of[which];
	struct purpose_key *key = &of->keys[of->count];
	uint32_t version = of->last_version + 1;
	struct ag_secret *material = NULL;
	ag_err err = material_of(v, ctx, names[which], version,
	    AG__KEY_SPEC__V__ED25519, &material);

	if (err != AG_OK || (err = key_open(ctx, &material, key)) != AG_OK)
		return err;
	key->version = version;
	key->from_at = from;
	key->until_at = INT64_MAX;
	if (shown_for_ever[which])
		err = shown_add(ctx, which, of, key);
	if (err == AG_OK)
		err = note_put(ctx, names[which], version, from);
	if (err != AG_OK) {
		key_free(key);
		return err;
	}
	of->last_version = version;
	if (of->count > 0)
		of->keys[of->count - 1].until_at = from + of->overlap_ms;
	of->count++;
	return AG_OK;
}

/* One version that is noted; one that ended is not in the vault any more. */
static ag_err
load_version(struct purposes *p, struct vault *v, struct ag_ctx *ctx, int which,
    uint32_t version, int64_t from)
{
	struct purpose *of = &p->of[which];
	struct vault_id id = { "system", names[which], version };
	struct ag_secret *material = NULL;
	struct purpose_key *key;
	ag_err err;

	of->last_version = version;
	if (of->count > 0)
		of->keys[of->count - 1].until_at = from + of->overlap_ms;
	err = vault_get(v, ctx, &id, &material);
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err == AG_OK && of->count == PURPOSE_KEYS_MAX) {
		ag_secret_free(&material);
		err = AG_FULL;
	}
	if (err != AG_OK)
		return err;
	key = &of->keys[of->count];
	if ((err = key_open(ctx, &material, key)) != AG_OK)
		return err;
	key->version = version;
	key->from_at = from;
	key->until_at = INT64_MAX;
	of->count++;
	return AG_OK;
}

static ag_err
purpose_open(struct purposes *p, struct vault *v, struct ag_ctx *ctx, int which)
{
	int64_t from;
	ag_err err = AG_OK;

	for (uint32_t n = 1; err == AG_OK; n++) {
		err = note_get(ctx, names[which], n, &from);
		if (err == AG_OK)
			err = load_version(p, v, ctx, which, n, from);
	}
	if (err != AG_ITEM_NOT_FOUND)
		return err;
	return p->of[which].count > 0 ? AG_OK :
	    add_version(p, v, ctx, which, ag_now_ms(ctx));
}

ag_err
purposes_open(struct purposes *p, struct vault *v, struct ag_ctx *ctx)
{
	ag_err err;

	p->of[ISSUER].rotate_ms = 1000 *
	    ag_config_int(ctx, "auth.keys.rotate_every_s");
	p->of[ISSUER].overlap_ms = 1000 *
	    ag_config_int(ctx, "auth.keys.overlap_s");
	p->of[CHECKPOINT].rotate_ms = 1000 *
	    ag_config_int(ctx, "audit.checkpoint.key_rotate_every_s");
	for (int i = 0; i < PURPOSES; i++)
		if ((err = purpose_open(p, v, ctx, i)) != AG_OK) {
			ag_log(ctx, AG_ERROR, "ROT-PURPOSE", "name=%s err=%s",
			    names[i], ag_err_row(err)->name);
			return err;
		}
	return AG_OK;
}

void
purposes_close(struct purposes *p)
{
	for (int i = 0; i < PURPOSES; i++)
		for (unsigned j = 0; j < p->of[i].count; j++)
			key_free(&p->of[i].keys[j]);
}

/* The newest that signs by now; the only one signs whatever the clock says. */
static struct purpose_key *
current(struct purpose *of, int64_t now)
{
	struct purpose_key *best = &of->keys[0];

	for (unsigned i = 1; i < of->count; i++)
		if (of->keys[i].from_at <= now)
			best = &of->keys[i];
	return best;
}

/* --------------------------------------------------------------- the clock */

static void
end_old(struct purpose *of, struct vault *v, struct ag_ctx *ctx, int which,
    int64_t now)
{
	while (of->count > 1 && of->keys[0].until_at <= now) {
		struct vault_id id = { "system", names[which],
			of->keys[0].version };

		if (vault_destroy(v, ctx, &id) != AG_OK)
			return; /* the next tick */
		ag_log(ctx, AG_INFO, "ROT-KEY-ENDED", "purpose=%s kid=%s",
		    names[which], of->keys[0].id);
		key_free(&of->keys[0]);
		of->count--;
		memmove(&of->keys[0], &of->keys[1],
		    of->count * sizeof(of->keys[0]));
		memset(&of->keys[of->count], 0, sizeof(of->keys[0]));
	}
}

static void
tick(struct purposes *p, struct vault *v, struct ag_ctx *ctx, int which)
{
	struct purpose *of = &p->of[which];
	int64_t now = ag_now_ms(ctx);
	ag_err err;

	end_old(of, v, ctx, which, now);
	if (of->rotate_ms == 0 || of->count == PURPOSE_KEYS_MAX ||
	    (shown_for_ever[which] && of->last_version >= PURPOSE_SHOWN_MAX) ||
	    of->keys[of->count - 1].from_at + of->rotate_ms >
	    now + PURPOSE_LEAD_MS)
		return;
	err = add_version(p, v, ctx, which, now + PURPOSE_LEAD_MS);
	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "ROT-KEY", "purpose=%s err=%s", names[which],
		    ag_err_row(err)->name);
	else
		ag_log(ctx, AG_INFO, "ROT-KEY", "purpose=%s kid=%s version=%u",
		    names[which], of->keys[of->count - 1].id, of->last_version);
}

void
purposes_tick(struct purposes *p, struct vault *v, struct ag_ctx *ctx)
{
	for (int i = 0; i < PURPOSES; i++)
		tick(p, v, ctx, i);
}

/* ------------------------------------------------------------------- asked */

static struct purpose *
purpose_named(struct purposes *p, const char *name)
{
	for (int i = 0; i < PURPOSES; i++)
		if (strcmp(names[i], name) == 0)
			return &p->of[i];
	return NULL;
}

static ag_err
no_purpose(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/purpose",
	    "issuer or checkpoint is wanted.");
}

ag_err
purposes_sign(struct purposes *p, struct ag_ctx *ctx, const Ag__RotSignAsk *ask)
{
	struct purpose *of = purpose_named(p, ask->purpose);
	Ag__RotSignReply reply = AG__ROT_SIGN_REPLY__INIT;
	uint8_t signature[SIGNATURE_BYTES];
	size_t len = sizeof(signature);
	struct purpose_key *key;

	if (of == NULL)
		return no_purpose(ctx);
	if (ask->message.len > SIGNED_BYTES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/message",
		    "At most %d bytes.", SIGNED_BYTES_MAX);
	key = current(of, ag_now_ms(ctx));
	if (EVP_DigestSign(key->signer, signature, &len, ask->message.data,
	    ask->message.len) != 1) {
		ERR_clear_error();
		return AG_GENERAL_FAILURE;
	}
	reply.key_id = key->id;
	reply.signature = (ProtobufCBinaryData){ len, signature };
	return ag_reply(ctx, AG_MSG_ROT_SIGN_REPLY, &reply);
}

static ag_err
key_row(struct ag_ctx *ctx, const struct purpose_key *key, Ag__RotKey **out)
{
	Ag__RotKey *row = *out = ag_alloc(ctx, sizeof(*row));

	if (row == NULL)
		return AG_NO_MEMORY;
	ag__rot_key__init(row);
	row->key_id = (char *)key->id;
	row->from_at = key->from_at;
	row->has_until_at = key->until_at != INT64_MAX;
	row->until_at = key->until_at;
	row->public_key_der.data = make_public(ctx, key->pkey,
	    &row->public_key_der.len);
	return row->public_key_der.data == NULL ? AG_NO_MEMORY : AG_OK;
}

/* All that ever were; one of before they were noted is still there. */
static ag_err
shown_rows(struct ag_ctx *ctx, const struct purpose *of, int which,
    Ag__RotKey **list, size_t *count)
{
	ag_err err = AG_OK;

	*count = 0;
	for (uint32_t n = 1; err == AG_OK && n <= of->last_version; n++) {
		err = shown_get(ctx, which, n, &list[*count]);
		if (err == AG_ITEM_NOT_FOUND && of->keys[0].version == n)
			err = key_row(ctx, &of->keys[0], &list[*count]);
		++*count;
	}
	return err;
}

ag_err
purposes_keys(struct purposes *p, struct ag_ctx *ctx, const Ag__RotKeysAsk *ask)
{
	struct purpose *of = purpose_named(p, ask->purpose);
	Ag__RotKeysReply reply = AG__ROT_KEYS_REPLY__INIT;
	Ag__RotKey *list[PURPOSE_SHOWN_MAX];
	ag_err err = AG_OK;

	if (of == NULL)
		return no_purpose(ctx);
	if (shown_for_ever[of - p->of])
		err = shown_rows(ctx, of, (int)(of - p->of), list, &reply.n_keys);
	else
		for (; err == AG_OK && reply.n_keys < of->count; reply.n_keys++)
			err = key_row(ctx, &of->keys[reply.n_keys],
			    &list[reply.n_keys]);
	if (err != AG_OK)
		return err;
	reply.keys = list;
	return ag_reply(ctx, AG_MSG_ROT_KEYS_REPLY, &reply);
}

/* One's own secret, not another's: audit has no business with second factors. */
static bool
is_secret_of(const char *purpose, enum ag_role role)
{
	static const struct {
		const char *purpose;
		enum ag_role role;
	} secrets[] = {
		{ "redaction", AG_ROLE_AUDIT },
		{ "totp", AG_ROLE_IAM },
		{ "prompts", AG_ROLE_IAM },
	};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (strcmp(secrets[i].purpose, purpose) == 0)
			return secrets[i].role == role;
	return false;
}

ag_err
purposes_secret(struct vault *v, struct ag_ctx *ctx, const Ag__RotSecretAsk *ask)
{
	Ag__RotSecretReply reply = AG__ROT_SECRET_REPLY__INIT;
	Ag__Sealed sealed = AG__SEALED__INIT;
	struct ag_secret *material = NULL;
	ag_err err;

	if (!is_secret_of(ask->purpose, ag_from_role(ctx)))
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/purpose",
		    "redaction (audit), totp or prompts (iam) is wanted.");
	if (ask->reply_key.len != AG_SEAL_KEY_BYTES)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reply_key",
		    "A key of 32 bytes is wanted.");
	err = material_of(v, ctx, ask->purpose, 1, AG__KEY_SPEC__V__AES_256,
	    &material); /* 32 random bytes */
	if (err != AG_OK)
		return err;
	err = ag_seal(ctx, ask->reply_key.data, ag_secret_bytes(material),
	    ag_secret_len(material), &sealed);
	ag_secret_free(&material);
	if (err != AG_OK)
		return err;
	reply.material = &sealed;
	return ag_reply(ctx, AG_MSG_ROT_SECRET_REPLY, &reply);
}
