/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <aegis/secret.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

enum { CONNECT_MS = 3000, CONNECTIONS_KEPT = 64, ANSWER_FIRST_BYTES = 4096 };

struct fetch {
	LIST_ENTRY(fetch) link;
	struct fetcher *fetcher;
	CURL *curl;
	struct curl_slist *fields;
	char *body; /* ours until it is sent */
	size_t body_len;
	char *bytes;
	size_t len, room, max;
	bool cut;
	char session[FETCH_SESSION_SIZE];
	fetch_done *done;
	void *arg;
};

LIST_HEAD(fetch_list, fetch);

struct fetcher {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	struct fetch_list fetches;
};

/* ------------------------------------------------------------------ one of them */

static void
fetch_free(struct fetch *fetch)
{
	struct curl_slist *field;

	if (fetch->curl != NULL) {
		curl_multi_remove_handle(fetch->fetcher->multi, fetch->curl);
		curl_easy_cleanup(fetch->curl);
	}
	for (field = fetch->fields; field != NULL; field = field->next)
		ag_wipe(field->data, strlen(field->data)); /* one is a secret */
	curl_slist_free_all(fetch->fields);
	free(fetch->body);
	free(fetch->bytes);
	free(fetch);
}

static size_t
on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct fetch *fetch = arg;
	size_t len = size * n, room = fetch->room;
	char *more;

	if (len > fetch->max - fetch->len) {
		fetch->cut = true;
		return 0; /* ends it */
	}
	while (room < fetch->len + len)
		room = room == 0 ? ANSWER_FIRST_BYTES : room * 2;
	if (room != fetch->room) {
		if ((more = realloc(fetch->bytes, room)) == NULL)
			return 0;
		fetch->bytes = more;
		fetch->room = room;
	}
	memcpy(fetch->bytes + fetch->len, bytes, len);
	fetch->len += len;
	return len;
}

/* Visible ASCII, as the specification wants it; anything else is none. */
static size_t
on_field(char *bytes, size_t size, size_t n, void *arg)
{
	static const char name[] = "mcp-session-id:";
	size_t len = size * n, at = sizeof(name) - 1, i;
	struct fetch *fetch = arg;

	if (len < at || strncasecmp(bytes, name, at) != 0)
		return len;
	while (at < len && bytes[at] == ' ')
		at++;
	for (i = 0; at + i < len && bytes[at + i] > ' ' && bytes[at + i] <= '~'; i++)
		;
	if (i < sizeof(fetch->session)) {
		memcpy(fetch->session, bytes + at, i);
		fetch->session[i] = '\0';
	}
	return len;
}

static bool
set_fields(struct fetch *fetch, const struct fetch_ask *ask)
{
	struct curl_slist *more;
	unsigned i;

	for (i = 0; i < FETCH_FIELDS_MAX && ask->fields[i] != NULL; i++) {
		if ((more = curl_slist_append(fetch->fields, ask->fields[i])) == NULL)
			return false;
		fetch->fields = more;
	}
	if ((more = curl_slist_append(fetch->fields, "Expect:")) == NULL)
		return false;
	fetch->fields = more;
	return true;
}

/* Whom to trust; unless it is said, whom the machine does. */
static void
set_ca(CURL *curl, const struct fetch_ask *ask)
{
	struct curl_blob pem = { .flags = CURL_BLOB_COPY,
		.data = (void *)(uintptr_t)ask->ca_pem,
		.len = ask->ca_pem == NULL ? 0 : strlen(ask->ca_pem) };

	if (ask->ca_file == NULL && ask->ca_pem == NULL)
		return;
	/* NULL: not those of the machine, too. */
	curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(curl, CURLOPT_CAINFO, ask->ca_file);
	if (ask->ca_pem != NULL)
		curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &pem);
}

static void
set_options(struct fetch *fetch, const struct fetch_ask *ask)
{
	CURL *curl = fetch->curl;

	curl_easy_setopt(curl, CURLOPT_PRIVATE, fetch);
	curl_easy_setopt(curl, CURLOPT_URL, ask->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	set_ca(curl, ask);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	/* A lookup that takes too long is left behind: waiting for its thread would
	 * stop the loop, and with it every other call. */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, fetch->body);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)fetch->body_len);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fetch->fields);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, fetch);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_field);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, fetch);
}

ag_err
fetch_start(struct fetcher *fetcher, const struct fetch_ask *ask,
    fetch_done *done, void *arg)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));

	if (fetch == NULL)
		return AG_NO_MEMORY;
	fetch->fetcher = fetcher;
	fetch->max = ask->answer_max;
	fetch->done = done;
	fetch->arg = arg;
	fetch->body_len = ask->body_len;
	if ((fetch->body = malloc(ask->body_len + 1)) == NULL ||
	    !set_fields(fetch, ask) || (fetch->curl = curl_easy_init()) == NULL) {
		fetch_free(fetch);
		return AG_NO_MEMORY;
	}
	memcpy(fetch->body, ask->body, ask->body_len);
	set_options(fetch, ask);
	if (curl_multi_add_handle(fetcher->multi, fetch->curl) != CURLM_OK) {
		fetch_free(fetch);
		return AG_NO_MEMORY;
	}
	LIST_INSERT_HEAD(&fetcher->fetches, fetch, link);
	return AG_OK;
}

/* ------------------------------------------------------------------- the loop */

static void
finish(struct fetch *fetch, CURLcode code)
{
	struct fetch_answer answer = { .bytes = fetch->bytes, .len = fetch->len,
		.session = fetch->session, .cut = fetch->cut };
	const char *type = NULL;

	curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &answer.status);
	curl_easy_getinfo(fetch->curl, CURLINFO_CONTENT_TYPE, &type);
	answer.stream = type != NULL &&
	    strncasecmp(type, "text/event-stream", 17) == 0;
	answer.timed_out = code == CURLE_OPERATION_TIMEDOUT;
	if (fetch->cut)
		answer.failure = "its answer is too long";
	else if (code != CURLE_OK)
		answer.failure = curl_easy_strerror(code);
	if (answer.bytes == NULL)
		answer.bytes = "";
	fetch->done(fetch->arg, &answer);
}

static void
collect(struct fetcher *fetcher)
{
	struct fetch *fetch;
	CURLMsg *msg;
	CURLcode code;
	int left;

	while ((msg = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &fetch);
		LIST_REMOVE(fetch, link);
		finish(fetch, code);
		fetch_free(fetch);
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *fetcher = arg;
	int running;

	curl_multi_socket_action(fetcher->multi, fd,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
	    ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0), &running);
	collect(fetcher);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *fetcher = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(fetcher);
}

/* curl says which sockets it waits for; each has one event of ours. */
static int
watch(CURL *curl, curl_socket_t fd, int what, void *arg, void *its)
{
	struct fetcher *fetcher = arg;
	struct event *event = its;

	(void)curl;
	if (event != NULL)
		event_free(event);
	event = what == CURL_POLL_REMOVE ? NULL : event_new(fetcher->base, fd,
	    (short)(((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0) | EV_PERSIST), on_socket,
	    fetcher);
	curl_multi_assign(fetcher->multi, fd, event);
	return event != NULL && event_add(event, NULL) != 0 ? -1 : 0;
}

static int
set_timer(CURLM *multi, long ms, void *arg)
{
	struct fetcher *fetcher = arg;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		evtimer_del(fetcher->timer);
	else
		evtimer_add(fetcher->timer, &tv);
	return 0;
}

ag_err
fetcher_new(struct event_base *base, struct fetcher **out)
{
	struct fetcher *fetcher = calloc(1, sizeof(*fetcher));

	*out = fetcher;
	if (fetcher == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return AG_NO_MEMORY;
	LIST_INIT(&fetcher->fetches);
	fetcher->base = base;
	fetcher->timer = evtimer_new(base, on_timer, fetcher);
	fetcher->multi = curl_multi_init();
	if (fetcher->timer == NULL || fetcher->multi == NULL)
		return AG_NO_MEMORY;
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, watch);
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS,
	    (long)CONNECTIONS_KEPT);
	return AG_OK;
}

void
fetcher_free(struct fetcher **at)
{
	struct fetcher *fetcher = *at;
	struct fetch *fetch;

	if (fetcher == NULL)
		return;
	while ((fetch = LIST_FIRST(&fetcher->fetches)) != NULL) {
		LIST_REMOVE(fetch, link);
		fetch_free(fetch);
	}
	if (fetcher->multi != NULL)
		curl_multi_cleanup(fetcher->multi);
	if (fetcher->timer != NULL)
		event_free(fetcher->timer);
	free(fetcher);
	*at = NULL;
}
