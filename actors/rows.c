/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of an id picks a set; the tags of a set lie in one cache line.
 */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

struct set {
	uint32_t tags[ROWS_WAYS]; /* hash of the id; 0: free */
	uint32_t used[ROWS_WAYS]; /* stamp of the last use */
};

struct rows {
	unsigned sets;
	size_t row_size; /* rounded up to 8 */
	struct set *set;
	char (*ids)[AG_ID_SIZE];
	char *bytes;
	bool *touched;
	uint32_t *queue; /* touched rows, each once */
	unsigned queued;
	unsigned count;
	uint32_t stamp;
};

uint32_t
rows_hash(const char *text, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 16777619u;
	return h == 0 ? 1 : h;
}

struct rows *
rows_new(unsigned count, size_t row_size)
{
	struct rows *rows = calloc(1, sizeof(*rows));

	if (rows == NULL)
		return NULL;
	rows->sets = count / ROWS_WAYS;
	rows->row_size = (row_size + 7) & ~(size_t)7;
	rows->set = calloc(rows->sets, sizeof(*rows->set));
	rows->ids = calloc(count, sizeof(*rows->ids));
	rows->bytes = calloc(count, rows->row_size);
	rows->touched = calloc(count, sizeof(*rows->touched));
	rows->queue = calloc(count, sizeof(*rows->queue));
	if (rows->set == NULL || rows->ids == NULL || rows->bytes == NULL ||
	    rows->touched == NULL || rows->queue == NULL)
		rows_free(&rows);
	return rows;
}

void
rows_free(struct rows **rows)
{
	if (*rows == NULL)
		return;
	free((*rows)->set);
	free((*rows)->ids);
	free((*rows)->bytes);
	free((*rows)->touched);
	free((*rows)->queue);
	free(*rows);
	*rows = NULL;
}

/* The id's own way, a free one, or the one used longest ago. */
static unsigned
way_of(const struct rows *rows, unsigned s, uint32_t tag, const char *id)
{
	const struct set *set = &rows->set[s];
	unsigned victim = 0;

	for (unsigned w = 0; w < ROWS_WAYS; w++) {
		if (set->tags[w] == tag &&
		    strcmp(rows->ids[s * ROWS_WAYS + w], id) == 0)
			return w;
		if (set->tags[victim] != 0 && (set->tags[w] == 0 ||
		    (int32_t)(set->used[w] - set->used[victim]) < 0))
			victim = w;
	}
	return victim;
}

void *
rows_get(struct rows *rows, const char *id, char evicted[AG_ID_SIZE])
{
	size_t len = strlen(id);
	uint32_t tag;
	unsigned s, w, i;
	char *row;

	evicted[0] = '\0';
	if (len == 0 || len >= AG_ID_SIZE)
		return NULL;
	tag = rows_hash(id, len);
	s = (tag ^ tag >> 16) % rows->sets;
	w = way_of(rows, s, tag, id);
	i = s * ROWS_WAYS + w;
	row = rows->bytes + i * rows->row_size;
	rows->set[s].used[w] = ++rows->stamp;
	if (rows->set[s].tags[w] == tag && strcmp(rows->ids[i], id) == 0)
		return row;
	memcpy(evicted, rows->ids[i], AG_ID_SIZE);
	rows->count += rows->set[s].tags[w] == 0;
	rows->set[s].tags[w] = tag;
	memcpy(rows->ids[i], id, len + 1);
	memset(row, 0, rows->row_size);
	return row;
}

unsigned
rows_count(const struct rows *rows)
{
	return rows->count;
}

void
rows_touch(struct rows *rows, const void *row)
{
	size_t i = (size_t)((const char *)row - rows->bytes) / rows->row_size;

	if (rows->touched[i])
		return;
	rows->touched[i] = true;
	rows->queue[rows->queued++] = (uint32_t)i;
}

ag_err
rows_save(struct rows *rows, unsigned max, rows_visit *visit, void *arg)
{
	for (; max > 0 && rows->queued > 0; max--) {
		uint32_t i = rows->queue[rows->queued - 1];
		ag_err err = visit(arg, rows->ids[i],
		    rows->bytes + i * rows->row_size);

		if (err != AG_OK)
			return err;
		rows->touched[i] = false;
		rows->queued--;
	}
	return AG_OK;
}
