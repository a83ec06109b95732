/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ceremony: the two ceremonies of WebAuthn. Of a registration the signature over the new key is
 * checked where there is one (packed and fido-u2f statements, by the key itself
 * or by a certificate of its maker's); that a certificate is really the maker's
 * is nowhere claimed, so "certificate" is not more trusted than "none".
 */
#include "ceremony.h"

#include <aegis/id.h>

#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>
#include <openssl/crypto.h>
#include <string.h>

enum { HASH = 32 };

static const struct iam_fido_word words[] = {
	[IAM_FIDO_CLIENT_DATA] = { "client_data",
	    "The client data is not what a browser makes." },
	[IAM_FIDO_CEREMONY] = { "ceremony",
	    "The client data is of another ceremony." },
	[IAM_FIDO_WRONG_CHALLENGE] = { "challenge_wrong",
	    "The client data is for another challenge." },
	[IAM_FIDO_ORIGIN] = { "origin",
	    "Keys are not used from this origin here." },
	[IAM_FIDO_AUTH_DATA] = { "authenticator_data",
	    "The authenticator's data is malformed." },
	[IAM_FIDO_RP_ID] = { "rp_id",
	    "The authenticator's data is for another relying party." },
	[IAM_FIDO_PRESENCE] = { "user_presence", "The key was not touched." },
	[IAM_FIDO_VERIFICATION] = { "user_verification",
	    "The key has not seen its owner's PIN or finger." },
	[IAM_FIDO_ALGORITHM] = { "algorithm",
	    "The key is none of ES256, EdDSA and RS256." },
	[IAM_FIDO_ATTESTATION] = { "attestation",
	    "The attestation is none of none, packed and fido-u2f, or does not "
	    "fit the key." },
	[IAM_FIDO_CREDENTIAL] = { "credential_unknown",
	    "No key of yours has this id." },
	[IAM_FIDO_SIGNATURE] = { "signature", "The signature is not the key's." },
	[IAM_FIDO_COUNT] = { "sign_count",
	    "The key's counter has not moved on: there may be a copy of it." },
	[IAM_FIDO_NO_MEMORY] = { NULL, NULL },
};

const struct iam_fido_word *
iam_fido_word(enum iam_fido_end end)
{
	return &words[end];
}

const int iam_fido_algorithms[] = { COSE_ES256, COSE_EDDSA, COSE_RS256, 0 };

const char *
iam_fido_algorithm(int algorithm)
{
	return algorithm == COSE_ES256 ? "ES256" : algorithm == COSE_EDDSA ?
	    "EdDSA" : algorithm == COSE_RS256 ? "RS256" : NULL;
}

/* --------------------------------------------------------------- public keys */

union public {
	void *any;
	es256_pk_t *es256;
	eddsa_pk_t *eddsa;
	rs256_pk_t *rs256;
};

static void
public_free(int algorithm, union public *pk)
{
	if (algorithm == COSE_ES256)
		es256_pk_free(&pk->es256);
	else if (algorithm == COSE_EDDSA)
		eddsa_pk_free(&pk->eddsa);
	else if (algorithm == COSE_RS256)
		rs256_pk_free(&pk->rs256);
}

static bool
public_make(int algorithm, struct iam_bytes key, union public *pk)
{
	int r = FIDO_ERR_INVALID_ARGUMENT;

	pk->any = NULL;
	if (algorithm == COSE_ES256 && key.len == 64 &&
	    (pk->es256 = es256_pk_new()) != NULL)
		r = es256_pk_from_ptr(pk->es256, key.data, key.len);
	else if (algorithm == COSE_EDDSA && key.len == 32 &&
	    (pk->eddsa = eddsa_pk_new()) != NULL)
		r = eddsa_pk_from_ptr(pk->eddsa, key.data, key.len);
	else if (algorithm == COSE_RS256 && key.len == IAM_FIDO_KEY_MAX &&
	    (pk->rs256 = rs256_pk_new()) != NULL)
		r = rs256_pk_from_ptr(pk->rs256, key.data, key.len);
	if (r == FIDO_OK)
		return true;
	public_free(algorithm, pk);
	return false;
}

bool
iam_fido_key_valid(int algorithm, struct iam_bytes key)
{
	union public pk;
	bool valid = public_make(algorithm, key, &pk);

	if (valid)
		public_free(algorithm, &pk);
	return valid;
}

/* ------------------------------------------------------- what both have to be */

static enum iam_fido_end
check_auth(const struct iam_fido_party *party, const struct iam_fido_auth *auth)
{
	uint8_t hash[HASH];

	ag_sha256(party->rp_id, strlen(party->rp_id), hash);
	if (CRYPTO_memcmp(hash, auth->rp_hash, sizeof(hash)) != 0)
		return IAM_FIDO_RP_ID;
	if ((auth->flags & IAM_FIDO_UP) == 0)
		return IAM_FIDO_PRESENCE;
	if (party->verification && (auth->flags & IAM_FIDO_UV) == 0)
		return IAM_FIDO_VERIFICATION;
	return IAM_FIDO_OK;
}

/* -------------------------------------------------------------- registration */

/* A credential as libfido2 has it, if its key is of this algorithm. */
static bool
cred_fill(fido_cred_t *cred, const struct iam_fido_party *party, int algorithm,
    const uint8_t hash[HASH], const struct iam_fido_object *object)
{
	return fido_cred_set_type(cred, algorithm) == FIDO_OK &&
	    fido_cred_set_clientdata_hash(cred, hash, HASH) == FIDO_OK &&
	    fido_cred_set_rp(cred, party->rp_id, NULL) == FIDO_OK &&
	    (!party->verification ||
	    fido_cred_set_uv(cred, FIDO_OPT_TRUE) == FIDO_OK) &&
	    fido_cred_set_authdata_raw(cred, object->auth.data,
	    object->auth.len) == FIDO_OK;
}

/* §8: its kind; NULL: it is not what it says. */
static const char *
attest(fido_cred_t *cred, const struct iam_fido_object *object)
{
	/* §8.7: nothing is said, not even with a byte. */
	if (strcmp(object->format, "none") == 0)
		return object->statement.len == 1 ? "none" : NULL;
	if ((strcmp(object->format, "packed") != 0 &&
	    strcmp(object->format, "fido-u2f") != 0) ||
	    fido_cred_set_fmt(cred, object->format) != FIDO_OK ||
	    fido_cred_set_attstmt(cred, object->statement.data,
	    object->statement.len) != FIDO_OK)
		return NULL;
	if (fido_cred_x5c_len(cred) != 0)
		return fido_cred_verify(cred) == FIDO_OK ? "certificate" : NULL;
	return fido_cred_verify_self(cred) == FIDO_OK ? "self" : NULL;
}

static enum iam_fido_end
cred_take(fido_cred_t *cred, int algorithm, const struct iam_fido_object *object,
    const struct iam_fido_auth *auth, struct iam_fido_key *out)
{
	struct iam_bytes key = { fido_cred_pubkey_ptr(cred),
		fido_cred_pubkey_len(cred) };

	if (key.data == NULL || key.len > sizeof(out->key) ||
	    !iam_fido_key_valid(algorithm, key))
		return IAM_FIDO_ALGORITHM;
	if ((out->attestation = attest(cred, object)) == NULL)
		return IAM_FIDO_ATTESTATION;
	out->algorithm = algorithm;
	memcpy(out->key, key.data, key.len);
	out->key_len = key.len;
	memcpy(out->id, auth->id.data, auth->id.len);
	out->id_len = auth->id.len;
	memcpy(out->aaguid, auth->aaguid, sizeof(out->aaguid));
	out->sign_count = auth->count;
	return IAM_FIDO_OK;
}

enum iam_fido_end
iam_fido_register(const struct iam_fido_party *party,
    const uint8_t challenge[IAM_FIDO_CHALLENGE], struct iam_bytes client,
    struct iam_bytes object, struct iam_fido_key *out)
{
	enum iam_fido_end end = iam_fido_client_check(party, "webauthn.create",
	    challenge, client);
	struct iam_fido_object read;
	struct iam_fido_auth auth;
	uint8_t hash[HASH];

	if (end != IAM_FIDO_OK)
		return end;
	if (!iam_fido_object_read(object, &read))
		return IAM_FIDO_ATTESTATION;
	if (!iam_fido_auth_read(read.auth, &auth) || auth.aaguid == NULL)
		return IAM_FIDO_AUTH_DATA;
	if ((end = check_auth(party, &auth)) != IAM_FIDO_OK)
		return end;
	ag_sha256(client.data, client.len, hash);
	end = IAM_FIDO_ALGORITHM;
	for (const int *a = iam_fido_algorithms; *a != 0 &&
	    end == IAM_FIDO_ALGORITHM; a++) {
		fido_cred_t *cred = fido_cred_new();

		if (cred == NULL)
			return IAM_FIDO_NO_MEMORY;
		if (cred_fill(cred, party, *a, hash, &read))
			end = cred_take(cred, *a, &read, &auth, out);
		fido_cred_free(&cred);
	}
	return end;
}

/* ----------------------------------------------------------------- assertion */

static bool
is_signed(fido_assert_t *a, const struct iam_fido_party *party,
    const struct iam_fido_key *key, const uint8_t hash[HASH],
    struct iam_bytes auth, struct iam_bytes signature)
{
	union public pk;
	bool good;

	if (fido_assert_set_clientdata_hash(a, hash, HASH) != FIDO_OK ||
	    fido_assert_set_rp(a, party->rp_id) != FIDO_OK ||
	    fido_assert_set_count(a, 1) != FIDO_OK ||
	    fido_assert_set_authdata_raw(a, 0, auth.data, auth.len) != FIDO_OK ||
	    fido_assert_set_sig(a, 0, signature.data, signature.len) != FIDO_OK ||
	    fido_assert_set_up(a, FIDO_OPT_TRUE) != FIDO_OK ||
	    (party->verification &&
	    fido_assert_set_uv(a, FIDO_OPT_TRUE) != FIDO_OK) ||
	    !public_make(key->algorithm,
	    (struct iam_bytes){ key->key, key->key_len }, &pk))
		return false;
	good = fido_assert_verify(a, 0, key->algorithm, pk.any) == FIDO_OK;
	public_free(key->algorithm, &pk);
	return good;
}

enum iam_fido_end
iam_fido_assert(const struct iam_fido_party *party,
    const uint8_t challenge[IAM_FIDO_CHALLENGE], const struct iam_fido_key *key,
    struct iam_bytes client, struct iam_bytes auth, struct iam_bytes signature,
    uint32_t *count)
{
	enum iam_fido_end end = iam_fido_client_check(party, "webauthn.get",
	    challenge, client);
	struct iam_fido_auth read;
	fido_assert_t *a;
	uint8_t hash[HASH];
	bool good;

	if (end != IAM_FIDO_OK)
		return end;
	if (auth.len > IAM_FIDO_AUTH_MAX || !iam_fido_auth_read(auth, &read))
		return IAM_FIDO_AUTH_DATA;
	if ((end = check_auth(party, &read)) != IAM_FIDO_OK)
		return end;
	if (signature.len == 0 || signature.len > IAM_FIDO_SIGNATURE_MAX)
		return IAM_FIDO_SIGNATURE;
	if ((a = fido_assert_new()) == NULL)
		return IAM_FIDO_NO_MEMORY;
	ag_sha256(client.data, client.len, hash);
	good = is_signed(a, party, key, hash, auth, signature);
	fido_assert_free(&a);
	if (!good)
		return IAM_FIDO_SIGNATURE;
	/* §7.2, step 21: only now, when it is the key that says so. */
	if ((read.count != 0 || key->sign_count != 0) &&
	    read.count <= key->sign_count)
		return IAM_FIDO_COUNT;
	*count = read.count;
	return IAM_FIDO_OK;
}
