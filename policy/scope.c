/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of scopes and what matches what: nothing but string compares. */
#include "scope.h"

#include <string.h>

static const char *const kind_names[AG_SCOPE_KIND_COUNT] = {
	[AG_SCOPE_ANY] = "*",
	[AG_SCOPE_KEY] = "key",
	[AG_SCOPE_AGENT] = "agent",
	[AG_SCOPE_PRINCIPAL] = "principal",
	[AG_SCOPE_AUDIT] = "audit",
	[AG_SCOPE_POLICY] = "policy",
	[AG_SCOPE_TOOL] = "tool",
	[AG_SCOPE_SYSTEM] = "system",
};

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* --------------------------------------------------------------- grammar */

/* [first][rest]{0,max-1}; strspn would run past the end of a part. */
static bool
is_word(const char *s, size_t len, size_t max, const char *first,
    const char *rest)
{
	if (len == 0 || len > max || strchr(first, s[0]) == NULL)
		return false;
	for (size_t i = 1; i < len; i++)
		if (s[i] == '\0' || strchr(rest, s[i]) == NULL)
			return false;
	return true;
}

/* No C0, DEL or stray UTF-8 continuation at the start; the same characters
 * that a label's value may have. */
static bool
is_value(const char *s, size_t len)
{
	if (len > AG_SCOPE_VALUE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return true;
}

static bool
parse_kind(const char *s, size_t len, uint8_t *kind)
{
	for (int i = 0; i < AG_SCOPE_KIND_COUNT; i++)
		if (strlen(kind_names[i]) == len &&
		    memcmp(kind_names[i], s, len) == 0) {
			*kind = (uint8_t)i;
			return true;
		}
	return false;
}

static bool
parse_label(const char *s, size_t len, size_t at, struct ag_scope *out)
{
	const char *equals = memchr(s, '=', len);
	size_t key_len;

	if (equals == NULL)
		return false;
	key_len = (size_t)(equals - s);
	if (!is_word(s, key_len, AG_SCOPE_NAME_MAX, LOWER, LOWER DIGITS "._-"))
		return false;
	if (!is_value(equals + 1, len - key_len - 1))
		return false;
	out->select = AG_SELECT_LABEL;
	out->name_at = (uint16_t)at;
	out->name_len = (uint16_t)key_len;
	out->value_at = (uint16_t)(at + key_len + 1);
	out->value_len = (uint16_t)(len - key_len - 1);
	return true;
}

/* "<server>/<tool>": the server is ours to name, the tool is its own. */
static bool
is_tool(const char *s, size_t len)
{
	const char *slash = memchr(s, '/', len);
	size_t server = slash == NULL ? 0 : (size_t)(slash - s);

	return slash != NULL && len <= AG_SCOPE_NAME_MAX &&
	    is_word(s, server, len, LOWER DIGITS, LOWER DIGITS "-") &&
	    is_word(slash + 1, len - server - 1, len, LOWER UPPER DIGITS,
	    LOWER UPPER DIGITS "._-");
}

static bool
parse_selector(const char *text, size_t at, size_t len, struct ag_scope *out)
{
	static const char label[] = "label=";
	const char *s = text + at;

	if (len == 1 && s[0] == '*') {
		out->select = AG_SELECT_ALL;
		return true;
	}
	if (len >= sizeof(label) - 1 && memcmp(s, label, sizeof(label) - 1) == 0)
		return parse_label(s + sizeof(label) - 1,
		    len - (sizeof(label) - 1), at + sizeof(label) - 1, out);
	if (!is_word(s, len, AG_SCOPE_NAME_MAX, LOWER DIGITS,
	    LOWER DIGITS "._-") &&
	    (out->kind != AG_SCOPE_TOOL || !is_tool(s, len)))
		return false;
	out->select = AG_SELECT_NAME;
	out->name_at = (uint16_t)at;
	out->name_len = (uint16_t)len;
	return true;
}

bool
ag_scope_parse(const char *text, struct ag_scope *out)
{
	size_t len = strnlen(text, AG_SCOPE_TEXT_MAX + 1);
	const char *first = memchr(text, ':', len);
	const char *last = memrchr(text, ':', len);
	const char *op;

	memset(out, 0, sizeof(*out));
	if (len > AG_SCOPE_TEXT_MAX || first == NULL || first == last)
		return false;
	op = last + 1;
	out->all_ops = strcmp(op, "*") == 0;
	if (!out->all_ops && !is_word(op, strlen(op), AG_SCOPE_OP_MAX, LOWER,
	    LOWER DIGITS "-"))
		return false;
	out->text = text;
	out->op = op;
	return parse_kind(text, (size_t)(first - text), &out->kind) &&
	    parse_selector(text, (size_t)(first + 1 - text),
	    (size_t)(last - first - 1), out);
}

/* The verbs, and the last path segments of the routes, reserved ones too. */
static const char *const ops[] = {
	"create", "read", "list", "update", "issue", /* the verbs */
	"activate", "batch", "cancel-destroy", "compromise", "deactivate",
	"decrypt", "destroy", "encrypt", "freeze", "generate-data-key", "import",
	"import-parameters", "mac", "mac-verify", "public-jwk", "public-key",
	"random", "rotate", "sign", "unfreeze", "unwrap", "verify", "wrap",
	"delegation-chain", "delete", "grant", "resume", "revoke", "suspend",
	"introspect", "secret", "token", "tokens", "totp", "ungrant",
	"export", "proof", "stream",
	"dismiss", "honey", "pause", "redeliver", "tenant",
	"check", "explain", "lint", "rollback", "simulate", "validate",
	"approve", "break-glass", "cancel", "close", "deny",
	"accept", "call",
};

bool
ag_scope_op_known(const struct ag_scope *scope)
{
	if (scope->all_ops)
		return true;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i], scope->op) == 0)
			return true;
	return false;
}

/* -------------------------------------------------------------- matching */

static bool
is_part(const char *text, size_t at, size_t len, const char *s)
{
	return s != NULL && strncmp(text + at, s, len) == 0 && s[len] == '\0';
}

static bool
kind_and_op(const struct ag_scope *scope, unsigned kind, const char *op)
{
	return (scope->kind == AG_SCOPE_ANY || scope->kind == kind) &&
	    (scope->all_ops || strcmp(scope->op, op) == 0);
}

static bool
selects(const struct ag_scope *scope, const struct ag_scope_target *target)
{
	if (scope->select == AG_SELECT_ALL)
		return true;
	if (target == NULL)
		return false;
	if (scope->select == AG_SELECT_NAME)
		return is_part(scope->text, scope->name_at, scope->name_len,
		    target->id) || is_part(scope->text, scope->name_at,
		    scope->name_len, target->alias);
	for (size_t i = 0; i < target->label_count; i++)
		if (is_part(scope->text, scope->name_at, scope->name_len,
		    target->labels[i].key) && is_part(scope->text,
		    scope->value_at, scope->value_len, target->labels[i].value))
			return true;
	return false;
}

bool
ag_scope_matches(const struct ag_scope *scope, enum ag_scope_kind kind,
    const char *op, const struct ag_scope_target *target)
{
	return kind_and_op(scope, kind, op) && selects(scope, target);
}

bool
ag_scope_names(const struct ag_scope *scope, enum ag_scope_kind kind,
    const char *op, const char *selector)
{
	if (!kind_and_op(scope, kind, op))
		return false;
	if (scope->select == AG_SELECT_ALL)
		return true;
	return scope->select == AG_SELECT_NAME && is_part(scope->text,
	    scope->name_at, scope->name_len, selector);
}

static bool
same_selector(const struct ag_scope *a, const struct ag_scope *b)
{
	return a->select == b->select && a->name_len == b->name_len &&
	    a->value_len == b->value_len &&
	    memcmp(a->text + a->name_at, b->text + b->name_at, a->name_len) == 0 &&
	    memcmp(a->text + a->value_at, b->text + b->value_at,
	    a->value_len) == 0;
}

bool
ag_scope_implies(const struct ag_scope *holder, const struct ag_scope *asked,
    const struct ag_scope_target *resolved)
{
	if (holder->kind != AG_SCOPE_ANY && holder->kind != asked->kind)
		return false;
	if (!holder->all_ops &&
	    (asked->all_ops || strcmp(holder->op, asked->op) != 0))
		return false;
	if (holder->select == AG_SELECT_ALL || same_selector(holder, asked))
		return true;
	/* A name may mean another thing in another kind: `*:x:op` is not
	 * resolved. A label's members change, so it only equals itself. */
	return asked->select == AG_SELECT_NAME && asked->kind != AG_SCOPE_ANY &&
	    resolved != NULL && selects(holder, resolved);
}
