/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens whose signature and claims were good, by SHA-256 of their text; the
 * least recently used one makes room. Only the signature is skipped: whether
 * the token still counts is asked of the directory at every call. Other
 * issuers' tokens are known only here.
 */
#include "iam.h"

#include <stdlib.h>
#include <string.h>

ag_err
iam_cache_init(struct iam_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
	/* Zero pages: only what is used becomes resident. */
	cache->entries = calloc(IAM_CACHE_MAX, sizeof(*cache->entries));
	return cache->entries == NULL ? AG_NO_MEMORY : AG_OK;
}

static void
release(struct iam_cache *cache, struct iam_cache_entry *e)
{
	if (e->token != NULL && e->token->foreign != NULL) {
		free(e->token->foreign);
		free(e->token);
		cache->foreign--;
	}
	e->token = NULL;
}

static void
release_all(struct iam_cache *cache)
{
	for (uint32_t i = 0; i < cache->used && cache->foreign > 0; i++)
		release(cache, &cache->entries[i]);
}

void
iam_cache_fini(struct iam_cache *cache)
{
	if (cache->entries != NULL)
		release_all(cache);
	free(cache->entries);
	cache->entries = NULL;
}

void
iam_cache_clear(struct iam_cache *cache)
{
	release_all(cache);
	memset(cache->heads, 0, sizeof(cache->heads));
	cache->used = cache->free = cache->newest = cache->oldest = 0;
}

/* The hash is SHA-256 of a text that the issuer signed: no seed is needed. */
static uint32_t *
head_of(struct iam_cache *cache, const uint8_t hash[32])
{
	uint32_t h;

	memcpy(&h, hash, sizeof(h));
	return &cache->heads[h % IAM_CACHE_MAX];
}

static void
unlink_age(struct iam_cache *cache, uint32_t i)
{
	struct iam_cache_entry *e = &cache->entries[i - 1];

	if (e->newer != 0)
		cache->entries[e->newer - 1].older = e->older;
	else
		cache->newest = e->older;
	if (e->older != 0)
		cache->entries[e->older - 1].newer = e->newer;
	else
		cache->oldest = e->newer;
}

static void
link_newest(struct iam_cache *cache, uint32_t i)
{
	struct iam_cache_entry *e = &cache->entries[i - 1];

	e->newer = 0;
	e->older = cache->newest;
	if (cache->newest != 0)
		cache->entries[cache->newest - 1].newer = i;
	else
		cache->oldest = i;
	cache->newest = i;
}

static void
drop(struct iam_cache *cache, uint32_t i)
{
	struct iam_cache_entry *e = &cache->entries[i - 1];
	uint32_t *at = head_of(cache, e->hash);

	while (*at != i)
		at = &cache->entries[*at - 1].next;
	*at = e->next;
	unlink_age(cache, i);
	release(cache, e);
	e->next = cache->free;
	cache->free = i;
}

void
iam_cache_forget(struct iam_cache *cache)
{
	for (uint32_t i = 1; i <= cache->used; i++)
		if (cache->entries[i - 1].token != NULL &&
		    cache->entries[i - 1].token->left)
			drop(cache, i);
}

struct iam_token *
iam_cache_get(struct iam_cache *cache, const uint8_t hash[32], int64_t now_ms)
{
	for (uint32_t i = *head_of(cache, hash); i != 0;
	    i = cache->entries[i - 1].next) {
		struct iam_cache_entry *e = &cache->entries[i - 1];

		if (memcmp(e->hash, hash, 32) != 0)
			continue;
		if (now_ms >= e->expires_at) {
			drop(cache, i);
			return NULL;
		}
		if (cache->newest != i) {
			unlink_age(cache, i);
			link_newest(cache, i);
		}
		return e->token;
	}
	return NULL;
}

void
iam_cache_put(struct iam_cache *cache, const uint8_t hash[32],
    struct iam_token *token, int64_t expires_at)
{
	struct iam_cache_entry *e;
	uint32_t i, *at;

	if (cache->free == 0 && cache->used == IAM_CACHE_MAX)
		drop(cache, cache->oldest);
	if (cache->free != 0) {
		i = cache->free;
		cache->free = cache->entries[i - 1].next;
	} else {
		i = ++cache->used;
	}
	e = &cache->entries[i - 1];
	memcpy(e->hash, hash, 32);
	e->token = token;
	cache->foreign += token->foreign != NULL;
	e->expires_at = expires_at;
	at = head_of(cache, hash);
	e->next = *at;
	*at = i;
	link_newest(cache, i);
}
