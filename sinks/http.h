/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sinks that POST batches over HTTPS: a row says what its body and headers are,
 * the rest (connection, TLS, what which status means) is here.
 */
#ifndef SINKS_HTTP_H
#define SINKS_HTTP_H

#include "encode.h"

#include <curl/curl.h>

struct http;

struct http_text {
	char *bytes; /* malloc'd */
	size_t len, room;
};
/* Appends; false: no memory. */
bool http_put(struct http_text *text, const char *bytes, size_t len);
bool http_puts(struct http_text *text, const char *s);

struct http_kind {
	const char *secret; /* member of the file with its key or token */
	size_t secret_min;  /* bytes */
	const char *content_type;
	/* Puts one event into the body, or nothing, if it is of no interest. A
	 * body with none is not sent; others begin and end with: */
	const char *before, *between, *after;
	bool (*put)(struct http *http, struct http_text *body,
	    const struct encoded *e);
	/* Adds headers to the list, for this body. NULL: AG_NO_MEMORY. */
	struct curl_slist *(*headers)(struct http *http,
	    struct curl_slist *list, const struct http_text *body);
};

struct http {
	struct feed *feed;
	const struct http_kind *kind;
	CURL *curl;
	enum encode_format format;
	struct ag_secret *secret; /* NULL: none configured */
	char url[2048];
	char ca[FEED_PATH_MAX]; /* "": the machine's */
};

/* Aegis-Timestamp and Aegis-Signature, under http->secret: headers() of whoever
 * signs what it sends. */
struct curl_slist *http_signed(struct http *http, struct curl_slist *list,
    const struct http_text *body);

ag_err http_open(struct http *http, struct feed *feed, struct ag_ctx *ctx,
    const struct http_kind *kind) AG_MUST;
ag_err http_deliver(void *own, struct feed_batch *batch) AG_MUST;
void http_close(void *own);

/* The actor of a kind. */
#define HTTP_ACTOR(actor_name, http_kind_row) \
	static ag_err \
	open_##actor_name(void *own, struct feed *feed, struct ag_ctx *ctx) \
	{ \
		return http_open(own, feed, ctx, &(http_kind_row)); \
	} \
	static const struct feed_sink sink_##actor_name = { \
		.own_size = sizeof(struct http), \
		.batch_max = 256, \
		.open = open_##actor_name, \
		.deliver = http_deliver, \
		.close = http_close, \
	}; \
	FEED_ACTOR(actor_name, sink_##actor_name)

#endif
