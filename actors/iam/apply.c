/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's facts as they commit, and the audit log's events as they are
 * recorded: each changes memory and its row of the snapshot. A fact that was
 * seen before (the snapshot is newer) changes nothing.
 */
#include "iam.h"

#include "keys/fold.h"
#include "access.h"
#include "credentials.h"
#include "ended.h"
#include "factors.h"
#include "handlers.h"
#include "rulebook.h"
#include "ruling.h"

#include <stdio.h>
#include <string.h>

/* Reading a long journal: no more than lives, and a bit, at a time. */
enum { REPLAYED_MAX = 1024 };

typedef ag_err take_fact(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r);

/* The row of what was taken. Without it the fact was not applied: it comes
 * again, and must not look as if it had been seen. */
static ag_err
store_node(struct ag_ctx *ctx, enum iam_table_name table, const char *key,
    const void *msg, struct iam_node *node, uint64_t before)
{
	ag_err err = iam_store_msg(ctx, table, key, msg);

	if (err != AG_OK)
		node->version = before;
	return err;
}

static ag_err
on_tenant(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	Ag__TenantFact fact = *(const Ag__TenantFact *)r->fact;
	struct iam_tenant *tenant = iam_tenant_find(iam, fact.name);
	uint64_t before = tenant == NULL ? 0 : tenant->version;
	ag_err err;

	if (tenant != NULL && tenant->version >= r->version)
		return AG_OK;
	fact.has_revision = fact.has_created_at = true;
	fact.revision = r->version;
	fact.created_at = tenant == NULL ? fact.at : tenant->created_at;
	if ((err = iam_take_tenant(iam, &fact)) != AG_OK)
		return err;
	/* Again at the end: nothing that was being loaded meanwhile stays. */
	if (iam->ready && (strcmp(fact.state, "deleting") == 0 ||
	    strcmp(fact.state, "deleted") == 0))
		iam_tenant_ended(ctx, fact.name);
	if ((err = iam_store_msg(ctx, IAM_T_TENANTS, fact.name, &fact)) != AG_OK)
		iam_tenant_find(iam, fact.name)->version = before;
	return err;
}

static ag_err
on_principal(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__PrincipalFact *fact = r->fact;
	Ag__Principal p = *fact->principal;
	struct iam_node *node = iam_node_find(iam, p.id);
	uint64_t before = node == NULL ? 0 : node->version;
	ag_err err;

	if (node != NULL && node->version >= r->version)
		return AG_OK;
	p.revision = r->version;
	if ((err = iam_take_principal(iam, &p, &node)) != AG_OK)
		return err;
	return store_node(ctx, IAM_T_PRINCIPALS, p.id, &p, node, before);
}

static ag_err
on_principal_state(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__PrincipalStateFact *fact = r->fact;
	struct iam_node *node = iam_node_find(iam, fact->id);
	uint64_t before = node == NULL ? 0 : node->version;
	Ag__Principal *p;
	ag_err err;

	if (node == NULL || node->parent != NULL)
		return AG_CORRUPT;
	if (node->version >= r->version)
		return AG_OK;
	p = ag_unpack(ctx, &ag__principal__descriptor, node->packed,
	    node->packed_len);
	if (p == NULL)
		return AG_NO_MEMORY;
	p->state = fact->state;
	p->revision = r->version;
	p->updated_at = fact->at;
	if ((err = iam_take_principal(iam, p, &node)) != AG_OK)
		return err;
	return store_node(ctx, IAM_T_PRINCIPALS, p->id, p, node, before);
}

static ag_err
on_token(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	const Ag__TokenIssuedFact *fact = r->fact;
	ag_err err;

	if (!iam->ready && ++iam->replayed_tokens % REPLAYED_MAX == 0)
		iam_sweep_tokens(iam, ctx);
	if ((err = iam_take_token(iam, fact)) != AG_OK || (err = iam_store_msg(
	    ctx, IAM_T_TOKENS, fact->jti, fact)) != AG_OK)
		return err;
	/* What it was to end with ended first. */
	if (fact->break_glass == NULL || iam_glass_open(iam, fact->break_glass,
	    fact->issued_at))
		return AG_OK;
	return iam_token_end(ctx, iam_token_find(iam, fact->jti),
	    "the break-glass was over", fact->issued_at);
}

ag_err
iam_token_end(struct ag_ctx *ctx, struct iam_token *token, const char *reason,
    int64_t at)
{
	Ag__TokenRevokedFact end = AG__TOKEN_REVOKED_FACT__INIT;

	end.jti = token->jti;
	end.reason = (char *)(uintptr_t)reason;
	end.at = at;
	token->revoked_at = at;
	return iam_store_msg(ctx, IAM_T_TOKEN_ENDS, token->jti, &end);
}

static ag_err
on_token_end(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__TokenRevokedFact *fact = r->fact;
	struct iam_token *token = iam_token_find(iam, fact->jti);

	if (token == NULL)
		return AG_OK; /* dropped: it expired long ago */
	token->revoked_at = fact->at;
	return iam_store_msg(ctx, IAM_T_TOKEN_ENDS, fact->jti, fact);
}

static ag_err
on_agent(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	const Ag__AgentIssuedFact *fact = r->fact;
	Ag__Agent agent = *fact->agent;
	struct iam_node *node = iam_node_find(iam, agent.id);
	uint64_t before = node == NULL ? 0 : node->version;
	ag_err err;

	if ((node != NULL ? node->version : iam_ended_version(ctx, agent.id)) >=
	    r->version)
		return AG_OK;
	if (!iam->ready && ++iam->replayed % REPLAYED_MAX == 0)
		iam_ended_sweep(iam, ctx, 0, SIZE_MAX, REPLAYED_MAX);
	agent.revision = r->version;
	if ((err = iam_take_agent(iam, &agent, &node)) != AG_OK)
		return err;
	ag_metric_set(ctx, IAM_M_AGENTS, iam->agents.count);
	agent.n_chain = 0;
	return store_node(ctx, IAM_T_AGENTS, agent.id, &agent, node, before);
}

static ag_err
on_agent_state(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__AgentStateFact *fact = r->fact;
	struct iam_node *node = iam_node_find(iam, fact->agent_id);
	Ag__Agent *agent;
	uint64_t before;
	ag_err err;

	if ((node != NULL ? node->version : iam_ended_version(ctx,
	    fact->agent_id)) >= r->version)
		return AG_OK;
	node = iam_agent_recall(iam, ctx, NULL, fact->agent_id);
	if (node == NULL)
		return AG_CORRUPT;
	if ((err = iam_ended_undo(iam, ctx, node)) != AG_OK)
		return err;
	agent = ag_unpack(ctx, &ag__agent__descriptor, node->packed,
	    node->packed_len);
	if (agent == NULL)
		return AG_NO_MEMORY;
	agent->state = fact->state;
	agent->revision = r->version;
	agent->cause_event_id = fact->cause_event_id;
	if (strcmp(fact->state, "revoked") == 0) {
		agent->has_revoked_at = true;
		agent->revoked_at = fact->at;
		agent->revoked_by = fact->by;
		agent->revoke_reason = fact->reason;
	}
	before = node->version;
	if ((err = iam_take_agent(iam, agent, &node)) != AG_OK)
		return err;
	node->state_at = fact->at;
	node->by_responder = fact->has_by_responder && fact->by_responder;
	return store_node(ctx, IAM_T_AGENTS, agent->id, agent, node, before);
}

static ag_err
on_key(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	Ag__KeyCreatedFact fact = *(const Ag__KeyCreatedFact *)r->fact;
	const struct iam_key *key;
	ag_err err = iam_take_key(iam, &fact);

	if (err != AG_OK)
		return err;
	ag_metric_set(ctx, IAM_M_KEYS, iam->keys.count);
	key = iam_key_find(iam, iam_tenant_find(iam, fact.tenant), fact.key_id);
	fact.has_public_key_der = false;
	fact.has_state = fact.has_version = true;
	fact.state = (Ag__KeyState__V)key->state;
	fact.version = key->version;
	return iam_store_msg(ctx, IAM_T_KEYS, fact.key_id, &fact);
}

ag_err
iam_merge_labels(struct ag_ctx *ctx, Ag__Pair ***labels, size_t *count,
    Ag__Pair *const *patch, size_t patch_count)
{
	Ag__Pair **out = ag_alloc(ctx,
	    (*count + patch_count + 1) * sizeof(Ag__Pair *));
	size_t n = 0;

	if (out == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < *count; i++) {
		size_t j = 0;

		while (j < patch_count &&
		    strcmp((*labels)[i]->key, patch[j]->key) != 0)
			j++;
		if (j == patch_count)
			out[n++] = (*labels)[i];
	}
	for (size_t j = 0; j < patch_count; j++)
		if (patch[j]->value != NULL)
			out[n++] = patch[j];
	*labels = out;
	*count = n;
	return AG_OK;
}

/* The row of a key, to be changed and kept again. */
static ag_err
key_row(struct ag_ctx *ctx, const char *id, Ag__KeyCreatedFact **out)
{
	const uint8_t *bytes;
	size_t len;
	ag_err err = ag_store_get(ctx, IAM_T_KEYS, id, strlen(id), &bytes, &len);

	if (err != AG_OK)
		return err == AG_ITEM_NOT_FOUND ? AG_CORRUPT : err;
	*out = ag_unpack(ctx, &ag__key_created_fact__descriptor, bytes, len);
	return *out == NULL ? AG_CORRUPT : AG_OK;
}

static ag_err
keep_key(struct iam *iam, struct ag_ctx *ctx, const Ag__KeyCreatedFact *key)
{
	ag_err err = iam_take_key(iam, key);

	return err != AG_OK ? err :
	    iam_store_msg(ctx, IAM_T_KEYS, key->key_id, key);
}

static ag_err
on_key_updated(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__KeyUpdatedFact *fact = r->fact;
	Ag__KeyCreatedFact *key;
	ag_err err = key_row(ctx, fact->key_id, &key);

	if (err == AG_OK)
		err = iam_merge_labels(ctx, &key->labels, &key->n_labels,
		    fact->labels, fact->n_labels);
	return err != AG_OK ? err : keep_key(iam, ctx, key);
}

/* A rotation: its newest version is another, and active. */
static ag_err
on_key_version(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__KeyVersionFact *fact = r->fact;
	Ag__KeyCreatedFact *key;
	ag_err err = key_row(ctx, fact->key_id, &key);

	if (err != AG_OK)
		return err;
	if (fact->version <= key->version)
		return AG_OK; /* seen */
	key->version = fact->version;
	key->state = AG__KEY_STATE__V__Active;
	return keep_key(iam, ctx, key);
}

static ag_err
on_key_state(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__KeyStateFact *fact = r->fact;
	Ag__KeyCreatedFact *key;
	ag_err err = key_row(ctx, fact->key_id, &key);

	if (err != AG_OK || (fact->has_version && fact->version != key->version))
		return err;
	key->state = fold_next_state(key->state, fact->state);
	return keep_key(iam, ctx, key);
}

static ag_err
on_role(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	Ag__RoleFact fact = *(const Ag__RoleFact *)r->fact;
	char key[2 * AG_NAME_MAX + 2];
	ag_err err;

	if (fact.role->revision != r->version)
		return AG_CORRUPT;
	if ((err = iam_take_role(iam, &fact)) != AG_OK)
		return err;
	snprintf(key, sizeof(key), "%s/%s", fact.tenant, fact.role->name);
	return iam_store_msg(ctx, IAM_T_ROLES, key, &fact);
}

static ag_err
on_uses(struct iam *iam, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	Ag__AgentUsesFact fact = *(const Ag__AgentUsesFact *)r->fact;

	if (iam_node_find(iam, fact.agent_id) == NULL)
		return AG_OK; /* it left memory */
	fact.has_revision = true;
	fact.revision = r->version;
	/* Another node's author has its node's name before its own. */
	iam_uses_take(iam, &fact, strchr(r->author, '/') != NULL);
	return iam_store_msg(ctx, IAM_T_USES, fact.agent_id, &fact);
}

static const struct {
	uint16_t type;
	take_fact *take;
} facts[] = {
	{ AG_MSG_KEY_CREATED_FACT, on_key },
	{ AG_MSG_KEY_UPDATED_FACT, on_key_updated },
	{ AG_MSG_KEY_VERSION_FACT, on_key_version },
	{ AG_MSG_KEY_STATE_FACT, on_key_state },
	{ AG_MSG_PRINCIPAL_FACT, on_principal },
	{ AG_MSG_PRINCIPAL_STATE_FACT, on_principal_state },
	{ AG_MSG_TOKEN_ISSUED_FACT, on_token },
	{ AG_MSG_TOKEN_REVOKED_FACT, on_token_end },
	{ AG_MSG_AGENT_ISSUED_FACT, on_agent },
	{ AG_MSG_AGENT_STATE_FACT, on_agent_state },
	{ AG_MSG_TENANT_FACT, on_tenant },
	{ AG_MSG_ROLE_FACT, on_role },
	{ AG_MSG_AGENT_USES_FACT, on_uses },
	{ AG_MSG_TOTP_FACT, iam_totp_apply },
	{ AG_MSG_WEBAUTHN_FACT, iam_webauthn_apply },
	{ AG_MSG_CLIENT_SECRET_FACT, iam_client_apply },
	{ AG_MSG_POLICY_FACT, iam_policy_apply },
	{ AG_MSG_BREAK_GLASS_FACT, iam_glass_apply },
	{ AG_MSG_ACCESS_FACT, iam_access_apply },
	{ AG_MSG_APPROVAL_FACT, iam_agreed_apply },
};

ag_err
iam_apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	struct iam *iam = state;
	ag_err err = iam_load(iam, ctx);

	iam->committed_at = record->committed_at;
	for (size_t i = 0; err == AG_OK && i < sizeof(facts) / sizeof(facts[0]);
	    i++)
		if (facts[i].type == record->type)
			err = facts[i].take(iam, ctx, record);
	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "IAM-FACT", "seq=%llu type=%u err=%s",
		    (unsigned long long)record->seq, record->type,
		    ag_err_row(err)->name);
	return err;
}

/* An agent's counts are exactly what the audit log says: its requests, late
 * ones when their end is known. */
ag_err
iam_on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos)
{
	struct iam *iam = state;
	struct iam_node *node;
	bool allowed = event->outcome == AG__OUTCOME_KIND__V__allowed;
	uint32_t n = event->has_items && event->items > 0 ? event->items : 1;
	ag_err err;

	if ((err = iam_load(iam, ctx)) != AG_OK)
		return err;
	if (event->event_type != AG__EVENT_TYPE__V__request &&
	    event->event_type != AG__EVENT_TYPE__V__outcome_late)
		return AG_OK;
	if (event->actor == NULL || event->actor->id == NULL)
		return AG_OK;
	if ((err = iam_usage_event(&iam->usage, ctx, event)) != AG_OK ||
	    event->outcome == AG__OUTCOME_KIND__V__unknown)
		return err;
	node = iam_node_find(iam, event->actor->id);
	if (node == NULL)
		return iam_ended_counted(ctx, event->actor->id, allowed, n,
		    event->occurred_at);
	if (node->parent == NULL)
		return AG_OK;
	if (allowed)
		node->allowed += n;
	else
		node->refused += n;
	if (event->occurred_at > node->last_activity_at)
		node->last_activity_at = event->occurred_at;
	if (node->recalled)
		return iam_ended_counted(ctx, node->id, allowed, n,
		    event->occurred_at);
	iam_mark_dirty(iam, node);
	return AG_OK;
}
