/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to rules. Values are checked one by one, since they go into a text of
 * another language.
 */
#include "import_rule.h"

#include <aegis/aegis.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
import_wrong(struct importing *im, const yaml_mark_t *mark, const char *format, ...)
{
	va_list ap;

	im->out->line = (uint32_t)mark->line + 1;
	im->out->column = (uint32_t)mark->column + 1;
	va_start(ap, format);
	(void)vsnprintf(im->out->problem, sizeof(im->out->problem), format, ap);
	va_end(ap);
	return false;
}

/* -------------------------------------------------------------------- yaml */

static yaml_node_t *
node(const struct importing *im, int index)
{
	return yaml_document_get_node(im->document, index);
}

/* A scalar's text; NULL: it is none, or has a NUL in it. */
static const char *
text_of(const yaml_node_t *n)
{
	return n == NULL || n->type != YAML_SCALAR_NODE ||
	    strlen((const char *)n->data.scalar.value) != n->data.scalar.length ?
	    NULL : (const char *)n->data.scalar.value;
}

/* Calls `take` for each member of a mapping; a name twice is refused. */
static bool
members(struct importing *im, yaml_node_t *map, const char *what,
    bool (*take)(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *value), void *arg)
{
	static const yaml_mark_t nowhere = { 0 };
	yaml_node_pair_t *first, *pair;

	if (map == NULL || map->type != YAML_MAPPING_NODE)
		return import_wrong(im, map == NULL ? &nowhere :
		    &map->start_mark, "%s is a mapping", what);
	first = map->data.mapping.pairs.start;
	for (pair = first; pair < map->data.mapping.pairs.top; pair++) {
		yaml_node_t *key_node = node(im, pair->key);
		const char *key = text_of(key_node);

		if (key == NULL)
			return import_wrong(im, &key_node->start_mark,
			    "%s has members with plain names", what);
		for (yaml_node_pair_t *p = first; p < pair; p++)
			if (strcmp(text_of(node(im, p->key)), key) == 0)
				return import_wrong(im, &key_node->start_mark,
				    "\"%.40s\" is there twice", key);
		if (!take(im, arg, key, key_node, node(im, pair->value)))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ values */

static bool
is_plain(const char *text, const char *also)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	if (*text == '\0' || strlen(text) >= WORD_MAX)
		return false;
	for (; *text != '\0'; text++)
		if (strchr(allowed, *text) == NULL && strchr(also, *text) == NULL)
			return false;
	return true;
}

static bool
is_kind(const char *text)
{
	return strcmp(text, "human") == 0 || strcmp(text, "agent") == 0 ||
	    strcmp(text, "service") == 0;
}

static bool
is_group(const char *text)
{
	return strcmp(text, "read") == 0 || strcmp(text, "use") == 0 ||
	    strcmp(text, "manage") == 0 || strcmp(text, "destroy") == 0;
}

static bool
is_action(const char *text)
{
	const char *group;

	return is_group(text) || ag_rules_action_group(text, &group);
}

static bool
is_plane(const char *text)
{
	return strcmp(text, "rest") == 0 || strcmp(text, "mcp") == 0 ||
	    strcmp(text, "agent") == 0 || strcmp(text, "kmip") == 0;
}

static bool
is_name(const char *text)
{
	return is_plain(text, "");
}

static bool
is_source(const char *text)
{
	uint8_t room[1024];
	struct ag_cedar_arena arena;
	struct ag_cedar_value value;

	ag_cedar_arena_over(&arena, room, sizeof(room));
	return is_plain(text, "ABCDEF:/") && ag_cedar_extension_value(&arena,
	    "ip", (struct ag_cedar_str){ text, strlen(text) }, &value) ==
	    AG_CEDAR_OK;
}

static const struct {
	const char *name;
	bool (*is_good)(const char *text);
	const char *right;
} sets[PARTS] = {
	[USERS] = { "users", is_name, "names of people, such as alice" },
	[SERVICES] = { "services", is_name, "names of services" },
	[AGENTS] = { "agents", is_name, "ids of agents" },
	[ROLES] = { "roles", is_name, "names of roles, such as key-admin" },
	[KINDS] = { "kinds", is_kind, "human, agent, service" },
	[ACTIONS] = { "actions", is_action, "operations such as key.sign, or "
	    "read, use, manage, destroy" },
	[KEYS] = { "keys", is_name, "aliases of keys" },
	[PLANES] = { "plane", is_plane, "rest, mcp, agent, kmip" },
	[SOURCES] = { "source", is_source, "networks such as 10.0.0.0/8" },
};

/* Constructs that exist elsewhere and that nothing here could keep. */
static const struct {
	const char *name, *why;
} unkept[] = {
	{ "max_duration", "credentials have their own ttl; leave it out and issue "
	    "agents with --ttl" },
	{ "posture", "the device of a caller is not known here" },
	{ "device_posture", "the device of a caller is not known here" },
	{ "mode", "there are no credential modes here; name planes" },
	{ "require_session", "every caller here has a credential of its own" },
};

static bool
unknown(struct importing *im, const char *key, const yaml_node_t *at,
    const char *known)
{
	for (size_t i = 0; i < sizeof(unkept) / sizeof(unkept[0]); i++)
		if (strcmp(unkept[i].name, key) == 0)
			return import_wrong(im, &at->start_mark, "%s cannot be kept: %s",
			    key, unkept[i].why);
	return import_wrong(im, &at->start_mark, "\"%.40s\" is not known; known are %s",
	    key, known);
}

/* One word, or a list of them. */
static bool
take_set(struct importing *im, struct rule *r, enum part part, yaml_node_t *v)
{
	size_t n = v->type == YAML_SEQUENCE_NODE ? (size_t)(
	    v->data.sequence.items.top - v->data.sequence.items.start) : 1;

	if (v->type == YAML_MAPPING_NODE || n == 0 || n > LIST_MAX)
		return import_wrong(im, &v->start_mark, "%s is a list of 1 to %d %s",
		    sets[part].name, LIST_MAX, sets[part].right);
	for (size_t i = 0; i < n; i++) {
		yaml_node_t *item = v->type != YAML_SEQUENCE_NODE ? v :
		    node(im, v->data.sequence.items.start[i]);
		const char *text = text_of(item);

		if (text == NULL || !sets[part].is_good(text))
			return import_wrong(im, &item->start_mark, "\"%.60s\" is none of "
			    "%s: %s", text == NULL ? "" : text, sets[part].name,
			    sets[part].right);
		r->sets[part][i] = text;
	}
	r->counts[part] = n;
	return true;
}

static bool
take_label(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *value)
{
	struct rule *r = arg;
	const char *text = text_of(value);

	if (r->label_count == LABELS_MAX || text == NULL ||
	    !ag_label_valid(key, text) || strpbrk(text, "\"\\") != NULL)
		return import_wrong(im, &key_node->start_mark, "labels are at most %d "
		    "pairs of a name and a text without quotes", LABELS_MAX);
	r->labels[r->label_count].key = key;
	r->labels[r->label_count++].value = text;
	return true;
}

/* time: {days: [mon, fri], hours: "08:00-18:00", tz: UTC} */
struct when {
	char days[64], hours[32];
};

static bool
take_days(struct importing *im, struct when *w, yaml_node_t *v)
{
	size_t n = v->type == YAML_SEQUENCE_NODE ? (size_t)(
	    v->data.sequence.items.top - v->data.sequence.items.start) : 1;
	size_t at = 0;

	if (v->type == YAML_MAPPING_NODE || n == 0 || n > 7)
		return import_wrong(im, &v->start_mark, "days is a list such as [mon, "
		    "tue], or mon-fri");
	for (size_t i = 0; i < n && at < sizeof(w->days); i++) {
		const char *text = text_of(v->type != YAML_SEQUENCE_NODE ? v :
		    node(im, v->data.sequence.items.start[i]));

		at += (size_t)snprintf(w->days + at, sizeof(w->days) - at, "%s%s",
		    i == 0 ? "" : "+", text == NULL ? "?" : text);
	}
	return true;
}

static bool
take_when(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *v)
{
	struct when *w = arg;
	const char *text = text_of(v);

	if (strcmp(key, "days") == 0)
		return take_days(im, w, v);
	if (strcmp(key, "hours") == 0 && text != NULL && strlen(text) <
	    sizeof(w->hours)) {
		(void)snprintf(w->hours, sizeof(w->hours), "%s", text);
		return true;
	}
	if (strcmp(key, "tz") == 0)
		return text != NULL && strcmp(text, "UTC") == 0 ? true :
		    import_wrong(im, &v->start_mark, "policies know UTC only; write the "
		    "hours in it, or give keys the label " AG_HOURS_LABEL
		    ", which knows time zones");
	return unknown(im, key, key_node, "days, hours, tz");
}

static bool
take_time(struct importing *im, struct rule *r, yaml_node_t *v)
{
	struct when w = { "daily", "00:00-24:00" };
	char text[sizeof(w.days) + sizeof(w.hours) + 2],
	    problem[AG_HOURS_PROBLEM];

	if (!members(im, v, "time", take_when, &w))
		return false;
	(void)snprintf(text, sizeof(text), "%s %s", w.days, w.hours);
	return ag_hours_parse(text, &r->hours, problem) ||
	    import_wrong(im, &v->start_mark, "%s", problem);
}

/* "90s", "15m", "1h", "30d" */
static bool
seconds_of(const char *text, long *out)
{
	static const struct {
		char unit;
		long s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;

	*out = text == NULL ? 0 : strtol(text, &end, 10);
	if (*out <= 0 || *out > 1000000 || end[0] == '\0' || end[1] != '\0')
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == *end) {
			*out *= units[i].s;
			return true;
		}
	return false;
}

static bool
is_true(struct importing *im, const char *key, const yaml_node_t *v, bool *out)
{
	const char *text = text_of(v);

	*out = true;
	return (text != NULL && strcmp(text, "true") == 0) ||
	    import_wrong(im, &v->start_mark, "%s is true, or left out", key);
}

static bool
take_condition(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *v)
{
	struct rule *r = arg;

	for (enum part p = 0; p < PARTS; p++)
		if (strcmp(sets[p].name, key) == 0)
			return take_set(im, r, p, v);
	if (strcmp(key, "any") == 0)
		return is_true(im, key, v, &r->any);
	if (strcmp(key, "stepped_up") == 0)
		return is_true(im, key, v, &r->stepped_up);
	if (strcmp(key, "labels") == 0)
		return members(im, v, "labels", take_label, r);
	if (strcmp(key, "time") == 0)
		return take_time(im, r, v);
	if (strcmp(key, "max_credential_age") == 0)
		return seconds_of(text_of(v), &r->max_age_s) ||
		    import_wrong(im, &v->start_mark, "an age is such as 90s, 15m, 12h, "
		    "30d");
	return unknown(im, key, key_node, "any, users, services, agents, roles, "
	    "kinds, actions, keys, labels, plane, source, time, stepped_up, "
	    "max_credential_age");
}

/* ------------------------------------------------------------------- rules */

static bool
take_effect(struct importing *im, struct rule *r, const yaml_node_t *v)
{
	static const char *const names[] = { [ALLOW] = "allow",
		[STEP_UP] = "step_up", [DENY] = "deny" };
	const char *text = text_of(v);

	for (int e = ALLOW; e <= DENY; e++)
		if (text != NULL && strcmp(text, names[e]) == 0) {
			r->effect = (enum effect)e;
			return true;
		}
	return import_wrong(im, &v->start_mark, "an effect is allow, step_up or deny, "
	    "not \"%.40s\"", text == NULL ? "" : text);
}

static bool
take_reason(struct importing *im, struct rule *r, const yaml_node_t *v)
{
	r->reason = text_of(v);
	if (r->reason == NULL || *r->reason == '\0' ||
	    strlen(r->reason) > AG_RULES_REASON_MAX)
		return import_wrong(im, &v->start_mark, "a reason has 1 to %d "
		    "characters", AG_RULES_REASON_MAX);
	for (const char *p = r->reason; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || strchr("\"\\\x7f", *p) != NULL)
			return import_wrong(im, &v->start_mark, "a reason is one line "
			    "without quotes and backslashes");
	return true;
}

static bool
take_name(struct importing *im, struct rule *r, const yaml_node_t *v)
{
	r->name = text_of(v);
	if (r->name == NULL || !ag_name_valid(r->name) ||
	    strspn(r->name, "0123456789") == strlen(r->name))
		return import_wrong(im, &v->start_mark, "a rule's name is "
		    "[a-z0-9][a-z0-9._-]{0,62}, and no number");
	for (size_t i = 0; i < im->count; i++)
		if (&im->rules[i] != r && strcmp(im->rules[i].name, r->name) == 0)
			return import_wrong(im, &v->start_mark, "another rule has the "
			    "name %s", r->name);
	return true;
}

static bool
take_member(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *v)
{
	struct rule *r = arg;

	if (strcmp(key, "name") == 0)
		return take_name(im, r, v);
	if (strcmp(key, "effect") == 0)
		return take_effect(im, r, v);
	if (strcmp(key, "reason") == 0)
		return take_reason(im, r, v);
	if (strcmp(key, "conditions") == 0)
		return members(im, v, "conditions", take_condition, r);
	return unknown(im, key, key_node, "name, effect, conditions, reason");
}

static bool
has_condition(const struct rule *r)
{
	size_t n = r->label_count + r->hours.count + (r->max_age_s != 0) +
	    r->stepped_up;

	for (int p = 0; p < PARTS; p++)
		n += r->counts[p];
	return n > 0;
}

static bool
take_rule(struct importing *im, yaml_node_t *v)
{
	struct rule *r = &im->rules[im->count];
	bool effect = false;

	r->mark = v->start_mark;
	if (!members(im, v, "a rule", take_member, r))
		return false;
	for (yaml_node_pair_t *p = v->data.mapping.pairs.start;
	    p < v->data.mapping.pairs.top; p++)
		effect |= strcmp(text_of(node(im, p->key)), "effect") == 0;
	if (r->name == NULL || !effect)
		return import_wrong(im, &v->start_mark,
		    "a rule has a name and an effect");
	if (r->any == has_condition(r))
		return import_wrong(im, &v->start_mark, r->any ? "%s: `any: true` "
		    "stands alone" : "%s: a rule has conditions; for one that "
		    "always matches, write `any: true`", r->name);
	im->count++;
	return true;
}

static bool
take_rules(struct importing *im, yaml_node_t *v)
{
	size_t n = v->type != YAML_SEQUENCE_NODE ? 0 : (size_t)(
	    v->data.sequence.items.top - v->data.sequence.items.start);

	if (n == 0 || n > AG_IMPORT_RULES_MAX)
		return import_wrong(im, &v->start_mark, "rules is a list of 1 to %d "
		    "rules", AG_IMPORT_RULES_MAX);
	if ((im->rules = calloc(n, sizeof(*im->rules))) == NULL)
		return import_wrong(im, &v->start_mark, "there is no memory for it");
	for (size_t i = 0; i < n; i++)
		if (!take_rule(im, node(im, v->data.sequence.items.start[i])))
			return false;
	return true;
}

static bool
take_top(struct importing *im, void *arg, const char *key,
    yaml_node_t *key_node, yaml_node_t *v)
{
	const char *text = text_of(v);

	(void)arg;
	if (strcmp(key, "version") == 0)
		return (text != NULL && strcmp(text, "1") == 0) ||
		    import_wrong(im, &v->start_mark, "the version is 1");
	if (strcmp(key, "rules") == 0)
		return take_rules(im, v);
	return unknown(im, key, key_node, "version, rules");
}

bool
import_read(struct importing *im, yaml_node_t *root)
{
	return members(im, root, "the file", take_top, NULL);
}
