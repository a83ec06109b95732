/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test kit: an actor with its context, but without socket, clock or
 * broker. Messages go in by hand, what it says is read back. The same code
 * runs as in the fleet (dispatch, trips, asks, stash, grants, store).
 */
#ifndef AEGIS_KIT_H
#define AEGIS_KIT_H

#include <aegis/aegis.h>

struct ag_kit;

/* The fleet of the kit has one row of every role, but two of KEYS and two of
 * PLANE; all are up. config: YAML text or NULL. The state directory is a fresh
 * temporary one unless state_dir is given. Panics on failure: it is a test. */
struct ag_kit *ag_kit_new(const struct ag_actor *actor, const char *config,
    const char *state_dir);
/* Ends it in order (commits the store). The temporary directory goes, too. */
void ag_kit_free(struct ag_kit **kit);
void *ag_kit_state(struct ag_kit *kit);
struct ag_ctx *ag_kit_ctx(struct ag_kit *kit);
const char *ag_kit_state_dir(struct ag_kit *kit);

/* Moves both clocks and runs the timers that came due. */
void ag_kit_advance(struct ag_kit *kit, int64_t ms);
/* As if the process had been stopped for that time: each timer runs once, late.
 * Days cost what a moment does. */
void ag_kit_sleep(struct ag_kit *kit, int64_t ms);
int64_t ag_kit_now(struct ag_kit *kit);

/* Delivers one message and runs the turn. env NULL: an empty one. */
void ag_kit_deliver(struct ag_kit *kit, enum ag_role from, unsigned index,
    uint16_t type, const Ag__Envelope *env, const void *body);
void ag_kit_deliver_bytes(struct ag_kit *kit, enum ag_role from, unsigned index,
    const uint8_t *frame, size_t len);
/* An operation as the executor gets it: from risk (verdict allow), with a
 * grant signed by the kit. Fill in grant's fields; NULL ones are defaulted
 * (tenant "default", actor hum_…, plane 0, n counted up). */
void ag_kit_operate(struct ag_kit *kit, uint16_t op, Ag__Grant *grant,
    const void *body);
/* Signs what ag_kit_operate would, for tests that build their own envelope. */
void ag_kit_grant(struct ag_kit *kit, Ag__Grant *grant, Ag__Envelope *env);

struct ag_kit_sent {
	unsigned to;
	enum ag_role to_role;
	uint16_t type;
	const Ag__Envelope *env;
	const void *body; /* unpacked */
	const uint8_t *bytes;
	size_t len;
};
/* The oldest message it sent that was not read yet; NULL: none. Borrowed
 * until the next call. */
const struct ag_kit_sent *ag_kit_next(struct ag_kit *kit);
/* Drops messages until one of this type; NULL: none. */
const struct ag_kit_sent *ag_kit_find(struct ag_kit *kit, uint16_t type);
/* Answers an ask that ag_kit_next returned. */
void ag_kit_answer(struct ag_kit *kit, const struct ag_kit_sent *ask,
    uint16_t type, const void *body);
void ag_kit_answer_error(struct ag_kit *kit, const struct ag_kit_sent *ask,
    ag_err err, const char *reason_code);
/* Plays the journal for one JOURNAL_APPEND_ASK: commits it with the next
 * sequence numbers (and, for an AG_FOLLOW_LIVE actor, pushes the records
 * first); answers every JOURNAL_IDEM_ASK "unknown". True if it found one. */
bool ag_kit_journal(struct ag_kit *kit);
/* Delivers one audit event to on_audit as the pull would. */
ag_err ag_kit_audit(struct ag_kit *kit, const Ag__Event *event, uint64_t pos);
/* A line of the supervisor's, and the last one to it ("": none). */
void ag_kit_tell(struct ag_kit *kit, const char *word);
const char *ag_kit_said(struct ag_kit *kit);
/* Runs what ag_work queued. */
void ag_kit_work(struct ag_kit *kit);

#endif
