/* SPDX-License-Identifier: Apache-2.0 */
/* Each case in a child: there is no way out of a jail. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#if defined(__SANITIZE_ADDRESS__) || defined(AG_COVERAGE)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The first line of a child's check that did not hold is its exit status. */
#define HOLDS(e) do { if (!(e)) _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); } \
	while (0)

static void
in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("line ...%d does not hold", WEXITSTATUS(status));
}

static void *
nothing(void *arg)
{
	return arg;
}

static bool
denied(long rc)
{
	return rc == -1 && errno == EPERM;
}

/* What every jail refuses, and what every jail lets be. */
static void
every_jail(void)
{
	struct rlimit core;
	pthread_t t;
	uint8_t out[32];
	char *argv[] = { NULL };

	HOLDS(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	HOLDS(prctl(PR_GET_DUMPABLE) == 0);
	HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	HOLDS(pthread_create(&t, NULL, nothing, NULL) == 0);
	HOLDS(pthread_join(t, NULL) == 0);
	ag_sha256("x", 1, out);
	HOLDS(ag_secret_init() == AG_OK);
	if (SANITIZED)
		return;
	HOLDS(denied(execve("/bin/true", argv, argv)));
	HOLDS(denied(fork()));
	HOLDS(denied(vfork()));
	HOLDS(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	HOLDS(denied(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
	HOLDS(denied(ptrace(PTRACE_TRACEME, 0, 0, 0)));
	HOLDS(denied(unshare(CLONE_NEWUSER)));
	HOLDS(denied(syscall(SYS_bpf, 0, 0, 0)));
	HOLDS(denied(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0)));
	HOLDS(denied(syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0)));
	HOLDS(denied(syscall(SYS_io_uring_setup, 1, NULL)));
	HOLDS(denied(kill(getppid(), 0)));
	HOLDS(kill(getpid(), 0) == 0);
	HOLDS(pthread_kill(pthread_self(), 0) == 0);
}

/* A line is heard by whoever comes after us; its filters and ends are not ours. */
static void
lines_stay(bool may_end_its_own_way)
{
	int pair[2], on = 1;

	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	HOLDS(denied(setsockopt(pair[0], SOL_SOCKET, SO_LOCK_FILTER, &on,
	    sizeof(on))));
	HOLDS(denied(setsockopt(pair[0], SOL_SOCKET, SO_ATTACH_FILTER, &on,
	    sizeof(on))));
	HOLDS(denied(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &on,
	    sizeof(on))));
	HOLDS(setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0);
	HOLDS(denied(shutdown(pair[0], SHUT_RD)));
	HOLDS(denied(shutdown(pair[0], SHUT_RDWR)));
	HOLDS(may_end_its_own_way ? shutdown(pair[0], SHUT_WR) == 0 :
	    denied(shutdown(pair[0], SHUT_WR)));
	close(pair[0]);
	close(pair[1]);
}

/* A peer on the bus that comes late, as after a broker's restart. */
static void
bus_works(void)
{
	char endpoint[64], got[4];
	void *context = zmq_ctx_new();
	void *a = zmq_socket(context, ZMQ_DEALER);
	void *b = zmq_socket(context, ZMQ_DEALER);

	snprintf(endpoint, sizeof(endpoint), "ipc:///tmp/aegis-jail-%d", getpid());
	HOLDS(zmq_connect(a, endpoint) == 0);
	HOLDS(zmq_send(a, "hi", 2, 0) == 2);
	HOLDS(zmq_bind(b, endpoint) == 0);
	HOLDS(zmq_recv(b, got, sizeof(got), 0) == 2);
	zmq_close(a);
	zmq_close(b);
	zmq_ctx_term(context);
	unlink(endpoint + 6);
}

static void
pure(void)
{
	HOLDS(ag_jail_enter("PURE") == AG_OK);
	every_jail();
	bus_works();
	if (SANITIZED)
		return;
	lines_stay(false);
	HOLDS(denied(socket(AF_INET, SOCK_STREAM, 0)));
	HOLDS(denied(socket(AF_INET6, SOCK_DGRAM, 0)));
	HOLDS(denied(socket(AF_NETLINK, SOCK_RAW, 0)));
	HOLDS(open("/dev/null", O_RDONLY) >= 0);
	HOLDS(denied(open("/tmp/aegis-jail-x", O_WRONLY | O_CREAT, 0600)));
	HOLDS(denied(open("/dev/null", O_RDWR)));
	HOLDS(denied(rename("/tmp/aegis-jail-x", "/tmp/aegis-jail-y")));
	HOLDS(denied(mkdir("/tmp/aegis-jail-x", 0700)));
}

static void
listener(void)
{
	int fd;

	HOLDS(ag_jail_enter("LISTENER") == AG_OK);
	every_jail();
	bus_works();
	HOLDS((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	HOLDS(listen(fd, 5) == 0);
	if (SANITIZED)
		return;
	lines_stay(true);
	HOLDS(denied(open("/tmp/aegis-jail-x", O_RDONLY | O_CREAT, 0600)));
	HOLDS(denied(open("/etc/passwd", O_RDWR)));
}

static void
writer(void)
{
	static const char *const tables[] = { "t", NULL };
	char dir[] = "/tmp/aegis-jail-XXXXXX";
	struct ag_db *db;

	HOLDS(mkdtemp(dir) != NULL);
	HOLDS(ag_jail_enter("WRITER") == AG_OK);
	every_jail();
	bus_works();
	HOLDS(ag_db_open(dir, tables, 1 << 20, &db) == AG_OK);
	HOLDS(ag_db_put(db, 0, "k", 1, "v", 1) == AG_OK);
	HOLDS(ag_db_commit(db) == AG_OK);
	ag_db_close(&db);
	HOLDS(ag_db_wipe(dir) == AG_OK && rmdir(dir) == 0);
}

/* A library's thread that runs already is in it, too. */
static int go[2], done[2];

static void *
early_thread(void *arg)
{
	char c;

	if (read(go[0], &c, 1) != 1)
		return NULL;
	c = (char)(denied(fork()) ? 1 : 0);
	return write(done[1], &c, 1) == 1 ? arg : NULL;
}

static void
threads_from_before(void)
{
	pthread_t t;
	char c = 0;

	if (SANITIZED)
		return;
	HOLDS(pipe(go) == 0 && pipe(done) == 0);
	HOLDS(pthread_create(&t, NULL, early_thread, NULL) == 0);
	HOLDS(ag_jail_enter("PURE") == AG_OK);
	HOLDS(write(go[1], "x", 1) == 1);
	HOLDS(read(done[0], &c, 1) == 1);
	HOLDS(c == 1);
}

static void
unknown(void)
{
	HOLDS(ag_jail_enter("OPEN") == AG_USAGE);
	ag_jail_early();
	HOLDS(prctl(PR_GET_DUMPABLE) == 0);
}

#define CASE(name) \
	static void test_##name(void **state) { (void)state; in_child(name); }
CASE(pure)
CASE(listener)
CASE(writer)
CASE(threads_from_before)
CASE(unknown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pure),
		cmocka_unit_test(test_listener),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_threads_from_before),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
