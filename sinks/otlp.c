/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp: events as log records of OpenTelemetry, OTLP/HTTP 1.0 in its JSON
 * encoding, to a collector's /v1/logs. The event is the record's body; what
 * people search by (id, tenant, operation, outcome) is its attributes, and the
 * trace id ties it to the caller's trace.
 */
#include "http.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITY_INFO = 9, SEVERITY_WARN = 13 };

static bool
set(json_t *list, const char *key, const char *value)
{
	return value == NULL || json_array_append_new(list,
	    json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue",
	    value)) == 0;
}

static json_t *
attributes_of(const Ag__Event *event)
{
	json_t *list = json_array();
	bool ok = set(list, "event.name", "aegis.audit") &&
	    set(list, "aegis.event_id", event->event_id) &&
	    set(list, "aegis.tenant", event->tenant) &&
	    set(list, "aegis.operation", event->operation) &&
	    set(list, "aegis.outcome", ag_enum_name(
	        &ag__outcome_kind__v__descriptor, event->outcome)) &&
	    set(list, "aegis.event_type", ag_enum_name(
	        &ag__event_type__v__descriptor, event->event_type));

	if (ok && event->actor != NULL)
		ok = set(list, "enduser.id", event->actor->id);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	const Ag__Event *event = e->event;
	bool well = event->outcome == AG__OUTCOME_KIND__V__allowed;
	char nanos[32];
	json_t *attributes = attributes_of(event), *record;
	char *text;
	bool ok;

	(void)http;
	snprintf(nanos, sizeof(nanos), "%lld000000",
	    (long long)event->occurred_at);
	record = json_pack("{s:s, s:i, s:s, s:{s:s}, s:o}", "timeUnixNano",
	    nanos, "severityNumber", well ? SEVERITY_INFO : SEVERITY_WARN,
	    "severityText", well ? "INFO" : "WARN", "body", "stringValue",
	    e->bytes, "attributes", attributes);
	if (record != NULL && event->trace_id != NULL &&
	    strlen(event->trace_id) == 32)
		(void)json_object_set_new(record, "traceId",
		    json_string(event->trace_id));
	text = record == NULL ? NULL : json_dumps(record, JSON_COMPACT);
	json_decref(record);
	ok = text != NULL && http_puts(body, text);
	free(text);
	return ok;
}

static struct curl_slist *
headers(struct http *http, struct curl_slist *list, const struct http_text *body)
{
	char line[AG_SECRET_FILE_MAX + 32];

	(void)body;
	if (http->secret == NULL)
		return list;
	snprintf(line, sizeof(line), "Authorization: Bearer %.*s",
	    (int)ag_secret_len(http->secret),
	    (const char *)ag_secret_bytes(http->secret));
	list = curl_slist_append(list, line);
	ag_wipe(line, sizeof(line));
	return list;
}

static const struct http_kind kind = {
	.secret = "token_file", .secret_min = 1,
	.content_type = "application/json",
	.before = "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":"
	    "\"service.name\",\"value\":{\"stringValue\":\"aegis\"}}]},"
	    "\"scopeLogs\":[{\"scope\":{\"name\":\"aegis.audit\"},"
	    "\"logRecords\":[",
	.between = ",", .after = "]}]}]}",
	.put = put, .headers = headers,
};

HTTP_ACTOR(otlp, kind);
