/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of rows, and pages of a tenant's rows, newest first. */
#include "approvals.h"

#include <aegis/bytes.h>

#include <string.h>

enum {
	LOOKED_AT_MAX = 4000, /* rows a page looks at before it says "go on" */
	LOOKED_BYTES_MAX = 4 << 20, /* of them; a turn's memory is finite */
};

bool
key_add(struct key *key, const void *bytes, size_t len)
{
	if (len > sizeof(key->bytes) - key->len)
		return false;
	memcpy(key->bytes + key->len, bytes, len);
	key->len += len;
	return true;
}

bool
key_add_time(struct key *key, int64_t at, bool newest_first)
{
	uint8_t bytes[8];

	ag_put_be64(bytes, newest_first ? ~(uint64_t)at : (uint64_t)at);
	return key_add(key, bytes, sizeof(bytes));
}

bool
key_starts(const uint8_t *key, size_t len, const struct key *prefix)
{
	return len >= prefix->len && memcmp(key, prefix->bytes, prefix->len) == 0;
}

struct reading {
	struct ag_ctx *ctx;
	const void *ask;
	rows_take *take;
	struct key prefix, after, last;
	struct ag_page from;
	struct rows_page *out;
	unsigned looked_at;
	size_t looked_bytes;
	bool more, no_memory;
};

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct reading *r = arg;
	void *item = NULL;

	if (!key_starts(key, key_len, &r->prefix) || key_len > ROW_KEY_MAX)
		return false; /* the next tenant's */
	if (key_len == r->after.len &&
	    memcmp(key, r->after.bytes, key_len) == 0)
		return true; /* the last one of the page before */
	if (r->out->count == r->from.limit || r->looked_at == LOOKED_AT_MAX ||
	    r->looked_bytes >= LOOKED_BYTES_MAX) {
		r->more = true;
		return false;
	}
	/* No room for more in this turn: the page ends before it. */
	if (!r->take(r->ctx, r->ask, value, value_len, &item)) {
		r->no_memory = r->looked_at == 0;
		r->more = !r->no_memory;
		return false;
	}
	r->looked_at++;
	r->looked_bytes += value_len;
	r->last.len = 0;
	(void)key_add(&r->last, key, key_len);
	if (item != NULL)
		r->out->items[r->out->count++] = item;
	return true;
}

ag_err
rows_page(struct ag_ctx *ctx, enum approvals_table table, const void *ask,
    rows_take *take, struct rows_page *out)
{
	struct reading r = { .ctx = ctx, .ask = ask, .take = take, .out = out };
	const char *tenant = ag_grant(ctx)->tenant;
	const struct key *from = &r.prefix;
	ag_err err;

	memset(out, 0, sizeof(*out));
	if ((err = ag_page_read(ctx, ask, &r.from)) != AG_OK)
		return err;
	if (!key_add(&r.prefix, tenant, strlen(tenant) + 1))
		return AG_GENERAL_FAILURE;
	if (r.from.place_len > 0) {
		r.after = r.prefix;
		if (!key_add(&r.after, r.from.place, r.from.place_len))
			return AG_GENERAL_FAILURE;
		from = &r.after;
	}
	out->items = ag_alloc(ctx, r.from.limit * sizeof(*out->items));
	if (out->items == NULL)
		return AG_NO_MEMORY;
	err = ag_store_scan(ctx, table, from->bytes, from->len, visit, &r);
	if (err == AG_OK && r.no_memory)
		err = AG_NO_MEMORY;
	if (err == AG_OK && r.more && (out->next_cursor = ag_page_cursor(ctx,
	    &r.from, r.last.bytes + r.prefix.len,
	    r.last.len - r.prefix.len)) == NULL)
		err = AG_NO_MEMORY;
	return err;
}
