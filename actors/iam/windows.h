/* SPDX-License-Identifier: Apache-2.0 */
/* Rate windows: one (limits.c; pure), and many by name (windows.c). */
#ifndef AEGIS_ACTORS_IAM_WINDOWS_H
#define AEGIS_ACTORS_IAM_WINDOWS_H

#include <aegis/aegis.h>

enum {
	IAM_WINDOW_PARTS = 10, /* sub-buckets of a rate window */
	IAM_WINDOWS_MAX = 8192,
	IAM_WINDOW_KEY = 16,
};

struct iam_window {
	uint64_t epoch; /* number of the newest part */
	uint32_t parts[IAM_WINDOW_PARTS + 1];
};
struct iam_limit {
	uint32_t rate; /* 0: none */
	uint32_t window_ms;
};
struct iam_room {
	bool ok;
	uint32_t left;    /* after the take, or as it stands when refused */
	unsigned reset_s; /* until the oldest use no longer counts; at most the
	                   * window, though it may count a part longer */
	unsigned retry_s; /* when refused: until n might pass */
};
/* Is there room for n? Counts nothing. */
struct iam_room iam_window_look(struct iam_window *w,
    const struct iam_limit *limit, uint64_t now_ms, uint32_t n);
/* All that counts now. */
uint64_t iam_window_sum(struct iam_window *w, const struct iam_limit *limit,
    uint64_t now_ms);
void iam_window_take(struct iam_window *w, const struct iam_limit *limit,
    uint64_t now_ms, uint32_t n);

struct iam_named_window {
	uint8_t key[IAM_WINDOW_KEY]; /* of a hash: names are chosen by others */
	bool used;
	struct iam_window window;
};
struct iam_windows {
	uint8_t seed[AG_UUID_BYTES];
	struct iam_named_window rows[IAM_WINDOWS_MAX];
};
void iam_windows_init(struct iam_windows *w, int64_t now_ms);
/* NULL: not there, or (add) the name is too long to be one. */
struct iam_window *iam_windows_find(struct iam_windows *w, const char *kind,
    const char *name, bool add);

#endif
