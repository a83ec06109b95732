/* SPDX-License-Identifier: Apache-2.0 */
/* From rules to policies. */
#include "import_rule.h"

#include <aegis/aegis.h>

#include <stdio.h>
#include <string.h>

bool
import_is_default(const struct rule *r)
{
	return r->any && r->effect == DENY;
}

struct writing {
	FILE *out;
	bool first; /* no condition yet */
};

static void
begin(struct writing *w)
{
	fputs(w->first ? "\nwhen { " : " && ", w->out);
	w->first = false;
}

/* (a || b || c) of a list */
static void
each(struct writing *w, const struct rule *r, enum part p, const char *before,
    const char *after)
{
	begin(w);
	for (size_t i = 0; i < r->counts[p]; i++)
		fprintf(w->out, "%s%s%s%s", i == 0 ? r->counts[p] > 1 ? "(" : "" :
		    " || ", before, r->sets[p][i], after);
	if (r->counts[p] > 1)
		fputc(')', w->out);
}

/* Somebody of any of the lists: users, services, agents, roles. */
static void
who(struct writing *w, const struct rule *r)
{
	static const char *const types[] = { [USERS] = "Human",
		[SERVICES] = "Service", [AGENTS] = "Agent", [ROLES] = "Role" };
	size_t n = 0, all = r->counts[USERS] + r->counts[SERVICES] +
	    r->counts[AGENTS] + r->counts[ROLES];

	if (all == 0)
		return;
	begin(w);
	fputs(all > 1 ? "(" : "", w->out);
	for (enum part p = USERS; p <= ROLES; p++)
		for (size_t i = 0; i < r->counts[p]; i++)
			fprintf(w->out, "%sprincipal in Aegis::%s::\"%s\"",
			    n++ == 0 ? "" : " || ", types[p], r->sets[p][i]);
	fputs(all > 1 ? ")" : "", w->out);
}

static void
kinds(struct writing *w, const struct rule *r)
{
	begin(w);
	fputs(r->counts[KINDS] > 1 ? "(" : "", w->out);
	for (size_t i = 0; i < r->counts[KINDS]; i++) {
		const char *k = r->sets[KINDS][i];

		fprintf(w->out, "%sprincipal is Aegis::%s", i == 0 ? "" : " || ",
		    strcmp(k, "human") == 0 ? "Human" :
		    strcmp(k, "agent") == 0 ? "Agent" : "Service");
	}
	fputs(r->counts[KINDS] > 1 ? ")" : "", w->out);
}

static void
clock_text(FILE *out, int32_t s)
{
	fprintf(out, "duration(\"%dh%dm\")", s / 3600, s / 60 % 60);
}

/* Of one window: its days, and its times; over midnight, two of each. */
static void
days(FILE *out, uint8_t bits)
{
	static const char *const names[] = { "mon", "tue", "wed", "thu", "fri",
		"sat", "sun" };
	bool first = true;

	fputc('[', out);
	for (int d = 0; d < 7; d++)
		if ((bits >> d & 1) != 0) {
			fprintf(out, "%s\"%s\"", first ? "" : ", ", names[d]);
			first = false;
		}
	fputs("].contains(context.weekday)", out);
}

static void
hours(struct writing *w, const struct ag_hours *h)
{
	static const char time[] = "context.at.toTime()";
	int32_t from = h->at[0].from, to = h->at[0].to;
	uint8_t on = h->at[0].days, next = (uint8_t)((on << 1 | on >> 6) & 0x7f);

	begin(w);
	if (from < to) {
		days(w->out, on);
		fprintf(w->out, " && %s >= ", time);
		clock_text(w->out, from);
		fprintf(w->out, " && %s < ", time);
		clock_text(w->out, to);
		return;
	}
	fputs("((", w->out);
	days(w->out, on);
	fprintf(w->out, " && %s >= ", time);
	clock_text(w->out, from);
	fputs(") || (", w->out);
	days(w->out, next);
	fprintf(w->out, " && %s < ", time);
	clock_text(w->out, to);
	fputs("))", w->out);
}

static bool
is_about_keys(const struct rule *r)
{
	return r->label_count > 0 || r->counts[KEYS] > 0;
}

static void
conditions(struct writing *w, const struct rule *r)
{
	who(w, r);
	if (r->counts[KINDS] > 0)
		kinds(w, r);
	if (r->counts[KEYS] > 0)
		each(w, r, KEYS, "resource == Aegis::Key::\"", "\"");
	for (size_t i = 0; i < r->label_count; i++) {
		begin(w);
		fprintf(w->out, "resource.hasTag(\"%s\") && "
		    "resource.getTag(\"%s\") == \"%s\"", r->labels[i].key,
		    r->labels[i].key, r->labels[i].value);
	}
	if (r->counts[PLANES] > 0)
		each(w, r, PLANES, "context.plane == \"", "\"");
	if (r->counts[SOURCES] > 0)
		each(w, r, SOURCES, "context.source.isInRange(ip(\"", "\"))");
	if (r->hours.count > 0)
		hours(w, &r->hours);
	if (r->max_age_s > 0) {
		begin(w);
		fprintf(w->out, "context.credential_age <= duration(\"%lds\")",
		    r->max_age_s);
	}
	if (r->stepped_up) {
		begin(w);
		fputs("context.stepped_up", w->out);
	}
	fputs(w->first ? ";\n" : " };\n", w->out);
}

static void
write_rule(FILE *out, const struct rule *r)
{
	struct writing w = { out, true };

	fprintf(out, "@id(\"%s\")\n", r->name);
	if (r->reason != NULL)
		fprintf(out, "@reason(\"%s\")\n", r->reason);
	if (r->effect == STEP_UP)
		fputs("@step_up(\"totp\")\n", out);
	fputs(r->effect == DENY ? "forbid (principal, " : "permit (principal, ",
	    out);
	if (r->counts[ACTIONS] > 0) {
		fputs("action in [", out);
		for (size_t i = 0; i < r->counts[ACTIONS]; i++)
			fprintf(out, "%sAegis::Action::\"%s\"", i == 0 ? "" :
			    ", ", r->sets[ACTIONS][i]);
		fputs("], ", out);
	} else {
		fputs("action, ", out);
	}
	fputs(is_about_keys(r) ? "resource is Aegis::Key)" : "resource)", out);
	conditions(&w, r);
}

bool
import_write(struct importing *im)
{
	size_t size;
	FILE *out = open_memstream(&im->out->text, &size);

	if (out == NULL)
		return false;
	for (size_t i = 0; i < im->count; i++) {
		const struct rule *r = &im->rules[i];

		if (import_is_default(r) && i + 1 == im->count) {
			(void)snprintf(im->out->notes[im->out->note_count++],
			    AG_IMPORT_NOTE, "%s is left out: what nothing permits "
			    "is denied anyway", r->name);
			continue;
		}
		if (im->out->policies++ > 0)
			fputc('\n', out);
		write_rule(out, r);
	}
	return fclose(out) == 0;
}
