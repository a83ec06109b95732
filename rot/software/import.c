/* SPDX-License-Identifier: Apache-2.0 */
#include "import.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_WRAP AG__WRAPPING_ALGORITHM__V__RSA_AES_KEY_WRAP_SHA_256

/* Who asked has given up and was told so: nothing of it is kept. */
static bool
too_late(struct ag_ctx *ctx)
{
	uint64_t deadline_ms = ag_env(ctx)->deadline_ms;

	return deadline_ms != 0 && deadline_ms < ag_mono_ms(ctx);
}

/* ------------------------------------------------------------- the importers */

static void
forget(struct importer *row)
{
	EVP_PKEY_free(row->pkey); /* cleanses the private half */
	memset(row, 0, sizeof(*row));
}

/* What is over goes; a row at work goes when it comes back. */
static void
sweep(struct importers *importers, int64_t now)
{
	for (int i = 0; i < IMPORTERS_MAX; i++) {
		struct importer *row = &importers->rows[i];

		if (row->id[0] != '\0' && !row->busy && row->expires_at <= now)
			forget(row);
	}
}

void
importers_fini(struct importers *importers)
{
	for (int i = 0; i < IMPORTERS_MAX; i++)
		forget(&importers->rows[i]);
}

static struct importer *
find(struct importers *importers, const char *tenant, const char *id)
{
	for (int i = 0; i < IMPORTERS_MAX; i++)
		if (strcmp(importers->rows[i].id, id) == 0 && id[0] != '\0' &&
		    strcmp(importers->rows[i].tenant, tenant) == 0)
			return &importers->rows[i];
	return NULL;
}

static struct importer *
room(struct importers *importers, const char *tenant)
{
	struct importer *free_row = NULL;
	unsigned of_tenant = 0;

	for (int i = 0; i < IMPORTERS_MAX; i++) {
		struct importer *row = &importers->rows[i];

		if (row->id[0] == '\0')
			free_row = free_row == NULL ? row : free_row;
		else
			of_tenant += strcmp(row->tenant, tenant) == 0;
	}
	return of_tenant < IMPORTERS_OF_TENANT_MAX ? free_row : NULL;
}

/* ------------------------------------------------------------------- making */

struct making {
	struct importers *importers;
	EVP_PKEY *pkey;
};

static ag_err
work_make(void *arg)
{
	struct making *job = arg;

	job->pkey = make_pkey(make_spec_find(AG__KEY_SPEC__V__RSA_4096));
	return job->pkey == NULL ? AG_GENERAL_FAILURE : AG_OK;
}

static ag_err
no_room(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
	    "Too many imports are under way: they end when used, or after an hour.");
}

static ag_err
reply_importer(struct ag_ctx *ctx, const struct importer *row)
{
	Ag__RotImporterReply reply = AG__ROT_IMPORTER_REPLY__INIT;

	reply.expires_at = row->expires_at;
	reply.public_key_der.data = make_public(ctx, row->pkey,
	    &reply.public_key_der.len);
	if (reply.public_key_der.data == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_ROT_IMPORTER_REPLY, &reply);
}

static ag_err
on_made(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct making *job = memo;
	struct importers *importers = job->importers;
	EVP_PKEY *pkey = job->pkey;
	const Ag__RotImporterAsk *ask;
	struct importer *row;
	const uint8_t *body;
	size_t len;

	free(job);
	if (status != AG_OK) {
		EVP_PKEY_free(pkey);
		return status;
	}
	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__rot_importer_ask__descriptor, body, len);
	row = ask == NULL ? NULL : room(importers, ask->tenant);
	if (row == NULL || too_late(ctx)) {
		EVP_PKEY_free(pkey);
		return ask == NULL ? AG_NO_MEMORY : no_room(ctx);
	}
	memcpy(row->id, ask->import_id, strlen(ask->import_id) + 1);
	memcpy(row->tenant, ask->tenant, strlen(ask->tenant) + 1);
	row->algorithm = ask->wrapping_algorithm;
	row->pkey = pkey;
	row->expires_at = ag_now_ms(ctx) + IMPORTER_TTL_MS;
	return reply_importer(ctx, row);
}

ag_err
importer_make(struct importers *importers, struct ag_ctx *ctx,
    const Ag__RotImporterAsk *ask)
{
	struct making *job;
	ag_err err;

	if (strlen(ask->tenant) > AG_NAME_MAX || strlen(ask->import_id) >= AG_ID_SIZE ||
	    strncmp(ask->import_id, "imp_", 4) != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/import_id",
		    "This names no import.");
	sweep(importers, ag_now_ms(ctx));
	if (room(importers, ask->tenant) == NULL)
		return no_room(ctx);
	if ((job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	job->importers = importers;
	err = ag_work(ctx, work_make, job, on_made);
	if (err != AG_PENDING)
		free(job);
	return err;
}

/* ------------------------------------------------------------------ opening */

struct opening {
	struct importers *importers;
	const struct make_spec *spec;
	importer_keep *keep;
	char tenant[AG_NAME_MAX + 1], id[AG_ID_SIZE]; /* of the importer */
	Ag__WrappingAlgorithm__V algorithm;
	EVP_PKEY *pkey; /* a reference of its own */
	uint8_t *wrapped;
	size_t wrapped_len;
	struct ag_secret *material;
	const char *reason; /* what is wrong with it */
	char detail[200];
};

static void
opening_free(struct opening *job)
{
	EVP_PKEY_free(job->pkey);
	ag_secret_free(&job->material);
	free(job->wrapped);
	free(job);
}

static ag_err
open_oaep(struct opening *job, struct ag_secret **out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(job->pkey, NULL);
	struct ag_secret *room_for = NULL;
	char pad[] = "oaep", md[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_PAD_MODE, pad, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, md, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_MGF1_DIGEST, md, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t len = IMPORTER_MODULUS_BYTES;
	ag_err err = ag_secret_new(len, &room_for);

	if (err == AG_OK && (ctx == NULL || EVP_PKEY_decrypt_init_ex(ctx, params) != 1 ||
	    EVP_PKEY_decrypt(ctx, ag_secret_bytes(room_for), &len, job->wrapped,
	    IMPORTER_MODULUS_BYTES) != 1))
		err = AG_CRYPTOGRAPHIC_FAILURE;
	if (err == AG_OK)
		err = ag_secret_copy(ag_secret_bytes(room_for), len, out);
	ag_secret_free(&room_for);
	EVP_PKEY_CTX_free(ctx);
	return err;
}

static const EVP_CIPHER *
kwp(size_t key_len)
{
	return key_len == 32 ? EVP_aes_256_wrap_pad() :
	    key_len == 24 ? EVP_aes_192_wrap_pad() :
	    key_len == 16 ? EVP_aes_128_wrap_pad() : NULL;
}

/* RFC 5649 over what follows the modulus. */
static ag_err
open_kwp(struct opening *job, struct ag_secret *kek, struct ag_secret **out)
{
	const uint8_t *in = job->wrapped + IMPORTER_MODULUS_BYTES;
	size_t len = job->wrapped_len - IMPORTER_MODULUS_BYTES;
	const EVP_CIPHER *cipher = kwp(ag_secret_len(kek));
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct ag_secret *room_for = NULL;
	int n = 0;
	ag_err err = ag_secret_new(len, &room_for);

	if (ctx != NULL)
		EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (err == AG_OK && (ctx == NULL || cipher == NULL ||
	    EVP_DecryptInit_ex(ctx, cipher, NULL, ag_secret_bytes(kek), NULL) != 1 ||
	    EVP_DecryptUpdate(ctx, ag_secret_bytes(room_for), &n, in, (int)len) != 1 ||
	    n <= 0))
		err = AG_CRYPTOGRAPHIC_FAILURE;
	if (err == AG_OK)
		err = ag_secret_copy(ag_secret_bytes(room_for), (size_t)n, out);
	ag_secret_free(&room_for);
	EVP_CIPHER_CTX_free(ctx); /* wipes the schedule */
	return err;
}

static ag_err
bad(struct opening *job, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static ag_err
bad(struct opening *job, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(job->detail, sizeof(job->detail), fmt, ap);
	va_end(ap);
	job->reason = reason;
	return AG_INVALID_FIELD;
}

/* FIPS 186-5 §5.1: odd, above 2^16, below 2^256; and the parts belong together. */
static ag_err
check_rsa(struct opening *job, EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	BIGNUM *e = NULL;
	ag_err err = AG_OK;

	if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1 ||
	    !BN_is_odd(e) || BN_num_bits(e) <= 16 || BN_num_bits(e) > 256)
		err = bad(job, "out_of_range",
		    "The RSA exponent is weak: 65537 or another odd number up to 2^256 is wanted.");
	else if (ctx == NULL || EVP_PKEY_check(ctx) != 1)
		err = bad(job, "wrong_type",
		    "The parts of the RSA key do not belong together, or are not prime.");
	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	return err;
}

static ag_err
check_ec(struct opening *job, EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok ? AG_OK : bad(job, "wrong_type",
	    "The halves of the EC key do not belong together.");
}

static ag_err
check_private(struct opening *job, EVP_PKEY *pkey)
{
	const char *type = EVP_PKEY_get0_type_name(pkey);
	char group[32] = "";

	if (!make_is(job->spec, pkey)) {
		(void)EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL);
		return bad(job, "wrong_type",
		    "The wrapped key is not of this key_spec: it is %s %s with %d bits.",
		    type == NULL ? "unknown" : type, group, EVP_PKEY_get_bits(pkey));
	}
	if (strcmp(job->spec->type, "RSA") == 0)
		return check_rsa(job, pkey);
	return job->spec->group != NULL ? check_ec(job, pkey) : AG_OK;
}

/* Kept as we write it ourselves: no attributes, nothing behind it. */
static ag_err
normalize(struct opening *job)
{
	const uint8_t *p = ag_secret_bytes(job->material);
	const uint8_t *end = p + ag_secret_len(job->material);
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, end - p);
	EVP_PKEY *pkey = info == NULL || p != end ? NULL : EVP_PKCS82PKEY(info);
	ag_err err;

	PKCS8_PRIV_KEY_INFO_free(info);
	if (pkey == NULL)
		return bad(job, "wrong_type",
		    "The wrapped bytes are no PKCS#8 private key in DER.");
	err = check_private(job, pkey);
	ag_secret_free(&job->material);
	if (err == AG_OK)
		err = make_material(pkey, &job->material);
	EVP_PKEY_free(pkey);
	return err;
}

static ag_err
work_open(void *arg)
{
	struct opening *job = arg;
	struct ag_secret *kek = NULL;
	ag_err err;

	if (job->algorithm == KEY_WRAP) {
		if ((err = open_oaep(job, &kek)) == AG_OK)
			err = open_kwp(job, kek, &job->material);
		ag_secret_free(&kek);
	} else {
		err = open_oaep(job, &job->material);
	}
	if (err == AG_OK && job->spec->type != NULL)
		err = normalize(job);
	else if (err == AG_OK &&
	    !make_length_fits(job->spec, ag_secret_len(job->material)))
		err = bad(job, "out_of_range",
		    "The wrapped key has %zu bytes, which is not the length of this key_spec.",
		    ag_secret_len(job->material));
	ERR_clear_error();
	return err;
}

/* One success and it is over; so many failures, too. */
static void
settle(struct importer *row, ag_err err)
{
	if (row == NULL)
		return;
	row->busy = false;
	if (err == AG_OK || ++row->tries >= IMPORTER_TRIES_MAX)
		forget(row);
}

static ag_err
keep_opened(void *state, struct ag_ctx *ctx, struct opening *job)
{
	const Ag__RotGenerateAsk *ask;
	const uint8_t *body;
	size_t len;

	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__rot_generate_ask__descriptor, body, len);
	return ask == NULL ? AG_NO_MEMORY : job->keep(state, ctx, ask, &job->material);
}

static ag_err
on_opened(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	struct opening *job = memo;
	ag_err err = status;

	if (err == AG_OK && too_late(ctx))
		err = AG_DEADLINE_EXCEEDED;
	if (err == AG_INVALID_FIELD && job->reason != NULL)
		err = ag_refuse(ctx, err, job->reason, "/wrapped_key_b64", "%s", job->detail);
	if (err == AG_OK)
		err = keep_opened(state, ctx, job);
	settle(find(job->importers, job->tenant, job->id), err);
	opening_free(job);
	return err;
}

static ag_err
wrapped_check(struct ag_ctx *ctx, const Ag__RotGenerateAsk *ask)
{
	size_t len = ask->wrapped.len;

	if (ask->wrapping_algorithm != KEY_WRAP && len != IMPORTER_MODULUS_BYTES)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/wrapped_key_b64", "RSAES_OAEP_SHA_256 makes %d bytes; these are %zu.",
		    IMPORTER_MODULUS_BYTES, len);
	if (ask->wrapping_algorithm == KEY_WRAP &&
	    (len < IMPORTER_MODULUS_BYTES + 16 || len % 8 != 0 ||
	    len > IMPORTER_MODULUS_BYTES + IMPORT_BYTES_MAX + 16))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/wrapped_key_b64", "RSA_AES_KEY_WRAP_SHA_256 makes %d bytes and behind "
		    "them 16 or more in steps of 8; these are %zu.",
		    IMPORTER_MODULUS_BYTES, len);
	return AG_OK;
}

static ag_err
begin(struct ag_ctx *ctx, struct opening *job, const Ag__RotGenerateAsk *ask,
    struct importer *row)
{
	ag_err err;

	job->wrapped = malloc(ask->wrapped.len);
	if (job->wrapped == NULL || EVP_PKEY_up_ref(row->pkey) != 1)
		return AG_NO_MEMORY;
	job->pkey = row->pkey;
	memcpy(job->tenant, row->tenant, sizeof(job->tenant));
	memcpy(job->id, row->id, sizeof(job->id));
	job->algorithm = row->algorithm;
	memcpy(job->wrapped, ask->wrapped.data, ask->wrapped.len);
	job->wrapped_len = ask->wrapped.len;
	err = ag_work(ctx, work_open, job, on_opened);
	row->busy = err == AG_PENDING;
	return err;
}

ag_err
importer_open(struct importers *importers, struct ag_ctx *ctx,
    const Ag__RotGenerateAsk *ask, const struct make_spec *spec, importer_keep *keep)
{
	struct importer *row;
	struct opening *job;
	ag_err err;

	sweep(importers, ag_now_ms(ctx));
	row = find(importers, ask->tenant, ask->import_id);
	if (row == NULL || row->busy)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/import_id",
		    "There is no such import: it was used, or its hour is over.");
	if (!ask->has_wrapping_algorithm || ask->wrapping_algorithm != row->algorithm)
		return ag_refuse(ctx, AG_INVALID_FIELD, "conflicting_fields",
		    "/wrapping_algorithm", "The import was begun with the other algorithm.");
	if ((err = wrapped_check(ctx, ask)) != AG_OK)
		return err;
	if ((job = calloc(1, sizeof(*job))) == NULL)
		return AG_NO_MEMORY;
	job->importers = importers;
	job->spec = spec;
	job->keep = keep;
	if ((err = begin(ctx, job, ask, row)) != AG_PENDING)
		opening_free(job);
	return err;
}
