/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate windows by name, in a table of fixed size: where it is full, whoever
 * was counted longest ago is forgotten.
 */
#include "windows.h"

#include <string.h>

enum { PROBES = 8, NAME_MAX_BYTES = 256 };

void
iam_windows_init(struct iam_windows *w, int64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	ag_uuid7(now_ms, w->seed);
}

struct iam_window *
iam_windows_find(struct iam_windows *w, const char *kind, const char *name,
    bool add)
{
	char text[sizeof(w->seed) + NAME_MAX_BYTES];
	struct iam_named_window *oldest = NULL;
	uint8_t hash[32];
	uint32_t at;
	size_t n = sizeof(w->seed), k = strlen(kind), len = strlen(name);

	if (k + len > NAME_MAX_BYTES)
		return NULL;
	memcpy(text, w->seed, n);
	memcpy(text + n, kind, k);
	memcpy(text + n + k, name, len);
	ag_sha256(text, n + k + len, hash);
	memcpy(&at, hash + IAM_WINDOW_KEY, sizeof(at));
	for (unsigned i = 0; i < PROBES; i++) {
		struct iam_named_window *row =
		    &w->rows[(at + i) % IAM_WINDOWS_MAX];

		if (row->used && memcmp(row->key, hash, IAM_WINDOW_KEY) == 0)
			return &row->window;
		if (oldest == NULL || !row->used || (oldest->used &&
		    row->window.epoch < oldest->window.epoch))
			oldest = row;
	}
	if (!add)
		return NULL;
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->key, hash, IAM_WINDOW_KEY);
	oldest->used = true;
	return &oldest->window;
}
