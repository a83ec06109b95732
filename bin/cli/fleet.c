/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the fleet on this machine: they speak to its supervisor, not to
 * a server.
 */
#include "cli.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <supervise.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	WATCH_S = 1,
	DOWN_S_MAX = 86400,
	RESTARTS_ODD = 3, /* so many are worth a look */
};

static const struct cli_option up_options[] = {
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "what is not as by default (aegis config init)", NULL },
	{ "--listen", "HOST:PORT", CLI_LOCAL, NULL, false, "instead of rest.listen; port 0 picks a free one", NULL },
	{ "--detach", NULL, CLI_LOCAL, NULL, false, "return when it is ready, and leave it running", NULL },
	{ "--passphrase-file", "FILE", CLI_LOCAL, NULL, false, "the master key's; absent: it is asked for", NULL },
	{ "--unsafe-dev-identity", NULL, CLI_LOCAL, NULL, false, "believe the header Aegis-Dev-Identity; environment dev on loopback only", NULL },
	{ "--unsafe-test-clock", "FILE", CLI_LOCAL, NULL, false, "for tests: seconds to add to the clock", NULL },
	{ 0 },
};
static const struct cli_option status_options[] = {
	{ "--watch", NULL, CLI_LOCAL, NULL, false, "again every second", NULL },
	{ 0 },
};
static const struct cli_option doctor_options[] = {
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "the file that the fleet has or will have", NULL },
	{ "--listen", "HOST:PORT", CLI_LOCAL, NULL, false, "instead of rest.listen", NULL },
	{ 0 },
};
static const struct cli_option enroll_options[] = {
	{ "NAME", "NAME", CLI_LOCAL, NULL, true, "what the process will be called", NULL },
	{ "--role", "subscriber|actor", CLI_LOCAL, NULL, true, "what it may do", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where its key goes (0600); NAME.actor unless given", NULL },
	{ 0 },
};

static enum cli_exit
up(struct cli *cli)
{
	struct ag_up ask = { .config_file = cli_get(cli, "--config"),
		.state = cli->state, .listen = cli_get(cli, "--listen"),
		.passphrase_file = cli_get(cli, "--passphrase-file"),
		.clock_file = cli_get(cli, "--unsafe-test-clock"),
		.dev_identity = cli_get(cli, "--unsafe-dev-identity") != NULL,
		.detach = cli_get(cli, "--detach") != NULL, .quiet = cli->quiet };

	return (enum cli_exit)ag_cmd_up(&ask);
}

static enum cli_exit
down(struct cli *cli)
{
	int64_t timeout_s = -1;

	if (cli->timeout != NULL && (!ag_duration_parse(cli->timeout, &timeout_s) ||
	        timeout_s < 0 || timeout_s > DOWN_S_MAX))
		return cli_fail(CLI_USAGE, "--timeout %s: say 30s or 5m, at most 1d",
		    cli->timeout);
	return (enum cli_exit)ag_cmd_down(cli->state, timeout_s);
}

static enum cli_exit
enroll(struct cli *cli)
{
	char file[PATH_MAX];
	int status = ag_cmd_enroll(cli->state, cli_get(cli, "NAME"),
	    cli_get(cli, "--role"), cli_get(cli, "--out"), file, sizeof(file));

	json_t *answer = json_pack("{s:s}", "enrolled", file);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_say("enrolled: %s", file);
	json_decref(answer);
	return (enum cli_exit)status;
}

/* ------------------------------------------------------------------ status */

/* 37s 4m12s 3h05m 2d04h */
static json_t *
uptime_text(json_int_t ms)
{
	long long s = ms / 1000;

	if (s < 60)
		return json_sprintf("%llds", s);
	if (s < 3600)
		return json_sprintf("%lldm%02llds", s / 60, s % 60);
	if (s < 86400)
		return json_sprintf("%lldh%02lldm", s / 3600, s / 60 % 60);
	return json_sprintf("%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static json_t *
row_of(const json_t *process)
{
	json_int_t rss = json_integer_value(json_object_get(process, "rss_bytes"));
	json_t *row = json_copy((json_t *)process);
	bool runs = json_is_integer(json_object_get(process, "pid"));

	(void)json_object_set_new(row, "uptime", runs ?
	    uptime_text(json_integer_value(json_object_get(process, "uptime_ms"))) :
	    json_null());
	(void)json_object_set_new(row, "rss",
	    json_sprintf("%.1fM", (double)rss / (1 << 20)));
	return row;
}

#define STATUS_COLUMNS \
	"NAME:name,ROLE:role,>PID:pid,STATE:state,>UPTIME:uptime," \
	">RESTARTS:restarts,>QUEUE:queue,>RSS:rss"

/* As many rows as the terminal has lines, if it is redrawn. */
static size_t
rows_max(bool redraw)
{
	struct winsize size;

	if (!redraw || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
	    size.ws_row < 4)
		return SIZE_MAX;
	return size.ws_row - 2u; /* the head, and where the cursor stands */
}

static void
print_status(const struct cli *cli, const json_t *processes, bool redraw)
{
	struct cli_table table = { .columns = STATUS_COLUMNS,
		.line_end = redraw ? "\033[K\n" : NULL };
	json_t *rows = json_array(), *process;
	size_t i, max = rows_max(redraw);

	json_array_foreach((json_t *)processes, i, process) {
		if (cli->json)
			cli_json_line(process);
		else if (i < max)
			(void)json_array_append_new(rows, row_of(process));
	}
	if (redraw)
		fputs("\033[H", stdout); /* over what was there: no flicker */
	if (!cli->json)
		cli_rows(&table, rows, !cli->quiet);
	if (redraw)
		fputs("\033[J", stdout);
	(void)fflush(stdout);
	json_decref(rows);
}

/* What a person would look at next, if anything is odd. */
static void
hint_at(const struct cli *cli, const json_t *processes)
{
	const json_t *process;
	const char *state;
	json_int_t restarts;
	size_t i;

	if (cli->json || cli->quiet)
		return;
	json_array_foreach((json_t *)processes, i, process) {
		state = cli_member_text(process, "state");
		restarts = json_integer_value(json_object_get(process, "restarts"));
		if (strcmp(state, "ready") == 0 && restarts < RESTARTS_ODD)
			continue;
		cli_hint("%s is %s, started again %lld times%s%s; aegis doctor says "
		         "what to do", cli_member_text(process, "name"), state,
		    (long long)restarts,
		    cli_member_text(process, "detail")[0] == '\0' ? "" : ": ",
		    cli_member_text(process, "detail"));
		return;
	}
}

static void
on_interrupt(int sig)
{
	static const char back[] = "\033[?25h\033[?1049l";

	(void)sig;
	_exit(write(STDOUT_FILENO, back, sizeof(back) - 1) < 0 ? CLI_FAULT
	                                                       : CLI_INTERRUPTED);
}

/* A screen of its own without a cursor, given back at the end. */
static void
begin_redraw(bool redraw)
{
	static char buffer[1 << 16]; /* a picture is written at once */

	if (!redraw)
		return;
	(void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	(void)signal(SIGINT, on_interrupt);
	(void)signal(SIGTERM, on_interrupt);
	fputs("\033[?1049h\033[?25l", stdout);
}

static void
end_redraw(bool redraw)
{
	if (redraw)
		fputs("\033[?25h\033[?1049l", stdout);
	(void)fflush(stdout);
}

static enum cli_exit
status(struct cli *cli)
{
	bool watch = cli_get(cli, "--watch") != NULL;
	bool redraw = watch && !cli->json && isatty(STDOUT_FILENO) == 1;
	json_t *answer, *processes;
	int exit_status;

	begin_redraw(redraw);
	for (;;) {
		answer = ag_control_ask("status", cli->state,
		    json_pack("{s:s}", "verb", "status"), &exit_status, NULL);
		if (answer == NULL)
			break;
		processes = json_object_get(answer, "processes");
		print_status(cli, processes, redraw);
		if (!watch)
			hint_at(cli, processes);
		json_decref(answer);
		if (!watch || ferror(stdout))
			return CLI_OK;
		(void)sleep(WATCH_S);
		if (!redraw && !cli->json && !cli->quiet)
			putchar('\n');
	}
	end_redraw(redraw);
	if (exit_status == CLI_TRY_AGAIN && !cli->quiet)
		cli_hint("start it with `aegis up --detach`, or name it with --state");
	return (enum cli_exit)exit_status;
}

const struct cli_verb cli_verbs_fleet[] = {
	{ "up", "", up_options, NULL, NULL, CLI_SILENT, NULL, up,
	    "start the fleet and stay with it", NULL, "--config aegis.yaml" },
	{ "down", "", NULL, NULL, NULL, CLI_SILENT, NULL, down,
	    "drain and stop the fleet; --timeout 30s is how long it may take", NULL,
	    "--timeout 1m" },
	{ "status", "", status_options, NULL, NULL, CLI_SILENT, NULL, status,
	    "the fleet's processes", NULL, "--watch" },
	{ "doctor", "", doctor_options, NULL, NULL, CLI_SILENT, NULL, cli_doctor,
	    "what is wrong with this installation, and what to type", NULL,
	    "--config aegis.yaml" },
	{ "actor", "enroll", enroll_options, NULL, NULL, CLI_SILENT, NULL, enroll,
	    "let a process of yours join", NULL, "siem --role subscriber" },
	{ 0 },
};
