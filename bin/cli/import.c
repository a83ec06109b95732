/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis key import: a public key as it is, or material that is wrapped here, for
 * the one import that the server made a key for (RSA_AES_KEY_WRAP_SHA_256, which
 * takes every length). Unwrapped it goes nowhere.
 */
#include "cli.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum {
	MATERIAL_MAX = 16384,
	KEK_BYTES = 32,
	MODULUS_BYTES = 512,
	WRAPPED_MAX = MODULUS_BYTES + MATERIAL_MAX + 16,
};

static const char algorithm[] = "RSA_AES_KEY_WRAP_SHA_256";

/* OAEP of a fresh AES key: the first part. */
static bool
wrap_kek(const char *pem, const uint8_t kek[KEK_BYTES], uint8_t *out)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
	size_t len = MODULUS_BYTES;
	bool ok = ctx != NULL && EVP_PKEY_get_size(pkey) == MODULUS_BYTES &&
	    EVP_PKEY_encrypt_init(ctx) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
	    EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
	    EVP_PKEY_encrypt(ctx, out, &len, kek, KEK_BYTES) == 1;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return ok;
}

/* AES-KWP of the material under it: the second part. */
static bool
wrap_material(const uint8_t kek[KEK_BYTES], const char *material, size_t len,
    uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok;

	if (ctx != NULL)
		EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = ctx != NULL &&
	    EVP_EncryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, kek, NULL) == 1 &&
	    EVP_EncryptUpdate(ctx, out, &n, (const uint8_t *)material, (int)len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	*out_len = ok ? (size_t)n : 0;
	return ok;
}

static char *
wrapped_text(const char *pem, const char *material, size_t len)
{
	uint8_t kek[KEK_BYTES], *wrapped = malloc(WRAPPED_MAX);
	size_t n = 0;
	char *text = NULL;

	if (wrapped != NULL && RAND_priv_bytes(kek, KEK_BYTES) == 1 &&
	    wrap_kek(pem, kek, wrapped) &&
	    wrap_material(kek, material, len, wrapped + MODULUS_BYTES, &n) &&
	    (text = malloc(ag_base64_size(MODULUS_BYTES + n))) != NULL)
		ag_base64(wrapped, MODULUS_BYTES + n, text);
	ag_wipe(kek, sizeof(kek));
	free(wrapped);
	ERR_clear_error();
	return text;
}

/* A private key in PEM becomes the DER in it; everything else is as it is. */
static enum cli_exit
take_pem(const char *name, char **material, size_t *len)
{
	BIO *bio;
	char *label = NULL, *header = NULL;
	uint8_t *der = NULL;
	long n = 0;
	bool ok;

	if (*len < 11 || memcmp(*material, "-----BEGIN ", 11) != 0)
		return CLI_OK;
	bio = BIO_new_mem_buf(*material, (int)*len);
	ok = bio != NULL && PEM_read_bio(bio, &label, &header, &der, &n) == 1 &&
	    strcmp(label, PEM_STRING_PKCS8INF) == 0 && (size_t)n <= *len;
	if (ok) {
		ag_wipe(*material, *len);
		memcpy(*material, der, (size_t)n);
		*len = (size_t)n;
	}
	OPENSSL_free(label);
	OPENSSL_free(header);
	OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
	BIO_free(bio);
	ERR_clear_error();
	return ok ? CLI_OK : cli_fail(CLI_USAGE,
	    "%s: of PEM files only PRIVATE KEY (PKCS#8, not encrypted) is taken: openssl pkcs8 -topk8 -nocrypt",
	    name);
}

static enum cli_exit
read_material(const char *name, char **material, size_t *len)
{
	enum cli_exit status = cli_read(name, MATERIAL_MAX, material, len);

	if (status == CLI_OK && *len == 0)
		status = cli_fail(CLI_USAGE, "%s is empty", name);
	return status == CLI_OK ? take_pem(name, material, len) : status;
}

/* The server's key for this import, and the material under it, into the body. */
static enum cli_exit
put_wrapped(struct cli *cli, json_t *body, const char *material, size_t len)
{
	json_t *ask = json_pack("{s:s}", "wrapping_algorithm", algorithm);
	json_t *made = NULL;
	char *text = NULL;
	enum cli_exit status = cli_http(cli, "POST", "/v1/keys/import-parameters", ask,
	    &made);

	if (status == CLI_OK && (text = wrapped_text(
	    cli_member_text(made, "public_key_pem"), material, len)) == NULL)
		status = cli_fail(CLI_FAULT, "the server's key cannot be used");
	if (status == CLI_OK) {
		(void)json_object_set(body, "import_id", json_object_get(made, "import_id"));
		(void)json_object_set_new(body, "wrapping_algorithm", json_string(algorithm));
		(void)json_object_set_new(body, "wrapped_key_b64", json_string(text));
	}
	free(text);
	json_decref(ask);
	json_decref(made);
	return status;
}

static enum cli_exit
import(struct cli *cli, const char *material, size_t len)
{
	json_t *body = NULL, *answer = NULL;
	enum cli_exit status = cli_resolve(cli, true);

	if (status == CLI_OK)
		status = cli_body(cli, &body);
	if (status == CLI_OK && material != NULL)
		status = put_wrapped(cli, body, material, len);
	if (status == CLI_OK)
		status = cli_http(cli, "POST", cli->verb->path, body, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_line(cli->verb->columns, answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

enum cli_exit
cli_key_import(struct cli *cli)
{
	const char *in = cli_get(cli, "--in");
	const char *public = cli_get(cli, "--public-key");
	char *material = NULL;
	size_t len = 0;
	enum cli_exit status = CLI_OK;

	if ((in == NULL) == (public == NULL))
		return cli_fail(CLI_USAGE,
		    "say --in FILE (a secret or private key) or --public-key FILE");
	if (in != NULL)
		status = read_material(in, &material, &len);
	if (status == CLI_OK)
		status = import(cli, material, len);
	if (material != NULL)
		ag_wipe(material, len);
	free(material);
	return status;
}
