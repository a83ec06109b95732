/* SPDX-License-Identifier: Apache-2.0 */
/* across: which records of Kafka may pass for events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "across/heard.h"

#define HEX "0123456789abcdef0123456789abcdef"

struct made {
	Ag__Event event;
	Ag__EventActor actor;
	Ag__Resource resource;
	Ag__Link link, *chain[HEARD_CHAIN_MAX + 1];
};

static void
make(struct made *m)
{
	ag__event__init(&m->event);
	ag__event_actor__init(&m->actor);
	ag__resource__init(&m->resource);
	ag__link__init(&m->link);
	m->event.event_id = (char *)"evt_" HEX;
	m->event.tenant = (char *)"default";
	m->event.event_type = AG__EVENT_TYPE__V__request;
	m->event.operation = (char *)"key.sign";
	m->event.outcome = AG__OUTCOME_KIND__V__allowed;
	m->event.actor = &m->actor;
	m->event.resource = &m->resource;
	m->event.n_chain = 1;
	m->event.chain = m->chain;
	m->actor.id = (char *)"agt_" HEX;
	m->resource.type = (char *)"key";
	m->resource.id = (char *)"key_" HEX;
	m->link.id = (char *)"hum_" HEX;
	m->link.kind = AG__KIND__V__human;
	for (size_t i = 0; i < sizeof(m->chain) / sizeof(m->chain[0]); i++)
		m->chain[i] = &m->link;
}

static bool
is_heard(const struct made *m)
{
	size_t len = ag__event__get_packed_size(&m->event);
	uint8_t *bytes = malloc(len);
	Ag__Event *event;

	assert_non_null(bytes);
	ag__event__pack(&m->event, bytes);
	event = heard_event(bytes, len);
	free(bytes);
	if (event == NULL)
		return false;
	assert_string_equal(event->event_id, m->event.event_id);
	ag__event__free_unpacked(event, NULL);
	return true;
}

/* So many times the letter a; the same memory each time. */
static char *
letters(size_t n)
{
	static char text[HEARD_BYTES_MAX + 1];

	assert_true(n < sizeof(text));
	memset(text, 'a', n);
	text[n] = '\0';
	return text;
}

static void
hears_what_nodes_write(void **state)
{
	struct made m;

	(void)state;
	make(&m);
	assert_true(is_heard(&m));
	m.event.tenant = (char *)"system";
	m.event.actor = NULL;
	m.event.resource = NULL;
	m.event.n_chain = 0;
	assert_true(is_heard(&m));
	make(&m);
	m.event.n_chain = HEARD_CHAIN_MAX;
	m.event.tenant = letters(AG_NAME_MAX);
	assert_true(is_heard(&m));
	make(&m);
	m.resource.type = (char *)"tool"; /* is named, has no id */
	m.resource.id = letters(HEARD_TEXT_MAX);
	assert_true(is_heard(&m));
}

static void
hears_no_other_names(void **state)
{
	static const char *const tenants[] = { "", "A", "a/b", "../a", "a\nb" };
	static const char *const ids[] = { "", "evt_", "evt_" HEX "0",
		"key_" HEX, "evt_0123456789ABCDEF0123456789abcdef" };
	struct made m;

	(void)state;
	make(&m);
	for (size_t i = 0; i < sizeof(tenants) / sizeof(tenants[0]); i++) {
		m.event.tenant = (char *)tenants[i];
		assert_false(is_heard(&m));
	}
	m.event.tenant = letters(AG_NAME_MAX + 1);
	assert_false(is_heard(&m));
	make(&m);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		m.event.event_id = (char *)ids[i];
		assert_false(is_heard(&m));
	}
	make(&m);
	m.event.cause_event_id = (char *)"evt_1";
	assert_false(is_heard(&m));
}

static void
hears_nothing_beyond_bounds(void **state)
{
	struct made m;
	const struct {
		char **member;
		size_t max;
	} bounds[] = {
		{ &m.actor.id, AG_ID_SIZE - 1 },
		{ &m.actor.name, HEARD_TEXT_MAX },
		{ &m.actor.label, HEARD_TEXT_MAX },
		{ &m.link.id, AG_ID_SIZE - 1 },
		{ &m.link.name, HEARD_LINK_NAME_MAX },
		{ &m.resource.id, AG_ID_SIZE - 1 }, /* a key's */
		{ &m.resource.type, HEARD_WORD_MAX },
		{ &m.resource.alias, HEARD_TEXT_MAX },
		{ &m.event.operation, HEARD_WORD_MAX },
		{ &m.event.code, HEARD_WORD_MAX },
		{ &m.event.reason_code, HEARD_WORD_MAX },
		{ &m.event.source_address, HEARD_TEXT_MAX },
		/* Nobody bounds it but the record. */
		{ &m.event.user_agent, HEARD_BYTES_MAX - 512 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		size_t over = bounds[i].max > HEARD_TEXT_MAX ? HEARD_BYTES_MAX :
		    bounds[i].max + 1;

		make(&m);
		*bounds[i].member = letters(bounds[i].max);
		assert_true(is_heard(&m));
		*bounds[i].member = letters(over);
		assert_false(is_heard(&m));
	}
	make(&m);
	m.event.n_chain = HEARD_CHAIN_MAX + 1;
	assert_false(is_heard(&m));
	make(&m);
	m.actor.id = (char *)"agt_\nx";
	assert_false(is_heard(&m));
	m.actor.id = (char *)"";
	assert_false(is_heard(&m));
}

static void
hears_no_noise(void **state)
{
	uint8_t noise[64];

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 37 + 11);
	assert_null(heard_event(noise, sizeof(noise)));
	assert_null(heard_event(noise, 0)); /* what an event needs is not there */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hears_what_nodes_write),
		cmocka_unit_test(hears_no_other_names),
		cmocka_unit_test(hears_nothing_beyond_bounds),
		cmocka_unit_test(hears_no_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
