/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWK sets of other issuers. Whatever is taken has keys that are whole, each
 * with a kid of its own and with an algorithm that is not symmetric.
 */
#include "jwk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct iam_jwks set;
	const char *why = NULL;

	memset(&set, 0, sizeof(set));
	if (iam_jwks_parse((const char *)data, size, &set, &why) != AG_OK) {
		if (why == NULL)
			abort();
		return 0;
	}
	if (set.count > IAM_FOREIGN_KEYS_MAX)
		abort();
	for (unsigned i = 0; i < set.count; i++) {
		const struct iam_jwk *k = &set.keys[i];

		if (k->pkey == NULL || k->kid[0] == '\0' ||
		    (k->alg & (IAM_ES256 | IAM_RS256 | IAM_EDDSA)) == 0 ||
		    iam_jwks_find(&set, k->kid) != k)
			abort();
	}
	iam_jwks_free(&set);
	return 0;
}
