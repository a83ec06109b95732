/* SPDX-License-Identifier: Apache-2.0 */
/* How much iam has room for, its tables and its metrics. */
#ifndef AEGIS_ACTORS_IAM_BOUNDS_H
#define AEGIS_ACTORS_IAM_BOUNDS_H

#include <aegis/aegis.h>

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

#endif
