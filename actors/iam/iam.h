/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of iam know of each other: its state, and how it begins and ends.
 * The state is one struct; every table of it states its maximum. What a concern
 * has of its own is in the header of that name.
 */
#ifndef AEGIS_ACTORS_IAM_IAM_H
#define AEGIS_ACTORS_IAM_IAM_H

#include <aegis/aegis.h>
#include <aegis/page.h>

#include "bounds.h"
#include "cache.h"
#include "directory.h"
#include "jwt.h"
#include "recent.h"
#include "roles.h"
#include "signers.h"
#include "table.h"
#include "usage.h"
#include "windows.h"
#include "zones.h"

struct iam {
	struct iam_table tenants, nodes, names, tokens, keys, aliases;
	struct iam_list principals, agents;
	struct iam_tenant *tenant_list[IAM_TENANTS_MAX];
	size_t tenant_count;
	struct iam_role *builtins; /* roles, parsed */
	size_t builtin_count;
	struct iam_table roles; /* of the tenants */
	char backends[IAM_BACKENDS_MAX][AG_NAME_MAX + 1];
	size_t backend_count;
	struct iam_keyring ring;
	struct iam_cache cache;
	struct iam_limit principal_limit, key_limit;
	struct iam_shares *shares; /* NULL: this node shares with nobody */
	struct iam_rates *rates; /* NULL: no rules */
	char *rates_told;        /* new ones, as they arrive */
	int64_t clock_jump_s; /* as it was said */
	char policy_text[64], key_policy_text[64]; /* RateLimit-Policy */
	char audience[64];
	unsigned hold_ms, depth_max, ttl_max_s;
	unsigned quota[IAM_COUNTS];  /* of one tenant */
	unsigned common[IAM_COUNTS]; /* used beyond the tenants' own shares */
	unsigned holds, drafts, hashing;
	bool store_changed; /* to be committed before the turn's messages go */
	struct iam_issuer *issuers; /* of the configuration */
	unsigned issuer_count, issuer_ticks;
	struct iam_newcomer *newcomers; /* IAM_NEWCOMERS_MAX; NULL: no issuers */
	struct iam_table externals; /* issuer, subject → principal */
	char refused_new[IAM_EXTERNAL_KEY]; /* who was last introduced in vain */
	uint64_t refused_new_ms;
	struct iam_guard *guard; /* NULL: no such limit */
	struct ag_cedar_schema *schema; /* of policies */
	struct iam_signers signers;
	struct iam_agreed *agreed; /* IAM_AGREED_MAX */
	bool has_agreed;           /* there is one */
	bool evaluates; /* opa.url is set */
	unsigned evaluate_ms;
	struct iam_region *regions; /* residency.regions */
	unsigned region_count;
	uint8_t *rules_scratch;         /* AG_RULES_SCRATCH bytes */
	struct zones zones;
	struct iam_node *recent_dirty;
	struct iam_under_way *under_way;
	bool ends_apart; /* break_glass.destructive */
	bool hook;       /* somebody is asked before something ends */
	unsigned hook_ms;
	uint8_t recent_at[AG_ID_SIZE + 24]; /* the next row to look at */
	size_t recent_at_len;
	size_t rules_bytes;             /* of all documents in force */
	struct iam_dual *duals;         /* needs.c: dual control */
	size_t dual_count;
	struct iam_access_rule *access_rules;
	size_t access_rule_count;
	bool second_factor;             /* who approves needs one */
	struct iam_callback *callback;  /* callback.c; NULL: no click counts */
	bool agents_end;                /* agents end things without being asked */
	struct iam_fido_party party; /* for whom FIDO2 keys are made */
	const char *party_origins[IAM_ORIGINS_MAX];
	char party_own[AG_NAME_MAX * 4 + 16]; /* the one if none is configured */
	struct ag_secret *totp_key; /* wraps the secrets of second factors */
	bool asking_totp_key;
	struct ag_secret *prompt_key; /* NULL: nobody has brought a prompt yet */
	bool asking_prompt_key;
	struct iam_challenge challenges[IAM_CHALLENGES_MAX];
	struct iam_glass glass[IAM_GLASS_MAX];
	int64_t ended_kept_ms;
	size_t sweep_at, leave_at;
	unsigned expiring;
	unsigned replayed, replayed_tokens; /* facts before we were ready */
	uint64_t sweep_ticks;
	struct iam_node *dirty;
	struct iam_usage usage;
	bool loaded, caught_up, ready, asking_keys, keys_wanted, boots,
	    recovering;
	unsigned key_ticks;
	int64_t committed_at; /* of the last record applied */
};

ag_err iam_apply(void *state, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos) AG_MUST;

/* ---- load.c: the snapshot */
ag_err iam_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_flush(void *state, struct ag_ctx *ctx) AG_MUST;
void iam_mark_dirty(struct iam *iam, struct iam_node *node);
ag_err iam_store_msg(struct ag_ctx *ctx, enum iam_table_name table,
    const char *key, const void *msg) AG_MUST;

/* ---- station.c: the decision on a request of a plane */
ag_handler iam_station;

/* ---- guard.c: how often a credential may be wrong */
ag_err iam_guard_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_guard_fini(struct iam *iam);

/* ---- recover.c: a lost admin credential */
#define IAM_RECOVERED_FILE "admin.token.new" /* of the state directory */
void iam_told(void *state, struct ag_ctx *ctx, const char *word);

/* ---- bootstrap.c */
/* The issuer keys came: begins or goes on being ready. */
void iam_boot_continue(struct iam *iam, struct ag_ctx *ctx);
void iam_fetch_keys(struct iam *iam, struct ag_ctx *ctx);
ag_on_timer iam_refresh_keys;

/* ---- uses.c */
void iam_uses_take(struct iam *iam, const Ag__AgentUsesFact *fact,
    bool elsewhere);

/* ---- sweep.c */
ag_on_timer iam_sweep, iam_clock_look;
void iam_sweep_tokens(struct iam *iam, struct ag_ctx *ctx);

#endif
