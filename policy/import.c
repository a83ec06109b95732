/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to Cedar: the file is read into rules (import_read.c), the rules'
 * order is looked at, and each is written as a policy (import_write.c).
 */
#include "import_rule.h"

#include <aegis/aegis.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- order */

/* Both ask for one of a list, and the lists share nothing. What is in what
 * (roles, networks, the people above agents) is not known here. */
static bool
apart(const struct rule *a, const struct rule *b)
{
	static const enum part exact[] = { KINDS, KEYS, PLANES };

	for (size_t e = 0; e < sizeof(exact) / sizeof(exact[0]); e++) {
		enum part p = exact[e];
		bool common = a->counts[p] == 0 || b->counts[p] == 0;

		for (size_t i = 0; !common && i < a->counts[p]; i++)
			for (size_t k = 0; k < b->counts[p]; k++)
				common |= strcmp(a->sets[p][i],
				    b->sets[p][k]) == 0;
		if (!common)
			return true;
	}
	for (size_t i = 0; i < a->label_count; i++)
		for (size_t k = 0; k < b->label_count; k++)
			if (strcmp(a->labels[i].key, b->labels[k].key) == 0 &&
			    strcmp(a->labels[i].value, b->labels[k].value) != 0)
				return true;
	return false;
}

static bool
actions_apart(const struct rule *a, const struct rule *b)
{
	if (a->counts[ACTIONS] == 0 || b->counts[ACTIONS] == 0)
		return false;
	for (size_t i = 0; i < a->counts[ACTIONS]; i++)
		for (size_t k = 0; k < b->counts[ACTIONS]; k++) {
			const char *x = a->sets[ACTIONS][i],
			    *y = b->sets[ACTIONS][k], *of_x = x, *of_y = y;

			(void)ag_rules_action_group(x, &of_x);
			(void)ag_rules_action_group(y, &of_y);
			if (strcmp(x, y) == 0 || strcmp(of_x, y) == 0 ||
			    strcmp(x, of_y) == 0)
				return false;
		}
	return true;
}

/* The first that matches decides there; the strictest here. So a stricter rule
 * behind a milder one must never match together with it. */
static bool
check_order(struct importing *im)
{
	for (size_t k = 1; k < im->count; k++)
		for (size_t i = 0; i < k; i++) {
			const struct rule *first = &im->rules[i],
			    *then = &im->rules[k];

			if (then->effect <= first->effect ||
			    (import_is_default(then) && k + 1 == im->count) ||
			    apart(first, then) || actions_apart(first, then))
				continue;
			return import_wrong(im, &then->mark, "the order of %s and %s "
			    "matters: where both match, the first decides there "
			    "and the stricter one here; put %s first, or make "
			    "their conditions exclude each other", first->name,
			    then->name, then->name);
		}
	return true;
}

static bool
import_document(struct importing *im)
{
	yaml_node_t *root = yaml_document_get_root_node(im->document);
	static const yaml_mark_t top = { 0 };

	if (root == NULL)
		return import_wrong(im, &top, "it is empty; it has version and rules");
	if (!import_read(im, root))
		return false;
	if (im->count == 0 || (im->count == 1 && import_is_default(&im->rules[0])))
		return import_wrong(im, &root->start_mark, "it has no rules beside the "
		    "default; what nothing permits is denied anyway");
	return check_order(im);
}

/* libyaml takes time that grows with the square of the depth: half a minute for
 * 100 kB of "[". A document of rules is five deep. */
enum { DEPTH_MAX = 32 };

/* False: no memory. Mistakes are left to whoever reads it for good. */
static bool
is_shallow(struct importing *im, const char *text, size_t len, bool *shallow)
{
	yaml_parser_t parser;
	yaml_event_t event = { .type = YAML_NO_EVENT };
	unsigned depth = 0;

	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	for (bool end = false; !end && depth <= DEPTH_MAX;) {
		if (!yaml_parser_parse(&parser, &event))
			break;
		if (event.type == YAML_SEQUENCE_START_EVENT ||
		    event.type == YAML_MAPPING_START_EVENT)
			depth++;
		else if (event.type == YAML_SEQUENCE_END_EVENT ||
		    event.type == YAML_MAPPING_END_EVENT)
			depth--;
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	*shallow = depth <= DEPTH_MAX || import_wrong(im, &parser.mark,
	    "it is nested more than %d deep", DEPTH_MAX);
	yaml_parser_delete(&parser);
	return true;
}

bool
ag_import_yaml(const char *text, size_t len, struct ag_import *out)
{
	struct importing im = { .out = out };
	yaml_document_t document;
	yaml_parser_t parser;
	bool good = true, shallow;

	memset(out, 0, sizeof(*out));
	if (len > AG_RULES_TEXT_MAX)
		return !import_wrong(&im, &(yaml_mark_t){ 0 },
		    "it is too long; it has at most 262144 bytes");
	if (!is_shallow(&im, text, len, &shallow))
		return false;
	if (!shallow)
		return true;
	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &document)) {
		good = parser.error != YAML_MEMORY_ERROR;
		(void)import_wrong(&im, &parser.problem_mark, "it is no YAML: %s",
		    parser.problem == NULL ? "it cannot be read" :
		    parser.problem);
	} else {
		im.document = &document;
		if (import_document(&im))
			good = import_write(&im);
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	free(im.rules);
	return good;
}
