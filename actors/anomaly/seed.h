/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an issued scope says about what its holder will do: seeds for baselines.
 */
#ifndef ANOMALY_SEED_H
#define ANOMALY_SEED_H

#include <aegis/aegis.h>

struct seed {
	char kind[16];
	const char *op;  /* in the scope's text, to its end */
	const char *key; /* in the scope's text; by id or alias */
	size_t key_len;  /* 0: it names no single key */
};

/* False: it is no scope, or says nothing in particular (`*` for the operation
 * is such a case: everything would be expected). */
bool seed_parse(const char *scope, struct seed *out);
/* Is this operation one that the scope allows by its word? */
bool seed_allows(const struct seed *seed, const struct ag_operation *op);

#endif
