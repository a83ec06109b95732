/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes: `<kind>:<selector>:<op>`, what a credential or a role may do.
 * Pure: no clock, no memory of its own, no I/O. A parsed scope borrows the
 * text that it was parsed from.
 *
 * The kind ends at the first colon and the op begins after the last, so that a
 * label's value may hold colons. `*` matches only where it is written.
 */
#ifndef AEGIS_POLICY_SCOPE_H
#define AEGIS_POLICY_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AG_SCOPE_TEXT_MAX = 255,  /* bytes without NUL */
	AG_SCOPE_NAME_MAX = 63,   /* of an id, alias or label key */
	AG_SCOPE_VALUE_MAX = 128, /* of a label's value */
	AG_SCOPE_OP_MAX = 32,
};

/* The numbers are those of enum ag_op_kind, but for the wildcard. */
enum ag_scope_kind {
	AG_SCOPE_ANY = 0, /* written `*` */
	AG_SCOPE_KEY,
	AG_SCOPE_AGENT,
	AG_SCOPE_PRINCIPAL,
	AG_SCOPE_AUDIT,
	AG_SCOPE_POLICY,
	AG_SCOPE_TOOL,
	AG_SCOPE_SYSTEM,
	AG_SCOPE_KIND_COUNT
};

enum ag_scope_selector {
	AG_SELECT_ALL,   /* * */
	AG_SELECT_NAME,  /* an id, an alias or a name */
	AG_SELECT_LABEL, /* label=<key>=<value> */
};

struct ag_scope {
	const char *text;
	const char *op; /* points into text, to its end; "*" is all */
	uint8_t kind;
	uint8_t select;
	bool all_ops;
	/* NAME: the name. LABEL: key and value. Lengths, not terminated. */
	uint16_t name_at, name_len, value_at, value_len;
};

struct ag_scope_label {
	const char *key;
	const char *value;
};

/* What is asked for: one thing, as the directory knows it. */
struct ag_scope_target {
	const char *id;
	const char *alias; /* or name; NULL: none */
	const struct ag_scope_label *labels;
	size_t label_count;
};

/* False if text is no scope. out borrows text. */
bool ag_scope_parse(const char *text, struct ag_scope *out);

/*
 * Is its op one that some operation asks for? Asked when a scope is given out,
 * so that a slip of the pen is noticed; not when one is read back, so that an
 * older journal stays good.
 */
bool ag_scope_op_known(const struct ag_scope *scope);

/* Does the scope let op be done on the target? target NULL: on everything of
 * the kind, which only `*` does. */
bool ag_scope_matches(const struct ag_scope *scope, enum ag_scope_kind kind,
    const char *op, const struct ag_scope_target *target);

/* Does the scope speak of this very selector (or of all)? For what does not
 * exist: labels are unknown, so a label never does. */
bool ag_scope_names(const struct ag_scope *scope, enum ag_scope_kind kind,
    const char *op, const char *selector);

/*
 * Does whoever has `holder` have everything that `asked` allows? resolved: the
 * thing that asked's selector names, if it is known: then another of its
 * names, or a label that it carries now, is as good.
 */
bool ag_scope_implies(const struct ag_scope *holder,
    const struct ag_scope *asked, const struct ag_scope_target *resolved);

#endif
