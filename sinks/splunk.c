/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splunk: batches to a Splunk HTTP Event Collector (HEC), /services/collector:
 * objects one after the other, each with its time and our event in it.
 */
#include "http.h"

#include <string.h>

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	char head[160];

	(void)http;
	snprintf(head, sizeof(head), "{\"time\":%lld.%03lld,\"source\":\"aegis\","
	    "\"sourcetype\":\"aegis:audit\",\"event\":",
	    (long long)e->event->occurred_at / 1000,
	    (long long)e->event->occurred_at % 1000);
	return http_puts(body, head) && http_put(body, e->bytes, e->len) &&
	    http_puts(body, "}");
}

static struct curl_slist *
headers(struct http *http, struct curl_slist *list, const struct http_text *body)
{
	char line[AG_SECRET_FILE_MAX + 32];

	(void)body;
	snprintf(line, sizeof(line), "Authorization: Splunk %.*s",
	    (int)ag_secret_len(http->secret),
	    (const char *)ag_secret_bytes(http->secret));
	list = curl_slist_append(list, line);
	ag_wipe(line, sizeof(line));
	return list;
}

static const struct http_kind kind = {
	.secret = "token_file", .secret_min = 8,
	.content_type = "application/json",
	.before = "", .between = "\n", .after = "\n",
	.put = put, .headers = headers,
};

HTTP_ACTOR(splunk, kind);
