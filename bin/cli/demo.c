/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis demo NAME: a story on a fleet of its own, told by the commands that a
 * user would type. Each is shown, run as a process of its own, and must end as
 * the story says; anything else ends the demo with status 1. Nothing is left.
 */
#include "cli.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WORDS_MAX = 24,
	SAID_MAX = 16384,
	STEP_S = 30, /* of RFC 6238 */
	CODE_SIZE = 16,
};

struct demo {
	char dir[64];    /* everything is in here, and goes with it */
	char said[SAID_MAX]; /* by the last command, both streams */
	bool failed, up, quiet;
};

/* ------------------------------------------------------------------ commands */

static void
child(struct demo *d, int to, const char *const *words)
{
	const char *argv[WORDS_MAX + 2] = { "aegis" };
	char state[96], home[96];

	(void)snprintf(state, sizeof(state), "%s/state", d->dir);
	(void)snprintf(home, sizeof(home), "%s/home", d->dir);
	for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++)
		argv[i + 1] = words[i];
	if (chdir(d->dir) != 0 || setenv("AEGIS_STATE", state, 1) != 0 ||
	    setenv("XDG_CONFIG_HOME", home, 1) != 0 ||
	    setenv("NO_COLOR", "1", 1) != 0 ||
	    unsetenv("AEGIS_TOKEN_FILE") != 0 || unsetenv("AEGIS_SERVER") != 0 ||
	    unsetenv("AEGIS_CONTEXT") != 0 || unsetenv("AEGIS_CA_FILE") != 0 ||
	    dup2(to, STDOUT_FILENO) < 0 || dup2(to, STDERR_FILENO) < 0)
		_exit(CLI_FAULT);
	(void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(CLI_FAULT);
}

static void
show(const struct demo *d, const char *const *words)
{
	if (d->quiet)
		return;
	fputs("$ aegis", stdout);
	for (size_t i = 0; words[i] != NULL; i++) {
		bool quote = strpbrk(words[i], " *:") != NULL;

		fputs(quote ? " '" : " ", stdout);
		cli_put(stdout, words[i]);
		fputs(quote ? "'" : "", stdout);
	}
	fputc('\n', stdout);
	(void)fflush(stdout);
}

static int
run(struct demo *d, const char *const *words)
{
	size_t used = 0;
	int pipes[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		child(d, pipes[1], words);
	(void)close(pipes[1]);
	while (pid > 0 && used < sizeof(d->said) - 1 && ((n = read(pipes[0],
	    d->said + used, sizeof(d->said) - 1 - used)) > 0 ||
	    (n < 0 && errno == EINTR)))
		used += n > 0 ? (size_t)n : 0;
	d->said[used] = '\0';
	(void)close(pipes[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
repeat(const char *said)
{
	char line[512];

	while (*said != '\0') {
		size_t len = strcspn(said, "\n");

		(void)snprintf(line, sizeof(line), "%.*s", (int)len, said);
		fputs("    ", stdout);
		cli_put(stdout, line);
		fputc('\n', stdout);
		said += len + (said[len] == '\n');
	}
}

/* One command of the story; after a failure nothing more is run. shown: what
 * it says is part of the story. */
static void
act(struct demo *d, int want, bool shown, const char *const *words)
{
	int got;

	if (d->failed)
		return;
	show(d, words);
	got = run(d, words);
	if ((shown || got != want) && !d->quiet)
		repeat(d->said);
	if (got == want)
		return;
	d->failed = true;
	(void)cli_fail(CLI_NO, "the demo stops: exit %d, not %d", got, want);
}
#define ACT(d, want, shown, ...) \
	act(d, want, shown, (const char *const[]){ __VA_ARGS__, NULL })

static void
tell(const struct demo *d, const char *text)
{
	if (!d->failed && !d->quiet)
		printf("\n%s\n", text);
}

/* ---------------------------------------------------------------- the story */

static void
write_file(struct demo *d, const char *name, const char *text)
{
	char path[128];
	FILE *out;
	int fd;

	if (d->failed)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", d->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	d->failed = out == NULL || fputs(text, out) == EOF;
	if (out == NULL || fclose(out) != 0 || d->failed) {
		d->failed = true;
		(void)cli_fail(CLI_NO, "%s: %s", path, strerror(errno));
	}
}

/* What Alice's telephone would do (RFC 4648, 6238); steps: from now. */
static void
totp(struct demo *d, const char *base32, int steps, char code[CODE_SIZE])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint64_t step = (uint64_t)(time(NULL) / STEP_S + steps);
	uint8_t key[64], at[8], mac[EVP_MAX_MD_SIZE];
	unsigned bits = 0, held = 0, mac_len = 0;
	size_t len = 0;

	for (; *base32 != '\0' && len < sizeof(key); base32++) {
		const char *p = strchr(alphabet, *base32);

		if (p == NULL)
			break;
		held = held << 5 | (unsigned)(p - alphabet);
		if ((bits += 5) >= 8)
			key[len++] = (uint8_t)(held >> (bits -= 8));
	}
	for (unsigned i = 0; i < sizeof(at); i++)
		at[i] = (uint8_t)(step >> (56 - 8 * i));
	if (HMAC(EVP_sha1(), key, (int)len, at, sizeof(at), mac, &mac_len) ==
	    NULL || mac_len != 20) {
		d->failed = true;
		return;
	}
	held = (unsigned)(mac[19] & 15);
	bits = (mac[held] & 0x7fU) << 24 | (unsigned)mac[held + 1] << 16 |
	    (unsigned)mac[held + 2] << 8 | mac[held + 3];
	(void)snprintf(code, CODE_SIZE, "%06u", bits % 1000000);
	ag_wipe(key, sizeof(key));
}

/* The value after "name":" in what was said; of one's own answers only. */
static void
member(struct demo *d, const char *before, const char *ends, char *out,
    size_t size)
{
	const char *at = d->failed ? NULL : strstr(d->said, before);

	out[0] = '\0';
	if (at != NULL)
		(void)snprintf(out, size, "%.*s", (int)strcspn(at +
		    strlen(before), ends), at + strlen(before));
	if (out[0] == '\0' && !d->failed) {
		d->failed = true;
		(void)cli_fail(CLI_NO, "the demo stops: there is no %s", before);
	}
}

static void
people(struct demo *d)
{
	char secret[64], code[CODE_SIZE] = "";

	tell(d, "Alice leads payroll, and has a second factor. Bob runs the clerk.");
	ACT(d, 0, false, "role", "set", "payroll-leads", "--scope",
	    "system:*:approve");
	ACT(d, 0, false, "principal", "create", "alice", "--kind", "human",
	    "--role", "payroll-leads");
	ACT(d, 0, false, "principal", "token", "alice", "--out", "alice.token");
	ACT(d, 0, false, "principal", "totp", "alice", "--token-file",
	    "alice.token", "--json");
	member(d, "\"secret_b32\":\"", "\"", secret, sizeof(secret));
	totp(d, secret, -1, code);
	ACT(d, 0, false, "principal", "totp", "alice", "--confirm", code,
	    "--token-file", "alice.token");
	totp(d, secret, 0, code);
	write_file(d, "code", code);
	ACT(d, 0, false, "principal", "create", "bob", "--kind", "human",
	    "--role", "key-user", "--role", "agent-issuer");
	ACT(d, 0, false, "principal", "token", "bob", "--out", "bob.token");
	ag_wipe(secret, sizeof(secret));
}

static void
things(struct demo *d)
{
	tell(d, "A key for salaries, which agents decrypt with only if a lead agrees.");
	write_file(d, "salaries.txt", "everybody gets more\n");
	write_file(d, "payroll.cedar", "permit (principal, action, resource);\n"
	    "@id(\"payroll\") @approval(\"payroll-leads\")\n"
	    "permit (principal is Aegis::Agent, action == "
	    "Aegis::Action::\"key.decrypt\", resource)\n"
	    "when { resource == Aegis::Key::\"payroll\" };\n");
	ACT(d, 0, false, "key", "create", "payroll", "--spec", "AES_256",
	    "--activate");
	ACT(d, 0, false, "key", "encrypt", "payroll", "--in", "salaries.txt",
	    "--out", "salaries.sealed");
	ACT(d, 0, true, "policy", "push", "payroll.cedar", "--reason",
	    "payroll needs a lead", "--yes");
	ACT(d, 0, false, "agent", "issue", "--scope", "key:payroll:decrypt",
	    "--label", "clerk", "--token-file", "bob.token", "--out",
	    "clerk.token");
}

static void
compare(struct demo *d)
{
	char path[128], line[64] = "";
	FILE *in;

	(void)snprintf(path, sizeof(path), "%s/salaries.open", d->dir);
	in = fopen(path, "r");
	if (in == NULL || fgets(line, sizeof(line), in) == NULL ||
	    strcmp(line, "everybody gets more\n") != 0) {
		d->failed = true;
		(void)cli_fail(CLI_NO, "the demo stops: that is not what was "
		    "encrypted");
	}
	if (in != NULL)
		(void)fclose(in);
}

static void
story(struct demo *d)
{
	char id[64], approval[72];

	people(d);
	things(d);
	tell(d, "The clerk, an agent of Bob's, wants to decrypt: people are asked.");
	ACT(d, CLI_DENIED, true, "key", "decrypt", "payroll", "--in",
	    "salaries.sealed", "--out", "salaries.open", "--why", "month end",
	    "--token-file", "clerk.token");
	member(d, "Aegis-Approval: apr_", " \n", approval, sizeof(approval));
	(void)snprintf(id, sizeof(id), "apr_%.40s", approval);
	tell(d, "Bob stands above the clerk: he cannot say yes. Alice can.");
	ACT(d, CLI_DENIED, true, "approval", "approve", id, "--token-file",
	    "bob.token");
	ACT(d, 0, true, "approval", "show", id, "--token-file", "alice.token");
	ACT(d, 0, true, "approval", "approve", id, "--comment", "fine",
	    "--code-file", "code", "--token-file", "alice.token");
	tell(d, "The clerk asks again, with the approval: once, and not twice.");
	ACT(d, 0, true, "key", "decrypt", "payroll", "--in", "salaries.sealed",
	    "--out", "salaries.open", "--approval", id, "--token-file",
	    "clerk.token");
	if (!d->failed)
		compare(d);
	ACT(d, CLI_DENIED, true, "key", "decrypt", "payroll", "--in",
	    "salaries.sealed", "--out", "again.open", "--approval", id,
	    "--token-file", "clerk.token");
	if (!d->failed && strstr(d->said, "ApprovalRequired/used") == NULL) {
		d->failed = true;
		(void)cli_fail(CLI_NO, "the demo stops: that was not the reason");
	}
	tell(d, "What the audit log says of it:");
	ACT(d, 0, true, "audit", "--operation", "key.decrypt", "--limit", "3");
	ACT(d, 0, true, "audit", "--operation", "approval.approve", "--limit",
	    "3");
}

/* --------------------------------------------------------------- the fleet */

static int
drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static enum cli_exit
demo_approvals(struct cli *cli)
{
	struct demo *d = calloc(1, sizeof(*d));
	const char *tmp = getenv("TMPDIR");
	bool failed;

	if (d == NULL)
		return cli_fail(CLI_FAULT, "out of memory");
	d->quiet = cli->quiet;
	if (tmp == NULL || strlen(tmp) > sizeof(d->dir) - 24)
		tmp = "/tmp";
	(void)snprintf(d->dir, sizeof(d->dir), "%s/aegis-demo-XXXXXX", tmp);
	if (mkdtemp(d->dir) == NULL) {
		free(d);
		return cli_fail(CLI_NO, "%s: no folder can be made there: %s", tmp,
		    strerror(errno));
	}
	tell(d, "A fleet on its defaults, in a folder of its own.");
	ACT(d, 0, false, "up", "--detach", "--listen", "127.0.0.1:0");
	d->up = !d->failed;
	story(d);
	failed = d->failed;
	d->failed = !d->up;
	ACT(d, 0, false, "down");
	failed |= d->failed;
	if (chdir("/") != 0 || nftw(d->dir, drop, 16, FTW_DEPTH | FTW_PHYS) != 0)
		failed = cli_fail(CLI_NO, "%s could not be removed", d->dir) != CLI_OK;
	free(d);
	if (failed)
		return CLI_NO;
	puts("demo: asked once, approved by alice, 1 succeeded, 1 refused");
	return CLI_OK;
}

const struct cli_verb cli_verbs_demo[] = {
	{ "demo", "approvals", NULL, NULL, NULL, CLI_SILENT, NULL, demo_approvals,
	    "an agent asks, a person agrees, it works once", NULL, NULL },
	{ 0 },
};
