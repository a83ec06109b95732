/* SPDX-License-Identifier: Apache-2.0 */
/* What the sinks to OpenTelemetry collectors share: OTLP/HTTP 1.0 in JSON. */
#ifndef SINKS_OTEL_H
#define SINKS_OTEL_H

#include "http.h"

struct json_t;

/* Adds an attribute to the array; value NULL: there is none. False: memory. */
bool otel_set(struct json_t *list, const char *key, const char *value);
/* Id, tenant, operation, outcome and actor of the event. NULL: memory. */
struct json_t *otel_event(const Ag__Event *event);
/* Appends it as text and takes it; NULL, or false: memory. */
bool otel_put(struct http_text *body, struct json_t *object);
/* headers() of an http_kind: the bearer token, if there is one. */
struct curl_slist *otel_headers(struct http *http, struct curl_slist *list,
    const struct http_text *body);

#endif
