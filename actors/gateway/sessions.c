/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which replica of a server is asked, and whose session is at which. A stateful
 * server has a session for each session of a client, at one replica as long as
 * that answers (rendezvous hashing: a replica that goes moves nobody else's).
 * What such a session held cannot be moved: its client is told, once. Nor does
 * it outlive a change of the server, or of the secret that it began with.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_live(const struct server *server, unsigned replica)
{
	return server->replicas[replica].down_until_ms <=
	    ag_mono_ms(server->gateway->ctx);
}

bool
server_has_live(const struct server *server)
{
	unsigned i;

	for (i = 0; i < server->replica_count; i++)
		if (is_live(server, i))
			return true;
	return false;
}

/* Of this key at this replica: the same in every process, evenly spread. */
static uint64_t
score(const char *key, const char *url)
{
	char text[SESSION_KEY_SIZE + GATEWAY_URL_SIZE];
	int len = snprintf(text, sizeof(text), "%s %s", key, url);
	uint8_t digest[32];
	uint64_t out;

	ag_sha256(text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1,
	    digest);
	memcpy(&out, digest, sizeof(out));
	return out;
}

/* The highest that lives; if none does, the highest. */
unsigned
replica_for(const struct server *server, const char *key)
{
	bool any = server_has_live(server);
	uint64_t best = 0, its;
	unsigned i, found = 0;
	bool first = true;

	for (i = 0; i < server->replica_count; i++) {
		if (any && !is_live(server, i))
			continue;
		its = score(key, server->replicas[i].url);
		if (first || its > best) {
			best = its;
			found = i;
			first = false;
		}
	}
	return found;
}

void
replica_failed(struct server *server, unsigned replica)
{
	struct gateway *gateway = server->gateway;

	if (server->replica_count == 1)
		return; /* its breaker is the server's */
	if (is_live(server, replica))
		ag_log(gateway->ctx, AG_WARN, "GATEWAY-REPLICA", "server=%s "
		    "replica=%u", server->name, replica);
	server->replicas[replica].down_until_ms = ag_mono_ms(gateway->ctx) +
	    gateway->breaker_ms;
	if (server->own.replica == replica)
		server->own.begun = false;
}

/* ------------------------------------------------------------------- sessions */

/* Somebody's own, whatever others call theirs. */
void
session_key(const Ag__Grant *grant, char out[SESSION_KEY_SIZE])
{
	const char *actor = grant->actor_id == NULL ? "" : grant->actor_id;
	const char *session = grant->session == NULL ? "" : grant->session;
	char text[2 * AG_NAME_MAX + SESSION_ID_MAX + 2];
	uint8_t digest[32];

	snprintf(text, sizeof(text), "%s\n%.*s", actor, SESSION_ID_MAX, session);
	ag_sha256(text, strlen(text), digest);
	ag_hex(digest, sizeof(digest), out);
}

static struct session *
find(struct server *server, const char *key)
{
	unsigned i;

	for (i = 0; i < GATEWAY_SESSIONS_MAX; i++)
		if (strcmp(server->sessions[i].key, key) == 0)
			return &server->sessions[i];
	return NULL;
}

/* A free one, or the one that nobody has used for longest; NULL: all are. */
static struct session *
place(struct server *server)
{
	struct session *oldest = NULL, *s;
	unsigned i;

	for (i = 0; i < GATEWAY_SESSIONS_MAX; i++) {
		s = &server->sessions[i];
		if (s->calls > 0)
			continue;
		if (s->key[0] == '\0')
			return s;
		if (oldest == NULL || s->used_ms < oldest->used_ms)
			oldest = s;
	}
	return oldest;
}

ag_err
session_refuse_lost(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_CONFLICT, "session_lost", NULL, "The server's "
	    "replica that held this session is gone, and what the session held "
	    "with it. The next call begins a new one.");
}

ag_err
session_of(struct server *server, struct session **out)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	char key[SESSION_KEY_SIZE];
	struct session *s;

	*out = NULL;
	session_key(ag_grant(ctx), key);
	if ((s = find(server, key)) != NULL &&
	    (s->lost || !is_live(server, s->replica))) {
		s->lost = s->told = true;
		if (s->calls == 0)
			memset(s, 0, sizeof(*s));
		return session_refuse_lost(ctx);
	}
	if (s == NULL) {
		if ((s = place(server)) == NULL)
			return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
			    "The tool's server has as many sessions as it may have.");
		memset(s, 0, sizeof(*s));
		memcpy(s->key, key, sizeof(key));
		s->replica = replica_for(server, key);
		s->begun = server->modern;
	}
	s->used_ms = ag_mono_ms(ctx);
	*out = s;
	return AG_OK;
}

void
sessions_lose(struct server *server)
{
	unsigned i;

	for (i = 0; server->sessions != NULL && i < GATEWAY_SESSIONS_MAX; i++)
		if (server->sessions[i].key[0] != '\0')
			server->sessions[i].lost = true;
}

void
sessions_inherit(struct server *server, const struct server *old)
{
	struct session *to = server->sessions;
	unsigned i;

	if (to == NULL || old->sessions == NULL)
		return;
	for (i = 0; i < GATEWAY_SESSIONS_MAX; i++) {
		const struct session *from = &old->sessions[i];

		if (from->key[0] == '\0' || from->told)
			continue;
		memcpy(to->key, from->key, sizeof(to->key));
		to->used_ms = from->used_ms;
		to->lost = true;
		to++;
	}
}

void
session_hold(struct session *session)
{
	session->calls++;
}

void
session_release(struct session *session)
{
	if (--session->calls == 0 && session->told)
		memset(session, 0, sizeof(*session));
}
