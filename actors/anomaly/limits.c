/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detector's part of the configuration.
 */
#include "detector.h"

#include <stdio.h>

enum { WINDOW_MIN_MS = 1000 };

void
anomaly_limits_read(const struct ag_config *c, const char *name,
    struct anomaly_limits *out)
{
	double rate = (double)ag_config_get_int(c, "limits.principal.rate", 0);
	double window_s = (double)ag_config_get_int(c,
	    "limits.principal.window_s", 0);
	char path[96];

#define PATH(member) \
	(snprintf(path, sizeof(path), "anomaly.%s." member, name), path)
	out->enabled = ag_config_get_int(c, PATH("enabled"), 0) != 0;
	out->low = ag_config_get_number(c, PATH("low"), 0);
	out->medium = ag_config_get_number(c, PATH("medium"), 0);
	out->high = ag_config_get_number(c, PATH("high"), 0);
	out->cooldown_ms = ag_config_get_int(c, PATH("cooldown_s"), 0) * 1000;
	out->window_ms = ag_config_get_int(c, PATH("window_s"), 0) * 1000;
	out->history_ms = ag_config_get_int(c, PATH("history_s"), 0) * 1000;
#undef PATH
	if (out->window_ms < WINDOW_MIN_MS)
		out->window_ms = WINDOW_MIN_MS;
	out->ordinary = window_s > 0 ?
	    rate * (double)out->window_ms / 1000 / window_s : 0;
}
