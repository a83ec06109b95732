/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP framing, routing, JSON and queries, from arbitrary bytes. The first
 * byte says in which pieces they arrive. Whatever comes, it is taken or
 * refused; what is taken is printed again.
 */
#include "codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pool pool;

static void
bind_and_print(struct http_reader *in)
{
	const struct route *route = in->match.route;
	const struct ag_operation *op =
	    route == NULL ? NULL : ag_operation_find(route->op);
	struct refuse refuse = { .err = AG_OK };
	struct codec_batch batch;
	struct text out = { 0 };
	void *msg;

	if (op == NULL)
		return;
	if (route->method == METHOD_GET || route->method == METHOD_DELETE)
		msg = codec_bind_query(&pool, op->ask, http_query(in), &refuse);
	else
		msg = codec_bind_body(&pool, op->ask, in->body, in->body_len, &batch,
		    &refuse);
	if (msg != NULL)
		codec_print(&out, msg);
	else if (refuse.err == AG_OK)
		abort(); /* refused without a reason */
	text_fini(&out);
	pool_reset(&pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_limits limits = { 16 << 10, 64 << 10, 256 << 10, NULL };
	struct http_reader in;
	size_t at = 1, step, took;

	if (size < 2)
		return 0;
	if (pool.first == NULL) {
		codec_init();
		if (!pool_init(&pool))
			abort();
	}
	http_init(&in, &limits);
	step = data[0] == 0 ? size : data[0];
	while (at < size && in.stage != STAGE_BAD) {
		took = http_feed(&in, data + at, step < size - at ? step : size - at);
		at += took;
		if (in.stage == STAGE_WHOLE) {
			bind_and_print(&in);
			http_next(&in);
		} else if (took == 0 && in.stage != STAGE_BAD) {
			abort(); /* neither taken nor refused */
		}
	}
	if (in.stage != STAGE_BAD)
		http_feed(&in, "", 0);
	http_fini(&in);
	return 0;
}
