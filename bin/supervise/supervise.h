/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the `aegis` command asks of the supervisor. Each says what is wrong on
 * stderr and returns the exit status (docs/reference.md). state is the option,
 * NULL if it was not given.
 */
#ifndef AEGIS_SUPERVISE_H
#define AEGIS_SUPERVISE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `aegis up`; what was not given is NULL. */
struct ag_up {
	const char *config_file, *state, *listen, *clock_file, *passphrase_file;
	bool dev_identity;
	bool detach, quiet;
};

/* Becomes the supervisor; returns when the fleet has ended. */
int ag_cmd_up(const struct ag_up *ask);
/* Waits until the fleet is gone; timeout_s < 0: the usual. */
int ag_cmd_down(const char *state, int64_t timeout_s);
/* Writes the file with which a process may join: out, or NAME.actor; its name
 * comes to file. */
int ag_cmd_enroll(const char *state, const char *name, const char *role,
    const char *out, char *file, size_t size);

/*
 * Asks the running supervisor over run/control.sock. The answer's object (the
 * caller decrefs), or NULL after complaining in the name of verb (NULL: not a
 * word), and *exit_status. ask is taken. *fd, if fd is not NULL, stays open; it closes
 * when the fleet is gone.
 */
json_t *ag_control_ask(const char *verb, const char *state_option, json_t *ask,
    int *exit_status, int *fd);

/*
 * The state directory: the option if given, else AEGIS_STATE, else
 * /var/lib/aegis for root, else $XDG_STATE_HOME/aegis (~/.local/state/aegis).
 * Made absolute; need not exist. false: too long, or no home.
 */
bool ag_state_dir_find(const char *option, char *out, size_t size);

#endif
