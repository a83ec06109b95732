/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webhook: batches of events to somebody's HTTPS receiver, signed. The body is
 * {"events":[…]}; Aegis-Signature is "v1=" and HMAC-SHA256, in hex, under the
 * key of key_file, over the text of Aegis-Timestamp (seconds since 1970), a
 * dot, and the body. Whoever checks both and refuses old timestamps knows that
 * the batch is ours and not one sent again by somebody else.
 */
#include "http.h"

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	(void)http;
	return http_put(body, e->bytes, e->len);
}

static const struct http_kind kind = {
	.secret = "key_file", .secret_min = 32,
	.content_type = "application/json",
	.before = "{\"events\":[", .between = ",", .after = "]}",
	.put = put, .headers = http_signed,
};

HTTP_ACTOR(webhook, kind);
