/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detector: a pure function over one event and a row of memory about its
 * actor. A new one is anomaly/<name>.c, which defines anomaly_<name>, and one
 * line in the table DETECTORS of <aegis/config.def>.
 */
#ifndef ANOMALY_DETECTOR_H
#define ANOMALY_DETECTOR_H

#include <aegis/aegis.h>

enum {
	ANOMALY_DETAILS_MAX = 6,
	ANOMALY_BUCKETS = 60, /* of a window */
};

/* anomaly.<detector>.* of the configuration. */
struct anomaly_limits {
	bool enabled;
	double low, medium, high;
	int64_t cooldown_ms;
	int64_t window_ms;
	int64_t history_ms;
	/* The events are of many nodes, whose clocks and logs are not in step. */
	bool shared;
	/* Requests a window that the principal limit allows; 0: no limit. */
	double ordinary;
};

struct anomaly_detail {
	const char *key;
	char value[64];
};

/* What a detector found. Zeroed before. */
struct anomaly_finding {
	Ag__Severity__V severity;
	/* Said or not: the row is as it was, and need not be written. */
	bool same;
	/* The event with which it began, if it is not this one: then the same
	 * recommendation, now more severe. */
	char since[AG_ID_SIZE];
	char summary[192];
	struct anomaly_detail details[ANOMALY_DETAILS_MAX];
	unsigned detail_count;
};

struct anomaly_detector {
	const char *name;
	/* What it remembers of one actor; it survives a restart. 0: nothing, and
	 * row is NULL. Rows begin zeroed. */
	size_t row_size;
	/* The row is not the actor's own but its line's (habit.h): for habits that
	 * outlive an agent. */
	bool of_line;
	/* Cheap: does this event concern it? Its actor's id is there. */
	bool (*wants)(const Ag__Event *event);
	/* True: it found something. Time is the event's. O(1), no allocation. */
	bool (*look)(void *row, const struct anomaly_limits *limits,
	    const Ag__Event *event, struct anomaly_finding *out);
	/* This scope was given to the actor by this event, before it did anything:
	 * using it will be nothing new. NULL: scopes mean nothing to it. */
	void (*seed)(void *row, const Ag__Event *event, const char *scope);
	/* A person said that what began at this time was right: add it to what is
	 * usual. NULL: there is nothing usual about what it looks for. */
	void (*learn)(void *row, const struct anomaly_limits *limits,
	    int64_t since_ms);
};

extern const struct anomaly_detector *const anomaly_detectors[];
extern const unsigned anomaly_detector_count;

/* One file each: anomaly_scope_violation and so on. */
#define CFG(path, type, fallback, range, help)
#include <aegis/config.def>
#undef CFG
#define DETECTOR(name, ...) extern const struct anomaly_detector anomaly_##name;
DETECTORS
#undef DETECTOR

void anomaly_limits_read(const struct ag_config *c, const char *name,
    struct anomaly_limits *out);
void anomaly_detail(struct anomaly_finding *finding, const char *key,
    const char *fmt, ...) AG_PRINTF(3, 4);
bool anomaly_is_agent(const Ag__Event *event);
/* Allowed, and by somebody: what habits are made of. */
bool anomaly_is_allowed(const Ag__Event *event);
/* The key that was chosen: its id, or NULL. Naming one that is only being made
 * is no choice. */
const char *anomaly_key(const Ag__Event *event);
/* Days since 1970, from 0 to 65535. */
uint16_t anomaly_day(int64_t at_ms);

/* ---- burst.c: what counting detectors share */

/* How many in the last window_ms, this one included; to a sixtieth of it. */
struct anomaly_window {
	int64_t last; /* bucket, since 1970 */
	uint32_t sum;
	uint32_t unused;
	uint32_t buckets[ANOMALY_BUCKETS];
};
uint32_t anomaly_window_add(struct anomaly_window *window,
    const struct anomaly_limits *limits, int64_t at_ms, uint32_t n);

/*
 * A burst begins when the factor meets `low` and ends when it falls under half
 * of that (hysteresis); the next may begin cooldown after the end of the last.
 * Within one, only a step up to a higher severity is said again.
 */
struct anomaly_burst {
	int32_t level; /* 0: none; 1 low, 2 medium, 3 high */
	uint32_t bursts;
	int64_t seen_ms; /* last time it was on */
	char event_id[AG_ID_SIZE]; /* it began with */
};
/* True: say so; *out's severity and since are filled in. */
bool anomaly_burst_step(struct anomaly_burst *burst,
    const struct anomaly_limits *limits, double factor, const Ag__Event *event,
    struct anomaly_finding *out);

#endif
