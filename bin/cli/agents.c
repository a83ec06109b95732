/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about agents: credentials on a leash.
 */
#include "cli.h"

#include <string.h>

#define A { "A", "A", CLI_STR, NULL, true, "an agent's id", NULL }
#define REASON { "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }

#define AGENT_COLUMNS \
	"ID:id,LABEL:label,STATE:state,PARENT:chain,MODEL:model,ALLOWED:allowed_count," \
	"REFUSED:refused_count,EXPIRES:expires_at"
#define AGENT_LINE "ID:id,LABEL:label,STATE:state"

static const struct cli_option only_a[] = { A, { 0 } };
static const struct cli_option a_reason[] = { A, REASON, { 0 } };

static const struct cli_option issue_options[] = {
	{ "--scope", "S", CLI_WORDS, "scopes", false, "key:invoice-2026:sign; needed without --like", NULL },
	{ "--label", "L", CLI_STR, "label", false, "what people will call it; needed without --like", NULL },
	{ "--ttl", "D", CLI_DURATION, "ttl_s", false, "how long it lives; 1h unless given", NULL },
	{ "--model", "M", CLI_STR, "model", false, "which model it runs on", NULL },
	{ "--purpose", "TEXT", CLI_STR, "purpose", false, "what it is for", NULL },
	{ "--parent", "P", CLI_STR, "parent", false, "on whose behalf; yours unless given", NULL },
	{ "--max-depth", "N", CLI_INT, "max_depth", false, "how many agents below it", NULL },
	{ "--source-cidr", "C", CLI_LIST, "source_cidrs", false, "only from there", NULL },
	{ "--max-uses", "N", CLI_INT, "max_uses", false, "so many requests", NULL },
	{ "--like", "AGENT", CLI_STR, "like", false, "as one that was revoked by mistake", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the token goes (0600); stdout unless given", NULL },
	{ 0 },
};
static const struct cli_option list_options[] = {
	{ "--parent", "P", CLI_STR, "parent", false, "directly below", NULL },
	{ "--root", "P", CLI_STR, "root", false, "anywhere below", NULL },
	{ "--state", "S", CLI_STR, "state", false, "live, suspended, revoked, expired", NULL },
	{ "--label", "L", CLI_STR, "label", false, "with this label", NULL },
	{ "--model", "M", CLI_STR, "model", false, "on this model", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option usage_options[] = {
	A,
	{ "--since", "T", CLI_TIME, "since", false, "2h, or a timestamp", NULL },
	{ "--until", "T", CLI_TIME, "until", false, "2h, or a timestamp", NULL },
	{ "--operation", "O", CLI_STR, "operation", false, "key.sign and such", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
/* One agent, or all that match. */
static const struct cli_option revoke_options[] = {
	{ "A", "A", CLI_LOCAL, NULL, false, "one agent's id, and all below it", NULL },
	{ "--parent", "P", CLI_STR, "parent", false, "all directly below", NULL },
	{ "--root", "P", CLI_STR, "root", false, "all anywhere below", NULL },
	{ "--label", "L", CLI_STR, "label", false, "all with this label", NULL },
	{ "--jti", "J", CLI_STR, "jti", false, "the one with this credential", NULL },
	{ "--issued-within", "D", CLI_TIME, "issued_after", false, "only those issued within 24h", NULL },
	REASON,
	{ "--dry-run", NULL, CLI_FLAG, "dry_run", false, "only say which", NULL },
	{ 0 },
};

static void
say_token(FILE *out, const char *name, struct cli *cli, json_t *answer)
{
	bool to_file = name != NULL && strcmp(name, "-") != 0;

	if (to_file || !cli->json)
		fprintf(out, "%s\n", cli_member_text(answer, "token"));
	if (to_file)
		(void)json_object_set_new(answer, "token", json_null());
	if (cli->json)
		cli_json_line(answer);
	else if (to_file && !cli->quiet)
		cli_line("ID:agent_id,LABEL:label,SCOPES:scopes,EXPIRES:expires_at",
		    answer);
}

/* The token is shown once: to the file, else on stdout alone. */
static enum cli_exit
agent_issue(struct cli *cli)
{
	static const char *const needed[] = { "--scope", "--label" };
	const char *name = cli_get(cli, "--out");
	bool like = cli_get(cli, "--like") != NULL;
	json_t *answer = NULL;
	enum cli_exit status;
	FILE *out;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!like && cli_get(cli, needed[i]) == NULL) {
			(void)cli_fail(CLI_USAGE, "%s is missing", needed[i]);
			cli_usage(cli->verb, stderr);
			return CLI_USAGE;
		}
	if ((status = cli_create(name, true, &out)) != CLI_OK)
		return status;
	status = cli_request(cli, &answer);
	if (status == CLI_OK) {
		say_token(out, name, cli, answer);
		status = cli_finish(out, name);
	}
	json_decref(answer);
	return status;
}

static enum cli_exit
revoke_one(struct cli *cli, json_t **answer)
{
	char path[CLI_URL_MAX];
	json_t *body;
	enum cli_exit status;

	body = json_pack("{s:s}", "reason", cli_get(cli, "--reason"));
	if ((status = cli_path(cli, "/v1/agents/{A}/revoke", path, sizeof(path))) ==
	        CLI_OK &&
	    (status = cli_resolve(cli, true)) == CLI_OK)
		status = cli_http(cli, "POST", path, body, answer);
	json_decref(body);
	return status;
}

static enum cli_exit
agent_revoke(struct cli *cli)
{
	static const char *const filters[] = { "--parent", "--root", "--label", "--jti" };
	bool one = cli_get(cli, "A") != NULL, many = false;
	json_t *answer = NULL;
	enum cli_exit status;

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		many = many || cli_get(cli, filters[i]) != NULL;
	if (one == many)
		return cli_fail(CLI_USAGE,
		    "name one agent, or --parent, --root, --label or --jti");
	if (one && (cli_get(cli, "--dry-run") != NULL ||
	               cli_get(cli, "--issued-within") != NULL))
		return cli_fail(CLI_USAGE, "--dry-run and --issued-within are for many");
	status = one ? revoke_one(cli, &answer) : cli_request(cli, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_object(answer);
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_agents[] = {
	{ "agent", "issue", issue_options, "POST", "/v1/agents/issue", CLI_SILENT,
	    NULL, agent_issue, "a credential for an agent", NULL,
	    "--scope key:invoice-2026:sign --label invoice-bot" },
	{ "agent", "list", list_options, "GET", "/v1/agents", CLI_TABLE,
	    AGENT_COLUMNS, NULL, "the agents", NULL, NULL },
	{ "agent", "show", only_a, "GET", "/v1/agents/{A}", CLI_OBJECT, NULL, NULL,
	    "all about one, never its token", NULL, NULL },
	{ "agent", "inspect", only_a, "GET", "/v1/agents/{A}", CLI_OBJECT, NULL,
	    NULL, "the same", NULL, NULL },
	{ "agent", "chain", only_a, "GET", "/v1/agents/{A}/delegation-chain",
	    CLI_ITEMS, "ID:id,KIND:kind,NAME:name,STATE:state", NULL,
	    "on whose behalf it acts, root first", NULL, NULL },
	{ "agent", "usage", usage_options, "GET", "/v1/agents/{A}/usage", CLI_TABLE,
	    "HOUR:hour_at,OPERATION:operation,ALLOWED:allowed,DENIED:denied,"
	    "FAILED:failed,UNKNOWN:unknown,ITEMS:items", NULL,
	    "what it did, by hour and operation", NULL, NULL },
	{ "agent", "suspend", a_reason, "POST", "/v1/agents/{A}/suspend", CLI_LINE,
	    AGENT_LINE, NULL, "refuse it until resumed", NULL, NULL },
	{ "agent", "resume", a_reason, "POST", "/v1/agents/{A}/resume", CLI_LINE,
	    AGENT_LINE, NULL, "end a suspension", NULL, NULL },
	{ "agent", "revoke", revoke_options, "POST", "/v1/agents/revoke",
	    CLI_SILENT, NULL, agent_revoke, "for ever, with all below it", NULL, NULL },
	{ 0 },
};
