/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about policies: the table of them, and what only shows an answer. */
#include "policy.h"

#include <stdlib.h>

#define NAME { "NAME", "NAME", CLI_STR, NULL, true, "a document's name", NULL }
#define REASON { "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }
#define POLICY_COLUMNS \
	"NAME:name,>VERSION:version,STATE:state,>POLICIES:policies,>SIGNED:signed_version,CHANGED:updated_at,BY:updated_by"

static const struct cli_option list_options[] = {
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL }, { 0 },
};
static const struct cli_option show_options[] = {
	NAME,
	{ "--version", "N", CLI_INT, "version", false, "an earlier one", NULL },
	{ 0 },
};
static const struct cli_option versions_options[] = {
	NAME, { "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option delete_options[] = {
	NAME, REASON,
	{ "--signature", "FILE", CLI_TEXT_FILE, "signature", false, "what `aegis policy sign --gone` wrote", NULL },
	{ 0 },
};
static const struct cli_option rollback_options[] = {
	NAME,
	{ "VERSION", "VERSION", CLI_INT, "version", true, "which one to put in force again", NULL },
	REASON,
	{ 0 },
};
static const struct cli_option pull_options[] = {
	{ "DIR", "DIR", CLI_LOCAL, NULL, true, "where <name>.cedar files go", NULL }, { 0 },
};
#define PATHS { "PATHS", "PATH", CLI_WORDS, NULL, true, "<name>.cedar files, or folders of them", NULL }
static const struct cli_option sample_options[] = {
	{ "SIZE", "SIZE", CLI_STR, NULL, true, "basic, approvals or full", NULL },
	{ "DIR", "DIR", CLI_LOCAL, NULL, true, "a folder: policies/, aegis.yaml and tests.json go there", NULL },
	{ 0 },
};
static const struct cli_option diff_options[] = { PATHS, { 0 } };
static const struct cli_option lint_options[] = {
	{ "PATHS", "PATH", CLI_WORDS, NULL, false, "<name>.cedar files, or folders of them; none: what is in force", NULL }, { 0 },
};
static const struct cli_option simulate_options[] = {
	PATHS,
	{ "--since", "T", CLI_LOCAL, NULL, false, "from when on; the last 24 hours", NULL },
	{ "--alone", NULL, CLI_LOCAL, NULL, false, "without what is in force", NULL },
	{ 0 },
};
static const struct cli_option import_options[] = {
	{ "FILE", "FILE", CLI_STR, NULL, true, "rules in YAML", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "where the Cedar goes; stdout", NULL },
	{ 0 },
};
static const struct cli_option push_options[] = {
	PATHS,
	{ "--reason", "TEXT", CLI_LOCAL, NULL, false, "why; recorded", NULL },
	{ "--yes", NULL, CLI_LOCAL, NULL, false, "do not ask", NULL },
	{ 0 },
};
static const struct cli_option format_options[] = {
	PATHS,
	{ "--check", NULL, CLI_LOCAL, NULL, false, "only say which are not in the one form; exit 1", NULL },
	{ 0 },
};
#define TENANT { "--tenant", "TENANT", CLI_LOCAL, NULL, false, "whose policies these are; default", NULL }
static const struct cli_option sign_options[] = {
	PATHS,
	{ "--key", "FILE", CLI_LOCAL, NULL, true, "the signer's private key: PEM, Ed25519, 0600; openssl genpkey -algorithm ED25519", NULL },
	TENANT,
	{ "--version", "N", CLI_LOCAL, NULL, false, "the number of this signature; one more than in <name>.cedar.sig", NULL },
	{ "--expires", "T", CLI_LOCAL, NULL, false, "until when it may be put in force: a timestamp, or a duration from now; 365d", NULL },
	{ "--gone", NULL, CLI_LOCAL, NULL, false, "sign that there shall be no such document", NULL },
	{ 0 },
};
static const struct cli_option verify_options[] = {
	PATHS,
	{ "--public-key", "FILE", CLI_WORDS, NULL, true, "a signer's public key: PEM, Ed25519", NULL },
	TENANT,
	{ "--gone", NULL, CLI_LOCAL, NULL, false, "that there shall be no such document", NULL },
	{ 0 },
};
static const struct cli_option test_options[] = {
	{ "FILES", "FILE", CLI_WORDS, NULL, true, "tests as JSON files", NULL }, { 0 },
};
/* ------------------------------------------------------------------ server */

static enum cli_exit
policy_show(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK)
		fputs(cli_member_text(answer, "text"), stdout);
	json_decref(answer);
	return status;
}

static enum cli_exit
policy_schema(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK)
		fputs(cli_member_text(answer, "schema"), stdout);
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_policy[] = {
	{ "policy", "list", list_options, "GET", "/v1/policies", CLI_TABLE,
	    POLICY_COLUMNS, NULL, "the documents in force", NULL, NULL },
	{ "policy", "show", show_options, "GET", "/v1/policies/{NAME}", CLI_SILENT,
	    NULL, policy_show, "the text of one", NULL, NULL },
	{ "policy", "versions", versions_options, "GET",
	    "/v1/policies/{NAME}/versions", CLI_TABLE, POLICY_COLUMNS, NULL,
	    "what it said before", NULL, NULL },
	{ "policy", "pull", pull_options, NULL, NULL, CLI_SILENT, NULL, policy_pull,
	    "write all documents into a folder", NULL, "policies" },
	{ "policy", "diff", diff_options, NULL, NULL, CLI_SILENT, NULL, policy_diff,
	    "which files are not what is in force; exit 1", NULL, "policies" },
	{ "policy", "push", push_options, NULL, NULL, CLI_SILENT, NULL, policy_push,
	    "put the files that differ in force, if all are valid", NULL,
	    "policies --reason \"payroll moves\"" },
	{ "policy", "rollback", rollback_options, "POST",
	    "/v1/policies/{NAME}/rollback", CLI_LINE, POLICY_COLUMNS, NULL,
	    "put an earlier version in force again", NULL, NULL },
	{ "policy", "delete", delete_options, "DELETE", "/v1/policies/{NAME}",
	    CLI_LINE, POLICY_COLUMNS, NULL,
	    "take it out of force; without any, everything is denied", NULL, NULL },
	{ "policy", "validate", diff_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_validate, "check files; needs no server", NULL, "payroll.cedar" },
	{ "policy", "lint", lint_options, NULL, NULL, CLI_SILENT, NULL, policy_lint,
	    "what says nothing, or not what it seems to; exit 1 if anything does; "
	    "files need no server", NULL, "policies" },
	{ "policy", "simulate", simulate_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_simulate, "which recorded decisions these files would change, "
	    "and whose; exit 1 if any", NULL, "policies --since 24h" },
	{ "policy", "import", import_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_import, "rules in YAML as Cedar; refuses what depends on their "
	    "order; needs no server", NULL, "rules.yaml --out policies/rules.cedar" },
	{ "policy", "format", format_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_format, "bring files into the one form; needs no server", NULL,
	    "payroll.cedar" },
	{ "policy", "sign", sign_options, NULL, NULL, CLI_SILENT, NULL, policy_sign,
	    "write <name>.cedar.sig beside documents that are valid; needs no server",
	    NULL, "policies --key signer.pem" },
	{ "policy", "verify", verify_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_verify, "are these signed, as they are, by one of these? needs no "
	    "server; exit 1 if not", NULL, "policies --public-key signer.pub" },
	{ "policy", "test", test_options, NULL, NULL, CLI_SILENT, NULL, policy_test,
	    "run tests of policies; needs no server", NULL, "payroll.json" },
	{ "policy", "sample", sample_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_sample, "policies to begin with, their configuration and tests; "
	    "needs no server", NULL, "full house" },
	{ "policy", "schema", NULL, "GET", "/v1/policy-schema", CLI_SILENT, NULL,
	    policy_schema, "what policies may speak of", NULL, NULL },
	{ 0 },
};
