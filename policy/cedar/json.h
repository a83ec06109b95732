/* SPDX-License-Identifier: Apache-2.0 */
/* JSON trees to names and values, with the place of what is wrong as a JSON
 * pointer. For the readers of entities, policies and schemas. */
#ifndef AEGIS_POLICY_CEDAR_JSON_H
#define AEGIS_POLICY_CEDAR_JSON_H

#include "core.h"

#include <jansson.h>

enum { CEDAR_POINTER_MAX = 160 }; /* bytes of a place, cut beyond it */

struct cedar_json {
	struct ag_cedar_arena *arena;
	struct ag_cedar_problem *problem;
	char pointer[CEDAR_POINTER_MAX]; /* where the reader is */
	size_t len;
	bool is_masked; /* see json_mask.c */
};

/* Parses; refuses duplicate members. *out is to be json_decref'ed. */
enum ag_cedar_err cedar_json_load(struct cedar_json *j,
    struct ag_cedar_arena *arena, const char *text, size_t len,
    struct ag_cedar_problem *problem, json_t **out);

/* One step down, and back to where it was: the length before is returned. */
size_t cedar_json_enter(struct cedar_json *j, const char *name);
size_t cedar_json_enter_at(struct cedar_json *j, size_t index);
void cedar_json_leave(struct cedar_json *j, size_t len);

/* "<pointer>: <text>" */
enum ag_cedar_err cedar_json_problem(struct cedar_json *j,
    enum ag_cedar_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A copy in the arena. */
enum ag_cedar_err cedar_json_string(struct cedar_json *j, const json_t *from,
    struct ag_cedar_str *out);

/* {"type","id"}, or within {"__entity": …}. */
enum ag_cedar_err cedar_json_uid(struct cedar_json *j, const json_t *from,
    struct ag_cedar_uid *out);

/* The name of a member, copied into the arena; p NULL: no memory. */
struct ag_cedar_str cedar_json_name(struct cedar_json *j, const char *key);

/* NUL in a text, and back; see json_mask.c. */
bool cedar_json_mask(struct ag_cedar_arena *arena, struct ag_cedar_str text,
    struct ag_cedar_str *out);
void cedar_json_unmask(char *p, size_t *len);

struct cedar_type;

/* A value; as the type, if there is one (NULL: by its form alone). */
enum ag_cedar_err cedar_json_value(struct cedar_json *j, const json_t *from,
    const struct cedar_type *type, struct ag_cedar_value *out);

/* Only members of names, and all of the first `needed` ones, are there. */
enum ag_cedar_err cedar_json_members(struct cedar_json *j, const json_t *from,
    const char *const *names, size_t count, size_t needed);

#endif
