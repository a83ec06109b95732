/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executors' handlers, for the rows of iam.c, and what they share beyond their
 * files.
 */
#ifndef AEGIS_ACTORS_IAM_HANDLERS_H
#define AEGIS_ACTORS_IAM_HANDLERS_H

#include "credentials.h"
#include "iam.h"

ag_handler iam_on_whoami, iam_on_principal_create, iam_on_principal_list,
    iam_on_principal_read, iam_on_principal_update, iam_on_principal_suspend,
    iam_on_principal_resume, iam_on_principal_delete, iam_on_token_issue,
    iam_on_token_list, iam_on_token_revoke, iam_on_role_grant,
    iam_on_role_ungrant, iam_on_role_list, iam_on_role_read,
    iam_on_role_set, iam_on_role_delete,
    iam_on_policy_list, iam_on_policy_read, iam_on_policy_set,
    iam_on_policy_delete, iam_on_policy_versions, iam_on_policy_rollback,
    iam_on_policy_schema, iam_on_policy_validate, iam_on_policy_lint,
    iam_on_policy_import, iam_on_policy_offer, iam_on_rules, iam_on_authz_check,
    iam_on_authz_bulk, iam_on_authz_explain, iam_on_effective,
    iam_on_tenant_create, iam_on_tenant_list, iam_on_tenant_suspend,
    iam_on_tenant_resume, iam_on_tenant_delete, iam_on_agent_issue,
    iam_on_agent_list, iam_on_agent_read, iam_on_agent_chain,
    iam_on_agent_suspend, iam_on_agent_resume, iam_on_agent_revoke,
    iam_on_agent_revoke_many, iam_on_act, iam_on_jwks;
/* Revokes as its owner would with the agent's own route. */
ag_err iam_agent_end(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *reason, const char *by, uint16_t reply_type, const void *reply)
    AG_MUST;

/* ---- introspect.c */
ag_handler iam_on_token_introspect;

/* ---- tenants.c: a tenant and its first admin. draft->packed is the admin's
 * Principal; draft->claims.tenant the tenant's name. */
ag_err iam_found(struct iam *iam, struct ag_ctx *ctx, const char *tenant,
    const char *admin, const char *by, iam_signed *then,
    iam_unsigned *failed) AG_MUST;
ag_err iam_found_persist(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_draft *draft, const void *reply, const void *replay,
    ag_then *then) AG_MUST;

/* Says so to the shards: now, and as long as it is being erased. */
void iam_tenant_ended(struct ag_ctx *ctx, const char *tenant);
/* Goes on with the tenants whose keys are being erased. */
void iam_shred(struct iam *iam, struct ag_ctx *ctx);

#endif
