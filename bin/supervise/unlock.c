/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unlock: the master key's file before anybody needs it: is it usable, and is
 * this its passphrase? Nothing is changed here; a wrong one ends `aegis up`
 * before a process is started.
 */
#include "passphrase.h"
#include "supervisor.h"

#include <stdio.h>
#include <string.h>

static int
derive(const struct passphrase_ask *ask, struct ag_master_lock *lock)
{
	struct ag_secret *passphrase = NULL;
	int status = ag_passphrase_read(ask, &passphrase);
	ag_err err;

	if (status != EXIT_YES)
		return status;
	err = ag_master_lock_open(lock, passphrase);
	ag_secret_free(&passphrase);
	if (err == AG_OK)
		return EXIT_YES;
	ag_sup_complain(ask->verb, "%s", err == AG_CORRUPT ?
	    "the master key's file asks for parameters that nobody writes" :
	    "opening the master key needs 256 MiB of memory for a second");
	return err == AG_CORRUPT ? EXIT_BAD_INPUT : EXIT_FAULT;
}

int
ag_master_unlock(const struct passphrase_ask *ask, const char *path,
    struct ag_master_lock *lock, struct ag_secret **master)
{
	struct ag_secret *opened = NULL;
	const char *why = "";
	bool locked = false;
	ag_err err = ag_master_look(path, &locked, lock->kdf, &why);
	int status = EXIT_YES;

	if (err == AG_ITEM_NOT_FOUND)
		return EXIT_NOT_FOUND;
	if (err == AG_OK && ag_secret_init() != AG_OK) {
		ag_sup_complain(ask->verb, "no locked memory");
		return EXIT_FAULT;
	}
	if (err == AG_OK && locked)
		status = derive(ask, lock);
	if (status != EXIT_YES)
		return status;
	if (err == AG_OK)
		err = ag_master_read(path, lock, &opened, &why);
	if (err != AG_OK)
		ag_sup_complain(ask->verb, "%s: %s", path, why);
	if (master != NULL)
		*master = opened;
	else
		ag_secret_free(&opened);
	return err == AG_OK ? EXIT_YES :
	    err == AG_UNAUTHENTICATED ? EXIT_UNAUTHENTICATED : EXIT_BAD_INPUT;
}

void
ag_master_path(const struct ag_config *config, const char *state_dir, char *out,
    size_t size)
{
	const char *file = ag_config_get_str(config, "rot.software.master_key_file", 0);

	if (file != NULL)
		snprintf(out, size, "%s", file);
	else
		snprintf(out, size, "%s/rot/master.key", state_dir);
}

static bool
wants_passphrase(const struct supervisor *sup)
{
	return ag_config_get_int(sup->config, "rot.software.passphrase", 0) != 0;
}

/* No key yet: it is made under the passphrase, if one is wanted. */
static int
lock_new(struct supervisor *sup, struct passphrase_ask *ask)
{
	if (sup->passphrase_file == NULL && !wants_passphrase(sup))
		return EXIT_YES;
	ask->is_new = true;
	ask->prompt = "new passphrase of the master key";
	ag_master_kdf_new(sup->master_lock.kdf);
	return derive(ask, &sup->master_lock);
}

/* It lies open, and somebody wants it locked: that is a step of its own. */
static int
refuse_open(struct supervisor *sup, const char *path)
{
	bool configured = wants_passphrase(sup);

	if (sup->master_lock.key != NULL ||
	    (sup->passphrase_file == NULL && !configured))
		return EXIT_YES;
	ag_sup_complain("up", "%s: %s, and it is not under a passphrase; put it "
	    "under one with: aegis rot passphrase --state %s", path, configured ?
	    "rot.software.passphrase is true" : "--passphrase-file is given",
	    sup->state_dir);
	return EXIT_CONFLICT;
}

int
ag_unlock(struct supervisor *sup)
{
	struct passphrase_ask ask = { .verb = "up", .file = sup->passphrase_file,
		.option = "--passphrase-file", .prompt = "passphrase of the master key",
		.tty_fd = sup->tty_fd, .parent_fd = sup->ready_fd };
	char path[PATH_MAX];
	int status;

	ag_master_path(sup->config, sup->state_dir, path, sizeof(path));
	status = ag_master_unlock(&ask, path, &sup->master_lock, NULL);
	if (status == EXIT_NOT_FOUND)
		return lock_new(sup, &ask);
	return status == EXIT_YES ? refuse_open(sup, path) : status;
}
