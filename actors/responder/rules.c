/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <string.h>

static const struct rule defaults[] = {
	{ "scope_violation", AG__SEVERITY__V__critical, AG__KIND__V__agent,
	    "revoke_agent" },
	{ "scope_violation", AG__SEVERITY__V__high, AG__KIND__V__agent,
	    "suspend_agent" },
	{ "honey_key", 0, AG__KIND__V__agent, "revoke_subtree" },
	{ "rate_spike", AG__SEVERITY__V__high, AG__KIND__V__agent,
	    "suspend_agent" },
};

static const struct {
	const char *action;
	enum rule_target target;
} targets[] = {
	{ "alert", TARGET_NOTHING },
	{ "step_up", TARGET_ACTOR },
	{ "suspend_agent", TARGET_AGENT },
	{ "revoke_agent", TARGET_AGENT },
	{ "revoke_subtree", TARGET_TOP },
	{ "freeze_key", TARGET_KEY },
	{ "deactivate_key", TARGET_KEY },
	{ "rotate_key", TARGET_KEY },
};

static int
word_value(const ProtobufCEnumDescriptor *d, const char *word)
{
	const ProtobufCEnumValue *v = word == NULL ? NULL :
	    protobuf_c_enum_descriptor_get_value_by_name(d, word);

	return v != NULL ? v->value : 0;
}

void
rules_read(struct rules *rules, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "responder.rules");
	int64_t a_minute = ag_config_int(ctx, "responder.max_actions_per_minute");

	rules->dry_run = ag_config_int(ctx, "responder.dry_run") != 0;
	rules->a_minute = a_minute < 0 ? 0 : a_minute > ACTIONS_A_MINUTE_MAX ?
	    ACTIONS_A_MINUTE_MAX : (unsigned)a_minute;
	if (n == 0) {
		memcpy(rules->rules, defaults, sizeof(defaults));
		rules->count = sizeof(defaults) / sizeof(defaults[0]);
		return;
	}
	for (unsigned i = 0; i < n && i < RULES_MAX; i++) {
		struct rule *rule = &rules->rules[rules->count++];

		rule->detector = ag_config_str(ctx, "responder.rules[].detector", i);
		rule->severity = (Ag__Severity__V)word_value(
		    &ag__severity__v__descriptor,
		    ag_config_str(ctx, "responder.rules[].severity", i));
		rule->kind = (Ag__Kind__V)word_value(&ag__kind__v__descriptor,
		    ag_config_str(ctx, "responder.rules[].kind", i));
		rule->action = ag_config_str(ctx, "responder.rules[].action", i);
	}
}

static const char *
action_for(const struct rules *rules, const Ag__Recommendation *r)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->rules[i];

		if (rule->detector != NULL && rule->action != NULL &&
		    strcmp(rule->detector, r->detector) == 0 &&
		    (rule->severity == 0 || rule->severity == r->severity) &&
		    (rule->kind == 0 || rule->kind == r->actor_kind))
			return rule->action;
	}
	return "alert";
}

static const char *
target_id(enum rule_target target, const Ag__Recommendation *r)
{
	bool agent = r->has_actor_kind && r->actor_kind == AG__KIND__V__agent;

	switch (target) {
	case TARGET_NOTHING:
		return NULL;
	case TARGET_AGENT:
		return agent ? r->actor : NULL;
	case TARGET_TOP:
		return !agent ? NULL : r->top_agent != NULL ? r->top_agent :
		    r->actor;
	case TARGET_KEY:
		return r->key_id;
	case TARGET_ACTOR:
		return r->actor;
	}
	return NULL;
}

static bool
capped(const struct rules *rules, uint64_t mono_ms)
{
	uint64_t oldest;

	if (rules->a_minute == 0)
		return true;
	if (rules->acted < rules->a_minute)
		return false;
	oldest = rules->acted_ms[(rules->acted - rules->a_minute) %
	    ACTIONS_A_MINUTE_MAX];
	return mono_ms - oldest < 60000;
}

void
rules_decide(const struct rules *rules, const Ag__Recommendation *r,
    uint64_t mono_ms, struct decision *out)
{
	const char *action = action_for(rules, r);

	*out = (struct decision){ .action = action };
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (strcmp(targets[i].action, action) == 0)
			out->target = targets[i].target;
	out->id = target_id(out->target, r);
	if (out->id != NULL)
		out->dry_run = rules->dry_run;
	/* Nobody to act on, or too many acts: an alert takes its place. */
	if (out->id == NULL || (!out->dry_run && capped(rules, mono_ms))) {
		out->target = TARGET_NOTHING;
		out->id = NULL;
		out->action = "alert";
		out->instead_of = strcmp(action, "alert") != 0 ? action : NULL;
	}
}

void
rules_count(struct rules *rules, uint64_t mono_ms)
{
	rules->acted_ms[rules->acted++ % ACTIONS_A_MINUTE_MAX] = mono_ms;
}

void
rules_uncount(struct rules *rules)
{
	if (rules->acted > 0)
		rules->acted--;
}
