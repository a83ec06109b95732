/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot: what the tables hold, read at the first need; and the agents'
 * counts, written once a turn however many events it had. */
#include "access.h"
#include "factors.h"
#include "hold.h"
#include "iam.h"
#include "rulebook.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

struct activity {
	uint64_t allowed, refused;
	int64_t last_at;
	uint64_t unused; /* 0; earlier versions kept a flag here */
};

struct loading {
	struct iam *iam;
	ag_err err;
	const ProtobufCMessageDescriptor *descriptor;
	ag_err (*take)(struct iam *iam, const void *msg);
	/* Agents whose parent was not there yet: ids follow the clock, and a
	 * clock can have been set back. */
	size_t waiting, taken;
};

static ag_err
take_tenant(struct iam *iam, const void *msg)
{
	return iam_take_tenant(iam, msg);
}

static ag_err
take_principal(struct iam *iam, const void *msg)
{
	struct iam_node *node;

	return iam_take_principal(iam, msg, &node);
}

static ag_err
take_role(struct iam *iam, const void *msg)
{
	return iam_take_role(iam, msg);
}

static ag_err
take_policy(struct iam *iam, const void *msg)
{
	return iam_take_policy(iam, msg);
}

static ag_err
take_token(struct iam *iam, const void *msg)
{
	return iam_take_token(iam, msg);
}

static ag_err
take_token_end(struct iam *iam, const void *msg)
{
	const Ag__TokenRevokedFact *fact = msg;
	struct iam_token *token = iam_token_find(iam, fact->jti);

	if (token != NULL)
		token->revoked_at = fact->at;
	return AG_OK;
}

static ag_err
take_agent(struct iam *iam, const void *msg)
{
	const Ag__Agent *agent = msg;
	struct iam_node *node;

	if (iam_node_find(iam, agent->id) != NULL)
		return AG_OK;
	if (iam_node_find(iam, agent->parent) == NULL)
		return AG_ITEM_NOT_FOUND;
	return iam_take_agent(iam, agent, &node);
}

static ag_err
take_uses(struct iam *iam, const void *msg)
{
	iam_uses_take(iam, msg, true);
	return AG_OK;
}

static ag_err
take_key(struct iam *iam, const void *msg)
{
	const Ag__KeyCreatedFact *fact = msg;

	/* A row of before states were kept: the journal has them. */
	return fact->has_state ? iam_take_key(iam, fact) : AG_CORRUPT;
}

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct loading *l = arg;
	ProtobufCMessage *msg = protobuf_c_message_unpack(l->descriptor, NULL,
	    value_len, value);

	if (msg == NULL) {
		l->err = AG_CORRUPT;
		return false;
	}
	l->err = l->take(l->iam, msg);
	protobuf_c_message_free_unpacked(msg, NULL);
	if (l->err == AG_ITEM_NOT_FOUND) {
		l->waiting++;
		l->err = AG_OK;
	} else {
		l->taken++;
	}
	return l->err == AG_OK;
}

static bool
visit_activity(void *arg, const uint8_t *key, size_t key_len,
    const uint8_t *value, size_t value_len)
{
	struct loading *l = arg;
	struct activity a;
	struct iam_node *node;
	char id[AG_ID_SIZE];

	if (key_len >= sizeof(id) || value_len != sizeof(a)) {
		l->err = AG_CORRUPT;
		return false;
	}
	memcpy(id, key, key_len);
	id[key_len] = '\0';
	memcpy(&a, value, sizeof(a));
	node = iam_node_find(l->iam, id);
	if (node != NULL) {
		node->allowed = a.allowed;
		node->refused = a.refused;
		node->last_activity_at = a.last_at;
	}
	return true;
}

static bool
visit_hold(void *arg, const uint8_t *key, size_t key_len,
    const uint8_t *value, size_t value_len)
{
	struct loading *l = arg;
	char id[AG_ID_SIZE];

	if (key_len >= sizeof(id)) {
		l->err = AG_CORRUPT;
		return false;
	}
	memcpy(id, key, key_len);
	id[key_len] = '\0';
	l->err = iam_hold_load(l->iam, id, value, value_len);
	return l->err == AG_OK;
}

static ag_err
take_glass(struct iam *iam, const void *msg)
{
	return iam_glass_take(iam, msg);
}

static ag_err
take_client(struct iam *iam, const void *msg)
{
	return iam_client_take(iam, msg);
}

static ag_err
take_access(struct iam *iam, const void *msg)
{
	return iam_access_take(iam, msg);
}

static ag_err
load_agents(struct ag_ctx *ctx, struct loading *l)
{
	size_t before;
	ag_err err;

	l->waiting = SIZE_MAX;
	do {
		before = l->waiting;
		l->waiting = 0;
		err = ag_store_scan(ctx, IAM_T_AGENTS, NULL, 0, visit, l);
	} while (err == AG_OK && l->err == AG_OK && l->waiting > 0 &&
	    l->waiting < before);
	return err != AG_OK ? err : l->waiting > 0 ? AG_CORRUPT : l->err;
}

ag_err
iam_load(struct iam *iam, struct ag_ctx *ctx)
{
	static const struct {
		enum iam_table_name table;
		const ProtobufCMessageDescriptor *descriptor;
		ag_err (*take)(struct iam *iam, const void *msg);
	} tables[] = {
		{ IAM_T_TENANTS, &ag__tenant_fact__descriptor, take_tenant },
		{ IAM_T_ROLES, &ag__role_fact__descriptor, take_role },
		{ IAM_T_POLICIES, &ag__policy_fact__descriptor, take_policy },
		{ IAM_T_PRINCIPALS, &ag__principal__descriptor, take_principal },
		{ IAM_T_KEYS, &ag__key_created_fact__descriptor, take_key },
		{ IAM_T_TOKENS, &ag__token_issued_fact__descriptor, take_token },
		{ IAM_T_TOKEN_ENDS, &ag__token_revoked_fact__descriptor,
		    take_token_end },
		{ IAM_T_AGENTS, &ag__agent__descriptor, take_agent },
		{ IAM_T_USES, &ag__agent_uses_fact__descriptor, take_uses },
		{ IAM_T_GLASS, &ag__break_glass_fact__descriptor, take_glass },
		{ IAM_T_ACCESS, &ag__access_fact__descriptor, take_access },
		{ IAM_T_CLIENTS, &ag__client_secret_fact__descriptor,
		    take_client },
		{ IAM_T_WEBAUTHN, &ag__webauthn_keys__descriptor,
		    iam_webauthn_take },
	};
	struct loading l = { .iam = iam };
	ag_err err = AG_OK;

	if (iam->loaded)
		return AG_OK;
	iam->loaded = true;
	for (size_t i = 0; err == AG_OK && i < sizeof(tables) / sizeof(tables[0]);
	    i++) {
		l.descriptor = tables[i].descriptor;
		l.take = tables[i].take;
		err = tables[i].table == IAM_T_AGENTS ? load_agents(ctx, &l) :
		    ag_store_scan(ctx, tables[i].table, NULL, 0, visit, &l);
		if (err == AG_OK)
			err = l.err;
	}
	if (err == AG_OK)
		err = ag_store_scan(ctx, IAM_T_ACTIVITY, NULL, 0, visit_activity,
		    &l);
	if (err == AG_OK && l.err == AG_OK)
		err = iam_totp_load(iam, ctx);
	if (err == AG_OK && l.err == AG_OK)
		err = iam_agreed_load(iam, ctx);
	if (err == AG_OK && l.err == AG_OK)
		err = ag_store_scan(ctx, IAM_T_HOLDS, NULL, 0, visit_hold, &l);
	if (err == AG_OK && l.err == AG_OK)
		err = iam_recent_load(iam, ctx);
	if (err == AG_OK)
		err = l.err;
	ag_metric_set(ctx, IAM_M_HOLDS, iam->holds);
	ag_metric_set(ctx, IAM_M_AGENTS, iam->agents.count);
	ag_metric_set(ctx, IAM_M_KEYS, iam->keys.count);
	return err;
}

ag_err
iam_store_msg(struct ag_ctx *ctx, enum iam_table_name table, const char *key,
    const void *msg)
{
	size_t len;
	uint8_t *bytes = ag_pack(ctx, msg, &len);

	if (bytes == NULL)
		return AG_NO_MEMORY;
	return ag_store_put(ctx, table, key, strlen(key), bytes, len);
}

void
iam_mark_dirty(struct iam *iam, struct iam_node *node)
{
	if (node->dirty)
		return;
	node->dirty = true;
	node->next_dirty = iam->dirty;
	iam->dirty = node;
}

ag_err
iam_flush(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;
	ag_err err;

	if ((err = iam_usage_flush(&iam->usage, ctx)) != AG_OK ||
	    (err = iam_recent_flush(iam, ctx)) != AG_OK)
		return err;
	while (iam->dirty != NULL) {
		struct iam_node *node = iam->dirty;
		struct activity a = { node->allowed, node->refused,
			node->last_activity_at, 0 };

		err = ag_store_put(ctx, IAM_T_ACTIVITY, node->id,
		    strlen(node->id), &a, sizeof(a));
		if (err != AG_OK)
			return err;
		node->dirty = false;
		iam->dirty = node->next_dirty;
	}
	if (!iam->store_changed)
		return AG_OK;
	iam->store_changed = false;
	return ag_store_commit(ctx);
}
