/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies, sets, contexts and requests in JSON: the first byte says which.
 * Each is taken, or refused with a reason; a policy that is taken is written
 * again, and what was written is taken again and says the same.
 */
#include "cedar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 32 << 20 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static char *
written(const char *text, size_t len, bool all, bool wanted)
{
	struct ag_cedar_problem p = { 0 };
	struct ag_cedar_set *set;
	char *json = NULL;
	enum ag_cedar_err err;

	if (ag_cedar_set_new(MEMORY, &set) != AG_CEDAR_OK)
		return NULL;
	err = all ? ag_cedar_set_json_all(set, text, len, &p) :
	    ag_cedar_set_json(set, "p", text, len, &p);
	must(err == AG_CEDAR_OK || (p.text[0] != '\0' && !wanted));
	if (err == AG_CEDAR_OK && ag_cedar_set_compile(set) == AG_CEDAR_OK && !all)
		must(ag_cedar_policy_json(set, 0, &json) == AG_CEDAR_OK);
	ag_cedar_set_free(&set);
	return json;
}

static void
policy(const char *text, size_t len)
{
	char *once = written(text, len, false, false), *twice;

	if (once == NULL)
		return;
	twice = written(once, strlen(once), false, true);
	must(twice != NULL && strcmp(once, twice) == 0);
	free(once);
	free(twice);
}

static void
asked(const char *text, size_t len, bool whole)
{
	struct ag_cedar_problem p = { 0 };
	struct ag_cedar_arena arena;
	struct ag_cedar_request request;
	enum ag_cedar_err err;

	ag_cedar_arena_init(&arena, MEMORY);
	err = whole ? ag_cedar_request_json(&arena, text, len, &request, &p) :
	    ag_cedar_context_json(&arena, text, len, &request.context, &p);
	must(err == AG_CEDAR_OK || p.text[0] != '\0');
	ag_cedar_arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		policy(text, size - 1);
		break;
	case 1:
		free(written(text, size - 1, true, false));
		break;
	case 2:
		asked(text, size - 1, false);
		break;
	case 3:
		asked(text, size - 1, true);
		break;
	}
	return 0;
}
