/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static void
boot_init(Ag__Boot *boot, Ag__BootRow *self)
{
	ag__boot_row__init(self);
	self->slot = 3;
	self->name = (char *)"keys.1";
	self->role = (char *)"keys";
	ag__boot__init(boot);
	boot->self = self;
	boot->state_dir = (char *)"/s";
	boot->run_dir = (char *)"/s/run";
	boot->config = (char *)"";
	boot->jail = (char *)"WRITER";
}

static void *
write_slowly(void *arg)
{
	int fd = *(int *)arg;
	Ag__Boot boot;
	Ag__BootRow self;
	char *big = calloc(1, 600000);

	memset(big, 'c', 599999); /* more than a socket's buffer */
	boot_init(&boot, &self);
	boot.config = big;
	if (ag_boot_write(fd, &boot) != AG_OK)
		abort();
	free(big);
	return NULL;
}

static void
told_and_answered(void **state)
{
	char line[16] = { 0 };
	pthread_t writer;
	Ag__Boot *got;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_slowly, &fd[0]), 0);
	assert_int_equal(ag_boot_read(fd[1], &got), AG_OK);
	pthread_join(writer, NULL);
	assert_string_equal(got->self->name, "keys.1");
	assert_int_equal(strlen(got->config), 599999);
	ag__boot__free_unpacked(got, NULL);
	assert_int_equal(ag_boot_tell(fd[1], "ready"), AG_OK);
	assert_int_equal(read(fd[0], line, sizeof(line)), 6);
	assert_string_equal(line, "ready\n");
	close(fd[0]);
	/* The supervisor is gone: an error, no signal. */
	assert_int_equal(ag_boot_tell(fd[1], "ready"), AG_NOBODY);
	assert_int_equal(ag_boot_read(fd[1], &got), AG_NOBODY);
	close(fd[1]);
}

static void
bad_boots(void **state)
{
	static const struct { const char *bytes; size_t len; ag_err err; } bad[] = {
		{ "", 0, AG_NOBODY },
		{ "\1\0", 2, AG_NOBODY },
		{ "\0\0\0\0", 4, AG_BAD_MESSAGE },
		{ "\1\0\x10\0", 4, AG_BAD_MESSAGE },    /* 1 MiB and one */
		{ "\xff\xff\xff\xff", 4, AG_BAD_MESSAGE },
		{ "\2\0\0\0\xff\xff", 6, AG_BAD_MESSAGE },
		{ "\5\0\0\0\1", 5, AG_NOBODY },
	};
	Ag__Boot *got;
	int fd[2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pipe(fd), 0);
		assert_int_equal(write(fd[1], bad[i].bytes, bad[i].len),
		    bad[i].len);
		close(fd[1]);
		assert_int_equal(ag_boot_read(fd[0], &got), bad[i].err);
		assert_null(got);
		close(fd[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_and_answered),
		cmocka_unit_test(bad_boots),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
