/* SPDX-License-Identifier: Apache-2.0 */
/* An event of a signature as the line of JSON that every sink of text sends. */
#include <aegis/event.h>

#include "turns.h"

#include <stdlib.h>

enum { FACTORS = 8 };

static const char *const names[FACTORS] = { "rate", "hour", "address_set",
	"operation_mix", "key_set", "principal_kind", "credential_age",
	"scope_breadth" };

struct signature {
	Ag__Event event;
	Ag__Resource key;
	Ag__EventActor who;
	Ag__Link links[2], *chain[2];
	Ag__Verdict verdict;
	Ag__Factor factors[FACTORS], *factor[FACTORS];
	size_t bytes;
};

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void
make_verdict(struct signature *s)
{
	ag__verdict__init(&s->verdict);
	s->verdict.decision = AG__DECISION__V__allow;
	s->verdict.model_version = text("1");
	s->verdict.n_factors = FACTORS;
	s->verdict.factors = s->factor;
	for (unsigned i = 0; i < FACTORS; i++) {
		ag__factor__init(s->factor[i] = &s->factors[i]);
		s->factors[i].name = text(names[i]);
	}
	s->factors[6].value = 4.2283950617284e-7;
	s->factors[6].contribution = 4.2283950617284e-8;
}

static void
make(struct signature *s)
{
	Ag__Event *e = &s->event;

	ag__event__init(e);
	ag__resource__init(e->resource = &s->key);
	ag__event_actor__init(e->actor = &s->who);
	make_verdict(s);
	e->event_id = text("evt_01a1fd755b08771bb26b3a73461dcabd");
	e->request_id = text("01a1fd75-5b08-771b-b26b-3a73461dcabd");
	e->seq = 123456;
	e->tenant = text("default");
	e->event_type = AG__EVENT_TYPE__V__request;
	e->occurred_at = INT64_C(1800000000123);
	e->plane = text("rest");
	e->operation = text("key.sign");
	s->key.type = text("key");
	s->key.id = text("key_01a1fd755aee7524bd3a5c3003623d9a");
	s->key.alias = text("invoices");
	s->who.id = text("agt_01a1fd7559627371935e9c7174c597ce");
	s->who.has_kind = true;
	s->who.kind = AG__KIND__V__agent;
	s->who.label = text("invoicing");
	e->n_chain = 2;
	e->chain = s->chain;
	for (unsigned i = 0; i < 2; i++) {
		ag__link__init(s->chain[i] = &s->links[i]);
		s->links[i].id = text(i == 0 ? "hum_01a1fd7559627371935e9c7174c59700"
		    : s->who.id);
		s->links[i].kind = i == 0 ? AG__KIND__V__human :
		    AG__KIND__V__agent;
	}
	e->outcome = AG__OUTCOME_KIND__V__allowed;
	e->has_status = true;
	e->status = 200;
	e->risk = &s->verdict;
	e->source_address = text("192.0.2.7");
	e->has_latency_us = true;
	e->latency_us = 1234;
}

static void
turn(void *arg, unsigned n)
{
	struct signature *s = arg;
	char *line;

	s->event.seq = n;
	if (ag_event_json(&s->event, &line) != AG_OK)
		abort();
	s->bytes += line[0] == '{';
	free(line);
}

int
main(void)
{
	struct signature s;

	make(&s);
	turns_measure(turn, &s);
	return s.bytes > 0 ? 0 : 1;
}
