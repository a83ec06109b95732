/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <aegis/signed.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	CONNECT_S = 5, ANSWER_S = 15,
	ANSWER_BYTES_MAX = 64 << 10, /* read and forgotten */
};

bool
http_put(struct http_text *text, const char *bytes, size_t len)
{
	if (text->len + len + 1 > text->room) {
		size_t room = (text->len + len + 1) * 2;
		char *more = realloc(text->bytes, room);

		if (more == NULL)
			return false;
		text->bytes = more;
		text->room = room;
	}
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
	text->bytes[text->len] = '\0';
	return true;
}

bool
http_puts(struct http_text *text, const char *s)
{
	return http_put(text, s, strlen(s));
}

struct curl_slist *
http_signed(struct http *http, struct curl_slist *list,
    const struct http_text *body)
{
	char head[32], hex[AG_SIGNED_HEX], line[128];
	/* The machine's clock: the receiver compares it with its own. */
	long long now = (long long)time(NULL);

	snprintf(head, sizeof(head), "%lld.", now);
	if (!ag_signed_hex(http->secret, head, body->bytes, body->len, hex))
		return NULL;
	snprintf(line, sizeof(line), "Aegis-Timestamp: %lld", now);
	if ((list = curl_slist_append(list, line)) == NULL)
		return NULL;
	snprintf(line, sizeof(line), "Aegis-Signature: v1=%s", hex);
	return curl_slist_append(list, line);
}

/* ----------------------------------------------------------------- opening */

/* A URL that is itself a secret. It leaves the machine encrypted. */
static ag_err
url_of(struct http *http)
{
	static const char scheme[] = "https://";
	struct ag_secret *secret = NULL;
	ag_err err = feed_secret(http->feed, "url_file", &secret);
	size_t len = secret == NULL ? 0 : ag_secret_len(secret);

	if (err == AG_OK && (len < sizeof(scheme) || len >= sizeof(http->url) ||
	    !ag_secret_equal(ag_secret_bytes(secret), scheme,
	    sizeof(scheme) - 1))) {
		ag_log(feed_ctx(http->feed), AG_ERROR, "SINK-SECRET",
		    "member=url_file why=a URL that begins with %s is expected",
		    scheme);
		err = AG_USAGE;
	}
	if (err == AG_OK)
		memcpy(http->url, ag_secret_bytes(secret), len);
	ag_secret_free(&secret);
	return err;
}

ag_err
http_open(struct http *http, struct feed *feed, struct ag_ctx *ctx,
    const struct http_kind *kind)
{
	const char *url = feed_option(feed, "url");
	const char *ca = feed_option(feed, "ca_file");
	ag_err err = AG_OK;

	http->feed = feed;
	http->kind = kind;
	http->format = encode_format_of(feed);
	if ((err = url == NULL ? url_of(http) : AG_OK) != AG_OK)
		return err;
	if (url != NULL && strlen(url) >= sizeof(http->url))
		return AG_USAGE;
	if (url != NULL)
		strcpy(http->url, url);
	if (ca != NULL)
		err = feed_path(feed, ca, http->ca);
	if (err == AG_OK && kind->secret != NULL)
		err = feed_secret(feed, kind->secret, &http->secret);
	if (err == AG_OK && http->secret != NULL &&
	    ag_secret_len(http->secret) < kind->secret_min) {
		ag_log(ctx, AG_ERROR, "SINK-SECRET", "member=%s why=shorter than "
		    "%zu bytes", kind->secret, kind->secret_min);
		err = AG_USAGE;
	}
	if (err == AG_OK && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		err = AG_IO;
	return err;
}

void
http_close(void *own)
{
	struct http *http = own;

	if (http->curl != NULL)
		curl_easy_cleanup(http->curl);
	ag_secret_free(&http->secret);
	ag_wipe(http->url, sizeof(http->url));
}

/* ---------------------------------------------------------------- one batch */

static ag_err
body_of(struct http *http, const struct feed_batch *batch,
    struct http_text *body)
{
	bool ok = http_puts(body, http->kind->before);
	size_t begin = body->len, rest, item;
	struct encoded e = { 0 };

	for (size_t i = 0; ok && i < batch->count; i++) {
		rest = body->len;
		if (rest > begin)
			ok = http_puts(body, http->kind->between);
		item = body->len;
		ok = ok && encode_item(http->format, &batch->items[i], &e) ==
		    AG_OK && http->kind->put(http, body, &e);
		encoded_free(&e);
		if (body->len == item)
			body->len = rest; /* nothing of this one is sent */
	}
	if (ok && body->len == begin) {
		body->len = 0;
		return AG_OK;
	}
	return ok && http_puts(body, http->kind->after) ? AG_OK : AG_NO_MEMORY;
}

static size_t
on_answer(char *bytes, size_t size, size_t n, void *arg)
{
	size_t *len = arg;

	(void)bytes;
	*len += size * n;
	return *len > ANSWER_BYTES_MAX ? 0 : size * n;
}

static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http *http = arg;

	return feed_stopping(http->feed);
}

/*
 * 2xx: taken. 400, 413, 422: this body is wrong. All else is about us or the
 * time (401, 403, 404, 408, 429, 5xx): somebody will mend it, and no event is
 * put aside for a wrong token. A redirect is not followed: a signed batch goes
 * where it was sent.
 */
static ag_err
judge(struct feed_batch *batch, long status)
{
	if (status >= 200 && status < 300)
		return AG_OK;
	return feed_fail(batch, status == 400 || status == 413 || status == 422 ?
	    AG_BAD_MESSAGE : AG_UNAVAILABLE, "HTTP %ld", status);
}

static void
prepare(struct http *http, const struct http_text *body,
    struct curl_slist *headers, size_t *answer, char *why)
{
	CURL *curl = http->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, http->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (http->ca[0] != '\0') {
		curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* else that, too */
	}
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ANSWER_S);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->bytes);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)body->len);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
}

static ag_err
post(struct http *http, struct feed_batch *batch, const struct http_text *body)
{
	char type[96], why[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL, *more;
	size_t answer = 0;
	long status = 0;
	CURLcode code;

	snprintf(type, sizeof(type), "Content-Type: %s",
	    http->kind->content_type);
	headers = curl_slist_append(NULL, type);
	more = headers == NULL ? NULL : curl_slist_append(headers, "Expect:");
	if (more != NULL)
		more = http->kind->headers(http, headers, body);
	if (more == NULL) {
		curl_slist_free_all(headers);
		return AG_NO_MEMORY;
	}
	prepare(http, body, headers, &answer, why);
	code = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return feed_fail(batch, AG_UNAVAILABLE, "%s", why[0] != '\0' ?
		    why : curl_easy_strerror(code));
	return judge(batch, status);
}

ag_err
http_deliver(void *own, struct feed_batch *batch)
{
	struct http_text body = { 0 };
	struct http *http = own;
	ag_err err;

	if (batch->count == 0)
		return AG_OK;
	if (http->curl == NULL && (http->curl = curl_easy_init()) == NULL)
		return AG_NO_MEMORY;
	if ((err = body_of(http, batch, &body)) == AG_OK && body.len > 0)
		err = post(http, batch, &body);
	free(body.bytes);
	return err;
}
