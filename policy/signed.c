/* SPDX-License-Identifier: Apache-2.0 */
/* Signed policy documents: statements are made, read and believed. */
#include "signed.h"

#include <aegis/id.h>

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <string.h>

enum {
	KEY_BYTES = 32, SIGNATURE_BYTES = 64, SIGNATURE_TEXT = 87, PART_MAX = 512,
};
/* Numbers of JSON are exact up to there (RFC 8259 §6). */
#define VERSION_MAX INT64_C(9007199254740991)

static const struct {
	const char *reason, *detail;
} faults[AG_SIGNED_FAULTS] = {
	[AG_SIGNED_OK] = { "", "" },
	[AG_SIGNED_MISSING] = { "signature_missing",
	    "It is not signed, and policies.enforce wants that." },
	[AG_SIGNED_MALFORMED] = { "signature_malformed",
	    "This is not a signature that `aegis policy sign` made." },
	[AG_SIGNED_UNKNOWN_SIGNER] = { "signer_unknown",
	    "policies.signers has no such signer for this tenant." },
	[AG_SIGNED_BAD] = { "signature_wrong",
	    "The signature is not this signer's." },
	[AG_SIGNED_OTHER_TENANT] = { "signature_tenant",
	    "It was signed for another tenant." },
	[AG_SIGNED_OTHER_NAME] = { "signature_name",
	    "It was signed for a document of another name." },
	[AG_SIGNED_ALTERED] = { "signature_altered",
	    "The text is not the one that was signed." },
	[AG_SIGNED_OLDER] = { "signature_older",
	    "A newer signed version was put before; sign it again." },
	[AG_SIGNED_EXPIRED] = { "signature_expired",
	    "The time in which it could be put in force is over." },
	[AG_SIGNED_SIGNER_EXPIRED] = { "signer_expired",
	    "What this signer signs is no longer taken." },
};

const char *
ag_signed_reason(enum ag_signed_fault fault)
{
	return faults[fault].reason;
}

const char *
ag_signed_detail(enum ag_signed_fault fault)
{
	return faults[fault].detail;
}

/* -------------------------------------------------------------------- keys */

static EVP_PKEY *
only_ed25519(EVP_PKEY *key, char id[AG_SIGNED_HEX_SIZE])
{
	uint8_t raw[KEY_BYTES], hash[32];
	size_t len = sizeof(raw);

	if (key == NULL)
		return NULL;
	if (EVP_PKEY_id(key) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(key, raw, &len) != 1 ||
	    len != sizeof(raw)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	ag_sha256(raw, sizeof(raw), hash);
	ag_hex(hash, sizeof(hash), id);
	return key;
}

/* A key under a passphrase is not asked for one. */
static int
no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf, (void)size, (void)rwflag, (void)u;
	return -1;
}

static EVP_PKEY *
of_pem(const char *pem, size_t len, bool secret, char id[AG_SIGNED_HEX_SIZE])
{
	BIO *bio = len > AG_SIGNED_PEM_MAX ? NULL :
	    BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *key = NULL;

	if (bio == NULL)
		return NULL;
	key = secret ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) :
	    PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return only_ed25519(key, id);
}

EVP_PKEY *
ag_signed_public(const char *pem, size_t len, char id[AG_SIGNED_HEX_SIZE])
{
	return of_pem(pem, len, false, id);
}

EVP_PKEY *
ag_signed_private(const char *pem, size_t len, char id[AG_SIGNED_HEX_SIZE])
{
	return of_pem(pem, len, true, id);
}

/* --------------------------------------------------------------- statements */

void
ag_signed_digest(const char *text, size_t len, char out[AG_SIGNED_HEX_SIZE])
{
	uint8_t hash[32];

	if (text == NULL) {
		strcpy(out, AG_SIGNED_GONE);
		return;
	}
	ag_sha256(text, len, hash);
	ag_hex(hash, sizeof(hash), out);
}

static bool
is_hex(const char *text)
{
	uint8_t bytes[32];

	return strlen(text) == 64 && ag_hex_parse(text, bytes, sizeof(bytes)) &&
	    strspn(text, "0123456789abcdef") == 64;
}

/* Nothing in it needs an escape in JSON, then. */
static bool
sayable(const struct ag_signed *s)
{
	return ag_name_valid(s->tenant) && ag_name_valid(s->name) &&
	    s->version >= 1 && s->version <= VERSION_MAX &&
	    s->expires_at > 0 && s->expires_at % 1000 == 0 &&
	    is_hex(s->signer) &&
	    (strcmp(s->sha256, AG_SIGNED_GONE) == 0 || is_hex(s->sha256));
}

/* Header and payload, as they are signed. */
static bool
statement(const struct ag_signed *s, char out[AG_SIGNED_TEXT_SIZE])
{
	char header[PART_MAX], payload[PART_MAX];
	int h, p;

	if (!sayable(s))
		return false;
	h = snprintf(header, sizeof(header),
	    "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"aegis-policy\"}",
	    s->signer);
	p = snprintf(payload, sizeof(payload), "{\"exp\":%lld,\"name\":\"%s\","
	    "\"sha256\":\"%s\",\"tenant\":\"%s\",\"version\":%lld}",
	    (long long)(s->expires_at / 1000), s->name, s->sha256, s->tenant,
	    (long long)s->version);
	ag_base64url((const uint8_t *)header, (size_t)h, out);
	strcat(out, ".");
	ag_base64url((const uint8_t *)payload, (size_t)p, out + strlen(out));
	return true;
}

bool
ag_signed_make(const struct ag_signed *what, EVP_PKEY *key,
    char out[AG_SIGNED_TEXT_SIZE])
{
	uint8_t signature[SIGNATURE_BYTES];
	size_t len = sizeof(signature), end;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good;

	good = md != NULL && statement(what, out) &&
	    EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(md, signature, &len, (const uint8_t *)out,
	    strlen(out)) == 1 && len == sizeof(signature);
	EVP_MD_CTX_free(md);
	if (!good)
		return false;
	end = strlen(out);
	out[end] = '.';
	ag_base64url(signature, sizeof(signature), out + end + 1);
	return true;
}

/* One part of the three, as JSON. */
static json_t *
part(const char *text, size_t len)
{
	char json[PART_MAX];
	size_t n;

	return ag_base64url_parse(text, len, (uint8_t *)json, sizeof(json), &n) ?
	    json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static bool
copied(char *out, size_t size, const char *text)
{
	return (size_t)snprintf(out, size, "%s", text) < size;
}

bool
ag_signed_read(const char *text, struct ag_signed *out)
{
	const char *dot = strchr(text, '.'), *last = strrchr(text, '.');
	const char *kid, *name, *digest, *tenant;
	char again[AG_SIGNED_TEXT_SIZE];
	json_int_t exp, version;
	json_t *header, *payload;
	bool good;

	memset(out, 0, sizeof(*out));
	if (dot == NULL || last == dot ||
	    strlen(text) >= AG_SIGNED_TEXT_SIZE ||
	    strlen(last + 1) != SIGNATURE_TEXT - 1)
		return false;
	header = part(text, (size_t)(dot - text));
	payload = part(dot + 1, (size_t)(last - dot) - 1);
	good = json_unpack(header, "{s:s}", "kid", &kid) == 0 &&
	    json_unpack(payload, "{s:I,s:s,s:s,s:s,s:I}", "exp", &exp, "name",
	    &name, "sha256", &digest, "tenant", &tenant, "version",
	    &version) == 0 && exp > 0 && exp <= INT64_MAX / 1000 &&
	    copied(out->signer, sizeof(out->signer), kid) &&
	    copied(out->name, sizeof(out->name), name) &&
	    copied(out->tenant, sizeof(out->tenant), tenant) &&
	    copied(out->sha256, sizeof(out->sha256), digest);
	if (good) {
		out->expires_at = exp * 1000;
		out->version = version;
		/* One statement has one form: what is signed is what is read. */
		good = statement(out, again) &&
		    strlen(again) == (size_t)(last - text) &&
		    memcmp(again, text, strlen(again)) == 0;
	}
	json_decref(header);
	json_decref(payload);
	return good;
}

/* ------------------------------------------------------------------- belief */

static bool
signed_by(const char *text, EVP_PKEY *key)
{
	const char *last = strrchr(text, '.');
	uint8_t signature[SIGNATURE_BYTES];
	EVP_MD_CTX *md;
	size_t len;
	bool good;

	if (!ag_base64url_parse(last + 1, strlen(last + 1), signature,
	    sizeof(signature), &len) || len != sizeof(signature) ||
	    (md = EVP_MD_CTX_new()) == NULL)
		return false;
	good = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(md, signature, len, (const uint8_t *)text,
	    (size_t)(last - text)) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

static const struct ag_signer *
signer_of(const struct ag_signer *signers, size_t count, const char *id,
    const char *tenant)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(signers[i].id, id) == 0 && (signers[i].tenant == NULL ||
		    strcmp(signers[i].tenant, tenant) == 0))
			return &signers[i];
	return NULL;
}

enum ag_signed_fault
ag_signed_check(const char *text, const struct ag_signer *signers,
    size_t count, const struct ag_signed_want *want, struct ag_signed *out)
{
	const struct ag_signer *signer;
	char digest[AG_SIGNED_HEX_SIZE];

	memset(out, 0, sizeof(*out));
	if (text == NULL || text[0] == '\0')
		return AG_SIGNED_MISSING;
	if (!ag_signed_read(text, out))
		return AG_SIGNED_MALFORMED;
	signer = signer_of(signers, count, out->signer, want->tenant);
	if (signer == NULL)
		return AG_SIGNED_UNKNOWN_SIGNER;
	if (!signed_by(text, signer->key))
		return AG_SIGNED_BAD;
	if (strcmp(out->tenant, want->tenant) != 0)
		return AG_SIGNED_OTHER_TENANT;
	if (strcmp(out->name, want->name) != 0)
		return AG_SIGNED_OTHER_NAME;
	ag_signed_digest(want->text, want->len, digest);
	if (strcmp(out->sha256, digest) != 0)
		return AG_SIGNED_ALTERED;
	if (out->version < want->after ||
	    (out->version == want->after && !want->again))
		return AG_SIGNED_OLDER;
	if (want->now >= out->expires_at)
		return AG_SIGNED_EXPIRED;
	return want->now >= signer->until ? AG_SIGNED_SIGNER_EXPIRED :
	    AG_SIGNED_OK;
}
