/* SPDX-License-Identifier: Apache-2.0 */
/* People and services: the rows behind /v1/principals and their roles. */
#include "exec.h"
#include "handlers.h"
#include "iam.h"
#include "issuers.h"

#include <stdio.h>
#include <string.h>

enum { EXTERNAL_MAX = 256, STREAM_MAX = 160 };

static const struct iam_noun principal_noun = { iam_principal_find, "principal" };

/* The whole state afterwards, as a fact, and as the answer. */
static ag_err
persist_whole(struct ag_ctx *ctx, const struct iam_node *node, Ag__Principal *p)
{
	Ag__PrincipalFact fact = AG__PRINCIPAL_FACT__INIT;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	p->updated_at = ag_now_ms(ctx);
	p->revision = node->version + 1;
	fact.principal = p;
	snprintf(stream, sizeof(stream), "principal:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_PRINCIPAL_FACT, &fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), p, NULL, NULL, NULL, 0);
}

/* ----------------------------------------------------------------- create */

static ag_err
check_external(struct ag_ctx *ctx, const Ag__External *external)
{
	if (external == NULL || (iam_text_valid(external->issuer, EXTERNAL_MAX) &&
	    iam_text_valid(external->subject, EXTERNAL_MAX)))
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/external",
	    "issuer and subject have 1 to %d printable characters.",
	    EXTERNAL_MAX);
}

static ag_err
check_roles(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__PrincipalCreateAsk *ask)
{
	if (ask->n_roles > IAM_ROLES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/roles",
		    "At most %d roles.", IAM_ROLES_MAX);
	for (size_t i = 0; i < ask->n_roles; i++) {
		const struct iam_role *role = iam_role_find(iam,
		    caller->tenant, ask->roles[i]);
		char field[32];

		snprintf(field, sizeof(field), "/roles/%zu", i);
		if (role == NULL || role->gone)
			return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
			    field, "There is no such role.");
		for (size_t j = 0; j < i; j++)
			if (strcmp(ask->roles[i], ask->roles[j]) == 0)
				return ag_refuse(ctx, AG_INVALID_FIELD,
				    "conflicting_fields", field,
				    "The role is named twice.");
		if (!iam_may_give(iam, caller, &role->scopes))
			return ag_refuse(ctx, AG_PERMISSION_DENIED,
			    "role_missing", field,
			    "Only a role whose scopes you hold can be given.");
	}
	return AG_OK;
}

static ag_err
check_create(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__PrincipalCreateAsk *ask)
{
	ag_err err;

	if (ask->kind != AG__KIND__V__human && ask->kind != AG__KIND__V__service)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/kind",
		    "human or service; agents are issued.");
	if (!ag_name_valid(ask->name))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", "/name",
		    "A name is [a-z0-9][a-z0-9._-]{0,62}, not like an id.");
	if ((err = iam_labels(ctx, ask->labels, ask->n_labels, false)) != AG_OK ||
	    (err = check_external(ctx, ask->external)) != AG_OK ||
	    (err = check_roles(iam, ctx, caller, ask)) != AG_OK)
		return err;
	if (iam_principal_find(iam, caller->tenant, ask->name) != NULL)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", "/name",
		    "The name is taken, for ever.");
	return iam_quota_check(iam, ctx, caller->tenant, IAM_C_PRINCIPALS);
}

/* What is asked about a principal is answered with it. */
static ag_err
answer(struct ag_ctx *ctx, const struct iam_node *node)
{
	const Ag__Principal *view = iam_principal_view(ctx, node);

	return view == NULL ? AG_NO_MEMORY : ag_reply(ctx, ag_type(ctx), view);
}

static ag_err
after_create(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam_node *node = iam_node_find(state, memo);

	if (status == AG_CONFLICT)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", "/name",
		    "The name is taken, for ever.");
	if (status != AG_OK)
		return status;
	return node == NULL ? AG_GENERAL_FAILURE : answer(ctx, node);
}

static ag_err
give_roles(struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__PrincipalCreateAsk *ask, Ag__Principal *p)
{
	Ag__RoleGrant *roles = ag_alloc(ctx, (ask->n_roles + 1) * sizeof(*roles));

	p->roles = iam_array(ctx, ask->n_roles);
	if (roles == NULL || p->roles == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < ask->n_roles; i++) {
		ag__role_grant__init(&roles[i]);
		roles[i].name = ask->roles[i];
		roles[i].granted_by = (char *)caller->id;
		p->roles[i] = &roles[i];
	}
	p->n_roles = ask->n_roles;
	return AG_OK;
}

ag_err
iam_on_principal_create(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__PrincipalCreateAsk *ask = msg;
	Ag__Principal p = AG__PRINCIPAL__INIT;
	Ag__PrincipalFact fact = AG__PRINCIPAL_FACT__INIT;
	Ag__NameTakenFact taken = AG__NAME_TAKEN_FACT__INIT;
	struct iam_caller caller;
	char id[AG_ID_SIZE], stream[STREAM_MAX], name[STREAM_MAX];
	struct ag_fact facts[2];
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = check_create(iam, ctx, &caller, ask)) != AG_OK ||
	    (err = iam_external_claim(iam, ctx, NULL, ask->external)) != AG_OK ||
	    (err = give_roles(ctx, &caller, ask, &p)) != AG_OK)
		return err;
	ag_id_new(ctx, ask->kind == AG__KIND__V__human ? "hum" : "svc", id);
	p.id = taken.id = id;
	p.kind = ask->kind;
	p.name = taken.name = ask->name;
	p.tenant = taken.tenant = caller.tenant->name;
	p.state = (char *)"active";
	p.labels = ask->labels;
	p.n_labels = ask->n_labels;
	p.external = ask->external;
	p.totp = (char *)"none";
	p.created_at = p.updated_at = caller.now;
	p.created_by = (char *)caller.id;
	p.revision = 1;
	fact.principal = &p;
	snprintf(name, sizeof(name), "name:%s/%s", p.tenant, p.name);
	snprintf(stream, sizeof(stream), "principal:%s", id);
	facts[0] = (struct ag_fact){ name, 0, AG_MSG_NAME_TAKEN_FACT, &taken };
	facts[1] = (struct ag_fact){ stream, 0, AG_MSG_PRINCIPAL_FACT, &fact };
	ag_note_resource(ctx, "principal", id, p.name);
	return ag_persist(ctx, facts, 2, AG_MSG_PRINCIPAL_CREATE, &p, NULL,
	    after_create, id, sizeof(id));
}

/* ------------------------------------------------------------ read and list */

ag_err
iam_on_principal_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&principal_noun, state, ctx, &caller, false, &node);

	return err != AG_OK ? err : answer(ctx, node);
}

static bool
has_role(const struct iam_node *node, const char *role)
{
	for (unsigned i = 0; i < node->role_count; i++)
		if (strcmp(node->roles[i].role->name, role) == 0)
			return true;
	return false;
}

/* The deleted are shown only to who asks for them. */
static bool
is_listed(const struct iam_node *node, const struct iam_caller *caller,
    const Ag__PrincipalListAsk *ask)
{
	const char *state = iam_state_word(node, caller->now);

	if (node->tenant != caller->tenant)
		return false;
	if (ask->state == NULL ? node->state == IAM_GONE :
	    strcmp(ask->state, state) != 0)
		return false;
	if (ask->has_kind && ask->kind != node->kind)
		return false;
	return ask->role == NULL || has_role(node, ask->role);
}

static ag_err
check_list(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__PrincipalListAsk *ask)
{
	if (ask->state != NULL && strcmp(ask->state, "active") != 0 &&
	    strcmp(ask->state, "suspended") != 0 &&
	    strcmp(ask->state, "deleted") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?state",
		    "active, suspended or deleted.");
	if (ask->role != NULL &&
	    iam_role_find(iam, caller->tenant, ask->role) == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?role",
		    "There is no such role.");
	return AG_OK;
}

ag_err
iam_on_principal_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__PrincipalListAsk *ask = msg;
	Ag__PrincipalListReply reply = AG__PRINCIPAL_LIST_REPLY__INIT;
	struct iam_caller caller;
	struct ag_page page;
	const char *after;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK ||
	    (err = check_list(iam, ctx, &caller, ask)) != AG_OK)
		return err;
	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	after = iam_after(&page);
	reply.items = iam_array(ctx, page.limit);
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	for (size_t i = after == NULL ? 0 : iam_list_after(&iam->principals,
	    after); i < iam->principals.count; i++) {
		const struct iam_node *node = iam->principals.items[i];

		if (!is_listed(node, &caller, ask))
			continue;
		if (reply.n_items == page.limit) {
			reply.next_cursor = iam_cursor(ctx, &page,
			    reply.items[page.limit - 1]->id + 4);
			break;
		}
		reply.items[reply.n_items] = iam_principal_view(ctx, node);
		if (reply.items[reply.n_items++] == NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, AG_MSG_PRINCIPAL_LIST, &reply);
}

/* ---------------------------------------------------------------- changes */

static ag_err
illegal(struct ag_ctx *ctx, const char *what)
{
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL, "%s",
	    what);
}

static bool
is_null(const Ag__PrincipalUpdateAsk *ask, const char *pointer)
{
	for (size_t i = 0; i < ask->n_nulls; i++)
		if (strcmp(ask->nulls[i], pointer) == 0)
			return true;
	return false;
}

/* Both members or none: one of them alone names nobody. */
static ag_err
merge_external(struct ag_ctx *ctx, const Ag__PrincipalUpdateAsk *ask,
    Ag__Principal *p)
{
	Ag__External *external;

	if (ask->external == NULL) {
		if (is_null(ask, "/external"))
			p->external = NULL;
		return AG_OK;
	}
	if (is_null(ask, "/external/issuer") || is_null(ask, "/external/subject"))
		return ag_refuse(ctx, AG_INVALID_FIELD, "missing", "/external",
		    "issuer and subject go together; external: null removes "
		    "both.");
	if (ask->external->issuer == NULL && ask->external->subject == NULL)
		return AG_OK;
	if ((external = ag_alloc(ctx, sizeof(*external))) == NULL)
		return AG_NO_MEMORY;
	ag__external__init(external);
	if (p->external != NULL)
		*external = *p->external;
	if (ask->external->issuer != NULL)
		external->issuer = ask->external->issuer;
	if (ask->external->subject != NULL)
		external->subject = ask->external->subject;
	if (external->issuer == NULL || external->subject == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "missing",
		    external->issuer == NULL ? "/external/issuer" :
		    "/external/subject", "issuer and subject go together.");
	p->external = external;
	return check_external(ctx, external);
}

ag_err
iam_on_principal_update(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__PrincipalUpdateAsk *ask = msg;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	Ag__Principal *p;
	ag_err err;

	if ((err = iam_labels(ctx, ask->labels, ask->n_labels, true)) != AG_OK ||
	    (err = iam_subject(&principal_noun, state, ctx, &caller, true, &node)) != AG_OK)
		return err;
	if (node->state == IAM_GONE)
		return illegal(ctx, "The principal is deleted.");
	p = iam_principal_view(ctx, node);
	if (p == NULL)
		return AG_NO_MEMORY;
	if (ask->n_labels == 0 && ask->external == NULL && ask->n_nulls == 0)
		return ag_reply(ctx, AG_MSG_PRINCIPAL_UPDATE, p);
	if (is_null(ask, "/labels"))
		p->n_labels = 0;
	if ((err = iam_merge_labels(ctx, &p->labels, &p->n_labels, ask->labels,
	    ask->n_labels)) != AG_OK)
		return err;
	if (p->n_labels > IAM_LABELS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/labels",
		    "At most %d labels.", IAM_LABELS_MAX);
	if ((err = merge_external(ctx, ask, p)) != AG_OK ||
	    (err = iam_external_claim(state, ctx, node, p->external)) != AG_OK)
		return err;
	return persist_whole(ctx, node, p);
}

static ag_err
persist_state(struct ag_ctx *ctx, const struct iam_caller *caller,
    const struct iam_node *node, const char *word, const char *reason,
    unsigned revoked)
{
	Ag__PrincipalStateFact fact = AG__PRINCIPAL_STATE_FACT__INIT;
	Ag__Principal *p = iam_principal_view(ctx, node);
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	if (p == NULL)
		return AG_NO_MEMORY;
	fact.id = (char *)node->id;
	fact.state = p->state = (char *)word;
	fact.reason = (char *)reason;
	fact.at = p->updated_at = caller->now;
	fact.by = (char *)caller->id;
	p->revision = node->version + 1;
	p->has_revoked = strcmp(word, "deleted") == 0;
	p->revoked = revoked;
	snprintf(stream, sizeof(stream), "principal:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_PRINCIPAL_STATE_FACT, &fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), p, NULL, NULL, NULL, 0);
}

static ag_err
change(struct iam *iam, struct ag_ctx *ctx, const Ag__ReasonAsk *ask,
    enum iam_state to, const char *word)
{
	struct iam_caller caller;
	struct iam_node *node = NULL;
	unsigned revoked = 0;
	char count[16];
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = iam_subject(&principal_noun, iam, ctx, &caller, true, &node)) != AG_OK)
		return err;
	if (node->state == IAM_GONE && to != IAM_GONE)
		return illegal(ctx, "The principal is deleted.");
	if (node->state == to)
		return answer(ctx, node);
	if (to != IAM_LIVE &&
	    (err = iam_enter_admins(ctx, caller.tenant)) != AG_OK)
		return err;
	if (to != IAM_LIVE && iam_last_admin(iam, node, NULL, caller.now))
		return iam_refuse_last_admin(ctx);
	if (to == IAM_GONE) {
		revoked = iam_live_below(node, caller.now);
		snprintf(count, sizeof(count), "%u", revoked);
		ag_note_param(ctx, "revoked", count);
	}
	return persist_state(ctx, &caller, node, word, ask->reason, revoked);
}

ag_err
iam_on_principal_suspend(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, IAM_SUSPENDED, "suspended");
}

ag_err
iam_on_principal_resume(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, IAM_LIVE, "active");
}

ag_err
iam_on_principal_delete(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, IAM_GONE, "deleted");
}

/* ------------------------------------------------------------------- roles */

static ag_err
role_subject(struct iam *iam, struct ag_ctx *ctx, const Ag__RoleGrantAsk *ask,
    struct iam_caller *caller, struct iam_node **node,
    const struct iam_role **role)
{
	ag_err err = iam_subject(&principal_noun, iam, ctx, caller, true, node);

	if (err != AG_OK)
		return err;
	*role = ask->role == NULL ? NULL :
	    iam_role_find(iam, caller->tenant, ask->role);
	if (*role == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such role.");
	ag_note_param(ctx, "role", ask->role);
	if ((*node)->state == IAM_GONE)
		return illegal(ctx, "The principal is deleted.");
	if (!iam_may_give(iam, caller, &(*role)->scopes))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "role_missing", NULL,
		    "Only a role whose scopes you hold can be given or taken.");
	return iam_enter_admins(ctx, caller->tenant);
}

/* The principal with every role but this one, and room for one more. */
static Ag__Principal *
without_role(struct ag_ctx *ctx, const struct iam_node *node, const char *role)
{
	Ag__Principal *p = iam_principal_view(ctx, node);
	Ag__RoleGrant **roles;
	size_t n = 0;

	if (p == NULL || (roles = iam_array(ctx, p->n_roles + 1)) == NULL)
		return NULL;
	for (size_t i = 0; i < p->n_roles; i++)
		if (strcmp(p->roles[i]->name, role) != 0)
			roles[n++] = p->roles[i];
	p->roles = roles;
	p->n_roles = n;
	return p;
}

ag_err
iam_on_role_grant(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RoleGrantAsk *ask = msg;
	Ag__RoleGrant *grant = ag_alloc(ctx, sizeof(*grant));
	struct iam_caller caller;
	const struct iam_role *role;
	struct iam_node *node = NULL;
	Ag__Principal *p;
	ag_err err;

	if (grant == NULL)
		return AG_NO_MEMORY;
	if ((err = role_subject(state, ctx, ask, &caller, &node, &role)) != AG_OK)
		return err;
	if (ask->has_valid_until && (ask->valid_until <= caller.now ||
	    (ask->has_valid_from && ask->valid_until <= ask->valid_from)))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/valid_until", "It would never be valid.");
	if (role->gone)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such role.");
	/* With an end, or a begin that is still to come. */
	if ((ask->has_valid_until || (ask->has_valid_from &&
	    ask->valid_from > caller.now)) &&
	    iam_last_admin(state, node, role, caller.now))
		return iam_refuse_last_admin(ctx);
	p = without_role(ctx, node, role->name);
	if (p == NULL)
		return AG_NO_MEMORY;
	if (p->n_roles >= IAM_ROLES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", NULL,
		    "At most %d roles.", IAM_ROLES_MAX);
	ag__role_grant__init(grant);
	grant->name = (char *)role->name;
	grant->has_valid_from = ask->has_valid_from;
	grant->valid_from = ask->valid_from;
	grant->has_valid_until = ask->has_valid_until;
	grant->valid_until = ask->valid_until;
	grant->granted_by = (char *)caller.id;
	p->roles[p->n_roles++] = grant;
	return persist_whole(ctx, node, p);
}

ag_err
iam_on_role_ungrant(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RoleGrantAsk *ask = msg;
	struct iam_caller caller;
	const struct iam_role *role;
	struct iam_node *node = NULL;
	Ag__Principal *p;
	ag_err err;

	if ((err = role_subject(state, ctx, ask, &caller, &node, &role)) != AG_OK)
		return err;
	if (!has_role(node, role->name))
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "The principal does not have this role.");
	if (iam_last_admin(state, node, role, caller.now))
		return iam_refuse_last_admin(ctx);
	p = without_role(ctx, node, role->name);
	return p == NULL ? AG_NO_MEMORY : persist_whole(ctx, node, p);
}
