/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope texts: whatever is taken keeps within its bounds, means the same when
 * it is parsed again, and implies itself.
 */
#include "scope.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *text)
{
	struct ag_scope scope, again;
	size_t len = strlen(text);

	if (!ag_scope_parse(text, &scope))
		return;
	if (len > AG_SCOPE_TEXT_MAX || scope.op < text || scope.op >= text + len ||
	    strlen(scope.op) > AG_SCOPE_OP_MAX || scope.kind >= AG_SCOPE_KIND_COUNT ||
	    scope.name_at + (size_t)scope.name_len > len ||
	    scope.value_at + (size_t)scope.value_len > len ||
	    scope.name_len > AG_SCOPE_NAME_MAX || scope.value_len > AG_SCOPE_VALUE_MAX)
		abort();
	if (!ag_scope_parse(text, &again) || again.kind != scope.kind ||
	    again.select != scope.select || again.all_ops != scope.all_ops)
		abort();
	(void)ag_scope_op_known(&scope);
	/* Without a target it is everything of the kind: only * lets that. */
	if (ag_scope_matches(&scope, AG_SCOPE_KEY, "sign", NULL) &&
	    scope.select != AG_SELECT_ALL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check(text);
	free(text);
	return 0;
}
