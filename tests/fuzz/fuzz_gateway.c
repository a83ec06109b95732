/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tool server answers, as one message or as a stream of events, and what
 * passes of it: the secret in no string of it, and no member that is configured
 * away.
 */
#include "gateway.h"
#include "sieve.h"

#include <stdlib.h>
#include <string.h>

#define SECRET "hush-hush"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const json_t *value)
{
	const char *name;
	json_t *its;
	size_t i;

	if (json_is_string(value) &&
	    memmem(json_string_value(value), json_string_length(value), SECRET,
	    sizeof(SECRET) - 1) != NULL)
		abort();
	json_object_foreach((json_t *)(uintptr_t)value, name, its) {
		if (strstr(name, SECRET) != NULL || (strcmp(name, "pin") == 0 &&
		    strcmp(json_string_value(its), "[redacted]") != 0))
			abort();
		check(its);
	}
	json_array_foreach(value, i, its)
		check(its);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sieve sieve = { .fields = { "pin" }, .field_count = 1,
		.secret = SECRET, .secret_len = sizeof(SECRET) - 1 };
	struct misfit misfit;
	json_t *root, *schema;

	if (size < 1)
		return 0;
	root = wire_answer((const char *)data + 1, size - 1, data[0] & 1, 7);
	if (root == NULL)
		return 0;
	schema = json_object_get(root, "result");
	if (json_is_object(schema) && schema_unfit(schema) == NULL)
		arguments_fit(schema, root, &misfit);
	root = sieve_value(&sieve, root);
	if (!sieve.failed)
		check(root);
	json_decref(root);
	return 0;
}
