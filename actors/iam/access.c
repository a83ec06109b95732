/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More scope for a while (just in time): who wants it says which, for how long
 * and why; the configuration says which scopes may be had like this at all and
 * whose agreement each needs; the approvals ask them. When the approved request
 * comes back it is executed here, and the scopes count until their time is
 * over, without anybody taking them away. An agent's reach stays within that of
 * all above it.
 */
#include "access.h"
#include "call.h"
#include "exec.h"
#include "reach.h"

#include <aegis/page.h>

#include <stdlib.h>
#include <string.h>

enum {
	SCOPES_MAX = 16,   /* of one grant */
	EACH_MAX = 16,     /* grants of one principal at a time */
	TTL_S = 900, TTL_MIN_S = 60,
	DROP_MAX = 64,     /* over at one look */
};

struct iam_access_rule {
	struct ag_scope scope; /* what it implies may be asked for */
	const char *group;
	unsigned quorum;
	int64_t ttl_max_s;
};

/* ----------------------------------------------------------- configuration */

ag_err
iam_access_init(struct iam *iam, struct ag_ctx *ctx)
{
	const struct ag_config *config = ag_config(ctx);
	unsigned count = ag_config_count(ctx, "grants.rules");

	iam->access_rules = calloc(count + 1, sizeof(*iam->access_rules));
	if (iam->access_rules == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < count; i++) {
		struct iam_access_rule *rule = &iam->access_rules[i];
		const char *text = ag_config_str(ctx, "grants.rules[].scope", i);

		if (!ag_scope_parse(text, &rule->scope)) {
			ag_log(ctx, AG_ERROR, "GRANT-RULE", "scope=%s where=%s",
			    text, ag_config_get_where(config,
			    "grants.rules[].scope", i));
			return AG_USAGE;
		}
		rule->group = ag_config_str(ctx, "grants.rules[].group", i);
		rule->quorum = (unsigned)ag_config_get_int(config,
		    "grants.rules[].quorum", i);
		rule->ttl_max_s = ag_config_get_int(config,
		    "grants.rules[].ttl_max_s", i);
		iam->access_rule_count++;
	}
	return AG_OK;
}

void
iam_access_fini(struct iam *iam)
{
	free(iam->access_rules);
	iam->access_rules = NULL;
	iam->access_rule_count = 0;
}

/* ------------------------------------------------------------------ memory */

void
iam_access_free(struct iam_node *node)
{
	while (node->access != NULL) {
		struct iam_access *a = node->access;

		node->access = a->next;
		iam_scopes_free(&a->scopes);
		free(a);
	}
}

/* Those whose time is over. */
static void
prune(struct iam_node *node, int64_t now)
{
	struct iam_access **at = &node->access;

	while (*at != NULL) {
		struct iam_access *a = *at;

		if (now < a->expires_at) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		iam_scopes_free(&a->scopes);
		free(a);
	}
}

static unsigned
count_of(const struct iam_node *node)
{
	unsigned n = 0;

	for (const struct iam_access *a = node->access; a != NULL; a = a->next)
		n++;
	return n;
}

ag_err
iam_access_take(struct iam *iam, const Ag__AccessFact *fact)
{
	const Ag__Access *access = fact->access;
	struct iam_node *node = iam_node_find(iam, access->principal->id);
	struct iam_access *a;
	ag_err err;

	if (node == NULL)
		return AG_OK; /* it left memory */
	for (a = node->access; a != NULL; a = a->next)
		if (strcmp(a->id, access->id) == 0)
			return AG_OK; /* the snapshot has it */
	if (strlen(access->id) >= sizeof(a->id))
		return AG_CORRUPT;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return AG_NO_MEMORY;
	strcpy(a->id, access->id);
	a->expires_at = access->expires_at;
	err = iam_scopes_make(access->scopes, access->n_scopes, &a->scopes);
	if (err != AG_OK) {
		free(a);
		return err;
	}
	a->next = node->access;
	node->access = a;
	return AG_OK;
}

ag_err
iam_access_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__AccessFact *fact = r->fact;
	ag_err err = iam_access_take(iam, fact);

	return err != AG_OK ? err :
	    iam_store_msg(ctx, IAM_T_ACCESS, fact->access->id, fact);
}

struct over {
	struct ag_ctx *ctx;
	struct iam *iam;
	int64_t now;
	char ids[DROP_MAX][AG_ID_SIZE];
	unsigned count;
};

static bool
look(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct over *over = arg;
	const Ag__AccessFact *fact = ag_unpack(over->ctx,
	    &ag__access_fact__descriptor, value, value_len);
	struct iam_node *node;

	if (fact == NULL || key_len >= AG_ID_SIZE)
		return false;
	if (fact->access->expires_at > over->now)
		return true;
	if ((node = iam_node_find(over->iam, fact->access->principal->id)) != NULL)
		prune(node, over->now);
	memcpy(over->ids[over->count], key, key_len);
	over->ids[over->count++][key_len] = '\0';
	return over->count < DROP_MAX;
}

void
iam_access_sweep(struct iam *iam, struct ag_ctx *ctx)
{
	struct over *over = ag_alloc(ctx, sizeof(*over));

	if (over == NULL)
		return;
	over->ctx = ctx;
	over->iam = iam;
	over->now = ag_now_ms(ctx);
	if (ag_store_scan(ctx, IAM_T_ACCESS, NULL, 0, look, over) != AG_OK)
		return;
	for (unsigned i = 0; i < over->count; i++)
		if (ag_store_del(ctx, IAM_T_ACCESS, over->ids[i],
		    strlen(over->ids[i])) != AG_OK)
			return;
}

/* ------------------------------------------------------------- the station */

static const struct iam_access_rule *
rule_for(struct call *c, const struct ag_scope *asked)
{
	struct ag_scope_target target;
	bool known = iam_resolve(c->iam, c->node->tenant, asked, &target);

	for (size_t i = 0; i < c->iam->access_rule_count; i++)
		if (ag_scope_implies(&c->iam->access_rules[i].scope, asked,
		    known ? &target : NULL))
			return &c->iam->access_rules[i];
	return NULL;
}

static ag_err
check_scope(struct call *c, const char *text, size_t i, int64_t ttl_s)
{
	const char *field = ag_printf(c->ctx, "/scopes/%zu", i);
	const struct iam_access_rule *rule;
	struct ag_scope scope;

	if (!ag_scope_parse(text, &scope) || !ag_scope_op_known(&scope) ||
	    (c->node->parent != NULL && scope.select == AG_SELECT_ALL))
		return REFUSE(c, AG_INVALID_FIELD, "bad_scope", field,
		    "A scope is <kind>:<selector>:<op>; an agent's names what it "
		    "is for.");
	if ((rule = rule_for(c, &scope)) == NULL) {
		ag_refuse_rule(c->ctx, "grants.rules");
		return REFUSE(c, AG_PERMISSION_DENIED, "no_matching_rule", field,
		    "This scope is not given for a while here.");
	}
	if (ttl_s < TTL_MIN_S || ttl_s > rule->ttl_max_s)
		return REFUSE(c, AG_INVALID_FIELD, "out_of_range", "/ttl_s",
		    "%d to %lld seconds.", TTL_MIN_S,
		    (long long)rule->ttl_max_s);
	return iam_need(c, rule->group == NULL ? "" : rule->group, rule->quorum,
	    0, "grants.rules");
}

/* What people see of it, besides that it is asked. */
static ag_err
say_asked(struct call *c, const Ag__AccessAsk *ask, int64_t ttl_s)
{
	Ag__Pair *pairs = ag_alloc(c->ctx, 2 * sizeof(*pairs));
	char *scopes = ag_strdup(c->ctx, ask->scopes[0]);

	c->grant.asked = iam_array(c->ctx, 2);
	for (size_t i = 1; i < ask->n_scopes && scopes != NULL; i++)
		scopes = ag_printf(c->ctx, "%s %s", scopes, ask->scopes[i]);
	if (pairs == NULL || scopes == NULL || c->grant.asked == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < 2; i++) {
		ag__pair__init(&pairs[i]);
		c->grant.asked[c->grant.n_asked++] = &pairs[i];
	}
	pairs[0].key = (char *)"scopes";
	pairs[0].value = scopes;
	pairs[1].key = (char *)"ttl_s";
	pairs[1].value = ag_printf(c->ctx, "%lld", (long long)ttl_s);
	c->grant.said = c->rq->said != NULL ? c->rq->said : ask->reason;
	return pairs[1].value == NULL ? AG_NO_MEMORY : AG_OK;
}

ag_err
iam_access_asked(struct call *c)
{
	const Ag__AccessAsk *ask;
	const uint8_t *body;
	int64_t ttl_s;
	size_t len;
	ag_err err = AG_OK;

	body = iam_call_body(c, &len);
	ask = ag_unpack(c->ctx, &ag__access_ask__descriptor, body, len);
	if (ask == NULL)
		return AG_BAD_MESSAGE;
	if (ask->n_scopes == 0 || ask->n_scopes > SCOPES_MAX)
		return REFUSE(c, AG_INVALID_FIELD, ask->n_scopes == 0 ? "missing" :
		    "out_of_range", "/scopes", "1 to %d scopes.", SCOPES_MAX);
	if (!iam_text_valid(ask->reason, IAM_REASON_MAX))
		return REFUSE(c, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "A reason has 1 to %d printable characters.",
		    IAM_REASON_MAX);
	ttl_s = ask->has_ttl_s ? ask->ttl_s : TTL_S;
	for (size_t i = 0; i < ask->n_scopes && err == AG_OK; i++)
		err = check_scope(c, ask->scopes[i], i, ttl_s);
	if (err != AG_OK)
		return err;
	prune(c->node, c->now);
	if (count_of(c->node) >= EACH_MAX)
		return REFUSE(c, AG_RATE_LIMITED, "account", NULL,
		    "%d grants are under way.", EACH_MAX);
	return say_asked(c, ask, ttl_s);
}

/* ------------------------------------------------------------ the operations */

ag_err
iam_on_access_request(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AccessAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__AccessFact fact = AG__ACCESS_FACT__INIT;
	Ag__Access access = AG__ACCESS__INIT;
	struct iam_caller caller;
	struct ag_fact facts[1];
	char id[AG_ID_SIZE];
	ag_err err;

	/* The engine has seen that it came from the approvals. */
	if (grant->n_needs == 0 || grant->approval == NULL)
		return AG_BAD_MESSAGE;
	if ((err = iam_caller(state, ctx, &caller)) != AG_OK)
		return err;
	ag_id_new(ctx, "grt", id);
	access.id = id;
	access.state = (char *)"active";
	access.principal = &caller.node->link;
	access.scopes = ask->scopes;
	access.n_scopes = ask->n_scopes;
	access.reason = ask->reason;
	access.granted_at = caller.now;
	access.expires_at = caller.now + (ask->has_ttl_s ? ask->ttl_s : TTL_S) *
	    INT64_C(1000);
	access.approval_id = grant->approval;
	access.tenant = caller.tenant->name;
	fact.access = &access;
	fact.at = caller.now;
	fact.by = caller.node->id;
	facts[0] = (struct ag_fact){ ag_printf(ctx, "grant:%s", id), 0,
		AG_MSG_ACCESS_FACT, &fact };
	if (facts[0].stream == NULL)
		return AG_NO_MEMORY;
	ag_note_resource(ctx, "grant", id, NULL);
	ag_note_param(ctx, "scopes", grant->n_asked > 0 ?
	    grant->asked[0]->value : "");
	ag_note_reason(ctx, ask->reason);
	return ag_persist(ctx, facts, 1, AG_MSG_ACCESS_REQUEST, &access, NULL,
	    NULL, NULL, 0);
}

struct listing {
	struct ag_ctx *ctx;
	const struct iam_caller *caller;
	const Ag__AccessListAsk *ask;
	Ag__AccessListReply *reply;
	struct ag_page page;
	const char *last;
	bool sees_all, more, no_memory;
};

static bool
is_shown(const struct listing *l, const Ag__Access *a)
{
	const char *who = l->ask->principal;

	return strcmp(a->tenant, l->caller->tenant->name) == 0 &&
	    a->expires_at > l->caller->now &&
	    (l->sees_all || strcmp(a->principal->id, l->caller->node->id) == 0) &&
	    (who == NULL || strcmp(who, a->principal->id) == 0 ||
	    (a->principal->name != NULL && strcmp(who, a->principal->name) == 0));
}

static bool
list_one(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct listing *l = arg;
	Ag__AccessFact *fact = ag_unpack(l->ctx, &ag__access_fact__descriptor,
	    value, value_len);

	if (fact == NULL) {
		l->no_memory = true;
		return false;
	}
	if (key_len == l->page.place_len &&
	    memcmp(key, l->page.place, key_len) == 0)
		return true; /* the last one of the page before */
	if (!is_shown(l, fact->access))
		return true;
	if (l->reply->n_items == l->page.limit) {
		l->more = true;
		return false;
	}
	l->reply->items[l->reply->n_items++] = fact->access;
	l->last = fact->access->id;
	return true;
}

ag_err
iam_on_access_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AccessListReply reply = AG__ACCESS_LIST_REPLY__INIT;
	struct iam_caller caller;
	struct listing l = { .ctx = ctx, .caller = &caller, .ask = msg,
		.reply = &reply, .sees_all = ag_grant(ctx)->approver };
	const char *after;
	ag_err err;

	if ((err = iam_caller(state, ctx, &caller)) != AG_OK ||
	    (err = ag_page_read(ctx, msg, &l.page)) != AG_OK)
		return err;
	after = iam_after(&l.page);
	reply.items = iam_array(ctx, l.page.limit);
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	err = ag_store_scan(ctx, IAM_T_ACCESS, after, l.page.place_len, list_one,
	    &l);
	if (err != AG_OK || l.no_memory)
		return err != AG_OK ? err : AG_NO_MEMORY;
	if (l.more && (reply.next_cursor = iam_cursor(ctx, &l.page, l.last)) ==
	    NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_ACCESS_LIST, &reply);
}
