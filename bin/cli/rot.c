/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the root of trust of this machine. They need its files, so they
 * need the fleet's own uid.
 */
#include "cli.h"

#include <limits.h>
#include <passphrase.h>
#include <supervisor.h>
#include <unistd.h>

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
	char state[STATE_PATH_MAX], path[PATH_MAX];
	enum cli_exit status;
	int lock_fd = -1, taken;

	if (cli_get(cli, "--remove") != NULL && cli_get(cli, "--new-passphrase-file") != NULL)
		return cli_fail(CLI_USAGE, "--remove: there is no new passphrase then");
	if (!ag_state_dir_find(cli->state, state, sizeof(state)))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if ((status = master_path(cli, state, path, sizeof(path))) != CLI_OK)
		return status;
	if ((taken = ag_state_take("rot passphrase", state, &lock_fd)) != EXIT_YES)
		return (enum cli_exit)taken;
	status = relock(cli, path);
	close(lock_fd);
	return status;
}

const struct cli_verb cli_verbs_rot[] = {
	{ "rot", "passphrase", passphrase_options, NULL, NULL, CLI_SILENT, NULL,
	    rot_passphrase, "change the passphrase of a stopped fleet's master key",
	    NULL, NULL },
	{ 0 },
};
