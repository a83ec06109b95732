/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breaking the glass: a person, in an emergency, for one key and a while, does
 * what policies refuse and say may be overridden (@overridable). Never an
 * agent, never without a second factor and a reason, one at a time for a person,
 * a few times a day. iam follows these facts and lets the holder
 * through; every event under it names it. What is open ends by itself.
 */
#include "approvals.h"

#include <aegis/event.h>

#include <stdio.h>
#include <string.h>

enum { GLASS_TTL_S = 3600, GLASS_TTL_MIN_S = 60, DAY_MS = 86400 * 1000 };

/* ------------------------------------------------------------------- states */

static const bool table[GLASS_STATES][GLASS_STATES] = {
	[GLASS_ACTIVE] = { [GLASS_CLOSED] = true, [GLASS_EXPIRED] = true },
};
static const char *const names[GLASS_STATES] = {
	[GLASS_ACTIVE] = "active",
	[GLASS_CLOSED] = "closed",
	[GLASS_EXPIRED] = "expired",
};
static const char *const reasons[GLASS_REASONS] = { "incident", "maintenance",
	"security", "recovery", "other" };

const char *
glass_state_name(enum glass_state state)
{
	return (unsigned)state < GLASS_STATES ? names[state] : "unknown";
}

enum glass_state
glass_state_named(const char *name)
{
	for (unsigned i = 0; name != NULL && i < GLASS_STATES; i++)
		if (strcmp(names[i], name) == 0)
			return (enum glass_state)i;
	return GLASS_STATES;
}

bool
glass_may_become(enum glass_state from, enum glass_state to)
{
	return (unsigned)from < GLASS_STATES && (unsigned)to < GLASS_STATES &&
	    table[from][to];
}

void
glass_init(struct approvals *state, struct ag_ctx *ctx)
{
	const char *word;
	bool said = false;

	state->glass_ttl_s = ag_config_int(ctx, "break_glass.ttl_max_s");
	state->cooldown_ms = ag_config_int(ctx, "break_glass.cooldown_s") * 1000;
	state->user_quota = (unsigned)ag_config_int(ctx, "break_glass.user_quota");
	state->key_quota = (unsigned)ag_config_int(ctx, "break_glass.key_quota");
	for (unsigned j = 0; (word = ag_config_get_item(ag_config(ctx),
	    "break_glass.reasons", 0, j)) != NULL; j++)
		for (unsigned i = 0; i < GLASS_REASONS; i++)
			if (strcmp(reasons[i], word) == 0)
				state->reasons[i] = said = true;
	for (unsigned i = 0; i < GLASS_REASONS; i++)
		state->reasons[i] |= !said;
}

/* ------------------------------------------------------------------ opening */

static ag_err
check_reason(const struct approvals *state, struct ag_ctx *ctx,
    const Ag__BreakGlassOpenAsk *ask)
{
	size_t len = strlen(ask->justification);
	unsigned i = 0;

	while (i < GLASS_REASONS && strcmp(reasons[i], ask->reason_code) != 0)
		i++;
	if (i == GLASS_REASONS)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/reason_code", "incident, maintenance, security, recovery or "
		    "other");
	if (!state->reasons[i])
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "reason_not_allowed",
		    "/reason_code", "Not for this reason here.");
	if (len < GLASS_TEXT_MIN || len > GLASS_TEXT_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/justification", "%d to %d bytes.", GLASS_TEXT_MIN,
		    GLASS_TEXT_MAX);
	return AG_OK;
}

static ag_err
check_ttl(const struct approvals *state, struct ag_ctx *ctx,
    const Ag__BreakGlassOpenAsk *ask, int64_t *ttl_s)
{
	*ttl_s = ask->has_ttl_s ? ask->ttl_s : GLASS_TTL_S;
	if (!ask->has_ttl_s && *ttl_s > state->glass_ttl_s)
		*ttl_s = state->glass_ttl_s;
	if (*ttl_s >= GLASS_TTL_MIN_S && *ttl_s <= state->glass_ttl_s)
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/ttl_s",
	    "%d to %lld seconds.", GLASS_TTL_MIN_S,
	    (long long)state->glass_ttl_s);
}

static ag_err
too_often(struct ag_ctx *ctx, const char *what, int64_t wait_ms)
{
	ag_refuse_retry(ctx, (unsigned)((wait_ms + 999) / 1000));
	return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
	    "Too often: the %s.", what);
}

/* In this order: one at a time, cool-down, the person's quota, the key's. Server time. */
static ag_err
check_often(const struct approvals *state, struct ag_ctx *ctx, bool *last)
{
	const Ag__Grant *grant = ag_grant(ctx);
	int64_t now = ag_now_ms(ctx), day = now - DAY_MS + 1, ended = 0;
	const Ag__BreakGlass *before = NULL;
	char newest[AG_ID_SIZE];
	unsigned used;

	used = glass_since(ctx, T_GLASS_USER, grant->actor_id, day, newest);
	if (newest[0] != '\0')
		before = glass_find(ctx, newest);
	if (before != NULL)
		ended = before->has_ended_at ? before->ended_at :
		    before->expires_at <= now ? before->expires_at : 0;
	/* Else many that are opened in time would need no cool-down. */
	if (before != NULL && ended == 0)
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "One is open for you: %s. Close it first.", before->id);
	if (before != NULL && now < ended + state->cooldown_ms)
		return too_often(ctx, "cool-down after the last one is not over",
		    ended + state->cooldown_ms - now);
	if (used >= state->user_quota)
		return too_often(ctx, "person's quota of a day is used up", DAY_MS);
	*last = used + 1 == state->user_quota;
	if (glass_since(ctx, T_GLASS_KEY, grant->resource_id, day, newest) >=
	    state->key_quota)
		return too_often(ctx, "key's quota of a day is used up", DAY_MS);
	return AG_OK;
}

static ag_err
keep(struct ag_ctx *ctx, Ag__BreakGlass *g, uint64_t version)
{
	Ag__BreakGlassFact fact = AG__BREAK_GLASS_FACT__INIT;
	struct ag_fact facts[1];

	g->revision = version + 1;
	fact.glass = g;
	fact.at = ag_now_ms(ctx);
	fact.by = ag_grant(ctx)->actor_id;
	facts[0] = (struct ag_fact){ ag_printf(ctx, "glass:%s/%s",
		g->principal->id, g->resource->id), version,
		AG_MSG_BREAK_GLASS_FACT, &fact };
	if (facts[0].stream == NULL)
		return AG_NO_MEMORY;
	return ag_persist(ctx, facts, 1, ag_type(ctx), g, NULL, NULL, NULL, 0);
}

/* All of one person's, and of one key's, one after the other: quotas are
 * theirs. */
static ag_err
enter(struct ag_ctx *ctx, const char *person, const char *key)
{
	const char *of = ag_printf(ctx, "glass-of:%s", person);
	const char *to = ag_printf(ctx, "glass-to:%s", key);
	ag_err err;

	if (of == NULL || to == NULL)
		return AG_NO_MEMORY;
	err = ag_enter(ctx, of, true);
	return err != AG_OK ? err : ag_enter(ctx, to, true);
}

static void
fill(struct ag_ctx *ctx, const Ag__BreakGlassOpenAsk *ask, int64_t ttl_s,
    Ag__BreakGlass *g, Ag__Link *who, Ag__Resource *what, char id[AG_ID_SIZE])
{
	const Ag__Grant *grant = ag_grant(ctx);

	ag__break_glass__init(g);
	ag__link__init(who);
	ag__resource__init(what);
	ag_id_new(ctx, "brk", id);
	who->id = grant->actor_id;
	who->kind = grant->actor_kind;
	who->name = grant->actor_name;
	what->type = (char *)"key";
	what->id = grant->resource_id;
	what->alias = grant->resource_alias;
	g->id = id;
	g->state = (char *)names[GLASS_ACTIVE];
	g->principal = who;
	g->resource = what;
	g->reason_code = ask->reason_code;
	g->justification = ask->justification;
	g->opened_at = ag_now_ms(ctx);
	g->expires_at = g->opened_at + ttl_s * 1000;
	g->tenant = grant->tenant;
}

ag_err
on_glass_open(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__BreakGlassOpenAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	const Ag__BreakGlass *before;
	Ag__BreakGlass g;
	Ag__Link who;
	Ag__Resource what;
	char *id = ag_alloc(ctx, AG_ID_SIZE);
	bool last = false;
	int64_t ttl_s;
	ag_err err;

	if (id == NULL)
		return AG_NO_MEMORY;
	if (grant->actor_kind != AG__KIND__V__human)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "not_for_agents", NULL,
		    "Only people break the glass.");
	if (grant->resource_id == NULL)
		return AG_BAD_MESSAGE;
	if ((err = enter(ctx, grant->actor_id,
	    grant->resource_id)) != AG_OK ||
	    (err = check_reason(state, ctx, ask)) != AG_OK ||
	    (err = check_ttl(state, ctx, ask, &ttl_s)) != AG_OK)
		return err;
	before = glass_last(ctx, grant->actor_id, grant->resource_id);
	if (before != NULL && glass_state_named(before->state) == GLASS_ACTIVE)
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "One is open for you and this key: %s.", before->id);
	if ((err = check_often(state, ctx, &last)) != AG_OK)
		return err;
	fill(ctx, ask, ttl_s, &g, &who, &what, id);
	g.escalated = last;
	ag_note_resource(ctx, "key", what.id, what.alias);
	ag_note_param(ctx, "break_glass_id", id);
	ag_note_param(ctx, "after", g.state);
	ag_note_param(ctx, "reason_code", ask->reason_code);
	ag_note_param(ctx, "level", "verbose");
	if (last)
		ag_note_param(ctx, "escalated", "true");
	ag_note_reason(ctx, ask->justification);
	return keep(ctx, &g, before == NULL ? 0 : before->revision);
}

/* ------------------------------------------------------- reading, closing */

ag_err
on_glass_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__BreakGlassListReply reply = AG__BREAK_GLASS_LIST_REPLY__INIT;
	const Ag__BreakGlassListAsk *ask = msg;
	ag_err err;

	(void)state;
	if (ask->state != NULL && glass_state_named(ask->state) == GLASS_STATES)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?state",
		    "active, closed or expired");
	err = glass_page(ctx, ask, &reply);
	return err != AG_OK ? err :
	    ag_reply(ctx, AG_MSG_BREAK_GLASS_LIST, &reply);
}

static Ag__BreakGlass *
named(struct ag_ctx *ctx, ag_err *err)
{
	const char *id = ag_grant(ctx)->resource_id;
	Ag__BreakGlass *g = NULL;

	if (id != NULL && ag_id_valid(id, "brk"))
		g = glass_find(ctx, id);
	if (g != NULL && glass_visible(ctx, g))
		return g;
	*err = ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such broken glass.");
	return NULL;
}

ag_err
on_glass_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	ag_err err;
	Ag__BreakGlass *g = named(ctx, &err);

	(void)state;
	(void)msg;
	return g == NULL ? err : ag_reply(ctx, AG_MSG_BREAK_GLASS_READ, g);
}

ag_err
on_glass_close(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ReasonAsk *ask = msg;
	Ag__BreakGlass *g;
	ag_err err = AG_OK;

	(void)state;
	if (ask->reason[0] == '\0' || strlen(ask->reason) > GLASS_TEXT_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "1 to %d bytes.", GLASS_TEXT_MAX);
	if ((g = named(ctx, &err)) == NULL ||
	    (err = enter(ctx, g->principal->id, g->resource->id)) != AG_OK ||
	    (err = ag_if_match(ctx, g->revision)) != AG_OK)
		return err;
	if (!glass_may_become(glass_state_named(g->state), GLASS_CLOSED))
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "It is %s.", g->state);
	ag_note_resource(ctx, "key", g->resource->id, g->resource->alias);
	ag_note_param(ctx, "break_glass_id", g->id);
	ag_note_param(ctx, "before", g->state);
	g->state = (char *)names[GLASS_CLOSED];
	ag_note_param(ctx, "after", g->state);
	ag_note_reason(ctx, ask->reason);
	g->has_ended_at = true;
	g->ended_at = ag_now_ms(ctx);
	g->closed_by = ag_grant(ctx)->actor_id;
	g->close_reason = ask->reason;
	return keep(ctx, g, g->revision);
}

/* ---------------------------------------------------------------- expiring */

static ag_err
on_ended(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)state;
	(void)msg;
	if (status != AG_OK) /* closed meanwhile, or no journal: next round */
		ag_log(ctx, AG_DEBUG, "GLASS-LATER", "glass=%s err=%s",
		    (const char *)memo, ag_err_row(status)->name);
	return AG_OK;
}

static void
end(struct ag_ctx *ctx, Ag__BreakGlass *g)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__BreakGlassFact fact = AG__BREAK_GLASS_FACT__INIT;
	Ag__Pair pairs[3], *params[3] = { &pairs[0], &pairs[1], &pairs[2] };
	const char *const said[3][2] = { { "break_glass_id", g->id },
		{ "before", g->state }, { "after", names[GLASS_EXPIRED] } };
	char event_id[AG_ID_SIZE];
	struct ag_fact facts[1];

	for (unsigned i = 0; i < 3; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)said[i][0];
		pairs[i].value = (char *)said[i][1];
	}
	g->state = (char *)names[GLASS_EXPIRED];
	g->has_ended_at = true;
	g->ended_at = g->expires_at;
	/* One expires once: its own number names the event. */
	snprintf(event_id, sizeof(event_id), "evt_%s", g->id + 4);
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"break-glass.expire";
	out.tenant = g->tenant;
	out.resource_type = (char *)"key";
	out.resource_id = g->resource->id;
	out.resource_alias = g->resource->alias;
	out.actor_id = g->principal->id;
	out.params = params;
	out.n_params = 3;
	out.event_id = event_id;
	fact.glass = g;
	fact.at = g->expires_at;
	facts[0] = (struct ag_fact){ ag_printf(ctx, "glass:%s/%s",
		g->principal->id, g->resource->id), g->revision,
		AG_MSG_BREAK_GLASS_FACT, &fact };
	if (facts[0].stream == NULL || ag_persist_recorded(ctx, facts, 1, &out,
	    on_ended, g->id, strlen(g->id) + 1) != AG_PENDING)
		ag_log(ctx, AG_DEBUG, "GLASS-LATER", "glass=%s", g->id);
}

void
glass_expire(void *state, struct ag_ctx *ctx)
{
	char ids[APPROVAL_EXPIRE_EACH][AG_ID_SIZE];
	unsigned n = book_due(ctx, T_GLASS_DUE, ag_now_ms(ctx), ids,
	    APPROVAL_EXPIRE_EACH);

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		Ag__BreakGlass *g = glass_find(ctx, ids[i]);

		if (g != NULL)
			end(ctx, g);
	}
}
