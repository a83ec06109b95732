/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that was damaged on disk: noticed, thrown away, rebuilt.
 */
#include "test.h"

#include <aegis/kit.h>

#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned loaded;

static bool
count_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	(void)arg;
	(void)key;
	(void)key_len;
	(void)value;
	(void)value_len;
	loaded++;
	return true;
}

static ag_err
keeper_init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	loaded = 0;
	return ag_store_scan(ctx, 0, NULL, 0, count_row, NULL);
}

static const char *const tables[] = { "rows", NULL };
static const struct ag_actor keeper = {
	.name = "inventory", .init = keeper_init, .tables = tables,
};

/* Flips one byte of the value wherever it stands in the environment's file. */
static void
damage(const char *dir, const char *value)
{
	char path[600], *bytes, *at;
	size_t len = strlen(value), size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/snapshots/inventory/data.mdb", dir);
	file = fopen(path, "r+b");
	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = (size_t)ftell(file);
	bytes = malloc(size);
	rewind(file);
	assert_int_equal(fread(bytes, 1, size, file), size);
	at = memmem(bytes, size, value, len);
	assert_non_null(at);
	fseek(file, at - bytes, SEEK_SET);
	fputc(at[0] ^ 1, file);
	fclose(file);
	free(bytes);
}

static void
a_damaged_snapshot_is_discarded(void **state)
{
	char dir[] = "/tmp/aegis-snapshot-XXXXXX";
	static const char value[] = "a value that is long enough to be found";
	struct ag_kit *kit;

	(void)state;
	assert_non_null(mkdtemp(dir));
	kit = ag_kit_new(&keeper, NULL, dir);
	assert_int_equal(loaded, 0);
	assert_int_equal(ag_store_put(ag_kit_ctx(kit), 0, "k", 1, value,
	    strlen(value)), AG_OK);
	ag_kit_free(&kit);

	kit = ag_kit_new(&keeper, NULL, dir);
	assert_int_equal(loaded, 1);
	ag_kit_free(&kit);

	damage(dir, value);
	kit = ag_kit_new(&keeper, NULL, dir);
	assert_int_equal(loaded, 0);
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_snapshot_is_discarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
