/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"

#include <string.h>

bool
seed_parse(const char *scope, struct seed *out)
{
	const char *first = strchr(scope, ':'), *last = strrchr(scope, ':');
	size_t kind_len = first == NULL ? 0 : (size_t)(first - scope);
	bool is_key;

	memset(out, 0, sizeof(*out));
	if (kind_len == 0 || kind_len >= sizeof(out->kind) || last == first ||
	    strcmp(last, ":*") == 0)
		return false;
	memcpy(out->kind, scope, kind_len);
	out->op = last + 1;
	is_key = strcmp(out->kind, "key") == 0;
	if (is_key && strncmp(first, ":*:", 3) != 0 &&
	    strncmp(first, ":label=", 7) != 0) {
		out->key = first + 1;
		out->key_len = (size_t)(last - first - 1);
	}
	return true;
}

bool
seed_allows(const struct seed *seed, const struct ag_operation *op)
{
	return op->kind != AG_KIND_ANY &&
	    strcmp(ag_kind_name(op->kind), seed->kind) == 0 &&
	    strcmp(op->op, seed->op) == 0;
}
