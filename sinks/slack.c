/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slack: what happens to requests for approval, told to people as messages that
 * Slack and those like it show: asked, decided, about to expire, expired. All
 * other events are passed over. With callback_file, what still waits has two
 * buttons; what each stands for is under a MAC (<aegis/signed.h>), and iam takes
 * the click (POST /v1/callbacks/approvals).
 * What the server knows stands first, as plain text: no word in it is a link or
 * calls anybody. What the requester says of itself comes behind a line that says
 * so, each line fenced.
 */
#include "http.h"
#include "message.h"

struct slack {
	struct http http; /* first: http->kind's put gets it */
	struct ag_secret *click; /* NULL: no buttons */
};

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	struct slack *slack = (struct slack *)http;
	char *text = message_json(e->event, slack->click);
	bool ok = text != NULL && http_puts(body, text);

	free(text);
	return ok;
}

static const struct http_kind kind = {
	.secret = "key_file", .secret_min = 32,
	.content_type = "application/json",
	.before = "", .between = "", .after = "",
	.put = put, .headers = http_signed,
};

static ag_err
open_slack(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	struct slack *slack = own;
	ag_err err = http_open(&slack->http, feed, ctx, &kind);

	if (err == AG_OK)
		err = feed_secret(feed, "callback_file", &slack->click);
	if (err == AG_OK && slack->click != NULL &&
	    ag_secret_len(slack->click) < AG_CLICK_SECRET_MIN) {
		ag_log(ctx, AG_ERROR, "SINK-SECRET", "member=callback_file why="
		    "shorter than %d bytes", AG_CLICK_SECRET_MIN);
		err = AG_USAGE;
	}
	return err;
}

static bool
is_told(const struct feed_item *item, bool *memory)
{
	Ag__Event *event = feed_event(item);
	bool told = event != NULL && message_kind(event) != MESSAGE_NONE;

	*memory = event != NULL;
	feed_event_free(event);
	return told;
}

/* One message a request; what is not about approvals is delivered by that. */
static ag_err
deliver(void *own, struct feed_batch *batch)
{
	for (batch->done = 0; batch->done < batch->count; batch->done++) {
		struct feed_batch one = { .items = &batch->items[batch->done],
			.count = 1, .feed = batch->feed };
		bool memory;
		ag_err err;

		if (!is_told(one.items, &memory)) {
			if (!memory)
				return AG_NO_MEMORY;
			continue;
		}
		if (feed_stopping(batch->feed))
			return AG_UNAVAILABLE;
		if ((err = http_deliver(own, &one)) != AG_OK) {
			memcpy(batch->error, one.error, sizeof(batch->error));
			return err;
		}
	}
	return AG_OK;
}

static void
close_slack(void *own)
{
	struct slack *slack = own;

	http_close(&slack->http);
	ag_secret_free(&slack->click);
}

static const struct feed_sink sink_slack = {
	.own_size = sizeof(struct slack),
	.batch_max = 256,
	.open = open_slack,
	.deliver = deliver,
	.close = close_slack,
};

FEED_ACTOR(slack, sink_slack);
