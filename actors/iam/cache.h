/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c: tokens whose signature was checked */
#ifndef AEGIS_ACTORS_IAM_CACHE_H
#define AEGIS_ACTORS_IAM_CACHE_H

#include <aegis/aegis.h>

#include "bounds.h"
#include "directory.h"

struct iam_cache_entry {
	uint8_t hash[32];
	struct iam_token *token;
	int64_t expires_at;
	uint32_t next, newer, older; /* index + 1; 0: none */
};
struct iam_cache {
	uint32_t foreign; /* entries that own their token */
	struct iam_cache_entry *entries;
	uint32_t heads[IAM_CACHE_MAX]; /* index + 1 */
	uint32_t used, free, newest, oldest;
};

ag_err iam_cache_init(struct iam_cache *cache) AG_MUST;
void iam_cache_fini(struct iam_cache *cache);
struct iam_token *iam_cache_get(struct iam_cache *cache, const uint8_t hash[32],
    int64_t now_ms);
void iam_cache_put(struct iam_cache *cache, const uint8_t hash[32],
    struct iam_token *token, int64_t expires_at);
void iam_cache_clear(struct iam_cache *cache);
/* Drops what is about tokens that left. */
void iam_cache_forget(struct iam_cache *cache);

#endif
