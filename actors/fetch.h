/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch, for the gateway and opa: HTTP POSTs over libcurl on the actor's own event loop. Nothing blocks;
 * what is under way, how long it may take and how much it may answer is bounded
 * by who asks. Redirects are not followed, no proxy is used: what is sent
 * carries somebody's secret.
 */
#ifndef AEGIS_ACTORS_FETCH_H
#define AEGIS_ACTORS_FETCH_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct fetcher;
struct fetch;

enum { FETCH_FIELDS_MAX = 8, FETCH_SESSION_SIZE = 129 };

struct fetch_ask {
	const char *url;
	const char *ca_file; /* NULL: the machine's, unless there is ca_pem */
	const char *ca_pem;  /* certificates, instead of those of a file */
	const char *fields[FETCH_FIELDS_MAX]; /* "Name: value"; NULL behind the last */
	const char *body;
	size_t body_len;
	unsigned timeout_ms;
	size_t answer_max; /* bytes */
};

/* All borrowed for the call of `done`. */
struct fetch_answer {
	const char *failure; /* NULL: there is an answer; else why not, in plain words */
	bool timed_out, cut;
	long status;
	bool stream; /* text/event-stream */
	const char *bytes;
	size_t len;
	const char *session; /* of MCP-Session-Id; "": none */
};
/* Called once, from the loop, never out of fetch_start. */
typedef void fetch_done(void *arg, const struct fetch_answer *answer);

ag_err fetcher_new(struct event_base *base, struct fetcher **out) AG_MUST;
void fetcher_free(struct fetcher **fetcher); /* what is under way is dropped */
/* Copies what it needs of ask. AG_NO_MEMORY, or AG_OK and done will be called. */
ag_err fetch_start(struct fetcher *fetcher, const struct fetch_ask *ask,
    fetch_done *done, void *arg) AG_MUST;

#endif
