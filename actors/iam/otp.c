/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-time codes (RFC 6238 over HMAC-SHA-1 of RFC 4226): six digits, steps of
 * 30 s, one step either way. And their secrets at rest: AES-256-GCM under a
 * key of the root of trust, bound to the principal.
 */
#include "otp.h"

#include <aegis/bytes.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

enum {
	WRAP_VERSION = 1,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	MODULUS = 1000000,
};
_Static_assert(IAM_OTP_WRAPPED == 1 + NONCE_BYTES + IAM_OTP_SECRET + TAG_BYTES,
    "the form of a wrapped secret");

bool
iam_otp_code(const uint8_t *secret, size_t len, uint64_t step,
    char out[IAM_OTP_DIGITS + 1])
{
	uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0, at;
	uint32_t n;

	ag_put_be64(counter, step);
	if (HMAC(EVP_sha1(), secret, (int)len, counter, sizeof(counter), mac,
	    &mac_len) == NULL || mac_len != 20)
		return false;
	/* Dynamic truncation, RFC 4226 §5.3. */
	at = mac[19] & 0xf;
	n = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 |
	    (uint32_t)mac[at + 2] << 8 | mac[at + 3];
	ag_wipe(mac, sizeof(mac));
	n %= MODULUS;
	for (int i = IAM_OTP_DIGITS - 1; i >= 0; i--, n /= 10)
		out[i] = (char)('0' + n % 10);
	out[IAM_OTP_DIGITS] = '\0';
	return true;
}

/* All three are made and compared whatever the first one says. */
bool
iam_otp_match(const uint8_t *secret, size_t len, int64_t now_ms,
    const char given[IAM_OTP_DIGITS], uint64_t *step)
{
	uint64_t now = (uint64_t)now_ms / 1000 / IAM_OTP_STEP_S;
	char code[IAM_OTP_DIGITS + 1];
	uint64_t found = 0;

	for (uint64_t s = now > 0 ? now - 1 : 0; s <= now + 1; s++) {
		uint64_t same;

		if (!iam_otp_code(secret, len, s, code))
			return false;
		same = ag_secret_equal(code, given, IAM_OTP_DIGITS);
		found = (found & (same - 1)) | (s & -same);
	}
	ag_wipe(code, sizeof(code));
	*step = found;
	return found != 0;
}

bool
iam_otp_valid(const char *code)
{
	return strlen(code) == IAM_OTP_DIGITS &&
	    strspn(code, "0123456789") == IAM_OTP_DIGITS;
}

void
iam_otp_base32(const uint8_t secret[IAM_OTP_SECRET], char out[IAM_OTP_BASE32])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

	/* 20 bytes are 32 characters and no padding (RFC 4648 §6). */
	for (int i = 0; i < IAM_OTP_BASE32 - 1; i++) {
		int bit = i * 5, at = bit / 8, shift = 11 - bit % 8;
		unsigned pair = (unsigned)secret[at] << 8 |
		    (at + 1 < IAM_OTP_SECRET ? secret[at + 1] : 0);

		out[i] = alphabet[pair >> shift & 31];
	}
	out[IAM_OTP_BASE32 - 1] = '\0';
}

/* ---------------------------------------------------------------- at rest */

static bool
seal(EVP_CIPHER_CTX *c, const uint8_t *key, const char *principal,
    const uint8_t *secret, uint8_t *out)
{
	uint8_t *nonce = out + 1, *box = nonce + NONCE_BYTES;
	int n;

	out[0] = WRAP_VERSION;
	return RAND_bytes(nonce, NONCE_BYTES) == 1 &&
	    EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
	    EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)principal,
	    (int)strlen(principal)) == 1 &&
	    EVP_EncryptUpdate(c, box, &n, secret, IAM_OTP_SECRET) == 1 &&
	    EVP_EncryptFinal_ex(c, box + n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES,
	    box + IAM_OTP_SECRET) == 1;
}

static bool
open_it(EVP_CIPHER_CTX *c, const uint8_t *key, const char *principal,
    const uint8_t *in, uint8_t *secret)
{
	const uint8_t *nonce = in + 1, *box = nonce + NONCE_BYTES;
	int n;

	return in[0] == WRAP_VERSION &&
	    EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
	    EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)principal,
	    (int)strlen(principal)) == 1 &&
	    EVP_DecryptUpdate(c, secret, &n, box, IAM_OTP_SECRET) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES,
	    (void *)(uintptr_t)(box + IAM_OTP_SECRET)) == 1 &&
	    EVP_DecryptFinal_ex(c, secret + n, &n) == 1;
}

ag_err
iam_otp_wrap(struct ag_secret *key, const char *principal,
    struct ag_secret *secret, uint8_t out[IAM_OTP_WRAPPED])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool done;

	if (c == NULL)
		return AG_NO_MEMORY;
	done = ag_secret_len(key) == 32 &&
	    ag_secret_len(secret) == IAM_OTP_SECRET &&
	    seal(c, ag_secret_bytes(key), principal, ag_secret_bytes(secret), out);
	EVP_CIPHER_CTX_free(c);
	return done ? AG_OK : AG_GENERAL_FAILURE;
}

ag_err
iam_otp_unwrap(struct ag_secret *key, const char *principal,
    const uint8_t in[IAM_OTP_WRAPPED], struct ag_secret **out)
{
	EVP_CIPHER_CTX *c;
	ag_err err = ag_secret_new(IAM_OTP_SECRET, out);

	if (err != AG_OK)
		return err;
	c = EVP_CIPHER_CTX_new();
	if (c == NULL || ag_secret_len(key) != 32 ||
	    !open_it(c, ag_secret_bytes(key), principal, in,
	    ag_secret_bytes(*out))) {
		ag_secret_free(out);
		err = c == NULL ? AG_NO_MEMORY : AG_CORRUPT;
	}
	EVP_CIPHER_CTX_free(c);
	return err;
}
