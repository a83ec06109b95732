/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of policies as files; the format is in vectors.h. */
#include "vectors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROLES_MAX = 64,
	LABELS_MAX = 64,
	NAME_SIZE = 80,
	NOON = 12 * 3600 * 1000,
};
#define MONDAY INT64_C(1767571200000) /* 2026-01-05 */

struct running {
	const struct ag_cedar_schema *schema;
	const json_t *principals, *keys;
	ag_vector_fn *report;
	void *arg;
	struct ag_vector_sums *sums;
	uint8_t *scratch;
	const char *name;
	struct ag_rules *rules;
	char problem[256];
	char ids[2 * AG_RULES_CHAIN_MAX + 1][NAME_SIZE]; /* of the request */
	size_t id_count;
};

static const char *
text_of(const json_t *object, const char *member)
{
	return json_string_value(json_object_get(object, member));
}

static void __attribute__((format(printf, 2, 3)))
trouble(struct running *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (r->problem[0] == '\0')
		(void)vsnprintf(r->problem, sizeof(r->problem), format, ap);
	va_end(ap);
}

/* What is misspelled would otherwise not be tested. */
static void
only(struct running *r, const json_t *object, const char *what,
    const char *const *known)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		size_t i = 0;

		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		if (known[i] == NULL)
			trouble(r, "%s has no member \"%.40s\"", what, key);
	}
}

/* ---------------------------------------------------------------- parties */

static const char *
id_of(struct running *r, const char *prefix, const char *name)
{
	char *id = r->ids[r->id_count++ % (2 * AG_RULES_CHAIN_MAX + 1)];

	(void)snprintf(id, NAME_SIZE, "%s_%s", prefix, name);
	return id;
}

static void
roles_of(const json_t *who, struct ag_rules_party *out,
    const char *roles[ROLES_MAX])
{
	const json_t *list = json_object_get(who, "roles");

	out->roles = roles;
	for (size_t i = 0; i < json_array_size(list) && i < ROLES_MAX; i++)
		roles[out->role_count++] = json_string_value(
		    json_array_get(list, i));
}

static void
party_of(struct running *r, const char *name, struct ag_rules_party *out,
    const char *roles[ROLES_MAX])
{
	static const char *const known[] = { "kind", "roles", "parent", "model",
		"scopes", NULL };
	const json_t *who = NULL;

	for (; name != NULL; name = text_of(who, "parent")) {
		struct ag_rules_link *l = &out->links[out->count];
		const char *kind;

		who = json_object_get(r->principals, name);
		if (who == NULL || out->count == AG_RULES_CHAIN_MAX) {
			trouble(r, "there is no principal \"%.40s\" in the world",
			    name);
			return;
		}
		only(r, who, "a principal", known);
		kind = text_of(who, "kind");
		l->kind = kind != NULL && strcmp(kind, "agent") == 0 ?
		    AG_RULES_AGENT : kind != NULL && strcmp(kind, "service") == 0 ?
		    AG_RULES_SERVICE : AG_RULES_HUMAN;
		l->id = id_of(r, l->kind == AG_RULES_AGENT ? "agt" : "hum", name);
		l->name = name;
		l->model = text_of(who, "model");
		out->count++;
	}
	roles_of(who, out, roles);
}

/* --------------------------------------------------------------- resources */

static void
key_of(struct running *r, const char *name, struct ag_rules_resource *out,
    struct ag_rules_label labels[LABELS_MAX])
{
	static const char *const known[] = { "spec", "state", "backend",
		"labels", NULL };
	const json_t *key = json_object_get(r->keys, name);
	const char *label;
	json_t *value;

	out->about = AG_RULES_KEY;
	out->name = name;
	if ((out->unknown = key == NULL))
		return;
	only(r, key, "a key", known);
	out->id = id_of(r, "key", name);
	out->spec = text_of(key, "spec");
	out->state = text_of(key, "state") == NULL ? "Active" :
	    text_of(key, "state");
	out->backend = text_of(key, "backend") == NULL ? "software" :
	    text_of(key, "backend");
	out->labels = labels;
	json_object_foreach(json_object_get(key, "labels"), label, value)
		if (out->label_count < LABELS_MAX && json_is_string(value))
			labels[out->label_count++] = (struct ag_rules_label){
				label, json_string_value(value) };
}

static void
resource_of(struct running *r, const char *action, const char *name,
    struct ag_rules_resource *out, struct ag_rules_label *labels,
    const char **roles)
{
	out->about = AG_RULES_TENANT;
	if (name == NULL)
		return;
	if (strncmp(action, "key.", 4) == 0) {
		key_of(r, name, out, labels);
	} else if (strncmp(action, "tool.", 5) == 0) {
		out->about = AG_RULES_TOOL;
		out->name = name;
	} else {
		out->about = AG_RULES_PARTY;
		party_of(r, name, &out->party, roles);
	}
}

/* ----------------------------------------------------------------- requests */

/* What is not said is as of a first request. */
static void
recent_of(struct running *r, const json_t *said, struct ag_rules_ask *out)
{
	static const char *const known[] = { "second", "minute", "hour", "day",
		"keys_hour", "keys_day", NULL };
	int64_t *const at[] = { &out->recent.second, &out->recent.minute,
		&out->recent.hour, &out->recent.day, &out->recent.keys_hour,
		&out->recent.keys_day };

	only(r, said, "recent", known);
	for (size_t i = 0; known[i] != NULL; i++) {
		const json_t *n = json_object_get(said, known[i]);

		*at[i] = n != NULL ? json_integer_value(n) : i < 4 ?
		    (int64_t)out->items : 1;
	}
}

static void
context_of(struct running *r, const json_t *said, struct ag_rules_ask *out)
{
	static const char *const known[] = { "at", "source", "plane",
		"credential_age_s", "stepped_up", "items", "since_step_up_s",
		"since_approval_s", "recent", "bytes", "under_way", "tracked",
		NULL };
	const json_t *age = json_object_get(said, "credential_age_s"),
	    *since = json_object_get(said, "since_step_up_s"),
	    *agreed = json_object_get(said, "since_approval_s"),
	    *items = json_object_get(said, "items"),
	    *under_way = json_object_get(said, "under_way");
	const char *at = text_of(said, "at");
	struct ag_cedar_arena arena;
	struct ag_cedar_value time;

	only(r, said, "a context", known);
	out->at_ms = MONDAY + NOON;
	if (at != NULL) {
		ag_cedar_arena_over(&arena, r->scratch, AG_RULES_SCRATCH);
		if (ag_cedar_extension_value(&arena, "datetime",
		    (struct ag_cedar_str){ at, strlen(at) }, &time) ==
		    AG_CEDAR_OK)
			out->at_ms = time.number;
		else
			trouble(r, "\"%.40s\" is no time; 2026-01-05T12:00:00Z "
			    "is one", at);
	}
	out->source = text_of(said, "source") == NULL ? "10.0.0.1" :
	    text_of(said, "source");
	out->plane = text_of(said, "plane") == NULL ? "rest" :
	    text_of(said, "plane");
	out->credential_age_ms = (age == NULL ? 60 : json_integer_value(age)) *
	    INT64_C(1000);
	out->stepped_up = json_is_true(json_object_get(said, "stepped_up"));
	out->items = items == NULL ? 1 : (uint32_t)json_integer_value(items);
	out->tracked = !json_is_false(json_object_get(said, "tracked"));
	out->bytes = json_integer_value(json_object_get(said, "bytes"));
	out->under_way = under_way == NULL ? 1 : json_integer_value(under_way);
	out->has_since_step_up = since != NULL;
	out->since_step_up_ms = json_integer_value(since) * INT64_C(1000);
	out->has_since_approval = agreed != NULL;
	out->since_approval_ms = json_integer_value(agreed) * INT64_C(1000);
	recent_of(r, json_object_get(said, "recent"), out);
}

static void
check_number(struct running *r, const json_t *request, const char *name,
    unsigned got)
{
	const json_t *want = json_object_get(request, name);

	if (want != NULL && json_integer_value(want) != (json_int_t)got)
		trouble(r, "%s is %u, not %lld", name, got,
		    (long long)json_integer_value(want));
}

/* What a refusal says, and what bounds an answer has, where the test says it. */
static void
check_obligations(struct running *r, const json_t *request,
    const struct ag_rules_answer *answer)
{
	const char *code = text_of(request, "reason_code");

	if (code != NULL && (answer->decision != AG_RULES_DENY ||
	    strcmp(code, answer->reason_code) != 0))
		trouble(r, "the reason_code is %s, not %.40s", answer->decision !=
		    AG_RULES_DENY ? "none" : answer->reason_code, code);
	check_number(r, request, "timeout_ms", answer->timeout_ms);
	check_number(r, request, "max_ttl_s", answer->max_ttl_s);
}

static void
ask(struct running *r, const json_t *request, struct ag_vector_result *out,
    struct ag_rules_answer *answer)
{
	static const char *const known[] = { "principal", "action", "resource",
		"context", "expect", "rule", "reason_code", "timeout_ms",
		"max_ttl_s", NULL };
	const char *principal = text_of(request, "principal"),
	    *action = text_of(request, "action"), *group,
	    *roles[ROLES_MAX], *their_roles[ROLES_MAX];
	struct ag_rules_label labels[LABELS_MAX];
	struct ag_rules_ask a = { .tenant = "default", .action = action };

	r->id_count = 0;
	only(r, request, "a request", known);
	if (principal == NULL || action == NULL || out->want == NULL)
		trouble(r, "a request has principal, action and expect");
	else if (!ag_rules_action_group(action, &group))
		trouble(r, "\"%.40s\" is no action that policies are asked about",
		    action);
	if (r->problem[0] != '\0')
		return;
	party_of(r, principal, &a.principal, roles);
	resource_of(r, action, text_of(request, "resource"), &a.resource, labels,
	    their_roles);
	context_of(r, json_object_get(request, "context"), &a);
	if (r->problem[0] != '\0')
		return;
	ag_rules_decide(r->rules, &a, r->scratch, answer);
	out->got = ag_rules_decision_name(answer->decision);
	out->got_rule = answer->rule;
	out->good = strcmp(out->want, out->got) == 0 && (out->want_rule == NULL ||
	    (out->got_rule != NULL && strcmp(out->want_rule, out->got_rule) == 0));
	if (out->good)
		check_obligations(r, request, answer);
}

static void
say(struct running *r, struct ag_vector_result *result)
{
	result->name = r->name;
	if (r->problem[0] != '\0') {
		result->good = false;
		result->problem = r->problem;
	}
	r->sums->bad += !result->good;
	if (r->report != NULL)
		r->report(r->arg, result);
	r->problem[0] = '\0';
}

/* -------------------------------------------------------------------- cases */

static bool
documents(struct running *r, const json_t *policies)
{
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX];
	struct ag_rules_findings *found = malloc(sizeof(*found));
	const char *name;
	size_t n = 0;
	json_t *text;

	json_object_foreach((json_t *)(uintptr_t)policies, name, text) {
		if (!json_is_string(text) || n == AG_RULES_DOCS_MAX ||
		    found == NULL || strlen(name) > AG_RULES_NAME_MAX) {
			trouble(r, "policies are texts by the name of a document");
			break;
		}
		docs[n] = (struct ag_rules_doc){ name, json_string_value(text),
			json_string_length(text) };
		if (ag_rules_check(r->schema, &docs[n++], found) !=
		    AG_CEDAR_OK || found->errors > 0)
			trouble(r, "%s:%u:%u: %s", name, found->items[0].line,
			    found->items[0].column, found->items[0].text);
	}
	free(found);
	if (r->problem[0] == '\0' &&
	    ag_rules_new(docs, n, &r->rules) != AG_CEDAR_OK)
		trouble(r, "the policies make no set");
	return r->problem[0] == '\0';
}

static void
run_case(struct running *r, const json_t *one)
{
	static const char *const known[] = { "name", "policies", "requests",
		NULL };
	const json_t *requests = json_object_get(one, "requests");
	struct ag_vector_result result = { .index = 0 };

	r->name = text_of(one, "name") == NULL ? "?" : text_of(one, "name");
	r->sums->cases++;
	only(r, one, "a case", known);
	if (json_array_size(requests) == 0)
		trouble(r, "a case has requests");
	if (!documents(r, json_object_get(one, "policies"))) {
		say(r, &result);
		return;
	}
	for (size_t i = 0; i < json_array_size(requests); i++) {
		const json_t *request = json_array_get(requests, i);
		struct ag_rules_answer answer;

		result = (struct ag_vector_result){ .index = i + 1,
			.want = text_of(request, "expect"),
			.want_rule = text_of(request, "rule") };
		r->sums->requests++;
		ask(r, request, &result, &answer);
		say(r, &result);
	}
	ag_rules_free(&r->rules);
}

bool
ag_vectors_run(const struct ag_cedar_schema *schema, const char *text,
    size_t len, ag_vector_fn *report, void *arg, struct ag_vector_sums *sums,
    char problem[256])
{
	struct running r = { .schema = schema, .report = report, .arg = arg,
		.sums = sums };
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	const json_t *cases = json_object_get(root, "cases");

	if (!json_is_array(cases) ||
	    (r.scratch = aligned_alloc(16, AG_RULES_SCRATCH)) == NULL) {
		(void)snprintf(problem, 256, "%d:%d: %s", root == NULL ?
		    error.line : 1, root == NULL ? error.column : 1,
		    root == NULL ? error.text : "there is no array \"cases\"");
		json_decref(root);
		return false;
	}
	r.principals = json_object_get(json_object_get(root, "world"),
	    "principals");
	r.keys = json_object_get(json_object_get(root, "world"), "keys");
	for (size_t i = 0; i < json_array_size(cases); i++)
		run_case(&r, json_array_get(cases, i));
	free(r.scratch);
	json_decref(root);
	return true;
}
