/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about who gets the events.
 */
#include "cli.h"

#include <string.h>

#define SINK_COLUMNS \
	"NAME:name,KIND:kind,STATE:state,>LAG:lag_events,>SECONDS:lag_s," \
	">DEAD:dead_letters,ERROR:last_error"

#define SINK_LINE "NAME:name,STATE:state"

static const struct cli_option sink[] = {
	{ "SINK", "SINK", CLI_STR, NULL, true, "a name of `sinks:`", NULL }, { 0 },
};

const struct cli_verb cli_verbs_sinks[] = {
	{ "sink", "list", NULL, "GET", "/v1/sinks", CLI_ITEMS, SINK_COLUMNS, NULL,
	    "who gets the events, and how far behind each is", NULL, NULL },
	{ "sink", "show", sink, "GET", "/v1/sinks/{SINK}", CLI_OBJECT, NULL, NULL,
	    "everything about one", NULL, "archive" },
	{ "sink", "pause", sink, "POST", "/v1/sinks/{SINK}/pause", CLI_LINE,
	    SINK_LINE, NULL, "send nothing more until resumed; nothing is lost",
	    NULL, "archive" },
	{ "sink", "resume", sink, "POST", "/v1/sinks/{SINK}/resume", CLI_LINE,
	    SINK_LINE, NULL, "go on where it was paused", NULL, "archive" },
	{ "sink", "redeliver", sink, "POST", "/v1/sinks/{SINK}/redeliver", CLI_LINE,
	    SINK_LINE, NULL, "send its dead letters again", NULL, "archive" },
	{ 0 },
};

/* Exit 1: somebody should look. */
enum cli_exit
cli_audit_health(struct cli *cli)
{
	struct cli_table table = { .columns = SINK_COLUMNS };
	enum cli_exit status = cli_resolve(cli, true);
	json_t *answer = NULL, *items, *item;
	size_t i;

	if (status == CLI_OK)
		status = cli_http(cli, "GET", "/v1/sinks", NULL, &answer);
	if (status != CLI_OK)
		return status;
	items = json_object_get(answer, "items");
	if (cli->json)
		cli_json_line(answer);
	else
		cli_rows(&table, items, true);
	json_array_foreach(items, i, item) {
		const char *state = cli_member_text(item, "state");

		if (strcmp(state, "down") == 0 || strcmp(state, "retrying") == 0 ||
		    json_integer_value(json_object_get(item, "dead_letters")) > 0)
			status = CLI_NO;
	}
	json_decref(answer);
	return status;
}
