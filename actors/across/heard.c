/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds of what Kafka tells.
 */
#include "heard.h"

#include <string.h>

static bool
is_within(const char *text, size_t max)
{
	return text == NULL || strlen(text) <= max;
}

/* Of a person, service, agent or key: it becomes a key of tables and a word of
 * the log. */
static bool
is_id(const char *id)
{
	size_t len = id != NULL ? strlen(id) : 0;

	if (len == 0 || len >= AG_ID_SIZE)
		return false;
	for (size_t i = 0; i < len; i++)
		if (id[i] <= ' ' || id[i] > '~')
			return false;
	return true;
}

static bool
is_actor(const Ag__EventActor *actor)
{
	return (actor->id == NULL || is_id(actor->id)) &&
	    is_within(actor->name, HEARD_TEXT_MAX) &&
	    is_within(actor->label, HEARD_TEXT_MAX);
}

/* A key's id goes into recommendations, as what may be acted on. */
static bool
is_resource(const Ag__Resource *resource)
{
	if (resource->type != NULL && strcmp(resource->type, "key") == 0 &&
	    resource->id != NULL && !is_id(resource->id))
		return false;
	return is_within(resource->type, HEARD_WORD_MAX) &&
	    is_within(resource->id, HEARD_TEXT_MAX) &&
	    is_within(resource->alias, HEARD_TEXT_MAX);
}

static bool
is_chain(const Ag__Event *event)
{
	if (event->n_chain > HEARD_CHAIN_MAX)
		return false;
	for (size_t i = 0; i < event->n_chain; i++)
		if (!is_id(event->chain[i]->id) ||
		    !is_within(event->chain[i]->name, HEARD_LINK_NAME_MAX))
			return false;
	return true;
}

static bool
is_event(const Ag__Event *event)
{
	return ag_id_valid(event->event_id, "evt") &&
	    (event->cause_event_id == NULL ||
	    ag_id_valid(event->cause_event_id, "evt")) &&
	    ag_name_valid(event->tenant) &&
	    is_within(event->operation, HEARD_WORD_MAX) &&
	    is_within(event->code, HEARD_WORD_MAX) &&
	    is_within(event->reason_code, HEARD_WORD_MAX) &&
	    is_within(event->source_address, HEARD_TEXT_MAX) &&
	    (event->actor == NULL || is_actor(event->actor)) &&
	    (event->resource == NULL || is_resource(event->resource)) &&
	    is_chain(event);
}

Ag__Event *
heard_event(const uint8_t *value, size_t len)
{
	Ag__Event *event = len <= HEARD_BYTES_MAX ?
	    ag__event__unpack(NULL, len, value) : NULL;

	if (event == NULL || is_event(event))
		return event;
	ag__event__free_unpacked(event, NULL);
	return NULL;
}
