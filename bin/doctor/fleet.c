/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a running fleet, as the supervisor sees them.
 */
#include "doctor.h"

#include <string.h>

enum { RESTARTS_ODD = 3 };

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

void
ag_look_processes(const struct ag_site *site, struct ag_finding *finding)
{
	const json_t *processes = json_object_get(site->status, "processes"), *p;
	const json_t *odd = NULL;
	unsigned ready = 0;
	size_t i;

	if (site->status == NULL) {
		ag_find(finding, AG_UNKNOWN, "no fleet runs in %s", site->state_dir);
		ag_find_type(finding, "aegis up --state %s --detach", site->state_dir);
		return;
	}
	json_array_foreach((json_t *)processes, i, p) {
		if (strcmp(text_of(p, "state"), "ready") == 0) {
			ready++;
			continue;
		}
		/* It works, and says what is wrong. */
		if (strcmp(text_of(p, "state"), "degraded") == 0 &&
		    text_of(p, "detail")[0] != '\0') {
			odd = odd == NULL ? p : odd;
			continue;
		}
		ag_find_wrong(finding, 0, "%s is %s%s%s", text_of(p, "name"),
		    text_of(p, "state"), text_of(p, "detail")[0] == '\0' ? "" : ": ",
		    text_of(p, "detail"));
		ag_find_type(finding, "aegis status --watch; its log says why "
		    "(name=%s)", text_of(p, "name"));
		return;
	}
	if (odd == NULL) {
		ag_find(finding, AG_FINE, "%u, all ready", ready);
		return;
	}
	ag_find(finding, AG_ODD, "%s is degraded: %s", text_of(odd, "name"),
	    text_of(odd, "detail"));
	ag_find_type(finding, "aegis status --watch; its log says why (name=%s)",
	    text_of(odd, "name"));
}

void
ag_look_restarts(const struct ag_site *site, struct ag_finding *finding)
{
	const json_t *processes = json_object_get(site->status, "processes"), *p;
	json_int_t most = 0, restarts;
	const char *name = "";
	size_t i;

	if (site->status == NULL) {
		ag_find(finding, AG_UNKNOWN, "no fleet runs");
		return;
	}
	json_array_foreach((json_t *)processes, i, p) {
		restarts = json_integer_value(json_object_get(p, "restarts"));
		if (restarts <= most)
			continue;
		most = restarts;
		name = text_of(p, "name");
	}
	if (most == 0) {
		ag_find(finding, AG_FINE, "none");
		return;
	}
	ag_find(finding, most >= RESTARTS_ODD ? AG_ODD : AG_FINE,
	    "%s was started again %" JSON_INTEGER_FORMAT " times", name, most);
	if (most >= RESTARTS_ODD)
		ag_find_type(finding, "grep CHILD-ENDED in the fleet's log: how it ended");
}
