/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the root of trust of this machine. They need its files, so they
 * need the fleet's own uid.
 */
#include "cli.h"

#include <limits.h>
#include <passphrase.h>
#include <string.h>
#include <supervisor.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 50 };

static const struct cli_option rekey_options[] = {
	{ "--resume", NULL, CLI_LOCAL, NULL, false, "go on with one that was interrupted", NULL },
	{ 0 },
};

static const struct {
	const char *why, *text;
	enum cli_exit status;
} refusals[] = {
	{ "busy", "a rekey is under way already", CLI_CONFLICT },
	{ "half", "a rekey was interrupted\nhint: aegis rot rekey --resume", CLI_CONFLICT },
	{ "none", "no rekey was interrupted\nhint: aegis rot rekey", CLI_CONFLICT },
};

static enum cli_exit
rekey_refused(const char *why)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (strcmp(refusals[i].why, why) == 0)
			return cli_fail(refusals[i].status, "rot rekey: %s", refusals[i].text);
	return cli_fail(CLI_FAULT, "rot rekey: refused (%s)", why);
}

/* One look; CLI_TRY_AGAIN while it works. */
static enum cli_exit
rekey_look(struct cli *cli, const json_t *status)
{
	const char *state = cli_member_text(status, "state");
	json_int_t done = json_integer_value(json_object_get(status, "done"));

	if (strcmp(state, "none") == 0)
		return cli_fail(CLI_FAULT, "rot rekey: the root of trust ended; no key is "
		    "lost\nhint: aegis rot rekey --resume");
	if (strcmp(state, "refused") == 0)
		return rekey_refused(cli_member_text(status, "why"));
	if (strcmp(state, "failed") == 0)
		return cli_fail(CLI_FAULT, "rot rekey: failed; the old master key stays in "
		    "use, and the log says why\nhint: aegis rot rekey --resume");
	if (strcmp(state, "done") != 0) {
		cli_working(cli, "keys rewrapped", (unsigned long long)done);
		return CLI_TRY_AGAIN;
	}
	cli_progress_end(cli);
	if (cli->json)
		printf("{\"rewrapped\":%lld}\n", (long long)done);
	else if (!cli->quiet)
		cli_say("rewrapped: %lld keys; the old master key is gone", (long long)done);
	return CLI_OK;
}

static enum cli_exit
rot_rekey(struct cli *cli)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	enum cli_exit status = CLI_TRY_AGAIN;
	int failed;
	json_t *answer = ag_control_ask("rot rekey", cli->state, json_pack("{s:s, s:b}",
	    "verb", "rekey", "resume", cli_get(cli, "--resume") != NULL), &failed, NULL);

	while (answer != NULL && status == CLI_TRY_AGAIN) {
		json_decref(answer);
		(void)nanosleep(&pause, NULL);
		answer = ag_control_ask("rot rekey", cli->state,
		    json_pack("{s:s}", "verb", "rekey-status"), &failed, NULL);
		if (answer != NULL)
			status = rekey_look(cli, answer);
	}
	if (answer == NULL)
		return (enum cli_exit)failed;
	json_decref(answer);
	return status;
}

/* -------------------------------------------------------------- passphrase */

static const struct cli_option passphrase_options[] = {
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "the fleet's configuration", NULL },
	{ "--passphrase-file", "FILE", CLI_LOCAL, NULL, false,
	    "the passphrase until now; absent: it is asked for", NULL },
	{ "--new-passphrase-file", "FILE", CLI_LOCAL, NULL, false,
	    "the one from now on; absent: it is asked for", NULL },
	{ "--remove", NULL, CLI_LOCAL, NULL, false, "no passphrase from now on", NULL },
	{ 0 },
};

/* Where the master key is, as the configuration and --state say. */
static enum cli_exit
master_path(const struct cli *cli, const char *state, char *path, size_t size)
{
	struct ag_config *config = NULL;
	char message[1024] = "";

	if (ag_config_load(cli_get(cli, "--config"), &config, message,
	    sizeof(message)) != AG_OK)
		return cli_fail(CLI_USAGE, "%s", message);
	ag_master_path(config, state, path, size);
	ag_config_free(&config);
	return CLI_OK;
}

static enum cli_exit
new_lock(const struct cli *cli, struct ag_master_lock *lock)
{
	struct passphrase_ask ask = { .verb = "rot passphrase",
		.file = cli_get(cli, "--new-passphrase-file"),
		.option = "--new-passphrase-file", .is_new = true,
		.prompt = "new passphrase of the master key", .tty_fd = -1, .parent_fd = -1 };
	struct ag_secret *passphrase = NULL;
	int status = ag_passphrase_read(&ask, &passphrase);

	if (status != EXIT_YES)
		return (enum cli_exit)status;
	ag_master_kdf_new(lock->kdf);
	if (ag_master_lock_open(lock, passphrase) != AG_OK)
		status = cli_fail(CLI_FAULT, "locking the master key needs 256 MiB of "
		    "memory for a second");
	ag_secret_free(&passphrase);
	return (enum cli_exit)status;
}

static enum cli_exit
relock(struct cli *cli, const char *path)
{
	struct passphrase_ask ask = { .verb = "rot passphrase",
		.file = cli_get(cli, "--passphrase-file"), .option = "--passphrase-file",
		.prompt = "passphrase of the master key", .tty_fd = -1, .parent_fd = -1 };
	struct ag_master_lock was = { .key = NULL }, lock = { .key = NULL };
	struct ag_secret *master = NULL;
	int status = ag_master_unlock(&ask, path, &was, &master);

	if (status == EXIT_NOT_FOUND)
		(void)cli_fail(CLI_NOT_FOUND, "%s: there is no master key", path);
	if (status == EXIT_YES && cli_get(cli, "--remove") == NULL)
		status = (int)new_lock(cli, &lock);
	if (status == EXIT_YES && ag_master_replace(path, &lock, master) != AG_OK)
		status = cli_fail(CLI_FAULT, "%s: cannot be written", path);
	if (status == EXIT_YES && !cli->quiet)
		printf("%s: %s\n", path, lock.key != NULL ? "under a passphrase" :
		    "not under a passphrase any more");
	ag_secret_free(&master);
	ag_master_lock_free(&was);
	ag_master_lock_free(&lock);
	return (enum cli_exit)status;
}

/* The key stays; what protects its file changes. No fleet may run: it would
 * write the file under the passphrase that it was started with. */
static enum cli_exit
rot_passphrase(struct cli *cli)
{
	char state[STATE_PATH_MAX], path[PATH_MAX], next[PATH_MAX + 8];
	enum cli_exit status;
	int lock_fd = -1, taken;

	if (cli_get(cli, "--remove") != NULL && cli_get(cli, "--new-passphrase-file") != NULL)
		return cli_fail(CLI_USAGE, "--remove: there is no new passphrase then");
	if (!ag_state_dir_find(cli->state, state, sizeof(state)))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if ((status = master_path(cli, state, path, sizeof(path))) != CLI_OK)
		return status;
	snprintf(next, sizeof(next), "%s.next", path);
	if (access(next, F_OK) == 0)
		return cli_fail(CLI_CONFLICT, "rot passphrase: a rekey is half done\n"
		    "hint: start the fleet, then: aegis rot rekey --resume");
	if ((taken = ag_state_take("rot passphrase", state, &lock_fd)) != EXIT_YES)
		return (enum cli_exit)taken;
	status = relock(cli, path);
	close(lock_fd);
	return status;
}

const struct cli_verb cli_verbs_rot[] = {
	{ "rot", "rekey", rekey_options, NULL, NULL, CLI_SILENT, NULL, rot_rekey,
	    "a new master key, while requests go on", NULL, NULL },
	{ "rot", "passphrase", passphrase_options, NULL, NULL, CLI_SILENT, NULL,
	    rot_passphrase, "change the passphrase of a stopped fleet's master key",
	    NULL, NULL },
	{ 0 },
};
