/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <event2/event.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct pending {
	TAILQ_ENTRY(pending) entry; /* in the order of their answers */
	struct link *link;
	uint64_t sent_ms;
	bool over; /* its link was dropped, and it was told */
	unsigned numbers;
	link_done *done;
	uint8_t memo[LINK_MEMO_MAX] __attribute__((aligned(8)));
};

/* hiredis' own loop of events is one of five functions; this is ours, because
 * it looks at how much has come before it reads on. */
struct watch {
	struct link *link;
	redisAsyncContext *redis;
	struct event *read, *write;
};

struct link {
	struct ag_ctx *ctx;
	link_state *state;
	void *arg;
	redisAsyncContext *redis; /* NULL: there is none */
	enum { AWAY, CALLING, THERE } is;
	bool forgets;
	bool said_away;
	unsigned steps; /* of the greeting that have no answer yet */
	uint64_t call_at_ms, give_up_ms, timeout_ms;
	unsigned pause_ms;
	char why[LINK_SAID_MAX];
	char sha[SCRIPT_COUNT][41];
	char prefix[LINK_PREFIX_MAX + 1];
	const char *address, *user;
	struct ag_secret *password; /* NULL: none */
	TAILQ_HEAD(pendings, pending) calls;
	unsigned calls_count;
};

static void drop(struct link *l, const char *why);

/* ------------------------------------------------------------------- losing */

static void
end(struct pending *p, const int64_t *numbers, unsigned n)
{
	struct link *l = p->link;

	TAILQ_REMOVE(&l->calls, p, entry);
	l->calls_count--;
	p->over = true; /* whoever frees it is hiredis' callback */
	p->done(l->arg, l->ctx, numbers, n, p->memo);
}

static void
away(struct link *l, const char *why)
{
	bool was = l->is == THERE, news;
	struct pending *p;

	l->is = AWAY;
	l->redis = NULL;
	l->pause_ms = l->pause_ms == 0 ? LINK_PAUSE_MIN_MS : l->pause_ms * 2;
	if (l->pause_ms > LINK_PAUSE_MAX_MS)
		l->pause_ms = LINK_PAUSE_MAX_MS;
	l->call_at_ms = ag_mono_ms(l->ctx) + l->pause_ms;
	news = was || !l->said_away || strncmp(l->why, why,
	    sizeof(l->why) - 1) != 0;
	snprintf(l->why, sizeof(l->why), "%s", why);
	/* Shown to people: Redis may have said anything. */
	for (char *c = l->why; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	while ((p = TAILQ_FIRST(&l->calls)) != NULL)
		end(p, NULL, 0);
	l->said_away = true;
	if (news)
		l->state(l->arg, l->ctx, false, l->why);
}

static void
drop(struct link *l, const char *why)
{
	redisAsyncContext *redis = l->redis;

	away(l, why);
	if (redis != NULL)
		redisAsyncFree(redis); /* or when its callback returns */
}

static void
on_connected(const redisAsyncContext *redis, int status)
{
	struct link *l = redis->data;

	if (status != REDIS_OK && l != NULL && l->redis == redis)
		away(l, redis->errstr); /* who calls us frees it */
}

static void
on_lost(const redisAsyncContext *redis, int status)
{
	struct link *l = redis->data;

	if (l != NULL && l->redis == redis)
		away(l, status == REDIS_OK ? "closed" : redis->errstr);
}

/* ------------------------------------------------------------------ watching */

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (w->redis->c.reader->len > LINK_REPLY_MAX && w->link != NULL &&
	    w->link->redis == w->redis)
		drop(w->link, "an answer is too long");
	else
		redisAsyncHandleRead(w->redis);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	redisAsyncHandleWrite(w->redis);
}

static void
read_on(void *arg)
{
	struct watch *w = arg;

	(void)event_add(w->read, NULL);
}

static void
read_off(void *arg)
{
	struct watch *w = arg;

	(void)event_del(w->read);
}

static void
write_on(void *arg)
{
	struct watch *w = arg;

	(void)event_add(w->write, NULL);
}

static void
write_off(void *arg)
{
	struct watch *w = arg;

	(void)event_del(w->write);
}

static void
watch_free(void *arg)
{
	struct watch *w = arg;

	if (w->read != NULL)
		event_free(w->read);
	if (w->write != NULL)
		event_free(w->write);
	free(w);
}

static ag_err
watch_new(struct link *l)
{
	struct event_base *base = ag_event_base(l->ctx);
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return AG_NO_MEMORY;
	w->link = l;
	w->redis = l->redis;
	w->read = event_new(base, l->redis->c.fd, EV_READ | EV_PERSIST,
	    on_readable, w);
	w->write = event_new(base, l->redis->c.fd, EV_WRITE | EV_PERSIST,
	    on_writable, w);
	if (w->read == NULL || w->write == NULL) {
		watch_free(w);
		return AG_NO_MEMORY;
	}
	l->redis->ev.data = w;
	l->redis->ev.addRead = read_on;
	l->redis->ev.delRead = read_off;
	l->redis->ev.addWrite = write_on;
	l->redis->ev.delWrite = write_off;
	l->redis->ev.cleanup = watch_free;
	return AG_OK;
}

/* ------------------------------------------------------------------ greeting */

/* True: it is what the greeting wants; else the link is dropped. */
static bool
greeted(struct link *l, redisAsyncContext *redis, const redisReply *r, int type)
{
	if (l == NULL || l->redis != redis)
		return false;
	if (r != NULL && r->type == type)
		return true;
	drop(l, r != NULL && r->type == REDIS_REPLY_ERROR ? r->str :
	    "not an answer of Redis");
	return false;
}

static void
greeted_step(struct link *l)
{
	if (--l->steps > 0)
		return;
	l->is = THERE;
	l->pause_ms = 0;
	l->said_away = false;
	l->why[0] = '\0';
	l->state(l->arg, l->ctx, true, l->forgets ?
	    "maxmemory-policy is not noeviction" : NULL);
}

static void
on_auth(redisAsyncContext *redis, void *reply, void *arg)
{
	struct link *l = redis->data;

	(void)arg;
	if (greeted(l, redis, reply, REDIS_REPLY_STATUS))
		greeted_step(l);
}

static void
on_loaded(redisAsyncContext *redis, void *reply, void *arg)
{
	struct link *l = redis->data;
	const redisReply *r = reply;
	char *sha = arg;

	if (!greeted(l, redis, r, REDIS_REPLY_STRING))
		return;
	if (r->len != 40) {
		drop(l, "not an answer of Redis");
		return;
	}
	memcpy(sha, r->str, 40);
	sha[40] = '\0';
	greeted_step(l);
}

static void
on_info(redisAsyncContext *redis, void *reply, void *arg)
{
	struct link *l = redis->data;
	const redisReply *r = reply;

	(void)arg;
	if (!greeted(l, redis, r, REDIS_REPLY_STRING))
		return;
	l->forgets = strstr(r->str, "maxmemory:0\r") == NULL &&
	    strstr(r->str, "maxmemory_policy:noeviction") == NULL;
	greeted_step(l);
}

static int
greet_auth(struct link *l)
{
	const char *words[3] = { "AUTH" };
	size_t lens[3] = { 4 };
	int n = 1;

	if (l->password == NULL)
		return REDIS_OK;
	l->steps++;
	if (l->user != NULL) {
		words[n] = l->user;
		lens[n++] = strlen(l->user);
	}
	words[n] = (const char *)ag_secret_bytes(l->password);
	lens[n++] = ag_secret_len(l->password);
	return redisAsyncCommandArgv(l->redis, on_auth, NULL, n, words, lens);
}

static int
greet(struct link *l)
{
	int rc;

	l->steps = SCRIPT_COUNT + 1;
	if ((rc = greet_auth(l)) != REDIS_OK)
		return rc;
	for (unsigned i = 0; rc == REDIS_OK && i < SCRIPT_COUNT; i++)
		rc = redisAsyncCommand(l->redis, on_loaded, l->sha[i],
		    "SCRIPT LOAD %s", scripts[i]);
	return rc != REDIS_OK ? rc :
	    redisAsyncCommand(l->redis, on_info, NULL, "INFO memory");
}

static void
call(struct link *l)
{
	const char *port = strrchr(l->address, ':');
	char host[64];

	l->give_up_ms = ag_mono_ms(l->ctx) + l->timeout_ms;
	if (strncmp(l->address, "unix:", 5) == 0) {
		l->redis = redisAsyncConnectUnix(l->address + 5);
	} else {
		/* "[::1]:6379", "localhost:6379": no name is looked up. */
		bool brackets = l->address[0] == '[';

		snprintf(host, sizeof(host), "%.*s", (int)(port - l->address) -
		    (brackets ? 2 : 0), l->address + (brackets ? 1 : 0));
		l->redis = redisAsyncConnect(strcmp(host, "localhost") == 0 ?
		    "127.0.0.1" : host, atoi(port + 1));
	}
	if (l->redis == NULL) {
		away(l, "no memory");
		return;
	}
	l->is = CALLING;
	l->redis->data = l;
	if (l->redis->err != 0) {
		char why[LINK_SAID_MAX];

		snprintf(why, sizeof(why), "%s", l->redis->errstr);
		drop(l, why);
		return;
	}
	if (watch_new(l) != AG_OK ||
	    redisAsyncSetConnectCallback(l->redis, on_connected) != REDIS_OK ||
	    redisAsyncSetDisconnectCallback(l->redis, on_lost) != REDIS_OK ||
	    greet(l) != REDIS_OK)
		drop(l, "no memory");
}

void
link_tick(struct link *l)
{
	uint64_t now = ag_mono_ms(l->ctx);
	const struct pending *p = TAILQ_FIRST(&l->calls);

	if (l->is == AWAY && now >= l->call_at_ms)
		call(l);
	else if (l->is == CALLING && now > l->give_up_ms)
		drop(l, "no connection in time");
	else if (p != NULL && now - p->sent_ms > l->timeout_ms)
		drop(l, "no answer in time");
}

bool
link_there(const struct link *l)
{
	return l->is == THERE;
}

bool
link_forgets(const struct link *l)
{
	return l->forgets;
}

/* ------------------------------------------------------------------- calling */

static bool
numbers_of(const redisReply *r, unsigned want, int64_t *out)
{
	if (r->type == REDIS_REPLY_INTEGER && want == 1) {
		out[0] = r->integer;
		return true;
	}
	if (r->type != REDIS_REPLY_ARRAY || r->elements != want)
		return false;
	for (unsigned i = 0; i < want; i++) {
		if (r->element[i]->type != REDIS_REPLY_INTEGER)
			return false;
		out[i] = r->element[i]->integer;
	}
	return true;
}

static void
on_answer(redisAsyncContext *redis, void *reply, void *arg)
{
	struct pending *p = arg;
	struct link *l = p->link;
	const redisReply *r = reply;
	int64_t numbers[LINK_NUMBERS];

	if (!p->over && r == NULL) {
		end(p, NULL, 0);
	} else if (!p->over && !numbers_of(r, p->numbers, numbers)) {
		/* READONLY, OOM, NOPERM, NOSCRIPT …: of no use as it is. */
		drop(l, r->type == REDIS_REPLY_ERROR ? r->str :
		    "not an answer of Redis");
	} else if (!p->over) {
		end(p, numbers, p->numbers);
	}
	free(p);
	(void)redis;
}

ag_err
link_call(struct link *l, const struct link_call *c)
{
	const char *words[3 + 2 + 6] = { "EVALSHA", l->sha[c->script] };
	size_t lens[3 + 2 + 6];
	char keys[2][LINK_KEY_MAX], count[2] = "0";
	struct pending *p;
	int n = 3;

	if (l->is != THERE)
		return AG_UNAVAILABLE;
	if (l->calls_count == LINK_CALLS_MAX || c->memo_len > LINK_MEMO_MAX)
		return AG_FULL;
	words[2] = count;
	for (unsigned i = 0; i < 2 && c->keys[i] != NULL; i++, count[0]++) {
		snprintf(keys[i], sizeof(keys[i]), "%s:%s", l->prefix,
		    c->keys[i]);
		words[n++] = keys[i];
	}
	for (unsigned i = 0; i < c->words_count; i++)
		words[n++] = c->words[i];
	for (int i = 0; i < n; i++)
		lens[i] = strlen(words[i]);
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return AG_NO_MEMORY;
	p->link = l;
	p->sent_ms = ag_mono_ms(l->ctx);
	p->numbers = c->numbers;
	p->done = c->done;
	if (c->memo_len > 0)
		memcpy(p->memo, c->memo, c->memo_len);
	if (redisAsyncCommandArgv(l->redis, on_answer, p, n, words, lens) !=
	    REDIS_OK) {
		free(p);
		return AG_UNAVAILABLE;
	}
	TAILQ_INSERT_TAIL(&l->calls, p, entry);
	l->calls_count++;
	return AG_OK;
}

/* ------------------------------------------------------------- configuration */

static const char *
settings(struct link *l)
{
	const char *password = ag_config_str(l->ctx, "shared.password_file", 0);
	const char *prefix = ag_config_str(l->ctx, "shared.prefix", 0);

	l->address = ag_config_str(l->ctx, "shared.redis", 0);
	l->user = ag_config_str(l->ctx, "shared.user", 0);
	l->timeout_ms = (uint64_t)ag_config_int(l->ctx, "shared.timeout_ms");
	if (l->address == NULL)
		return "shared.redis is missing";
	if (strlen(prefix) > LINK_PREFIX_MAX)
		return "shared.prefix has at most 32 bytes";
	strcpy(l->prefix, prefix);
	if (password == NULL)
		return NULL;
	password = ag_state_path(l->ctx, password);
	return password == NULL ? "no memory" :
	    ag_secret_read(password, &l->password);
}

ag_err
link_new(struct ag_ctx *ctx, link_state *state, void *arg, struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	const char *why;

	*out = l;
	if (l == NULL)
		return AG_NO_MEMORY;
	l->ctx = ctx;
	l->state = state;
	l->arg = arg;
	TAILQ_INIT(&l->calls);
	if ((why = settings(l)) == NULL)
		return AG_OK;
	ag_log(ctx, AG_ERROR, "SHARED-SETTINGS", "why=%s", why);
	link_free(out);
	return AG_USAGE;
}

void
link_free(struct link **link)
{
	struct link *l = *link;
	redisAsyncContext *redis;
	struct pending *p;

	if (l == NULL)
		return;
	redis = l->redis;
	l->redis = NULL;
	while ((p = TAILQ_FIRST(&l->calls)) != NULL) {
		TAILQ_REMOVE(&l->calls, p, entry);
		p->over = true; /* nobody is told any more */
	}
	if (redis != NULL) {
		redis->data = NULL;
		redisAsyncFree(redis);
	}
	ag_secret_free(&l->password);
	free(l);
	*link = NULL;
}
