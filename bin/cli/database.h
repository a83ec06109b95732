/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database: journal.postgres of --config, for verbs that speak to it themselves.
 */
#ifndef AEGIS_CLI_DATABASE_H
#define AEGIS_CLI_DATABASE_H

#include "cli.h"

#include <pg.h>

enum { CLI_DATABASE_TIMEOUT_MS = 30000 };

/* Says what is wrong. server->password is the caller's. state: what a relative
 * password_file or ca_file is relative to; NULL: to where the command runs. */
enum cli_exit cli_database(const struct cli *cli, const char *verb,
    const char *state, struct pg_server *server);

#endif
