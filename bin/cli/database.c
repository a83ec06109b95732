/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database: what a configuration says of the journal in PostgreSQL.
 */
#include "database.h"

#include <aegis/config.h>

#include <limits.h>

static const char *
path_of(const struct ag_config *config, const char *key, const char *state,
    char path[PATH_MAX])
{
	const char *given = ag_config_get_str(config, key, 0);

	if (given == NULL || given[0] == '/' || state == NULL)
		return given;
	snprintf(path, PATH_MAX, "%s/%s", state, given);
	return path;
}

enum cli_exit
cli_database(const struct cli *cli, const char *verb, const char *state,
    struct pg_server *server)
{
	char message[1024] = "", ca[PATH_MAX], password[PATH_MAX];
	struct ag_config *config = NULL;
	const char *url, *file, *why;

	if (ag_config_load(cli_get(cli, "--config"), &config, message,
	    sizeof(message)) != AG_OK)
		return cli_fail(CLI_USAGE, "%s", message);
	url = ag_config_get_str(config, "journal.postgres.url", 0);
	file = path_of(config, "journal.postgres.password_file", state, password);
	why = url == NULL ? "--config: journal.kind is not postgres" :
	    pg_server_set(server, url, path_of(config,
	        "journal.postgres.ca_file", state, ca));
	server->timeout_ms = CLI_DATABASE_TIMEOUT_MS;
	if (why == NULL && file != NULL)
		why = ag_secret_read(file, &server->password);
	ag_config_free(&config);
	return why == NULL ? CLI_OK : cli_fail(CLI_USAGE, "%s: %s", verb, why);
}
