/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include <aegis/bytes.h>
#include <aegis/page.h>

#include <stdio.h>
#include <string.h>

/* The table of detectors. */
#define CFG(path, type, fallback, range, help)
#include <aegis/config.def>
#undef CFG

enum {
	ORDER_KEY_MAX = 160,   /* tenant, NUL, time, id */
	LOOKED_AT_MAX = 20000, /* rows a page looks at before it says "go on" */
};

struct order_key {
	uint8_t bytes[ORDER_KEY_MAX];
	size_t len;
	size_t tenant_len; /* with its NUL */
};

/* Newest first: the time is written as its complement. rest may be NULL. */
static bool
order_key(struct order_key *key, const char *tenant, const void *rest,
    size_t rest_len)
{
	key->tenant_len = strlen(tenant) + 1;
	if (key->tenant_len + rest_len > sizeof(key->bytes))
		return false;
	memcpy(key->bytes, tenant, key->tenant_len);
	if (rest_len > 0)
		memcpy(key->bytes + key->tenant_len, rest, rest_len);
	key->len = key->tenant_len + rest_len;
	return true;
}

static bool
order_key_of(struct order_key *key, const Ag__Recommendation *r)
{
	uint8_t rest[8 + AG_ID_SIZE];
	size_t id_len = strlen(r->id);

	if (r->tenant == NULL || id_len >= AG_ID_SIZE)
		return false;
	ag_put_be64(rest, ~(uint64_t)r->occurred_at);
	memcpy(rest + 8, r->id, id_len);
	return order_key(key, r->tenant, rest, 8 + id_len);
}

ag_err
advice_apply(struct ag_ctx *ctx, const Ag__Recommendation *r, uint64_t version)
{
	struct order_key key;
	uint8_t *packed, *value;
	size_t len;
	ag_err err;

	/* The journal has it for ever: what cannot be kept must not stop us. */
	if (!order_key_of(&key, r)) {
		ag_log(ctx, AG_ERROR, "BOOK-SKIPPED", "version=%llu "
		    "why=\"its tenant or id is missing or too long\"",
		    (unsigned long long)version);
		return AG_OK;
	}
	if ((packed = ag_pack(ctx, r, &len)) == NULL ||
	    (value = ag_alloc(ctx, len + 8)) == NULL)
		return AG_NO_MEMORY;
	ag_put_be64(value, version);
	memcpy(value + 8, packed, len);
	err = ag_store_put(ctx, BOOK_BY_TIME, key.bytes, key.len, value, len + 8);
	if (err == AG_OK)
		err = ag_store_put(ctx, BOOK_BY_ID, r->id, strlen(r->id),
		    key.bytes, key.len);
	return err;
}

Ag__Recommendation *
advice_find(struct ag_ctx *ctx, const char *id, uint64_t *version)
{
	const uint8_t *value;
	struct order_key key;
	size_t len;

	if (ag_store_get(ctx, BOOK_BY_ID, id, strlen(id), &value, &len) !=
	    AG_OK || len > sizeof(key.bytes))
		return NULL;
	memcpy(key.bytes, value, len);
	if (ag_store_get(ctx, BOOK_BY_TIME, key.bytes, len, &value, &len) !=
	    AG_OK || len < 8)
		return NULL;
	*version = ag_get_be64(value);
	return ag_unpack(ctx, &ag__recommendation__descriptor, value + 8,
	    len - 8);
}

bool
advice_visible(struct ag_ctx *ctx, const Ag__Recommendation *r)
{
	const Ag__Grant *grant = ag_grant(ctx);

	return r->tenant != NULL && strcmp(r->tenant, grant->tenant) == 0 &&
	    (strcmp(r->detector, "honey_key") != 0 || grant->sees_honey);
}

void
advice_public(Ag__Recommendation *r)
{
	r->tenant = NULL;
	r->has_actor_kind = 0;
	r->key_id = NULL;
	r->event_id = NULL;
	r->top_agent = NULL;
	r->baseline = NULL;
}

/* ----------------------------------------------------------------- pages */

struct page {
	struct ag_ctx *ctx;
	const Ag__RecommendationListAsk *ask;
	const struct order_key *prefix;
	const struct order_key *after; /* NULL: from the start */
	Ag__RecommendationListReply *reply;
	struct order_key last; /* looked at */
	struct ag_page from;
	unsigned looked_at;
	bool more;
	bool no_memory;
};

static bool
fits(const Ag__RecommendationListAsk *ask, const Ag__Recommendation *r)
{
	return (!ask->has_since || r->occurred_at >= ask->since) &&
	    (!ask->has_severity || r->severity == ask->severity) &&
	    (ask->detector == NULL || strcmp(ask->detector, r->detector) == 0) &&
	    (ask->actor == NULL || strcmp(ask->actor, r->actor) == 0) &&
	    (ask->state == NULL || strcmp(ask->state, r->state) == 0);
}

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct page *page = arg;
	Ag__Recommendation *r;

	if (key_len < page->prefix->len || key_len > ORDER_KEY_MAX ||
	    memcmp(key, page->prefix->bytes, page->prefix->len) != 0)
		return false; /* the next tenant's */
	if (page->after != NULL && key_len == page->after->len &&
	    memcmp(key, page->after->bytes, key_len) == 0)
		return true; /* the last one of the page before */
	if (page->reply->n_items == page->from.limit ||
	    page->looked_at == LOOKED_AT_MAX) {
		page->more = true;
		return false;
	}
	page->looked_at++;
	memcpy(page->last.bytes, key, key_len);
	page->last.len = key_len;
	page->last.tenant_len = page->prefix->len;
	r = value_len < 8 ? NULL : ag_unpack(page->ctx,
	    &ag__recommendation__descriptor, value + 8, value_len - 8);
	if (r == NULL) {
		page->no_memory = true;
		return false;
	}
	if (advice_visible(page->ctx, r) && fits(page->ask, r)) {
		advice_public(r);
		page->reply->items[page->reply->n_items++] = r;
	}
	return true;
}

static bool
is_detector(const char *word)
{
	static const char *const names[] = {
#define DETECTOR(name, ...) #name,
		DETECTORS
#undef DETECTOR
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], word) == 0)
			return true;
	return false;
}

static ag_err
check_words(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask)
{
	if (ask->state != NULL && strcmp(ask->state, "open") != 0 &&
	    strcmp(ask->state, "acted") != 0 &&
	    strcmp(ask->state, "dismissed") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?state",
		    "A state is open, acted or dismissed.");
	if (ask->detector != NULL && !is_detector(ask->detector))
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "?detector", "There is no such detector.");
	return AG_OK;
}

ag_err
advice_list(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask,
    Ag__RecommendationListReply *reply)
{
	struct order_key prefix, after;
	struct page page = { .ctx = ctx, .ask = ask, .reply = reply,
	    .prefix = &prefix };
	ag_err err;

	if ((err = check_words(ctx, ask)) != AG_OK ||
	    (err = ag_page_read(ctx, ask, &page.from)) != AG_OK)
		return err;
	if (!order_key(&prefix, ag_grant(ctx)->tenant, NULL, 0))
		return AG_GENERAL_FAILURE;
	if (page.from.place_len > 0) {
		if (!order_key(&after, ag_grant(ctx)->tenant, page.from.place,
		    page.from.place_len))
			return AG_GENERAL_FAILURE;
		page.after = &after;
	}
	reply->items = ag_alloc(ctx, page.from.limit * sizeof(*reply->items));
	if (reply->items == NULL)
		return AG_NO_MEMORY;
	err = page.after != NULL ?
	    ag_store_scan(ctx, BOOK_BY_TIME, after.bytes, after.len, visit, &page) :
	    ag_store_scan(ctx, BOOK_BY_TIME, prefix.bytes, prefix.len, visit, &page);
	if (err == AG_OK && page.no_memory)
		err = AG_NO_MEMORY;
	if (err == AG_OK && page.more &&
	    (reply->next_cursor = ag_page_cursor(ctx, &page.from,
	    page.last.bytes + page.last.tenant_len,
	    page.last.len - page.last.tenant_len)) == NULL)
		err = AG_NO_MEMORY;
	return err;
}
