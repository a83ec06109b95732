/* SPDX-License-Identifier: Apache-2.0 */
#include "otel.h"

#include <jansson.h>
#include <stdlib.h>

bool
otel_set(json_t *list, const char *key, const char *value)
{
	return value == NULL || json_array_append_new(list,
	    json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue",
	    value)) == 0;
}

json_t *
otel_event(const Ag__Event *event)
{
	json_t *list = json_array();
	bool ok = otel_set(list, "aegis.event_id", event->event_id) &&
	    otel_set(list, "aegis.tenant", event->tenant) &&
	    otel_set(list, "aegis.operation", event->operation) &&
	    otel_set(list, "aegis.outcome", ag_enum_name(
	        &ag__outcome_kind__v__descriptor, event->outcome)) &&
	    otel_set(list, "aegis.event_type", ag_enum_name(
	        &ag__event_type__v__descriptor, event->event_type));

	if (ok && event->actor != NULL)
		ok = otel_set(list, "enduser.id", event->actor->id);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

bool
otel_put(struct http_text *body, json_t *object)
{
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
	bool ok = text != NULL && http_puts(body, text);

	json_decref(object);
	free(text);
	return ok;
}

struct curl_slist *
otel_headers(struct http *http, struct curl_slist *list,
    const struct http_text *body)
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
