/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration text: parsed, or refused with a message; what is taken passes
 * through the form that children get and comes out the same.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ag_config *config, *child;
	char message[256], *text, *again;
	ag_err err = ag_config_parse("f", (const char *)data, size, &config,
	    message, sizeof(message));

	if (err != AG_OK) {
		/* Every refusal says where and what. */
		if (err == AG_USAGE && strncmp(message, "f:", 2) != 0)
			abort();
		return 0;
	}
	if (ag_config_pack(config, &text) != AG_OK ||
	    ag_config_unpack(text, &child) != AG_OK ||
	    ag_config_pack(child, &again) != AG_OK || strcmp(text, again) != 0)
		abort();
	free(text);
	free(again);
	ag_config_free(&child);
	ag_config_free(&config);
	return 0;
}
