/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's verbs of the `aegis` command. argv starts at the verb; each
 * parses its own options and returns the exit status (rest-contract §9).
 */
#ifndef AEGIS_SUPERVISE_H
#define AEGIS_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>

int ag_cmd_up(int argc, char **argv);
int ag_cmd_down(int argc, char **argv);
int ag_cmd_status(int argc, char **argv);
int ag_cmd_actor(int argc, char **argv); /* actor enroll NAME --role R */

/*
 * The state directory: the option if given, else AEGIS_STATE, else
 * /var/lib/aegis for root, else $XDG_STATE_HOME/aegis (~/.local/state/aegis).
 * Made absolute; need not exist. false: too long, or no home.
 */
bool ag_state_dir_find(const char *option, char *out, size_t size);

#endif
