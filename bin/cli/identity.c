/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about people, services, roles, tenants, and about oneself.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT { "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL }
#define REASON { "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }
#define P { "P", "P", CLI_STR, NULL, true, "a principal's id or name", NULL }

#define PRINCIPAL_COLUMNS "ID:id,NAME:name,KIND:kind,STATE:state,CREATED:created_at"
#define TENANT_COLUMNS "NAME:name,STATE:state,CREATED:created_at"
#define SESSION_COLUMNS \
	"JTI:jti,ISSUED:issued_at,USED:last_used_at,UNTIL:expires_at,REVOKED:revoked_at,BREAK-GLASS:break_glass"
#define ROLE_COLUMNS "NAME:name,BUILTIN:builtin,INHERITS:inherits,SCOPES:scopes"

static const struct cli_option only_p[] = { P, { 0 } };
static const struct cli_option p_reason[] = { P, REASON, { 0 } };

static const struct cli_option create_options[] = {
	{ "NAME", "NAME", CLI_STR, "name", true, "unique in the tenant for ever", NULL },
	{ "--kind", "human|service", CLI_STR, "kind", true, "what it is", NULL },
	{ "--role", "ROLE", CLI_LIST, "roles", false, "a role to grant", NULL },
	{ "--label", "K=V", CLI_PAIRS, "labels", false, "a label", NULL },
	{ 0 },
};
static const struct cli_option list_options[] = {
	{ "--kind", "KIND", CLI_STR, "kind", false, "human or service", NULL },
	{ "--state", "STATE", CLI_STR, "state", false, "active, suspended, deleted", NULL },
	{ "--role", "ROLE", CLI_STR, "role", false, "who holds the role", NULL },
	LIMIT,
	{ 0 },
};
static const struct cli_option token_options[] = {
	P,
	{ "--ttl", "D", CLI_DURATION, "ttl_s", false, "how long it lives; 12h unless given", NULL },
	{ "--scope", "S", CLI_WORDS, "scopes", false, "narrower than the principal", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, true, "where the token goes (0600); - is stdout", NULL },
	{ 0 },
};
static const struct cli_option admin_token_options[] = {
	{ "--out", "FILE", CLI_LOCAL, NULL, true, "where the token goes (0600); - is stdout", NULL },
	{ 0 },
};
static const struct cli_option totp_options[] = {
	P,
	{ "--confirm", "CODE", CLI_LOCAL, NULL, false, "the first code of the authenticator", NULL },
	{ "--remove", NULL, CLI_LOCAL, NULL, false, "take another person's away; with --reason", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", false, "why it is taken away; recorded", NULL },
	{ 0 },
};
static const struct cli_option secret_options[] = {
	P,
	{ "--out", "FILE", CLI_LOCAL, NULL, true, "where the secret goes (0600); - is stdout", NULL },
	{ 0 },
};
static const struct cli_option introspect_options[] = {
	{ "--in", "FILE", CLI_LOCAL, NULL, true, "a 0600 file with the token; - is stdin", NULL },
	{ 0 },
};
static const struct cli_option grant_options[] = {
	P,
	{ "ROLE", "ROLE", CLI_STR, NULL, true, "the role", NULL },
	{ "--until", "T", CLI_TIME_AHEAD, "valid_until", false, "when it ends: 30d, or a timestamp", NULL },
	{ 0 },
};
static const struct cli_option ungrant_options[] = {
	P, { "ROLE", "ROLE", CLI_STR, NULL, true, "the role", NULL }, { 0 },
};
static const struct cli_option session_options[] = { P, LIMIT, { 0 } };
static const struct cli_option session_end_options[] = {
	{ "JTI", "JTI", CLI_STR, NULL, true, "of the session: its credential's id, as the list has it", NULL },
	REASON,
	{ 0 },
};
static const struct cli_option role_options[] = {
	{ "R", "R", CLI_STR, NULL, true, "a role's name", NULL }, { 0 },
};
static const struct cli_option role_set_options[] = {
	{ "R", "R", CLI_STR, NULL, true, "a role's name", NULL },
	{ "--scope", "S", CLI_WHOLE, "scopes", false, "what it gives; again for more", NULL },
	{ "--inherit", "R", CLI_LIST, "inherits", false, "a role whose scopes it gives, too", NULL },
	{ 0 },
};
static const struct cli_option role_delete_options[] = {
	{ "R", "R", CLI_STR, NULL, true, "a role's name", NULL }, REASON, { 0 },
};
static const struct cli_option limit_options[] = { LIMIT, { 0 } };
static const struct cli_option tenant_options[] = {
	{ "NAME", "NAME", CLI_STR, "name", true, "the tenant's name", NULL },
	{ "--admin", "NAME", CLI_STR, "admin_name", true, "its first person", NULL },
	{ "--out", "FILE", CLI_LOCAL, NULL, true, "where the admin's token goes (0600)", NULL },
	{ 0 },
};
static const struct cli_option tenant_reason[] = {
	{ "NAME", "NAME", CLI_STR, NULL, true, "the tenant's name", NULL }, REASON, { 0 },
};
static const struct cli_option context_options[] = {
	{ "NAME", "NAME", CLI_LOCAL, NULL, true, "a context", NULL }, { 0 },
};

/* A verb whose answer holds a token: the file is opened before it is asked
 * for, so that it is not lost. */
static enum cli_exit
ask_for_token(struct cli *cli, const char *member, const char *columns)
{
	const char *name = cli_get(cli, "--out");
	json_t *answer = NULL;
	enum cli_exit status;
	FILE *out;

	if ((status = cli_create(name, true, &out)) != CLI_OK)
		return status;
	status = cli_request(cli, &answer);
	if (status == CLI_OK) {
		fprintf(out, "%s\n", cli_member_text(answer, member));
		status = cli_finish(out, name);
	} else if (out != stdout)
		(void)fclose(out);
	if (status == CLI_OK && out != stdout && cli->json) {
		(void)json_object_set_new(
		    json_is_object(json_object_get(answer, "admin"))
		        ? json_object_get(answer, "admin")
		        : answer,
		    strchr(member, '.') != NULL ? strrchr(member, '.') + 1 : member,
		    json_null());
		cli_json_line(answer);
	} else if (status == CLI_OK && out != stdout && !cli->quiet)
		cli_line(columns, answer);
	json_decref(answer);
	return status;
}

static enum cli_exit
principal_token(struct cli *cli)
{
	return ask_for_token(cli, "token", "JTI:jti,EXPIRES:expires_at");
}

static enum cli_exit
principal_secret(struct cli *cli)
{
	return ask_for_token(cli, "client_secret",
	    "CLIENT:client_id,CREATED:created_at");
}

/* The token is a secret like one's own: from a file, never from the words. */
static enum cli_exit
token_introspect(struct cli *cli)
{
	char token[CLI_TOKEN_MAX];
	json_t *body = NULL, *answer = NULL;
	enum cli_exit status = cli_read_secret(cli_get(cli, "--in"), token,
	    sizeof(token));

	if (status == CLI_OK && (status = cli_resolve(cli, true)) == CLI_OK &&
	    (body = json_pack("{s:s}", "token", token)) == NULL)
		status = cli_fail(CLI_USAGE, "--in is not a token");
	ag_wipe(token, sizeof(token));
	if (status == CLI_OK)
		status = cli_http(cli, "POST", "/v1/token/introspect", body,
		    &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_object(answer);
	if (status == CLI_OK && !json_is_true(json_object_get(answer, "active")))
		status = CLI_NO;
	json_decref(body);
	json_decref(answer);
	return status;
}

static enum cli_exit
tenant_create(struct cli *cli)
{
	return ask_for_token(cli, "admin.token",
	    "NAME:name,STATE:state,ADMIN:admin.id");
}

/* Enrol, confirm or remove: three routes behind one word. */
static enum cli_exit
principal_totp(struct cli *cli)
{
	const char *code = cli_get(cli, "--confirm");
	bool remove = cli_get_all(cli, "--remove")->count > 0;
	char path[CLI_URL_MAX];
	json_t *body = NULL, *answer = NULL;
	enum cli_exit status;

	if (remove != (cli_get(cli, "--reason") != NULL) ||
	    (remove && code != NULL))
		return cli_fail(CLI_USAGE,
		    "say --confirm CODE, or --remove --reason TEXT, or neither");
	if ((status = cli_resolve(cli, true)) != CLI_OK)
		return status;
	if (remove)
		status = cli_path_query(cli, "/v1/principals/{P}/totp", path,
		    sizeof(path));
	else
		status = cli_path(cli, code != NULL ?
		    "/v1/principals/{P}/totp/confirm" : "/v1/principals/{P}/totp",
		    path, sizeof(path));
	if (status == CLI_OK && code != NULL &&
	    (body = json_pack("{s:s}", "code", code)) == NULL)
		status = cli_fail(CLI_USAGE, "--confirm takes six digits");
	if (status == CLI_OK)
		status = cli_http(cli, remove ? "DELETE" : "POST", path, body,
		    &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && remove && !cli->quiet)
		cli_line(PRINCIPAL_COLUMNS, answer);
	else if (status == CLI_OK && !remove)
		cli_object(answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_identity[] = {
	{ "login", "", NULL, NULL, NULL, CLI_SILENT, NULL, cli_login,
	    "keep a server and a token (--token-file FILE|-) under a name", NULL, NULL },
	{ "logout", "", NULL, NULL, NULL, CLI_SILENT, NULL, cli_logout,
	    "forget the current context and its token", NULL, NULL },
	{ "admin-token", "", admin_token_options, NULL, NULL, CLI_SILENT, NULL,
	    cli_admin_token, "another credential for an admin who lost theirs; needs "
	    "the fleet's own uid or root", NULL, NULL },
	{ "whoami", "", NULL, "GET", "/v1/whoami", CLI_OBJECT, NULL, NULL,
	    "who the server says you are, for whom, with what scopes", NULL, NULL },
	{ "context", "", NULL, NULL, NULL, CLI_SILENT, NULL, cli_context_list,
	    "the servers you are logged in to", NULL, NULL },
	{ "context", "list", NULL, NULL, NULL, CLI_SILENT, NULL, cli_context_list,
	    "the same", NULL, NULL },
	{ "context", "use", context_options, NULL, NULL, CLI_SILENT, NULL,
	    cli_context_use, "make another context the current one", NULL, NULL },
	{ "principal", "create", create_options, "POST", "/v1/principals",
	    CLI_LINE, PRINCIPAL_COLUMNS, NULL, "a new person or service", NULL, NULL },
	{ "principal", "list", list_options, "GET", "/v1/principals", CLI_TABLE,
	    PRINCIPAL_COLUMNS, NULL, "people and services", NULL, NULL },
	{ "principal", "show", only_p, "GET", "/v1/principals/{P}", CLI_OBJECT,
	    NULL, NULL, "all about one", NULL, NULL },
	{ "principal", "suspend", p_reason, "POST", "/v1/principals/{P}/suspend",
	    CLI_LINE, PRINCIPAL_COLUMNS, NULL,
	    "refuse it, and all below it, until resumed", NULL, NULL },
	{ "principal", "resume", p_reason, "POST", "/v1/principals/{P}/resume",
	    CLI_LINE, PRINCIPAL_COLUMNS, NULL, "end a suspension", NULL, NULL },
	{ "principal", "delete", p_reason, "DELETE", "/v1/principals/{P}", CLI_LINE,
	    PRINCIPAL_COLUMNS, NULL, "for ever; revokes all below it", NULL, NULL },
	{ "principal", "token", token_options, "POST", "/v1/principals/{P}/tokens",
	    CLI_SILENT, NULL, principal_token, "a credential for it", NULL, NULL },
	{ "principal", "secret", secret_options, "POST", "/v1/principals/{P}/secret",
	    CLI_SILENT, NULL, principal_secret,
	    "a client secret for a service; the one before ends", NULL, NULL },
	{ "principal", "unsecret", p_reason, "DELETE", "/v1/principals/{P}/secret",
	    CLI_LINE, PRINCIPAL_COLUMNS, NULL, "take its client secret away", NULL, NULL },
	{ "token", "introspect", introspect_options, "POST", "/v1/token/introspect",
	    CLI_SILENT, NULL, token_introspect,
	    "what a token is, and whether it is good (exit 1: it is not)", NULL, NULL },
	{ "principal", "totp", totp_options, "POST", "/v1/principals/{P}/totp",
	    CLI_SILENT, NULL, principal_totp,
	    "a second factor: enrol it, confirm it, or take another's away", NULL, NULL },
	{ "principal", "grant", grant_options, "PUT",
	    "/v1/principals/{P}/roles/{ROLE}", CLI_LINE, PRINCIPAL_COLUMNS, NULL,
	    "give it a role", NULL, NULL },
	{ "principal", "ungrant", ungrant_options, "DELETE",
	    "/v1/principals/{P}/roles/{ROLE}", CLI_LINE, PRINCIPAL_COLUMNS, NULL,
	    "take a role away", NULL, NULL },
	{ "session", "list", session_options, "GET",
	    "/v1/principals/{P}/tokens", CLI_TABLE, SESSION_COLUMNS, NULL,
	    "with which credentials a person or service is here, or was", NULL,
	    NULL },
	{ "session", "revoke", session_end_options, "POST",
	    "/v1/tokens/{JTI}/revoke", CLI_LINE,
	    "JTI:jti,REVOKED:revoked_at,ALREADY:already", NULL,
	    "end one of them; an agent's ends the agent", NULL, NULL },
	{ "role", "list", limit_options, "GET", "/v1/roles", CLI_TABLE,
	    ROLE_COLUMNS, NULL, "the roles", NULL, NULL },
	{ "role", "show", role_options, "GET", "/v1/roles/{R}", CLI_OBJECT, NULL,
	    NULL, "one role and its scopes", NULL, NULL },
	{ "role", "set", role_set_options, "PUT", "/v1/roles/{R}", CLI_LINE,
	    ROLE_COLUMNS, NULL, "make a role, or change what it gives", NULL, NULL },
	{ "role", "delete", role_delete_options, "DELETE", "/v1/roles/{R}",
	    CLI_LINE, ROLE_COLUMNS, NULL, "for ever; who has it has less", NULL, NULL },
	{ "tenant", "create", tenant_options, "POST", "/v1/tenants", CLI_SILENT,
	    NULL, tenant_create, "a tenant and its first admin", NULL, NULL },
	{ "tenant", "list", limit_options, "GET", "/v1/tenants", CLI_TABLE,
	    TENANT_COLUMNS, NULL, "the tenants", NULL, NULL },
	{ "tenant", "suspend", tenant_reason, "POST", "/v1/tenants/{NAME}/suspend",
	    CLI_LINE, TENANT_COLUMNS, NULL, "refuse everything of it until resumed",
	    NULL, NULL },
	{ "tenant", "resume", tenant_reason, "POST", "/v1/tenants/{NAME}/resume",
	    CLI_LINE, TENANT_COLUMNS, NULL, "end a suspension", NULL, NULL },
	{ "tenant", "delete", tenant_reason, "DELETE", "/v1/tenants/{NAME}",
	    CLI_LINE, TENANT_COLUMNS, NULL,
	    "for ever; its keys are erased, its audit log stays", NULL, NULL },
	{ 0 },
};
