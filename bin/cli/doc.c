/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference, printed from the tables that the code itself reads, in
 * Markdown; docs/reference.md is this output, and a test says when it is not.
 */
#include "cli.h"

#include <string.h>

/* ------------------------------------------------------------------ rest */

static const struct { const char *method, *path, *name, *summary; }
rest_rows[] = {
#define PAGE(method, path, page, summary) { #method, path, NULL, summary },
#define ROUTE(method, path, op, location, summary) \
	{ #method, path, #op, summary },
#include "../planes/rest/routes.def"
#undef PAGE
#undef ROUTE
};

static const struct ag_operation *
operation_called(const char *name)
{
	const struct ag_operation *op;

	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++)
		if (strcmp(op->name, name) == 0)
			return op;
	return NULL;
}

static void
put_scope(const struct ag_operation *op)
{
	if (op == NULL)
		fputs("none, public | – | – |", stdout);
	else if (op->kind == AG_KIND_ANY)
		printf("any caller | %s | %s |", op->operation,
		    op->flags & AG_OP_IDEM ? "yes" : "");
	else
		printf("`%s:%s:%s` | %s | %s |", ag_kind_name(op->kind),
		    op->flags & AG_OP_ALL ? "*" : "x", op->op, op->operation,
		    op->flags & AG_OP_IDEM ? "yes" : "");
}

static void
doc_rest(void)
{
	const struct ag_operation *op;

	puts("## REST\n\n`x` is the thing named in the path.\n\n"
	     "| route | answers | what | scope | event | Idempotency-Key |\n"
	     "|---|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof(rest_rows) / sizeof(rest_rows[0]); i++) {
		op = rest_rows[i].name == NULL ? NULL :
		    operation_called(rest_rows[i].name);
		printf("| `%s %s` | %d | %s | ", rest_rows[i].method,
		    rest_rows[i].path,
		    op != NULL && (op->flags & AG_OP_MAKES) != 0 ? 201 : 200,
		    rest_rows[i].summary);
		put_scope(op);
		putchar('\n');
	}
}

/* ------------------------------------------------------------------- mcp */

static const struct { const char *name, *op, *what; } tool_rows[] = {
#define TOOL(name, op, about, hints, left_out, title, description) \
	{ #name, #op, description },
#include "../planes/tools/tools.def"
#undef TOOL
};

static void
doc_mcp(void)
{
	puts("## MCP\n\nThe tools of `POST /mcp`; each is one operation, with its "
	     "checks and its event.\n\n| tool | what | scope | event | "
	     "Idempotency-Key |\n|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof(tool_rows) / sizeof(tool_rows[0]); i++) {
		printf("| `%s` | %s | ", tool_rows[i].name, tool_rows[i].what);
		put_scope(operation_called(tool_rows[i].op));
		putchar('\n');
	}
	puts("\nThe plane of functions:\n\n| route | what |\n|---|---|");
#define ROUTE(method, path, op, location, summary) \
	puts("| `" #method " " path "` | " summary " |");
#include "../planes/agent/routes.def"
#undef ROUTE
}

/* ---------------------------------------------------------------- errors */

static void
doc_errors(void)
{
	puts("## Errors\n\n| code | HTTP | KMIP | MCP | exit | what it says | what to do |\n"
	     "|---|---|---|---|---|---|---|");
	for (int err = 1; err < AG_ERR_COUNT; err++) {
		const struct ag_err_row *row = ag_err_row((ag_err)err);

		/* several of ours may be one to the public */
		if (ag_err_from_code(row->code) != (ag_err)err)
			continue;
		printf("| `%s` | %d | %s | %d | %d | %s | %s |\n", row->code,
		    row->http, row->kmip, row->mcp, row->cli_exit, row->title,
		    cli_hint_of(row->code));
	}
	puts("\nMCP 0 is a tool error; 401 and 403 are HTTP.");
}

/* -------------------------------------------------------------- messages */

static const struct { unsigned number; const char *name, *proto, *group; }
message_rows[] = {
#define MSG(number, name, proto, group) { number, #name, #proto, #group },
#include "messages.def"
#undef MSG
};

static void
doc_messages(void)
{
	const struct ag_operation *op;

	puts("## Messages\n\n| number | name | body | group |\n|---|---|---|---|");
	for (size_t i = 0; i < sizeof(message_rows) / sizeof(message_rows[0]); i++)
		printf("| 0x%04x | `%s` | %s | %s |\n", message_rows[i].number,
		    message_rows[i].name, message_rows[i].proto, message_rows[i].group);
	puts("\n### Operations\n\n| number | name | ask | answer | executed by |\n"
	     "|---|---|---|---|---|");
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++)
		printf("| 0x%04x | `%s` | %s | %s | %s |\n", op->type, op->name,
		    op->ask->short_name, op->reply->short_name,
		    ag_role_name(op->executor));
}

/* ---------------------------------------------------------------- routes */

static const struct { const char *from, *to, *group; } route_rows[] = {
#define ROUTE(from, to, group) { #from, #to, #group },
#include "routes.def"
#undef ROUTE
};

/* The pairs that talk without the broker. */
static void
doc_lines(void)
{
	puts("\nWithout the broker between them:\n\n| from | to |\n|---|---|");
#define LINE(from, to) puts("| " #from " | " #to " |");
#define DOOR(from, to)
#include "lines.def"
#undef LINE
#undef DOOR
	puts("\nThrough the broker, by a pair on either side of it:\n\n"
	     "| from | to |\n|---|---|");
#define LINE(from, to)
#define DOOR(from, to) puts("| " #from " | " #to " |");
#include "lines.def"
#undef LINE
#undef DOOR
}

static void
doc_routes(void)
{
	puts("## Topology\n\nWhat is not listed is refused and "
	     "recorded.\n\n| from | to | messages |\n|---|---|---|");
	for (size_t i = 0; i < sizeof(route_rows) / sizeof(route_rows[0]); i++)
		printf("| %s | %s | %s |\n", route_rows[i].from, route_rows[i].to,
		    route_rows[i].group);
	doc_lines();
}

/* ---------------------------------------------------------------- config */

static void
put_cell_text(const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '|')
			putchar('\\');
		putchar(*text);
	}
}

static void
doc_config(void)
{
	static const char *const types[] = {
		[AG_CFG_STRING] = "text", [AG_CFG_PATH] = "file",
		[AG_CFG_WORD] = "word", [AG_CFG_BOOL] = "yes or no",
		[AG_CFG_INT] = "number", [AG_CFG_DURATION_S] = "duration",
		[AG_CFG_NUMBER] = "number", [AG_CFG_LISTEN] = "host:port",
		[AG_CFG_STRINGS] = "texts", [AG_CFG_WORDS] = "words",
	};
	const struct ag_config_key *key;

	puts("## Configuration\n\nOne YAML file. A dot is a level, `[]` a list.\n\n"
	     "| key | type | default | allowed | what |\n|---|---|---|---|---|");
	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++) {
		printf("| `%s` | %s | ", key->path, types[key->type]);
		put_cell_text(key->fallback == NULL ? "–" : key->fallback);
		fputs(" | ", stdout);
		put_cell_text(key->range);
		fputs(" | ", stdout);
		put_cell_text(key->help);
		puts(" |");
	}
}

/* ----------------------------------------------------------------- fleet */

static const struct { const char *name, *folder, *role, *jail, *count; }
fleet_rows[] = {
#define AG_PROC(name, folder, role, jail, count) \
	{ #name, #folder, #role, #jail, #count },
#include "fleet.def"
#undef AG_PROC
};

static void
doc_fleet(void)
{
	puts("## Fleet\n\n| process | folder | role | jail | how many |\n"
	     "|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof(fleet_rows) / sizeof(fleet_rows[0]); i++)
		printf("| `aegis-%s` | %s | %s | %s | %s |\n", fleet_rows[i].name,
		    fleet_rows[i].folder, fleet_rows[i].role, fleet_rows[i].jail,
		    fleet_rows[i].count);
	puts("\n`AG_SHARDS` is `keys.shards`, `AG_PLANES` is `rest.processes`, "
	     "`AG_LISTENS` is 1 if its `listen` is set, "
	     "`AG_ENABLED` 1 if its `enabled` is true, "
	     "`AG_SINKS` one per row of `sinks`.");
}

/* -------------------------------------------------------------- failures */

static const struct { const char *decision, *needs, *then, *answer, *proof; }
failure_rows[] = {
#define FAILURE(decision, needs, then, answer, proof) \
	{ decision, needs, #then, answer, proof },
#include "failures.def"
#undef FAILURE
};

static void
doc_failures(void)
{
	puts("## Failures\n\nWhat is decided when what the decision needs cannot be "
	     "asked.\n\n| decision | needs | without it | answer | shown by |\n"
	     "|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof(failure_rows) / sizeof(failure_rows[0]); i++)
		printf("| %s | %s | %s | %s | `%s` |\n", failure_rows[i].decision,
		    failure_rows[i].needs, failure_rows[i].then,
		    failure_rows[i].answer, failure_rows[i].proof);
	puts("\n`CLOSED` refused until it can be asked again · `LEASE` as it was last "
	     "heard, for `journal.postgres.lease_s`, then `CLOSED` · `LOCAL` each node "
	     "has its part of the rate · `TIGHTER` reads go on, marked degraded, the "
	     "rest is refused · `STAYS` what was decided before stays · `WAITS` the "
	     "request is not concerned. What is not listed is refused.");
}

/* ---------------------------------------------------------------- events */

static void
doc_events(void)
{
	const struct ag_operation *op;
	const ProtobufCFieldDescriptor *f;
	const ProtobufCMessageDescriptor *event = &ag__event__descriptor;

	puts("## Events\n\nOne event a request. Its members:\n");
	for (unsigned i = 0; i < event->n_fields; i++) {
		f = &event->fields[i];
		if (f->id < 40) /* from there on they are not shown */
			printf("%s`%s`", i == 0 ? "" : ", ", f->name);
	}
	puts(".\n\n| operation | executed by | degraded allowed | sealed answer | "
	     "people only |\n|---|---|---|---|---|");
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++)
		printf("| `%s` | %s | %s | %s | %s |\n", op->operation,
		    ag_role_name(op->executor), op->flags & AG_OP_READ ? "yes" : "",
		    op->flags & AG_OP_SECRET ? "yes" : "",
		    op->flags & AG_OP_PEOPLE ? "yes" : "");
	puts("\nDetections are `detection.<detector>`, responses "
	     "`response.<action>`.");
}

/* ------------------------------------------------------------------- cli */

/* An option, or a word whose name says less than its help does. */
static void
put_option(const struct cli_option *o)
{
	printf("- `%s%s%s`: %s\n", cli_is_positional(o) ? "" : o->name,
	    cli_is_positional(o) || o->arg == NULL ? "" : " ",
	    o->arg == NULL ? "" : o->arg, o->help);
}

static void
doc_cli(void)
{
	const struct cli_verb *verb;
	const struct cli_option *o;

	puts("## The aegis command\n\nEvery verb takes, before the noun or after "
	     "it:\n");
	for (o = cli_globals; o->name != NULL; o++)
		put_option(o);
	puts("\nDurations are `90s 15m 1h 30d`, times one of those or "
	     "`2026-11-20T21:33:14Z`, `-` is standard input or output. Lists are "
	     "tables, or with `--json` one object a line.\n\n| exit | meaning |\n"
	     "|---|---|");
	for (const struct cli_exit_row *row = cli_exits; row->meaning != NULL; row++)
		printf("| %d | %s |\n", (int)row->status, row->meaning);
	putchar('\n');
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		printf("### aegis %s%s%s\n\n%s.\n\n    ", verb->noun,
		    verb->verb[0] == '\0' ? "" : " ", verb->verb, verb->help);
		cli_usage(verb, stdout);
		fputs("    example: ", stdout);
		cli_example(verb, stdout);
		fputs("\n\n", stdout);
		for (o = verb->options; o != NULL && o->name != NULL; o++)
			put_option(o);
		if (verb->options != NULL)
			putchar('\n');
	}
}

static const struct { const char *name; void (*print)(void); } parts[] = {
	{ "rest", doc_rest },
	{ "mcp", doc_mcp },
	{ "errors", doc_errors },
	{ "messages", doc_messages },
	{ "routes", doc_routes },
	{ "config", doc_config },
	{ "fleet", doc_fleet },
	{ "failures", doc_failures },
	{ "events", doc_events },
	{ "cli", doc_cli },
};

/* aegis doc man [NOUN] [--out DIR] */
static enum cli_exit
doc_man(struct cli *cli)
{
	const char *noun = cli_get(cli, "NOUN"), *dir = cli_get(cli, "--out");

	if (dir != NULL && noun == NULL)
		return cli_man_files(dir);
	if (dir != NULL)
		return cli_fail(CLI_USAGE, "--out is for all pages at once");
	if (noun == NULL)
		cli_man_main(stdout);
	else if (cli_noun_known(noun))
		cli_man_noun(cli_noun_of(noun), stdout);
	else
		return cli_fail(CLI_USAGE, "%s: no such noun (aegis --help)", noun);
	return CLI_OK;
}

enum cli_exit
cli_doc(struct cli *cli)
{
	const char *part = cli_get(cli, "PART");
	bool found = false;

	if (part != NULL && strcmp(part, "man") == 0)
		return doc_man(cli);
	if (cli_get(cli, "NOUN") != NULL || cli_get(cli, "--out") != NULL)
		return cli_fail(CLI_USAGE, "a noun and --out are for `aegis doc man`");
	if (part == NULL)
		puts("# Reference\n\nPrinted by `aegis doc` from the tables that the "
		     "program reads.");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (part != NULL && strcmp(part, parts[i].name) != 0)
			continue;
		if (part == NULL)
			putchar('\n');
		parts[i].print();
		found = true;
	}
	if (!found)
		return cli_fail(CLI_USAGE, "%s: no such part (aegis doc --help)", part);
	return CLI_OK;
}
