/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When something is allowed: "mon-fri 08:00-18:00, sat 10:00-12:00
 * America/New_York". Days are local, as are times; a window from 22:00 to 06:00
 * begins on its days and ends on the next; its end is not in it. Without a zone
 * it is UTC. Local times that a clock change leaves out never come; those that
 * come twice count both times. Pure.
 */
#ifndef AEGIS_POLICY_HOURS_H
#define AEGIS_POLICY_HOURS_H

#include "zone.h"

#define AG_HOURS_LABEL "allowed_windows" /* of a key */

enum { AG_HOURS_MAX = 12, AG_HOURS_PROBLEM = 160 };

struct ag_hours {
	struct {
		uint8_t days;     /* a bit each, Monday first */
		int32_t from, to; /* seconds of the day; to < from: the next day's */
	} at[AG_HOURS_MAX];
	size_t count;
	char zone[AG_ZONE_NAME_MAX + 1]; /* "": UTC */
};

/* False: problem says what is wrong and what would be right. */
bool ag_hours_parse(const char *text, struct ag_hours *out,
    char problem[AG_HOURS_PROBLEM]);
/* zone: the one of that name; NULL: UTC. */
bool ag_hours_open(const struct ag_hours *hours, const struct ag_zone *zone,
    int64_t at_ms);

#endif
