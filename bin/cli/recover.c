/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis admin-token: another credential for an admin who lost theirs. It takes
 * the fleet's own uid or root, on its machine: who has that has the fleet.
 */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <supervise.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 50, LOOKS_MAX = 200 };

static enum cli_exit
refused(const char *why)
{
	if (strcmp(why, "nobody") == 0)
		return cli_fail(CLI_CONFLICT, "admin-token: no active person of tenant "
		    "default has the role admin");
	return cli_fail(CLI_TRY_AGAIN, "admin-token: refused (%s)", why);
}

/* iam has left it in the state directory; from there it goes to FILE. */
static enum cli_exit
take(const struct cli *cli, const char *name, FILE *out)
{
	char path[PATH_MAX], state[CLI_PATH_MAX], token[CLI_TOKEN_MAX];
	enum cli_exit status;

	(void)snprintf(path, sizeof(path), "%.4000s/admin.token.new",
	    cli_state_dir(cli, state, sizeof(state)));
	status = cli_read_secret(path, token, sizeof(token));
	if (status == CLI_OK) {
		fprintf(out, "%s\n", token);
		status = cli_finish(out, name);
	} else if (out != stdout)
		(void)fclose(out);
	ag_wipe(token, sizeof(token));
	if (unlink(path) != 0 && errno != ENOENT)
		cli_say("%s: %s", path, strerror(errno));
	return status;
}

/* CLI_TRY_AGAIN: it works on it. */
static enum cli_exit
look(struct cli *cli, bool *working)
{
	int failed;
	json_t *answer = ag_control_ask("admin-token", cli->state,
	    json_pack("{s:s}", "verb", "admin-token-status"), &failed, NULL);
	enum cli_exit status = (enum cli_exit)failed;
	const char *state = cli_member_text(answer, "state");

	*working = false;
	if (answer == NULL)
		return status;
	status = CLI_OK;
	if (strcmp(state, "asked") == 0)
		*working = true;
	else if (strcmp(state, "done") != 0)
		status = refused(strcmp(state, "refused") == 0 ?
		    cli_member_text(answer, "why") : "iam ended");
	json_decref(answer);
	return status;
}

enum cli_exit
cli_admin_token(struct cli *cli)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	const char *name = cli_get(cli, "--out");
	enum cli_exit status;
	bool working = true;
	json_t *answer;
	int failed;
	FILE *out;

	if ((status = cli_create(name, true, &out)) != CLI_OK)
		return status;
	answer = ag_control_ask("admin-token", cli->state, json_pack("{s:s}",
	    "verb", "admin-token"), &failed, NULL);
	status = answer == NULL ? (enum cli_exit)failed : CLI_OK;
	json_decref(answer);
	for (int i = 0; status == CLI_OK && working && i < LOOKS_MAX; i++) {
		(void)nanosleep(&pause, NULL);
		status = look(cli, &working);
	}
	if (status == CLI_OK && working)
		status = cli_fail(CLI_TRY_AGAIN, "admin-token: iam does not answer");
	if (status == CLI_OK)
		return take(cli, name, out);
	if (out != stdout)
		(void)fclose(out);
	return status;
}
