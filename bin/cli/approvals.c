/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about what people must agree to.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define APPROVAL_COLUMNS \
	"ID:id,STATE:state,OPERATION:operation,RESOURCE:resource.alias|resource.id," \
	"REQUESTER:requester.name|requester.id,REQUESTED:requested_at,UNTIL:usable_until_at|expires_at"
#define APPROVAL_LINE "ID:id,STATE:state,OPERATION:operation,UNTIL:usable_until_at|expires_at"

static const struct cli_option list_options[] = {
	{ "--state", "STATE", CLI_STR, "state", false, "pending, approved, denied, expired or cancelled", NULL },
	{ "--requester", "P", CLI_STR, "requester", false, "of this principal or agent", NULL },
	{ "--key", "KEY", CLI_STR, "resource", false, "about this key", NULL },
	{ "--since", "T", CLI_TIME, "since", false, "asked for since then: 7d, or a timestamp", NULL },
	{ "--limit", "N", CLI_INT, "limit", false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option ask_options[] = {
	{ "OPERATION", "OPERATION", CLI_STR, "operation", true, "of the request that is to come: key.decrypt", NULL },
	{ "--resource", "R", CLI_STR, "resource", false, "what it is about: an id or an alias", NULL },
	{ "--body", "FILE", CLI_LOCAL, NULL, false, "the request's own JSON: only that is approved; {} unless given", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded, and shown to whoever approves", NULL },
	{ 0 },
};
static const struct cli_option one[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "apr_…", NULL }, { 0 },
};
static const struct cli_option decide[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "apr_…", NULL },
	{ "--comment", "TEXT", CLI_STR, "comment", false, "why", NULL }, { 0 },
};

#define GRANT_COLUMNS \
	"ID:id,PRINCIPAL:principal.name|principal.id,SCOPES:scopes,UNTIL:expires_at,REASON:reason"
static const struct cli_option grant_options[] = {
	{ "--scope", "S", CLI_WORDS, "scopes", true, "a scope that is wanted; repeat it for more", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded, and shown to whoever approves", NULL },
	{ "--ttl", "D", CLI_DURATION, "ttl_s", false, "for how long; 15m unless given", NULL },
	{ 0 },
};
static const struct cli_option grant_list_options[] = {
	{ "--principal", "P", CLI_STR, "principal", false, "of this principal or agent", NULL },
	{ "--limit", "N", CLI_INT, "limit", false, "at most so many", NULL }, { 0 },
};

#define GLASS_COLUMNS \
	"ID:id,STATE:state,PRINCIPAL:principal.name|principal.id,KEY:resource.alias|resource.id," \
	"REASON:reason_code,OPENED:opened_at,UNTIL:ended_at|expires_at"
#define GLASS_LINE "ID:id,STATE:state,KEY:resource.alias|resource.id,UNTIL:ended_at|expires_at"
static const struct cli_option open_options[] = {
	{ "KEY", "KEY", CLI_STR, "key", true, "an id or an alias", NULL },
	{ "--reason-code", "R", CLI_STR, "reason_code", true, "incident, maintenance, security, recovery or other", NULL },
	{ "--justification", "TEXT", CLI_STR, "justification", true, "what happened: 20 to 1000 bytes; recorded", NULL },
	{ "--ttl", "D", CLI_DURATION, "ttl_s", false, "for how long; 1h unless given", NULL },
	{ 0 },
};
static const struct cli_option glass_list_options[] = {
	{ "--state", "STATE", CLI_STR, "state", false, "active, closed or expired", NULL },
	{ "--principal", "P", CLI_STR, "principal", false, "by this person", NULL },
	{ "--key", "KEY", CLI_STR, "key", false, "for this key", NULL },
	{ "--since", "T", CLI_TIME, "since", false, "opened since then: 7d, or a timestamp", NULL },
	{ "--limit", "N", CLI_INT, "limit", false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option glass_one[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "brk_…", NULL }, { 0 },
};
static const struct cli_option close_options[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "brk_…", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "how it ended; recorded", NULL },
	{ 0 },
};

/* ----------------------------------------------------------- ahead of it */

static enum cli_exit
read_request(const char *name, json_t **out)
{
	char *bytes;
	size_t len;
	enum cli_exit status;

	if (name == NULL)
		return CLI_OK;
	if ((status = cli_read(name, CLI_INPUT_MAX, &bytes, &len)) != CLI_OK)
		return status;
	*out = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
	ag_wipe(bytes, len);
	free(bytes);
	if (json_is_object(*out))
		return CLI_OK;
	json_decref(*out);
	*out = NULL;
	return cli_fail(CLI_USAGE, "--body %s: a JSON object is wanted, the "
	    "body of the request", name);
}

static enum cli_exit
ask_ahead(struct cli *cli)
{
	json_t *body = NULL, *request = NULL, *a = NULL;
	enum cli_exit status = cli_body(cli, &body);

	if (status == CLI_OK)
		status = read_request(cli_get(cli, "--body"), &request);
	if (status == CLI_OK && request != NULL)
		(void)json_object_set_new(body, "request", request);
	if (status == CLI_OK)
		status = cli_resolve(cli, true);
	if (status == CLI_OK)
		status = cli_http(cli, "POST", "/v1/approvals", body, &a);
	json_decref(body);
	if (status != CLI_OK)
		return status;
	if (cli->json)
		cli_json_line(a);
	else
		cli_line(APPROVAL_LINE, a);
	json_decref(a);
	return CLI_OK;
}

/* Would a request that brings it go on? The server has the last word. */
static bool
is_usable(const json_t *a)
{
	const json_t *need;
	struct timespec now;
	int64_t until;
	size_t i;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (strcmp(cli_member_text(a, "state"), "approved") != 0 ||
	    !ag_time_parse(cli_member_text(a, "usable_until_at"), &until) ||
	    until <= now.tv_sec * INT64_C(1000))
		return false;
	if (json_integer_value(json_object_get(a, "used")) == 0)
		return true;
	json_array_foreach(json_object_get(a, "needs"), i, need)
		if (!json_is_integer(json_object_get(need, "window_s")))
			return false;
	return true;
}

static enum cli_exit
check(struct cli *cli)
{
	json_t *a = NULL;
	enum cli_exit status = cli_request(cli, &a);

	if (status != CLI_OK)
		return status;
	status = is_usable(a) ? CLI_OK : CLI_NO;
	if (cli->json)
		cli_json_line(a);
	else if (!cli->quiet)
		cli_line(APPROVAL_LINE, a);
	json_decref(a);
	return status;
}

/* ------------------------------------------------------------------- show */

static void
put_fact(const json_t *a, const char *name, const char *path)
{
	const char *text = cli_member_text(a, path);

	if (text[0] != '\0')
		cli_say("%-12s %s", name, text);
}

static void
put_asked(const json_t *a)
{
	const json_t *value;
	const char *name;

	json_object_foreach(json_object_get(a, "asked"), name, value)
		cli_say("%-12s %s", name, json_string_value(value));
}

static void
put_chain(const json_t *a)
{
	const json_t *link;
	size_t i;

	json_array_foreach(json_object_get(a, "chain"), i, link)
		cli_say("%-12s %s %s %s", i == 0 ? "on behalf of" : "",
		    cli_member_text(link, "kind"), cli_member_text(link, "name"),
		    cli_member_text(link, "id"));
}

static void
put_needs(const json_t *a)
{
	const json_t *need, *said;
	size_t i;

	json_array_foreach(json_object_get(a, "needs"), i, need) {
		const char *group = cli_member_text(need, "group");

		cli_say("%-12s %lld of %s (%s)", i == 0 ? "needs" : "",
		    (long long)json_integer_value(json_object_get(need, "quorum")),
		    group[0] == '\0' ? "whoever may approve" : group,
		    cli_member_text(need, "rule"));
	}
	json_array_foreach(json_object_get(a, "decisions"), i, said)
		cli_say("%-12s %s by %s at %s  %s", i == 0 ? "decisions" : "",
		    cli_member_text(said, "decision"), cli_member_text(said, "name"),
		    cli_member_text(said, "at"), cli_member_text(said, "comment"));
}

/* What the requester says of itself stands between fences, so that nobody
 * takes it for something that the server knows. */
static void
put_claims(const json_t *a)
{
	const json_t *value;
	const char *name;
	bool begun = false;

	json_object_foreach(json_object_get(a, "claims"), name, value) {
		if (!json_is_string(value))
			continue;
		if (!begun)
			cli_say("---- the requester says (nobody has checked it) ----");
		begun = true;
		cli_say("| %s: %s", name, json_string_value(value));
	}
	if (begun)
		cli_say("---- end of what the requester says ----");
}

static enum cli_exit
show(struct cli *cli)
{
	json_t *a = NULL;
	enum cli_exit status = cli_request(cli, &a);

	if (status != CLI_OK)
		return status;
	if (cli->json) {
		cli_json_line(a);
		json_decref(a);
		return CLI_OK;
	}
	put_fact(a, "approval", "id");
	put_fact(a, "state", "state");
	put_fact(a, "operation", "operation");
	put_fact(a, "resource", "resource.alias");
	put_fact(a, "", "resource.id");
	put_fact(a, "body sha256", "body_sha256_b64");
	put_asked(a);
	put_chain(a);
	put_fact(a, "from", "source_address");
	put_fact(a, "plane", "plane");
	if (json_is_number(json_object_get(a, "risk_score")))
		cli_say("%-12s %.2f", "risk",
		    json_number_value(json_object_get(a, "risk_score")));
	put_fact(a, "requested", "requested_at");
	put_fact(a, "expires", "expires_at");
	put_fact(a, "usable until", "usable_until_at");
	put_fact(a, "used", "used_at");
	put_needs(a);
	put_claims(a);
	json_decref(a);
	return CLI_OK;
}

const struct cli_verb cli_verbs_approvals[] = {
	{ "approval", "request", ask_options, "POST", "/v1/approvals", CLI_SILENT,
	    NULL, ask_ahead, "ask people ahead of a request, which is not made",
	    NULL, "key.destroy --resource payroll --body request.json --reason "
	    "\"end of life\"" },
	{ "approval", "check", one, "GET", "/v1/approvals/{ID}", CLI_SILENT, NULL,
	    check, "exit 0 if it can be used now, 1 if not (yet)", NULL, NULL },
	{ "approval", "list", list_options, "GET", "/v1/approvals", CLI_TABLE,
	    APPROVAL_COLUMNS, NULL, "what waits for people, and what they said",
	    NULL, "--state pending" },
	{ "approval", "show", one, "GET", "/v1/approvals/{ID}", CLI_SILENT, NULL,
	    show, "everything about one request", NULL, NULL },
	{ "approval", "approve", decide, "POST", "/v1/approvals/{ID}/approve",
	    CLI_LINE, APPROVAL_LINE, NULL, "agree to it, with a second factor",
	    NULL, NULL },
	{ "approval", "deny", decide, "POST", "/v1/approvals/{ID}/deny", CLI_LINE,
	    APPROVAL_LINE, NULL, "say no, for good", NULL, NULL },
	{ "approval", "cancel", decide, "POST", "/v1/approvals/{ID}/cancel",
	    CLI_LINE, APPROVAL_LINE, NULL, "take back a request of one's own",
	    NULL, NULL },
	{ "grant", "request", grant_options, "POST", "/v1/grants", CLI_LINE,
	    GRANT_COLUMNS, NULL, "ask for more scope, for a while", NULL,
	    "--scope key:payroll:decrypt --reason \"month end\" --ttl 15m" },
	{ "grant", "list", grant_list_options, "GET", "/v1/grants", CLI_TABLE,
	    GRANT_COLUMNS, NULL, "what counts now, and until when", NULL, NULL },
	{ "break-glass", "open", open_options, "POST", "/v1/break-glass", CLI_LINE,
	    GLASS_LINE, NULL, "override what policies let be overridden", NULL,
	    "payroll --reason-code incident --justification \"the payroll run "
	    "fails, INC-4711\"" },
	{ "break-glass", "list", glass_list_options, "GET", "/v1/break-glass",
	    CLI_TABLE, GLASS_COLUMNS, NULL, "who overrides what, and did", NULL,
	    NULL },
	{ "break-glass", "show", glass_one, "GET", "/v1/break-glass/{ID}",
	    CLI_OBJECT, NULL, NULL, "everything about one", NULL, NULL },
	{ "break-glass", "close", close_options, "POST",
	    "/v1/break-glass/{ID}/close", CLI_LINE, GLASS_LINE, NULL,
	    "end it before its time", NULL, NULL },
	{ 0 },
};
