/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions, in the order in which they are asked, and how an answer is
 * written down.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>

static const struct ag_check checks[] = {
	{ "configuration", false, ag_look_config },
	{ "open files", true, ag_look_open_files },
	{ "locked memory", true, ag_look_locked_memory },
	{ "kernel", true, ag_look_kernel },
	{ "state directory", true, ag_look_state },
	{ "state version", true, ag_look_state_version },
	{ "leftovers", false, ag_look_leftovers },
	{ "disk space", false, ag_look_disk },
	{ "disk sync", false, ag_look_sync },
	{ "master key", true, ag_look_master_key },
	{ "admin token", false, ag_look_admin_token },
	{ "clock", false, ag_look_clock },
	{ "time sync", false, ag_look_time_sync },
	{ "certificate", true, ag_look_certificate },
	{ "certificate key", true, ag_look_certificate_key },
	{ "listener", false, ag_look_port },
	{ "processes", false, ag_look_processes },
	{ "restarts", false, ag_look_restarts },
};

const struct ag_check *
ag_check_at(unsigned i)
{
	return i < sizeof(checks) / sizeof(checks[0]) ? &checks[i] : NULL;
}

void
ag_find(struct ag_finding *finding, enum ag_grade grade, const char *fmt, ...)
{
	va_list ap;

	finding->grade = grade;
	va_start(ap, fmt);
	(void)vsnprintf(finding->what, sizeof(finding->what), fmt, ap);
	va_end(ap);
}

void
ag_find_wrong(struct ag_finding *finding, int exit_status, const char *fmt, ...)
{
	va_list ap;

	finding->grade = AG_WRONG;
	finding->exit_status = exit_status;
	va_start(ap, fmt);
	(void)vsnprintf(finding->what, sizeof(finding->what), fmt, ap);
	va_end(ap);
}

void
ag_find_type(struct ag_finding *finding, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(finding->type, sizeof(finding->type), fmt, ap);
	va_end(ap);
}
