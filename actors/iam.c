/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iam: who is asking, for whom, and whether they may.
 * Hears operations (plane), its own operations judged and challenge_ask (risk),
 * ruling_order and act_ask (responder), jwks_ask and request_ended_event (plane), standing_ask (history), policy_offer_ask (watcher). Says
 * operations with a grant (risk), evaluate_ask (evaluator),
 * facts (journal), outcomes (audit).
 * Keeps the directory of tenants, principals, agents, tokens and keys in
 * memory, as the journal tells it, with a snapshot; holds and the steps of used
 * codes, which are in the snapshot only; and challenges, in memory only.
 */
#include "iam/access.h"
#include "iam/factors.h"
#include "iam/handlers.h"
#include "iam/hold.h"
#include "iam/iam.h"
#include "iam/issuers.h"
#include "iam/rates.h"
#include "iam/reach.h"
#include "iam/ruling.h"
#include "iam/shares.h"
#include "iam/under_way.h"

#include <aegis/event.h>

#include <stdio.h>
#include <stdlib.h>

enum { SWEEP_MS = 250, KEYS_TICK_MS = 200, CLOCK_LOOK_MS = 1000 };

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;
	ag_err err;

	snprintf(iam->audience, sizeof(iam->audience), "%s",
	    ag_config_str(ctx, "auth.audience", 0));
	if (ag_dev_identity(ctx))
		ag_log(ctx, AG_WARN, "DEV-IDENTITY",
		    "whoever says who they are is believed");
	iam->hold_ms = (unsigned)ag_config_int(ctx, "agents.hold_ms");
	iam->depth_max = (unsigned)ag_config_int(ctx, "agents.depth_max");
	iam->ttl_max_s = (unsigned)ag_config_int(ctx, "agents.ttl_max_s");
	iam->ended_kept_ms = ag_config_int(ctx, "limits.ended_kept_s") * 1000;
	iam_evaluate_init(iam, ctx);
	iam_usage_init(&iam->usage, ctx);
	iam_quota_init(iam, ctx);
	if ((err = iam_directory_init(iam)) != AG_OK ||
	    (err = iam_cache_init(&iam->cache)) != AG_OK ||
	    (err = iam_issuers_init(iam, ctx)) != AG_OK ||
	    (err = iam_shares_init(iam, ctx)) != AG_OK ||
	    (err = iam_guard_init(iam, ctx)) != AG_OK ||
	    (err = iam_rates_init(iam, ctx)) != AG_OK ||
	    (err = iam_duals_init(iam, ctx)) != AG_OK ||
	    (err = iam_access_init(iam, ctx)) != AG_OK ||
	    (err = iam_callback_init(iam, ctx)) != AG_OK ||
	    (err = iam_webauthn_init(iam, ctx)) != AG_OK ||
	    (err = iam_signers_init(iam, ctx)) != AG_OK ||
	    (err = iam_regions_init(iam, ctx)) != AG_OK ||
	    (err = iam_agreed_init(iam)) != AG_OK ||
	    (err = iam_under_way_new(&iam->under_way)) != AG_OK ||
	    (err = iam_load(iam, ctx)) != AG_OK ||
	    (err = ag_every(ctx, SWEEP_MS, iam_sweep)) != AG_OK ||
	    (err = ag_every(ctx, CLOCK_LOOK_MS, iam_clock_look)) != AG_OK)
		return err;
	return ag_every(ctx, KEYS_TICK_MS, iam_refresh_keys);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;

	iam->caught_up = true;
	iam_totp_fetch_key(iam, ctx);
	iam_fetch_keys(iam, ctx);
	return AG_OK;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;

	ag_secret_free(&iam->totp_key);
	ag_secret_free(&iam->prompt_key);
	iam_issuers_fini(iam);
	iam_guard_fini(iam);
	iam_shares_fini(iam);
	iam_rates_fini(iam);
	iam_duals_fini(iam);
	iam_access_fini(iam);
	iam_callback_fini(iam);
	iam_signers_fini(iam);
	iam_regions_fini(iam);
	free(iam->agreed);
	iam_under_way_free(&iam->under_way);
	iam_cache_fini(&iam->cache);
	iam_keyring_fini(&iam->ring);
	iam_directory_fini(iam);
}

static const struct ag_row rows[] = {
	{ AG_MSG_WHOAMI, iam_on_whoami },
	{ AG_MSG_TOOL_CONNECT, iam_on_whoami },
	{ AG_MSG_TOOL_LIST, iam_on_whoami },
	{ AG_MSG_PRINCIPAL_CREATE, iam_on_principal_create },
	{ AG_MSG_PRINCIPAL_LIST, iam_on_principal_list },
	{ AG_MSG_PRINCIPAL_READ, iam_on_principal_read },
	{ AG_MSG_PRINCIPAL_UPDATE, iam_on_principal_update },
	{ AG_MSG_PRINCIPAL_SUSPEND, iam_on_principal_suspend },
	{ AG_MSG_PRINCIPAL_RESUME, iam_on_principal_resume },
	{ AG_MSG_PRINCIPAL_DELETE, iam_on_principal_delete },
	{ AG_MSG_TOKEN_ISSUE, iam_on_token_issue },
	{ AG_MSG_TOKEN_LIST, iam_on_token_list },
	{ AG_MSG_TOKEN_REVOKE, iam_on_token_revoke },
	{ AG_MSG_ROLE_GRANT, iam_on_role_grant },
	{ AG_MSG_ROLE_UNGRANT, iam_on_role_ungrant },
	{ AG_MSG_ROLE_LIST, iam_on_role_list },
	{ AG_MSG_ROLE_READ, iam_on_role_read },
	{ AG_MSG_ROLE_SET, iam_on_role_set },
	{ AG_MSG_ROLE_DELETE, iam_on_role_delete },
	{ AG_MSG_POLICY_LIST, iam_on_policy_list },
	{ AG_MSG_POLICY_READ, iam_on_policy_read },
	{ AG_MSG_POLICY_SET, iam_on_policy_set },
	{ AG_MSG_POLICY_DELETE, iam_on_policy_delete },
	{ AG_MSG_POLICY_VERSIONS, iam_on_policy_versions },
	{ AG_MSG_POLICY_ROLLBACK, iam_on_policy_rollback },
	{ AG_MSG_POLICY_SCHEMA, iam_on_policy_schema },
	{ AG_MSG_POLICY_VALIDATE, iam_on_policy_validate },
	{ AG_MSG_POLICY_LINT, iam_on_policy_lint },
	{ AG_MSG_POLICY_IMPORT, iam_on_policy_import },
	{ AG_MSG_RULES_ASK, iam_on_rules },
	{ AG_MSG_POLICY_OFFER_ASK, iam_on_policy_offer },
	{ AG_MSG_AUTHZ_CHECK, iam_on_authz_check },
	{ AG_MSG_AUTHZ_BULK, iam_on_authz_bulk },
	{ AG_MSG_AUTHZ_EXPLAIN, iam_on_authz_explain },
	{ AG_MSG_EFFECTIVE, iam_on_effective },
	{ AG_MSG_ACCESS_REQUEST, iam_on_access_request },
	{ AG_MSG_ACCESS_LIST, iam_on_access_list },
	{ AG_MSG_TENANT_CREATE, iam_on_tenant_create },
	{ AG_MSG_TENANT_LIST, iam_on_tenant_list },
	{ AG_MSG_TENANT_SUSPEND, iam_on_tenant_suspend },
	{ AG_MSG_TENANT_RESUME, iam_on_tenant_resume },
	{ AG_MSG_TENANT_DELETE, iam_on_tenant_delete },
	{ AG_MSG_CLIENT_SECRET, iam_on_client_secret },
	{ AG_MSG_CLIENT_SECRET_REMOVE, iam_on_client_secret_remove },
	{ AG_MSG_CLIENT_TOKEN, iam_on_client_token },
	{ AG_MSG_TOKEN_INTROSPECT, iam_on_token_introspect },
	{ AG_MSG_TOTP_BEGIN, iam_on_totp_begin },
	{ AG_MSG_TOTP_CONFIRM, iam_on_totp_confirm },
	{ AG_MSG_TOTP_REMOVE, iam_on_totp_remove },
	{ AG_MSG_WEBAUTHN_BEGIN, iam_on_webauthn_begin },
	{ AG_MSG_WEBAUTHN_CONFIRM, iam_on_webauthn_confirm },
	{ AG_MSG_WEBAUTHN_LIST, iam_on_webauthn_list },
	{ AG_MSG_WEBAUTHN_REMOVE, iam_on_webauthn_remove },
	{ AG_MSG_AGENT_ISSUE, iam_on_agent_issue },
	{ AG_MSG_AGENT_LIST, iam_on_agent_list },
	{ AG_MSG_AGENT_READ, iam_on_agent_read },
	{ AG_MSG_AGENT_CHAIN, iam_on_agent_chain },
	{ AG_MSG_AGENT_USAGE, iam_on_agent_usage },
	{ AG_MSG_AGENT_SUSPEND, iam_on_agent_suspend },
	{ AG_MSG_AGENT_RESUME, iam_on_agent_resume },
	{ AG_MSG_AGENT_REVOKE, iam_on_agent_revoke },
	{ AG_MSG_AGENT_REVOKE_MANY, iam_on_agent_revoke_many },
	{ AG_MSG_RULING_ASK, iam_on_ruling },
	{ AG_MSG_ACT_ASK, iam_on_act },
	{ AG_MSG_CHALLENGE_ASK, iam_on_challenge },
	{ AG_MSG_CHALLENGE_READ, iam_on_challenge_read },
	{ AG_MSG_CHALLENGE_ANSWER, iam_on_challenge_answer },
	{ AG_MSG_JWKS_ASK, iam_on_jwks },
	{ AG_MSG_STANDING_ASK, iam_on_standing },
	{ AG_MSG_REQUEST_ENDED_EVENT, iam_on_request_ended },
	{ AG_MSG_SHARED_GOT_EVENT, iam_on_shared_got },
	{ AG_MSG_SHARED_STATE_EVENT, iam_on_shared_state },
};

static const char *const tables[] = {
	[IAM_T_TENANTS] = "tenants",
	[IAM_T_PRINCIPALS] = "principals",
	[IAM_T_TOKENS] = "tokens",
	[IAM_T_TOKEN_ENDS] = "token_ends",
	[IAM_T_AGENTS] = "agents",
	[IAM_T_ACTIVITY] = "activity",
	[IAM_T_KEYS] = "keys",
	[IAM_T_HOLDS] = "holds",
	[IAM_T_ENDED] = "ended",
	[IAM_T_ENDED_OF] = "ended_of",
	[IAM_T_ENDED_TOKENS] = "ended_tokens",
	[IAM_T_ROLES] = "roles",
	[IAM_T_USES] = "uses",
	[IAM_T_TOTP] = "totp",
	[IAM_T_TOTP_STEPS] = "totp_steps",
	[IAM_T_USAGE] = "usage",
	[IAM_T_POLICIES] = "policies",
	[IAM_T_RECENT] = "recent",
	[IAM_T_GLASS] = "glass",
	[IAM_T_ACCESS] = "access",
	[IAM_T_CLIENTS] = "clients",
	[IAM_T_AGREED] = "agreed",
	[IAM_T_WEBAUTHN] = "webauthn",
	NULL,
};

static const struct ag_metric_row metrics[] = {
	[IAM_M_PASSED] = { "iam_passed_total", "Requests passed on",
	    AG_COUNTER },
	[IAM_M_REFUSED] = { "iam_refused_total", "Requests refused by iam",
	    AG_COUNTER },
	[IAM_M_HELD] = { "iam_held_total", "Requests that met a hold",
	    AG_COUNTER },
	[IAM_M_CACHE_HITS] = { "iam_token_cache_hits_total",
	    "Tokens found verified", AG_COUNTER },
	[IAM_M_VERIFIED] = { "iam_token_verifications_total",
	    "Tokens whose signature was checked", AG_COUNTER },
	[IAM_M_LIMITED] = { "iam_limited_total", "Requests over a rate",
	    AG_COUNTER },
	[IAM_M_AGENTS] = { "iam_agents",
	    "Agents that live or ended lately", AG_GAUGE },
	[IAM_M_KEYS] = { "iam_keys", "Keys known", AG_GAUGE },
	[IAM_M_HOLDS] = { "iam_holds", "Agents held", AG_GAUGE },
	[IAM_M_CHALLENGES] = { "iam_challenges_total",
	    "Requests that were asked for a second factor", AG_COUNTER },
	[IAM_M_STEPPED_UP] = { "iam_stepped_up_total",
	    "Requests that came with a good second factor", AG_COUNTER },
	[IAM_M_RULED] = { "iam_policy_decisions_total",
	    "Requests that policies were asked about", AG_COUNTER },
	[IAM_M_RULED_OUT] = { "iam_policy_denied_total",
	    "Requests that policies denied", AG_COUNTER },
	[IAM_M_RULES_FAILED] = { "iam_policy_errors_total",
	    "Policies that were skipped because their evaluation failed",
	    AG_COUNTER },
	[IAM_M_LOCAL] = { "iam_rates_local_total",
	    "Rates counted by this node's part, because Redis was away",
	    AG_COUNTER },
	[IAM_M_EXCHANGES] = { "iam_token_exchanges_total",
	    "Client secrets that were exchanged for a token", AG_COUNTER },
	[IAM_M_REPLAYS] = { "iam_replays_rejected_total",
	    "Codes and challenges that were used before", AG_COUNTER },
	[IAM_M_TENANT_PASSED] = { "iam_tenant_passed_total",
	    "Requests of a tenant passed on", AG_COUNTER },
	[IAM_M_TENANT_REFUSED] = { "iam_tenant_refused_total",
	    "Requests of a tenant refused by iam", AG_COUNTER },
};

const struct ag_actor ag_actor_iam = {
	.name = "iam",
	.state_size = sizeof(struct iam),
	AG_ROWS(rows),
	.init = init,
	.ready = ready,
	.station = iam_station,
	.apply = iam_apply,
	.on_audit = iam_on_audit,
	.audit_skips = ag_event_reasons,
	.audit_pace_ms = 25,
	.flush = iam_flush,
	.told = iam_told,
	.fini = fini,
	.follow = AG_FOLLOW_LIVE,
	.own_readiness = true,
	.tables = tables,
	AG_METRICS(metrics),
};
