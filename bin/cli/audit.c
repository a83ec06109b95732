/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about what happened: the timeline, its tail, proofs, and what the
 * detectors and the responder made of it.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef AG_HAVE_VERIFY
#include <replay.h>
#include <verify.h>
#endif

#define FILTERS \
	{ "--actor", "P", CLI_STR, "actor", false, "who did it", NULL }, \
	{ "--agent", "A", CLI_STR, "agent", false, "this agent", NULL }, \
	{ "--include-agents", NULL, CLI_FLAG, "include_agents", false, "and all below the actor", NULL }, \
	{ "--root", "P", CLI_STR, "root", false, "whose chain begins there", NULL }, \
	{ "--key", "K", CLI_STR, "key", false, "with this key", NULL }, \
	{ "--operation", "O", CLI_STR, "operation", false, "key.sign, agent.issue, …", NULL }, \
	{ "--outcome", "O", CLI_STR, "outcome", false, "allowed, denied, failed, unknown", NULL }, \
	{ "--since", "T", CLI_TIME, "since", false, "2h, or a timestamp", NULL }, \
	{ "--until", "T", CLI_TIME, "until", false, "2h, or a timestamp", NULL }, \
	{ "--type", "T", CLI_STR, "event_type", false, "request, detection, response, …", NULL }, \
	{ "--code", "C", CLI_STR, "code", false, "refused with this code", NULL }, \
	{ "--model", "M", CLI_STR, "model", false, "agents on this model", NULL }, \
	{ "--request", "ID", CLI_STR, "request_id", false, "this request", NULL }, \
	{ "--include-risk", NULL, CLI_LOCAL, NULL, false, "with the score's contributions", NULL }

#define TIMELINE \
	"TIME:occurred_at,ACTOR:actor,PARENT:parent,KEY:key,OPERATION:operation," \
	"OUTCOME:outcome,RISK:risk,REASON:reason"

static const struct cli_option query_options[] = {
	FILTERS,
	{ "--limit", "N", CLI_LOCAL, NULL, false, "the newest N", NULL },
	{ 0 },
};
static const struct cli_option tail_options[] = {
	FILTERS,
	{ "--from", "SEQ", CLI_INT, "from_seq", false, "from this number on", NULL },
	{ 0 },
};
static const struct cli_option event_options[] = {
	{ "EVENT", "EVENT", CLI_STR, NULL, true, "an event's id", NULL }, { 0 },
};
static const struct cli_option proof_options[] = {
	{ "EVENT", "EVENT", CLI_STR, NULL, true, "an event's id", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the proof goes; stdout unless given", NULL },
	{ 0 },
};
static const struct cli_option consistency_options[] = {
	{ "FIRST", "FIRST", CLI_INT, "first", true, "events under the older checkpoint, the one that you kept", NULL },
	{ "SECOND", "SECOND", CLI_INT, "second", false, "events under the newer one; absent: the newest there is", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the proof goes; stdout unless given", NULL },
	{ 0 },
};
#ifdef AG_HAVE_VERIFY
static const struct cli_option replay_options[] = {
	{ "EVENT", "EVENT", CLI_LOCAL, NULL, false, "an event's id; absent: every request", NULL },
	{ "--agent", "A", CLI_LOCAL, NULL, false, "this agent's (id or label)", NULL },
	{ "--dir", "DIR", CLI_LOCAL, NULL, false, "the log's directory; absent: audit in the state directory", NULL },
	{ 0 },
};
static const struct cli_option verify_options[] = {
	{ "--dir", "DIR", CLI_LOCAL, NULL, false, "the log's directory; or --proof", NULL },
	{ "--proof", "FILE", CLI_LOCAL, NULL, false, "of one event, as audit proof wrote it: without the log", NULL },
	{ "--consistency", "FILE", CLI_LOCAL, NULL, false, "of two checkpoints, as audit consistency wrote it: without the log", NULL },
	{ "--public-key", "FILE", CLI_LOCAL, NULL, true, "whose signatures to believe", NULL },
	{ "--tenant", "T", CLI_LOCAL, NULL, false, "only this tenant's events", NULL },
	{ "--checkpoint", "FILE", CLI_LOCAL, NULL, false, "one that you kept: finds a tail cut back", NULL },
	{ "--write-checkpoint", "FILE", CLI_LOCAL, NULL, false, "keep one for the next time", NULL },
	{ 0 },
};
#endif
static const struct cli_option recommendation_list[] = {
	{ "--severity", "S", CLI_STR, "severity", false, "low, medium, high, critical", NULL },
	{ "--detector", "D", CLI_STR, "detector", false, "scope_violation, rate_spike, …", NULL },
	{ "--actor", "A", CLI_STR, "actor", false, "about whom", NULL },
	{ "--state", "S", CLI_STR, "state", false, "open, acted, dismissed", NULL },
	{ "--since", "T", CLI_TIME, "since", false, "2h, or a timestamp", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option recommendation[] = {
	{ "R", "R", CLI_STR, NULL, true, "a recommendation's id", NULL }, { 0 },
};
static const struct cli_option dismiss_options[] = {
	{ "R", "R", CLI_STR, NULL, true, "a recommendation's id", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL },
	{ "--learn", NULL, CLI_FLAG, "learn", false, "this is normal from now on", NULL },
	{ 0 },
};

/* --------------------------------------------------------- the timeline */

static const char *
first_text(const json_t *object, const char *a, const char *b, const char *c)
{
	const char *paths[] = { a, b, c };

	for (size_t i = 0; i < 3; i++)
		if (cli_member_text(object, paths[i])[0] != '\0')
			return cli_member_text(object, paths[i]);
	return "-";
}

static const char *
parent_of(const json_t *event)
{
	const json_t *chain = json_object_get(event, "chain");
	size_t n = json_array_size(chain);

	if (n < 2)
		return "-";
	return first_text(json_array_get(chain, n - 2), "name", "id", "id");
}

static const char *
key_of(const json_t *event)
{
	if (strcmp(cli_member_text(event, "resource.type"), "key") != 0)
		return "-";
	return first_text(event, "resource.alias", "resource.id", "resource.id");
}

static void
add(char *buf, size_t size, const char *a, const char *b)
{
	size_t used = strlen(buf);

	(void)snprintf(buf + used, size - used, "%s%s%s", used > 0 ? " " : "", a, b);
}

/* code/reason_code of a refusal; what a detection or response says. */
static void
reason_of(const json_t *event, char *buf, size_t size)
{
	const char *code = cli_member_text(event, "code");
	const char *reason = cli_member_text(event, "reason_code");
	const json_t *params = json_object_get(event, "params");
	const char *type = cli_member_text(event, "event_type"), *name;
	char equals[80];
	json_t *value;

	buf[0] = '\0';
	if (code[0] != '\0')
		(void)snprintf(buf, size, "%s%s%s", code, reason[0] == '\0' ? "" : "/",
		    reason);
	if (strcmp(type, "request") != 0)
		json_object_foreach((json_t *)params, name, value) {
			(void)snprintf(equals, sizeof(equals), "%s=", name);
			add(buf, size, equals,
			    json_is_string(value) ? json_string_value(value) : "-");
		}
	if (buf[0] == '\0')
		add(buf, size, "-", "");
}

/* 0.12, with --include-risk followed by what it is made of. */
static void
risk_of(const json_t *event, bool full, char *buf, size_t size)
{
	const json_t *risk = json_object_get(event, "risk"), *factor;
	char text[96];
	size_t i;

	if (!json_is_object(risk)) {
		(void)snprintf(buf, size, "-");
		return;
	}
	(void)snprintf(buf, size, "%.2f",
	    json_number_value(json_object_get(risk, "score")));
	if (!full)
		return;
	json_array_foreach(json_object_get(risk, "factors"), i, factor) {
		(void)snprintf(text, sizeof(text), "%s%+.2f",
		    cli_member_text(factor, "name"),
		    json_number_value(json_object_get(factor, "contribution")));
		add(buf, size, text, "");
	}
}

static json_t *
row_of(const json_t *event, bool full_risk)
{
	char reason[256], risk[256];

	reason_of(event, reason, sizeof(reason));
	risk_of(event, full_risk, risk, sizeof(risk));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "occurred_at",
	    cli_member_text(event, "occurred_at"), "actor",
	    first_text(event, "actor.label", "actor.name", "actor.id"), "parent",
	    parent_of(event), "key", key_of(event), "operation",
	    cli_member_text(event, "operation"), "outcome",
	    cli_member_text(event, "outcome"), "risk", risk, "reason", reason);
}

static void
print_events(struct cli *cli, struct cli_table *table, const json_t *events,
    bool newest_first)
{
	json_t *rows = json_array(), *event;
	size_t n = json_array_size(events);

	for (size_t i = 0; i < n; i++) {
		event = json_array_get(events, newest_first ? n - 1 - i : i);
		if (cli->json)
			cli_json_line(event);
		else
			(void)json_array_append_new(rows,
			    row_of(event, cli_get(cli, "--include-risk") != NULL));
	}
	if (!cli->json)
		cli_rows(table, rows, !cli->quiet);
	json_decref(rows);
}

/* Up to `left` events, gathered or printed as they come. */
static enum cli_exit
fetch(struct cli *cli, const char *base, long long left, json_t *gathered)
{
	struct cli_table table = { .columns = TIMELINE };
	char path[CLI_URL_MAX], cursor[CLI_PATH_MAX] = "";
	json_t *answer = NULL, *items;
	unsigned long long done = 0;
	enum cli_exit status;

	do {
		status = cli_page_path(base, left, cursor, path, sizeof(path));
		if (status == CLI_OK)
			status = cli_http(cli, "GET", path, NULL, &answer);
		if (status != CLI_OK)
			return status;
		items = json_object_get(answer, "items");
		left -= (long long)json_array_size(items);
		(void)snprintf(cursor, sizeof(cursor), "%s",
		    cli_member_text(answer, "next_cursor"));
		if (gathered != NULL)
			(void)json_array_extend(gathered, items);
		else
			print_events(cli, &table, items, false);
		done += json_array_size(items);
		cli_progress(cli, "events", done);
		json_decref(answer);
		answer = NULL;
	} while (cursor[0] != '\0' && left > 0);
	cli_progress_end(cli);
	return CLI_OK;
}

enum cli_exit
cli_audit_query(struct cli *cli)
{
	const char *limit = cli_get(cli, "--limit");
	struct cli_table table = { .columns = TIMELINE };
	const char *template = limit == NULL ? "/v1/audit?order=asc"
	                                     : "/v1/audit?order=desc";
	char base[CLI_URL_MAX], *end;
	json_t *newest;
	enum cli_exit status;
	long long n;

	if ((status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = cli_path_query(cli, template, base, sizeof(base))) != CLI_OK)
		return status;
	if (limit == NULL)
		return fetch(cli, base, INT64_MAX, NULL);
	n = strtoll(limit, &end, 10);
	if (*end != '\0' || n < 1 || n > 1000000)
		return cli_fail(CLI_USAGE, "--limit %s: a number from 1", limit);
	newest = json_array();
	status = fetch(cli, base, n, newest);
	if (status == CLI_OK)
		print_events(cli, &table, newest, true);
	json_decref(newest);
	return status;
}

/* -------------------------------------------------------------- the tail */

struct tail {
	struct cli *cli;
	struct cli_table table;
	enum { LINE_OTHER, LINE_EVENT, LINE_LAGGED } kind;
	long long seen; /* seq of the last event printed; -1: none yet */
	long long id;   /* of the event being read */
	bool moved;     /* something came on this connection */
	enum cli_exit status; /* CLI_OK: go on */
};

enum { TAIL_WAIT_MS = 200, TAIL_WAIT_MAX_MS = 5000 };

static bool
print_tailed(struct tail *tail, json_t *event)
{
	json_t *one;

	if (event == NULL)
		return false; /* cut off in the middle: it comes again */
	tail->moved = true;
	if (tail->id <= tail->seen) {
		json_decref(event);
		return true;
	}
	tail->seen = tail->id;
	one = json_pack("[o]", event);
	print_events(tail->cli, &tail->table, one, false);
	(void)fflush(stdout);
	json_decref(one);
	return true;
}

/* One line of server-sent events. False: this connection is over. */
static bool
on_line(void *arg, const char *line)
{
	struct tail *tail = arg;

	if (strncmp(line, "id: ", 4) == 0)
		tail->id = strtoll(line + 4, NULL, 10);
	if (strncmp(line, "event: ", 7) == 0)
		tail->kind = strcmp(line + 7, "audit") == 0 ? LINE_EVENT :
		    strcmp(line + 7, "lagged") == 0 ? LINE_LAGGED : LINE_OTHER;
	if (strncmp(line, "data: ", 6) != 0)
		return true;
	if (tail->kind == LINE_EVENT)
		return print_tailed(tail, json_loads(line + 6, 0, NULL));
	/* Behind: on from where it was. Ended: whoever it was may not go on. */
	if (tail->kind == LINE_OTHER)
		tail->status = cli_fail(CLI_UNAUTHENTICATED, "the stream ended: %s",
		    line + 6);
	return false;
}

/* From the event after the last one that was printed. */
static bool
tail_path(const struct tail *tail, const char *base, char *out, size_t size)
{
	const char *from = strstr(base, "from_seq=");
	int n;

	if (tail->seen < 0 || from != NULL)
		n = snprintf(out, size, "%s", base);
	else
		n = snprintf(out, size, "%s%cfrom_seq=%lld", base,
		    strchr(base, '?') == NULL ? '?' : '&', tail->seen + 1);
	if (n < 0 || (size_t)n >= size)
		return false;
	if (tail->seen >= 0 && from != NULL)
		(void)snprintf(out + (from - base), size - (size_t)(from - base),
		    "from_seq=%lld%s", tail->seen + 1,
		    strchr(from, '&') == NULL ? "" : strchr(from, '&'));
	return true;
}

/* Goes on for as long as the credential is good: a connection that ends, a
 * plane that is restarted or a reader that was too slow costs no event. */
static enum cli_exit
audit_tail(struct cli *cli)
{
	/* Widths are guesses: what comes is not known yet. */
	struct tail tail = { .cli = cli, .seen = -1, .table = { .columns = TIMELINE,
	    .widths = { 24, 24, 12, 20, 20, 8, 5 } } };
	char base[CLI_URL_MAX], path[CLI_URL_MAX + 64];
	unsigned wait_ms = TAIL_WAIT_MS;
	enum cli_exit status;
	bool begun = false;

	if ((status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = cli_path_query(cli, "/v1/audit/stream", base,
	        sizeof(base))) != CLI_OK)
		return status;
	for (;;) {
		struct timespec wait;

		tail.moved = false;
		if (!tail_path(&tail, base, path, sizeof(path)))
			return cli_fail(CLI_USAGE, "the filters are too long");
		status = cli_http_lines(cli, path, on_line, &tail);
		if (tail.status != CLI_OK)
			return tail.status;
		begun = begun || status == CLI_OK || tail.moved;
		if (!begun || (status != CLI_OK && status != CLI_TRY_AGAIN))
			return status;
		wait_ms = tail.moved ? TAIL_WAIT_MS : 2 * wait_ms;
		if (wait_ms > TAIL_WAIT_MAX_MS)
			wait_ms = TAIL_WAIT_MAX_MS;
		wait = (struct timespec){ wait_ms / 1000,
			wait_ms % 1000 * 1000000L };
		(void)nanosleep(&wait, NULL);
		/* A fleet that was started again may listen elsewhere. */
		if (cli_resolve(cli, true) != CLI_OK)
			return CLI_TRY_AGAIN;
	}
}

static enum cli_exit
audit_proof(struct cli *cli)
{
	const char *name = cli_get(cli, "--out");
	json_t *answer = NULL;
	enum cli_exit status;
	char *text;
	FILE *out;

	if ((status = cli_create(name, false, &out)) != CLI_OK)
		return status;
	status = cli_request(cli, &answer);
	if (status == CLI_OK && name == NULL && !cli->json)
		cli_object(answer);
	else if (status == CLI_OK) {
		text = json_dumps(answer, JSON_COMPACT);
		fprintf(out, "%s\n", text == NULL ? "" : text);
		free(text);
	}
	if (status == CLI_OK)
		status = cli_finish(out, name);
	json_decref(answer);
	return status;
}

#ifdef AG_HAVE_VERIFY
/* From the files: what a decision was made of is not shown by the server. */
static enum cli_exit
audit_replay(struct cli *cli)
{
	char state[CLI_PATH_MAX], dir[CLI_PATH_MAX + 8];
	struct replay_options o = { .dir = cli_get(cli, "--dir"),
		.event = cli_get(cli, "EVENT"), .agent = cli_get(cli, "--agent"),
		.json = cli->json, .quiet = cli->quiet };

	if (o.event != NULL && !ag_id_valid(o.event, "evt"))
		return cli_fail(CLI_USAGE, "%s: an event's id, evt_…", o.event);
	if (o.dir == NULL) {
		(void)snprintf(dir, sizeof(dir), "%s/audit",
		    cli_state_dir(cli, state, sizeof(state)));
		o.dir = dir;
	}
	return (enum cli_exit)replay_log(&o);
}
#endif

/* The rules, and above them whether anything is done at all. */
static enum cli_exit
responder_rules(struct cli *cli)
{
	struct cli_table table = { .columns =
	    "DETECTOR:detector,SEVERITY:severity,KIND:kind,ACTION:action" };
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK) {
		if (!cli->quiet)
			printf("dry run: %s, at most %" JSON_INTEGER_FORMAT
			       " actions a minute\n",
			    json_is_true(json_object_get(answer, "dry_run")) ? "yes" : "no",
			    json_integer_value(
			        json_object_get(answer, "max_actions_per_minute")));
		cli_rows(&table, json_object_get(answer, "items"), !cli->quiet);
	}
	json_decref(answer);
	return status;
}

#define RECOMMENDATION_COLUMNS \
	"ID:id,TIME:occurred_at,SEVERITY:severity,DETECTOR:detector,ACTOR:actor," \
	"STATE:state,ACTION:action.name,SUMMARY:summary"

const struct cli_verb cli_verbs_audit[] = {
	{ "audit", "", query_options, NULL, NULL, CLI_SILENT, NULL, cli_audit_query,
	    "the timeline, a line an event", NULL, NULL },
	{ "audit", "query", query_options, NULL, NULL, CLI_SILENT, NULL,
	    cli_audit_query, "the same", NULL, NULL },
	{ "audit", "tail", tail_options, NULL, NULL, CLI_SILENT, NULL, audit_tail,
	    "the timeline, as it happens", NULL, NULL },
	{ "audit", "health", NULL, NULL, NULL, CLI_SILENT, NULL, cli_audit_health,
	    "is every sink up to date? exit 1: somebody should look", NULL, NULL },
	{ "audit", "show", event_options, "GET", "/v1/audit/{EVENT}", CLI_OBJECT,
	    NULL, NULL, "all about one event", NULL, NULL },
	{ "audit", "proof", proof_options, "GET", "/v1/audit/{EVENT}/proof",
	    CLI_SILENT, NULL, audit_proof, "that it is in the log", NULL, NULL },
	{ "audit", "consistency", consistency_options, "GET",
	    "/v1/audit/consistency", CLI_SILENT, NULL, audit_proof,
	    "that a checkpoint goes on where an older one ended", NULL, "120" },
#ifdef AG_HAVE_VERIFY
	{ "audit", "replay", replay_options, NULL, NULL, CLI_SILENT, NULL,
	    audit_replay, "make recorded decisions again, and compare", NULL,
	    "--agent batch" },
	{ "audit", "verify", verify_options, NULL, NULL, CLI_SILENT, NULL, NULL,
	    "check the log's files, without the fleet", ag_cmd_audit_verify,
	    "--dir ./aegis-state/audit --public-key audit-key.pem" },
#endif
	{ "recommendation", "list", recommendation_list, "GET",
	    "/v1/recommendations", CLI_TABLE, RECOMMENDATION_COLUMNS, NULL,
	    "what the detectors saw", NULL, NULL },
	{ "recommendation", "show", recommendation, "GET",
	    "/v1/recommendations/{R}", CLI_OBJECT, NULL, NULL, "one of them", NULL, NULL },
	{ "recommendation", "dismiss", dismiss_options, "POST",
	    "/v1/recommendations/{R}/dismiss", CLI_LINE,
	    "ID:id,STATE:state", NULL, "it was nothing", NULL, NULL },
	{ "responder", "rules", NULL, "GET", "/v1/responder/rules", CLI_SILENT,
	    NULL, responder_rules, "what is done about what", NULL, NULL },
	{ 0 },
};
