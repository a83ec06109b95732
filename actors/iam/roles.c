/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles: the built-in ones, and those that a tenant makes of scopes and of
 * other roles. What a role gives is worked out when a role changes, with all
 * that it inherits, so that a request only walks one list. A role that was
 * deleted gives nothing and keeps its name for ever: who still has it must not
 * wake up with what another one puts under that name.
 */
#include "exec.h"
#include "handlers.h"
#include "iam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_MAX = 160 };

/* ---------------------------------------------------------- what there is */

static bool
role_is(const void *item, const char *scope, const char *key)
{
	const struct iam_role *role = item;

	return strcmp(role->name, key) == 0 &&
	    strcmp(role->tenant->name, scope) == 0;
}

const struct iam_role *
iam_role_find(const struct iam *iam, const struct iam_tenant *tenant,
    const char *name)
{
	for (size_t i = 0; i < iam->builtin_count; i++)
		if (strcmp(iam->builtins[i].name, name) == 0)
			return &iam->builtins[i];
	return iam_table_get(&iam->roles, role_is, tenant->name, name);
}

ag_err
iam_roles_init(struct iam *iam)
{
	const struct ag_policy_role *row;
	ag_err err = AG_OK;
	size_t n = 0;

	iam_table_init(&iam->roles, (size_t)IAM_TENANTS_MAX * IAM_TENANT_ROLES_MAX);
	while (ag_policy_role_at(n) != NULL)
		n++;
	iam->builtins = calloc(n, sizeof(*iam->builtins));
	if (iam->builtins == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < n && err == AG_OK; i++) {
		size_t count = 0;

		row = ag_policy_role_at(i);
		while (row->scopes[count] != NULL)
			count++;
		strcpy(iam->builtins[i].name, row->name);
		err = iam_scopes_make((char *const *)row->scopes, count,
		    &iam->builtins[i].scopes);
		iam->builtin_count = i + 1;
	}
	if (err == AG_INVALID_FIELD)
		ag_panic("a built-in role has a scope that is none");
	return err;
}

void
iam_roles_fini(struct iam *iam)
{
	struct iam_table *t = &iam->roles;

	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++) {
		struct iam_role *role = t->slots[i].item;

		if (role == NULL)
			continue;
		iam_scopes_free(&role->scopes);
		free(role->packed);
		free(role);
	}
	iam_table_fini(t);
	for (size_t i = 0; i < iam->builtin_count; i++)
		iam_scopes_free(&iam->builtins[i].scopes);
	free(iam->builtins);
}

/* ------------------------------------------------------- what a role gives */

/* The scopes of one role and of all that it inherits, each once. */
struct closure {
	const struct iam *iam;
	const struct iam_tenant *tenant;
	const char *instead; /* this role is taken to be `as` */
	const Ag__Role *as;
	char *texts[IAM_ROLE_SCOPES_MAX];
	size_t count;
	/* Unpacked ones are kept until the end: texts point into them. */
	Ag__RoleFact *facts[IAM_TENANT_ROLES_MAX];
	const char *seen[IAM_TENANT_ROLES_MAX + 8]; /* built-in ones, too */
	size_t fact_count, seen_count;
	bool cycle; /* it came back to `instead` */
	bool full;
};

static void
closure_add(struct closure *c, const char *text)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->texts[i], text) == 0)
			return;
	if (c->count == IAM_ROLE_SCOPES_MAX)
		c->full = true;
	else
		c->texts[c->count++] = (char *)(uintptr_t)text;
}

static const Ag__Role *
closure_role(struct closure *c, const struct iam_role *role)
{
	Ag__RoleFact *fact;

	if (role->packed == NULL || role->gone ||
	    c->fact_count == IAM_TENANT_ROLES_MAX)
		return NULL;
	fact = ag__role_fact__unpack(NULL, role->packed_len, role->packed);
	if (fact == NULL)
		return NULL;
	c->facts[c->fact_count++] = fact;
	return fact->role;
}

/* Breadth first; the queue is `seen`. */
static void
closure_walk(struct closure *c, const char *name)
{
	c->seen[c->seen_count++] = name;
	for (size_t at = 0; at < c->seen_count; at++) {
		const struct iam_role *role = iam_role_find(c->iam, c->tenant,
		    c->seen[at]);
		const Ag__Role *says = c->instead != NULL &&
		    strcmp(c->seen[at], c->instead) == 0 ? c->as :
		    role == NULL ? NULL : closure_role(c, role);

		for (size_t i = 0; role != NULL && role->tenant == NULL &&
		    i < role->scopes.count; i++)
			closure_add(c, role->scopes.items[i].text);
		for (size_t i = 0; says != NULL && i < says->n_scopes; i++)
			closure_add(c, says->scopes[i]);
		for (size_t i = 0; says != NULL && i < says->n_inherits; i++) {
			size_t j = 0;

			if (c->instead != NULL &&
			    strcmp(says->inherits[i], c->instead) == 0)
				c->cycle = true;
			while (j < c->seen_count && strcmp(c->seen[j],
			    says->inherits[i]) != 0)
				j++;
			if (j == c->seen_count && c->seen_count <
			    sizeof(c->seen) / sizeof(c->seen[0]))
				c->seen[c->seen_count++] = says->inherits[i];
		}
	}
}

static void
closure_fini(struct closure *c)
{
	for (size_t i = 0; i < c->fact_count; i++)
		ag__role_fact__free_unpacked(c->facts[i], NULL);
}

static ag_err
work_out(struct iam *iam, struct iam_role *role)
{
	struct closure *c = calloc(1, sizeof(*c));
	struct iam_scopes scopes = { 0 };
	ag_err err = c == NULL ? AG_NO_MEMORY : AG_OK;

	if (err == AG_OK && !role->gone) {
		c->iam = iam;
		c->tenant = role->tenant;
		closure_walk(c, role->name);
		err = iam_scopes_make(c->texts, c->count, &scopes);
		closure_fini(c);
	}
	free(c);
	if (err != AG_OK)
		return err;
	iam_scopes_free(&role->scopes);
	role->scopes = scopes;
	return AG_OK;
}

/* ------------------------------------------------------------- taking facts */

static ag_err
role_new(struct iam *iam, struct iam_tenant *tenant, const char *name,
    struct iam_role **out)
{
	struct iam_role *role;
	ag_err err;

	if (strlen(name) > AG_NAME_MAX)
		return AG_CORRUPT;
	if ((role = calloc(1, sizeof(*role))) == NULL)
		return AG_NO_MEMORY;
	strcpy(role->name, name);
	role->tenant = tenant;
	err = iam_table_add(&iam->roles, tenant->name, role->name, role);
	if (err != AG_OK) {
		free(role);
		return err;
	}
	role->next = tenant->roles;
	tenant->roles = role;
	tenant->role_count++;
	*out = role;
	return AG_OK;
}

ag_err
iam_take_role(struct iam *iam, const Ag__RoleFact *fact)
{
	struct iam_tenant *tenant = iam_tenant_find(iam, fact->tenant);
	struct iam_role *role;
	size_t len = ag__role_fact__get_packed_size(fact);
	uint8_t *packed;
	ag_err err;

	if (tenant == NULL || ag_policy_role_named(fact->role->name) != NULL)
		return AG_CORRUPT;
	role = iam_table_get(&iam->roles, role_is, tenant->name,
	    fact->role->name);
	if (role == NULL && (err = role_new(iam, tenant, fact->role->name,
	    &role)) != AG_OK)
		return err;
	if ((packed = malloc(len + 1)) == NULL)
		return AG_NO_MEMORY;
	ag__role_fact__pack(fact, packed);
	free(role->packed);
	role->packed = packed;
	role->packed_len = len;
	role->revision = fact->role->revision;
	role->gone = strcmp(fact->state, "deleted") == 0;
	/* Others may inherit it. */
	for (struct iam_role *r = tenant->roles; r != NULL; r = r->next)
		if ((err = work_out(iam, r)) != AG_OK)
			return err;
	return AG_OK;
}

/* --------------------------------------------------------------- last admin */

static bool
gives_all(const struct iam_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count; i++)
		if (strcmp(scopes->items[i].text, "*:*:*") == 0)
			return true;
	return false;
}

/* Not counting this role. */
static bool
is_admin(const struct iam_node *node, const struct iam_role *but, int64_t now)
{
	if (node->state != IAM_LIVE)
		return false;
	for (unsigned i = 0; i < node->role_count; i++) {
		const struct iam_role_held *held = &node->roles[i];

		if (held->role != but && held->from <= now &&
		    now < held->until && gives_all(&held->role->scopes))
			return true;
	}
	return false;
}

/* Without one, nobody of the tenant could set anything right. */
static bool
has_admin(const struct iam *iam, const struct iam_tenant *tenant,
    const struct iam_node *but_node, const struct iam_role *but_role,
    int64_t now)
{
	for (size_t i = 0; i < iam->principals.count; i++) {
		const struct iam_node *node = iam->principals.items[i];

		if (node != but_node && node->tenant == tenant &&
		    is_admin(node, but_role, now))
			return true;
	}
	return false;
}

bool
iam_is_admin(const struct iam_node *node, int64_t now)
{
	return is_admin(node, NULL, now);
}

bool
iam_last_admin(const struct iam *iam, const struct iam_node *node,
    const struct iam_role *only, int64_t now)
{
	if (!is_admin(node, NULL, now) ||
	    (only != NULL && is_admin(node, only, now)))
		return false;
	return !has_admin(iam, node->tenant, node, NULL, now);
}

ag_err
iam_enter_admins(struct ag_ctx *ctx, const struct iam_tenant *tenant)
{
	const char *stream = ag_printf(ctx, "admins:%s", tenant->name);

	return stream == NULL ? AG_NO_MEMORY : ag_enter(ctx, stream, true);
}

ag_err
iam_refuse_last_admin(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "last_admin", NULL,
	    "The tenant would have no active admin.");
}

/* ----------------------------------------------------------------- changes */

static ag_err
check_texts(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__RoleSetAsk *ask)
{
	if (ask->n_scopes > IAM_SCOPES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/scopes",
		    "At most %d scopes.", IAM_SCOPES_MAX);
	if (ask->n_inherits > IAM_INHERITS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/inherits", "At most %d roles.", IAM_INHERITS_MAX);
	for (size_t i = 0; i < ask->n_scopes; i++) {
		struct ag_scope scope;

		if (!ag_scope_parse(ask->scopes[i], &scope) ||
		    !ag_scope_op_known(&scope))
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_scope",
			    ag_printf(ctx, "/scopes/%zu", i),
			    "A scope is <kind>:<selector>:<op>.");
	}
	for (size_t i = 0; i < ask->n_inherits; i++) {
		const struct iam_role *role = iam_role_find(iam, caller->tenant,
		    ask->inherits[i]);

		if (role == NULL || role->gone)
			return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
			    ag_printf(ctx, "/inherits/%zu", i),
			    "There is no such role.");
	}
	return AG_OK;
}

/* What it would give, with all that it inherits. */
static ag_err
check_gives(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__Role *wanted, bool *all)
{
	struct closure *c = calloc(1, sizeof(*c));
	struct iam_scopes scopes = { 0 };
	ag_err err = AG_NO_MEMORY;

	if (c == NULL)
		return err;
	c->iam = iam;
	c->tenant = caller->tenant;
	c->instead = wanted->name;
	c->as = wanted;
	closure_walk(c, wanted->name);
	if (c->cycle)
		err = ag_refuse(ctx, AG_ILLEGAL_OPERATION, "role_cycle",
		    "/inherits", "The role would inherit itself.");
	else if (c->full)
		err = ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/inherits", "With what it inherits, a role has at most %d "
		    "scopes.", IAM_ROLE_SCOPES_MAX);
	else if ((err = iam_scopes_make(c->texts, c->count, &scopes)) == AG_OK &&
	    !iam_may_give(iam, caller, &scopes))
		err = ag_refuse(ctx, AG_PERMISSION_DENIED, "role_missing",
		    "/scopes", "Only scopes that you hold can be given.");
	*all = gives_all(&scopes);
	iam_scopes_free(&scopes);
	closure_fini(c);
	free(c);
	return err;
}

/* The role of the path: not a built-in one, and no more than the caller has. */
static ag_err
role_subject(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *caller,
    const struct iam_role **role)
{
	const char *name = ag_grant(ctx)->resource_id;
	ag_err err = iam_caller(iam, ctx, caller);

	if (err != AG_OK)
		return err;
	if (name == NULL || !ag_name_valid(name))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", NULL,
		    "A role's name is [a-z0-9][a-z0-9._-]{0,62}.");
	ag_note_resource(ctx, "role", name, NULL);
	*role = iam_role_find(iam, caller->tenant, name);
	if (*role != NULL && (*role)->tenant == NULL)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "system_attribute",
		    NULL, "A built-in role cannot be changed.");
	if ((err = iam_enter_admins(ctx, caller->tenant)) != AG_OK)
		return err;
	if (*role != NULL && !iam_may_give(iam, caller, &(*role)->scopes))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "role_missing", NULL,
		    "Only a role whose scopes you hold can be changed.");
	return ag_if_match(ctx, *role == NULL ? 0 : (*role)->revision);
}

static ag_err
persist_role(struct ag_ctx *ctx, const struct iam_caller *caller, Ag__Role *role,
    const char *word)
{
	Ag__RoleFact fact = AG__ROLE_FACT__INIT;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];
	uint64_t version = role->revision++;

	fact.tenant = caller->tenant->name;
	fact.role = role;
	fact.state = (char *)word;
	fact.at = caller->now;
	fact.by = (char *)caller->id;
	snprintf(stream, sizeof(stream), "role:%s/%s", fact.tenant, role->name);
	facts[0] = (struct ag_fact){ stream, version, AG_MSG_ROLE_FACT, &fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), role, NULL, NULL, NULL, 0);
}

ag_err
iam_on_role_set(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__RoleSetAsk *ask = msg;
	Ag__Role wanted = AG__ROLE__INIT;
	const struct iam_role *role;
	struct iam_caller caller;
	bool all = false;
	ag_err err;

	if ((err = role_subject(iam, ctx, &caller, &role)) != AG_OK ||
	    (err = check_texts(iam, ctx, &caller, ask)) != AG_OK)
		return err;
	if (role != NULL && role->gone)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", NULL,
		    "A deleted role keeps its name, for ever.");
	if (role == NULL && caller.tenant->role_count >= IAM_TENANT_ROLES_MAX)
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
		    "A tenant has at most %d roles.", IAM_TENANT_ROLES_MAX);
	wanted.name = ag_grant(ctx)->resource_id;
	wanted.scopes = ask->scopes;
	wanted.n_scopes = ask->n_scopes;
	wanted.inherits = ask->inherits;
	wanted.n_inherits = ask->n_inherits;
	wanted.revision = role == NULL ? 0 : role->revision;
	if ((err = check_gives(iam, ctx, &caller, &wanted, &all)) != AG_OK)
		return err;
	if (role != NULL && !all && gives_all(&role->scopes) &&
	    !has_admin(iam, caller.tenant, NULL, role, caller.now))
		return iam_refuse_last_admin(ctx);
	return persist_role(ctx, &caller, &wanted, "active");
}

ag_err
iam_on_role_delete(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__ReasonAsk *ask = msg;
	const struct iam_role *role;
	struct iam_caller caller;
	Ag__Role *view;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = role_subject(iam, ctx, &caller, &role)) != AG_OK)
		return err;
	if (role == NULL || role->gone)
		return iam_no_such_role(ctx);
	if (gives_all(&role->scopes) &&
	    !has_admin(iam, caller.tenant, NULL, role, caller.now))
		return iam_refuse_last_admin(ctx);
	view = iam_role_view(ctx, role);
	return view == NULL ? AG_NO_MEMORY :
	    persist_role(ctx, &caller, view, "deleted");
}
