/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message has a header, the facts, the requester's own words, and buttons. All
 * of it is plain_text, which Slack shows as it is. metadata says the same to
 * programs.
 */
#include "message.h"

#include <jansson.h>

enum {
	FACT_MAX = 150,   /* characters of one */
	WORDS_MAX = 1000, /* of the requester */
	ASKED_MAX = 2900, /* Slack shows at most 3,000 of one text */
};

#define MORE "\nand more than fits here: read it with aegis approval show"

static const char *
param(const Ag__Event *event, const char *key)
{
	for (size_t i = 0; i < event->n_params; i++)
		if (strcmp(event->params[i]->key, key) == 0)
			return event->params[i]->value;
	return NULL;
}

static bool
is(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

enum message_kind
message_kind(const Ag__Event *event)
{
	static const struct { const char *operation; enum message_kind kind; } of[] = {
		{ "approval.request", MESSAGE_ASKED },
		{ "approval.approve", MESSAGE_DECIDED },
		{ "approval.deny", MESSAGE_DECIDED },
		{ "approval.cancel", MESSAGE_DECIDED },
		{ "approval.callback", MESSAGE_DECIDED },
		{ "approval.auto", MESSAGE_DECIDED },
		{ "approval.expire", MESSAGE_EXPIRED },
		{ "approval.remind", MESSAGE_REMINDED },
	};

	if (param(event, "after") == NULL)
		return MESSAGE_NONE;
	/* The refusal that made people be asked; its repeats have no "after". */
	if (is(event->code, "ApprovalRequired"))
		return is(param(event, "after"), "pending") ? MESSAGE_ASKED :
		    MESSAGE_NONE;
	if (event->outcome != AG__OUTCOME_KIND__V__allowed)
		return MESSAGE_NONE;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (strcmp(event->operation, of[i].operation) == 0)
			return of[i].kind;
	return MESSAGE_NONE;
}

/* ------------------------------------------------------------------- parts */

static const char *
approval_of(const Ag__Event *event)
{
	const char *id = param(event, "approval_id");

	if (id == NULL && event->resource != NULL)
		id = event->resource->id;
	return id == NULL ? "" : id;
}

static const char *
operation_of(const Ag__Event *event)
{
	const char *name = param(event, "operation");

	return name == NULL ? event->operation : name;
}

static json_t *
plain(const char *text)
{
	return json_pack("{s:s, s:s, s:b}", "type", "plain_text", "text", text,
	    "emoji", 0);
}

/* Printable ASCII: names and ids are that, whatever else comes is not one. */
static void
add_fact(json_t *fields, json_t *facts, const char *name, const char *value)
{
	char text[FACT_MAX + 64];

	if (value == NULL || value[0] == '\0')
		return;
	snprintf(text, sizeof(text), "%s: %.*s", name, FACT_MAX, value);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	(void)json_array_append_new(fields, plain(text));
	(void)json_object_set_new(facts, name, json_string(text +
	    strlen(name) + 2));
}

static void
add_requester(json_t *fields, json_t *facts, const Ag__Event *event)
{
	const Ag__EventActor *actor = event->actor;

	if (param(event, "requester") != NULL) {
		add_fact(fields, facts, "requester", param(event, "requester"));
		add_fact(fields, facts, "by", actor == NULL ? NULL :
		    actor->name != NULL ? actor->name : actor->id);
		return;
	}
	if (actor != NULL) {
		add_fact(fields, facts, "requester", actor->id);
		add_fact(fields, facts, "kind", !actor->has_kind ? NULL :
		    ag_enum_name(&ag__kind__v__descriptor, actor->kind));
	}
	if (event->n_chain > 1) /* its root is a person; an agent's name is its own word */
		add_fact(fields, facts, "on behalf of",
		    event->chain[0]->name != NULL ? event->chain[0]->name :
		    event->chain[0]->id);
}

/* Slack shows at most ten fields. */
static json_t *
facts_of(const Ag__Event *event, json_t *facts)
{
	json_t *fields = json_array();
	const Ag__Resource *r = event->resource;
	char risk[16];

	add_fact(fields, facts, "approval", approval_of(event));
	add_fact(fields, facts, "operation", operation_of(event));
	if (param(event, "resource") != NULL)
		add_fact(fields, facts, "resource", param(event, "resource"));
	else if (r != NULL && !is(r->type, "approval"))
		add_fact(fields, facts, "resource", r->alias != NULL ? r->alias :
		    r->id);
	add_requester(fields, facts, event);
	add_fact(fields, facts, "state", param(event, "after"));
	add_fact(fields, facts, "needs", param(event, "needs"));
	add_fact(fields, facts, "expires_at", param(event, "expires_at"));
	if (event->risk != NULL && json_array_size(fields) < 10) {
		snprintf(risk, sizeof(risk), "%.2f", event->risk->score);
		add_fact(fields, facts, "risk", risk);
	}
	return fields;
}

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
			return false;
	return true;
}

/* What it would do, as the server read it: scopes, times, numbers. false: it is
 * more than a message shows, and nobody agrees to what is not shown. */
static bool
asked_of(const Ag__Event *event, json_t *facts, json_t **part)
{
	static const char head[] = "asked.";
	char out[ASKED_MAX] = "What is asked for:";
	size_t empty = strlen(out), at = empty;
	bool whole = true;

	for (size_t i = 0; i < event->n_params && whole; i++) {
		const char *key = event->params[i]->key;
		const char *value = event->params[i]->value;
		int n;

		if (strncmp(key, head, strlen(head)) != 0 || value == NULL)
			continue;
		key += strlen(head);
		n = snprintf(out + at, sizeof(out) - at, "\n%s: %s", key, value);
		whole = strcmp(key, "more") != 0 && n > 0 &&
		    (size_t)n < sizeof(out) - at && is_printable(key) &&
		    is_printable(value);
		if (whole)
			at += (size_t)n;
		(void)json_object_set_new(facts, event->params[i]->key,
		    json_string(value));
	}
	if (!whole)
		memcpy(at + sizeof(MORE) > sizeof(out) ? out + sizeof(out) -
		    sizeof(MORE) : out + at, MORE, sizeof(MORE));
	*part = at == empty && whole ? NULL : plain(out);
	return whole;
}

/* Each line behind "| ", so that none can pass for one of ours. */
static void
add_words(char out[WORDS_MAX], const char *name, const char *value)
{
	size_t at = strlen(out);
	int n;

	if (value == NULL || value[0] == '\0' || at + 1 >= WORDS_MAX)
		return;
	n = snprintf(out + at, WORDS_MAX - at, "\n| %s: %.200s", name, value);
	if (n < 0)
		out[at] = '\0';
	for (char *p = out + at + (at < WORDS_MAX - 1); *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
}

static json_t *
words_of(const Ag__Event *event)
{
	char out[WORDS_MAX] = "The requester says of itself (not verified):";
	const Ag__EventActor *actor = event->actor;
	size_t head = strlen(out);

	add_words(out, "reason", param(event, "said"));
	if (actor != NULL && param(event, "requester") == NULL) {
		add_words(out, "label", actor->label);
		add_words(out, "model", actor->model_asserted != NULL ?
		    actor->model_asserted : actor->model);
		add_words(out, "user agent", event->user_agent);
	}
	return strlen(out) == head ? NULL : plain(out);
}

/* ----------------------------------------------------------------- buttons */

static json_t *
button(const Ag__Event *event, struct ag_secret *key, bool yes, int64_t until)
{
	struct ag_click click = { .yes = yes, .until = until };
	char value[AG_CLICK_TEXT];

	snprintf(click.approval, sizeof(click.approval), "%s",
	    approval_of(event));
	if (!ag_click_write(key, &click, value))
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "type", "button",
	    "action_id", yes ? "approve" : "deny", "value", value, "style",
	    yes ? "primary" : "danger", "text", plain(yes ? "Approve" : "Deny"));
}

static json_t *
buttons(const Ag__Event *event, struct ag_secret *key)
{
	const char *at = param(event, "expires_at");
	int64_t until;

	if (key == NULL || at == NULL || !ag_time_parse(at, &until))
		return NULL;
	return json_pack("{s:s, s:[o,o]}", "type", "actions", "elements",
	    button(event, key, true, until), button(event, key, false, until));
}

/* ------------------------------------------------------------------ message */

static void
add_block(json_t *blocks, const char *type, const char *name, json_t *part)
{
	if (part != NULL)
		(void)json_array_append_new(blocks, json_pack("{s:s, s:o}", "type",
		    type, name, part));
}

char *
message_json(const Ag__Event *event, struct ag_secret *click)
{
	static const char *const heads[] = {
		[MESSAGE_NONE] = "", [MESSAGE_ASKED] = "Approval is needed",
		[MESSAGE_REMINDED] = "Approval is needed, and nearly too late",
		[MESSAGE_DECIDED] = "Somebody decided",
		[MESSAGE_EXPIRED] = "Nobody decided in time",
	};
	static const char *const names[] = { [MESSAGE_NONE] = "none",
		[MESSAGE_ASKED] = "asked", [MESSAGE_REMINDED] = "reminded",
		[MESSAGE_DECIDED] = "decided", [MESSAGE_EXPIRED] = "expired" };
	enum message_kind kind = message_kind(event);
	bool waits = kind == MESSAGE_ASKED || kind == MESSAGE_REMINDED;
	json_t *blocks = json_array(), *facts = json_object();
	json_t *actions, *message, *asked = NULL;
	bool whole;
	char line[256], *text;

	snprintf(line, sizeof(line), "%s: %.60s (%s)", heads[kind],
	    operation_of(event), approval_of(event));
	add_block(blocks, "header", "text", plain(heads[kind]));
	add_block(blocks, "section", "fields", facts_of(event, facts));
	whole = asked_of(event, facts, &asked);
	add_block(blocks, "section", "text", asked);
	if (waits)
		add_block(blocks, "section", "text", words_of(event));
	actions = waits && whole ? buttons(event, click) : NULL;
	if (actions != NULL)
		(void)json_array_append_new(blocks, actions);
	(void)json_object_set_new(facts, "what", json_string(names[kind]));
	(void)json_object_set_new(facts, "event_id",
	    json_string(event->event_id));
	message = json_pack("{s:s, s:o, s:{s:s, s:o}}", "text", line, "blocks",
	    blocks, "metadata", "event_type", "aegis_approval", "event_payload",
	    facts);
	text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
	json_decref(message);
	return text;
}
