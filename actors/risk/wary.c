/* SPDX-License-Identifier: Apache-2.0 */
#include "wary.h"

#include <string.h>

static const struct wary_row *
find(const struct wary *wary, const char *id)
{
	for (unsigned i = 0; i < wary->count; i++)
		if (strcmp(wary->rows[i].id, id) == 0)
			return &wary->rows[i];
	return NULL;
}

bool
wary_of(const struct wary *wary, const char *id, int64_t now_ms)
{
	const struct wary_row *row = wary->count == 0 ? NULL : find(wary, id);

	return row != NULL && now_ms < row->until_ms;
}

static ag_err
keep(const struct wary *wary, struct ag_ctx *ctx, const struct wary_row *row)
{
	ag_err err = ag_store_put(ctx, wary->table, row->id, strlen(row->id),
	    row, sizeof(*row));

	return err == AG_OK ? ag_store_commit(ctx) : err;
}

/* A free place, or that of the one that would end first. */
static struct wary_row *
place(struct wary *wary, struct ag_ctx *ctx)
{
	struct wary_row *first = &wary->rows[0];

	if (wary->count < WARY_MAX)
		return &wary->rows[wary->count++];
	for (unsigned i = 1; i < WARY_MAX; i++)
		if (wary->rows[i].until_ms < first->until_ms)
			first = &wary->rows[i];
	if (ag_store_del(ctx, wary->table, first->id, strlen(first->id)) == AG_IO)
		ag_log(ctx, AG_WARN, "RISK-STORE", "what=wary");
	return first;
}

ag_err
wary_add(struct wary *wary, struct ag_ctx *ctx, const char *id,
    const char *cause, protobuf_c_boolean *changed)
{
	struct wary_row *row = (struct wary_row *)find(wary, id);

	if (strlen(id) >= AG_ID_SIZE || strlen(cause) >= AG_ID_SIZE)
		return AG_INVALID_FIELD;
	*changed = row == NULL || strcmp(row->cause, cause) != 0;
	if (!*changed)
		return AG_OK;
	if (row == NULL)
		row = place(wary, ctx);
	memset(row, 0, sizeof(*row));
	strcpy(row->id, id);
	strcpy(row->cause, cause);
	row->until_ms = ag_now_ms(ctx) + WARY_MS;
	return keep(wary, ctx, row);
}

ag_err
wary_drop(struct wary *wary, struct ag_ctx *ctx, const char *id)
{
	struct wary_row *row = (struct wary_row *)find(wary, id);

	if (row == NULL || row->until_ms == 0)
		return AG_OK;
	row->until_ms = 0;
	return keep(wary, ctx, row);
}

static bool
load(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct wary *wary = arg;

	if (value_len != sizeof(struct wary_row) || wary->count == WARY_MAX)
		return true;
	memcpy(&wary->rows[wary->count], value, value_len);
	wary->rows[wary->count].id[AG_ID_SIZE - 1] = '\0';
	wary->rows[wary->count++].cause[AG_ID_SIZE - 1] = '\0';
	return true;
}

ag_err
wary_load(struct wary *wary, struct ag_ctx *ctx)
{
	return ag_store_scan(ctx, wary->table, NULL, 0, load, wary);
}
