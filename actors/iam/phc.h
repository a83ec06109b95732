/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of services at rest: their hash in PHC string form; pure but for
 * libsodium, and slow on purpose: for a worker, not for the loop. */
#ifndef AEGIS_ACTORS_IAM_PHC_H
#define AEGIS_ACTORS_IAM_PHC_H

#include <aegis/secret.h>

enum {
	IAM_PHC_SIZE = 128,            /* with NUL: crypto_pwhash_STRBYTES */
	IAM_PHC_PASSES = 2,            /* t, and … */
	IAM_PHC_MEMORY = 19456 * 1024, /* … m, in bytes: OWASP's for p = 1 */
};

/* "$argon2id$v=19$m=19456,t=2,p=1$salt$hash". AG_NO_MEMORY. */
ag_err iam_phc_make(struct ag_secret *secret, char out[IAM_PHC_SIZE]) AG_MUST;
/* Constant time in what is compared. */
bool iam_phc_match(const char *phc, struct ag_secret *secret) AG_MUST;
/* Is it such a string? */
bool iam_phc_valid(const char *phc);
/* Matches nothing, and takes as long as one that might. */
extern const char iam_phc_nobody[];

#endif
