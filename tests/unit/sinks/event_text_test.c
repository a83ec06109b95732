/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The printer of events against jansson: thousands of events, of anything that
 * a member can be, are printed byte for byte as jansson dumps the same object
 * built member by member.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include <aegis/aegis.h>
#include <aegis/event.h>

enum { EVENTS = 3000, LIST_MAX = 40, TEXT_MAX = 96 };

/* -------------------------------------------------------- what it should be */

static json_t *expected(const ProtobufCMessage *msg, uint32_t limit);

static json_t *
text_of(const char *s)
{
	json_t *v = json_string(s);

	return v != NULL ? v : json_string("\xef\xbf\xbd");
}

static json_t *
base64_of(const ProtobufCBinaryData *b)
{
	char *text = malloc(ag_base64_size(b->len));
	json_t *v;

	ag_base64(b->data, b->len, text);
	v = json_string(text);
	free(text);
	return v;
}

static json_t *
value_of(const ProtobufCFieldDescriptor *f, const void *p)
{
	char time[AG_TIME_TEXT];
	const ProtobufCMessage *m;
	const char *word;

	switch ((int)f->type) {
	case PROTOBUF_C_TYPE_INT64:
		ag_time_text(*(const int64_t *)p, time);
		return json_string(time); /* occurred_at: there is no other */
	case PROTOBUF_C_TYPE_UINT32:
		return json_integer(*(const uint32_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
		return json_integer((json_int_t)*(const uint64_t *)p);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)p);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)p);
	case PROTOBUF_C_TYPE_ENUM:
		word = ag_enum_name(f->descriptor, *(const int *)p);
		return word == NULL ? json_null() : json_string(word);
	case PROTOBUF_C_TYPE_STRING:
		return text_of(*(char *const *)p);
	case PROTOBUF_C_TYPE_BYTES:
		return base64_of(p);
	case PROTOBUF_C_TYPE_MESSAGE:
		m = *(ProtobufCMessage *const *)p;
		return expected(m, m->descriptor == &ag__verdict__descriptor ?
		    10 : UINT32_MAX);
	}
	fail_msg("%s is of a type that no event had", f->name);
	return NULL;
}

static json_t *
list_of(const ProtobufCFieldDescriptor *f, size_t count, void *const *items)
{
	bool pairs = f->descriptor == (const void *)&ag__pair__descriptor;
	json_t *list = pairs ? json_object() : json_array();

	assert_int_equal(f->type, PROTOBUF_C_TYPE_MESSAGE);
	for (size_t i = 0; i < count; i++) {
		const Ag__Pair *pair = items[i];

		if (!pairs)
			assert_int_equal(json_array_append_new(list,
			    value_of(f, &items[i])), 0);
		else
			assert_int_equal(json_object_set_new(list, pair->key,
			    pair->value == NULL ? json_null() :
			    text_of(pair->value)), 0);
	}
	return list;
}

static json_t *
expected(const ProtobufCMessage *msg, uint32_t limit)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	const char *base = (const char *)msg;
	json_t *object = json_object(), *v;

	for (unsigned i = 0; i < d->n_fields && d->fields[i].id < limit; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const void *p = base + f->offset;
		const void *q = base + f->quantifier_offset;
		bool pointer = f->type == PROTOBUF_C_TYPE_STRING ||
		    f->type == PROTOBUF_C_TYPE_MESSAGE;

		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			v = list_of(f, *(const size_t *)q, *(void *const *const *)p);
		else if (f->label == PROTOBUF_C_LABEL_REQUIRED || (pointer ?
		    *(void *const *)p != NULL : *(const protobuf_c_boolean *)q))
			v = value_of(f, p);
		else
			v = json_null();
		assert_int_equal(json_object_set_new(object, f->name, v), 0);
	}
	return object;
}

/* ------------------------------------------------------------------- anything */

static uint64_t seed = 0x9e3779b97f4a7c15; /* the same events every time */

static uint64_t
dice(uint64_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % sides;
}

/* Mostly what texts are; often enough quotes, controls, UTF-8 and what is none. */
static char *
any_text(bool valid)
{
	static const char *const odd[] = { "\"", "\\", "/", "\n", "\t", "\x01",
		"\x1f", "\x7f", "\xc3\xbc", "\xe2\x80\xa8", "\xf0\x9f\x94\x91",
		/* and none: a lone, an overlong, a surrogate, too far, cut off */
		"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" };
	size_t kinds = valid ? 11 : sizeof(odd) / sizeof(odd[0]);
	size_t pieces = dice(8) == 0 ? 0 : dice(TEXT_MAX / 4);
	bool plain = dice(3) != 0;
	char *text = calloc(1, TEXT_MAX + 1), *to = text;

	for (size_t i = 0; i < pieces; i++) {
		if (plain || dice(8) != 0)
			*to++ = (char)("abcXYZ019 -_.:{}[],'"[dice(20)]);
		else
			to = stpcpy(to, odd[dice(kinds)]);
	}
	return text;
}

static double
any_real(void)
{
	static const double some[] = { 0, -0.0, 1, -1, 0.1, 0.5, 1e15, 1e16, 1e-5,
		123456789012345678.0, 4.2283950617284e-7, 1e300, 5e-324, 100 };
	double made;

	if (dice(2) == 0)
		return some[dice(sizeof(some) / sizeof(some[0]))];
	do {
		uint64_t bits = dice(UINT64_MAX);

		memcpy(&made, &bits, sizeof(made));
	} while (!isfinite(made));
	return dice(2) == 0 ? made : (double)dice(1000000) / 1e6;
}

static void any_message(ProtobufCMessage *msg, uint32_t limit);

static void
any_value(const ProtobufCFieldDescriptor *f, void *p)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	const ProtobufCEnumDescriptor *e = f->descriptor;
	static const uint64_t some[] = { 0, 1, 9, 10, 99, INT64_MAX, UINT64_MAX,
		UINT64_C(1) << 63, UINT32_MAX, 1234567890123 };
	uint64_t number = dice(2) == 0 ? some[dice(10)] : dice(UINT64_MAX);
	ProtobufCBinaryData *b = p;

	switch ((int)f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		memcpy(p, &number, 8);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		memcpy(p, &number, 4);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)p = any_real();
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)p = (protobuf_c_boolean)dice(2);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)p = dice(10) == 0 ? 4711 :
		    e->values[dice(e->n_values)].value;
		break;
	case PROTOBUF_C_TYPE_STRING:
		*(char **)p = any_text(false);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		b->len = dice(70);
		b->data = calloc(1, 70);
		for (size_t i = 0; i < b->len; i++)
			b->data[i] = (uint8_t)dice(256);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(void **)p = calloc(1, d->sizeof_message);
		protobuf_c_message_init(d, *(void **)p);
		any_message(*(void **)p, d == &ag__verdict__descriptor ? 10 :
		    UINT32_MAX);
		break;
	}
}

static void
any_message(ProtobufCMessage *msg, uint32_t limit)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	char *base = (char *)msg;

	for (unsigned i = 0; i < d->n_fields && d->fields[i].id < limit; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		void *p = base + f->offset, *q = base + f->quantifier_offset;
		void **items;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			*(size_t *)q = dice(20) == 0 ? dice(LIST_MAX) : dice(4);
			items = *(void ***)p = calloc(LIST_MAX, sizeof(void *));
			for (size_t k = 0; k < *(size_t *)q; k++)
				any_value(f, &items[k]);
		} else if (f->label == PROTOBUF_C_LABEL_REQUIRED || dice(3) != 0) {
			if (f->type != PROTOBUF_C_TYPE_STRING &&
			    f->type != PROTOBUF_C_TYPE_MESSAGE &&
			    f->label == PROTOBUF_C_LABEL_OPTIONAL)
				*(protobuf_c_boolean *)q = 1;
			any_value(f, p);
		}
	}
}

/* Names of parameters are UTF-8, and some come twice. */
static void
mend_names(Ag__Event *e)
{
	for (size_t i = 0; i < e->n_params; i++) {
		free(e->params[i]->key);
		e->params[i]->key = i > 0 && dice(6) == 0 ?
		    strdup(e->params[dice(i)]->key) : any_text(true);
	}
}

static void
as_jansson_does(void **state)
{
	for (unsigned n = 0; n < EVENTS; n++) {
		Ag__Event *e = calloc(1, sizeof(*e));
		json_t *object;
		char *want, *got;

		ag__event__init(e);
		e->event_id = e->tenant = e->operation = NULL; /* are given some */
		any_message(&e->base, 40);
		mend_names(e);
		object = expected(&e->base, 40);
		want = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
		json_decref(object);
		assert_non_null(want);
		assert_int_equal(ag_event_json(e, &got), AG_OK);
		assert_string_equal(got, want);
		free(want);
		free(got);
		ag__event__free_unpacked(e, NULL);
	}
	(void)state;
}

/* What JSON has no word for costs this event, not the process. */
static void
no_number(void **state)
{
	Ag__Verdict verdict = AG__VERDICT__INIT;
	Ag__Event e = AG__EVENT__INIT;
	char *line;

	e.event_id = e.tenant = e.operation = verdict.model_version = (char *)"x";
	verdict.decision = AG__DECISION__V__allow;
	verdict.score = NAN;
	e.risk = &verdict;
	assert_int_equal(ag_event_json(&e, &line), AG_NO_MEMORY);
	assert_null(line);
	verdict.score = 1;
	assert_int_equal(ag_event_json(&e, &line), AG_OK);
	free(line);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_jansson_does),
		cmocka_unit_test(no_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
