/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer. Offsets are committed by hand, after the fact; a group that
 * has none begins where the rewind says.
 */
#include "stream.h"

#include <librdkafka/rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMES_MS = 1000, TROUBLE_MAX = 120 };

struct stream {
	struct ag_ctx *ctx;
	rd_kafka_t *consumer;
	rd_kafka_message_t *message; /* given out last */
	int64_t rewind_ms;
	unsigned partitions;
	bool dealt, unsettled;
	char trouble[TROUBLE_MAX];
};

static const struct {
	const char *name, *value;
} properties[] = {
	{ "client.id", "aegis-across" },
	{ "enable.auto.commit", "false" },
	{ "auto.offset.reset", "latest" },
	{ "statistics.interval.ms", "1000" },
	{ "queued.max.messages.kbytes", "16384" },
	{ "fetch.message.max.bytes", "4194304" },
	{ "reconnect.backoff.max.ms", "2000" },
	{ "session.timeout.ms", "10000" },
	{ "topic.metadata.refresh.interval.ms", "10000" }, /* of one not there yet */
	{ "log.connection.close", "false" },
};

static ag_err
set(struct ag_ctx *ctx, rd_kafka_conf_t *conf, const char *name,
    const char *value)
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) ==
	    RD_KAFKA_CONF_OK)
		return AG_OK;
	ag_log(ctx, AG_ERROR, "ACROSS-CONFIG", "property=%s why=%s", name, why);
	return AG_USAGE;
}

static ag_err
set_brokers(struct ag_ctx *ctx, rd_kafka_conf_t *conf)
{
	const char *broker;
	char list[2048] = "";
	size_t len = 0;

	for (unsigned i = 0; (broker = ag_config_get_item(ag_config(ctx),
	    "across.brokers", 0, i)) != NULL; i++) {
		int n = snprintf(list + len, sizeof(list) - len, "%s%s",
		    i > 0 ? "," : "", broker);

		if (n < 0 || (size_t)n >= sizeof(list) - len)
			return AG_USAGE;
		len += (size_t)n;
	}
	if (len > 0)
		return set(ctx, conf, "bootstrap.servers", list);
	ag_log(ctx, AG_ERROR, "ACROSS-CONFIG", "property=across.brokers "
	    "why=\"it names nobody\"");
	return AG_USAGE;
}

static ag_err
set_password(struct ag_ctx *ctx, rd_kafka_conf_t *conf, const char *user)
{
	const char *path = ag_state_path(ctx,
	    ag_config_str(ctx, "across.password_file", 0));
	char password[AG_SECRET_FILE_MAX + 1];
	struct ag_secret *secret = NULL;
	const char *why = "not given";
	ag_err err;

	if (path == NULL || (why = ag_secret_read(path, &secret)) != NULL) {
		ag_log(ctx, AG_ERROR, "ACROSS-CONFIG",
		    "property=across.password_file why=\"%s\"", why);
		return AG_USAGE;
	}
	snprintf(password, sizeof(password), "%.*s", (int)ag_secret_len(secret),
	    (const char *)ag_secret_bytes(secret));
	if ((err = set(ctx, conf, "sasl.mechanisms", "SCRAM-SHA-512")) == AG_OK &&
	    (err = set(ctx, conf, "sasl.username", user)) == AG_OK)
		err = set(ctx, conf, "sasl.password", password);
	ag_wipe(password, sizeof(password));
	ag_secret_free(&secret);
	return err;
}

/* As the sink's: TLS where there is an authority or a user. */
static ag_err
set_security(struct ag_ctx *ctx, rd_kafka_conf_t *conf)
{
	const char *user = ag_config_str(ctx, "across.user", 0);
	const char *given = ag_config_str(ctx, "across.ca_file", 0);
	const char *ca = ag_state_path(ctx, given);
	ag_err err = AG_OK;

	if (given == NULL && user == NULL)
		return AG_OK;
	if (given != NULL)
		err = ca == NULL ? AG_NO_MEMORY :
		    set(ctx, conf, "ssl.ca.location", ca);
	if (err == AG_OK)
		err = set(ctx, conf, "security.protocol",
		    user != NULL ? "SASL_SSL" : "SSL");
	return err == AG_OK && user != NULL ? set_password(ctx, conf, user) : err;
}

/* ------------------------------------------------------------- its callbacks */

/* Where the partition ends now. "latest" would be looked up later, and what comes
 * until then would be passed over. Who does not answer is not asked again for the
 * next partition: this waits. */
static int64_t
end_of(const struct stream *stream, const rd_kafka_topic_partition_t *part,
    bool *answers)
{
	int64_t low, high;

	*answers = *answers && rd_kafka_query_watermark_offsets(
	    stream->consumer, part->topic, part->partition, &low, &high,
	    TIMES_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	return *answers ? high : RD_KAFKA_OFFSET_INVALID;
}

/* Back by the longest window, so that what is counted in it is whole; not
 * ahead of what is settled. */
static void
set_back(struct stream *stream, rd_kafka_topic_partition_list_t *parts)
{
	rd_kafka_topic_partition_list_t *settled =
	    rd_kafka_topic_partition_list_copy(parts);
	int64_t since = ag_now_ms(stream->ctx) - stream->rewind_ms;
	bool known = rd_kafka_committed(stream->consumer, settled, TIMES_MS) ==
	    RD_KAFKA_RESP_ERR_NO_ERROR, answers = true;

	for (int i = 0; i < parts->cnt; i++)
		parts->elems[i].offset = since;
	if (rd_kafka_offsets_for_times(stream->consumer, parts, TIMES_MS) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		for (int i = 0; i < parts->cnt; i++)
			parts->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
	for (int i = 0; i < parts->cnt; i++) {
		int64_t at = known ? settled->elems[i].offset : -1;
		int64_t *from = &parts->elems[i].offset;

		if (at >= 0 && (*from < 0 || at < *from))
			*from = at;
		else if (*from < 0)
			*from = end_of(stream, &parts->elems[i], &answers);
	}
	rd_kafka_topic_partition_list_destroy(settled);
}

static void
on_deal(rd_kafka_t *consumer, rd_kafka_resp_err_t err,
    rd_kafka_topic_partition_list_t *parts, void *opaque)
{
	struct stream *stream = opaque;

	stream->dealt = true;
	stream->unsettled = false;
	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		stream->partitions = (unsigned)parts->cnt;
		set_back(stream, parts);
		rd_kafka_assign(consumer, parts);
	} else {
		stream->partitions = 0;
		rd_kafka_assign(consumer, NULL);
	}
	ag_log(stream->ctx, AG_INFO, "ACROSS-DEALT", "partitions=%u",
	    stream->partitions);
}

/* Once a second: whether any broker is connected. */
static int
on_statistics(rd_kafka_t *consumer, char *json, size_t len, void *opaque)
{
	struct stream *stream = opaque;

	(void)consumer;
	(void)len;
	if (strstr(json, "\"state\":\"UP\"") != NULL)
		stream->trouble[0] = '\0';
	else if (stream->trouble[0] == '\0')
		snprintf(stream->trouble, sizeof(stream->trouble),
		    "no Kafka broker is connected");
	return 0;
}

static void
on_error(rd_kafka_t *consumer, int err, const char *reason, void *opaque)
{
	(void)consumer;
	(void)err;
	(void)reason;
	(void)opaque; /* statistics say whether it matters */
}

static void
on_log(const rd_kafka_t *consumer, int level, const char *facility,
    const char *text)
{
	(void)consumer;
	(void)level;
	(void)facility;
	(void)text; /* it would go to standard error */
}

/* ---------------------------------------------------------------- the stream */

static ag_err
configure(struct stream *stream, rd_kafka_conf_t *conf)
{
	struct ag_ctx *ctx = stream->ctx;
	ag_err err = AG_OK;

	rd_kafka_conf_set_opaque(conf, stream);
	rd_kafka_conf_set_rebalance_cb(conf, on_deal);
	rd_kafka_conf_set_stats_cb(conf, on_statistics);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	for (size_t i = 0; err == AG_OK &&
	    i < sizeof(properties) / sizeof(properties[0]); i++)
		err = set(ctx, conf, properties[i].name, properties[i].value);
	if (err == AG_OK)
		err = set(ctx, conf, "group.id",
		    ag_config_str(ctx, "across.group", 0));
	if (err == AG_OK)
		err = set_brokers(ctx, conf);
	return err == AG_OK ? set_security(ctx, conf) : err;
}

static ag_err
subscribe(struct stream *stream)
{
	rd_kafka_topic_partition_list_t *topics =
	    rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(topics,
	    ag_config_str(stream->ctx, "across.topic", 0),
	    RD_KAFKA_PARTITION_UA);
	err = rd_kafka_subscribe(stream->consumer, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	return err == RD_KAFKA_RESP_ERR_NO_ERROR ? AG_OK : AG_USAGE;
}

ag_err
stream_open(struct ag_ctx *ctx, int64_t rewind_ms, struct stream **out)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	ag_err err = stream == NULL ? AG_NO_MEMORY : AG_OK;

	if (err == AG_OK) {
		stream->ctx = ctx;
		stream->rewind_ms = rewind_ms;
		snprintf(stream->trouble, sizeof(stream->trouble),
		    "no Kafka broker is connected yet");
		err = configure(stream, conf);
	}
	if (err == AG_OK && (stream->consumer = rd_kafka_new(RD_KAFKA_CONSUMER,
	    conf, why, sizeof(why))) == NULL) {
		ag_log(ctx, AG_ERROR, "ACROSS-CONFIG", "why=%s", why);
		err = AG_USAGE;
	}
	if (err != AG_OK) {
		rd_kafka_conf_destroy(conf);
		free(stream);
		return err;
	}
	rd_kafka_poll_set_consumer(stream->consumer);
	*out = stream;
	if ((err = subscribe(stream)) != AG_OK)
		stream_close(out);
	return err;
}

void
stream_close(struct stream **out)
{
	struct stream *stream = *out;

	if (stream == NULL)
		return;
	if (stream->message != NULL)
		rd_kafka_message_destroy(stream->message);
	/* Without a word to the group: it finds out, and nobody waits. */
	rd_kafka_destroy_flags(stream->consumer,
	    RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(stream);
	*out = NULL;
}

const uint8_t *
stream_next(struct stream *stream, size_t *len, bool *dealt)
{
	const uint8_t *value = NULL;

	if (stream->message != NULL)
		rd_kafka_message_destroy(stream->message);
	stream->message = rd_kafka_consumer_poll(stream->consumer, 0);
	if (stream->message != NULL &&
	    stream->message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_message_destroy(stream->message);
		stream->message = NULL;
	}
	*dealt = stream->dealt;
	stream->dealt = false;
	if (stream->message != NULL) {
		value = stream->message->payload;
		*len = stream->message->len;
		stream->unsettled = true;
	}
	return value;
}

void
stream_settled(struct stream *stream)
{
	if (!stream->unsettled)
		return;
	stream->unsettled = false;
	/* What it hands out it counts as stored; a commit that fails is made
	 * good by the next one. */
	(void)rd_kafka_commit(stream->consumer, NULL, 1);
}

const char *
stream_trouble(const struct stream *stream)
{
	return stream->trouble;
}

unsigned
stream_partitions(const struct stream *stream)
{
	return stream->partitions;
}
