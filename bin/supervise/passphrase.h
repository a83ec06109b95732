/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking for a passphrase, and opening the master key's file with it: for
 * `aegis up` and for the offline verbs.
 */
#ifndef AEGIS_PASSPHRASE_H
#define AEGIS_PASSPHRASE_H

#include <aegis/master.h>

struct passphrase_ask {
	const char *verb;   /* of the complaints */
	const char *file;   /* "-": standard input; /dev/fd/N; NULL: the terminal */
	const char *option; /* what names a file, for the hint */
	const char *prompt;
	bool is_new;        /* not too short; typed twice */
	int tty_fd;         /* -1: /dev/tty is opened */
	int parent_fd;      /* asking ends when its other end closes; -1: none */
};
/* Complains and returns the exit status; *out is the caller's. Blocks until
 * it was typed. Makes the process's locked region. */
int ag_passphrase_read(const struct passphrase_ask *ask, struct ag_secret **out);

/*
 * lock for the master key's file at path: asks only if it is locked. Opens it
 * to see whether the passphrase is right. master (may be NULL) gets the key.
 * EXIT_YES, 2 (unusable file), 3 (wrong passphrase), 4 (no file).
 */
int ag_master_unlock(const struct passphrase_ask *ask, const char *path,
    struct ag_master_lock *lock, struct ag_secret **master);

#endif
