/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp: events as log records of OpenTelemetry, OTLP/HTTP 1.0 in its JSON
 * encoding, to a collector's /v1/logs. The event is the record's body; what
 * people search by (id, tenant, operation, outcome) is its attributes, and the
 * trace id ties it to the caller's trace.
 */
#include "otel.h"

#include <jansson.h>
#include <string.h>

enum { SEVERITY_INFO = 9, SEVERITY_WARN = 13 };

static bool
put(struct http *http, struct http_text *body, const struct encoded *e)
{
	const Ag__Event *event = e->event;
	bool well = event->outcome == AG__OUTCOME_KIND__V__allowed;
	json_t *attributes = otel_event(event), *record;
	char nanos[32];

	(void)http;
	if (!otel_set(attributes, "event.name", "aegis.audit")) {
		json_decref(attributes);
		return false;
	}
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
	return otel_put(body, record);
}

static const struct http_kind kind = {
	.secret = "token_file", .secret_min = 1,
	.content_type = "application/json",
	.before = "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":"
	    "\"service.name\",\"value\":{\"stringValue\":\"aegis\"}}]},"
	    "\"scopeLogs\":[{\"scope\":{\"name\":\"aegis.audit\"},"
	    "\"logRecords\":[",
	.between = ",", .after = "]}]}]}",
	.put = put, .headers = otel_headers,
};

HTTP_ACTOR(otlp, kind);
