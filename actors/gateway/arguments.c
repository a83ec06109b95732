/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments against a tool's schema (JSON Schema 2020-12), as far as it says
 * types, members, items, bounds and values; the rest is the server's to check.
 * A member that the schema does not name is refused unless it says that others
 * may be there: what a server does not expect must not reach it.
 */
#include "gateway.h"

#include "sieve.h"

#include <stdio.h>
#include <string.h>

enum { SCHEMA_DEPTH_MAX = 16 };

static bool
misfits(struct misfit *misfit, const char *reason, const char *detail)
{
	misfit->reason = reason;
	misfit->detail = detail;
	return false;
}

static bool
is_type(const char *type, const json_t *value)
{
	static const struct {
		const char *name;
		json_type types[2];
	} known[] = {
		{ "object", { JSON_OBJECT, JSON_OBJECT } },
		{ "array", { JSON_ARRAY, JSON_ARRAY } },
		{ "string", { JSON_STRING, JSON_STRING } },
		{ "integer", { JSON_INTEGER, JSON_INTEGER } },
		{ "number", { JSON_INTEGER, JSON_REAL } },
		{ "boolean", { JSON_TRUE, JSON_FALSE } },
		{ "null", { JSON_NULL, JSON_NULL } },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, type) == 0)
			return json_typeof(value) == known[i].types[0] ||
			    json_typeof(value) == known[i].types[1];
	return false;
}

static bool
fits_type(const json_t *schema, const json_t *value, struct misfit *misfit)
{
	const json_t *type = json_object_get(schema, "type"), *one;
	size_t i;

	if (type == NULL)
		return true;
	if (json_is_string(type) && is_type(json_string_value(type), value))
		return true;
	json_array_foreach(type, i, one)
		if (json_is_string(one) && is_type(json_string_value(one), value))
			return true;
	return misfits(misfit, "wrong_type", "it is of another type");
}

static bool
fits_values(const json_t *schema, const json_t *value, struct misfit *misfit)
{
	const json_t *list = json_object_get(schema, "enum"), *one;
	const json_t *only = json_object_get(schema, "const");
	size_t i;

	if (only != NULL && !json_equal(only, value))
		return misfits(misfit, "unknown_value", "another value is expected");
	if (!json_is_array(list))
		return true;
	json_array_foreach(list, i, one)
		if (json_equal(one, value))
			return true;
	return misfits(misfit, "unknown_value", "it is none of the values expected");
}

/* Characters, not bytes (JSON Schema §6.3.1). */
static double
length_of(const json_t *value)
{
	const char *s = json_string_value(value);
	double n = 0;

	for (; s != NULL && *s != '\0'; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static bool
fits_bounds(const json_t *schema, const json_t *value, struct misfit *misfit)
{
	const char *low = "minimum", *high = "maximum";
	const json_t *bound;
	double n;

	if (json_is_number(value)) {
		n = json_number_value(value);
	} else if (json_is_string(value)) {
		low = "minLength";
		high = "maxLength";
		n = length_of(value);
	} else if (json_is_array(value)) {
		low = "minItems";
		high = "maxItems";
		n = (double)json_array_size(value);
	} else {
		return true;
	}
	if (((bound = json_object_get(schema, low)) != NULL &&
	    json_is_number(bound) && n < json_number_value(bound)) ||
	    ((bound = json_object_get(schema, high)) != NULL &&
	    json_is_number(bound) && n > json_number_value(bound)))
		return misfits(misfit, "out_of_range", "it is out of its bounds");
	return true;
}

static bool fits(const json_t *schema, const json_t *value,
    struct misfit *misfit, unsigned depth);

/* The pointer's last part goes again when the member fits. */
static bool
fits_at(const json_t *schema, const json_t *value, const char *part,
    struct misfit *misfit, unsigned depth)
{
	size_t len = strlen(misfit->at);

	snprintf(misfit->at + len, sizeof(misfit->at) - len, "/%.60s", part);
	if (!fits(schema, value, misfit, depth))
		return false;
	misfit->at[len] = '\0';
	return true;
}

/* May there be members that `properties` does not name? What else a schema is
 * made of may name them, so then yes. */
static bool
is_open(const json_t *schema)
{
	static const char *const others[] = { "patternProperties", "allOf", "anyOf",
		"oneOf", "$ref", "if", "dependentSchemas" };
	const json_t *other = json_object_get(schema, "additionalProperties");
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (json_object_get(schema, others[i]) != NULL)
			return true;
	return json_is_true(other) || json_is_object(other);
}

static bool
fits_members(const json_t *schema, json_t *value, struct misfit *misfit,
    unsigned depth)
{
	const json_t *known = json_object_get(schema, "properties"), *rule, *name;
	const json_t *required = json_object_get(schema, "required");
	bool open = is_open(schema);
	const char *member;
	json_t *its;
	size_t i;

	json_array_foreach(required, i, name)
		if (json_is_string(name) &&
		    json_object_get(value, json_string_value(name)) == NULL) {
			size_t len = strlen(misfit->at);

			snprintf(misfit->at + len, sizeof(misfit->at) - len,
			    "/%.60s", json_string_value(name));
			return misfits(misfit, "missing", "it is required");
		}
	json_object_foreach(value, member, its) {
		rule = json_object_get(known, member);
		if (rule == NULL && !open) {
			size_t len = strlen(misfit->at);

			snprintf(misfit->at + len, sizeof(misfit->at) - len,
			    "/%.60s", member);
			return misfits(misfit, "unknown_field",
			    "the tool takes no such argument");
		}
		if (rule != NULL && !fits_at(rule, its, member, misfit, depth + 1))
			return false;
	}
	return true;
}

static bool
fits(const json_t *schema, const json_t *value, struct misfit *misfit,
    unsigned depth)
{
	const json_t *items = json_object_get(schema, "items"), *item;
	char part[24];
	size_t i;

	if (depth > SCHEMA_DEPTH_MAX)
		return misfits(misfit, "depth", "it is nested too deeply");
	if (!json_is_object(schema)) /* true allows everything */
		return !json_is_false(schema) ||
		    misfits(misfit, "unknown_value", "nothing is allowed here");
	if (!fits_type(schema, value, misfit) ||
	    !fits_values(schema, value, misfit) ||
	    !fits_bounds(schema, value, misfit))
		return false;
	if (json_is_object(value))
		return fits_members(schema, (json_t *)(uintptr_t)value, misfit,
		    depth);
	if (items == NULL || !json_is_array(value))
		return true;
	json_array_foreach(value, i, item) {
		snprintf(part, sizeof(part), "%zu", i);
		if (!fits_at(items, item, part, misfit, depth + 1))
			return false;
	}
	return true;
}

bool
arguments_fit(const json_t *schema, const json_t *value, struct misfit *misfit)
{
	snprintf(misfit->at, sizeof(misfit->at), "/arguments");
	return fits(schema, value, misfit, 0);
}

/* ------------------------------------------------------------------ the schema */

/* Nothing is fetched for a schema, by us or by who reads it. */
static bool
refers_elsewhere(const json_t *schema)
{
	static const char *const members[] = { "$ref", "$dynamicRef", "$id" };
	const char *to;
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if ((to = json_string_value(json_object_get(schema,
		    members[i]))) != NULL && to[0] != '#')
			return true;
	return false;
}

/* Its texts are looked at here: printed, a control character is an escape. */
static const char *
walk(json_t *value, unsigned depth)
{
	const char *name, *why = NULL;
	json_t *its;
	void *next;
	size_t i;

	if (depth > WIRE_DEPTH_MAX)
		return "its schema is nested too deeply";
	if (json_is_string(value))
		return sieve_unfit(json_string_value(value), GATEWAY_SCHEMA_MAX);
	if (refers_elsewhere(value))
		return "its schema refers to another document";
	if (json_is_string(json_object_get(value, "x-mcp-header")))
		json_object_del(value, "x-mcp-header"); /* no field of ours repeats it */
	json_object_foreach_safe(value, next, name, its)
		if (why == NULL &&
		    (why = sieve_unfit(name, GATEWAY_SCHEMA_MAX)) == NULL)
			why = walk(its, depth + 1);
	json_array_foreach(value, i, its)
		if (why == NULL)
			why = walk(its, depth + 1);
	return why;
}

const char *
schema_unfit(json_t *schema)
{
	const char *type = json_string_value(json_object_get(schema, "type"));

	if (type == NULL || strcmp(type, "object") != 0)
		return "its schema is not that of an object";
	return walk(schema, 0);
}
