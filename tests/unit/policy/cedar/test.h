/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the Cedar engine share. */
#ifndef TEST_CEDAR_H
#define TEST_CEDAR_H

#include "cedar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TEST_MEMORY = 16 << 20 };

/* A policy whose only condition is what is written as `W { … };`. */
static inline const char *
test_policy(const char *text, char *room, size_t size)
{
	if (strncmp(text, "W {", 3) != 0)
		return text;
	(void)snprintf(room, size, "permit(principal,action,resource) when %s",
	    text + 2);
	return room;
}

static inline struct ag_cedar_str
test_str(const char *text)
{
	return (struct ag_cedar_str){ text, strlen(text) };
}

static inline struct ag_cedar_uid
test_uid(const char *type, const char *id)
{
	return ag_cedar_uid(test_str(type), test_str(id));
}

/* A set of the policies, compiled; the test fails if it cannot be. */
static inline struct ag_cedar_set *
test_set(const char *text)
{
	struct ag_cedar_set *set;
	struct ag_cedar_problem p;

	assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
	if (ag_cedar_set_text(set, "policy", text, strlen(text), &p) !=
	    AG_CEDAR_OK)
		fail_msg("%u:%u %s", p.line, p.column, p.text);
	assert_int_equal(ag_cedar_set_compile(set), AG_CEDAR_OK);
	return set;
}

static inline struct ag_cedar_entities *
test_entities(const char *json)
{
	struct ag_cedar_entities *e;
	struct ag_cedar_problem p;

	assert_int_equal(ag_cedar_entities_new(TEST_MEMORY, &e), AG_CEDAR_OK);
	if (ag_cedar_entities_json(e, NULL, json, strlen(json), &p) !=
	    AG_CEDAR_OK || ag_cedar_entities_close(e, &p) != AG_CEDAR_OK)
		fail_msg("%s", p.text);
	return e;
}

#endif
