/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: annotations, effect, scope, conditions. */
#include "parse.h"

#include <stdio.h>

/* -------------------------------------------------------------- the tools */

void
cedar_next(struct cedar_parser *p)
{
	if (p->err != AG_CEDAR_OK)
		return;
	p->token = cedar_lex(&p->lexer);
	if (p->token.kind == CEDAR_T_BAD)
		p->err = AG_CEDAR_SYNTAX;
}

bool
cedar_unexpected(struct cedar_parser *p, const char *what)
{
	if (p->err != AG_CEDAR_OK)
		return false;
	if (p->token.kind == CEDAR_T_END)
		CEDAR_REFUSE(p, p->token.at, "expected %s, found the end of the "
		    "text", what);
	else
		CEDAR_REFUSE(p, p->token.at, "expected %s, found `%.*s`", what,
		    (int)(p->token.text.len > 40 ? 40 : p->token.text.len),
		    p->token.text.p);
	return false;
}

bool
cedar_accept(struct cedar_parser *p, int kind)
{
	if (p->err != AG_CEDAR_OK || p->token.kind != kind)
		return false;
	cedar_next(p);
	return p->err == AG_CEDAR_OK;
}

bool
cedar_expect(struct cedar_parser *p, int kind, const char *what)
{
	return cedar_accept(p, kind) || cedar_unexpected(p, what);
}

bool
cedar_at_word(const struct cedar_parser *p, const char *word)
{
	return p->token.kind == CEDAR_T_IDENT && cedar_is(p->token.text, word);
}

bool
cedar_enter(struct cedar_parser *p)
{
	if (p->err != AG_CEDAR_OK)
		return false;
	if (++p->nest <= AG_CEDAR_NEST_MAX)
		return true;
	p->err = cedar_lex_problem(&p->lexer, AG_CEDAR_LIMIT, p->token.at,
	    "more than %d brackets are open here; split the policy",
	    AG_CEDAR_NEST_MAX);
	return false;
}

void
cedar_leave(struct cedar_parser *p)
{
	p->nest--;
}

bool
cedar_parse_path(struct cedar_parser *p, struct ag_cedar_str *out)
{
	size_t begin = p->token.at;
	char *path = NULL;
	size_t len = 0, room = 0;
	bool more = true;

	for (; more; more = cedar_accept(p, CEDAR_T_PATH)) {
		struct ag_cedar_str word = p->token.text;

		if (p->err != AG_CEDAR_OK || p->token.kind != CEDAR_T_IDENT)
			return cedar_unexpected(p, "a name");
		if (cedar_is_reserved(word)) {
			CEDAR_REFUSE(p, p->token.at, "`%.*s` is reserved and "
			    "cannot be part of a name", (int)word.len, word.p);
			return false;
		}
		if (len + word.len + 3 > room) {
			char *bigger;

			room = 2 * (len + word.len + 3);
			bigger = ag_cedar_alloc(p->arena, room);
			if (bigger == NULL) {
				p->err = cedar_no_memory(p->lexer.problem);
				return false;
			}
			if (len != 0)
				memcpy(bigger, path, len);
			path = bigger;
		}
		if (len != 0)
			len += (size_t)sprintf(path + len, "::");
		memcpy(path + len, word.p, word.len);
		len += word.len;
		cedar_next(p);
		/* `::` and a string: the string is the caller's. */
		if (p->token.kind == CEDAR_T_PATH) {
			struct cedar_lexer ahead = p->lexer;

			ahead.problem = NULL;
			if (cedar_lex(&ahead).kind != CEDAR_T_IDENT)
				break;
		}
	}
	(void)begin;
	*out = (struct ag_cedar_str){ path, len };
	return p->err == AG_CEDAR_OK;
}

bool
cedar_parse_uid(struct cedar_parser *p, const char *what,
    struct ag_cedar_uid *out)
{
	struct ag_cedar_str type, id;
	size_t at = p->token.at;

	if (p->token.kind != CEDAR_T_IDENT)
		return cedar_unexpected(p, what);
	if (!cedar_parse_path(p, &type))
		return false;
	if (!cedar_accept(p, CEDAR_T_PATH)) {
		CEDAR_REFUSE(p, at, "expected %s, found the name `%.*s`; an "
		    "entity is written %.*s::\"id\"", what, (int)type.len,
		    type.p, (int)type.len, type.p);
		return false;
	}
	if (p->token.kind != CEDAR_T_STRING)
		return cedar_unexpected(p, "the entity's id in quotes");
	p->err = cedar_unquote(p->arena, &p->lexer, &p->token, &id, NULL);
	if (p->err != AG_CEDAR_OK)
		return false;
	cedar_next(p);
	*out = ag_cedar_uid(type, id);
	return p->err == AG_CEDAR_OK;
}

/* ---------------------------------------------------------- annotations */

static void
annotation(struct cedar_parser *p, struct cedar_body *body)
{
	struct cedar_annotation *a;

	if (!cedar_grow(p->arena, &body->annotations, body->annotation_count,
	    sizeof(*a))) {
		p->err = cedar_no_memory(p->lexer.problem);
		return;
	}
	a = &body->annotations[body->annotation_count];
	if (p->token.kind != CEDAR_T_IDENT) {
		(void)cedar_unexpected(p, "the annotation's name");
		return;
	}
	a->name = p->token.text;
	for (uint32_t i = 0; i < body->annotation_count; i++)
		if (cedar_str_equal(body->annotations[i].name, a->name)) {
			CEDAR_REFUSE(p, p->token.at, "the annotation @%.*s is "
			    "there twice", (int)a->name.len, a->name.p);
			return;
		}
	body->annotation_count++;
	cedar_next(p);
	if (!cedar_accept(p, '('))
		return;
	if (p->token.kind != CEDAR_T_STRING) {
		(void)cedar_unexpected(p, "the annotation's value in quotes");
		return;
	}
	a->has_value = true;
	p->err = cedar_unquote(p->arena, &p->lexer, &p->token, &a->value, NULL);
	cedar_next(p);
	(void)cedar_expect(p, ')', "`)`");
}

/* ----------------------------------------------------------------- scopes */

static const char *const dim_names[] = { "principal", "action", "resource" };

/* The entity, or the slot of the same name; brackets around it are allowed. */
static void
scope_uid(struct cedar_parser *p, int dim, struct cedar_scope *scope)
{
	struct ag_cedar_str slot = p->token.text;
	size_t at = p->token.at;

	if (cedar_accept(p, '(')) {
		if (cedar_enter(p))
			scope_uid(p, dim, scope);
		cedar_leave(p);
		(void)cedar_expect(p, ')', "`)`");
		return;
	}
	if (p->token.kind == '[') {
		CEDAR_REFUSE(p, at, "a list is only possible behind `action in`; "
		    "here one entity must be");
		return;
	}
	if (dim != CEDAR_A && cedar_accept(p, CEDAR_T_SLOT)) {
		scope->has_slot = true;
		if (!cedar_is((struct ag_cedar_str){ slot.p + 1, slot.len - 1 },
		    dim_names[dim]))
			CEDAR_REFUSE(p, at, "expected an entity or ?%s, found "
			    "%.*s", dim_names[dim], (int)slot.len, slot.p);
		return;
	}
	if (!cedar_grow(p->arena, &scope->uids, scope->uid_count,
	    sizeof(*scope->uids))) {
		p->err = cedar_no_memory(p->lexer.problem);
		return;
	}
	if (!cedar_parse_uid(p, dim == CEDAR_A ? "an action" :
	    "an entity or a slot", &scope->uids[scope->uid_count]))
		return;
	if (dim == CEDAR_A &&
	    !cedar_is_action_type(scope->uids[scope->uid_count].type))
		CEDAR_REFUSE(p, at, "`%.*s` is no type of actions; it must be "
		    "Action, or end in ::Action",
		    (int)scope->uids[scope->uid_count].type.len,
		    scope->uids[scope->uid_count].type.p);
	scope->uid_count++;
}

/* Behind `action in`: one, or a list in (any number of) round brackets. */
static void
action_list(struct cedar_parser *p, struct cedar_scope *scope)
{
	if (cedar_accept(p, '(')) {
		if (cedar_enter(p))
			action_list(p, scope);
		cedar_leave(p);
		(void)cedar_expect(p, ')', "`)`");
		return;
	}
	if (!cedar_accept(p, '[')) {
		scope_uid(p, CEDAR_A, scope);
		return;
	}
	scope->is_list = true;
	while (p->err == AG_CEDAR_OK && p->token.kind != ']') {
		scope_uid(p, CEDAR_A, scope);
		if (!cedar_accept(p, ','))
			break;
	}
	(void)cedar_expect(p, ']', "`,` or `]`");
}

static void
scope_is(struct cedar_parser *p, int dim, struct cedar_scope *scope)
{
	size_t at = p->token.at;

	if (dim == CEDAR_A) {
		CEDAR_REFUSE(p, at, "`is` cannot be in the scope of an action; "
		    "move it into a `when` condition");
		return;
	}
	cedar_next(p);
	scope->kind = CEDAR_SCOPE_IS;
	at = p->token.at;
	if (!cedar_parse_path(p, &scope->type))
		return;
	if (p->token.kind == CEDAR_T_PATH) {
		CEDAR_REFUSE(p, at, "behind `is` is the name of a type, not an "
		    "entity; to compare, write `%s == …`", dim_names[dim]);
		return;
	}
	scope->type_hash = cedar_hash(scope->type, 0);
	if (cedar_at_word(p, "in")) {
		cedar_next(p);
		scope->kind = CEDAR_SCOPE_IS_IN;
		scope_uid(p, dim, scope);
	}
}

static void
scope(struct cedar_parser *p, int dim, struct cedar_scope *out)
{
	out->at = (uint32_t)p->token.at;
	if (!cedar_at_word(p, dim_names[dim])) {
		CEDAR_REFUSE(p, p->token.at, "expected `%s`, found `%.*s`; the "
		    "scope has principal, action and resource, in this order",
		    dim_names[dim], (int)(p->token.text.len > 40 ? 40 :
		    p->token.text.len), p->token.text.p);
		return;
	}
	cedar_next(p);
	if (p->token.kind == '=') {
		CEDAR_REFUSE(p, p->token.at, "`=` is no operator; write `==`");
	} else if (p->token.kind == ':') {
		CEDAR_REFUSE(p, p->token.at, "a type is asked for with `is`, not "
		    "with `:`");
	} else if (cedar_accept(p, CEDAR_T_EQ)) {
		out->kind = CEDAR_SCOPE_EQ;
		scope_uid(p, dim, out);
	} else if (cedar_at_word(p, "is")) {
		scope_is(p, dim, out);
	} else if (cedar_at_word(p, "in")) {
		cedar_next(p);
		out->kind = CEDAR_SCOPE_IN;
		if (dim == CEDAR_A)
			action_list(p, out);
		else
			scope_uid(p, dim, out);
	}
}

/* --------------------------------------------------------------- policies */

static void
conditions(struct cedar_parser *p, struct cedar_body *body)
{
	struct cedar_condition **link = &body->conditions;

	while (p->err == AG_CEDAR_OK && p->token.kind == CEDAR_T_IDENT) {
		struct cedar_condition *c = ag_cedar_alloc(p->arena, sizeof(*c));
		struct ag_cedar_str word = p->token.text;

		if (c == NULL) {
			p->err = cedar_no_memory(p->lexer.problem);
			return;
		}
		c->is_unless = cedar_is(word, "unless");
		if (!c->is_unless && !cedar_is(word, "when")) {
			CEDAR_REFUSE(p, p->token.at, "a condition begins with "
			    "`when` or `unless`, not with `%.*s`",
			    (int)word.len, word.p);
			return;
		}
		cedar_next(p);
		if (!cedar_expect(p, '{', "`{`") || !cedar_enter(p))
			return;
		if (p->token.kind == '}')
			CEDAR_REFUSE(p, p->token.at, "the condition is empty; "
			    "write one, or leave out `%.*s { }`",
			    (int)word.len, word.p);
		c->expr = cedar_expression(p);
		cedar_leave(p);
		(void)cedar_expect(p, '}', "an operator or `}`");
		*link = c;
		link = &c->next;
	}
}

static void
effect(struct cedar_parser *p, struct cedar_body *body)
{
	if (p->token.kind != CEDAR_T_IDENT) {
		(void)cedar_unexpected(p, "`permit` or `forbid`");
		return;
	}
	body->forbid = cedar_at_word(p, "forbid");
	if (!body->forbid && !cedar_at_word(p, "permit")) {
		CEDAR_REFUSE(p, p->token.at, "`%.*s` is no effect; a policy "
		    "begins with `permit` or `forbid`",
		    (int)(p->token.text.len > 40 ? 40 : p->token.text.len),
		    p->token.text.p);
		return;
	}
	cedar_next(p);
}

static void
policy(struct cedar_parser *p, struct cedar_body *body)
{
	body->at = (uint32_t)p->token.at;
	body->source = p->lexer.text;
	body->has_source = true;
	while (cedar_accept(p, '@'))
		annotation(p, body);
	effect(p, body);
	(void)cedar_expect(p, '(', "`(` and the scope");
	for (int dim = 0; dim < CEDAR_DIMS && p->err == AG_CEDAR_OK; dim++) {
		scope(p, dim, &body->scope[dim]);
		if (dim + 1 < CEDAR_DIMS)
			(void)cedar_expect(p, ',', "`,` and the next part of the "
			    "scope (principal, action, resource)");
		else
			(void)cedar_accept(p, ',');
		body->is_template |= body->scope[dim].has_slot;
	}
	(void)cedar_expect(p, ')', "`)`, for the scope has principal, action "
	    "and resource only");
	conditions(p, body);
	(void)cedar_expect(p, ';', "`;`, `when` or `unless`");
}

enum ag_cedar_err
cedar_parse_policies(struct ag_cedar_arena *arena, const char *prefix,
    struct ag_cedar_str text, struct cedar_body **bodies,
    struct ag_cedar_problem *problem)
{
	struct cedar_parser p = { .arena = arena };
	char id[AG_CEDAR_ID_MAX + 1];
	int len;

	while (*bodies != NULL)
		bodies = &(*bodies)->next;
	p.err = cedar_lex_begin(&p.lexer, text, problem);
	cedar_next(&p);
	for (unsigned n = 0; p.err == AG_CEDAR_OK &&
	    p.token.kind != CEDAR_T_END; n++) {
		struct cedar_body *body = ag_cedar_alloc(arena, sizeof(*body));

		len = snprintf(id, sizeof(id), "%s%u", prefix, n);
		if (len < 0 || (size_t)len >= sizeof(id))
			return cedar_problem(problem, AG_CEDAR_LIMIT,
			    "the ids would be longer than %d bytes; take a "
			    "shorter prefix", AG_CEDAR_ID_MAX);
		if (body != NULL)
			body->id = cedar_str_copy(arena, cedar_str(id));
		if (body == NULL || body->id.p == NULL)
			return cedar_no_memory(problem);
		policy(&p, body);
		*bodies = body;
		bodies = &body->next;
	}
	return p.err;
}

enum ag_cedar_err
cedar_parse_expr(struct ag_cedar_arena *arena, struct ag_cedar_str text,
    struct cedar_expr **out, struct ag_cedar_problem *problem)
{
	struct cedar_parser p = { .arena = arena };

	p.err = cedar_lex_begin(&p.lexer, text, problem);
	cedar_next(&p);
	*out = cedar_expression(&p);
	if (p.err == AG_CEDAR_OK && p.token.kind != CEDAR_T_END)
		(void)cedar_unexpected(&p, "an operator or the end");
	return p.err;
}
