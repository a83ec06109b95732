/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis audit replay: makes recorded decisions again, from what was recorded.
 */
#ifndef AEGIS_VERIFY_REPLAY_H
#define AEGIS_VERIFY_REPLAY_H

#include <aegis/aegis.h>

#include <stdbool.h>

enum replay_result {
	REPLAY_NONE,      /* there was no such decision */
	REPLAY_EQUAL,
	REPLAY_DIFFERENT,
	REPLAY_UNKNOWN,   /* there was one; not all that it came from is recorded */
};

struct replay_event {
	enum replay_result scope, risk, policy;
	char why[160]; /* what is different; empty if nothing is */
};

/* Pure. Scope and risk. */
void replay_event(const Ag__Event *event, struct replay_event *out);

/* ---- replay_policy.c: the tenants' policies, as the log saw them change */
struct replay_books;
struct replay_books *replay_books_new(void); /* NULL: no memory */
void replay_books_free(struct replay_books **books);
/* Takes the change that the event reports, if it reports one. */
ag_err replay_learn(struct replay_books *books, const Ag__Event *event) AG_MUST;
/* Decides again, with the documents of the version that the event names; the
 * changes are all learned. Sets out->policy, and out->why if it is empty. */
void replay_policy(struct replay_books *books, const Ag__Event *event,
    struct replay_event *out);

struct replay_options {
	const char *dir;   /* of the log */
	const char *event; /* its id; NULL: all */
	const char *agent; /* only this one's; NULL: all */
	bool json, quiet;
};
enum replay_exit {
	REPLAY_ALL_EQUAL = 0,
	REPLAY_SOME_DIFFERENT = 1,
	REPLAY_BAD_INPUT = 2,
	REPLAY_NOT_FOUND = 4,
};
/* Prints a line an event; the last line sums up. */
enum replay_exit replay_log(const struct replay_options *options);

#endif
