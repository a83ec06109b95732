/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocsf: an event as API Activity, class 6003 of the Open Cybersecurity Schema
 * Framework 1.1.0 (schema.ocsf.io/1.1.0/classes/api_activity), so that a SIEM
 * that knows the schema needs no mapping of ours. What the class has no member
 * for is under `unmapped`.
 */
#include "encode.h"

#include <jansson.h>
#include <string.h>

enum { CATEGORY = 6, CLASS = 6003 };
enum activity { CREATE = 1, READ = 2, UPDATE = 3, DELETE = 4, OTHER = 99 };

/* The word behind the dot of an operation; the first that it begins with. */
static const struct {
	const char *word;
	enum activity activity;
} activities[] = {
	{ "create", CREATE }, { "issue", CREATE }, { "import", CREATE },
	{ "generate", CREATE }, { "read", READ }, { "list", READ },
	{ "query", READ }, { "whoami", READ }, { "public", READ },
	{ "tokens", READ }, { "roles", READ }, { "stream", READ },
	{ "proof", READ }, { "checkpoints", READ }, { "sinks", READ },
	{ "update", UPDATE }, { "activate", UPDATE }, { "deactivate", UPDATE },
	{ "rotate", UPDATE }, { "suspend", UPDATE }, { "resume", UPDATE },
	{ "grant", UPDATE }, { "freeze", UPDATE }, { "unfreeze", UPDATE },
	{ "compromise", UPDATE }, { "cancel", UPDATE }, { "set-", UPDATE },
	{ "delete", DELETE }, { "destroy", DELETE }, { "revoke", DELETE },
	{ "ungrant", DELETE },
};

static enum activity
activity_of(const char *operation)
{
	const char *dot = strchr(operation, '.');

	for (size_t i = 0; dot != NULL &&
	    i < sizeof(activities) / sizeof(activities[0]); i++)
		if (strncmp(dot + 1, activities[i].word,
		        strlen(activities[i].word)) == 0)
			return activities[i].activity;
	return OTHER;
}

/* 1 informational, 3 medium, 4 high: what was refused, what a detector said. */
static int
severity_of(const Ag__Event *event)
{
	if (event->event_type == AG__EVENT_TYPE__V__detection ||
	    event->event_type == AG__EVENT_TYPE__V__response)
		return 4;
	return event->outcome == AG__OUTCOME_KIND__V__denied ? 3 : 1;
}

/* Left out if absent: OCSF has no nulls. */
static void
set(json_t *object, const char *name, const char *text)
{
	if (text != NULL)
		(void)json_object_set_new(object, name, json_string(text));
}

static json_t *
actor_of(const Ag__Event *event)
{
	const Ag__EventActor *a = event->actor;
	json_t *user = json_object(), *actor = json_object();

	if (a != NULL) {
		set(user, "uid", a->id);
		set(user, "name", a->name != NULL ? a->name : a->label);
		set(user, "type", a->has_kind ?
		    ag_enum_name(&ag__kind__v__descriptor, a->kind) : NULL);
	}
	(void)json_object_set_new(actor, "user", user);
	if (event->n_chain > 1)
		set(actor, "invoked_by", event->chain[0]->id);
	return actor;
}

static json_t *
resources_of(const Ag__Event *event)
{
	json_t *list = json_array(), *one = json_object();

	if (event->resource == NULL) {
		json_decref(one);
		return list;
	}
	set(one, "uid", event->resource->id);
	set(one, "name", event->resource->alias);
	set(one, "type", event->resource->type);
	(void)json_array_append_new(list, one);
	return list;
}

static json_t *
metadata_of(const Ag__Event *event)
{
	json_t *m = json_pack("{s:s, s:{s:s, s:s}, s:s, s:I, s:s}", "version",
	    "1.1.0", "product", "name", "aegis", "vendor_name", "aegis", "uid",
	    event->event_id, "sequence", (json_int_t)event->seq, "tenant_uid",
	    event->tenant);

	if (m != NULL)
		set(m, "correlation_uid", event->trace_id);
	return m;
}

static json_t *
unmapped_of(const Ag__Event *event)
{
	json_t *u = json_object(), *chain = json_array();

	set(u, "event_type", ag_enum_name(&ag__event_type__v__descriptor,
	    event->event_type));
	set(u, "plane", event->plane);
	set(u, "rule", event->rule);
	set(u, "cause_event_id", event->cause_event_id);
	if (event->risk != NULL)
		(void)json_object_set_new(u, "risk_score",
		    json_real(event->risk->score));
	for (size_t i = 0; i < event->n_chain; i++)
		(void)json_array_append_new(chain,
		    json_string(event->chain[i]->id));
	(void)json_object_set_new(u, "chain", chain);
	return u;
}

json_t *
encode_ocsf(const Ag__Event *event)
{
	enum activity activity = activity_of(event->operation);
	bool allowed = event->outcome == AG__OUTCOME_KIND__V__allowed;
	json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:s}",
	    "category_uid", CATEGORY, "class_uid", CLASS, "activity_id",
	    (int)activity, "type_uid", CLASS * 100 + (int)activity,
	    "severity_id", severity_of(event), "time",
	    (json_int_t)event->occurred_at, "status_id", allowed ? 1 : 2,
	    "status", allowed ? "Success" : "Failure");
	json_t *api = json_pack("{s:s, s:{s:s}}", "operation",
	    event->operation, "service", "name", "aegis");

	if (o == NULL || api == NULL) {
		json_decref(o);
		json_decref(api);
		return NULL;
	}
	if (event->request_id != NULL)
		(void)json_object_set_new(api, "request",
		    json_pack("{s:s}", "uid", event->request_id));
	set(o, "status_code", event->code);
	set(o, "status_detail", event->reason_code);
	(void)json_object_set_new(o, "api", api);
	(void)json_object_set_new(o, "actor", actor_of(event));
	(void)json_object_set_new(o, "resources", resources_of(event));
	(void)json_object_set_new(o, "metadata", metadata_of(event));
	(void)json_object_set_new(o, "src_endpoint", event->source_address ==
	    NULL ? json_object() : json_pack("{s:s}", "ip",
	    event->source_address));
	if (event->user_agent != NULL)
		(void)json_object_set_new(o, "http_request", json_pack("{s:s}",
		    "user_agent", event->user_agent));
	(void)json_object_set_new(o, "unmapped", unmapped_of(event));
	return o;
}
