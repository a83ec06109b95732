/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the gateway in the kit: instead of fetch.c. What is asked of tool
 * servers waits in a row until the test answers it.
 */
#ifndef AEGIS_TESTS_GATEWAY_FETCH_H
#define AEGIS_TESTS_GATEWAY_FETCH_H

#include "gateway.h"

#include <aegis/kit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct ag_actor ag_actor_gateway;

enum { ASKS_MAX = 16 };

static struct asked {
	char url[128], body[4096], session[64];
	unsigned timeout_ms;
	fetch_done *done;
	void *arg;
} asked[ASKS_MAX];
static unsigned ask_count; /* that wait */
static unsigned asks_ever;

static struct ag_kit *kit;
static struct gateway *gateway;

ag_err
fetcher_new(struct event_base *base, struct fetcher **out)
{
	(void)base;
	*out = NULL;
	return AG_OK;
}

void
fetcher_free(struct fetcher **fetcher)
{
	*fetcher = NULL;
}

ag_err
fetch_start(struct fetcher *fetcher, const struct fetch_ask *ask,
    fetch_done *done, void *arg)
{
	struct asked *a = &asked[ask_count];
	unsigned i;

	(void)fetcher;
	assert_true(ask_count < ASKS_MAX);
	memset(a, 0, sizeof(*a));
	snprintf(a->url, sizeof(a->url), "%s", ask->url);
	snprintf(a->body, sizeof(a->body), "%s", ask->body);
	for (i = 0; i < FETCH_FIELDS_MAX && ask->fields[i] != NULL; i++)
		if (strncmp(ask->fields[i], "MCP-Session-Id: ", 16) == 0)
			snprintf(a->session, sizeof(a->session), "%s",
			    ask->fields[i] + 16);
	a->timeout_ms = ask->timeout_ms;
	a->done = done;
	a->arg = arg;
	ask_count++;
	asks_ever++;
	return AG_OK;
}

static inline struct asked *
find_asked(const char *what)
{
	unsigned i;

	for (i = 0; i < ask_count; i++)
		if (strstr(asked[i].body, what) != NULL)
			return &asked[i];
	return NULL;
}

static inline bool
is_asked(const char *what)
{
	return find_asked(what) != NULL;
}

/* The oldest that holds `what`, which is no longer waited for. */
static inline struct asked
take(const char *what)
{
	struct asked *at = find_asked(what), found;

	assert_non_null(at);
	found = *at;
	memmove(at, at + 1, (size_t)(&asked[--ask_count] - at) * sizeof(*at));
	return found;
}

static inline void
answer_with(const struct asked *a, const struct fetch_answer *got)
{
	a->done(a->arg, got);
	ag_kit_advance(kit, 1);
}

static inline void
answer(const struct asked *a, const char *result, const char *session)
{
	const char *id = strstr(a->body, "\"id\":");
	char body[4096];
	const struct fetch_answer got = { .status = id == NULL ? 202 : 200,
		.bytes = body, .session = session,
		.len = (size_t)snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\","
		    "\"id\":%llu,%s}", id == NULL ? 0 : strtoull(id + 5, NULL, 10),
		    result) };

	answer_with(a, &got);
}

static inline void
fail_as(const struct asked *a, const char *why, bool timed_out)
{
	const struct fetch_answer got = { .failure = why, .timed_out = timed_out,
		.bytes = "", .session = "" };

	answer_with(a, &got);
}

static inline void
die(const struct asked *a)
{
	fail_as(a, "Connection refused", false);
}

/* All that waits; else nobody frees it. */
static inline void
fetch_drop(void)
{
	struct asked a;

	while (ask_count > 0) {
		a = asked[--ask_count];
		die(&a);
	}
}

#endif
