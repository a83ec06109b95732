/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates by rule. Of the rules that fit a request, all must have room
 * (limits.combine: all), or only those that say the most about it
 * (most_specific). A rule counts each principal by itself, or all of one root,
 * of one tenant, or all that fit it together. While a request is judged the
 * rules that fit it are remembered, so that it is counted where it was looked
 * at.
 */
#include "rates.h"

#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 64, TOLD_BYTES_MAX = 64 << 10 };

enum dimension { TENANT, PRINCIPAL, KIND, ROLE, RESOURCE, OPERATION, TOOL,
	DIMENSIONS };
enum per { PER_PRINCIPAL, PER_ROOT, PER_TENANT, PER_RULE };

struct rule {
	const char *is[DIMENSIONS]; /* NULL: any; borrowed of `texts` */
	unsigned specific;          /* how many are said */
	enum per per;
	struct iam_limit limit;
	char name[16];              /* of its windows */
	char policy[64];            /* RateLimit-Policy */
};

struct iam_rates {
	struct rule rules[RULES_MAX];
	unsigned count;
	bool most_specific;
	struct ag_config *texts; /* NULL: the process's own configuration */
	struct iam_windows windows;
	/* Of the request that is being judged. */
	struct iam_share *shares[RULES_MAX]; /* by rule */
	struct iam_window *taken[RULES_MAX];
	struct iam_share *taken_shares[RULES_MAX];
	const struct iam_limit *limits[RULES_MAX];
	unsigned taken_count;
};

/* --------------------------------------------------------- configuration */

static const char *const paths[DIMENSIONS] = {
	[TENANT] = "limits.rules[].tenant",
	[PRINCIPAL] = "limits.rules[].principal",
	[KIND] = "limits.rules[].kind",
	[ROLE] = "limits.rules[].role",
	[RESOURCE] = "limits.rules[].resource",
	[OPERATION] = "limits.rules[].operation",
	[TOOL] = "limits.rules[].tool",
};

static void
read_rule(const struct ag_config *c, unsigned i, struct rule *rule)
{
	static const char *const pers[] = { [PER_PRINCIPAL] = "principal",
		[PER_ROOT] = "root", [PER_TENANT] = "tenant",
		[PER_RULE] = "rule" };
	const char *per = ag_config_get_str(c, "limits.rules[].per", i);

	for (unsigned d = 0; d < DIMENSIONS; d++) {
		rule->is[d] = ag_config_get_str(c, paths[d], i);
		rule->specific += rule->is[d] != NULL;
	}
	for (unsigned p = 0; p < sizeof(pers) / sizeof(pers[0]); p++)
		if (per != NULL && strcmp(per, pers[p]) == 0)
			rule->per = (enum per)p;
	rule->limit.rate = (uint32_t)ag_config_get_int(c,
	    "limits.rules[].rate", i);
	rule->limit.window_ms = (uint32_t)ag_config_get_int(c,
	    "limits.rules[].window_s", i) * 1000;
	snprintf(rule->name, sizeof(rule->name), "%u/", i);
	snprintf(rule->policy, sizeof(rule->policy), "\"rule-%u\";q=%u;w=%u",
	    i + 1, rule->limit.rate, rule->limit.window_ms / 1000);
}

static ag_err
rates_new(const struct ag_config *c, int64_t now_ms, struct iam_rates **out)
{
	const char *combine = ag_config_get_str(c, "limits.combine", 0);
	unsigned count = ag_config_get_count(c, "limits.rules");
	struct iam_rates *rates;

	*out = NULL;
	if (count == 0)
		return AG_OK;
	if ((rates = calloc(1, sizeof(*rates))) == NULL)
		return AG_NO_MEMORY;
	rates->most_specific = combine != NULL &&
	    strcmp(combine, "most_specific") == 0;
	iam_windows_init(&rates->windows, now_ms);
	for (; rates->count < count && rates->count < RULES_MAX; rates->count++)
		read_rule(c, rates->count, &rates->rules[rates->count]);
	*out = rates;
	return AG_OK;
}

static void
read_limit(const struct ag_config *c, const char *rate, const char *window,
    struct iam_limit *out)
{
	out->rate = (uint32_t)ag_config_get_int(c, rate, 0);
	out->window_ms = (uint32_t)ag_config_get_int(c, window, 0) * 1000;
}

static void
read_plain(struct iam *iam, const struct ag_config *c)
{
	read_limit(c, "limits.principal.rate", "limits.principal.window_s",
	    &iam->principal_limit);
	read_limit(c, "limits.key.rate", "limits.key.window_s",
	    &iam->key_limit);
	snprintf(iam->policy_text, sizeof(iam->policy_text),
	    "\"principal\";q=%u;w=%u", iam->principal_limit.rate,
	    iam->principal_limit.window_ms / 1000);
	snprintf(iam->key_policy_text, sizeof(iam->key_policy_text),
	    "\"key\";q=%u;w=%u", iam->key_limit.rate,
	    iam->key_limit.window_ms / 1000);
}

ag_err
iam_rates_init(struct iam *iam, struct ag_ctx *ctx)
{
	read_plain(iam, ag_config(ctx));
	return rates_new(ag_config(ctx), ag_now_ms(ctx), &iam->rates);
}

static void
rates_free(struct iam_rates **rates)
{
	if (*rates != NULL)
		ag_config_free(&(*rates)->texts);
	free(*rates);
	*rates = NULL;
}

void
iam_rates_fini(struct iam *iam)
{
	rates_free(&iam->rates);
	free(iam->rates_told);
	iam->rates_told = NULL;
}

/* What was counted under the rules before is forgotten with them. */
static ag_err
change(struct iam *iam, struct ag_ctx *ctx, const char *text)
{
	struct ag_config *c = NULL;
	struct iam_rates *rates = NULL;
	ag_err err = ag_config_unpack(text, &c);

	if (err == AG_OK)
		err = rates_new(c, ag_now_ms(ctx), &rates);
	if (err == AG_OK) {
		read_plain(iam, c);
		rates_free(&iam->rates);
		iam->rates = rates;
	}
	if (rates != NULL)
		rates->texts = c; /* its words are borrowed */
	else
		ag_config_free(&c);
	return err;
}

void
iam_rates_told(struct iam *iam, struct ag_ctx *ctx, const char *word)
{
	size_t had = iam->rates_told == NULL ? 0 : strlen(iam->rates_told);
	size_t len = strlen(word);
	char *more;
	ag_err err;

	if (strcmp(word, "begin") == 0) {
		free(iam->rates_told);
		iam->rates_told = strdup("");
		return;
	}
	if (iam->rates_told == NULL)
		return;
	if (strcmp(word, "end") == 0) {
		err = change(iam, ctx, iam->rates_told);
		ag_log(ctx, err == AG_OK ? AG_INFO : AG_ERROR, "LIMITS-READ",
		    "rules=%u err=%s", iam->rates == NULL ? 0 :
		    iam->rates->count, ag_err_row(err)->name);
	} else if (had + len + 2 <= TOLD_BYTES_MAX &&
	    (more = realloc(iam->rates_told, had + len + 2)) != NULL) {
		iam->rates_told = more;
		snprintf(more + had, len + 2, "%s\n", word);
		return;
	}
	free(iam->rates_told);
	iam->rates_told = NULL;
}

/* -------------------------------------------------------------- who fits */

static bool
is_named(const struct iam_node *node, const char *name)
{
	return strcmp(node->id, name) == 0 ||
	    (node->parent == NULL && strcmp(node->name, name) == 0);
}

/* What the person or service at the root holds now. */
static bool
has_role(const struct call *c, const char *name)
{
	const struct iam_node *root = c->node->root;

	for (unsigned i = 0; i < root->role_count; i++) {
		const struct iam_role_held *held = &root->roles[i];

		if (held->from <= c->now && c->now < held->until &&
		    !held->role->gone && strcmp(held->role->name, name) == 0)
			return true;
	}
	return false;
}

static bool
is_resource(const struct call *c, const char *name)
{
	if (c->key != NULL)
		return strcmp(c->key->id, name) == 0 ||
		    strcmp(c->key->alias, name) == 0;
	return c->rq->selector != NULL && strcmp(c->rq->selector, name) == 0;
}

/* "key.sign", "key.*"; a batch is what its items are, too. */
static bool
is_operation(const struct call *c, const char *name)
{
	const char *is = c->op->operation, *dot = strchr(is, '.');
	size_t len = strlen(name), kind = dot == NULL ? 0 : (size_t)(dot - is);

	if (strcmp(is, name) == 0)
		return true;
	if (kind == 0 || len < kind + 2 || strncmp(is, name, kind + 1) != 0)
		return false;
	return strcmp(name + kind + 1, "*") == 0 ||
	    ((c->op->flags & AG_OP_EITEM) != 0 && c->scope_op != NULL &&
	    strcmp(name + kind + 1, c->scope_op) == 0);
}

/* "<server>/<tool>", or a star in place of the tool: all of one server. */
static bool
is_tool(const struct call *c, const char *name)
{
	const char *is = c->op->kind == AG_KIND_TOOL ? c->rq->selector : NULL;
	size_t len = strlen(name);

	if (is == NULL || strcmp(is, name) == 0)
		return is != NULL;
	return len >= 2 && strcmp(name + len - 2, "/*") == 0 &&
	    strncmp(is, name, len - 1) == 0;
}

static bool
fits(const struct call *c, const struct rule *rule)
{
	const char *const *is = rule->is;
	const char *kind = ag_enum_name(&ag__kind__v__descriptor,
	    c->node->kind);

	return (is[TENANT] == NULL ||
	    strcmp(c->node->tenant->name, is[TENANT]) == 0) &&
	    (is[PRINCIPAL] == NULL || is_named(c->node, is[PRINCIPAL]) ||
	    is_named(c->node->root, is[PRINCIPAL])) &&
	    (is[KIND] == NULL || strcmp(kind, is[KIND]) == 0) &&
	    (is[ROLE] == NULL || has_role(c, is[ROLE])) &&
	    (is[RESOURCE] == NULL || is_resource(c, is[RESOURCE])) &&
	    (is[OPERATION] == NULL || is_operation(c, is[OPERATION])) &&
	    (is[TOOL] == NULL || is_tool(c, is[TOOL]));
}

/* Which fit, and are to have room. */
static void
fitting(const struct call *c, bool fit[RULES_MAX])
{
	const struct iam_rates *rates = c->iam->rates;
	unsigned most = 0;

	for (unsigned i = 0; i < rates->count; i++) {
		fit[i] = rates->rules[i].limit.rate > 0 &&
		    fits(c, &rates->rules[i]);
		if (fit[i] && rates->rules[i].specific > most)
			most = rates->rules[i].specific;
	}
	for (unsigned i = 0; rates->most_specific && i < rates->count; i++)
		fit[i] = fit[i] && rates->rules[i].specific == most;
}

/* Whose window it is. */
static const char *
owner_of(const struct rule *rule, const struct call *c)
{
	const char *who[] = { [PER_PRINCIPAL] = c->node->id,
		[PER_ROOT] = c->node->root->id,
		[PER_TENANT] = c->node->tenant->name, [PER_RULE] = "" };

	return who[rule->per];
}

void
iam_rates_begin(struct call *c)
{
	struct iam_rates *rates = c->iam->rates;
	bool fit[RULES_MAX];

	if (rates == NULL)
		return;
	fitting(c, fit);
	for (unsigned i = 0; i < rates->count; i++)
		rates->shares[i] = !fit[i] ? NULL : iam_share_begin(c,
		    rates->rules[i].name, owner_of(&rates->rules[i], c),
		    &rates->rules[i].limit);
}

/* ------------------------------------------------------------- one request */

/* The header shows the tightest window. */
static void
say(struct call *c, const struct rule *rule, const struct iam_room *room,
    uint32_t *least)
{
	if (room->left >= *least)
		return;
	*least = room->left;
	snprintf(c->rate_text, sizeof(c->rate_text), "\"rule-%u\";r=%u;t=%u",
	    (unsigned)(rule - c->iam->rates->rules) + 1, room->left,
	    room->reset_s);
	c->rate[0] = (char *)rule->policy;
	c->rate[1] = c->rate_text;
	c->grant.rate = c->rate;
	c->grant.n_rate = 2;
}

static ag_err
look(struct call *c, struct rule *rule, uint32_t *least)
{
	struct iam_rates *rates = c->iam->rates;
	struct iam_share *share = rates->shares[rule - rates->rules];
	struct iam_window *window = iam_windows_find(&rates->windows, rule->name,
	    owner_of(rule, c), true);
	struct iam_room room = iam_share_look(c, share, window, &rule->limit);

	say(c, rule, &room, least);
	if (!room.ok)
		return iam_limited(c, rule->per == PER_PRINCIPAL ? "principal" :
		    "account", &room);
	rates->limits[rates->taken_count] = &rule->limit;
	rates->taken_shares[rates->taken_count] = share;
	rates->taken[rates->taken_count++] = window;
	return AG_OK;
}

ag_err
iam_rates_look(struct call *c)
{
	struct iam_rates *rates = c->iam->rates;
	uint32_t least = c->least_left;
	bool fit[RULES_MAX];
	ag_err err;

	if (rates == NULL)
		return AG_OK;
	rates->taken_count = 0;
	fitting(c, fit);
	for (unsigned i = 0; i < rates->count; i++)
		if (fit[i] && (err = look(c, &rates->rules[i], &least)) != AG_OK)
			return err;
	return AG_OK;
}

void
iam_rates_take(struct call *c)
{
	struct iam_rates *rates = c->iam->rates;

	for (unsigned i = 0; rates != NULL && i < rates->taken_count; i++)
		iam_share_take(c, rates->taken_shares[i], rates->taken[i],
		    rates->limits[i]);
}
