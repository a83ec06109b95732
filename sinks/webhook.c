/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webhook: batches of events to somebody's HTTPS receiver, signed. The body is
 * {"events":[…]}; Aegis-Signature is "v1=" and HMAC-SHA256, in hex, under the
 * key of key_file, over the text of Aegis-Timestamp (seconds since 1970), a
 * dot, and the body. Whoever checks both and refuses old timestamps knows that
 * the batch is ours and not one sent again by somebody else.
 */
#include "http.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool
put(struct http_text *body, const struct encoded *e)
{
	return http_put(body, e->bytes, e->len);
}

static bool
sign(struct http *http, const char *stamp, const struct http_text *body,
    char hex[65])
{
	struct http_text text = { 0 };
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok = http_puts(&text, stamp) && http_puts(&text, ".") &&
	    http_put(&text, body->bytes, body->len) &&
	    HMAC(EVP_sha256(), ag_secret_bytes(http->secret),
	        (int)ag_secret_len(http->secret), (const uint8_t *)text.bytes,
	        text.len, mac, &len) != NULL;

	free(text.bytes);
	if (ok)
		ag_hex(mac, len, hex);
	return ok;
}

static struct curl_slist *
headers(struct http *http, struct curl_slist *list, const struct http_text *body)
{
	char stamp[32], hex[65], line[128];

	/* The machine's clock: the receiver compares it with its own. */
	snprintf(stamp, sizeof(stamp), "%lld", (long long)time(NULL));
	if (!sign(http, stamp, body, hex))
		return NULL;
	snprintf(line, sizeof(line), "Aegis-Timestamp: %s", stamp);
	if ((list = curl_slist_append(list, line)) == NULL)
		return NULL;
	snprintf(line, sizeof(line), "Aegis-Signature: v1=%s", hex);
	return curl_slist_append(list, line);
}

static const struct http_kind kind = {
	.secret = "key_file", .secret_min = 32,
	.content_type = "application/json",
	.before = "{\"events\":[", .between = ",", .after = "]}",
	.put = put, .headers = headers,
};

HTTP_ACTOR(webhook, kind);
