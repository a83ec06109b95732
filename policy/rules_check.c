/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document before it is taken: can it be read, do its annotations mean
 * something, and is every policy possible under the schema? An annotation that
 * nobody looks at would be a promise that nobody keeps, so it is an error.
 */
#include "rules_set.h"

#include "check.h"
#include "set.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SET_MEMORY = 128 << 20,
	VALIDATE_MEMORY = 64 << 20,
};

struct checking {
	const struct ag_cedar_schema *schema;
	struct ag_cedar_set *set;
	struct ag_rules_findings *out;
};

void
rules_finding_add(struct ag_rules_findings *out,
    const struct ag_rules_finding *f)
{
	if (f->is_error)
		out->errors++;
	else
		out->warnings++;
	if (out->count == AG_RULES_FINDINGS_MAX || (!f->is_error &&
	    out->count == AG_RULES_FINDINGS_MAX - 1))
		return;
	out->items[out->count++] = *f;
}

static void
add(struct checking *c, bool is_error, const char *rule, uint32_t line,
    uint32_t column, const char *text)
{
	struct ag_rules_finding f = { .is_error = is_error, .line = line,
		.column = column };

	(void)snprintf(f.rule, sizeof(f.rule), "%s", rule);
	(void)snprintf(f.text, sizeof(f.text), "%s", text);
	rules_finding_add(c->out, &f);
}

static void __attribute__((format(printf, 3, 4)))
add_policy(struct checking *c, size_t i, const char *format, ...)
{
	struct ag_cedar_policy_info info;
	char text[AG_CEDAR_PROBLEM_SIZE];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	ag_cedar_policy_info(c->set, i, &info);
	add(c, true, info.id, info.line, info.column, text);
}

static void
add_problem(struct checking *c, const struct ag_cedar_problem *p)
{
	add(c, true, "", p->line, p->column, p->text);
}

/* ------------------------------------------------------------ annotations */

static bool
is_name(struct ag_cedar_str s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	if (s.len == 0 || s.len > AG_RULES_NAME_MAX ||
	    strchr("._-", s.p[0]) != NULL)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '\0' || strchr(allowed, s.p[i]) == NULL)
			return false;
	return true;
}

static void
check_id(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_str other;

	if (!is_name(value))
		add_policy(c, i, "@id is [a-z0-9][a-z0-9._-]{0,62}");
	else if (strspn(value.p, "0123456789") >= value.len)
		add_policy(c, i, "@id is not a number; those are of policies "
		    "without @id");
	for (size_t k = 0; k < i; k++)
		if (ag_cedar_policy_annotation(c->set, k, "id", &other) &&
		    other.len == value.len &&
		    memcmp(other.p, value.p, value.len) == 0)
			add_policy(c, i, "another policy has the same @id");
}

static void
check_reason(struct checking *c, size_t i, struct ag_cedar_str value)
{
	bool good = value.len > 0 && value.len <= AG_RULES_REASON_MAX;

	for (size_t k = 0; good && k < value.len; k++)
		good = (unsigned char)value.p[k] >= 0x20 && value.p[k] != 0x7f;
	if (!good)
		add_policy(c, i, "@reason has 1 to %d printable characters",
		    AG_RULES_REASON_MAX);
}

static bool
is_word(struct ag_cedar_str value, const char *word)
{
	return value.len == strlen(word) && strncmp(value.p, word, value.len) == 0;
}

static void
check_step_up(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;

	ag_cedar_policy_info(c->set, i, &info);
	if (info.forbid)
		add_policy(c, i, "@step_up stands at a permit; a forbid refuses "
		    "in any case. Say `unless { context.stepped_up }`");
	else if (!is_word(value, "totp"))
		add_policy(c, i, "@step_up is \"totp\", not \"%.*s\"",
		    (int)(value.len > 40 ? 40 : value.len), value.p);
}

static void
check_approval(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;
	struct ag_rules_need need;

	ag_cedar_policy_info(c->set, i, &info);
	if (info.forbid)
		add_policy(c, i, "@approval stands at a permit; a forbid refuses "
		    "in any case");
	else if (!ag_rules_need_parse(value.p, value.len, &need))
		add_policy(c, i, "@approval is \"<role>\", \"<role>, quorum 2\" or "
		    "\"<role>, quorum 2, window 15m\", not \"%.*s\"; a quorum is 1 "
		    "to %d people, a window 1s to 1d",
		    (int)(value.len > 40 ? 40 : value.len), value.p,
		    AG_RULES_QUORUM_MAX);
}

static void
check_overridable(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;
	struct ag_cedar_str need;

	ag_cedar_policy_info(c->set, i, &info);
	if (value.len != 0)
		add_policy(c, i, "@overridable stands alone, without a value");
	else if (!info.forbid && !ag_cedar_policy_annotation(c->set, i,
	    "approval", &need))
		add_policy(c, i, "@overridable stands at a forbid, or at a permit "
		    "with @approval; there is nothing else to override");
}

static void
check_session(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;

	ag_cedar_policy_info(c->set, i, &info);
	if (value.len != 0)
		add_policy(c, i, "@require_session stands alone, without a value");
	else if (info.forbid)
		add_policy(c, i, "@require_session stands at a permit; a forbid "
		    "refuses in any case");
}

static void
check_constraint(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;

	ag_cedar_policy_info(c->set, i, &info);
	if (!info.forbid)
		add_policy(c, i, "@constraint stands at a forbid: it says what "
		    "its refusal is about");
	else if (ag_rules_constraint(value.p, value.len) == NULL)
		add_policy(c, i, "@constraint is \"rate\", \"bytes\", "
		    "\"operations\" or \"concurrency\", not \"%.*s\"",
		    (int)(value.len > 40 ? 40 : value.len), value.p);
}

static void
check_timeout(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;
	unsigned ms;

	ag_cedar_policy_info(c->set, i, &info);
	if (info.forbid)
		add_policy(c, i, "@timeout stands at a permit; a forbid lets "
		    "nothing take any time");
	else if (!ag_rules_timeout_parse(value.p, value.len, &ms))
		add_policy(c, i, "@timeout is \"200ms\" or \"2s\", from %dms to "
		    "%ds, not \"%.*s\"", AG_RULES_TIMEOUT_MS_MIN,
		    AG_RULES_TIMEOUT_MS_MAX / 1000,
		    (int)(value.len > 40 ? 40 : value.len), value.p);
}

/* May it be about something that issues a credential? */
static bool
may_issue(const struct checking *c, size_t i)
{
	const struct cedar_policy *policy = &c->set->policies[i];

	for (uint32_t a = 0; a < c->schema->action_count; a++) {
		const struct cedar_action *action = c->schema->actions[a];
		char name[AG_RULES_NAME_MAX + 1];

		if (action->uid.id.len >= sizeof(name))
			continue;
		memcpy(name, action->uid.id.p, action->uid.id.len);
		name[action->uid.id.len] = '\0';
		if (ag_rules_issues(name) &&
		    cedar_scope_action(c->schema, policy, action))
			return true;
	}
	return false;
}

static void
check_max_ttl(struct checking *c, size_t i, struct ag_cedar_str value)
{
	struct ag_cedar_policy_info info;
	unsigned s;

	ag_cedar_policy_info(c->set, i, &info);
	if (info.forbid)
		add_policy(c, i, "@max_ttl stands at a permit; a forbid issues "
		    "nothing");
	else if (!ag_rules_ttl_parse(value.p, value.len, &s))
		add_policy(c, i, "@max_ttl is \"15m\", \"1h\" or \"1d\", from "
		    "%ds to %dd, not \"%.*s\"", AG_RULES_TTL_S_MIN,
		    AG_RULES_TTL_S_MAX / 86400,
		    (int)(value.len > 40 ? 40 : value.len), value.p);
	else if (!may_issue(c, i))
		add_policy(c, i, "@max_ttl bounds credentials; this permit is "
		    "not about agent.issue or principal.issue, which make them");
}

static const struct {
	const char *name;
	void (*check)(struct checking *c, size_t i, struct ag_cedar_str value);
} annotations[] = {
	{ "id", check_id },
	{ "reason", check_reason },
	{ "description", NULL },
	{ "step_up", check_step_up },
	{ "approval", check_approval },
	{ "overridable", check_overridable },
	{ "require_session", check_session },
	{ "constraint", check_constraint },
	{ "timeout", check_timeout },
	{ "max_ttl", check_max_ttl },
};

static void
check_annotation(struct checking *c, size_t i, struct ag_cedar_str name,
    struct ag_cedar_str value)
{
	size_t at = 0, count = sizeof(annotations) / sizeof(annotations[0]);

	while (at < count && (strlen(annotations[at].name) != name.len ||
	    memcmp(annotations[at].name, name.p, name.len) != 0))
		at++;
	if (at == count)
		add_policy(c, i, "@%.*s means nothing here; known are @id, "
		    "@reason, @description, @step_up, @approval, "
		    "@overridable, @require_session, @constraint, @timeout, @max_ttl",
		    (int)(name.len > 40 ? 40 : name.len), name.p);
	else if (annotations[at].check != NULL)
		annotations[at].check(c, i, value);
}

static void
check_annotations(struct checking *c)
{
	size_t count = ag_cedar_set_count(c->set);

	for (size_t i = 0; i < count; i++) {
		struct ag_cedar_str name, value;

		for (size_t n = 0; ag_cedar_policy_annotation_at(c->set, i, n,
		    &name, &value); n++)
			check_annotation(c, i, name, value);
	}
}

/* ------------------------------------------------------------- validation */

static void
found(void *arg, const struct ag_cedar_finding *f)
{
	add(arg, f->is_error, f->policy_id, f->problem.line, f->problem.column,
	    f->problem.text);
}

static void
check_count(struct checking *c)
{
	c->out->policies = ag_cedar_set_count(c->set);
	if (ag_cedar_template_count(c->set) > 0)
		add(c, true, "", 0, 0, "templates (?principal, ?resource) have "
		    "no links here; write the name in their place");
	else if (c->out->policies == 0)
		add(c, true, "", 0, 0, "there is no policy in it; one is "
		    "`permit (principal, action, resource);`");
	if (c->out->policies > AG_RULES_COUNT_MAX)
		add(c, true, "", 0, 0, "there are too many policies in it");
}

enum ag_cedar_err
ag_rules_check(const struct ag_cedar_schema *schema,
    const struct ag_rules_doc *doc, struct ag_rules_findings *out)
{
	struct checking c = { .schema = schema, .out = out };
	struct ag_cedar_problem problem;
	char prefix[AG_RULES_NAME_MAX + 2];
	size_t errors = 0;
	enum ag_cedar_err err;

	memset(out, 0, sizeof(*out));
	if (doc->len > AG_RULES_TEXT_MAX) {
		add(&c, true, "", 0, 0, "the text is too long; a document has "
		    "at most 262144 bytes");
		return AG_CEDAR_OK;
	}
	if ((err = ag_cedar_set_new(SET_MEMORY, &c.set)) != AG_CEDAR_OK)
		return err;
	(void)snprintf(prefix, sizeof(prefix), "%s/", doc->name);
	err = ag_cedar_set_text(c.set, prefix, doc->text, doc->len, &problem);
	if (err != AG_CEDAR_OK && err != AG_CEDAR_NO_MEMORY) {
		add_problem(&c, &problem);
		err = AG_CEDAR_OK;
	} else if (err == AG_CEDAR_OK) {
		check_count(&c);
		check_annotations(&c);
		if (out->policies <= AG_RULES_COUNT_MAX)
			err = ag_cedar_set_validate(c.set, schema,
			    VALIDATE_MEMORY, found, &c, &errors);
	}
	ag_cedar_set_free(&c.set);
	return err;
}
