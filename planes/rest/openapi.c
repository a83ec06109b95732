/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface's description, printed from what serves it: routes.def, the
 * operations' table and the messages' descriptors. So it cannot be wrong about
 * which routes, members and words there are.
 */
#include "rest.h"
#include "schema.h"

#include <stdio.h>
#include <string.h>

/* RFC 9457, with the codes of err.def. */
static void
print_problem(struct text *out)
{
	int err;

	text_str(out, "\"Problem\":{\"type\":\"object\",\"required\":[\"type\","
	    "\"title\",\"status\",\"detail\",\"code\",\"reason_code\","
	    "\"request_id\",\"hint\",\"field\"],\"properties\":{"
	    "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
	    "\"status\":{\"type\":\"integer\"},"
	    "\"detail\":{\"type\":[\"string\",\"null\"]},"
	    "\"code\":{\"type\":\"string\",\"enum\":[");
	for (err = AG_OK + 1; err < AG_NO_MEMORY; err++)
		text_printf(out, "%s\"%s\"", err == AG_OK + 1 ? "" : ",",
		    ag_err_row((ag_err)err)->code);
	text_str(out, "]},\"reason_code\":{\"type\":[\"string\",\"null\"]},"
	    "\"request_id\":{\"type\":\"string\"},"
	    "\"hint\":{\"type\":[\"string\",\"null\"]},"
	    "\"field\":{\"type\":[\"string\",\"null\"]},"
	    "\"rule\":{\"type\":\"string\"},"
	    "\"challenge_id\":{\"type\":\"string\"},\"methods\":{\"type\":\"array\","
	    "\"items\":{\"type\":\"string\"}},"
	    "\"expires_at\":{\"type\":\"string\",\"format\":\"date-time\"}}}");
}

/* ------------------------------------------------------------------ paths */

static void
print_path_params(struct text *out, const char *path)
{
	const char *at = path, *end, *comma = "";

	while ((at = strchr(at, '{')) != NULL && (end = strchr(at, '}')) != NULL) {
		text_printf(out, "%s{\"name\":\"%.*s\",\"in\":\"path\","
		    "\"required\":true,\"schema\":{\"type\":\"string\"}}", comma,
		    (int)(end - at - 1), at + 1);
		comma = ",";
		at = end;
	}
}

static void
print_query_params(struct text *out, const ProtobufCMessageDescriptor *d,
    bool first)
{
	const ProtobufCFieldDescriptor *field;
	unsigned i;

	for (i = 0; i < d->n_fields; i++) {
		field = &d->fields[i];
		if (field->label == PROTOBUF_C_LABEL_REPEATED ||
		    field->type == PROTOBUF_C_TYPE_MESSAGE ||
		    codec_is_read_only(d, field))
			continue;
		text_printf(out, "%s{\"name\":\"%s\",\"in\":\"query\","
		    "\"required\":%s,\"schema\":{", first ? "" : ",", field->name,
		    field->label == PROTOBUF_C_LABEL_REQUIRED ? "true" : "false");
		schema_scalar(out, field, false);
		text_str(out, "}}");
		first = false;
	}
}

static void
print_header_param(struct text *out, const char *name, const char *pattern)
{
	bool first = out->len > 0 && out->bytes[out->len - 1] == '[';

	text_printf(out, "%s{\"name\":\"%s\",\"in\":\"header\",\"required\":false,"
	    "\"schema\":{\"type\":\"string\",\"pattern\":", first ? "" : ",", name);
	text_json(out, pattern);
	text_str(out, "}}");
}

/* Whether a request on a route with these flags can be refused with status. */
static bool
can_answer(unsigned status, uint32_t flags, bool body)
{
	switch (status) {
	case 412:
	case 422:
		return (flags & AG_OP_IDEM) != 0;
	case 415:
		return body;
	default:
		return true;
	}
}

/* The statuses of err.def, each once, without `but` (0: all). */
static void
print_problems(struct text *out, uint32_t flags, bool body, unsigned but)
{
	bool seen[600] = { [405] = true }; /* no route then */
	int err, status;

	seen[but] = true;
	for (err = AG_OK + 1; err < AG_NO_MEMORY; err++) {
		status = ag_err_row((ag_err)err)->http;
		if (seen[status] || !can_answer((unsigned)status, flags, body))
			continue;
		seen[status] = true;
		text_printf(out, ",\"%d\":{\"$ref\":"
		    "\"#/components/responses/Problem\"}", status);
	}
}

static void
print_operation(struct text *out, struct schemas *schemas,
    const struct route *route)
{
	const struct ag_operation *op = ag_operation_find(route->op);
	bool query = route->method == METHOD_GET || route->method == METHOD_DELETE;
	bool body = !query && op->ask != &ag__nothing__descriptor;
	bool click = op->type == AG_MSG_APPROVAL_CALLBACK; /* signed, and a form */

	text_printf(out, "\"operationId\":\"%s%s\",\"x-aegis-operation\":\"%s\","
	    "\"security\":[%s],\"parameters\":[", op->name,
	    route->method == METHOD_DELETE && op->type == AG_MSG_KEY_DESTROY ?
	    "_BY_DELETE" : "", op->operation, click ? "{\"signature\":[]}" :
	    "{\"bearer\":[]}");
	print_path_params(out, route->path);
	if (query)
		print_query_params(out, op->ask, strchr(route->path, '{') == NULL);
	if ((op->flags & AG_OP_IDEM) != 0)
		print_header_param(out, "Idempotency-Key", "^[!-~]{1,64}$");
	if ((op->flags & AG_OP_IDEM) != 0 && strchr(route->path, '{') != NULL)
		print_header_param(out, "If-Match", "^\"[0-9]+\"$");
	if (click)
		print_header_param(out, "X-Slack-Request-Timestamp",
		    "^[0-9]{1,12}$");
	/* Any request may score so that it wants a second factor. */
	print_header_param(out, "Aegis-Step-Up",
	    "^chl_[0-9a-f]{32}( totp=[0-9]{6})?$");
	text_char(out, ']');
	if (body) {
		text_printf(out, ",\"requestBody\":{\"content\":{\"application/%s\":"
		    "{\"schema\":", click ? "x-www-form-urlencoded" : "json");
		schema_ref(out, schemas, op->ask, true);
		text_str(out, "}}}");
	}
	text_printf(out, ",\"responses\":{\"%u\":{\"description\":\"%s\","
	    "\"content\":{\"%s\":{\"schema\":", route_success(route),
	    route_success(route) == 201 ? "Created" : "OK",
	    (op->flags & AG_OP_STREAM) != 0 ? "text/event-stream" :
	    "application/json");
	if ((op->flags & AG_OP_STREAM) != 0)
		text_str(out, "{\"type\":\"string\"}");
	else
		schema_ref(out, schemas, op->reply, false);
	text_str(out, "}}}");
	print_problems(out, op->flags, body, 0);
	text_char(out, '}');
}

/* ----------------------------------------------------------------- pages */

#define TEXT "{\"type\":\"string\"}"
#define HEALTH "{\"type\":\"object\",\"required\":[\"status\",\"checks\"]," \
	"\"properties\":{\"status\":{\"type\":\"string\",\"enum\":[\"ok\"," \
	"\"degraded\",\"unavailable\"]},\"checks\":{\"type\":\"array\",\"items\":{" \
	"\"type\":\"object\",\"required\":[\"name\",\"status\",\"detail\"]," \
	"\"properties\":{\"name\":" TEXT ",\"status\":" TEXT ",\"detail\":{" \
	"\"type\":[\"string\",\"null\"]}}}}}}"
#define INFO "{\"type\":\"object\",\"required\":[\"product\",\"version\",\"api\"," \
	"\"environment\"],\"properties\":{\"product\":" TEXT ",\"version\":" TEXT "," \
	"\"api\":" TEXT ",\"environment\":{\"type\":\"string\",\"enum\":[\"dev\"," \
	"\"prod\"]}}}"

/* What public.c answers with; a page without a schema is printed from its
 * message. A health page says the same when it says 503. */
static const struct page_form {
	const char *type, *schema;
	bool health;
} page_forms[PAGE_COUNT] = {
	[PAGE_LIVE] = { "application/json", HEALTH, true },
	[PAGE_READY] = { "application/json", HEALTH, true },
	[PAGE_STARTUP] = { "application/json", HEALTH, true },
	[PAGE_METRICS] = { "text/plain", TEXT, false },
	[PAGE_OPENAPI] = { "application/json", "{\"type\":\"object\"}", false },
	[PAGE_DOCS] = { "text/html", TEXT, false },
	[PAGE_JWKS] = { "application/json", NULL, false },
	[PAGE_INFO] = { "application/json", INFO, false },
};

static void
print_page(struct text *out, struct schemas *schemas, enum rest_page page)
{
	const struct page_form *form = &page_forms[page];

	text_printf(out, "\"security\":[],\"responses\":{\"200\":"
	    "{\"description\":\"OK\",\"content\":{\"%s\":{\"schema\":",
	    form->type);
	if (form->schema != NULL)
		text_str(out, form->schema);
	else
		schema_ref(out, schemas, &ag__jwks_reply__descriptor, false);
	text_str(out, "}}}");
	if (form->health)
		text_printf(out, ",\"503\":{\"description\":\"Unavailable\","
		    "\"content\":{\"%s\":{\"schema\":%s}}}", form->type,
		    form->schema);
	print_problems(out, 0, false, form->health ? 503 : 0);
	text_char(out, '}');
}

static void
print_method(struct text *out, struct schemas *schemas, const struct route *route)
{
	char name[8];
	size_t i;

	snprintf(name, sizeof(name), "%s", route_method_name(route->method));
	for (i = 0; name[i] != '\0'; i++)
		name[i] = (char)(name[i] | 0x20);
	text_printf(out, "\"%s\":{\"summary\":", name);
	text_json(out, route->summary);
	text_char(out, ',');
	if (route->page == PAGE_NONE)
		print_operation(out, schemas, route);
	else
		print_page(out, schemas, route->page);
	text_char(out, '}');
}

static bool
path_seen(unsigned before, const char *path)
{
	unsigned i;

	for (i = 0; i < before; i++)
		if (strcmp(route_at(i)->path, path) == 0)
			return true;
	return false;
}

static void
print_paths(struct text *out, struct schemas *schemas)
{
	const struct route *route, *other;
	const char *comma;
	unsigned i, j;

	for (i = 0; (route = route_at(i)) != NULL; i++) {
		if (path_seen(i, route->path))
			continue;
		text_printf(out, "%s\"%s\":{", i == 0 ? "" : ",", route->path);
		comma = "";
		for (j = i; (other = route_at(j)) != NULL; j++) {
			if (strcmp(other->path, route->path) != 0)
				continue;
			text_str(out, comma);
			print_method(out, schemas, other);
			comma = ",";
		}
		text_char(out, '}');
	}
}

void
openapi_print(struct text *out)
{
	struct schemas schemas = { .at = "#/components/schemas/" };
	unsigned i;

	text_str(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Aegis\","
	    "\"version\":\"v1\",\"description\":\"Agent-native key control plane\"},"
	    "\"paths\":{");
	print_paths(out, &schemas);
	text_str(out, "},\"components\":{\"securitySchemes\":{\"bearer\":"
	    "{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"},"
	    "\"signature\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":"
	    "\"X-Slack-Signature\"}},"
	    "\"responses\":{\"Problem\":{\"description\":\"Refused or failed\","
	    "\"content\":{\"application/problem+json\":{\"schema\":"
	    "{\"$ref\":\"#/components/schemas/Problem\"}}}}},\"schemas\":{");
	print_problem(out);
	/* The list grows while its rows are printed. */
	for (i = 0; i < schemas.count; i++) {
		text_char(out, ',');
		schema_define(out, &schemas, schemas.rows[i].d, schemas.rows[i].input);
	}
	text_str(out, "}}}");
}

/* -------------------------------------------------------------- the page */

#define DOCS_STYLE "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:64em;" \
	"padding:0 1em}table{border-collapse:collapse}td{padding:.2em 1em .2em 0;" \
	"vertical-align:top}code{font-size:.95em}"

/* No script, nothing from elsewhere; the policy names the one style by hash. */
void
docs_print(struct text *out, char *csp, size_t csp_size)
{
	static const char style[] = DOCS_STYLE;
	const struct ag_operation *op;
	const struct route *route;
	char hash_b64[48];
	uint8_t hash[32];
	unsigned i;

	ag_sha256(style, sizeof(style) - 1, hash);
	ag_base64(hash, sizeof(hash), hash_b64);
	snprintf(csp, csp_size, "Content-Security-Policy: default-src 'none'; "
	    "style-src 'sha256-%s'; frame-ancestors 'none'\r\n", hash_b64);
	text_str(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
	    "<title>Aegis: the REST interface</title><style>" DOCS_STYLE
	    "</style><h1>Aegis</h1><p>All routes that this server serves. Their "
	    "members and answers are in <a href=\"/openapi.json\">openapi.json</a>."
	    "<table>");
	for (i = 0; (route = route_at(i)) != NULL; i++) {
		op = ag_operation_find(route->op);
		text_printf(out, "<tr><td><code>%s</code><td><code>%s</code><td>%s"
		    "<td><code>", route_method_name(route->method), route->path,
		    route->summary);
		if (op != NULL && op->kind != AG_KIND_ANY)
			text_printf(out, "%s:%s:%s", ag_kind_name(op->kind),
			    (op->flags & AG_OP_ALL) != 0 ? "*" : "x", op->op);
		text_str(out, "</code>");
	}
	text_str(out, "</table></html>\n");
}
