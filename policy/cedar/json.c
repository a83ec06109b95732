/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON to names and values. jansson bounds its own recursion; ours is bounded
 * by AG_CEDAR_VALUE_DEPTH_MAX.
 */
#include "json.h"

#include "ext.h"
#include "schema.h"
#include "value.h"

#include <stdio.h>

enum ag_cedar_err
cedar_json_load(struct cedar_json *j, struct ag_cedar_arena *arena,
    const char *text, size_t len, struct ag_cedar_problem *problem,
    json_t **out)
{
	json_error_t error;

	*j = (struct cedar_json){ .arena = arena, .problem = problem };
	*out = NULL;
	if (problem != NULL)
		memset(problem, 0, sizeof(*problem));
	if (len > AG_CEDAR_TEXT_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT, "the text has %zu "
		    "bytes; at most %d are read", len, AG_CEDAR_TEXT_MAX);
	if (memmem(text, len, "\\u0000", 6) != NULL) {
		struct ag_cedar_str masked;

		if (!cedar_json_mask(arena, (struct ag_cedar_str){ text, len },
		    &masked))
			return cedar_no_memory(problem);
		text = masked.p;
		len = masked.len;
		j->is_masked = true;
	}
	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL |
	    JSON_DECODE_ANY, &error);
	if (*out != NULL)
		return AG_CEDAR_OK;
	(void)cedar_problem(problem, AG_CEDAR_SYNTAX, "this is no JSON: %s",
	    error.text);
	if (problem != NULL && error.line > 0) {
		problem->at = (size_t)error.position;
		problem->line = (uint32_t)error.line;
		problem->column = (uint32_t)error.column;
	}
	return AG_CEDAR_SYNTAX;
}

/* ----------------------------------------------------------------- places */

size_t
cedar_json_enter(struct cedar_json *j, const char *name)
{
	size_t len = j->len;
	int n = snprintf(j->pointer + len, sizeof(j->pointer) - len, "/%s", name);

	if (n > 0)
		j->len = len + (size_t)n >= sizeof(j->pointer) ?
		    sizeof(j->pointer) - 1 : len + (size_t)n;
	return len;
}

size_t
cedar_json_enter_at(struct cedar_json *j, size_t index)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", index);
	return cedar_json_enter(j, text);
}

void
cedar_json_leave(struct cedar_json *j, size_t len)
{
	j->len = len;
	j->pointer[len] = '\0';
}

enum ag_cedar_err
cedar_json_problem(struct cedar_json *j, enum ag_cedar_err code,
    const char *format, ...)
{
	char text[AG_CEDAR_PROBLEM_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return cedar_problem(j->problem, code, "%s: %s",
	    j->len == 0 ? "/" : j->pointer, text);
}

/* -------------------------------------------------------------- the tools */

static struct ag_cedar_str
copy(struct cedar_json *j, const char *text, size_t len)
{
	struct ag_cedar_str s = cedar_str_copy(j->arena,
	    (struct ag_cedar_str){ text, len });

	if (s.p != NULL && j->is_masked)
		cedar_json_unmask((char *)(uintptr_t)s.p, &s.len);
	return s;
}

enum ag_cedar_err
cedar_json_string(struct cedar_json *j, const json_t *from,
    struct ag_cedar_str *out)
{
	if (!json_is_string(from))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "a string is needed here");
	*out = copy(j, json_string_value(from), json_string_length(from));
	return out->p == NULL ? cedar_no_memory(j->problem) : AG_CEDAR_OK;
}

struct ag_cedar_str
cedar_json_name(struct cedar_json *j, const char *key)
{
	return copy(j, key, strlen(key));
}

enum ag_cedar_err
cedar_json_members(struct cedar_json *j, const json_t *from,
    const char *const *names, size_t count, size_t needed)
{
	const char *key;
	json_t *value;

	if (!json_is_object(from))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "an object is needed here");
	json_object_foreach((json_t *)(uintptr_t)from, key, value) {
		bool known = false;

		(void)value;
		for (size_t i = 0; i < count && !known; i++)
			known = strcmp(names[i], key) == 0;
		if (!known)
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "there is no member \"%.60s\" here", key);
	}
	for (size_t i = 0; i < needed; i++)
		if (json_object_get(from, names[i]) == NULL)
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "the member \"%s\" is missing", names[i]);
	return AG_CEDAR_OK;
}

enum ag_cedar_err
cedar_json_uid(struct cedar_json *j, const json_t *from,
    struct ag_cedar_uid *out)
{
	static const char *const names[] = { "type", "id" };
	const json_t *inner = json_object_get(from, "__entity");
	struct ag_cedar_str type, id;
	enum ag_cedar_err err;

	if (inner != NULL && json_object_size(from) == 1)
		from = inner;
	if ((err = cedar_json_members(j, from, names, 2, 2)) != AG_CEDAR_OK)
		return err;
	err = cedar_json_string(j, json_object_get(from, "type"), &type);
	if (err == AG_CEDAR_OK)
		err = cedar_json_string(j, json_object_get(from, "id"), &id);
	if (err != AG_CEDAR_OK)
		return err;
	if (!cedar_is_type_name(type))
		return cedar_json_problem(j, AG_CEDAR_INVALID, "`%.*s` is no "
		    "entity type; it is a name, or names joined by ::",
		    (int)(type.len > 60 ? 60 : type.len), type.p);
	*out = ag_cedar_uid(type, id);
	return AG_CEDAR_OK;
}

/* ----------------------------------------------------------------- values */

static enum ag_cedar_err value(struct cedar_json *j, const json_t *from,
    const struct cedar_type *type, unsigned depth, struct ag_cedar_value *out);

static enum ag_cedar_err
take_failed(struct cedar_json *j, enum ag_cedar_err err)
{
	if (err == AG_CEDAR_LIMIT)
		return cedar_json_problem(j, err, "this nests more than %d deep",
		    AG_CEDAR_VALUE_DEPTH_MAX);
	return err == AG_CEDAR_NO_MEMORY ? cedar_no_memory(j->problem) : err;
}

static enum ag_cedar_err
array(struct cedar_json *j, const json_t *from, const struct cedar_type *type,
    unsigned depth, struct ag_cedar_value *out)
{
	size_t count = json_array_size(from), len;
	struct ag_cedar_value *items = ag_cedar_alloc(j->arena,
	    count * sizeof(*items));
	const struct cedar_type *of = type != NULL && type->kind == CEDAR_TYPE_SET ?
	    type->element : NULL;
	enum ag_cedar_err err = AG_CEDAR_OK;

	if (items == NULL)
		return cedar_no_memory(j->problem);
	for (size_t i = 0; i < count && err == AG_CEDAR_OK; i++) {
		len = cedar_json_enter_at(j, i);
		err = value(j, json_array_get(from, i), of, depth, &items[i]);
		if (err == AG_CEDAR_OK)
			cedar_json_leave(j, len);
	}
	return err != AG_CEDAR_OK ? err : take_failed(j,
	    cedar_set_take(j->arena, items, count, out));
}

static enum ag_cedar_err
object(struct cedar_json *j, const json_t *from, const struct cedar_type *type,
    unsigned depth, struct ag_cedar_value *out)
{
	size_t count = 0, len;
	struct ag_cedar_field *fields = ag_cedar_alloc(j->arena,
	    json_object_size(from) * sizeof(*fields));
	enum ag_cedar_err err = AG_CEDAR_OK;
	const char *key;
	json_t *member;

	if (fields == NULL)
		return cedar_no_memory(j->problem);
	json_object_foreach((json_t *)(uintptr_t)from, key, member) {
		struct ag_cedar_str name = cedar_json_name(j, key);
		const struct cedar_attr *attr;

		if (name.p == NULL)
			return cedar_no_memory(j->problem);
		attr = type == NULL ? NULL : cedar_type_attr(type, name);
		fields[count].name = name;
		len = cedar_json_enter(j, key);
		err = value(j, member, attr == NULL ? NULL : attr->type, depth,
		    &fields[count++].value);
		if (err != AG_CEDAR_OK)
			return err;
		cedar_json_leave(j, len);
	}
	return take_failed(j, cedar_record_take(j->arena, fields, count, out));
}

/* A constructor's name and text; also a bare text, where the type says so. */
static enum ag_cedar_err
extension(struct cedar_json *j, const char *function, const json_t *arg,
    unsigned depth, struct ag_cedar_value *out)
{
	const struct cedar_ext *ext = cedar_ext_find(cedar_str(function));
	struct ag_cedar_value of;
	enum ag_cedar_err err;
	enum ag_cedar_fault fault;

	if (ext == NULL || ext->is_method)
		return cedar_json_problem(j, AG_CEDAR_INVALID, "there is no "
		    "function `%.40s`; there are ip, decimal, datetime and "
		    "duration", function);
	if ((err = value(j, arg, NULL, depth, &of)) != AG_CEDAR_OK)
		return err;
	if (of.kind != AG_CEDAR_STRING)
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "`%s` needs a string, not %s", ext->name,
		    cedar_kind_name(of.kind));
	fault = ext->call(j->arena, &of, out);
	if (fault == AG_CEDAR_FAULT_MEMORY)
		return cedar_no_memory(j->problem);
	return fault == AG_CEDAR_FAULT_NONE ? AG_CEDAR_OK :
	    cedar_json_problem(j, AG_CEDAR_INVALID, "%s(\"%.*s\") is none",
	    ext->name, (int)(of.string.len > 60 ? 60 : of.string.len),
	    of.string.p);
}

/* {"fn","arg"}, or {"fn","args"} of a datetime as the reference prints it. */
static enum ag_cedar_err
escaped_extension(struct cedar_json *j, const json_t *from, unsigned depth,
    struct ag_cedar_value *out)
{
	const char *function = json_string_value(json_object_get(from, "fn"));
	const json_t *arg = json_object_get(from, "arg");
	const json_t *args = json_object_get(from, "args");
	struct ag_cedar_value of[CEDAR_EXT_ARGS_MAX];
	const struct cedar_ext *ext;
	enum ag_cedar_err err = AG_CEDAR_OK;

	if (function == NULL || (arg == NULL) == (args == NULL))
		return cedar_json_problem(j, AG_CEDAR_INVALID, "__extn needs "
		    "the members \"fn\" and \"arg\"");
	if (arg != NULL || json_array_size(args) == 1)
		return extension(j, function, arg != NULL ? arg :
		    json_array_get(args, 0), depth, out);
	ext = cedar_ext_find(cedar_str(function));
	if (ext == NULL || json_array_size(args) != ext->arg_count)
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "`%.40s` does not take %zu arguments", function,
		    json_array_size(args));
	for (size_t i = 0; i < ext->arg_count && err == AG_CEDAR_OK; i++) {
		err = value(j, json_array_get(args, i), NULL, depth, &of[i]);
		if (err == AG_CEDAR_OK && (uint8_t)of[i].kind != ext->args[i])
			err = cedar_json_problem(j, AG_CEDAR_INVALID, "`%s` "
			    "does not take %s here", ext->name,
			    cedar_kind_name(of[i].kind));
	}
	if (err != AG_CEDAR_OK)
		return err;
	return ext->call(j->arena, of, out) == AG_CEDAR_FAULT_NONE ?
	    AG_CEDAR_OK : cedar_json_problem(j, AG_CEDAR_INVALID,
	    "`%s` of these is none", ext->name);
}

static enum ag_cedar_err
entity_value(struct cedar_json *j, const json_t *from,
    struct ag_cedar_value *out)
{
	struct ag_cedar_uid *uid = ag_cedar_alloc(j->arena, sizeof(*uid));
	enum ag_cedar_err err;

	if (uid == NULL)
		return cedar_no_memory(j->problem);
	err = cedar_json_uid(j, from, uid);
	*out = ag_cedar_entity(uid);
	return err;
}

static enum ag_cedar_err
object_or_escape(struct cedar_json *j, const json_t *from,
    const struct cedar_type *type, unsigned depth, struct ag_cedar_value *out)
{
	const json_t *extn = json_object_get(from, "__extn");
	bool is_one = json_object_size(from) == 1;

	if (is_one && json_object_get(from, "__entity") != NULL)
		return entity_value(j, from, out);
	if (is_one && extn != NULL)
		return escaped_extension(j, extn, depth, out);
	if (is_one && json_object_get(from, "__expr") != NULL)
		return cedar_json_problem(j, AG_CEDAR_INVALID, "__expr is no "
		    "longer of the format; use __entity or __extn");
	if (type != NULL && type->kind == CEDAR_TYPE_ENTITY)
		return entity_value(j, from, out);
	if (type != NULL && type->kind == CEDAR_TYPE_EXT &&
	    json_object_get(from, "fn") != NULL)
		return escaped_extension(j, from, depth, out);
	return object(j, from, type, depth, out);
}

static enum ag_cedar_err
value(struct cedar_json *j, const json_t *from, const struct cedar_type *type,
    unsigned depth, struct ag_cedar_value *out)
{
	struct ag_cedar_str s;
	enum ag_cedar_err err;

	if (depth > AG_CEDAR_VALUE_DEPTH_MAX)
		return take_failed(j, AG_CEDAR_LIMIT);
	switch (json_typeof(from)) {
	case JSON_OBJECT:
		return object_or_escape(j, from, type, depth + 1, out);
	case JSON_ARRAY:
		return array(j, from, type, depth + 1, out);
	case JSON_STRING:
		if (type != NULL && type->kind == CEDAR_TYPE_EXT)
			return extension(j, cedar_ext_constructor(type->ext)->name,
			    from, depth + 1, out);
		err = cedar_json_string(j, from, &s);
		*out = ag_cedar_string(s);
		return err;
	case JSON_INTEGER:
		*out = ag_cedar_long(json_integer_value(from));
		return AG_CEDAR_OK;
	case JSON_TRUE:
	case JSON_FALSE:
		*out = ag_cedar_bool(json_is_true(from));
		return AG_CEDAR_OK;
	case JSON_REAL:
		return cedar_json_problem(j, AG_CEDAR_INVALID, "the language has "
		    "no such number; use an integer, or {\"__extn\": {\"fn\": "
		    "\"decimal\", \"arg\": \"1.5\"}}");
	case JSON_NULL:
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "null is no value; leave the member out");
	}
	return AG_CEDAR_INVALID;
}

enum ag_cedar_err
cedar_json_value(struct cedar_json *j, const json_t *from,
    const struct cedar_type *type, struct ag_cedar_value *out)
{
	return value(j, from, type, 0, out);
}
