/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: what Aegis makes of Cedar. The schema that policies are checked
 * against, the annotations that mean something, a tenant's documents as one
 * compiled set, and a decision about one request.
 *
 * Pure: no clock, no I/O, no globals. A compiled set is never written again.
 * Deciding takes its memory from the caller's scratch.
 */
#ifndef AEGIS_POLICY_RULES_H
#define AEGIS_POLICY_RULES_H

#include "cedar.h"

enum {
	AG_RULES_TEXT_MAX = 256 << 10,       /* bytes of one document */
	AG_RULES_TENANT_BYTES_MAX = 1 << 20, /* of all of a tenant's */
	AG_RULES_DOCS_MAX = 64,              /* documents of a tenant */
	AG_RULES_COUNT_MAX = 2000,           /* policies of a tenant */
	AG_RULES_NAME_MAX = 63,              /* bytes of a document's name, of @id */
	AG_RULES_RULE_SIZE = 2 * AG_RULES_NAME_MAX + 2, /* "<document>/<id>" */
	AG_RULES_REASON_MAX = 200,           /* bytes of @reason */
	AG_RULES_FINDINGS_MAX = 50,
	AG_RULES_SCRATCH = 128 << 10,        /* bytes that a decision may need */
	AG_RULES_CHAIN_MAX = 16,
	AG_RULES_NEEDS_MAX = 4,              /* groups that one request can need */
	AG_RULES_QUORUM_MAX = 10,
	AG_RULES_WINDOW_S_MAX = 86400,
	AG_RULES_TIMEOUT_MS_MIN = 10,        /* of @timeout */
	AG_RULES_TIMEOUT_MS_MAX = 60000,
	AG_RULES_TTL_S_MIN = 60,             /* of @max_ttl: less is not issued */
	AG_RULES_TTL_S_MAX = 30 * 86400,
};

/* ----------------------------------------------------------------- schema */

/* The shipped schema in Cedar's syntax, made of the table of operations;
 * malloc'd. NULL: no memory. */
char *ag_rules_schema_text(void);
/* The same, ready for use; ag_cedar_schema_free. */
AG_CEDAR_MUST enum ag_cedar_err ag_rules_schema_new(
    struct ag_cedar_schema **out);

/* What an operation is called in policies: `words` has its group ("read",
 * "use", "manage", "destroy"). False: policies are not asked about it (what
 * everybody may do, and the management of policies itself). */
bool ag_rules_action_group(const char *operation, const char **group);

/* -------------------------------------------------------------- documents */

struct ag_rules_doc {
	const char *name; /* [a-z0-9][a-z0-9._-]{0,62} */
	const char *text;
	size_t len;
};

struct ag_rules_finding {
	bool is_error; /* false: a warning */
	const char *kind; /* of ag_rules_lint; NULL: of the check */
	char rule[AG_RULES_RULE_SIZE]; /* "": of the whole document */
	uint32_t line, column;         /* 0: without a place */
	char text[AG_CEDAR_PROBLEM_SIZE];
};
struct ag_rules_findings {
	struct ag_rules_finding items[AG_RULES_FINDINGS_MAX];
	size_t count; /* of items */
	size_t errors, warnings; /* all of them */
	size_t policies;         /* in the document, if it could be read */
};

/*
 * Reads a document, looks at its annotations and validates it strictly. OK if
 * it ran: out says what was found; a document with errors is not to be used.
 */
AG_CEDAR_MUST enum ag_cedar_err ag_rules_check(
    const struct ag_cedar_schema *schema, const struct ag_rules_doc *doc,
    struct ag_rules_findings *out);

/*
 * Checks documents and, if all are good, looks at them as one set for what says
 * nothing or not what it seems to. The kinds of findings: unreachable (a permit
 * that a forbid covers), shadowed (another policy says it too), vacuous (a
 * condition that is always true, forbids without any permit), never_matches,
 * overlapping_windows. Each is certain, and says what would be right.
 */
AG_CEDAR_MUST enum ag_cedar_err ag_rules_lint(
    const struct ag_cedar_schema *schema, const struct ag_rules_doc *docs,
    size_t count, struct ag_rules_findings *out);

/* ------------------------------------------------------------------- sets */

struct ag_rules;

/* All of a tenant's documents, which were checked before, as one. */
AG_CEDAR_MUST enum ag_cedar_err ag_rules_new(const struct ag_rules_doc *docs,
    size_t count, struct ag_rules **out);
void ag_rules_free(struct ag_rules **rules);
size_t ag_rules_count(const struct ag_rules *rules);
/* Is there anything that a broken glass overrides? */
bool ag_rules_overridable(const struct ag_rules *rules);
/* Where the i-th policy begins in its document, and whether it forbids. */
void ag_rules_place(const struct ag_rules *rules, size_t i, bool *forbid,
    const char **reason, uint32_t *line, uint32_t *column);
/* Does any policy look at context.recent, at context.under_way? */
bool ag_rules_wants_recent(const struct ag_rules *rules);
bool ag_rules_wants_under_way(const struct ag_rules *rules);
/* "<document>/<@id or number>" of the i-th policy. */
const char *ag_rules_name(const struct ag_rules *rules, size_t i);

/* --------------------------------------------------------------- requests */

enum ag_rules_kind { AG_RULES_HUMAN, AG_RULES_SERVICE, AG_RULES_AGENT };
struct ag_rules_link {
	enum ag_rules_kind kind;
	const char *id;
	const char *name;  /* agents: the label */
	const char *model; /* agents, or NULL */
};
/* Somebody, with all above: self first, the person at the root last. */
struct ag_rules_party {
	struct ag_rules_link links[AG_RULES_CHAIN_MAX];
	size_t count;
	const char *const *roles; /* of the root */
	size_t role_count;
};

enum ag_rules_about {
	AG_RULES_TENANT, /* what is about no single thing */
	AG_RULES_KEY,
	AG_RULES_PARTY,  /* a principal or an agent */
	AG_RULES_TOOL,
};
struct ag_rules_label {
	const char *key, *value;
};
struct ag_rules_resource {
	enum ag_rules_about about;
	/* There is no such thing, or it is not known: only its name is, and it
	 * has no attributes. party.links[0].kind says what it would be. */
	bool unknown;
	const char *id, *name; /* of a key: name is its alias, or NULL */
	const char *spec;      /* of a key; so are these: */
	const char *state;     /* of its newest version: "Active" */
	const char *backend;   /* the root of trust that holds it */
	const struct ag_rules_label *labels;
	size_t label_count;
	struct ag_rules_party party;
};
/* What was admitted lately, with this request: of this principal, action and
 * resource in the last second … day; how many keys of this principal. Counts
 * that are not known are AG_RULES_MANY. */
enum { AG_RULES_MANY = 1000000000 };
struct ag_rules_recent {
	int64_t second, minute, hour, day;
	int64_t keys_hour, keys_day;
};
struct ag_rules_ask {
	const char *tenant;
	const char *action; /* "key.sign" */
	struct ag_rules_party principal;
	struct ag_rules_resource resource;
	int64_t at_ms;
	const char *source; /* NULL or no address: `::` */
	const char *plane;
	int64_t credential_age_ms;
	bool stepped_up; /* it came with a second factor */
	bool break_glass; /* what is @overridable gives way */
	bool tracked;    /* its credential is one that is kept here */
	uint32_t items;  /* of a batch; 1 */
	int64_t bytes;   /* of its body, as it travels inside */
	int64_t under_way; /* the same that have not ended, with this one */
	bool has_since_step_up;
	int64_t since_step_up_ms; /* its last second factor that is remembered */
	bool has_since_approval;
	int64_t since_approval_ms; /* people agreed to the same */
	struct ag_rules_recent recent;
};

/* Whose agreement a permit wants: @approval("sre-leads, quorum 2, window 15m"). */
struct ag_rules_need {
	char group[AG_RULES_NAME_MAX + 1]; /* a role */
	unsigned quorum;                   /* people */
	unsigned window_s;                 /* may be repeated so long; 0: once */
	const char *rule;
};
/* Reads the value of @approval; rule stays as it is. False: it is none. */
bool ag_rules_need_parse(const char *text, size_t len,
    struct ag_rules_need *out);

/* Reads the value of @timeout, "200ms" or "2s". False: it is none. */
bool ag_rules_timeout_parse(const char *text, size_t len, unsigned *ms);
/* Reads the value of @max_ttl, "15m", "1h" or "30d". False: it is none. */
bool ag_rules_ttl_parse(const char *text, size_t len, unsigned *s);
/* Does this operation make a credential, so that @max_ttl can bound it? */
bool ag_rules_issues(const char *operation);
/* The reason_code of a forbid with @constraint of this value; NULL: there is
 * no such constraint. */
const char *ag_rules_constraint(const char *value, size_t len);
#define AG_RULES_SESSION "session_required"
/* Is it the reason_code of what policies denied? NULL is none. */
bool ag_rules_is_denial(const char *reason_code);

/* In the order of the lattice: of several, the first wins. */
enum ag_rules_decision {
	AG_RULES_DENY, AG_RULES_APPROVAL, AG_RULES_STEP_UP, AG_RULES_ALLOW,
};
const char *ag_rules_decision_name(enum ag_rules_decision decision);

struct ag_rules_answer {
	enum ag_rules_decision decision;
	const char *rule;   /* the one that decided; NULL: none matched */
	const char *reason; /* its @reason, or NULL */
	const char *reason_code; /* of a deny: "no_matching_rule", a constraint's, or
	                          * "session_required" */
	unsigned timeout_ms; /* it is to be over by then; 0: as ever */
	const char *timeout_rule;
	unsigned max_ttl_s; /* what it issues lives no longer; 0: as ever */
	const char *max_ttl_rule;
	/* AG_RULES_APPROVAL: all of these, one a group; and a second factor
	 * besides where a permit that matched says so. */
	struct ag_rules_need needs[AG_RULES_NEEDS_MAX];
	size_t need_count;
	bool step_up;
	bool overridden; /* without the broken glass it would be stricter */
	/* All that decided, and what failed and was skipped; in the scratch. */
	struct ag_cedar_answer said;
};

/* scratch: AG_RULES_SCRATCH bytes, aligned for anything. Never fails: what
 * cannot be decided is denied. */
void ag_rules_decide(const struct ag_rules *rules,
    const struct ag_rules_ask *ask, void *scratch, struct ag_rules_answer *out);

#endif
