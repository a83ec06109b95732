/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: the caller's trace (W3C Trace Context), and whether the times of this
 * request's stations are wanted. A caller's own flag decides where it brings a
 * traceparent; else tracing.sample does, by the random half of the request's id,
 * which is the id of our span, too.
 */
#include "plane.h"

#include <string.h>

struct parent {
	char trace[33], span[17], flags[3];
};

static bool
hex_run(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((text[i] < '0' || text[i] > '9') && (text[i] < 'a' || text[i] > 'f'))
			return false;
	return true;
}

/* §3.2: version-trace-parent-flags. False: it brings none, or no valid one. */
static bool
parent_of(const struct conn *conn, struct parent *out)
{
	static const char none[] = "00000000000000000000000000000000";
	const char *text = http_field(&conn->in, FIELD_TRACEPARENT);

	if (text == NULL || strlen(text) < 55 || !hex_run(text, 2) ||
	    text[2] != '-' || !hex_run(text + 3, 32) || text[35] != '-' ||
	    !hex_run(text + 36, 16) || text[52] != '-' || !hex_run(text + 53, 2) ||
	    (text[55] != '\0' && (text[55] != '-' || memcmp(text, "00", 2) == 0)) ||
	    memcmp(text, "ff", 2) == 0 || memcmp(text + 3, none, 32) == 0 ||
	    memcmp(text + 36, none, 16) == 0)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out->trace, text + 3, 32);
	memcpy(out->span, text + 36, 16);
	memcpy(out->flags, text + 53, 2);
	return true;
}

/* parent NULL: there is none. The answer is the same while the request lasts. */
static bool
is_traced(const struct conn *conn, const struct parent *parent)
{
	const uint8_t *id = conn->request_id + 12;
	uint32_t chance = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 |
	    (uint32_t)id[2] << 8 | id[3];

	if (!conn->plane->tracing)
		return false;
	if (parent != NULL) /* the lowest bit of the flags: sampled */
		return strchr("13579bdf", parent->flags[1]) != NULL;
	return (double)chance < conn->plane->trace_sample * 4294967296.0;
}

void
trace_config(struct plane *plane)
{
	plane->tracing = ag_config_int(plane->ctx, "tracing.enabled") != 0;
	plane->trace_sample = ag_config_number(plane->ctx, "tracing.sample");
}

void
trace_fill(const struct conn *conn, Ag__Request *request)
{
	struct pool *pool = &conn->plane->pool;
	struct parent parent;
	bool came = parent_of(conn, &parent);
	char own[33];

	if (came)
		request->trace_id = pool_strndup(pool, parent.trace, 32);
	if (!is_traced(conn, came ? &parent : NULL))
		return;
	if (!came) {
		ag_hex(conn->request_id, sizeof(conn->request_id), own);
		request->trace_id = pool_strndup(pool, own, 32);
	}
	request->trace = pool_zalloc(pool, sizeof(*request->trace));
	if (request->trace == NULL)
		return;
	ag__trace__init(request->trace);
	if (came)
		request->trace->parent_id = pool_strndup(pool, parent.span, 16);
}

void
trace_answer(const struct conn *conn, struct text *out)
{
	struct parent parent;
	bool came = parent_of(conn, &parent);
	char own[33], span[17];

	if (!came && !is_traced(conn, NULL))
		return;
	ag_hex(conn->request_id, sizeof(conn->request_id), own);
	ag_hex(conn->request_id + 8, 8, span);
	text_printf(out, "traceparent: 00-%s-%s-%s\r\n",
	    came ? parent.trace : own, span, came ? parent.flags : "01");
}
