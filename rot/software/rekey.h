/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rekey: a new master key while requests go on.
 *
 *  1  master.key.next is written, whole, under the passphrase of the old one.
 *  2  wrapping.keys.next is filled, a few slots a turn, each wrapping key
 *     rewrapped. The old files serve; every change (a new key, a destroyed
 *     one) goes to both files, so that what was passed already stays right.
 *  3  a second walk opens every slot under both keys and compares.
 *  4  wrapping.keys.next is synced and takes the name wrapping.keys.
 *  5  master.key.next takes the name master.key. The old bytes of both are
 *     overwritten and removed.
 *
 * Why a crash, or kill -9, at any step loses nothing:
 *  - Until the rename of step 4, master.key and wrapping.keys are untouched and
 *    belong together (slot 0 proves it): a start serves from them, says that a
 *    rekey is half done, and --resume goes on with the key of step 1. A slot of
 *    wrapping.keys.next that is missing, torn or out of date (the process that
 *    died did not sync, and nobody wrote to both meanwhile) does not open or
 *    is not equal, and is written again by step 2; step 3 lets nothing pass.
 *  - The rename is the one instant at which the truth changes. What it names
 *    was synced before, as was the name master.key.next, so the key that opens
 *    the new slots is on disk whenever the new slots are.
 *  - Between the renames of 4 and 5 master.key does not prove slot 0, but
 *    master.key.next does: a start sees that and does step 5 itself.
 *  - The old bytes are reached for erasing through a second name (.old), made
 *    before and removed after it; a start finds one left over and erases it,
 *    unless it is (a crash before the rename) a name of the file in use.
 * Blobs, and so the journal, never change: they are under the wrapping keys.
 */
#ifndef SOFTWARE_REKEY_H
#define SOFTWARE_REKEY_H

#include "vault.h"

struct rekey {
	struct vault *vault;
	bool running;
	struct vault_walk walk;
	uint32_t total;
	unsigned turns;
};

/* "start" or "resume"; answers with ag_tell: rekey running DONE TOTAL, rekey
 * done N, rekey refused busy|half|none, rekey failed. */
void rekey_told(struct rekey *r, struct ag_ctx *ctx, const char *word);
/* In ready: the event of a rekey whose process died before it said it. */
ag_err rekey_ready(struct rekey *r, struct ag_ctx *ctx) AG_MUST;

#endif
