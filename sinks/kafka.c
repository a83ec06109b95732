/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka: an event is a record of one topic. Its key is the tenant and the root
 * of the chain, so what one person and all their agents did lies in one
 * partition, in order. The producer is idempotent and waits for all replicas
 * (acks=all): a retry of the library's makes no duplicate, and no gap is
 * passed over (enable.gapless.guarantee). After a crash of this process the
 * last batch may be there twice, with the same event-id header.
 */
#include "encode.h"

#include <librdkafka/rdkafka.h>

#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 160, POLL_MS = 100, RECORD_MAX = 4 << 20 };

struct kafka {
	struct feed *feed;
	rd_kafka_conf_t *conf;  /* what producers are made of */
	rd_kafka_t *producer;   /* NULL: not yet, or not any more */
	char topic[250];        /* Kafka's own bound is 249 */
	enum encode_format format;
	/* of the batch under way */
	bool *delivered;
	size_t outstanding;
	rd_kafka_resp_err_t failed;
};

/* Is it the record that is wrong? Nothing else that may be the answer ends by
 * itself when somebody mends it. */
static bool
is_for_good(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
	    err == RD_KAFKA_RESP_ERR_INVALID_MSG ||
	    err == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

static void
on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	struct kafka *kafka = opaque;
	size_t i = (size_t)(uintptr_t)message->_private;

	(void)producer;
	kafka->outstanding--;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		kafka->delivered[i] = true;
	else if (kafka->failed == RD_KAFKA_RESP_ERR_NO_ERROR ||
	    is_for_good(message->err))
		kafka->failed = message->err;
}

static void
on_error(rd_kafka_t *producer, int err, const char *reason, void *opaque)
{
	struct kafka *kafka = opaque;

	(void)producer;
	(void)err;
	feed_trouble(kafka->feed, "%s", reason);
}

/* What it would write to standard error; the cause comes as an error, too. */
static void
on_log(const rd_kafka_t *producer, int level, const char *facility,
    const char *text)
{
	(void)producer;
	(void)level;
	(void)facility;
	(void)text;
}

/* ---------------------------------------------------------- configuration */

static ag_err
set(struct kafka *kafka, struct ag_ctx *ctx, const char *name,
    const char *value)
{
	char why[256];

	if (rd_kafka_conf_set(kafka->conf, name, value, why, sizeof(why)) ==
	    RD_KAFKA_CONF_OK)
		return AG_OK;
	ag_log(ctx, AG_ERROR, "SINK-CONFIG", "property=%s why=%s", name, why);
	return AG_USAGE;
}

static const struct {
	const char *name, *value;
} properties[] = {
	{ "client.id", "aegis" },
	{ "enable.idempotence", "true" }, /* with it: acks=all, order kept */
	{ "enable.gapless.guarantee", "true" },
	{ "acks", "all" },
	{ "message.timeout.ms", "0" }, /* never given up: the log is the spool */
	{ "linger.ms", "5" },
	{ "compression.codec", "lz4" },
	{ "message.max.bytes", "4194304" },
	{ "reconnect.backoff.max.ms", "2000" },
	{ "log.connection.close", "false" },
};

static ag_err
set_brokers(struct kafka *kafka, struct ag_ctx *ctx)
{
	const char *broker;
	char list[2048] = "";
	size_t len = 0;

	for (unsigned i = 0; (broker = ag_config_get_item(ag_config(ctx),
	    "sinks[].brokers", ag_index(ctx), i)) != NULL; i++) {
		int n = snprintf(list + len, sizeof(list) - len, "%s%s",
		    i > 0 ? "," : "", broker);

		if (n < 0 || (size_t)n >= sizeof(list) - len)
			return AG_USAGE;
		len += (size_t)n;
	}
	return set(kafka, ctx, "bootstrap.servers", list);
}

/* TLS where there is an authority or a password; SCRAM where there is one. */
static ag_err
set_security(struct kafka *kafka, struct ag_ctx *ctx)
{
	const char *ca = feed_option(kafka->feed, "ca_file");
	const char *user = feed_option(kafka->feed, "user");
	char path[FEED_PATH_MAX], password[AG_SECRET_FILE_MAX + 1];
	struct ag_secret *secret = NULL;
	ag_err err = AG_OK;

	if (ca == NULL && user == NULL)
		return AG_OK;
	if (ca != NULL && (err = feed_path(kafka->feed, ca, path)) == AG_OK)
		err = set(kafka, ctx, "ssl.ca.location", path);
	if (err == AG_OK)
		err = set(kafka, ctx, "security.protocol", user != NULL ?
		    "SASL_SSL" : "SSL");
	if (err != AG_OK || user == NULL)
		return err;
	if ((err = feed_secret(kafka->feed, "password_file", &secret)) != AG_OK)
		return err;
	snprintf(password, sizeof(password), "%.*s", (int)ag_secret_len(secret),
	    (const char *)ag_secret_bytes(secret));
	if ((err = set(kafka, ctx, "sasl.mechanisms", "SCRAM-SHA-512")) == AG_OK &&
	    (err = set(kafka, ctx, "sasl.username", user)) == AG_OK)
		err = set(kafka, ctx, "sasl.password", password);
	ag_wipe(password, sizeof(password));
	ag_secret_free(&secret);
	return err;
}

static ag_err
kafka_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *topic = feed_option(feed, "topic");
	struct kafka *kafka = own;
	ag_err err;

	kafka->feed = feed;
	kafka->format = encode_format_of(feed);
	snprintf(kafka->topic, sizeof(kafka->topic), "%s",
	    topic != NULL ? topic : "aegis.audit");
	if ((kafka->conf = rd_kafka_conf_new()) == NULL)
		return AG_NO_MEMORY;
	rd_kafka_conf_set_opaque(kafka->conf, kafka);
	rd_kafka_conf_set_dr_msg_cb(kafka->conf, on_report);
	rd_kafka_conf_set_error_cb(kafka->conf, on_error);
	rd_kafka_conf_set_log_cb(kafka->conf, on_log);
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if ((err = set(kafka, ctx, properties[i].name,
		        properties[i].value)) != AG_OK)
			return err;
	if ((err = set_brokers(kafka, ctx)) != AG_OK)
		return err;
	return set_security(kafka, ctx);
}

/* ------------------------------------------------------------- delivering */

static ag_err
producer_make(struct kafka *kafka, struct feed_batch *batch)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(kafka->conf);
	char why[96];

	kafka->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why,
	    sizeof(why));
	if (kafka->producer != NULL)
		return AG_OK;
	rd_kafka_conf_destroy(conf);
	return feed_fail(batch, AG_UNAVAILABLE, "producer: %s", why);
}

/* What it still had is in the next batch again, or in the next process's. */
static void
producer_drop(struct kafka *kafka)
{
	if (kafka->producer == NULL)
		return;
	rd_kafka_purge(kafka->producer, RD_KAFKA_PURGE_F_QUEUE |
	    RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_flush(kafka->producer, POLL_MS);
	rd_kafka_destroy_flags(kafka->producer,
	    RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	kafka->producer = NULL;
}

static rd_kafka_headers_t *
headers_of(const struct kafka *kafka, const Ag__Event *event)
{
	const char *type = ag_enum_name(&ag__event_type__v__descriptor,
	    event->event_type);
	rd_kafka_headers_t *headers = rd_kafka_headers_new(4);

	rd_kafka_header_add(headers, "event-id", -1, event->event_id, -1);
	rd_kafka_header_add(headers, "event-type", -1, type, -1);
	rd_kafka_header_add(headers, "tenant", -1, event->tenant, -1);
	rd_kafka_header_add(headers, "content-type", -1,
	    kafka->format == ENCODE_PROTOBUF ? "application/x-protobuf" :
	    "application/json", -1);
	return headers;
}

static ag_err
produce(struct kafka *kafka, const struct feed_item *item, size_t i)
{
	rd_kafka_headers_t *headers;
	struct encoded e;
	char key[KEY_MAX];
	rd_kafka_error_t *error;
	rd_kafka_vu_t parts[] = {
		{ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = kafka->topic },
		{ .vtype = RD_KAFKA_VTYPE_KEY },
		{ .vtype = RD_KAFKA_VTYPE_VALUE },
		{ .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = item->at },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_FREE },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)i },
		{ .vtype = RD_KAFKA_VTYPE_HEADERS },
	};
	ag_err err = encode_item(kafka->format, item, &e);

	if (err != AG_OK) {
		encoded_free(&e);
		return err;
	}
	feed_key(e.event, key, sizeof(key));
	headers = headers_of(kafka, e.event);
	parts[1].u.mem.ptr = key;
	parts[1].u.mem.size = strlen(key);
	parts[2].u.mem.ptr = e.bytes;
	parts[2].u.mem.size = e.len;
	parts[6].u.headers = headers;
	error = rd_kafka_produceva(kafka->producer, parts,
	    sizeof(parts) / sizeof(parts[0]));
	if (error == NULL) {
		kafka->outstanding++;
		e.bytes = NULL; /* the library's now */
	} else {
		kafka->failed = rd_kafka_error_code(error);
		rd_kafka_error_destroy(error);
		rd_kafka_headers_destroy(headers);
		err = AG_UNAVAILABLE;
	}
	encoded_free(&e);
	return err;
}

static void
await_reports(struct kafka *kafka, struct feed_batch *batch)
{
	while (kafka->outstanding > 0 && !feed_stopping(batch->feed) &&
	    kafka->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_poll(kafka->producer, POLL_MS);
}

static ag_err
kafka_deliver(void *own, struct feed_batch *batch)
{
	struct kafka *kafka = own;
	bool delivered[FEED_BATCH_MAX] = { false };
	ag_err err = AG_OK;

	if (kafka->producer == NULL &&
	    (err = producer_make(kafka, batch)) != AG_OK)
		return err;
	kafka->delivered = delivered;
	kafka->outstanding = 0;
	kafka->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (size_t i = 0; err == AG_OK && i < batch->count; i++)
		err = produce(kafka, &batch->items[i], i);
	/* Of one that the library itself refused, those before it still go. */
	if (is_for_good(kafka->failed)) {
		rd_kafka_resp_err_t why = kafka->failed;

		kafka->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
		await_reports(kafka, batch);
		if (kafka->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
			kafka->failed = why;
	}
	await_reports(kafka, batch);
	if (batch->count == 0)
		rd_kafka_poll(kafka->producer, 0);
	/* After a failure nothing of it may come later, out of order. */
	if (kafka->outstanding > 0 || rd_kafka_fatal_error(kafka->producer, NULL,
	        0) != RD_KAFKA_RESP_ERR_NO_ERROR)
		producer_drop(kafka);
	while (batch->done < batch->count && delivered[batch->done])
		batch->done++;
	kafka->delivered = NULL;
	if (batch->done == batch->count)
		return AG_OK;
	return feed_fail(batch, is_for_good(kafka->failed) ? AG_BAD_MESSAGE :
	    AG_UNAVAILABLE, "%s", rd_kafka_err2str(kafka->failed));
}

static void
kafka_close(void *own)
{
	static bool nobody_looks[FEED_BATCH_MAX];
	struct kafka *kafka = own;

	kafka->delivered = nobody_looks; /* reports of what is dropped */
	producer_drop(kafka);
	if (kafka->conf != NULL)
		rd_kafka_conf_destroy(kafka->conf);
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct kafka),
	.batch_max = FEED_BATCH_MAX,
	.tends = true,
	.open = kafka_open,
	.deliver = kafka_deliver,
	.close = kafka_close,
};

FEED_ACTOR(kafka, sink);
