/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about what would be decided. */
#include "cli.h"

static const struct cli_option authz_options[] = {
	{ "--principal", "P", CLI_STR, "principal", false, "an id or name; oneself unless given", NULL },
	{ "--action", "A", CLI_STR, "action", true, "such as key.sign", NULL },
	{ "--resource", "R", CLI_STR, "resource", false, "id, alias or name of what it is about", NULL },
	{ "--at", "T", CLI_TIME, "context.occurred_at", false, "another time than now", NULL },
	{ "--source", "ADDRESS", CLI_STR, "context.source_address", false, "from another address", NULL },
	{ "--plane", "NAME", CLI_STR, "context.plane", false, "through another plane than rest", NULL },
	{ "--items", "N", CLI_INT, "context.items", false, "a batch of so many", NULL },
	{ "--stepped-up", NULL, CLI_FLAG, "context.stepped_up", false, "with a second factor", NULL },
	{ 0 },
};
static const struct cli_option effective_options[] = {
	{ "P", "P", CLI_STR, NULL, true, "a principal's id or name", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};

static enum cli_exit
authz(struct cli *cli)
{
	json_t *answer = NULL;
	const json_t *result;
	enum cli_exit status = cli_request(cli, &answer);

	if (status != CLI_OK)
		return status;
	result = json_object_get(answer, "result");
	if (result == NULL)
		result = answer;
	if (cli->json)
		cli_json_line(answer);
	else if (result != answer)
		cli_object(answer);
	else if (!cli->quiet)
		cli_line("DECISION:decision,WHY:reason_code,RULE:rule,"
		    "POLICIES:policy_version", answer);
	if (!json_is_true(json_object_get(result, "allowed")))
		status = CLI_NO;
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_authz[] = {
	{ "authz", "check", authz_options, "POST", "/v1/authz/check", CLI_SILENT,
	    NULL, authz, "would it be allowed? exit 0 or 1", NULL,
	    "--principal alice --action key.sign --resource payroll" },
	{ "authz", "explain", authz_options, "POST", "/v1/authz/explain",
	    CLI_SILENT, NULL, authz, "the same, and why", NULL,
	    "--principal alice --action key.sign --resource payroll" },
	{ "authz", "effective", effective_options, "GET",
	    "/v1/principals/{P}/effective", CLI_TABLE,
	    "TYPE:type,ALIAS:alias|id,ALLOW:allow,STEP-UP:step_up", NULL,
	    "all that a principal may do", NULL, "alice" },
	{ 0 },
};
