/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants, each with its first admin. */
#include "credentials.h"
#include "exec.h"
#include "handlers.h"
#include "iam.h"

#include <stdio.h>
#include <string.h>

enum {
	STREAM_MAX = 160,
	SHRED_AT_ONCE = 64, /* keys: the root of trust must not be away for long */
};

/* ----------------------------------------------------------------- founding */

static void
first_admin(struct ag_ctx *ctx, const char *tenant, const char *admin,
    const char *by, char id[AG_ID_SIZE], Ag__Principal *p)
{
	ag_id_new(ctx, "hum", id);
	p->id = id;
	p->kind = AG__KIND__V__human;
	p->name = (char *)admin;
	p->tenant = (char *)tenant;
	p->state = (char *)"active";
	p->totp = (char *)"none";
	p->created_at = p->updated_at = ag_now_ms(ctx);
	p->created_by = (char *)by;
	p->revision = 1;
}

ag_err
iam_found(struct iam *iam, struct ag_ctx *ctx, const char *tenant,
    const char *admin, const char *by, iam_signed *then,
    iam_unsigned *failed)
{
	Ag__Principal p = AG__PRINCIPAL__INIT;
	Ag__RoleGrant role = AG__ROLE_GRANT__INIT, *roles[1] = { &role };
	struct iam_draft *d;
	char id[AG_ID_SIZE];
	ag_err err = iam_draft_new(iam, ctx, &d);

	if (err != AG_OK)
		return err;
	first_admin(ctx, tenant, admin, by, id, &p);
	role.name = (char *)"admin";
	role.granted_by = (char *)by;
	p.roles = roles;
	p.n_roles = 1;
	d->failed = failed;
	d->issued_at = ag_now_ms(ctx) / 1000 * 1000;
	d->expires_at = d->issued_at + IAM_ADMIN_TOKEN_S * INT64_C(1000);
	snprintf(d->claims.sub, sizeof(d->claims.sub), "%s", id);
	snprintf(d->claims.kind, sizeof(d->claims.kind), "human");
	snprintf(d->claims.tenant, sizeof(d->claims.tenant), "%s", tenant);
	if ((err = iam_draft_keep(d, &p, NULL, 0)) != AG_OK)
		ag_log(ctx, AG_ERROR, "FOUND-MEMORY", "tenant=%s", tenant);
	return iam_draft_sign(iam, ctx, d, then);
}

ag_err
iam_found_persist(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_draft *d, const void *reply, const void *replay,
    ag_then *then)
{
	Ag__TenantFact tenant = AG__TENANT_FACT__INIT;
	Ag__NameTakenFact taken = AG__NAME_TAKEN_FACT__INIT;
	Ag__PrincipalFact principal = AG__PRINCIPAL_FACT__INIT;
	Ag__TokenIssuedFact token = AG__TOKEN_ISSUED_FACT__INIT;
	Ag__Principal *p = ag_unpack(ctx, &ag__principal__descriptor, d->packed,
	    d->packed_len);
	char streams[4][STREAM_MAX];
	struct ag_fact facts[4];

	if (p == NULL)
		return AG_NO_MEMORY;
	tenant.name = taken.tenant = token.tenant = p->tenant;
	tenant.state = (char *)"active";
	tenant.at = p->created_at;
	tenant.by = p->created_by;
	taken.name = p->name;
	taken.id = token.principal_id = p->id;
	principal.principal = p;
	token.jti = (char *)d->jti;
	token.issued_at = d->issued_at;
	token.expires_at = d->expires_at;
	snprintf(streams[0], STREAM_MAX, "tenant:%s", p->tenant);
	snprintf(streams[1], STREAM_MAX, "name:%s/%s", p->tenant, p->name);
	snprintf(streams[2], STREAM_MAX, "principal:%s", p->id);
	snprintf(streams[3], STREAM_MAX, "token:%s", d->jti);
	facts[0] = (struct ag_fact){ streams[0], 0, AG_MSG_TENANT_FACT, &tenant };
	facts[1] = (struct ag_fact){ streams[1], 0, AG_MSG_NAME_TAKEN_FACT,
		&taken };
	facts[2] = (struct ag_fact){ streams[2], 0, AG_MSG_PRINCIPAL_FACT,
		&principal };
	facts[3] = (struct ag_fact){ streams[3], 0, AG_MSG_TOKEN_ISSUED_FACT,
		&token };
	return ag_persist(ctx, facts, 4, AG_MSG_TENANT_CREATE, reply, replay,
	    then, NULL, 0);
}

/* ------------------------------------------------------------------ tenants */

/* Every tenant has admins with `*:*:*`; only those of the first one are the
 * house's, and see that there are others. */
static ag_err
house_only(struct ag_ctx *ctx, const struct iam_caller *caller)
{
	if (strcmp(caller->tenant->name, IAM_FIRST_TENANT) == 0)
		return AG_OK;
	ag_refuse_rule(ctx, "scopes");
	return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
	    "Only the first tenant's admins manage tenants.");
}

static ag_err
tenant_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	Ag__Tenant reply = AG__TENANT__INIT, replay;
	Ag__TenantAdmin admin = AG__TENANT_ADMIN__INIT, admin_replay;
	Ag__Principal *p = ag_unpack(ctx, &ag__principal__descriptor,
	    draft->packed, draft->packed_len);

	if (p == NULL)
		return AG_NO_MEMORY;
	reply.name = draft->claims.tenant;
	reply.state = (char *)"active";
	reply.created_at = p->created_at; /* the tenant's, too */
	admin.id = draft->claims.sub;
	admin.jti = draft->jti;
	admin.expires_at = draft->expires_at;
	admin_replay = admin;
	admin.token = draft->token;
	replay = reply;
	reply.admin = &admin;
	replay.admin = &admin_replay;
	ag_note_resource(ctx, "tenant", reply.name, NULL);
	return iam_found_persist(iam, ctx, draft, &reply, &replay, NULL);
}

ag_err
iam_on_tenant_create(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__TenantCreateAsk *ask = msg;
	struct iam_caller caller;
	char stream[STREAM_MAX];
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = house_only(ctx, &caller)) != AG_OK)
		return err;
	/* What belongs to no tenant is recorded under "system". */
	if (!ag_name_valid(ask->name) || strcmp(ask->name, "system") == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", "/name",
		    "A name is [a-z0-9][a-z0-9._-]{0,62}, and not \"system\".");
	if (!ag_name_valid(ask->admin_name))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias",
		    "/admin_name", "A name is [a-z0-9][a-z0-9._-]{0,62}.");
	snprintf(stream, sizeof(stream), "tenant:%s", ask->name);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	if (iam_tenant_find(iam, ask->name) != NULL)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", "/name",
		    "The name is taken.");
	if (iam->tenant_count >= IAM_TENANTS_MAX)
		return AG_FULL;
	return iam_found(iam, ctx, ask->name, ask->admin_name, caller.id,
	    tenant_signed, NULL);
}

static const char *
state_word(const struct iam_tenant *tenant)
{
	return tenant->deleted ? "deleted" : tenant->deleting ? "deleting" :
	    tenant->active ? "active" : "suspended";
}

ag_err
iam_on_tenant_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__TenantListReply reply = AG__TENANT_LIST_REPLY__INIT;
	struct iam_caller caller;
	Ag__Tenant *views;
	struct ag_page page;
	const char *after;
	size_t i = 0;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = house_only(ctx, &caller)) != AG_OK ||
	    (err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	after = iam_after(&page);
	reply.items = iam_array(ctx, page.limit);
	views = ag_alloc(ctx, page.limit * sizeof(*views));
	if (reply.items == NULL || views == NULL)
		return AG_NO_MEMORY;
	/* Tenants only ever come, in the journal's order. */
	while (after != NULL && i < iam->tenant_count &&
	    strcmp(iam->tenant_list[i++]->name, after) != 0)
		continue;
	for (; i < iam->tenant_count && reply.n_items < page.limit; i++) {
		Ag__Tenant *view = &views[reply.n_items];

		ag__tenant__init(view);
		view->name = iam->tenant_list[i]->name;
		view->state = (char *)state_word(iam->tenant_list[i]);
		view->created_at = iam->tenant_list[i]->created_at;
		reply.items[reply.n_items++] = view;
	}
	if (i < iam->tenant_count)
		reply.next_cursor = iam_cursor(ctx, &page,
		    iam->tenant_list[i - 1]->name);
	return ag_reply(ctx, AG_MSG_TENANT_LIST, &reply);
}

/* ----------------------------------------------------------------- changes */

/* The tenant of the path; the house itself neither sleeps nor ends. */
static ag_err
tenant_subject(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *caller,
    const char *reason, struct iam_tenant **tenant)
{
	const char *name = ag_grant(ctx)->resource_id;
	char stream[STREAM_MAX];
	ag_err err;

	if ((err = iam_reason(ctx, reason)) != AG_OK ||
	    (err = iam_caller(iam, ctx, caller)) != AG_OK ||
	    (err = house_only(ctx, caller)) != AG_OK)
		return err;
	*tenant = name == NULL ? NULL : iam_tenant_find(iam, name);
	if (*tenant == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such tenant.");
	ag_note_resource(ctx, "tenant", (*tenant)->name, NULL);
	if (strcmp(name, IAM_FIRST_TENANT) == 0)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The first tenant stays as it is.");
	snprintf(stream, sizeof(stream), "tenant:%s", name);
	return ag_enter(ctx, stream, true);
}

static void
show(const struct iam_tenant *tenant, const char *state, Ag__Tenant *view)
{
	ag__tenant__init(view);
	view->name = (char *)tenant->name;
	view->state = (char *)state;
	view->created_at = tenant->created_at;
}

static ag_err
change(struct iam *iam, struct ag_ctx *ctx, const Ag__ReasonAsk *ask,
    const char *word)
{
	Ag__TenantFact fact = AG__TENANT_FACT__INIT;
	Ag__Tenant view;
	struct iam_caller caller;
	struct iam_tenant *tenant;
	const char *now;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];
	ag_err err = tenant_subject(iam, ctx, &caller, ask->reason, &tenant);

	if (err != AG_OK)
		return err;
	now = state_word(tenant);
	if (strcmp(now, word) == 0 ||
	    (tenant->deleted && strcmp(word, "deleting") == 0)) {
		show(tenant, now, &view);
		return ag_reply(ctx, ag_type(ctx), &view);
	}
	if (tenant->deleting || tenant->deleted)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The tenant is deleted.");
	fact.name = tenant->name;
	fact.state = (char *)word;
	fact.at = caller.now;
	fact.by = (char *)caller.id;
	fact.reason = ask->reason;
	show(tenant, word, &view);
	snprintf(stream, sizeof(stream), "tenant:%s", tenant->name);
	facts[0] = (struct ag_fact){ stream, tenant->version,
		AG_MSG_TENANT_FACT, &fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), &view, NULL, NULL, NULL,
	    0);
}

ag_err
iam_on_tenant_suspend(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, "suspended");
}

ag_err
iam_on_tenant_resume(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, "active");
}

ag_err
iam_on_tenant_delete(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, "deleting");
}

/* --------------------------------------------------------------- shredding */

/* Whatever of it is parsed leaves the shards' memory; a shard that is not
 * there has nothing in memory. */
void
iam_tenant_ended(struct ag_ctx *ctx, const char *tenant)
{
	Ag__TenantEndedOrder order = AG__TENANT_ENDED_ORDER__INIT;
	ag_err err;

	order.tenant = (char *)tenant;
	for (unsigned i = 0; i < ag_slot_count(ctx, AG_ROLE_KEYS); i++) {
		err = ag_send(ctx, ag_slot(ctx, AG_ROLE_KEYS, i),
		    AG_MSG_TENANT_ENDED_ORDER, &order);
		if (err != AG_OK && err != AG_NOBODY)
			ag_log(ctx, AG_WARN, "TENANT-ENDED", "shard=%u err=%s", i,
			    ag_err_row(err)->name);
	}
}

static ag_err
on_deleted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam_tenant *tenant = iam_tenant_find(state, memo);

	if (tenant != NULL)
		tenant->shredding = false; /* not done: the timer tries again */
	return AG_OK;
}

/* Every root of trust has nothing of it any more: that is a fact, and said. */
static ag_err
persist_deleted(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    uint64_t erased)
{
	Ag__TenantFact fact = AG__TENANT_FACT__INIT;
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__Pair param = AG__PAIR__INIT, *params[1] = { &param };
	char stream[STREAM_MAX], event_id[AG_ID_SIZE];
	uint8_t digest[32];
	struct ag_fact facts[1];

	snprintf(stream, sizeof(stream), "tenant:%s", tenant->name);
	ag_sha256(stream, strlen(stream), digest);
	ag_id_from_uuid("evt", digest, event_id);
	fact.name = (char *)tenant->name;
	fact.state = (char *)"deleted";
	fact.at = ag_now_ms(ctx);
	fact.reason = (char *)"its keys are erased";
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"system.tenant-erased";
	out.tenant = (char *)IAM_FIRST_TENANT;
	out.resource_type = (char *)"tenant";
	out.resource_id = (char *)tenant->name;
	out.event_id = event_id;
	param.key = (char *)"erased";
	param.value = ag_printf(ctx, "%llu", (unsigned long long)erased);
	out.params = params;
	out.n_params = 1;
	facts[0] = (struct ag_fact){ stream, tenant->version,
		AG_MSG_TENANT_FACT, &fact };
	return ag_persist_recorded(ctx, facts, 1, &out, on_deleted,
	    tenant->name, sizeof(tenant->name));
}

static ag_err ask_shred(struct ag_ctx *ctx, struct iam_tenant *tenant,
    unsigned rot);

struct shred_memo {
	char name[AG_NAME_MAX + 1];
	unsigned rot;
};

static ag_err
on_shredded(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct shred_memo *m = memo;
	const Ag__RotShredReply *reply = msg;
	struct iam_tenant *tenant = iam_tenant_find(state, m->name);
	ag_err err = status;

	if (tenant == NULL)
		return AG_OK;
	if (status == AG_OK) {
		ag_log(ctx, AG_INFO, "TENANT-SHRED", "tenant=%s erased=%llu "
		    "left=%llu", tenant->name,
		    (unsigned long long)reply->erased,
		    (unsigned long long)reply->left);
		if (reply->left > 0)
			err = ask_shred(ctx, tenant, m->rot);
		else if (m->rot + 1 < ag_slot_count(ctx, AG_ROLE_ROT))
			err = ask_shred(ctx, tenant, m->rot + 1);
		else
			err = persist_deleted(ctx, tenant, reply->erased);
	}
	if (err == AG_PENDING)
		return err;
	ag_log(ctx, AG_WARN, "TENANT-SHRED-AGAIN", "tenant=%s err=%s",
	    tenant->name, ag_err_row(err)->name);
	tenant->shredding = false;
	return AG_OK;
}

static ag_err
ask_shred(struct ag_ctx *ctx, struct iam_tenant *tenant, unsigned rot)
{
	Ag__RotShredAsk ask = AG__ROT_SHRED_ASK__INIT;
	struct shred_memo memo = { .rot = rot };

	strcpy(memo.name, tenant->name);
	ask.tenant = tenant->name;
	ask.max = SHRED_AT_ONCE;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_ROT, rot), AG_MSG_ROT_SHRED_ASK,
	    &ask, AG_MSG_ROT_SHRED_REPLY, IAM_ROT_TIMEOUT_MS, on_shredded, &memo,
	    sizeof(memo));
}

void
iam_shred(struct iam *iam, struct ag_ctx *ctx)
{
	for (size_t i = 0; i < iam->tenant_count; i++) {
		struct iam_tenant *tenant = iam->tenant_list[i];

		if (!tenant->deleting || tenant->shredding)
			continue;
		iam_tenant_ended(ctx, tenant->name);
		tenant->shredding = ask_shred(ctx, tenant, 0) == AG_PENDING;
	}
}
