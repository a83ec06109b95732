/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis init: the journal's schema in PostgreSQL, made by who owns it, so that
 * the role that Aegis uses needs to create nothing and may write to no table.
 * --plan prints what would be done, in the words that would do it.
 */
#include "database.h"

#include <journal_schema.h>

#include <stdio.h>
#include <string.h>

enum { ROLE_MAX = 63 };

static const struct cli_option options[] = {
	{ "--plan", NULL, CLI_FLAG, NULL, false, "print what would be done, ask no server", NULL },
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "whose journal.postgres is the owner's: url, password_file, ca_file", NULL },
	{ "--role", "NAME", CLI_LOCAL, NULL, false, "grant it what Aegis needs, and no more", NULL },
	{ 0 },
};

/* An identifier that needs no quotes: nothing else gets into a statement. */
static bool
role_ok(const char *role)
{
	size_t len = strlen(role);

	return len > 0 && len <= ROLE_MAX && (role[0] < '0' || role[0] > '9') &&
	    strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static const char *
grants(const char *role, char out[JOURNAL_GRANTS_MAX])
{
	int n = snprintf(out, JOURNAL_GRANTS_MAX, journal_grants, role, role, role);

	return n > 0 && n < JOURNAL_GRANTS_MAX ? out : NULL;
}

/* For psql: the steps as pg_migrate takes them. */
static void
print_plan(const char *role)
{
	const struct pg_schema *s = &journal_schema;
	char text[JOURNAL_GRANTS_MAX];

	printf("BEGIN;\nSELECT pg_advisory_xact_lock(%lld);\n"
	    "CREATE SCHEMA IF NOT EXISTS %s;\n"
	    "CREATE TABLE IF NOT EXISTS %s.migration (version int PRIMARY KEY, "
	    "applied_at timestamptz NOT NULL);\n", (long long)s->lock, s->name,
	    s->name);
	for (int i = 0; i < s->version; i++)
		printf("\n-- %d\n%s\nINSERT INTO %s.migration VALUES (%d, now());\n",
		    i + 1, s->migrations[i], s->name, i + 1);
	if (role != NULL)
		printf("\n-- for %s\n%s", role, grants(role, text));
	printf("COMMIT;\n");
}

static enum cli_exit
apply(struct pg_server *server, const char *role)
{
	struct pg_link link = { .conn = NULL };
	char text[JOURNAL_GRANTS_MAX];
	enum cli_exit status = CLI_OK;
	ag_err err = pg_connect(&link, server);

	if (err == AG_OK)
		err = pg_migrate(&link, &journal_schema, CLI_DATABASE_TIMEOUT_MS);
	if (err == AG_OK && role != NULL)
		err = pg_run(&link, grants(role, text), CLI_DATABASE_TIMEOUT_MS, NULL);
	if (err != AG_OK)
		status = cli_fail(link.state[0] == '\0' ? CLI_TRY_AGAIN : CLI_FAULT,
		    "init: %s%s%s", link.state, link.state[0] == '\0' ? "" : " ",
		    link.said);
	pg_close(&link);
	return status;
}

static enum cli_exit
cli_init(struct cli *cli)
{
	static struct pg_server server; /* large */
	const char *role = cli_get(cli, "--role");
	enum cli_exit status;

	if (role != NULL && !role_ok(role))
		return cli_fail(CLI_USAGE, "--role: a name of a-z, 0-9 and _, at most "
		    "%d, that does not begin with a digit", ROLE_MAX);
	if (cli_get(cli, "--plan") != NULL) {
		print_plan(role);
		return CLI_OK;
	}
	if (ag_secret_init() != AG_OK)
		return cli_fail(CLI_FAULT, "init: no locked memory");
	if ((status = cli_database(cli, "init", NULL, &server)) == CLI_OK)
		status = apply(&server, role);
	ag_secret_free(&server.password);
	if (status == CLI_OK && !cli->quiet)
		cli_say("%s is at version %d", journal_schema.name,
		    journal_schema.version);
	return status;
}

const struct cli_verb cli_verbs_init[] = {
	{ "init", "", options, NULL, NULL, CLI_SILENT, NULL, cli_init,
	    "the journal's schema in PostgreSQL, and who may use it", NULL, NULL },
	{ 0 },
};
