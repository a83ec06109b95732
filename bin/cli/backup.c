/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about backups of this machine's state. They read its files, so they
 * need the fleet's own uid; the fleet may run.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <passphrase.h>
#include <state.h>
#include <string.h>
#include <supervisor.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct cli_option create_options[] = {
	{ "--out", "FILE", CLI_LOCAL, NULL, true, "where it goes; it must not be there yet", NULL },
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "the fleet's configuration", NULL },
	{ "--passphrase-file", "FILE", CLI_LOCAL, NULL, false, "the master key's; absent: it is asked for", NULL },
	{ "--recovery-passphrase-file", "FILE", CLI_LOCAL, NULL, false,
	    "with it the backup can be verified without the master key, too", NULL },
	{ 0 },
};
static const struct cli_option verify_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, true, "a backup", NULL },
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "the fleet's configuration", NULL },
	{ "--master-key", "FILE", CLI_LOCAL, NULL, false, "absent: that of --state", NULL },
	{ "--passphrase-file", "FILE", CLI_LOCAL, NULL, false, "the master key's; absent: it is asked for", NULL },
	{ "--recovery-passphrase-file", "FILE", CLI_LOCAL, NULL, false, "instead of the master key", NULL },
	{ 0 },
};
static const struct cli_option restore_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, true, "a backup", NULL },
	{ "--master-key", "FILE", CLI_LOCAL, NULL, true, "the one that it was made under", NULL },
	{ "--passphrase-file", "FILE", CLI_LOCAL, NULL, false, "the master key's; absent: it is asked for", NULL },
	{ 0 },
};

static struct backup_stream stream; /* large */

/* ------------------------------------------------------------- the master key */

static enum cli_exit
open_master(const struct cli *cli, const char *verb, const char *path,
    struct ag_secret **master)
{
	struct passphrase_ask ask = { .verb = verb, .file = cli_get(cli, "--passphrase-file"),
		.option = "--passphrase-file", .prompt = "passphrase of the master key",
		.tty_fd = -1, .parent_fd = -1 };
	struct ag_master_lock lock = { .key = NULL };
	int status = ag_master_unlock(&ask, path, &lock, master);

	ag_master_lock_free(&lock);
	if (status == EXIT_NOT_FOUND)
		return cli_fail(CLI_NOT_FOUND, "%s: %s: there is no master key", verb, path);
	return (enum cli_exit)status;
}

static enum cli_exit
state_master(const struct cli *cli, const char *verb, char *state, struct ag_secret **master)
{
	struct ag_config *config = NULL;
	char message[1024] = "", path[PATH_MAX];

	if (!ag_state_dir_find(cli->state, state, STATE_PATH_MAX))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if (ag_config_load(cli_get(cli, "--config"), &config, message,
	    sizeof(message)) != AG_OK)
		return cli_fail(CLI_USAGE, "%s", message);
	ag_master_path(config, state, path, sizeof(path));
	ag_config_free(&config);
	return open_master(cli, verb, path, master);
}

/* lock from --recovery-passphrase-file; made new when kdf is NULL. */
static enum cli_exit
recovery_lock(const struct cli *cli, const char *verb, const uint8_t *kdf,
    struct ag_master_lock *lock)
{
	struct passphrase_ask ask = { .verb = verb,
		.file = cli_get(cli, "--recovery-passphrase-file"), .is_new = kdf == NULL,
		.option = "--recovery-passphrase-file", .prompt = "recovery passphrase",
		.tty_fd = -1, .parent_fd = -1 };
	struct ag_secret *passphrase = NULL;
	int status = ag_passphrase_read(&ask, &passphrase);

	if (status != EXIT_YES)
		return (enum cli_exit)status;
	if (kdf != NULL)
		memcpy(lock->kdf, kdf, AG_MASTER_KDF_BYTES);
	else
		ag_master_kdf_new(lock->kdf);
	if (ag_master_lock_open(lock, passphrase) != AG_OK)
		status = cli_fail(CLI_FAULT, "%s: the recovery passphrase cannot be used "
		    "(it needs 256 MiB of memory for a second)", verb);
	ag_secret_free(&passphrase);
	return (enum cli_exit)status;
}

static void
print_sum(const struct cli *cli, const char *what, const struct backup_sum *sum)
{
	char hash[2 * AG_HASH_BYTES + 1];

	ag_hex(sum->hash, AG_HASH_BYTES, hash);
	if (cli->json)
		printf("{\"state_hash\":\"%s\",\"journal_rows\":%llu,\"stores\":%llu,"
		    "\"files\":%llu}\n", hash, (unsigned long long)sum->rows,
		    (unsigned long long)sum->stores, (unsigned long long)sum->files);
	else if (!cli->quiet)
		cli_say("%s: state %s, %llu journal rows, %llu stores, %llu files", what, hash,
		    (unsigned long long)sum->rows, (unsigned long long)sum->stores,
		    (unsigned long long)sum->files);
}

/* How much has gone by, for whom it takes long. */
static void
show_bytes(void *arg, unsigned long long bytes)
{
	cli_working(arg, "MiB", bytes >> 20);
}

/* ------------------------------------------------------------------ create */

static enum cli_exit
write_backup(const struct cli *cli, const char *state, FILE *file,
    struct ag_secret *master, struct backup_sum *sum)
{
	struct ag_master_lock recovery = { .key = NULL };
	char why[512] = "";
	enum cli_exit status = CLI_OK;
	ag_err err;

	if (cli_get(cli, "--recovery-passphrase-file") != NULL)
		status = recovery_lock(cli, "backup create", NULL, &recovery);
	if (status != CLI_OK)
		return status;
	stream.moved = show_bytes;
	stream.moved_arg = (void *)(uintptr_t)cli;
	err = backup_begin(&stream, file, master, recovery.key != NULL ? &recovery : NULL);
	if (err == AG_OK)
		err = backup_dump(&stream, state, sum, why, sizeof(why));
	if (err == AG_OK && (fflush(file) != 0 || fsync(fileno(file)) != 0))
		err = AG_IO;
	ag_master_lock_free(&recovery);
	backup_close(&stream);
	cli_progress_end(cli);
	if (err == AG_OK)
		return CLI_OK;
	return cli_fail(err == AG_UNAVAILABLE ? CLI_TRY_AGAIN : CLI_FAULT, "backup create: %s",
	    why[0] != '\0' ? why : strerror(errno));
}

/* Whole or not at all: it has its name when it is synced, and no other file is
 * replaced by it. */
static enum cli_exit
backup_create(struct cli *cli)
{
	const char *out = cli_get(cli, "--out");
	char state[STATE_PATH_MAX], made[PATH_MAX];
	struct ag_secret *master = NULL;
	struct backup_sum sum = { .rows = 0 };
	enum cli_exit status;
	FILE *file = NULL;
	int fd;

	if (snprintf(made, sizeof(made), "%s.new", out) >= (int)sizeof(made))
		return cli_fail(CLI_USAGE, "--out: too long a path");
	if (access(out, F_OK) == 0)
		return cli_fail(CLI_CONFLICT, "--out: %s: exists already", out);
	if ((status = state_master(cli, "backup create", state, &master)) != CLI_OK)
		return status;
	(void)unlink(made); /* of one that did not get further */
	fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || (file = fdopen(fd, "w")) == NULL)
		status = cli_fail(CLI_USAGE, "--out: %s: %s", made, strerror(errno));
	if (status == CLI_OK)
		status = write_backup(cli, state, file, master, &sum);
	if (status == CLI_OK && (link(made, out) != 0 || ag_dir_sync(out) != AG_OK))
		status = cli_fail(CLI_FAULT, "--out: %s: %s", out, strerror(errno));
	if (file != NULL)
		(void)fclose(file);
	if (fd >= 0)
		(void)unlink(made);
	ag_secret_free(&master);
	if (status == CLI_OK)
		print_sum(cli, out, &sum);
	return status;
}

/* --------------------------------------------------------- verify, restore */

static enum cli_exit
refused(const char *verb, const char *file, ag_err err, const char *why)
{
	if (err == AG_BAD_MESSAGE)
		return cli_fail(CLI_USAGE, "%s: %s: this is no backup", verb, file);
	if (err == AG_CONFLICT)
		return cli_fail(CLI_CONFLICT, "RootOfTrustMismatch: %s was made under another "
		    "master key", file);
	if (err == AG_UNAUTHENTICATED)
		return cli_fail(CLI_UNAUTHENTICATED, "%s: %s: this is not its recovery passphrase",
		    verb, file);
	if (err == AG_CORRUPT)
		return cli_fail(CLI_NO, "%s: %s: broken: %s", verb, file, why);
	return cli_fail(CLI_FAULT, "%s: %s: %s", verb, file, why);
}

static enum cli_exit
unlock(const struct cli *cli, const char *verb, const char *file, struct ag_secret *master)
{
	struct ag_master_lock lock = { .key = NULL };
	uint8_t kdf[AG_MASTER_KDF_BYTES];
	enum cli_exit status = CLI_OK;
	ag_err err;

	if (master != NULL) {
		err = backup_unlock(&stream, master);
	} else {
		if (!backup_has_recovery(&stream, kdf))
			return cli_fail(CLI_USAGE, "%s: %s: it has no recovery passphrase", verb, file);
		if ((status = recovery_lock(cli, verb, kdf, &lock)) != CLI_OK)
			return status;
		err = backup_unlock_recovery(&stream, &lock);
		ag_master_lock_free(&lock);
	}
	return err == AG_OK ? CLI_OK : refused(verb, file, err, "its head does not open");
}

/* dir NULL: only reads. master NULL: with the recovery passphrase. */
static enum cli_exit
read_backup(const struct cli *cli, const char *verb, struct ag_secret *master,
    const char *dir, struct backup_sum *sum)
{
	const char *name = cli_get(cli, "FILE");
	FILE *file = fopen(name, "re");
	enum cli_exit status = CLI_OK;
	char why[512] = "";
	ag_err err;

	if (file == NULL)
		return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
	stream.moved = show_bytes;
	stream.moved_arg = (void *)(uintptr_t)cli;
	if (ag_secret_init() != AG_OK)
		status = cli_fail(CLI_FAULT, "%s: no locked memory", verb);
	else if ((err = backup_look(&stream, file)) != AG_OK)
		status = refused(verb, name, err, "no locked memory");
	if (status == CLI_OK)
		status = unlock(cli, verb, name, master);
	if (status == CLI_OK) {
		err = backup_load(&stream, dir, sum, why, sizeof(why));
		cli_progress_end(cli);
		if (err != AG_OK)
			status = refused(verb, name, err, why);
	}
	backup_close(&stream);
	(void)fclose(file);
	return status;
}

static enum cli_exit
backup_verify(struct cli *cli)
{
	const char *key = cli_get(cli, "--master-key");
	struct ag_secret *master = NULL;
	struct backup_sum sum = { .rows = 0 };
	char state[STATE_PATH_MAX];
	enum cli_exit status = CLI_OK;

	if (key != NULL)
		status = open_master(cli, "backup verify", key, &master);
	else if (cli_get(cli, "--recovery-passphrase-file") == NULL)
		status = state_master(cli, "backup verify", state, &master);
	if (status == CLI_OK)
		status = read_backup(cli, "backup verify", master, NULL, &sum);
	ag_secret_free(&master);
	if (status == CLI_OK)
		print_sum(cli, cli_get(cli, "FILE"), &sum);
	return status;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* The key's file as it is, under its passphrase if it has one. */
static enum cli_exit
copy_key(const char *from, const char *dir)
{
	char path[PATH_MAX], *bytes = NULL;
	size_t len = 0;
	enum cli_exit status = cli_read(from, AG_PASSPHRASE_MAX, &bytes, &len);
	int fd;

	if (status != CLI_OK)
		return status;
	snprintf(path, sizeof(path), "%s/rot/master.key", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || fsync(fd) != 0)
		status = cli_fail(CLI_FAULT, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	ag_wipe(bytes, len);
	free(bytes);
	return status;
}

static enum cli_exit
sync_all(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && syncfs(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok ? CLI_OK : cli_fail(CLI_FAULT, "%s: %s", dir, strerror(errno));
}

/* Into a folder beside it, which gets the name when all is there and synced;
 * rename() takes an empty directory's place and no other's. */
static enum cli_exit
backup_restore(struct cli *cli)
{
	char state[STATE_PATH_MAX], made[STATE_PATH_MAX + 16];
	const char *key = cli_get(cli, "--master-key");
	struct ag_secret *master = NULL;
	struct backup_sum sum = { .rows = 0 };
	enum cli_exit status;

	if (!ag_state_dir_find(cli->state, state, sizeof(state)))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if (rmdir(state) != 0 && errno != ENOENT)
		return cli_fail(errno == ENOTEMPTY || errno == EEXIST ? CLI_CONFLICT : CLI_USAGE,
		    "--state: %s: %s", state, errno == ENOTEMPTY || errno == EEXIST ?
		    "is not empty; a backup is restored into a new directory" : strerror(errno));
	if ((status = open_master(cli, "backup restore", key, &master)) != CLI_OK)
		return status;
	snprintf(made, sizeof(made), "%s.restoring", state);
	nftw(made, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* of one that died */
	if (mkdir(made, 0700) != 0)
		status = cli_fail(CLI_USAGE, "%s: %s", made, strerror(errno));
	if (status == CLI_OK)
		status = read_backup(cli, "backup restore", master, made, &sum);
	if (status == CLI_OK)
		status = copy_key(key, made);
	if (status == CLI_OK)
		status = sync_all(made);
	if (status == CLI_OK && (rename(made, state) != 0 || ag_dir_sync(state) != AG_OK))
		status = cli_fail(CLI_FAULT, "%s: %s", state, strerror(errno));
	if (status != CLI_OK)
		nftw(made, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	ag_secret_free(&master);
	if (status == CLI_OK)
		print_sum(cli, state, &sum);
	return status;
}

#define VERB(noun, verb, options, function, help) \
	{ noun, verb, options, NULL, NULL, CLI_SILENT, NULL, function, help, NULL, NULL }

const struct cli_verb cli_verbs_backup[] = {
	VERB("backup", "create", create_options, backup_create,
	    "all of the state in one sealed file, while the fleet runs"),
	VERB("backup", "verify", verify_options, backup_verify,
	    "is it whole, and which state does it hold?"),
	VERB("backup", "restore", restore_options, backup_restore,
	    "a new state directory out of a backup"),
	{ 0 },
};
