/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The errors as a table, and the end of a process that found its own bug.
 */
#include <aegis/err.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct ag_err_row rows[AG_ERR_COUNT] = {
	[AG_OK] = { "OK", "OK", 200, "Success", 0, "Done", 0 },
#define ERR(name, code, http, kmip, mcp, title, cli) \
	[AG_##name] = { #name, code, http, kmip, mcp, title, cli },
#include <aegis/err.def>
#undef ERR
};

const struct ag_err_row *
ag_err_row(ag_err err)
{
	if ((unsigned)err >= AG_ERR_COUNT)
		err = AG_GENERAL_FAILURE;
	return &rows[err];
}

ag_err
ag_err_from_code(const char *code)
{
	for (unsigned i = AG_OK + 1; i < AG_ERR_COUNT; i++)
		if (strcmp(rows[i].code, code) == 0)
			return (ag_err)i;
	return AG_OK;
}

void
ag_panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n, more;

	n = snprintf(text, sizeof(text), "panic: %s:%d: ", file, line);
	if (n < 0 || (size_t)n >= sizeof(text))
		n = 0;
	va_start(ap, fmt);
	more = vsnprintf(text + n, sizeof(text) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (more > 0)
		n += more;
	if ((size_t)n > sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	/* One write, no stdio buffer: nothing may be lost on the way to abort. */
	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		abort();
	abort();
}
