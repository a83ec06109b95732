/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detector: a pure function over one event and a row of memory about its
 * actor. A new one is one file here and one line in table.c.
 */
#ifndef ANOMALY_DETECTOR_H
#define ANOMALY_DETECTOR_H

#include <aegis/aegis.h>

enum {
	ANOMALY_DETAILS_MAX = 6,
	ANOMALY_WINDOW_S = 60,
};

/* anomaly.<detector>.* of the configuration. */
struct anomaly_limits {
	bool enabled;
	double low, medium, high;
	int64_t cooldown_ms;
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
	/* Cheap: does this event concern it? Its actor's id is there. */
	bool (*wants)(const Ag__Event *event);
	/* True: it found something. Time is the event's. */
	bool (*look)(void *row, const struct anomaly_limits *limits,
	    const Ag__Event *event, struct anomaly_finding *out);
};

extern const struct anomaly_detector *const anomaly_detectors[];
extern const unsigned anomaly_detector_count;

/* One file each. */
extern const struct anomaly_detector anomaly_scope_violation;
extern const struct anomaly_detector anomaly_rate_spike;
extern const struct anomaly_detector anomaly_refusal_burst;
extern const struct anomaly_detector anomaly_honey_key;

void anomaly_detail(struct anomaly_finding *finding, const char *key,
    const char *fmt, ...) AG_PRINTF(3, 4);
bool anomaly_is_agent(const Ag__Event *event);

/* ---- burst.c: what counting detectors share */

/* How many in the last ANOMALY_WINDOW_S seconds, this one included. */
struct anomaly_window {
	int64_t last_s;
	uint32_t sum;
	uint32_t unused;
	uint32_t buckets[ANOMALY_WINDOW_S];
};
uint32_t anomaly_window_add(struct anomaly_window *window, int64_t at_ms,
    uint32_t n);

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
