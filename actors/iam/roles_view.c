/* SPDX-License-Identifier: Apache-2.0 */
/* Roles as people see them: the built-in ones and their tenant's. */
#include "exec.h"
#include "handlers.h"
#include "iam.h"

#include <stdlib.h>
#include <string.h>

static Ag__Role *
builtin_view(struct ag_ctx *ctx, const struct ag_policy_role *row)
{
	Ag__Role *view = ag_alloc(ctx, sizeof(*view));

	if (view == NULL)
		return NULL;
	ag__role__init(view);
	view->name = (char *)row->name;
	view->scopes = (char **)row->scopes;
	while (view->n_scopes < AG_ROLE_SCOPES_MAX &&
	    row->scopes[view->n_scopes] != NULL)
		view->n_scopes++;
	view->builtin = true;
	view->revision = 1;
	return view;
}

Ag__Role *
iam_role_view(struct ag_ctx *ctx, const struct iam_role *role)
{
	const Ag__RoleFact *fact = ag_unpack(ctx, &ag__role_fact__descriptor,
	    role->packed, role->packed_len);

	return fact == NULL ? NULL : fact->role;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(Ag__Role *const *)a)->name,
	    (*(Ag__Role *const *)b)->name);
}

/* All of the tenant, in order; NULL: no memory. */
static Ag__Role **
all_roles(struct ag_ctx *ctx, const struct iam_tenant *tenant, size_t *count)
{
	const struct ag_policy_role *row;
	Ag__Role **out;
	size_t n = 0;

	while (ag_policy_role_at(n) != NULL)
		n++;
	if ((out = iam_array(ctx, n + tenant->role_count)) == NULL)
		return NULL;
	n = 0;
	while ((row = ag_policy_role_at(n)) != NULL)
		if ((out[n++] = builtin_view(ctx, row)) == NULL)
			return NULL;
	for (const struct iam_role *r = tenant->roles; r != NULL; r = r->next)
		if (!r->gone && (out[n++] = iam_role_view(ctx, r)) == NULL)
			return NULL;
	qsort(out, n, sizeof(*out), by_name);
	*count = n;
	return out;
}

ag_err
iam_on_role_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__RoleListReply reply = AG__ROLE_LIST_REPLY__INIT;
	struct iam_caller caller;
	struct ag_page page;
	const char *after;
	size_t count = 0, at = 0;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	after = iam_after(&page);
	reply.items = all_roles(ctx, caller.tenant, &count);
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	while (after != NULL && at < count &&
	    strcmp(reply.items[at]->name, after) <= 0)
		at++;
	reply.items += at;
	reply.n_items = count - at < page.limit ? count - at :
	    page.limit;
	if (count - at > page.limit)
		reply.next_cursor = iam_cursor(ctx, &page,
		    reply.items[page.limit - 1]->name);
	return ag_reply(ctx, AG_MSG_ROLE_LIST, &reply);
}

ag_err
iam_no_such_role(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such role.");
}

ag_err
iam_on_role_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const char *name = ag_grant(ctx)->resource_id;
	const struct iam_role *role;
	struct iam_caller caller;
	Ag__Role *view;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	role = name == NULL ? NULL : iam_role_find(iam, caller.tenant, name);
	if (role == NULL || role->gone)
		return iam_no_such_role(ctx);
	view = role->tenant == NULL ? builtin_view(ctx,
	    ag_policy_role_named(name)) : iam_role_view(ctx, role);
	return view == NULL ? AG_NO_MEMORY : ag_reply(ctx, AG_MSG_ROLE_READ, view);
}
