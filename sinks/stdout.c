/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdout: one line of JSON an event, on standard output, for whoever collects
 * the output of `aegis up`. A reader that does not read stops this sink and
 * nothing else.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include "line.h"

#include <unistd.h>

enum { WRITTEN };
static const struct ag_metric_row metrics[] = {
	{ "stdout_written_total", "Events written", AG_COUNTER },
};

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	char *line;
	size_t len;
	ag_err err = line_of(event, &line, &len);

	if (err != AG_OK)
		return err;
	err = line_write(STDOUT_FILENO, line, len);
	line_free(line);
	if (err == AG_OK)
		ag_metric_add(ctx, WRITTEN, 1);
	return err;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	return AG_OK;
}

const struct ag_actor ag_actor_stdout = {
	.name = "stdout",
	.state_size = 1,
	.init = init,
	.on_audit = on_audit,
	.audit_pace_ms = 10,
	AG_METRICS(metrics),
};
