/* SPDX-License-Identifier: Apache-2.0 */
/* Cedar's schema syntax: entity, action and type declarations in namespaces. */
#include "parse.h"
#include "schema.h"

#include <stdlib.h>

static struct cedar_raw_type *type(struct cedar_parser *p);

/* One more item in an array; NULL: no memory, and err is set. */
static void *
more(struct cedar_parser *p, void *array, uint32_t *count, size_t size)
{
	if (p->err != AG_CEDAR_OK)
		return NULL;
	if (!cedar_grow(p->arena, array, *count, size)) {
		p->err = cedar_no_memory(p->lexer.problem);
		return NULL;
	}
	return *(uint8_t **)array + (size_t)(*count)++ * size;
}

static bool
string(struct cedar_parser *p, struct ag_cedar_str *out)
{
	if (p->err != AG_CEDAR_OK || p->token.kind != CEDAR_T_STRING)
		return cedar_unexpected(p, "a string");
	p->err = cedar_unquote(p->arena, &p->lexer, &p->token, out, NULL);
	cedar_next(p);
	return p->err == AG_CEDAR_OK;
}

static bool
ident(struct cedar_parser *p, struct ag_cedar_str *out)
{
	*out = p->token.text;
	if (p->err != AG_CEDAR_OK || p->token.kind != CEDAR_T_IDENT)
		return cedar_unexpected(p, "a name");
	if (cedar_is_reserved(*out)) {
		CEDAR_REFUSE(p, p->token.at, "`%.*s` is reserved and cannot be a "
		    "name", (int)out->len, out->p);
		return false;
	}
	cedar_next(p);
	return p->err == AG_CEDAR_OK;
}

/* An identifier or a string. As a name of an attribute or an action, the
 * reserved namespace's word is a word like others. */
static bool
name(struct cedar_parser *p, struct ag_cedar_str *out)
{
	if (cedar_at_word(p, "__cedar")) {
		*out = p->token.text;
		cedar_next(p);
		return p->err == AG_CEDAR_OK;
	}
	return p->token.kind == CEDAR_T_STRING ? string(p, out) : ident(p, out);
}

/* `__cedar::Long` is the one place where the reserved word may be. */
static bool
path(struct cedar_parser *p, struct ag_cedar_str *out)
{
	if (!cedar_at_word(p, "__cedar"))
		return cedar_parse_path(p, out);
	cedar_next(p);
	if (!cedar_expect(p, CEDAR_T_PATH, "`::`") || !ident(p, out))
		return false;
	/* Marked by its length: the resolver looks at what is before it. */
	const char *begin = out->p;
	char *full = ag_cedar_alloc(p->arena, out->len + sizeof("__cedar::"));

	if (full == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return false;
	}
	memcpy(full, "__cedar::", 9);
	memcpy(full + 9, begin, out->len);
	*out = (struct ag_cedar_str){ full, out->len + 9 };
	return true;
}

/* They are checked, and mean nothing to us. */
static void
annotations(struct cedar_parser *p)
{
	struct ag_cedar_str *seen = NULL, *one, value;
	uint32_t count = 0;

	while (cedar_accept(p, '@')) {
		if (p->token.kind != CEDAR_T_IDENT) {
			(void)cedar_unexpected(p, "the annotation's name");
			return;
		}
		for (uint32_t i = 0; i < count; i++)
			if (cedar_str_equal(seen[i], p->token.text))
				CEDAR_REFUSE(p, p->token.at, "the annotation "
				    "@%.*s is there twice", (int)seen[i].len,
				    seen[i].p);
		one = more(p, &seen, &count, sizeof(*seen));
		if (one == NULL)
			return;
		*one = p->token.text;
		cedar_next(p);
		if (cedar_accept(p, '(') && (!string(p, &value) ||
		    !cedar_expect(p, ')', "`)`")))
			return;
	}
}

/* ------------------------------------------------------------------- types */

/* Behind `{`, up to its `}`. */
static struct cedar_raw_type *
record(struct cedar_parser *p, size_t at)
{
	struct cedar_raw_type *t = ag_cedar_alloc(p->arena, sizeof(*t));
	struct cedar_raw_attr *attr;

	if (t == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return NULL;
	}
	t->kind = CEDAR_RAW_RECORD;
	t->at = at;
	while (p->err == AG_CEDAR_OK && p->token.kind != '}') {
		annotations(p);
		attr = more(p, &t->attrs, &t->attr_count, sizeof(*attr));
		if (attr == NULL || !name(p, &attr->name))
			return NULL;
		attr->required = !cedar_accept(p, '?');
		if (!cedar_expect(p, ':', "`:` and the attribute's type"))
			return NULL;
		attr->type = type(p);
		if (!cedar_accept(p, ','))
			break;
	}
	return cedar_expect(p, '}', "`,` or `}`") ? t : NULL;
}

static struct cedar_raw_type *
type_inside(struct cedar_parser *p)
{
	struct cedar_raw_type *t;
	size_t at = p->token.at;
	struct cedar_lexer ahead = p->lexer;

	ahead.problem = NULL;
	if (cedar_accept(p, '{'))
		return record(p, at);
	t = ag_cedar_alloc(p->arena, sizeof(*t));
	if (t == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return NULL;
	}
	t->at = at;
	if (cedar_at_word(p, "Set") && cedar_lex(&ahead).kind == '<') {
		cedar_next(p);
		cedar_next(p);
		t->kind = CEDAR_RAW_SET;
		t->element = type(p);
		return cedar_expect(p, '>', "`>`") ? t : NULL;
	}
	t->kind = CEDAR_RAW_NAME;
	return path(p, &t->name) ? t : NULL;
}

static struct cedar_raw_type *
type(struct cedar_parser *p)
{
	struct cedar_raw_type *t = cedar_enter(p) ? type_inside(p) : NULL;

	cedar_leave(p);
	return p->err == AG_CEDAR_OK ? t : NULL;
}

/* A path, or paths in square brackets. */
static void
paths(struct cedar_parser *p, struct cedar_raw_name **out, uint32_t *count)
{
	bool is_list = cedar_accept(p, '[');
	struct cedar_raw_name *one;

	while (p->err == AG_CEDAR_OK && !(is_list && p->token.kind == ']')) {
		one = more(p, out, count, sizeof(*one));
		if (one == NULL)
			return;
		one->at = p->token.at;
		if (!path(p, &one->name) || !is_list || !cedar_accept(p, ','))
			break;
		if (p->token.kind == ']')
			(void)cedar_unexpected(p, "an entity type");
	}
	if (is_list)
		(void)cedar_expect(p, ']', "`,` or `]`");
}

/* ------------------------------------------------------------ declarations */

static void
choices(struct cedar_parser *p, struct cedar_raw_entity *e)
{
	struct ag_cedar_str *one;

	(void)cedar_expect(p, '[', "`[` and the ids");
	do {
		one = more(p, &e->choices, &e->choice_count, sizeof(*one));
		if (one == NULL || !string(p, one))
			return;
	} while (cedar_accept(p, ','));
	(void)cedar_expect(p, ']', "`,` or `]`");
}

static void
entity(struct cedar_parser *p, struct cedar_raw_namespace *ns)
{
	uint32_t first = ns->entity_count;
	struct cedar_raw_entity e = { .parent_count = 0 }, *one;

	do {
		one = more(p, &ns->entities, &ns->entity_count, sizeof(*one));
		if (one == NULL)
			return;
		one->at = p->token.at;
		if (!ident(p, &one->name))
			return;
	} while (cedar_accept(p, ','));
	if (cedar_at_word(p, "enum")) {
		cedar_next(p);
		choices(p, &e);
	} else {
		if (cedar_at_word(p, "in")) {
			cedar_next(p);
			paths(p, &e.parents, &e.parent_count);
		}
		if (cedar_accept(p, '=') && p->token.kind != '{')
			(void)cedar_unexpected(p, "`{`");
		if (cedar_accept(p, '{'))
			e.shape = record(p, p->token.at);
		if (cedar_at_word(p, "tags")) {
			cedar_next(p);
			e.tags = type(p);
		}
	}
	(void)cedar_expect(p, ';', "`;`");
	for (uint32_t i = first; i < ns->entity_count; i++) {
		e.name = ns->entities[i].name;
		e.at = ns->entities[i].at;
		ns->entities[i] = e;
	}
}

/* A name of an action of this namespace, or Path::"id". */
static void
action_parent(struct cedar_parser *p, struct cedar_raw_action *a)
{
	struct ag_cedar_uid *uid = more(p, &a->parents, &a->parent_count,
	    sizeof(*uid));
	struct ag_cedar_str first, id;

	if (uid == NULL)
		return;
	if (p->token.kind == CEDAR_T_STRING) {
		if (string(p, &id))
			*uid = ag_cedar_uid((struct ag_cedar_str){ NULL, 0 }, id);
		return;
	}
	if (!cedar_parse_path(p, &first))
		return;
	if (cedar_accept(p, CEDAR_T_PATH)) {
		if (string(p, &id))
			*uid = ag_cedar_uid(first, id);
	} else {
		*uid = ag_cedar_uid((struct ag_cedar_str){ NULL, 0 }, first);
	}
}

static void
context(struct cedar_parser *p, struct cedar_raw_action *a)
{
	if (p->token.kind != '{' && p->token.kind != CEDAR_T_IDENT) {
		(void)cedar_unexpected(p, "a record or the name of one");
		return;
	}
	a->context = type(p);
	if (a->context != NULL && a->context->kind == CEDAR_RAW_NAME)
		a->context->kind = CEDAR_RAW_COMMON;
}

static void
applies_to(struct cedar_parser *p, struct cedar_raw_action *a)
{
	enum { SEEN_P = 1, SEEN_R = 2, SEEN_C = 4 };
	unsigned seen = 0, this;

	a->applies = true;
	(void)cedar_expect(p, '{', "`{`");
	while (p->err == AG_CEDAR_OK && p->token.kind != '}') {
		size_t at = p->token.at;

		this = cedar_at_word(p, "principal") ? SEEN_P :
		    cedar_at_word(p, "resource") ? SEEN_R :
		    cedar_at_word(p, "context") ? SEEN_C : 0;
		if (this == 0) {
			(void)cedar_unexpected(p, "principal, resource or context");
			return;
		}
		if (seen & this)
			CEDAR_REFUSE(p, at, "this is there twice");
		seen |= this;
		cedar_next(p);
		(void)cedar_expect(p, ':', "`:`");
		if (this == SEEN_C)
			context(p, a);
		else if (this == SEEN_P)
			paths(p, &a->principals, &a->principal_count);
		else
			paths(p, &a->resources, &a->resource_count);
		if (this != SEEN_C && (this == SEEN_P ? a->principal_count :
		    a->resource_count) == 0)
			CEDAR_REFUSE(p, at, "the list is empty; leave appliesTo "
			    "out if the action applies to nothing");
		if (!cedar_accept(p, ','))
			break;
	}
	if (p->err == AG_CEDAR_OK && (seen & (SEEN_P | SEEN_R)) !=
	    (SEEN_P | SEEN_R))
		CEDAR_REFUSE(p, p->token.at, "appliesTo needs both principal and "
		    "resource");
	(void)cedar_expect(p, '}', "`,` or `}`");
}

static void
action(struct cedar_parser *p, struct cedar_raw_namespace *ns)
{
	uint32_t first = ns->action_count;
	struct cedar_raw_action a = { .parent_count = 0 }, *one;

	do {
		one = more(p, &ns->actions, &ns->action_count, sizeof(*one));
		if (one == NULL)
			return;
		one->at = p->token.at;
		if (!name(p, &one->id))
			return;
	} while (cedar_accept(p, ','));
	if (cedar_at_word(p, "in")) {
		cedar_next(p);
		if (cedar_accept(p, '[')) {
			do
				action_parent(p, &a);
			while (cedar_accept(p, ','));
			(void)cedar_expect(p, ']', "`,` or `]`");
		} else {
			action_parent(p, &a);
		}
	}
	if (cedar_at_word(p, "appliesTo")) {
		cedar_next(p);
		applies_to(p, &a);
	}
	if (cedar_at_word(p, "attributes")) {
		cedar_next(p);
		(void)cedar_expect(p, '{', "`{`");
		(void)cedar_expect(p, '}', "`}`, for actions have no attributes");
	}
	(void)cedar_expect(p, ';', "`;`");
	for (uint32_t i = first; i < ns->action_count; i++) {
		a.id = ns->actions[i].id;
		a.at = ns->actions[i].at;
		ns->actions[i] = a;
	}
}

static void
common(struct cedar_parser *p, struct cedar_raw_namespace *ns)
{
	struct cedar_raw_common *one = more(p, &ns->commons, &ns->common_count,
	    sizeof(*one));

	if (one == NULL)
		return;
	one->at = p->token.at;
	if (!ident(p, &one->name) || !cedar_expect(p, '=', "`=`"))
		return;
	one->type = type(p);
	(void)cedar_expect(p, ';', "`;`");
}

static bool
declaration(struct cedar_parser *p, struct cedar_raw_namespace *ns)
{
	static const struct {
		const char *word;
		void (*read)(struct cedar_parser *p,
		    struct cedar_raw_namespace *ns);
	} rows[] = { { "entity", entity }, { "action", action },
		{ "type", common } };

	for (size_t i = 0; i < CEDAR_COUNT(rows); i++)
		if (cedar_at_word(p, rows[i].word)) {
			cedar_next(p);
			rows[i].read(p, ns);
			return p->err == AG_CEDAR_OK;
		}
	return cedar_unexpected(p, "`entity`, `action`, `type` or `namespace`");
}

static void
namespace(struct cedar_parser *p, struct cedar_raw_namespace *top)
{
	struct cedar_raw_namespace *ns = ag_cedar_alloc(p->arena, sizeof(*ns));

	if (ns == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return;
	}
	cedar_next(p);
	if (!cedar_parse_path(p, &ns->name) || !cedar_expect(p, '{', "`{`"))
		return;
	while (p->err == AG_CEDAR_OK && p->token.kind != '}') {
		annotations(p);
		if (!declaration(p, ns))
			return;
	}
	(void)cedar_expect(p, '}', "`}`");
	ns->next = top->next;
	top->next = ns;
}

enum ag_cedar_err
ag_cedar_schema_parse(const char *text, size_t len, size_t max_bytes,
    struct ag_cedar_schema **out, struct ag_cedar_problem *problem)
{
	struct cedar_parser p = { .err = AG_CEDAR_OK };
	struct ag_cedar_schema *schema = calloc(1, sizeof(*schema));
	struct cedar_raw_namespace top = { .next = NULL };
	struct ag_cedar_str source = { text, len };

	*out = NULL;
	if (schema == NULL)
		return cedar_no_memory(problem);
	ag_cedar_arena_init(&schema->arena, max_bytes);
	p.arena = &schema->arena;
	/* Names stay where they stand, so the text is kept. */
	if (len <= AG_CEDAR_TEXT_MAX)
		source = cedar_str_copy(p.arena, source);
	p.err = source.p == NULL && len != 0 ? cedar_no_memory(problem) :
	    cedar_lex_begin(&p.lexer, source, problem);
	cedar_next(&p);
	while (p.err == AG_CEDAR_OK && p.token.kind != CEDAR_T_END) {
		annotations(&p);
		if (cedar_at_word(&p, "namespace"))
			namespace(&p, &top);
		else
			(void)declaration(&p, &top);
	}
	if (p.err == AG_CEDAR_OK)
		p.err = cedar_schema_resolve(schema, &top, source, problem);
	if (p.err != AG_CEDAR_OK)
		ag_cedar_schema_free(&schema);
	*out = schema;
	return p.err;
}
