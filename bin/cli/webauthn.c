/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about FIDO2 keys as a second factor. The authenticator's side of each
 * ceremony is a file: what `begin` and `show` print is what it is to be given
 * (by a page, or a tool such as fido2-cred), `confirm` and `answer` send what it
 * said.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 64 << 10 /* bytes of a file */ };

#define P { "P", "P", CLI_STR, NULL, true, "a person's id or name", NULL }
#define KEY_COLUMNS \
	"NAME:name,ALGORITHM:algorithm,ATTESTATION:attestation,CREATED:created_at,USED:last_used_at"

static const struct cli_option begin_options[] = {
	P,
	{ "--name", "NAME", CLI_STR, "name", true, "what the key is called", NULL },
	{ 0 },
};
static const struct cli_option confirm_options[] = {
	P,
	{ "--in", "FILE", CLI_LOCAL, NULL, true, "challenge_id, client_data_json_b64 and attestation_object_b64, as JSON; - is stdin", NULL },
	{ 0 },
};
static const struct cli_option list_options[] = { P, { 0 } };
static const struct cli_option remove_options[] = {
	P,
	{ "KEY", "KEY", CLI_STR, NULL, true, "what the key is called", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL },
	{ 0 },
};
static const struct cli_option show_options[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "chl_…, as the refused request was told", NULL },
	{ 0 },
};
static const struct cli_option answer_options[] = {
	{ "ID", "ID", CLI_STR, NULL, true, "chl_…, as the refused request was told", NULL },
	{ "--in", "FILE", CLI_LOCAL, NULL, true, "{\"webauthn\": {…}}, what the key answered, as JSON; - is stdin", NULL },
	{ 0 },
};

/* For a program, whatever is asked for. */
static enum cli_exit
print_whole(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK)
		cli_json_line(answer);
	json_decref(answer);
	return status;
}

/* The file is the body. */
static enum cli_exit
send_file(struct cli *cli)
{
	json_t *body = NULL, *answer = NULL;
	char path[CLI_URL_MAX];
	json_error_t where;
	char *bytes = NULL;
	size_t len;
	enum cli_exit status = cli_read(cli_get(cli, "--in"), ANSWER_MAX, &bytes,
	    &len);

	if (status == CLI_OK && (body = json_loadb(bytes, len,
	    JSON_REJECT_DUPLICATES, &where)) == NULL)
		status = cli_fail(CLI_USAGE, "--in: line %d: %s", where.line,
		    where.text);
	free(bytes);
	if (status == CLI_OK && (status = cli_resolve(cli, true)) == CLI_OK)
		status = cli_path(cli, cli->verb->path, path, sizeof(path));
	if (status == CLI_OK)
		status = cli_http(cli, "POST", path, body, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_line(cli->verb->columns, answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_webauthn[] = {
	{ "webauthn", "begin", begin_options, "POST",
	    "/v1/principals/{P}/webauthn", CLI_SILENT, NULL, print_whole,
	    "what an authenticator needs to make a key", NULL,
	    "alice --name blue > options.json" },
	{ "webauthn", "confirm", confirm_options, "POST",
	    "/v1/principals/{P}/webauthn/confirm", CLI_SILENT, KEY_COLUMNS,
	    send_file, "enrol the key that it made", NULL,
	    "alice --in made.json" },
	{ "webauthn", "list", list_options, "GET",
	    "/v1/principals/{P}/webauthn", CLI_ITEMS, KEY_COLUMNS, NULL,
	    "the keys of a person", NULL, NULL },
	{ "webauthn", "remove", remove_options, "DELETE",
	    "/v1/principals/{P}/webauthn/{KEY}", CLI_LINE, KEY_COLUMNS, NULL,
	    "take one away", NULL, NULL },
	{ "webauthn", "show", show_options, "GET", "/v1/challenges/{ID}",
	    CLI_SILENT, NULL, print_whole,
	    "what a key is to sign for a request of yours", NULL, NULL },
	{ "webauthn", "answer", answer_options, "POST", "/v1/challenges/{ID}",
	    CLI_SILENT, "ID:id,STATE:state,UNTIL:expires_at", send_file,
	    "answer for it; the request then needs no code", NULL,
	    "chl_01a2005f577272ed9e0b64aebcdd932a --in signed.json" },
	{ 0 },
};
