/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an actor has done before, and what it does for the first time: shared by
 * the detectors of new addresses, operations and keys.
 *
 * An item is known, on probation, or new. During the history everything becomes
 * known. Afterwards what is new is counted in a window; the count over what is
 * usual in the actor's busiest windows is the factor. Items below `low` become
 * known; others are on probation: three different days make them known, or a
 * person does (dismiss with learn). So what an attacker does once stays odd.
 */
#ifndef ANOMALY_NOVELTY_H
#define ANOMALY_NOVELTY_H

#include "detector.h"

enum {
	NOVELTY_KNOWN = 192, /* the one not used for longest gives way */
	NOVELTY_TRIED = 16,  /* on probation; likewise */
	NOVELTY_EVENTS = 20, /* that a history needs besides its time */
	NOVELTY_DAYS = 3,    /* different days that end a probation */
	NOVELTY_TRIED_DAYS = 14, /* then a probation is forgotten */
	NOVELTY_KNOWN_DAYS = 60, /* then what was known is */
};

/* Items are rows_hash's: 0 is none. */
struct novelty {
	int64_t since_ms; /* the first event; 0: none yet */
	uint32_t events;  /* saturating at NOVELTY_EVENTS */
	uint16_t today;
	uint16_t days;     /* that `usual` is made of, saturating */
	uint32_t today_most; /* new items in a window of today */
	float usual;       /* the same, moving average over days */
	uint32_t known[NOVELTY_KNOWN];
	uint16_t known_day[NOVELTY_KNOWN]; /* of its last use */
	struct {
		uint32_t item;
		uint16_t day;
		uint16_t days;
		int64_t at_ms; /* it was new */
	} tried[NOVELTY_TRIED];
	struct anomaly_window window;
	struct anomaly_burst burst;
};

/* True: say so; out's severity and since are filled in and *count is how many
 * were new in the window. out->same is cleared if n was changed. */
bool novelty_see(struct novelty *n, const struct anomaly_limits *limits,
    const Ag__Event *event, uint32_t item, uint32_t *count,
    struct anomaly_finding *out);
bool novelty_knows(const struct novelty *n, uint32_t item);
void novelty_add(struct novelty *n, int64_t at_ms, uint32_t item);
/* What began in the window from since_ms on is right, and so is that much of
 * it. */
void novelty_learn(struct novelty *n, const struct anomaly_limits *limits,
    int64_t since_ms);

#endif
