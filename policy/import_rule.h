/* SPDX-License-Identifier: Apache-2.0 */
/* A rule of the YAML file, between reading it and writing it as a policy. */
#ifndef POLICY_IMPORT_RULE_H
#define POLICY_IMPORT_RULE_H

#include "import.h"

#include "hours.h"

#include <yaml.h>

enum { LIST_MAX = 64, WORD_MAX = 128, LABELS_MAX = 16 };

enum effect { ALLOW, STEP_UP, DENY };

/* The sets that a rule may ask for; two rules with nothing in common in one of
 * them never match together. */
enum part { USERS, SERVICES, AGENTS, ROLES, KINDS, ACTIONS, KEYS, PLANES, SOURCES,
	PARTS };

struct rule {
	const char *name, *reason;
	enum effect effect;
	bool any;
	const char *sets[PARTS][LIST_MAX];
	size_t counts[PARTS];
	struct {
		const char *key, *value;
	} labels[LABELS_MAX];
	size_t label_count;
	struct ag_hours hours; /* count 0: at any time; in UTC */
	long max_age_s;        /* of the credential; 0: any */
	bool stepped_up;
	yaml_mark_t mark;
};

struct importing {
	struct ag_import *out;
	yaml_document_t *document;
	struct rule *rules;
	size_t count;
};

/* ---- import_read.c */
/* Says where and what is wrong; always false. */
bool import_wrong(struct importing *im, const yaml_mark_t *mark,
    const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All rules of the document, every value checked. False: what is wrong is said. */
bool import_read(struct importing *im, yaml_node_t *root);

/* ---- import_write.c */
/* A rule about everybody that denies: what nothing permits is denied anyway. */
bool import_is_default(const struct rule *r);
bool import_write(struct importing *im); /* false: no memory */

#endif
