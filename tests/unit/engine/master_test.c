/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master key's file: plain, locked, damaged, half written; what is derived
 * from the key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/master.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCKED_BYTES = 105, KDF_AT = 8 };

static char dir[64], path[96];
static const char *why;

static struct ag_secret *
secret(const char *text)
{
	struct ag_secret *s = NULL;

	assert_int_equal(ag_secret_copy(text, strlen(text), &s), AG_OK);
	return s;
}

/* The least that a file may ask for: tests need no 256 MiB. */
static void
cheap_kdf(uint8_t kdf[AG_MASTER_KDF_BYTES])
{
	ag_master_kdf_new(kdf);
	memcpy(kdf + 1, "\0\0\0\1\0\0\x20\0", 8);
}

static struct ag_master_lock
lock_with(const char *passphrase, const uint8_t *kdf)
{
	struct ag_master_lock lock = { .key = NULL };
	struct ag_secret *s = secret(passphrase);

	if (kdf != NULL)
		memcpy(lock.kdf, kdf, AG_MASTER_KDF_BYTES);
	else
		cheap_kdf(lock.kdf);
	assert_int_equal(ag_master_lock_open(&lock, s), AG_OK);
	ag_secret_free(&s);
	return lock;
}

static struct ag_secret *
a_master(void)
{
	return secret("0123456789abcdef0123456789abcdef");
}

static size_t
read_file(uint8_t *out, size_t size)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

static int
setup(void **state)
{
	strcpy(dir, "/tmp/aegis-master-XXXXXX");
	if (mkdtemp(dir) == NULL || ag_secret_init() != AG_OK)
		return -1;
	snprintf(path, sizeof(path), "%s/master.key", dir);
	return 0;
}

static int
teardown(void **state)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void
test_plain(void **state)
{
	struct ag_secret *master = a_master(), *got;
	uint8_t kdf[AG_MASTER_KDF_BYTES];
	bool locked = true;
	struct stat st;

	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_ITEM_NOT_FOUND);
	assert_int_equal(ag_master_write(path, NULL, master), AG_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, AG_MASTER_BYTES);
	assert_int_equal(ag_master_look(path, &locked, kdf, &why), AG_OK);
	assert_false(locked);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_OK);
	assert_memory_equal(ag_secret_bytes(got), ag_secret_bytes(master), AG_MASTER_BYTES);
	ag_secret_free(&got);
	/* Never over one that is there. */
	assert_int_equal(ag_master_write(path, NULL, master), AG_IO);
	assert_int_equal(errno, EEXIST);
	ag_secret_free(&master);
}

static void
test_locked(void **state)
{
	struct ag_master_lock lock = lock_with("correct horse", NULL);
	struct ag_master_lock wrong = lock_with("battery staple", lock.kdf);
	struct ag_secret *master = a_master(), *got = NULL;
	uint8_t kdf[AG_MASTER_KDF_BYTES], bytes[256];
	bool locked = false;

	assert_int_equal(ag_master_write(path, &lock, master), AG_OK);
	assert_int_equal(read_file(bytes, sizeof(bytes)), LOCKED_BYTES);
	assert_null(memmem(bytes, LOCKED_BYTES, ag_secret_bytes(master), 8));
	assert_int_equal(ag_master_look(path, &locked, kdf, &why), AG_OK);
	assert_true(locked);
	assert_memory_equal(kdf, lock.kdf, sizeof(kdf));
	assert_int_equal(ag_master_read(path, &lock, &got, &why), AG_OK);
	assert_memory_equal(ag_secret_bytes(got), ag_secret_bytes(master), AG_MASTER_BYTES);
	ag_secret_free(&got);
	assert_int_equal(ag_master_read(path, &wrong, &got, &why), AG_UNAUTHENTICATED);
	assert_null(got);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_UNAUTHENTICATED);
	/* The right passphrase with another salt is another key. */
	ag_master_lock_free(&wrong);
	wrong = lock_with("correct horse", NULL);
	assert_int_equal(ag_master_read(path, &wrong, &got, &why), AG_UNAUTHENTICATED);
	ag_master_lock_free(&wrong);
	ag_master_lock_free(&lock);
	ag_secret_free(&master);
}

/* Every byte of a locked file counts. */
static void
test_every_byte_is_bound(void **state)
{
	struct ag_master_lock lock = lock_with("correct horse", NULL);
	struct ag_secret *master = a_master(), *got = NULL;
	uint8_t bytes[LOCKED_BYTES];
	int fd;

	assert_int_equal(ag_master_write(path, &lock, master), AG_OK);
	read_file(bytes, sizeof(bytes));
	fd = open(path, O_WRONLY);
	for (int i = 0; i < LOCKED_BYTES; i++) {
		uint8_t bent = bytes[i] ^ 0x40;

		assert_int_equal(pwrite(fd, &bent, 1, i), 1);
		assert_int_not_equal(ag_master_read(path, &lock, &got, &why), AG_OK);
		assert_null(got);
		assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
	}
	close(fd);
	assert_int_equal(ag_master_read(path, &lock, &got, &why), AG_OK);
	ag_secret_free(&got);
	ag_master_lock_free(&lock);
	ag_secret_free(&master);
}

/* A file must not make us compute for an hour, nor hardly at all. */
static void
test_hostile_parameters(void **state)
{
	static const char *const bad[] = {
		"\2\0\0\0\3\0\4\0\0", "\1\0\0\0\0\0\4\0\0", "\1\0\0\0\x11\0\4\0\0",
		"\1\0\0\0\3\0\0\x1f\xff", "\1\0\0\0\3\0\x10\0\1", "\1\xff\xff\xff\xff\xff\xff\xff\xff",
	};
	struct ag_secret *passphrase = secret("correct horse");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ag_master_lock lock = { .key = NULL };

		memcpy(lock.kdf, bad[i], 9);
		assert_int_equal(ag_master_lock_open(&lock, passphrase), AG_CORRUPT);
		assert_null(lock.key);
	}
	ag_secret_free(&passphrase);
}

static void
test_unusable_files(void **state)
{
	struct ag_secret *master = a_master(), *got;
	int fd;

	assert_int_equal(ag_master_write(path, NULL, master), AG_OK);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_USAGE);
	assert_non_null(strstr(why, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_WRONLY);
	assert_int_equal(ftruncate(fd, 31), 0);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_USAGE);
	assert_int_equal(ftruncate(fd, LOCKED_BYTES), 0); /* without the magic */
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_USAGE);
	close(fd);
	unlink(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_USAGE);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_USAGE);
	ag_secret_free(&master);
}

/* From plain to locked and back; the old bytes are nowhere in the folder. */
static void
test_replace(void **state)
{
	struct ag_master_lock lock = lock_with("correct horse", NULL);
	struct ag_secret *master = a_master(), *got;
	char old[128], command[256];

	snprintf(old, sizeof(old), "%s.old", path);
	assert_int_equal(ag_master_write(path, NULL, master), AG_OK);
	assert_int_equal(ag_master_replace(path, &lock, master), AG_OK);
	assert_int_equal(ag_master_read(path, &lock, &got, &why), AG_OK);
	ag_secret_free(&got);
	snprintf(command, sizeof(command), "! grep -rq 0123456789abcdef '%s'", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(access(old, F_OK), -1);
	/* One that died when the old key had its second name: that is the key. */
	assert_int_equal(link(path, old), 0);
	assert_int_equal(ag_master_replace(path, NULL, master), AG_OK);
	assert_int_equal(ag_master_read(path, NULL, &got, &why), AG_OK);
	assert_memory_equal(ag_secret_bytes(got), ag_secret_bytes(master), AG_MASTER_BYTES);
	ag_secret_free(&got);
	/* One that died after the new key had its name: the old one goes. */
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(ag_master_write(path, &lock, master), AG_OK);
	assert_int_equal(ag_master_replace(path, &lock, master), AG_OK);
	assert_int_equal(system(command), 0);
	ag_master_lock_free(&lock);
	ag_secret_free(&master);
}

/* RFC 5869, test case 1. */
static void
test_derive_known_answer(void **state)
{
	static const uint8_t salt[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	static const uint8_t want[] = { 0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90,
		0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a };
	struct ag_secret *ikm;
	uint8_t out[16], other[16];

	assert_int_equal(ag_secret_new(22, &ikm), AG_OK);
	memset(ag_secret_bytes(ikm), 0x0b, 22);
	assert_int_equal(ag_master_derive(ikm, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", salt,
	    sizeof(salt), out, sizeof(out)), AG_OK);
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(ag_master_derive(ikm, "another purpose", salt, sizeof(salt), other,
	    sizeof(other)), AG_OK);
	assert_memory_not_equal(out, other, sizeof(out));
	ag_secret_free(&ikm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_byte_is_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_parameters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unusable_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_derive_known_answer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
