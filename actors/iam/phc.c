/* SPDX-License-Identifier: Apache-2.0 */
/* Argon2id (RFC 9106) of libsodium: OpenSSL 3.0 has none, its own is of 3.2. */
#include "phc.h"

#include <sodium.h>
#include <string.h>

_Static_assert(IAM_PHC_SIZE == crypto_pwhash_STRBYTES, "a PHC string");

/* Of 32 random bytes that nobody kept. */
const char iam_phc_nobody[] =
    "$argon2id$v=19$m=19456,t=2,p=1$eNZa7cJHlmuoOuKSIkkP0Q"
    "$lmtFD8JQl8gQu8F42AWvcloUOMFqK3QuXhki8y+1B2U";

ag_err
iam_phc_make(struct ag_secret *secret, char out[IAM_PHC_SIZE])
{
	return crypto_pwhash_str_alg(out, (const char *)ag_secret_bytes(secret),
	    ag_secret_len(secret), IAM_PHC_PASSES, IAM_PHC_MEMORY,
	    crypto_pwhash_ALG_ARGON2ID13) == 0 ? AG_OK : AG_NO_MEMORY;
}

bool
iam_phc_match(const char *phc, struct ag_secret *secret)
{
	return crypto_pwhash_str_verify(phc,
	    (const char *)ag_secret_bytes(secret), ag_secret_len(secret)) == 0;
}

bool
iam_phc_valid(const char *phc)
{
	return strnlen(phc, IAM_PHC_SIZE) < IAM_PHC_SIZE &&
	    strncmp(phc, crypto_pwhash_argon2id_STRPREFIX,
	    sizeof(crypto_pwhash_argon2id_STRPREFIX) - 1) == 0;
}
