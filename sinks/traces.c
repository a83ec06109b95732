/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traces: where traced requests (tracing.enabled) spent their time, as spans of
 * OpenTelemetry, OTLP/HTTP 1.0 in its JSON encoding, to a collector's or
 * Jaeger's /v1/traces. The plane's span is what the caller's is the parent of,
 * with the id that the answer's traceparent has; in it are the stations', and in
 * those whom they asked. Attributes say which event it is, and nothing of what
 * was asked for. Events of what was not traced are passed over.
 */
#include "otel.h"

#include <jansson.h>
#include <string.h>

enum {
	TRACE_HEX = 32, SPAN_HEX = 16,
	KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3, /* of OTLP */
	STATUS_ERROR = 2,
};

/* The nth span's id: the first one's is the request id's random half, the
 * others' follow from it, so that a batch that comes twice is the same spans. */
static void
span_id(const Ag__Event *event, size_t nth, char out[SPAN_HEX + 1])
{
	char from[AG_UUID_TEXT + 16], id[AG_ID_SIZE];

	if (nth == 1) { /* xxxxxxxx-xxxx-xxxx-RRRR-RRRRRRRRRRRR */
		memcpy(out, event->request_id + 19, 4);
		memcpy(out + 4, event->request_id + 24, 12);
	} else {
		snprintf(from, sizeof(from), "%.36s/%zu", event->request_id, nth);
		ag_id_derive("evt", "span", from, id);
		memcpy(out, id + 4 + 16, SPAN_HEX); /* what is not its time */
	}
	out[SPAN_HEX] = '\0';
}

/* "keys.1" is one of the processes keys. */
static json_t *
name_of(const Ag__Event *event, size_t nth)
{
	const Ag__Span *span = event->spans[nth - 1];

	return nth == 1 ? json_sprintf("%s %s", span->name, event->operation) :
	    json_stringn(span->name, strcspn(span->name, "."));
}

static bool
set_time(json_t *object, const char *key, const Ag__Event *event, uint64_t us)
{
	return json_object_set_new(object, key, json_sprintf("%llu",
	    (unsigned long long)event->occurred_at * 1000000 +
	    (unsigned long long)us * 1000)) == 0;
}

static bool
set_parent(json_t *object, const Ag__Event *event, size_t nth)
{
	const Ag__Span *span = event->spans[nth - 1];
	char id[SPAN_HEX + 1];

	if (nth == 1)
		return event->parent_id == NULL || json_object_set_new(object,
		    "parentSpanId", json_string(event->parent_id)) == 0;
	span_id(event, span->has_under && span->under < nth ? span->under : 1, id);
	return json_object_set_new(object, "parentSpanId", json_string(id)) == 0;
}

static json_t *
attributes_of(const Ag__Event *event, size_t nth)
{
	json_t *list = nth == 1 ? otel_event(event) : json_array();

	if (list == NULL)
		return NULL;
	if (otel_set(list, "aegis.process", event->spans[nth - 1]->name) &&
	    (nth > 1 || otel_set(list, "aegis.code", event->code)))
		return list;
	json_decref(list);
	return NULL;
}

static json_t *
span_of(const Ag__Event *event, size_t nth)
{
	const Ag__Span *span = event->spans[nth - 1];
	int kind = nth == 1 ? KIND_SERVER : span->has_under && span->under > 1 ?
	    KIND_CLIENT : KIND_INTERNAL;
	char id[SPAN_HEX + 1];
	json_t *object;

	span_id(event, nth, id);
	object = json_pack("{s:s, s:s, s:o, s:i, s:o}", "traceId",
	    event->trace_id, "spanId", id, "name", name_of(event, nth), "kind",
	    kind, "attributes", attributes_of(event, nth));
	if (object == NULL)
		return NULL;
	if (set_parent(object, event, nth) &&
	    set_time(object, "startTimeUnixNano", event, span->begin_us) &&
	    set_time(object, "endTimeUnixNano", event,
	    span->begin_us + span->duration_us) && (nth > 1 ||
	    event->status < 500 || json_object_set_new(object, "status",
	    json_pack("{s:i}", "code", STATUS_ERROR)) == 0))
		return object;
	json_decref(object);
	return NULL;
}

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	const Ag__Event *event = e->event;
	/* The plane's span went with the event that this one comes after. */
	size_t first = event->event_type == AG__EVENT_TYPE__V__outcome_late ? 2 : 1;

	(void)http;
	if (event->trace_id == NULL || strlen(event->trace_id) != TRACE_HEX ||
	    event->request_id == NULL ||
	    strlen(event->request_id) != AG_UUID_TEXT - 1)
		return true;
	for (size_t nth = first; nth <= event->n_spans; nth++)
		if ((nth > first && !http_puts(body, ",")) ||
		    !otel_put(body, span_of(event, nth)))
			return false;
	return true;
}

static const struct http_kind kind = {
	.secret = "token_file", .secret_min = 1,
	.content_type = "application/json",
	.before = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":"
	    "\"service.name\",\"value\":{\"stringValue\":\"aegis\"}}]},"
	    "\"scopeSpans\":[{\"scope\":{\"name\":\"aegis\"},\"spans\":[",
	.between = ",", .after = "]}]}]}",
	.put = put, .headers = otel_headers,
};

HTTP_ACTOR(traces, kind);
