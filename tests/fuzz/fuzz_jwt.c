/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens from outside. As they come; and, when the first byte is even, the rest
 * taken as header and payload (split at the first newline) and signed properly,
 * so that the fuzzer gets past the signature to the claims.
 */
#include "iam.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t NOW = INT64_C(1790000000000);
static struct iam_keyring ring;
static EVP_PKEY *issuer;

static void
setup(void)
{
	static const uint8_t seed[32] = { 1, 2, 3 };
	Ag__RotKey key = AG__ROT_KEY__INIT;

	issuer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	key.key_id = (char *)"k1";
	key.public_key_der.len = (size_t)i2d_PUBKEY(issuer,
	    &key.public_key_der.data);
	if (iam_keyring_add(&ring, &key) != AG_OK)
		abort();
	OPENSSL_free(key.public_key_der.data);
}

static void
check(const char *token, size_t len)
{
	struct iam_claims claims;
	struct iam_jwt jwt;

	/* Whatever is taken has everything that the station relies on. */
	if (iam_jwt_open(token, len, &jwt) == NULL &&
	    iam_jwt_verify(&ring, "aegis", &jwt, NOW, &claims) == NULL &&
	    (claims.sub[0] == '\0' || claims.jti[0] == '\0' ||
	    claims.exp_ms <= NOW))
		abort();
}

static void
check_signed(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	size_t header = line == NULL ? size : (size_t)(line - data);
	size_t payload = line == NULL ? 0 : size - header - 1;
	char *input = malloc(2 * size + 16), *token;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t len = sizeof(signature);

	ag_base64url(data, header, input);
	strcat(input, ".");
	ag_base64url(line == NULL ? data : line + 1, payload,
	    input + strlen(input));
	if (EVP_DigestSignInit(md, NULL, NULL, NULL, issuer) != 1 ||
	    EVP_DigestSign(md, signature, &len, (const uint8_t *)input,
	    strlen(input)) != 1)
		abort();
	token = iam_jwt_finish(input, signature, len);
	check(token, strlen(token));
	EVP_MD_CTX_free(md);
	free(token);
	free(input);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (issuer == NULL)
		setup();
	if (size == 0 || size > 8192)
		return 0;
	if (data[0] % 2 == 0)
		check_signed(data + 1, size - 1);
	else
		check((const char *)data + 1, size - 1);
	return 0;
}
