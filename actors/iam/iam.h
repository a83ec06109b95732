/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of iam know of each other. The state is one struct; every
 * table of it states its maximum. Principals, keys and tenants are never freed
 * while the process lives; agents and tokens are, between two turns, long
 * after they ended: what lasts longer than a turn keeps an id, not a pointer.
 */
#ifndef AEGIS_ACTORS_IAM_H
#define AEGIS_ACTORS_IAM_H

#include <aegis/aegis.h>
#include <aegis/page.h>

#include <openssl/evp.h>

#include "ceremony.h"
#include "otp.h"
#include "phc.h"
#include "recent.h"
#include "roles.h"
#include "rules.h"
#include "scope.h"
#include "signed.h"
#include "usage.h"
#include "windows.h"
#include "zones.h"

enum {
	/* In memory, of all tenants together; quota.c says what one may have. */
	IAM_PRINCIPALS_MAX = 131072, /* deleted ones included */
	IAM_AGENTS_MAX = 262144,
	IAM_PRINCIPAL_TOKENS_MAX = 262144,
	IAM_NODES_MAX = IAM_PRINCIPALS_MAX + IAM_AGENTS_MAX,
	IAM_TOKENS_MAX = IAM_PRINCIPAL_TOKENS_MAX + IAM_AGENTS_MAX,
	IAM_KEYS_MAX = 524288,
	IAM_TENANTS_MAX = 1024,
	IAM_CACHE_MAX = 65536,    /* verified tokens */
	IAM_ISSUER_KEYS_MAX = 8,
	IAM_HOLDS_MAX = 16384,    /* agents held at a time */
	IAM_HOLD_EVENTS_MAX = 8,  /* unruled events of one agent */
	IAM_HOLD_WAITING_MAX = 64, /* parked requests of one agent */
	IAM_HASHES_MAX = 8,       /* of client secrets, for the worker */
	IAM_DRAFTS_MAX = 1024,    /* credentials being signed */
	IAM_SCOPES_MAX = 64,      /* of a credential */
	IAM_CIDRS_MAX = 16,
	IAM_ROLES_MAX = 32,       /* of a principal, old ones included */
	IAM_TENANT_ROLES_MAX = 256, /* made by a tenant, deleted ones included */
	IAM_ROLE_SCOPES_MAX = 512, /* of a role and all that it inherits */
	IAM_INHERITS_MAX = 16,
	IAM_LABELS_MAX = 32,
	IAM_BACKENDS_MAX = 256,   /* names of roots of trust, past ones included */
	IAM_AGREED_MAX = 4096,    /* principals × operations × resources */
	IAM_DOCS_EVER_MAX = 128,  /* names of policy documents of a tenant */
	IAM_DOC_VERSIONS_MAX = 64, /* kept of one document, while they have … */
	IAM_DOC_KEPT_BYTES_MAX = 1 << 20, /* … no more bytes together */
	IAM_RULES_BYTES_MAX = 64 << 20, /* of all tenants' documents */
	IAM_DEPTH_MAX = 11,       /* of an agent; 1 is right below a person */
	IAM_TOKEN_BYTES_MAX = 4096,
	IAM_ISSUER_MAX = 256,     /* bytes of iss, as of external.issuer */
	IAM_SUBJECT_MAX = 256,
	IAM_JTI_MAX = 127,
	IAM_KID_MAX = 127,
	IAM_EXTERNAL_KEY = 65,    /* hex of a hash, with NUL */
	IAM_NEWCOMERS_MAX = 64,   /* subjects being introduced */
	IAM_FOREIGN_MAX = 64,     /* issuers that are configured */
	IAM_FOREIGN_KEYS_MAX = 32, /* of one */
	IAM_SKEW_MS = 30 * 1000,
	IAM_REASON_MAX = 256,     /* bytes of a reason given by people */
	IAM_ADMIN_TOKEN_S = 30 * 86400,
	IAM_ROT_TIMEOUT_MS = 1500,
	IAM_KEYS_SETTLE_MS = 400,  /* two ticks: the issuer's new keys are here */
	IAM_CHALLENGES_MAX = 1024,  /* open step-ups */
	IAM_CHALLENGES_EACH = 8,    /* of one principal */
	IAM_CHALLENGE_MS = 5 * 60 * 1000,
	IAM_CHALLENGE_TRIES = 5,
	IAM_GLASS_MAX = 256,        /* broken glass that is open */
	IAM_NEEDS_MAX = 8,          /* groups that must agree to one request */
	IAM_ORIGINS_MAX = 16,       /* from where FIDO2 keys may be used */
	IAM_CODES_WRONG = 20,       /* wrong codes of one principal … */
	IAM_CODES_WINDOW_MS = 3600 * 1000, /* … in this time */
};
#define IAM_ISSUER "aegis"
#define IAM_FIRST_TENANT "default"

enum iam_table_name {
	IAM_T_TENANTS, IAM_T_PRINCIPALS, IAM_T_TOKENS, IAM_T_TOKEN_ENDS,
	IAM_T_AGENTS, IAM_T_ACTIVITY, IAM_T_KEYS, IAM_T_HOLDS,
	IAM_T_ENDED,        /* agents that left memory, by id */
	IAM_T_ENDED_OF,     /* "<tenant>/<id>" of these; no value */
	IAM_T_ENDED_TOKENS, /* "<principal>/<jti>" */
	IAM_T_ROLES,        /* "<tenant>/<role>" */
	IAM_T_USES,         /* AgentUsesFact, by agent */
	IAM_T_TOTP, IAM_T_TOTP_STEPS,
	IAM_T_USAGE,        /* usage.c */
	IAM_T_POLICIES,     /* PolicyFact, by "<tenant>/<name>/<version>" */
	IAM_T_RECENT,       /* recent.c */
	IAM_T_GLASS,        /* BreakGlassFact, of those that are open */
	IAM_T_ACCESS,       /* AccessFact, of those that count */
	IAM_T_CLIENTS,      /* ClientSecretFact, of those that count */
	IAM_T_AGREED,       /* agreed.c */
	IAM_T_WEBAUTHN,     /* WebauthnKeys, by principal */
};

enum iam_metric {
	IAM_M_PASSED, IAM_M_REFUSED, IAM_M_HELD, IAM_M_CACHE_HITS,
	IAM_M_VERIFIED, IAM_M_LIMITED, IAM_M_AGENTS, IAM_M_KEYS, IAM_M_HOLDS,
	IAM_M_CHALLENGES, IAM_M_STEPPED_UP, IAM_M_RULED, IAM_M_RULED_OUT,
	IAM_M_RULES_FAILED, IAM_M_LOCAL, IAM_M_EXCHANGES, IAM_M_REPLAYS,
	IAM_M_TENANT_PASSED, IAM_M_TENANT_REFUSED,
};

/* ---- table.c: a hash table of pointers, linear probing, grows to `max` */
struct iam_slot {
	uint64_t hash;
	void *item; /* NULL: free */
};
struct iam_table {
	struct iam_slot *slots;
	size_t mask, count, max;
	uint8_t seed[16]; /* SipHash: names are chosen by clients */
};
typedef bool iam_same(const void *item, const char *scope, const char *key);
void iam_table_init(struct iam_table *t, size_t max);
void iam_table_fini(struct iam_table *t);
/* scope (a tenant) and key together are the key; scope "" if there is none. */
void *iam_table_get(const struct iam_table *t, iam_same *same,
    const char *scope, const char *key);
/* AG_FULL, AG_NO_MEMORY. The key must not be there. */
ag_err iam_table_add(struct iam_table *t, const char *scope, const char *key,
    void *item) AG_MUST;
void iam_table_del(struct iam_table *t, const char *scope, const char *key,
    const void *item);

/* What quotas are about. */
enum iam_count {
	IAM_C_PRINCIPALS, IAM_C_AGENTS, IAM_C_TOKENS, IAM_C_KEYS, IAM_COUNTS,
};

/* ---- directory.c: who and what there is */
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

struct iam_issuer_key {
	char kid[64];
	EVP_PKEY *pkey;
	uint8_t raw[32];
	int64_t from_at, until_at; /* INT64_MAX: not retired */
};
struct iam_keyring {
	struct iam_issuer_key keys[IAM_ISSUER_KEYS_MAX];
	unsigned count;
	EVP_MD_CTX *md;
};

struct iam_cache_entry {
	uint8_t hash[32];
	struct iam_token *token;
	int64_t expires_at;
	uint32_t next, newer, older; /* index + 1; 0: none */
};
struct iam_cache {
	uint32_t foreign; /* entries that own their token */
	struct iam_cache_entry *entries;
	uint32_t heads[IAM_CACHE_MAX]; /* index + 1 */
	uint32_t used, free, newest, oldest;
};

/* Whose policies are believed. */
struct iam_signers {
	struct ag_signer *list;
	unsigned count;
	bool enforce; /* what is not signed is not in force */
};

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
	char policy_text[64]; /* RateLimit-Policy */
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

ag_err iam_directory_init(struct iam *iam) AG_MUST;
void iam_directory_fini(struct iam *iam);
ag_err iam_apply(void *state, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos) AG_MUST;

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

/* ---- rulebook.c: policy documents of a tenant, and the set made of them */
struct iam_doc {
	char name[AG_NAME_MAX + 1];
	char *text; /* NULL: deleted */
	size_t len;
	uint32_t policies;
	uint64_t version;
	char *signature; /* of text, or of its absence; NULL: it is not signed */
	int64_t signed_version; /* the newest that was ever signed; 0: none */
	int64_t at;     /* when it was put */
	bool offered;   /* by the folder that is watched */
	uint64_t first; /* the oldest version that is kept */
	size_t kept;    /* bytes of those */
	struct iam_doc *next; /* by name */
};
struct iam_rulebook {
	struct iam_doc *docs; /* deleted ones too: their versions go on */
	unsigned count;       /* of docs */
	uint64_t version;     /* of all together: 1, 2, 3 … */
	struct ag_rules *rules; /* in force */
	bool stale;  /* documents changed since */
	bool broken; /* they make no set: everything is denied */
};
ag_err iam_rules_init(struct iam *iam) AG_MUST;
void iam_rules_fini(struct iam *iam);
ag_err iam_take_policy(struct iam *iam, const Ag__PolicyFact *fact) AG_MUST;
struct iam_doc *iam_doc_find(const struct iam_tenant *tenant, const char *name);
/* Takes the set that was made of these documents, for when they are in force. */
void iam_rules_offer(struct iam_tenant *tenant, struct ag_rules **rules,
    const uint8_t digest[32]);
/* Of documents in the order of their names. Pure. */
void iam_rules_digest(const struct ag_rules_doc *docs, size_t count,
    uint8_t out[32]);
/* The set in force; NULL: it makes none. The tenant has a book. */
const struct ag_rules *iam_rules_of(struct iam *iam, struct ag_ctx *ctx,
    struct iam_tenant *tenant);
/* A fact of the journal: memory and the snapshot's row. */
ag_err iam_policy_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;

/* ---- signers.c: whose policies are believed (policies.signers) */
/* AG_USAGE: what the configuration names is not usable; the log says why. */
ag_err iam_signers_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_signers_fini(struct iam *iam);
/* May this become the document (NULL: there is none yet)? fact: what is to be
 * kept, its signature too. Refuses, as this field's fault, and notes for the
 * event who signed. */
ag_err iam_signed_refuse(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_doc *doc, const Ag__PolicyFact *fact, const char *field)
    AG_MUST;
/* Was it rightly put, when it was, by a signer of today? Where signatures are
 * enforced. The log says what is wrong. */
bool iam_signed_stands(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct iam_doc *doc);

/* ---- hours.c: when a key may be used */
ag_err iam_hours_read(struct iam_key *key) AG_MUST;
bool iam_hours_open(struct iam *iam, const struct iam_key *key,
    const char *action, int64_t now);

/* ---- agreed.c: to what people agreed lately */
struct iam_agreed {
	uint8_t hash[32]; /* of principal, operation, resource */
	int64_t at;       /* 0: a free place */
};
ag_err iam_agreed_init(struct iam *iam) AG_MUST;
ag_err iam_agreed_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_agreed_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
/* Says it in the ask. resource: an id; NULL: none. */
void iam_rules_agreed(struct iam *iam, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask);

/* ---- glass.c: what ends something (break_glass.destructive) */
bool iam_ends(const struct iam *iam, const struct ag_operation *op);
/* Holds it the scope for that, written out? */
bool iam_may_end(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms);

/* ---- evaluate.c: others' policies (opa.url) */
void iam_evaluate_init(struct iam *iam, struct ag_ctx *ctx);

/* ---- residency.c: from where a key may be used */
ag_err iam_regions_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_regions_fini(struct iam *iam);
/* address NULL: it is not known, and so in no region. */
bool iam_resides(const struct iam *iam, const struct iam_key *key,
    const char *action, const char *address);

/* ---- ruling.c: what is asked of policies */
struct iam_rules_query {
	const struct iam_node *node; /* who asks */
	const struct ag_operation *op;
	const char *scope_op;        /* a batch: its items' */
	const struct iam_key *key;
	const struct iam_node *subject;
	const char *selector;        /* as it was written; NULL: none */
	int64_t now, credential_age_ms;
	const char *source, *plane;
	bool stepped_up, break_glass, tracked;
	uint32_t items;
	bool has_since_step_up;
	int64_t since_step_up_ms;
	bool has_since_approval;
	int64_t since_approval_ms;
	int64_t bytes; /* of the body */
	bool has_under_way; /* else it is what it is */
	int64_t under_way;
	bool has_recent; /* the same */
	struct ag_rules_recent recent;
};
struct iam_rules_room { /* what the ask borrows */
	const char *roles[IAM_ROLES_MAX], *party_roles[IAM_ROLES_MAX];
	char action[64];
};
/* Is it a question for policies at all? out borrows q and room. */
bool iam_rules_ask(const struct iam_rules_query *q, struct iam_rules_room *room,
    struct ag_rules_ask *out);
/* Do the tenant's policies still let what was opened go on? */
ag_err iam_rules_stand(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__StandingAsk *said) AG_MUST;
/* Since its last second factor. */
void iam_rules_step_up(const struct iam_node *node, int64_t now,
    struct iam_rules_query *q);
/* What was admitted lately, if the set in force looks at it. resource: an id;
 * NULL: none. real: ask is a request, not a question about one. */
void iam_rules_recent(struct iam *iam, const struct ag_rules *rules,
    struct iam_node *node, const char *resource, bool real,
    struct ag_rules_ask *ask);
/* The same of what is under way. */
void iam_rules_under_way(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_rules *rules, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask);
ag_err iam_on_request_ended(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- strings.c: scopes, addresses and other small texts; pure */
ag_err iam_scopes_make(char *const *texts, size_t count, struct iam_scopes *out)
    AG_MUST; /* AG_INVALID_FIELD if one does not parse */
void iam_scopes_free(struct iam_scopes *scopes);
bool iam_cidr_parse(const char *text, struct iam_cidr *out);
bool iam_cidr_has(const struct iam_cidr *cidr, const char *address);

/* ---- load.c: the snapshot */
ag_err iam_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_flush(void *state, struct ag_ctx *ctx) AG_MUST;
void iam_mark_dirty(struct iam *iam, struct iam_node *node);
ag_err iam_store_msg(struct ag_ctx *ctx, enum iam_table_name table,
    const char *key, const void *msg) AG_MUST;

/* ---- token.c: JWTs, and those of our own issuer; pure but for OpenSSL */
struct iam_claims {
	char sub[IAM_SUBJECT_MAX + 1], jti[IAM_JTI_MAX + 1];
	char kind[16], tenant[64], parent[64];
	int64_t iat_ms, exp_ms, nbf_ms;
};
/* A token in its parts, borrowed; only its header was looked at. */
struct iam_jwt {
	const char *header, *payload, *signature;
	size_t header_len, payload_len, signature_len;
	char alg[8];             /* "": none that is known */
	char kid[IAM_KID_MAX + 1]; /* "": none */
};
/* NULL, or the reason_code. */
const char *iam_jwt_open(const char *token, size_t len, struct iam_jwt *out);
const char *iam_jwt_signature(const struct iam_jwt *jwt, uint8_t *out,
    size_t size, size_t *len);
/* After the signature only. */
const char *iam_jwt_claims(const struct iam_jwt *jwt, const char *issuer,
    const char *audience, int64_t now_ms, struct iam_claims *out);
void iam_keyring_fini(struct iam_keyring *ring);
ag_err iam_keyring_add(struct iam_keyring *ring, const Ag__RotKey *key) AG_MUST;
/* Does the token say that one of these, retired or not, signed it? */
bool iam_keyring_has(const struct iam_keyring *ring, const struct iam_jwt *jwt);
bool iam_keyring_same(const struct iam_keyring *a, const struct iam_keyring *b);
/* When the token's key ends; INT64_MAX: not yet known to. */
int64_t iam_keyring_until(const struct iam_keyring *ring,
    const struct iam_jwt *jwt);
/* The one that signs now, or NULL. */
const struct iam_issuer_key *iam_keyring_current(const struct iam_keyring *ring,
    int64_t now_ms);
/* NULL if the token is good (out is then whole, as it is for one that only
 * expired); otherwise the reason_code. */
const char *iam_jwt_verify(struct iam_keyring *ring, const char *audience,
    const struct iam_jwt *jwt, int64_t now_ms, struct iam_claims *out);
/* authn.c. The signature is good: is it the credential that the journal knows? */
bool iam_token_known(const struct iam_token *token,
    const struct iam_claims *claims);
/* header.payload, malloc'd; NULL: no memory. scopes may be NULL. */
char *iam_jwt_input(const char *kid, const char *audience,
    const struct iam_claims *claims, char *const *scopes, size_t scope_count);
/* Adds the signature; malloc'd. */
char *iam_jwt_finish(const char *input, const uint8_t *signature, size_t len);

/* ---- issuers.c: tokens of other issuers */
/* AG_USAGE: what the configuration names is not usable; the log says why. */
ag_err iam_issuers_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_issuers_fini(struct iam *iam);
struct stat;
/* All of a file, with a NUL behind it, or NULL with errno; the caller frees. At
 * most max bytes. */
char *iam_file_read(const char *path, size_t max, size_t *len, struct stat *st);
struct iam_node *iam_external_find(struct iam *iam, const char *issuer,
    const char *subject);
/* The node's state is set; external NULL: none. */
ag_err iam_external_take(struct iam *iam, struct iam_node *node,
    const Ag__External *external) AG_MUST;
void iam_external_free(struct iam_node *node);
/* Before a change that gives node (NULL: a new one) this identity: nobody else
 * has it, nor gets it meanwhile. AG_PENDING, AG_ALREADY_EXISTS. */
ag_err iam_external_claim(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__External *external) AG_MUST;

/* ---- cache.c: tokens whose signature was checked */
ag_err iam_cache_init(struct iam_cache *cache) AG_MUST;
void iam_cache_fini(struct iam_cache *cache);
struct iam_token *iam_cache_get(struct iam_cache *cache, const uint8_t hash[32],
    int64_t now_ms);
void iam_cache_put(struct iam_cache *cache, const uint8_t hash[32],
    struct iam_token *token, int64_t expires_at);
void iam_cache_clear(struct iam_cache *cache);
/* Drops what is about tokens that left. */
void iam_cache_forget(struct iam_cache *cache);

/* ---- check.c: who may do what, now; no I/O */
enum iam_standing {
	IAM_STANDS, IAM_SELF_SUSPENDED, IAM_SELF_GONE, IAM_SELF_EXPIRED,
	IAM_ABOVE_SUSPENDED, IAM_ABOVE_GONE, IAM_TENANT_SUSPENDED,
};
enum iam_standing iam_standing(const struct iam_node *node, int64_t now_ms);
/* The link that makes it gone: itself or an ancestor; NULL: none. */
const struct iam_node *iam_gone_by(const struct iam_node *node);
bool iam_is_below(const struct iam_node *node, const struct iam_node *ancestor);

struct iam_query {
	/* WRITTEN: as MATCH, where neither kind nor operation is a star. */
	enum { IAM_Q_MATCH, IAM_Q_NAME, IAM_Q_IMPLY, IAM_Q_WRITTEN } how;
	enum ag_scope_kind kind;
	const char *op;
	const struct ag_scope_target *target; /* MATCH, WRITTEN; IMPLY: resolved */
	const char *selector;                 /* NAME */
	const struct ag_scope *asked;         /* IMPLY */
	bool lasting; /* what is held for a while does not count */
	struct iam_trail *trail;              /* NULL: nobody asks why */
};
enum { IAM_TRAIL_MAX = 16 /* of one chain, with its credential */ };
/* Why: what allowed at each link, or which link did not. Borrowed. */
struct iam_trail {
	const struct ag_scope *by[IAM_TRAIL_MAX]; /* self first, root last */
	unsigned count;
	bool narrowed; /* by[1] is of the credential */
	const struct iam_node *refused_by; /* NULL: nobody */
	const struct iam_scopes *refused_credential; /* … but its credential */
};
enum iam_reach { IAM_HAS, IAM_OWN_MISSING, IAM_PARENT_MISSING };
/* token: the credential in use; NULL: all that the node may. */
enum iam_reach iam_reach(const struct iam_node *node,
    const struct iam_token *token, int64_t now_ms, const struct iam_query *q);
bool iam_holds(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms, enum ag_scope_kind kind, const char *op,
    const struct ag_scope_target *target);
/* The caller's scopes as text that every link above implies; texts borrowed
 * from the directory, array in the arena. only_op NULL: all. */
size_t iam_effective(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const struct iam_token *token,
    const char *only_op, char ***out);
/* What a scope's selector names in this tenant; false: nothing known. */
bool iam_resolve(struct iam *iam, const struct iam_tenant *tenant,
    const struct ag_scope *scope, struct ag_scope_target *out);

/* ---- trail.c: what a decision about scope is made again from */
Ag__Reach *iam_trail_said(struct ag_ctx *ctx, const struct iam_query *q,
    int64_t now_ms); /* NULL: no memory */

/* ---- standing.c */
struct iam_no {
	ag_err err; /* AG_OK: nothing is against it */
	const char *reason, *detail;
};
/* Why it may not be used now. token NULL: another issuer's. */
struct iam_no iam_no(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms);
ag_handler iam_on_standing;

/* ---- station.c: the decision on a request of a plane */
ag_handler iam_station;

/* ---- hold.c */
/* True: the trip must wait; *err is what to return. */
bool iam_hold_wait(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    ag_err *err);
void iam_hold_begin(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *event_id);
/* People let go of it themselves. */
void iam_hold_clear(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node);
void iam_hold_free(struct iam_node *node);
/* From the snapshot. */
ag_err iam_hold_load(struct iam *iam, const char *agent_id, const void *events,
    size_t len) AG_MUST;
ag_handler iam_on_ruling;

/* ---- tokens.c: one for this principal, to be signed; *out NULL: none yet */
/* May all these be scopes? Otherwise 400, at this JSON pointer. */
ag_err iam_token_scopes(struct ag_ctx *ctx, const Ag__TokenIssueAsk *ask,
    const char *at) AG_MUST;
/* A token may not give its issuer more than the issuer has. */
ag_err iam_token_reach(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const struct iam_node *node,
    const Ag__TokenIssueAsk *ask) AG_MUST;
ag_err iam_token_draft(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node, const Ag__TokenIssueAsk *ask, uint32_t ttl_s, const char *by,
    struct iam_draft **out) AG_MUST;

/* draft is whose token is kept, and said by reply. */
ag_err iam_token_persist(struct ag_ctx *ctx, const struct iam_draft *draft,
    const void *reply, const void *replay) AG_MUST;

/* ---- clients.c: services and their secrets */
ag_handler iam_on_client_secret, iam_on_client_secret_remove,
    iam_on_client_token;
ag_err iam_client_take(struct iam *iam, const Ag__ClientSecretFact *fact)
    AG_MUST;
ag_err iam_client_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;

/* ---- introspect.c */
ag_handler iam_on_token_introspect;

/* ---- recover.c: a lost admin credential */
#define IAM_RECOVERED_FILE "admin.token.new" /* of the state directory */
void iam_told(void *state, struct ag_ctx *ctx, const char *word);

/* ---- guard.c: how often a credential may be wrong */
ag_err iam_guard_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_guard_fini(struct iam *iam);

/* ---- totp.c: the second factor of people */
ag_handler iam_on_totp_begin, iam_on_totp_confirm, iam_on_totp_remove;
void iam_totp_fetch_key(struct iam *iam, struct ag_ctx *ctx);
ag_err iam_totp_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_totp_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
bool iam_totp_enrolled(const struct iam_node *node);
/* Ends an enrolment that is not confirmed, if there is one: in memory, and in
 * the snapshot. */
ag_err iam_totp_drop(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node) AG_MUST;
/* The code of a factor that is begun; each is good once, and wrong ones are
 * few. Otherwise refuses with AG_STEP_UP_FAILED, AG_RATE_LIMITED or
 * AG_UNAVAILABLE. */
ag_err iam_totp_take(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *code) AG_MUST;

/*
 * Where nodes share: asks whether the code, if it is a good one, was used on
 * another node; iam_totp_take needs to know. AG_OK: nothing is to be asked.
 * AG_PENDING: `then` runs with the trip, calls iam_totp_claimed, and begins it
 * again. */
ag_err iam_totp_claim(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node, const uint8_t request[AG_UUID_BYTES],
    const char *code, ag_then *then) AG_MUST;
void iam_totp_claimed(struct iam *iam, ag_err status, const void *msg,
    const void *memo);

/* ---- webauthn.c, webauthn_keys.c: FIDO2 keys of people */
ag_handler iam_on_webauthn_begin, iam_on_webauthn_confirm, iam_on_webauthn_list,
    iam_on_webauthn_remove;
ag_err iam_webauthn_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_webauthn_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_webauthn_take(struct iam *iam, const void *keys) AG_MUST;
void iam_webauthn_free(struct iam_node *node);
/* AG_METHOD_ bits of what it has enrolled; is there any? */
unsigned iam_methods(const struct iam_node *node);
bool iam_second_factor(const struct iam_node *node);

/* ---- stepup.c: requests that wait for a second factor */
/* One for a key of this name that is being enrolled. */
struct iam_challenge *iam_challenge_enrol(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const char *name);
/* NULL: none of this node's, or its time is over. */
struct iam_challenge *iam_challenge_enrolling(struct iam *iam, const char *id,
    const struct iam_node *node, int64_t now);
/* A factor came or went: what this node was asked before is over. One that was
 * spent stays: it is good for nothing but an answer that says so. */
void iam_challenges_end(struct iam *iam, const struct iam_node *node);
ag_handler iam_on_challenge, iam_on_challenge_read, iam_on_challenge_answer;
/* An executor of iam that wants a second factor whatever risk says: AG_OK if
 * the request came with one, or its caller has none enrolled. */
/* access.c: more scope for a while. */
ag_err iam_access_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_access_fini(struct iam *iam);
void iam_access_free(struct iam_node *node);
ag_err iam_access_take(struct iam *iam, const Ag__AccessFact *fact) AG_MUST;
ag_err iam_access_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r) AG_MUST;
void iam_access_sweep(struct iam *iam, struct ag_ctx *ctx);
ag_err iam_on_access_request(void *state, struct ag_ctx *ctx, const void *msg);
ag_err iam_on_access_list(void *state, struct ag_ctx *ctx, const void *msg);
/* glass.c: one fact, from the journal or the snapshot. */
ag_err iam_glass_take(struct iam *iam, const Ag__BreakGlassFact *fact) AG_MUST;
ag_err iam_glass_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r) AG_MUST;
bool iam_glass_open(struct iam *iam, const char *id, int64_t now_ms);
/* A token is asked for under a broken glass: may it be, and for how long? */
ag_err iam_glass_token(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__TokenIssueAsk *ask,
    uint32_t *ttl_s) AG_MUST;
/* It ends now: in memory, and in the snapshot. */
ag_err iam_token_end(struct ag_ctx *ctx, struct iam_token *token,
    const char *reason, int64_t at) AG_MUST;
/* needs.c: named operations that people must agree to. */
ag_err iam_duals_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_duals_fini(struct iam *iam);
/* callback.c: who may decide by a click */
ag_err iam_callback_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_callback_fini(struct iam *iam);
ag_err iam_step_up_wanted(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller) AG_MUST;

/* ---- draft.c: a credential on its way through the root of trust */
typedef void iam_unsigned(struct iam *iam, struct ag_ctx *ctx, ag_err err);
struct iam_draft {
	/* Told when no signature came, after iam_draft_sign had returned
	 * AG_PENDING; NULL: only the request is refused. */
	iam_unsigned *failed;
	char jti[AG_ID_SIZE];
	char *input;      /* what is signed */
	char *token;      /* once signed */
	char kid[64];
	bool retried;
	int64_t issued_at, expires_at;
	struct iam_node *node;  /* token: whose; a principal, so it stays */
	uint8_t *packed;        /* Agent; TokenIssuedFact; TenantDraft's principal */
	size_t packed_len;
	struct iam_claims claims;
	char **scopes;          /* for the informative claim */
	size_t scope_count;
};
typedef ag_err iam_signed(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft *draft);
/* claims, issued_at, expires_at set; AG_FULL. jti is made here. */
ag_err iam_draft_new(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft **out) AG_MUST;
/* Keeps a packed copy of msg, and of the scopes' text. */
ag_err iam_draft_keep(struct iam_draft *draft, const void *msg,
    char *const *scopes, size_t count) AG_MUST;
/* The root of trust that signs for us. */
unsigned iam_rot_slot(struct ag_ctx *ctx);
/* Asks the root of trust for the secret of this purpose. AG_PENDING: then runs. */
ag_err iam_rot_secret(struct ag_ctx *ctx, const char *purpose, ag_then *then)
    AG_MUST;
/* Takes the draft in any case. Runs `then` with draft->token set, and frees
 * the draft after it. AG_PENDING. */
ag_err iam_draft_sign(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft *draft, iam_signed *then) AG_MUST;

/* ---- rows.c: what the executors' handlers share */
struct iam_caller {
	struct iam_node *node;
	const struct iam_token *token;
	struct iam_tenant *tenant;
	const char *id;
	int64_t now;
};
/* From the grant; refuses if the actor is gone meanwhile. */
ag_err iam_caller(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *out)
    AG_MUST;
/* Agents and principals are found, locked and versioned in the same way. */
enum { IAM_STREAM_MAX = 64 };
struct iam_noun {
	struct iam_node *(*find)(struct iam *iam, const struct iam_tenant *tenant,
	    const char *selector);
	const char *name; /* "agent": of its stream, and for people */
};
/* Who asks, and whom the path names; exclusive: nobody else changes it
 * meanwhile, and If-Match holds. AG_ITEM_NOT_FOUND. */
ag_err iam_subject(const struct iam_noun *noun, struct iam *iam,
    struct ag_ctx *ctx, struct iam_caller *caller, bool exclusive,
    struct iam_node **out) AG_MUST;
ag_err iam_reason(struct ag_ctx *ctx, const char *reason) AG_MUST;
/* Array of n pointers in the arena. */
void *iam_array(struct ag_ctx *ctx, size_t n);
/* Does the caller hold everything that this role, or these scopes, give? */
bool iam_may_give(struct iam *iam, const struct iam_caller *caller,
    const struct iam_scopes *scopes);
/* Text given by people: 1 to max bytes, no control characters. */
bool iam_text_valid(const char *text, size_t max);
ag_err iam_labels(struct ag_ctx *ctx, Ag__Pair *const *labels, size_t count,
    bool patch) AG_MUST;
/* Pages whose places are names, or the UUID part (32 hex) of ids: the last one
 * seen; NULL: none. */
const char *iam_after(const struct ag_page *page);
char *iam_cursor(struct ag_ctx *ctx, const struct ag_page *page,
    const char *last);
size_t iam_list_after(const struct iam_list *list, const char *after);
void iam_list_insert(struct iam_list *list, struct iam_node *node);

/* ---- views: what the public sees, in the arena; NULL at its ceiling */
Ag__Principal *iam_principal_view(struct ag_ctx *ctx,
    const struct iam_node *node);
Ag__Agent *iam_agent_view(struct ag_ctx *ctx, const struct iam_node *node);
const char *iam_state_word(const struct iam_node *node, int64_t now_ms);
/* Descendants (and itself, if agent) that are not gone or expired. */
unsigned iam_live_below(const struct iam_node *node, int64_t now_ms);

/* ---- the executors' handlers */
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

/* ---- ended.c: agents and tokens that left memory */
/* As iam_agent_find; one that left memory comes back for a while. tenant NULL:
 * of any. */
struct iam_node *iam_agent_recall(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const char *id);
/* It changed after all: it is an agent like others again. */
ag_err iam_ended_undo(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
    AG_MUST;
/* Of its stream; 0: it did not leave memory. */
uint64_t iam_ended_version(struct ag_ctx *ctx, const char *id);
/* One more request of it was recorded at that time. */
ag_err iam_ended_counted(struct ag_ctx *ctx, const char *id, bool allowed,
    int64_t at) AG_MUST;
/* Who ended long ago leaves memory: at most max of those at [from, from +
 * window). Returns where to go on. */
size_t iam_ended_sweep(struct iam *iam, struct ag_ctx *ctx, size_t from,
    size_t window, unsigned max);
typedef bool iam_ended_wanted(const void *arg, const Ag__Agent *row);
struct iam_ended_page {
	Ag__Agent **items; /* in the order of their UUIDs */
	size_t count;
	const char *stopped; /* not NULL: no row after this UUID was looked at */
};
/* The first max of the tenant's after this UUID (NULL: of all). */
ag_err iam_ended_page(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const char *after, iam_ended_wanted *wanted, const void *arg, size_t max,
    struct iam_ended_page *out) AG_MUST;
/* Keeps its row elsewhere; the caller drops it then. */
ag_err iam_token_leave(struct iam *iam, struct ag_ctx *ctx,
    struct iam_token *token) AG_MUST;
/* The first max of the principal's after this jti (NULL: of all); how many. */
size_t iam_ended_tokens(struct ag_ctx *ctx, const struct iam_node *node,
    const char *after, Ag__Token **items, size_t max);

#endif
