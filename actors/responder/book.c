/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include <aegis/bytes.h>

#include <stdio.h>
#include <string.h>

enum {
	ORDER_KEY_MAX = 160,   /* tenant, NUL, time, id */
	LIMIT_DEFAULT = 100,
	LIMIT_MAX = 1000,
	LOOKED_AT_MAX = 20000, /* rows a page looks at before it says "go on" */
	CURSOR_MS = 3600000,
	CURSOR_HEAD = 16,      /* when, for which filter */
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
book_apply(struct ag_ctx *ctx, const Ag__Recommendation *r, uint64_t version)
{
	struct order_key key;
	uint8_t *packed, *value;
	size_t len;
	ag_err err;

	if (!order_key_of(&key, r))
		return AG_CORRUPT;
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
book_find(struct ag_ctx *ctx, const char *id, uint64_t *version)
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
book_visible(struct ag_ctx *ctx, const Ag__Recommendation *r)
{
	const Ag__Grant *grant = ag_grant(ctx);

	return r->tenant != NULL && strcmp(r->tenant, grant->tenant) == 0 &&
	    (strcmp(r->detector, "honey_key") != 0 || grant->sees_honey);
}

void
book_public(Ag__Recommendation *r)
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
	size_t limit;
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
	if (page->reply->n_items == page->limit ||
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
	if (book_visible(page->ctx, r) && fits(page->ask, r)) {
		book_public(r);
		page->reply->items[page->reply->n_items++] = r;
	}
	return true;
}

/* A cursor belongs to its tenant and filter. */
static void
filter_digest(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask,
    uint8_t out[8])
{
	uint8_t digest[32] = { 0 };
	const char *text = ag_printf(ctx, "%s|%lld|%d|%s|%s|%s",
	    ag_grant(ctx)->tenant, ask->has_since ? (long long)ask->since : -1,
	    ask->has_severity ? (int)ask->severity : 0,
	    ask->detector != NULL ? ask->detector : "",
	    ask->actor != NULL ? ask->actor : "",
	    ask->state != NULL ? ask->state : "");

	if (text != NULL)
		ag_sha256(text, strlen(text), digest);
	memcpy(out, digest, 8);
}

static char *
cursor_make(struct page *page)
{
	uint8_t raw[CURSOR_HEAD + ORDER_KEY_MAX];
	size_t rest = page->last.len - page->last.tenant_len;
	char *text = ag_alloc(page->ctx,
	    ag_base64_size(CURSOR_HEAD + ORDER_KEY_MAX));

	if (text == NULL)
		return NULL;
	ag_put_be64(raw, (uint64_t)ag_now_ms(page->ctx));
	filter_digest(page->ctx, page->ask, raw + 8);
	memcpy(raw + CURSOR_HEAD, page->last.bytes + page->last.tenant_len, rest);
	ag_base64url(raw, CURSOR_HEAD + rest, text);
	return text;
}

static bool
cursor_parse(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask,
    struct order_key *out)
{
	uint8_t raw[CURSOR_HEAD + ORDER_KEY_MAX], digest[8];
	size_t text_len = strlen(ask->cursor), len;
	int64_t age_ms;

	if (text_len > 4 * sizeof(raw) / 3 ||
	    !ag_base64url_parse(ask->cursor, text_len, raw, sizeof(raw), &len) ||
	    len < CURSOR_HEAD + 8)
		return false;
	age_ms = ag_now_ms(ctx) - (int64_t)ag_get_be64(raw);
	filter_digest(ctx, ask, digest);
	return age_ms <= CURSOR_MS && memcmp(digest, raw + 8, 8) == 0 &&
	    order_key(out, ag_grant(ctx)->tenant, raw + CURSOR_HEAD,
	    len - CURSOR_HEAD);
}

ag_err
book_list(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask,
    Ag__RecommendationListReply *reply)
{
	struct order_key prefix, after;
	struct page page = { .ctx = ctx, .ask = ask, .reply = reply,
	    .prefix = &prefix };
	ag_err err;

	page.limit = ask->has_limit ? ask->limit : LIMIT_DEFAULT;
	if (page.limit < 1 || page.limit > LIMIT_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?limit",
		    "1 to %d", LIMIT_MAX);
	if (!order_key(&prefix, ag_grant(ctx)->tenant, NULL, 0))
		return AG_GENERAL_FAILURE;
	if (ask->cursor != NULL) {
		if (!cursor_parse(ctx, ask, &after))
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_cursor",
			    "?cursor", "The cursor is not valid here or now");
		page.after = &after;
	}
	reply->items = ag_alloc(ctx, page.limit * sizeof(*reply->items));
	if (reply->items == NULL)
		return AG_NO_MEMORY;
	err = page.after != NULL ?
	    ag_store_scan(ctx, BOOK_BY_TIME, after.bytes, after.len, visit, &page) :
	    ag_store_scan(ctx, BOOK_BY_TIME, prefix.bytes, prefix.len, visit, &page);
	if (err == AG_OK && page.no_memory)
		err = AG_NO_MEMORY;
	if (err == AG_OK && page.more &&
	    (reply->next_cursor = cursor_make(&page)) == NULL)
		err = AG_NO_MEMORY;
	return err;
}
