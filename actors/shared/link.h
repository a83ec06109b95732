/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to Redis: made without waiting, made again when it is lost,
 * and no answer is waited for longer than the time-out. Every call ends exactly
 * once. Nobody is believed: an answer is read as what was asked for, or the
 * connection is of no use any more.
 */
#ifndef AEGIS_SHARED_LINK_H
#define AEGIS_SHARED_LINK_H

#include "scripts.h"

#include <aegis/aegis.h>

enum {
	LINK_CALLS_MAX = 4096,     /* under way */
	LINK_REPLY_MAX = 64 << 10, /* bytes of one answer; INFO has five thousand */
	LINK_NUMBERS = 6,
	LINK_PAUSE_MIN_MS = 100, LINK_PAUSE_MAX_MS = 2000, /* between two tries */
	LINK_SAID_MAX = 96,
	LINK_PREFIX_MAX = 32,
	LINK_KEY_MAX = LINK_PREFIX_MAX + 80,
};

struct link;

/* arg: link_new's. n numbers, or n 0: nobody knows what became of it. memo: as
 * given. */
typedef void link_done(void *arg, struct ag_ctx *ctx, const int64_t *numbers,
    unsigned n, const void *memo);
/* It is there, or no longer; what is wrong, or NULL. */
typedef void link_state(void *arg, struct ag_ctx *ctx, bool there,
    const char *why);

/* AG_USAGE: the configuration says nothing usable; it was logged. */
ag_err link_new(struct ag_ctx *ctx, link_state *state, void *arg,
    struct link **out) AG_MUST;
void link_free(struct link **link);
/* Its own time: what was not answered, when to try again. */
void link_tick(struct link *link);
bool link_there(const struct link *link);
/* It may forget on its own (maxmemory-policy): nothing is good once by it. */
bool link_forgets(const struct link *link);

struct link_call {
	enum script script;
	const char *keys[2]; /* without the prefix; NULL: none */
	const char *words[6];
	unsigned words_count;
	unsigned numbers; /* that it answers with */
	link_done *done;
	const void *memo;
	size_t memo_len; /* at most LINK_MEMO_MAX; copied */
};
enum { LINK_MEMO_MAX = 64 };
/* AG_UNAVAILABLE, AG_FULL: done will not be called. */
ag_err link_call(struct link *link, const struct link_call *call) AG_MUST;

#endif
