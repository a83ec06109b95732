/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes and their secrets at rest; pure but for OpenSSL. */
#ifndef AEGIS_ACTORS_IAM_OTP_H
#define AEGIS_ACTORS_IAM_OTP_H

#include <aegis/secret.h>

enum {
	IAM_OTP_DIGITS = 6,
	IAM_OTP_STEP_S = 30,
	IAM_OTP_SECRET = 20,  /* bytes; RFC 4226 §4 recommends 160 bits */
	IAM_OTP_BASE32 = 33,  /* its text, with NUL */
	IAM_OTP_WRAPPED = 49, /* version, nonce, secret, tag */
};

/* The code of one step; false: OpenSSL failed. */
bool iam_otp_code(const uint8_t *secret, size_t len, uint64_t step,
    char out[IAM_OTP_DIGITS + 1]) AG_MUST;
/* Is it the code of this step, the one before or the next? *step: of which.
 * The time it takes does not depend on the code. */
bool iam_otp_match(const uint8_t *secret, size_t len, int64_t now_ms,
    const char given[IAM_OTP_DIGITS], uint64_t *step) AG_MUST;
bool iam_otp_valid(const char *code); /* six digits */
void iam_otp_base32(const uint8_t secret[IAM_OTP_SECRET],
    char out[IAM_OTP_BASE32]);
/* key: 32 bytes of the root of trust. */
ag_err iam_otp_wrap(struct ag_secret *key, const char *principal,
    struct ag_secret *secret, uint8_t out[IAM_OTP_WRAPPED]) AG_MUST;
/* AG_CORRUPT: of another principal or key, or changed. The caller frees. */
ag_err iam_otp_unwrap(struct ag_secret *key, const char *principal,
    const uint8_t in[IAM_OTP_WRAPPED], struct ag_secret **out) AG_MUST;

#endif
