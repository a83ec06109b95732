/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: run/control.sock, where `aegis status`, `down` and `actor enroll`
 * speak to the supervisor: one JSON object in, one out, a line each. Whoever
 * is not our uid or root (SO_PEERCRED) is not heard, and no process of the
 * fleet's own is: what took over a plane is not to ask for an admin's token.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { CLIENTS_WAITING = 8, ANSWER_TIMEOUT_S = 1 };

int
ag_control_open(struct supervisor *sup)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int n = snprintf(at.sun_path, sizeof(at.sun_path), "%s/control.sock",
	    sup->run_dir);

	for (int i = 0; i < CLIENTS_MAX; i++)
		sup->clients[i].fd = -1;
	sup->control_fd = socket(AF_UNIX,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n >= (int)sizeof(at.sun_path) || sup->control_fd < 0 ||
	    bind(sup->control_fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    chmod(at.sun_path, 0600) != 0 ||
	    listen(sup->control_fd, CLIENTS_WAITING) != 0) {
		ag_sup_complain("up", "%s: %s", at.sun_path, strerror(errno));
		return EXIT_FAULT;
	}
	return EXIT_YES;
}

/* In its jail it starts no other process that could ask for it. */
static bool
is_ours(const struct supervisor *sup, pid_t pid)
{
	/* 0: who asks is of another pid namespace; so is a child that is not
	 * running. */
	for (unsigned i = 0; i < sup->count; i++)
		if (pid > 0 && !sup->children[i].is_local &&
		    sup->children[i].pid == pid)
			return true;
	return false;
}

void
ag_control_accept(struct supervisor *sup)
{
	struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_S };
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept4(sup->control_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
	    (who.uid != geteuid() && who.uid != 0) || is_ours(sup, who.pid)) {
		close(fd);
		return;
	}
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (sup->clients[i].fd >= 0)
			continue;
		sup->clients[i].fd = fd;
		sup->clients[i].len = 0;
		return;
	}
	close(fd); /* too many at once; they try again */
}

/* ---------------------------------------------------------------- answers */

static json_t *
refuse(int exit_status, const char *text)
{
	return json_pack("{s:b, s:i, s:s}", "ok", 0, "exit", exit_status, "error",
	    text);
}

static uint64_t
resident_bytes(pid_t pid)
{
	char path[64];
	unsigned long long pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*s %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *
describe(const struct child *child, const struct ag_metrics_block *block)
{
	bool up = child->pid > 0;
	const char *state = ag_child_state_name(child);

	if (child->state == CHILD_READY && block != NULL &&
	    (!ag_metrics_alive(block) || block->detail[0] != '\0'))
		state = "degraded";
	return json_pack("{s:s, s:s, s:o, s:s, s:I, s:i, s:I, s:I, s:s}",
	    "name", child->name, "role", child->role,
	    "pid", up ? json_integer(child->pid) : json_null(),
	    "state", state,
	    "uptime_ms", up ? (json_int_t)(ag_sup_now_ms() - child->started_ms) :
	        (json_int_t)0,
	    "restarts", (int)child->restarts,
	    "queue", block != NULL ? (json_int_t)block->queue : (json_int_t)0,
	    "rss_bytes", (json_int_t)resident_bytes(child->pid),
	    "detail", block != NULL ? block->detail : "");
}

static const struct ag_metrics_block *
block_named(const struct ag_metrics_block *blocks, size_t count,
    const struct child *child)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(blocks[i].name, child->name,
		        sizeof(blocks[i].name) - 1) == 0 &&
		    blocks[i].pid == (uint32_t)child->pid)
			return &blocks[i];
	return NULL;
}

static json_t *
on_status(struct supervisor *sup, json_t *ask)
{
	static const char *const phases[] = { "starting", "running", "draining" };
	struct ag_metrics_block *blocks = NULL;
	char config[PATH_MAX];
	size_t count = 0;
	json_t *list = json_array();

	if (ag_metrics_read(sup->run_dir, &blocks, &count) != AG_OK)
		count = 0;
	for (unsigned i = 0; i < sup->count; i++)
		json_array_append_new(list, describe(&sup->children[i],
		    block_named(blocks, count, &sup->children[i])));
	free(blocks);
	return json_pack("{s:b, s:s, s:s, s:i, s:s?, s:o}", "ok", 1, "rest",
	    sup->listeners[0].url, "phase", phases[sup->phase], "pid", (int)getpid(), "config",
	    sup->config_file == NULL ? NULL : realpath(sup->config_file, config),
	    "processes", list);
}

static json_t *
on_down(struct supervisor *sup, json_t *ask)
{
	json_int_t timeout_ms = DRAIN_MS;

	if (json_unpack(ask, "{s?I}", "timeout_ms", &timeout_ms) != 0 ||
	    timeout_ms < 0)
		return refuse(EXIT_BAD_INPUT, "timeout_ms: a number of milliseconds");
	ag_drain(sup, EXIT_YES, (uint64_t)timeout_ms);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *
enrolled(struct supervisor *sup, const struct guest *guest,
    const uint8_t token[32])
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	char *text;
	json_t *answer;

	if (ag_guest_boot(sup, guest, token, &bytes, &len) != AG_OK)
		return refuse(EXIT_FAULT, "out of memory");
	text = malloc(ag_base64_size(len));
	if (text == NULL) {
		answer = refuse(EXIT_FAULT, "out of memory");
	} else {
		ag_base64(bytes, len, text);
		answer = json_pack("{s:b, s:s}", "ok", 1, "boot_b64", text);
		ag_wipe(text, strlen(text));
		free(text);
	}
	ag_wipe(bytes, len);
	free(bytes);
	return answer;
}

static json_t *
on_enroll(struct supervisor *sup, json_t *ask)
{
	const char *name, *word, *role;
	char why[256] = "failed";
	struct guest *guest;
	uint8_t token[32];
	json_t *answer;
	ag_err err;

	if (json_unpack(ask, "{s:s, s:s}", "name", &name, "role", &word) != 0)
		return refuse(EXIT_BAD_INPUT, "name and role are wanted");
	if ((role = ag_guest_role(word)) == NULL)
		return refuse(EXIT_BAD_INPUT, "--role: subscriber or actor");
	err = ag_guest_enroll(sup, name, role, token, &guest, why, sizeof(why));
	if (err == AG_OK) {
		ag_log_plain(AG_WARN, "GUEST-ENROLLED", "name=%s role=%s slot=%u",
		    guest->name, guest->role, guest->slot);
		answer = enrolled(sup, guest, token);
	} else {
		answer = refuse(err == AG_INVALID_FIELD ? EXIT_BAD_INPUT :
		    err == AG_FULL ? EXIT_CONFLICT : EXIT_FAULT, why);
	}
	ag_wipe(token, sizeof(token));
	return answer;
}

/* The root of trust whose master key this is. */
static struct child *
software(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].is_rot && strcmp(sup->children[i].name, "software") == 0)
			return &sup->children[i];
	return NULL;
}

static json_t *
on_rekey(struct supervisor *sup, json_t *ask)
{
	struct child *child = software(sup);
	int resume = 0;

	if (json_unpack(ask, "{s?b}", "resume", &resume) != 0)
		return refuse(EXIT_BAD_INPUT, "resume: true or false");
	if (child == NULL)
		return refuse(EXIT_CONFLICT, "this fleet has no software root of trust");
	if (child->state != CHILD_READY)
		return refuse(EXIT_TRY_AGAIN, "the root of trust is not ready");
	ag_sup_copy(child->said, sizeof(child->said), "rekey asked");
	ag_child_tell(child, resume ? "rekey resume" : "rekey start");
	return json_pack("{s:b}", "ok", 1);
}

/* What it said last (rot/software/rekey.h), or nothing since its start. */
static json_t *
on_rekey_status(struct supervisor *sup, json_t *ask)
{
	struct child *child = software(sup);
	char state[16] = "", word[16] = "";
	unsigned long long n = 0, total = 0;

	if (child == NULL || sscanf(child->said, "rekey %15s", state) != 1)
		return json_pack("{s:b, s:s}", "ok", 1, "state", "none");
	if (sscanf(child->said, "rekey running %llu %llu", &n, &total) != 2 &&
	    sscanf(child->said, "rekey done %llu", &n) == 1)
		total = n;
	(void)sscanf(child->said, "rekey refused %15s", word);
	return json_pack("{s:b, s:s, s:I, s:I, s:s}", "ok", 1, "state", state, "done",
	    (json_int_t)n, "total", (json_int_t)total, "why", word);
}

static struct child *
child_named(struct supervisor *sup, const char *name)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (strcmp(sup->children[i].name, name) == 0)
			return &sup->children[i];
	return NULL;
}

static json_t *
on_admin_token(struct supervisor *sup, json_t *ask)
{
	struct child *iam = child_named(sup, "iam");

	(void)ask;
	if (iam == NULL || iam->state != CHILD_READY)
		return refuse(EXIT_TRY_AGAIN, "iam is not ready");
	if (strcmp(iam->said, "admin-token asked") == 0)
		return refuse(EXIT_CONFLICT, "an admin-token is being made");
	ag_log_plain(AG_WARN, "ADMIN-TOKEN", "asked=control");
	ag_sup_copy(iam->said, sizeof(iam->said), "admin-token asked");
	ag_child_tell(iam, "admin-token");
	return json_pack("{s:b}", "ok", 1);
}

/* What iam said last (actors/iam/recover.c). */
static json_t *
on_admin_token_status(struct supervisor *sup, json_t *ask)
{
	const struct child *iam = child_named(sup, "iam");
	char state[16] = "none", word[40] = "";

	(void)ask;
	if (iam != NULL)
		(void)sscanf(iam->said, "admin-token %15s %39s", state, word);
	return json_pack("{s:b, s:s, s:s}", "ok", 1, "state", state, "why", word);
}

static const struct {
	const char *verb;
	json_t *(*answer)(struct supervisor *sup, json_t *ask);
} verbs[] = {
	{ "status", on_status },
	{ "down", on_down },
	{ "enroll", on_enroll },
	{ "rekey", on_rekey },
	{ "rekey-status", on_rekey_status },
	{ "admin-token", on_admin_token },
	{ "admin-token-status", on_admin_token_status },
};

static json_t *
answer_line(struct supervisor *sup, const char *line, size_t len)
{
	json_t *ask = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *verb = json_string_value(json_object_get(ask, "verb"));
	json_t *answer = NULL;

	for (size_t i = 0; verb != NULL && i < sizeof(verbs) / sizeof(verbs[0]);
	    i++)
		if (strcmp(verbs[i].verb, verb) == 0)
			answer = verbs[i].answer(sup, ask);
	if (answer == NULL)
		answer = refuse(EXIT_BAD_INPUT, "one of status, down, enroll, rekey, rekey-status, "
		    "admin-token, admin-token-status");
	json_decref(ask);
	return answer;
}

/* ----------------------------------------------------------------- clients */

static void
drop(struct client *client)
{
	close(client->fd);
	ag_wipe(client->line, sizeof(client->line));
	client->fd = -1;
	client->len = 0;
}

static void
answer(struct supervisor *sup, struct client *client, size_t len)
{
	json_t *object = answer_line(sup, client->line, len);
	char *text = json_dumps(object, JSON_COMPACT);
	size_t n = text != NULL ? strlen(text) : 0;
	bool ok = text != NULL;

	if (ok) {
		text[n] = '\n'; /* in place of the NUL */
		ok = send(client->fd, text, n + 1, MSG_NOSIGNAL) ==
		    (ssize_t)(n + 1);
		ag_wipe(text, n + 1);
	}
	free(text);
	json_decref(object);
	client->len = 0;
	if (!ok)
		drop(client);
}

void
ag_control_hear(struct supervisor *sup, struct client *client)
{
	ssize_t n = recv(client->fd, client->line + client->len,
	    sizeof(client->line) - client->len, MSG_DONTWAIT);
	char *newline;

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop(client);
		return;
	}
	client->len += (size_t)n;
	newline = memchr(client->line, '\n', client->len);
	if (newline != NULL)
		answer(sup, client, (size_t)(newline - client->line));
	else if (client->len == sizeof(client->line))
		drop(client); /* no line of ours is that long */
}

void
ag_control_close(struct supervisor *sup)
{
	if (sup->control_fd >= 0)
		close(sup->control_fd);
	sup->control_fd = -1;
	/* Clients stay: the end of their connection is the end of the process,
	 * which is what `aegis down` waits for. */
}
