/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text on its way to a terminal. What a server, a file or a command line says
 * may hold anything: controls, the C1 set, marks that turn the direction of
 * writing, bytes that are no UTF-8. They are written as escapes, so that what
 * is shown is what was there, and no terminal obeys it.
 */
#include "cli.h"

#include <progress.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum {
	COLUMNS_DEFAULT = 80,
	FAIL_MAX = 4096,
};

struct glyph {
	size_t bytes;  /* of the text that it took */
	size_t width;  /* columns on a terminal */
	bool escaped;
	char escape[12];
};

/* Marks without a width of their own that change how their neighbours read. */
static bool
misleads(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0x061c || c == 0xfeff ||
	    (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static struct glyph
escaped(size_t bytes, const char *fmt, unsigned code)
{
	struct glyph g = { .bytes = bytes, .escaped = true };

	(void)snprintf(g.escape, sizeof(g.escape), fmt, code);
	g.width = strlen(g.escape);
	return g;
}

static struct glyph
glyph_at(const char *text)
{
	mbstate_t state = { 0 };
	unsigned char first = (unsigned char)*text;
	wchar_t c;
	size_t n;
	int width;

	if (first == '\n' || first == '\t')
		return escaped(1, first == '\n' ? "\\n" : "\\t", 0);
	if (first < 0x20 || first == 0x7f)
		return escaped(1, "\\x%02x", first);
	if (first < 0x80)
		return (struct glyph){ .bytes = 1, .width = 1 };
	n = mbrtowc(&c, text, strlen(text), &state);
	if (n == (size_t)-1 || n == (size_t)-2 || n == 0)
		return escaped(1, "\\x%02x", first);
	width = wcwidth(c);
	if (width < 0 || misleads(c))
		return escaped(n, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
	return (struct glyph){ .bytes = n, .width = (size_t)width };
}

size_t
cli_width(const char *text)
{
	size_t width = 0;
	struct glyph g;

	for (; *text != '\0'; text += g.bytes) {
		g = glyph_at(text);
		width += g.width;
	}
	return width;
}

void
cli_put(FILE *out, const char *text)
{
	(void)cli_put_fit(out, text, SIZE_MAX);
}

size_t
cli_put_fit(FILE *out, const char *text, size_t width_max)
{
	bool whole = width_max == SIZE_MAX || cli_width(text) <= width_max;
	size_t room = whole ? SIZE_MAX : width_max - (width_max > 0), used = 0;
	struct glyph g;

	for (; *text != '\0'; text += g.bytes) {
		g = glyph_at(text);
		if (used + g.width > room)
			break;
		if (g.escaped)
			fputs(g.escape, out);
		else
			(void)fwrite(text, 1, g.bytes, out);
		used += g.width;
	}
	if (!whole && width_max > 0) {
		fputs("…", out);
		used++;
	}
	return used;
}

bool
cli_colour(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || no[0] == '\0') &&
	    (term == NULL || strcmp(term, "dumb") != 0) && isatty(fileno(out)) == 1;
}

size_t
cli_terminal_width(void)
{
	struct winsize size;

	if (isatty(STDOUT_FILENO) != 1)
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return COLUMNS_DEFAULT;
}

/* A hint is ours and has its own line; every other control is escaped. */
static void
put_complaint(char *text)
{
	char *hint = strstr(text, "\nhint: ");

	if (hint != NULL)
		*hint = '\0';
	fputs("aegis: ", stderr);
	cli_put(stderr, text);
	fputc('\n', stderr);
	if (hint != NULL)
		cli_hint("%s", hint + 7);
}

enum cli_exit
cli_fail(enum cli_exit status, const char *fmt, ...)
{
	char text[FAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fflush(stdout);
	put_complaint(text);
	return status;
}

void
cli_say(const char *fmt, ...)
{
	char text[FAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cli_put(stdout, text);
	fputc('\n', stdout);
}

void
cli_hint(const char *fmt, ...)
{
	char text[FAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("hint: ", stderr);
	cli_put(stderr, text);
	fputc('\n', stderr);
}

/* ---------------------------------------------------------------- progress */

void
cli_progress(const struct cli *cli, const char *what, unsigned long long n)
{
	if (!cli->quiet)
		progress_beside(what, n);
}

void
cli_working(const struct cli *cli, const char *what, unsigned long long n)
{
	if (!cli->quiet)
		progress(what, n);
}

void
cli_progress_end(const struct cli *cli)
{
	(void)cli;
	progress_end();
}
