/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c: who and what there is. Principals, keys and tenants are never
 * freed while the process lives; agents and tokens are, between two turns, long
 * after they ended: what lasts longer than a turn keeps an id, not a pointer.
 */
#ifndef AEGIS_ACTORS_IAM_DIRECTORY_H
#define AEGIS_ACTORS_IAM_DIRECTORY_H

#include <aegis/aegis.h>

#include "bounds.h"
#include "ceremony.h"
#include "otp.h"
#include "phc.h"
#include "rules.h"
#include "scope.h"
#include "table.h"
#include "windows.h"

/* What quotas are about. */
enum iam_count {
	IAM_C_PRINCIPALS, IAM_C_AGENTS, IAM_C_TOKENS, IAM_C_KEYS, IAM_COUNTS,
};

struct iam_tenant {
	char name[AG_NAME_MAX + 1];
	bool active, deleting, deleted; /* deleting: its keys are being erased */
	bool shredding;                 /* and the root of trust is asked */
	uint64_t version;               /* of its stream */
	int64_t created_at;
	unsigned used[IAM_COUNTS]; /* of the shared tables */
	struct iam_role *roles;    /* its own, deleted ones included */
	unsigned role_count;
	struct iam_rulebook *book; /* NULL: it never had a policy */
	struct ag_rules *offered;  /* a set that may be needed soon, or NULL */
	uint8_t offered_digest[32]; /* of the documents that it is made of */
	unsigned recent_uses, recent_keys; /* rows of recent.c */
	unsigned under_way;                /* places of under_way.c */
};
struct iam_scopes {
	size_t count;
	struct ag_scope *items; /* one allocation with their text */
};
/* Never freed while the process lives: principals point at it. */
struct iam_role {
	char name[AG_NAME_MAX + 1];
	struct iam_tenant *tenant; /* NULL: built-in */
	struct iam_scopes scopes;  /* all that it gives, inherited ones too */
	uint8_t *packed;           /* RoleFact; NULL: built-in */
	size_t packed_len;
	uint64_t revision;
	bool gone;
	struct iam_role *next; /* of the same tenant */
};
struct iam_role_held {
	const struct iam_role *role;
	int64_t from, until; /* until INT64_MAX: for ever */
};
struct iam_cidr {
	uint8_t family; /* 4 or 6 */
	uint8_t bits;
	uint8_t net[16];
};
enum iam_state { IAM_LIVE, IAM_SUSPENDED, IAM_GONE /* revoked, deleted */ };

struct iam_node;
struct iam_caller;
struct iam_draft;
struct iam_jwt;
struct iam_guard;
struct iam_issuer;
struct iam_newcomer;
/* More scope for a while. */
struct iam_access {
	char id[AG_ID_SIZE];
	struct iam_scopes scopes;
	int64_t expires_at;
	struct iam_access *next; /* of the same node */
};
/* One that is open; id "": free. */
struct iam_glass {
	char id[AG_ID_SIZE], person[AG_ID_SIZE], key[AG_ID_SIZE];
	int64_t expires_at;
};
/* What another issuer's token has of its own; its jti is no jti of ours. */
struct iam_foreign {
	const char *issuer;
	char jti[IAM_JTI_MAX + 1];
};
/* Who one is elsewhere. */
struct iam_external {
	char *issuer, *subject;
};
struct iam_token {
	char jti[AG_ID_SIZE];
	struct iam_node *node;
	int64_t issued_at, expires_at, revoked_at, last_used_at; /* 0: never */
	struct iam_scopes scopes; /* empty: all that its principal may */
	char *glass; /* of a broken glass, with which it ends; NULL: of none */
	char issued_by[AG_ID_SIZE]; /* "": its holder, or an agent's parent */
	bool left; /* about to be freed: the cache must forget it */
	struct iam_foreign *foreign; /* another issuer's: the cache owns both */
	struct iam_token *next;   /* of the same principal */
};
struct iam_hold;
/* A person's second factor, once begun. */
struct iam_totp {
	bool confirmed;
	int64_t confirmed_at;
	uint8_t wrapped[IAM_OTP_WRAPPED];
	uint64_t step; /* the newest whose code was taken: none again up to it */
	struct iam_window wrong;
	/* Where nodes share: for which request the code of which step was asked
	 * about, and what came of it. */
	uint8_t claim_of[AG_UUID_BYTES];
	uint64_t claim_step;
	enum { IAM_CLAIM_UNKNOWN, IAM_CLAIM_FIRST, IAM_CLAIM_USED } claim;
};
/* A service's secret; its hash. */
struct iam_client {
	char phc[IAM_PHC_SIZE];
};
struct iam_webauthn; /* webauthn.h: a person's FIDO2 keys */
/* One request that waits for its caller's second factor, or one key that is
 * being enrolled; id "": free. */
struct iam_challenge {
	char id[AG_ID_SIZE];
	const struct iam_node *node;
	char name[AG_NAME_MAX + 1]; /* of the new key; "": a step-up */
	uint8_t nonce[IAM_FIDO_CHALLENGE]; /* what an authenticator signs */
	uint8_t digest[32]; /* of the request */
	int64_t expires_at;
	unsigned tries;
	bool answered; /* by itself: its request need only name it */
	bool spent;
};
/* A principal or an agent. */
struct iam_node {
	char id[AG_ID_SIZE];
	Ag__Kind__V kind;
	char *name;  /* agents: their label */
	char *model; /* agents, or NULL */
	struct iam_tenant *tenant;
	struct iam_node *parent, *root, *first_child;
	struct iam_node *next_sibling, *prev_sibling;
	unsigned depth, max_depth;
	enum iam_state state; /* its own; see iam_standing */
	bool by_responder;
	int64_t state_at;
	uint64_t version; /* of its stream: the public revision */
	struct iam_token token; /* agents: their one credential */
	struct iam_token *tokens; /* principals: theirs */
	struct iam_scopes scopes; /* agents */
	struct iam_access *access; /* some may be over */
	struct iam_role_held roles[IAM_ROLES_MAX]; /* principals */
	unsigned role_count;
	struct iam_cidr *cidrs;
	unsigned cidr_count;
	Ag__Link link;
	Ag__Link *chain[IAM_DEPTH_MAX + 1]; /* root first, self last */
	unsigned chain_len;
	uint8_t *packed; /* Agent (without chain) or Principal */
	size_t packed_len;
	struct iam_window window;
	struct iam_hold *hold;
	struct iam_totp *totp; /* people; NULL: none begun */
	struct iam_webauthn *webauthn; /* people; NULL: never one */
	struct iam_client *client; /* services; NULL: no secret */
	int64_t stepped_up_at; /* 0: not since the start */
	struct iam_recent *recent; /* NULL: nothing was counted */
	struct iam_external *external; /* principals; NULL: none */
	uint64_t allowed, refused;
	int64_t last_activity_at;
	uint64_t max_uses, used, reserved; /* agents; max_uses 0: no bound */
	uint64_t uses_version;             /* of the stream uses:<id> */
	bool reserving;
	bool expired;  /* and that is journaled */
	bool expiring; /* that change is under way */
	bool recalled; /* it had left memory; its row is the truth */
	bool dirty;
	uint64_t recalled_ms; /* monotonic */
	struct iam_node *next_dirty;
};
struct iam_key {
	char id[AG_ID_SIZE];
	char alias[AG_NAME_MAX + 1]; /* "": none */
	struct iam_tenant *tenant;
	bool honey, critical;
	uint8_t spec; /* KeySpec */
	uint8_t state; /* KeyState of the newest version, … */
	uint32_t version; /* … which is this */
	struct ag_hours *hours; /* when it may be used; NULL: always */
	const char *backend; /* its root of trust; iam->backends has it */
	struct ag_scope_label *labels; /* one allocation with their text */
	struct ag_scope_target target; /* of the above */
	struct iam_window window;
};
/* Sorted by the id's UUID, so that pages are stable. */
struct iam_list {
	struct iam_node **items;
	size_t count, cap;
};

struct iam;
ag_err iam_directory_init(struct iam *iam) AG_MUST;
void iam_directory_fini(struct iam *iam);

struct iam_tenant *iam_tenant_find(struct iam *iam, const char *name);
struct iam_node *iam_node_find(struct iam *iam, const char *id);
struct iam_token *iam_token_find(struct iam *iam, const char *jti);
/* By id or name, of this tenant; no agents. */
struct iam_node *iam_principal_find(struct iam *iam,
    const struct iam_tenant *tenant, const char *selector);
struct iam_node *iam_agent_find(struct iam *iam,
    const struct iam_tenant *tenant, const char *id);
/* By id or alias. */
struct iam_key *iam_key_find(struct iam *iam, const struct iam_tenant *tenant,
    const char *selector);

/* What directory.c needs to take a message in; also used by load.c. */
ag_err iam_take_tenant(struct iam *iam, const Ag__TenantFact *fact) AG_MUST;
ag_err iam_take_principal(struct iam *iam, const Ag__Principal *p,
    struct iam_node **out) AG_MUST;
ag_err iam_take_agent(struct iam *iam, const Ag__Agent *agent,
    struct iam_node **out) AG_MUST;
ag_err iam_take_token(struct iam *iam, const Ag__TokenIssuedFact *fact) AG_MUST;
ag_err iam_take_key(struct iam *iam, const Ag__KeyCreatedFact *fact) AG_MUST;
/* The cache has forgotten it. */
void iam_drop_token(struct iam *iam, struct iam_token *token);
/* The same for an agent that is out of the tree and of the list. */
void iam_node_drop(struct iam *iam, struct iam_node *node);
/* pairs[].value NULL entries are skipped. */
ag_err iam_key_labels(struct iam_key *key, Ag__Pair *const *pairs, size_t count)
    AG_MUST;
/* Merge patch: a pair without value removes. The result is in the arena. */
ag_err iam_merge_labels(struct ag_ctx *ctx, Ag__Pair ***labels, size_t *count,
    Ag__Pair *const *patch, size_t patch_count) AG_MUST;

/* ---- quota.c */
void iam_quota_init(struct iam *iam, struct ag_ctx *ctx);
void iam_quota_count(struct iam *iam, struct iam_tenant *tenant,
    enum iam_count what, bool more);
bool iam_quota_room(const struct iam *iam, const struct iam_tenant *tenant,
    enum iam_count what);
/* 429 RateLimited/account. */
ag_err iam_quota_refuse(struct ag_ctx *ctx, enum iam_count what) AG_MUST;
ag_err iam_quota_check(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, enum iam_count what) AG_MUST;

/* ---- roles.c */
ag_err iam_roles_init(struct iam *iam) AG_MUST;
void iam_roles_fini(struct iam *iam);
/* A built-in one or the tenant's; it may be gone. */
const struct iam_role *iam_role_find(const struct iam *iam,
    const struct iam_tenant *tenant, const char *name);
ag_err iam_take_role(struct iam *iam, const Ag__RoleFact *fact) AG_MUST;
/* Does it stand, and hold the role admin now? */
bool iam_is_admin(const struct iam_node *node, int64_t now);
/* Is this the tenant's last admin? only: would it be no admin without this
 * role (NULL: without any)? */
bool iam_last_admin(const struct iam *iam, const struct iam_node *node,
    const struct iam_role *only, int64_t now);
/* Changes that may leave a tenant without an admin go one by one. As
 * ag_enter; entered after the stream of the principal. */
ag_err iam_enter_admins(struct ag_ctx *ctx, const struct iam_tenant *tenant)
    AG_MUST;
/* 409 IllegalOperation/last_admin. */
ag_err iam_refuse_last_admin(struct ag_ctx *ctx) AG_MUST;

/* ---- strings.c: scopes, addresses and other small texts; pure */
ag_err iam_scopes_make(char *const *texts, size_t count, struct iam_scopes *out)
    AG_MUST; /* AG_INVALID_FIELD if one does not parse */
void iam_scopes_free(struct iam_scopes *scopes);
bool iam_cidr_parse(const char *text, struct iam_cidr *out);
bool iam_cidr_has(const struct iam_cidr *cidr, const char *address);

#endif
