/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backup files: as they come, and, when the first byte is even, the rest sealed
 * properly, so that the fuzzer gets past the seal to the entries.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ag_secret *master;
static struct backup_stream stream;

static void
setup(void)
{
	if (ag_secret_init() != AG_OK ||
	    ag_secret_copy("0123456789abcdef0123456789abcdef", 32, &master) != AG_OK)
		abort();
}

static char *
sealed(const uint8_t *data, size_t size, size_t *len)
{
	char *bytes = NULL;
	FILE *file = open_memstream(&bytes, len);

	if (file == NULL || backup_begin(&stream, file, master, NULL) != AG_OK ||
	    backup_put(&stream, data, size) != AG_OK || backup_end(&stream) != AG_OK)
		abort();
	backup_close(&stream);
	fclose(file);
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backup_sum sum;
	char why[512], *bytes;
	size_t len = size - 1;
	FILE *file;
	ag_err err;

	if (master == NULL)
		setup();
	if (size < 2)
		return 0;
	if (data[0] % 2 == 0) {
		bytes = sealed(data + 1, size - 1, &len);
	} else {
		bytes = malloc(len);
		memcpy(bytes, data + 1, len);
	}
	file = fmemopen(bytes, len, "r");
	if (file == NULL)
		abort();
	err = backup_look(&stream, file);
	if (err == AG_OK && (err = backup_unlock(&stream, master)) == AG_OK)
		err = backup_load(&stream, NULL, &sum, why, sizeof(why));
	/* What is taken has a journal whose rows are those it says. */
	if (err == AG_OK && sum.stores == 0)
		abort();
	backup_close(&stream);
	fclose(file);
	free(bytes);
	return 0;
}
