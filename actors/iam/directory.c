/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who and what there is: tenants, principals, agents, tokens and keys, in
 * memory, as the journal's facts and the snapshot's rows describe them. What
 * is taken in here is only ever added to or changed; agents and tokens alone
 * are dropped, long after they ended (ended.c).
 */
#include "access.h"
#include "exec.h"
#include "factors.h"
#include "hold.h"
#include "iam.h"
#include "issuers.h"
#include "rulebook.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- lookup */

static bool
tenant_is(const void *item, const char *scope, const char *key)
{
	return strcmp(((const struct iam_tenant *)item)->name, key) == 0;
}

static bool
node_is(const void *item, const char *scope, const char *key)
{
	return strcmp(((const struct iam_node *)item)->id, key) == 0;
}

static bool
name_is(const void *item, const char *scope, const char *key)
{
	const struct iam_node *node = item;

	return strcmp(node->name, key) == 0 &&
	    strcmp(node->tenant->name, scope) == 0;
}

static bool
token_is(const void *item, const char *scope, const char *key)
{
	return strcmp(((const struct iam_token *)item)->jti, key) == 0;
}

struct iam_tenant *
iam_tenant_find(struct iam *iam, const char *name)
{
	return iam_table_get(&iam->tenants, tenant_is, "", name);
}

struct iam_node *
iam_node_find(struct iam *iam, const char *id)
{
	return iam_table_get(&iam->nodes, node_is, "", id);
}

struct iam_token *
iam_token_find(struct iam *iam, const char *jti)
{
	return iam_table_get(&iam->tokens, token_is, "", jti);
}

struct iam_node *
iam_principal_find(struct iam *iam, const struct iam_tenant *tenant,
    const char *selector)
{
	struct iam_node *node = iam_table_get(&iam->names, name_is,
	    tenant->name, selector);

	if (node == NULL)
		node = iam_node_find(iam, selector);
	if (node == NULL || node->tenant != tenant || node->parent != NULL)
		return NULL;
	return node;
}

struct iam_node *
iam_agent_find(struct iam *iam, const struct iam_tenant *tenant, const char *id)
{
	struct iam_node *node = iam_node_find(iam, id);

	if (node == NULL || node->tenant != tenant || node->parent == NULL)
		return NULL;
	return node;
}

/* ---------------------------------------------------------- begin and end */

ag_err
iam_directory_init(struct iam *iam)
{
	ag_err err;

	iam_table_init(&iam->tenants, IAM_TENANTS_MAX);
	iam_table_init(&iam->nodes, IAM_NODES_MAX);
	iam_table_init(&iam->names, IAM_PRINCIPALS_MAX);
	iam_table_init(&iam->externals, IAM_PRINCIPALS_MAX);
	iam_table_init(&iam->tokens, IAM_TOKENS_MAX);
	iam_table_init(&iam->keys, IAM_KEYS_MAX);
	iam_table_init(&iam->aliases, IAM_KEYS_MAX);
	err = iam_rules_init(iam);
	return err != AG_OK ? err : iam_roles_init(iam);
}

static void
node_free(struct iam_node *node)
{
	free(node->name);
	free(node->model);
	free(node->cidrs);
	free(node->packed);
	iam_hold_free(node);
	free(node->totp);
	iam_webauthn_free(node);
	free(node->client);
	iam_external_free(node);
	iam_scopes_free(&node->scopes);
	iam_access_free(node);
	free(node);
}

void
iam_node_drop(struct iam *iam, struct iam_node *node)
{
	iam_table_del(&iam->nodes, "", node->id, node);
	iam_table_del(&iam->tokens, "", node->token.jti, &node->token);
	iam_recent_free(iam, node);
	node_free(node);
}

void
iam_directory_fini(struct iam *iam)
{
	struct iam_table *t;

	t = &iam->tokens; /* before the nodes: agents' are part of them */
	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++) {
		struct iam_token *token = t->slots[i].item;

		if (token == NULL || token == &token->node->token)
			continue;
		iam_scopes_free(&token->scopes);
		free(token->glass);
		free(token);
	}
	iam_table_fini(t);
	t = &iam->nodes;
	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++)
		if (t->slots[i].item != NULL) {
			iam_recent_free(iam, t->slots[i].item);
			node_free(t->slots[i].item);
		}
	iam_table_fini(t);
	t = &iam->keys;
	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++)
		if (t->slots[i].item != NULL) {
			free(((struct iam_key *)t->slots[i].item)->labels);
			free(((struct iam_key *)t->slots[i].item)->hours);
			free(t->slots[i].item);
		}
	iam_table_fini(t);
	iam_table_fini(&iam->names);
	iam_table_fini(&iam->externals);
	iam_table_fini(&iam->aliases);
	iam_rules_fini(iam);
	zones_fini(&iam->zones);
	for (size_t i = 0; i < iam->tenant_count; i++)
		free(iam->tenant_list[i]);
	iam_table_fini(&iam->tenants);
	iam_roles_fini(iam);
	free(iam->principals.items);
	free(iam->agents.items);
}

/* ------------------------------------------------------- lists, by UUID */

static const char *
uuid_of(const struct iam_node *node)
{
	return node->id + 4; /* every prefix is three letters and a line */
}

/* First position whose id is greater. */
size_t
iam_list_after(const struct iam_list *list, const char *after)
{
	size_t lo = 0, hi = list->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(uuid_of(list->items[mid]), after) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static ag_err
list_reserve(struct iam_list *list)
{
	struct iam_node **items;
	size_t cap = list->cap == 0 ? 64 : 2 * list->cap;

	if (list->count < list->cap)
		return AG_OK;
	items = reallocarray(list->items, cap, sizeof(*items));
	if (items == NULL)
		return AG_NO_MEMORY;
	list->items = items;
	list->cap = cap;
	return AG_OK;
}

/* The list has room. Nearly always at the end: ids are ordered by time. */
void
iam_list_insert(struct iam_list *list, struct iam_node *node)
{
	size_t at = iam_list_after(list, uuid_of(node));

	memmove(&list->items[at + 1], &list->items[at],
	    (list->count - at) * sizeof(list->items[0]));
	list->items[at] = node;
	list->count++;
}

/* --------------------------------------------------------------- tenants */

ag_err
iam_take_tenant(struct iam *iam, const Ag__TenantFact *fact)
{
	struct iam_tenant *tenant = iam_tenant_find(iam, fact->name);
	ag_err err;

	if (strlen(fact->name) > AG_NAME_MAX)
		return AG_CORRUPT;
	if (tenant == NULL) {
		if (iam->tenant_count == IAM_TENANTS_MAX)
			return AG_FULL;
		tenant = calloc(1, sizeof(*tenant));
		if (tenant == NULL)
			return AG_NO_MEMORY;
		strcpy(tenant->name, fact->name);
		tenant->created_at = fact->has_created_at ? fact->created_at :
		    fact->at;
		err = iam_table_add(&iam->tenants, "", tenant->name, tenant);
		if (err != AG_OK) {
			free(tenant);
			return err;
		}
		iam->tenant_list[iam->tenant_count++] = tenant;
	}
	tenant->version = fact->has_revision ? fact->revision : 1;
	tenant->active = strcmp(fact->state, "active") == 0;
	tenant->deleting = strcmp(fact->state, "deleting") == 0;
	tenant->deleted = strcmp(fact->state, "deleted") == 0;
	return AG_OK;
}

/* ----------------------------------------------------------------- nodes */

static ag_err
keep_packed(struct iam_node *node, const void *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *bytes = malloc(len > 0 ? len : 1);

	if (bytes == NULL)
		return AG_NO_MEMORY;
	protobuf_c_message_pack(msg, bytes);
	free(node->packed);
	node->packed = bytes;
	node->packed_len = len;
	return AG_OK;
}

/* A word that this build does not know lets nobody through. */
static enum iam_state
state_of(const char *word)
{
	if (strcmp(word, "active") == 0 || strcmp(word, "live") == 0 ||
	    strcmp(word, "expired") == 0)
		return IAM_LIVE;
	return strcmp(word, "suspended") == 0 ? IAM_SUSPENDED : IAM_GONE;
}

static void
make_link(struct iam_node *node)
{
	unsigned n = 0;

	ag__link__init(&node->link);
	node->link.id = node->id;
	node->link.kind = node->kind;
	node->link.name = node->name;
	if (node->parent != NULL) {
		n = node->parent->chain_len;
		memcpy(node->chain, node->parent->chain,
		    n * sizeof(node->chain[0]));
	}
	node->chain[n] = &node->link;
	node->chain_len = n + 1;
}

static ag_err
node_new(const char *id, const char *name, struct iam_tenant *tenant,
    struct iam_node **out)
{
	struct iam_node *node;

	if (strlen(id) >= AG_ID_SIZE || strlen(id) < 5)
		return AG_CORRUPT;
	node = calloc(1, sizeof(*node));
	if (node == NULL)
		return AG_NO_MEMORY;
	strcpy(node->id, id);
	node->tenant = tenant;
	node->name = strdup(name);
	if (node->name == NULL) {
		node_free(node);
		return AG_NO_MEMORY;
	}
	*out = node;
	return AG_OK;
}

/* Into its list and both tables, or into none: a fact that failed is applied
 * again, and must find what it found. */
static ag_err
node_enter(struct iam *iam, struct iam_node *node, struct iam_list *list,
    struct iam_table *other, const char *scope, const char *key, void *item)
{
	ag_err err;

	if ((err = list_reserve(list)) != AG_OK ||
	    (err = iam_table_add(&iam->nodes, "", node->id, node)) != AG_OK)
		return err;
	if ((err = iam_table_add(other, scope, key, item)) != AG_OK) {
		iam_table_del(&iam->nodes, "", node->id, node);
		return err;
	}
	iam_list_insert(list, node);
	return AG_OK;
}

/* A role that is not known any more gives nothing. */
static void
take_roles(struct iam *iam, struct iam_node *node, const Ag__Principal *p)
{
	node->role_count = 0;
	for (size_t i = 0; i < p->n_roles && node->role_count < IAM_ROLES_MAX;
	    i++) {
		const Ag__RoleGrant *g = p->roles[i];
		const struct iam_role *role = iam_role_find(iam, node->tenant,
		    g->name);

		if (role == NULL)
			continue;
		node->roles[node->role_count++] = (struct iam_role_held){
			.role = role,
			.from = g->has_valid_from ? g->valid_from : 0,
			.until = g->has_valid_until ? g->valid_until : INT64_MAX,
		};
	}
}

static ag_err
principal_new(struct iam *iam, const Ag__Principal *p, struct iam_node **out)
{
	struct iam_tenant *tenant = iam_tenant_find(iam, p->tenant);
	ag_err err;

	if (tenant == NULL)
		return AG_CORRUPT;
	if ((err = node_new(p->id, p->name, tenant, out)) != AG_OK)
		return err;
	(*out)->kind = p->kind;
	(*out)->root = *out;
	make_link(*out);
	if ((err = node_enter(iam, *out, &iam->principals, &iam->names,
	    tenant->name, (*out)->name, *out)) != AG_OK) {
		node_free(*out);
		return err;
	}
	iam_quota_count(iam, tenant, IAM_C_PRINCIPALS, true);
	return AG_OK;
}

ag_err
iam_take_principal(struct iam *iam, const Ag__Principal *p,
    struct iam_node **out)
{
	struct iam_node *node = iam_node_find(iam, p->id);
	ag_err err;

	if (node == NULL && (err = principal_new(iam, p, &node)) != AG_OK)
		return err;
	node->state = state_of(p->state);
	node->state_at = p->updated_at;
	take_roles(iam, node, p);
	*out = node;
	if ((err = iam_external_take(iam, node, p->external)) != AG_OK ||
	    (err = keep_packed(node, p)) != AG_OK)
		return err;
	node->version = p->revision; /* last: now there is nothing to repeat */
	return AG_OK;
}

static ag_err
take_networks(struct iam_node *node, const Ag__Agent *agent)
{
	if (agent->n_source_cidrs == 0)
		return AG_OK;
	if (agent->n_source_cidrs > IAM_CIDRS_MAX)
		return AG_CORRUPT;
	node->cidrs = calloc(agent->n_source_cidrs, sizeof(*node->cidrs));
	if (node->cidrs == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < agent->n_source_cidrs; i++)
		if (!iam_cidr_parse(agent->source_cidrs[i], &node->cidrs[i]))
			return AG_CORRUPT;
	node->cidr_count = (unsigned)agent->n_source_cidrs;
	return AG_OK;
}

static bool
issuer_fits(const char *id)
{
	return id == NULL || strlen(id) < AG_ID_SIZE;
}

static ag_err
agent_new(struct iam *iam, const Ag__Agent *agent, struct iam_node **out)
{
	struct iam_node *parent = iam_node_find(iam, agent->parent);
	struct iam_node *node;
	ag_err err;

	/* The parent is older, so there are no cycles. */
	if (parent == NULL || parent->depth >= IAM_DEPTH_MAX ||
	    strlen(agent->jti) >= sizeof(node->token.jti) ||
	    !issuer_fits(agent->issued_by))
		return AG_CORRUPT;
	if ((err = node_new(agent->id, agent->label, parent->tenant, &node)) !=
	    AG_OK)
		return err;
	node->kind = AG__KIND__V__agent;
	node->parent = parent;
	node->root = parent->root;
	node->depth = parent->depth + 1;
	node->max_depth = agent->max_depth;
	node->max_uses = agent->has_max_uses ? agent->max_uses : 0;
	make_link(node);
	strcpy(node->token.jti, agent->jti);
	if (agent->issued_by != NULL)
		strcpy(node->token.issued_by, agent->issued_by);
	node->token.node = node;
	node->token.issued_at = agent->issued_at;
	node->token.expires_at = agent->expires_at;
	if (agent->model != NULL && (node->model = strdup(agent->model)) == NULL)
		err = AG_NO_MEMORY;
	if (err != AG_OK || (err = iam_scopes_make(agent->scopes,
	    agent->n_scopes, &node->scopes)) != AG_OK ||
	    (err = take_networks(node, agent)) != AG_OK ||
	    (err = node_enter(iam, node, &iam->agents, &iam->tokens, "",
	    node->token.jti, &node->token)) != AG_OK) {
		node_free(node);
		return err;
	}
	iam_quota_count(iam, node->tenant, IAM_C_AGENTS, true);
	node->next_sibling = parent->first_child;
	if (node->next_sibling != NULL)
		node->next_sibling->prev_sibling = node;
	parent->first_child = node;
	*out = node;
	return AG_OK;
}

ag_err
iam_take_agent(struct iam *iam, const Ag__Agent *agent, struct iam_node **out)
{
	struct iam_node *node = iam_node_find(iam, agent->id);
	Ag__Agent bare = *agent;
	ag_err err;

	if (node == NULL && (err = agent_new(iam, agent, &node)) != AG_OK)
		return err;
	node->state = state_of(agent->state);
	node->expired = strcmp(agent->state, "expired") == 0;
	node->state_at = agent->has_revoked_at ? agent->revoked_at :
	    agent->issued_at;
	/* Only what the responder did has a cause. */
	node->by_responder = node->state == IAM_SUSPENDED &&
	    agent->cause_event_id != NULL;
	*out = node;
	bare.n_chain = 0;
	if ((err = keep_packed(node, &bare)) != AG_OK)
		return err;
	node->version = agent->revision;
	return AG_OK;
}

/* ---------------------------------------------------------------- tokens */

ag_err
iam_take_token(struct iam *iam, const Ag__TokenIssuedFact *fact)
{
	struct iam_node *node = iam_node_find(iam, fact->principal_id);
	struct iam_token *token;
	ag_err err;

	if (iam_token_find(iam, fact->jti) != NULL)
		return AG_OK;
	if (node == NULL || strlen(fact->jti) >= sizeof(token->jti) ||
	    !issuer_fits(fact->issued_by))
		return AG_CORRUPT;
	token = calloc(1, sizeof(*token));
	if (token == NULL)
		return AG_NO_MEMORY;
	strcpy(token->jti, fact->jti);
	if (fact->issued_by != NULL)
		strcpy(token->issued_by, fact->issued_by);
	token->node = node;
	token->issued_at = fact->issued_at;
	token->expires_at = fact->expires_at;
	err = iam_scopes_make(fact->scopes, fact->n_scopes, &token->scopes);
	if (err == AG_OK && fact->break_glass != NULL &&
	    (token->glass = strdup(fact->break_glass)) == NULL)
		err = AG_NO_MEMORY;
	if (err == AG_OK)
		err = iam_table_add(&iam->tokens, "", token->jti, token);
	if (err != AG_OK) {
		iam_scopes_free(&token->scopes);
		free(token->glass);
		free(token);
		return err;
	}
	token->next = node->tokens;
	node->tokens = token;
	iam_quota_count(iam, node->tenant, IAM_C_TOKENS, true);
	return AG_OK;
}

void
iam_drop_token(struct iam *iam, struct iam_token *token)
{
	struct iam_token **at = &token->node->tokens;

	while (*at != token)
		at = &(*at)->next;
	*at = token->next;
	iam_quota_count(iam, token->node->tenant, IAM_C_TOKENS, false);
	iam_table_del(&iam->tokens, "", token->jti, token);
	iam_scopes_free(&token->scopes);
	free(token->glass);
	free(token);
}
