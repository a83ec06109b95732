/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nats: an event is a message of JetStream, subject <topic>.<tenant>.<operation>,
 * its Nats-Msg-Id the event's id, so that the server drops what comes twice
 * within the stream's duplicate window. A batch is published at once and counts
 * when every PubAck is there. The stream is the operator's: the sink makes
 * none, and waits until one takes its subjects.
 */
#include "encode.h"

#include <nats/nats.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBJECT_MAX = 320, CONNECT_MS = 5000, ACK_MS = 5000, PING_MS = 10000,
	LOOK_MS = 2 };

struct nats {
	struct feed *feed;
	natsOptions *options;
	natsConnection *connection; /* NULL: not connected */
	_Atomic(jsCtx *) stream;
	atomic_size_t acked;        /* of the batch under way */
	atomic_int refusal;         /* natsStatus */
	char topic[128];
	enum encode_format format;
};

/* ---------------------------------------------------------- configuration */

static natsStatus
set_password(struct nats *nats, const char *user, struct ag_secret *secret)
{
	char text[AG_SECRET_FILE_MAX + 1];
	natsStatus status;

	snprintf(text, sizeof(text), "%.*s", (int)ag_secret_len(secret),
	    (const char *)ag_secret_bytes(secret));
	status = natsOptions_SetUserInfo(nats->options, user, text);
	ag_wipe(text, sizeof(text));
	return status;
}

static natsStatus
set_tls(struct nats *nats, const char *url)
{
	const char *ca = feed_option(nats->feed, "ca_file");
	char path[FEED_PATH_MAX];
	natsStatus status = NATS_OK;

	if (strncmp(url, "tls://", 6) != 0)
		return NATS_OK;
	status = natsOptions_SetSecure(nats->options, true);
	if (status != NATS_OK || ca == NULL)
		return status;
	if (feed_path(nats->feed, ca, path) != AG_OK)
		return NATS_INVALID_ARG;
	return natsOptions_LoadCATrustedCertificates(nats->options, path);
}

static ag_err
nats_start(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *url = feed_option(feed, "url");
	const char *user = feed_option(feed, "user");
	const char *topic = feed_option(feed, "topic");
	struct ag_secret *secret = NULL;
	struct nats *nats = own;
	natsStatus status;
	ag_err err;

	nats->feed = feed;
	nats->format = encode_format_of(feed);
	snprintf(nats->topic, sizeof(nats->topic), "%s",
	    topic != NULL ? topic : "audit");
	if (url == NULL)
		return AG_USAGE;
	if ((err = feed_secret(feed, "password_file", &secret)) != AG_OK)
		return err;
	status = natsOptions_Create(&nats->options);
	if (status == NATS_OK)
		status = natsOptions_SetURL(nats->options, url);
	if (status == NATS_OK && user != NULL)
		status = set_password(nats, user, secret);
	if (status == NATS_OK)
		status = set_tls(nats, url);
	/* A connection that breaks ends the batch; the feed's next try makes a
	 * new one. */
	if (status == NATS_OK)
		status = natsOptions_SetAllowReconnect(nats->options, false);
	if (status == NATS_OK)
		status = natsOptions_SetTimeout(nats->options, CONNECT_MS);
	if (status == NATS_OK)
		status = natsOptions_SetPingInterval(nats->options, PING_MS);
	if (status == NATS_OK)
		status = natsOptions_SetName(nats->options, "aegis");
	ag_secret_free(&secret);
	if (status == NATS_OK)
		return AG_OK;
	ag_log(ctx, AG_ERROR, "SINK-CONFIG", "url=%s why=%s", url,
	    natsStatus_GetText(status));
	return AG_USAGE;
}

/* -------------------------------------------------------------- delivering */

static void
hang_up(struct nats *nats)
{
	jsCtx *stream = atomic_exchange(&nats->stream, NULL);

	jsCtx_Destroy(stream);
	natsConnection_Destroy(nats->connection);
	nats->connection = NULL;
}

/*
 * Of each message of the batch, in a thread of the library. One of a connection
 * that was given up says nothing about this batch.
 */
static void
on_ack(jsCtx *stream, natsMsg *message, jsPubAck *ack, jsPubAckErr *error,
    void *arg)
{
	struct nats *nats = arg;

	(void)ack;
	if (stream == atomic_load(&nats->stream)) {
		if (error == NULL)
			atomic_fetch_add(&nats->acked, 1);
		else if (error->ErrCode == JSStreamMessageExceedsMaximumErr)
			atomic_store(&nats->refusal, NATS_MAX_PAYLOAD);
		else
			atomic_store(&nats->refusal, error->Err != NATS_OK ?
			    error->Err : NATS_ERR);
	}
	natsMsg_Destroy(message);
}

static natsStatus
call(struct nats *nats)
{
	jsOptions options;
	jsCtx *stream = NULL;
	natsStatus status = natsConnection_Connect(&nats->connection,
	    nats->options);

	if (status == NATS_OK)
		status = jsOptions_Init(&options);
	if (status == NATS_OK) {
		options.PublishAsync.MaxPending = FEED_BATCH_MAX;
		options.PublishAsync.AckHandler = on_ack;
		options.PublishAsync.AckHandlerClosure = nats;
		status = natsConnection_JetStream(&stream, nats->connection,
		    &options);
	}
	atomic_store(&nats->stream, stream);
	if (status != NATS_OK)
		hang_up(nats);
	return status;
}

/* In a subject's part: no dot, blank, star, > (tenants' names may have dots). */
static void
put_token(char *out, const char *text, const char *bad)
{
	for (; *text != '\0'; text++, out++)
		*out = strchr(bad, *text) != NULL || *text < '!' ? '_' : *text;
	*out = '\0';
}

static natsStatus
publish(struct nats *nats, const struct feed_item *item)
{
	char subject[SUBJECT_MAX], tenant[AG_NAME_MAX + 1], operation[96];
	jsPubOptions options;
	struct encoded e;
	natsStatus status = NATS_NO_MEMORY;

	if (encode_item(nats->format, item, &e) == AG_OK &&
	    strlen(e.event->tenant) < sizeof(tenant) &&
	    strlen(e.event->operation) < sizeof(operation)) {
		put_token(tenant, e.event->tenant, ".*>");
		put_token(operation, e.event->operation, "*>");
		snprintf(subject, sizeof(subject), "%s.%s.%s", nats->topic, tenant,
		    operation);
		jsPubOptions_Init(&options);
		options.MsgId = e.event->event_id;
		status = js_PublishAsync(nats->stream, subject, e.bytes,
		    (int)e.len, &options);
	}
	encoded_free(&e);
	return status;
}

static natsStatus
await_acks(struct nats *nats, const struct feed_batch *batch)
{
	natsStatus status;

	for (unsigned waited = 0; waited < ACK_MS && !feed_stopping(nats->feed);
	    waited += LOOK_MS) {
		if ((status = atomic_load(&nats->refusal)) != NATS_OK)
			return status;
		if (atomic_load(&nats->acked) == batch->count)
			return NATS_OK;
		if (natsConnection_IsClosed(nats->connection))
			return NATS_CONNECTION_CLOSED;
		nats_Sleep(LOOK_MS);
	}
	return NATS_TIMEOUT;
}

static ag_err
nats_deliver(void *own, struct feed_batch *batch)
{
	struct nats *nats = own;
	natsStatus status = NATS_OK;

	if (nats->connection != NULL && natsConnection_IsClosed(nats->connection))
		hang_up(nats);
	if (nats->connection == NULL && (status = call(nats)) != NATS_OK)
		return feed_fail(batch, AG_UNAVAILABLE, "connect: %s",
		    natsStatus_GetText(status));
	atomic_store(&nats->acked, 0);
	atomic_store(&nats->refusal, NATS_OK);
	for (size_t i = 0; status == NATS_OK && i < batch->count; i++)
		status = publish(nats, &batch->items[i]);
	if (status == NATS_OK)
		status = await_acks(nats, batch);
	if (status == NATS_OK)
		return AG_OK;
	hang_up(nats); /* nothing of it comes later, out of order */
	return feed_fail(batch, status == NATS_MAX_PAYLOAD ? AG_BAD_MESSAGE :
	    AG_UNAVAILABLE, "publish: %s", natsStatus_GetText(status));
}

static void
nats_stop(void *own)
{
	struct nats *nats = own;

	hang_up(nats);
	natsOptions_Destroy(nats->options);
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct nats),
	.batch_max = 256,
	.tends = true,
	.open = nats_start,
	.deliver = nats_deliver,
	.close = nats_stop,
};

FEED_ACTOR(nats, sink);
