/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies are mostly long strings without anything special in them, base64
 * above all, and a parser that looks at every character of these is what a
 * batch waits for. They are lifted out before jansson sees the text: each
 * leaves a short word in its place, and binding takes it from where it stood.
 */
#ifndef PLANE_LIFT_H
#define PLANE_LIFT_H

#include "memory.h"

enum { LIFT_MIN = 64 }; /* shorter strings stay */

struct lifted {
	const char *at; /* in the body, without its quotes; no end */
	size_t len;
};

struct lift {
	const char *text; /* what is left to parse; in the pool */
	size_t len;
	struct lifted *list;
	size_t count;
};

/*
 * False: parse the body as it is (nothing to lift, something in it that could
 * be taken for one of our words, or no memory). The text is JSON exactly if the
 * body is, with the same structure and the same member names.
 */
bool lift_out(struct pool *pool, const uint8_t *body, size_t len,
    struct lift *out);
/* The string that this word of the parsed text stands for; NULL: itself. */
const struct lifted *lift_find(const struct lift *lift, const char *word);

#endif
