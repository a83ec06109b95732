/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema that policies are checked against: printed from the table of
 * operations, so that a new operation is an action at once.
 */
#include "rules.h"

#include <aegis/proto.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_MEMORY = 16 << 20 };

static const char head[] =
    "namespace Aegis {\n"
    "  // A tenant: the resource of what is about no single thing.\n"
    "  entity Tenant;\n"
    "  // A role; people and services are in the roles that they hold now.\n"
    "  entity Role;\n"
    "  // People and services are called by their name.\n"
    "  entity Human in [Role] { id: String, name: String, tenant: String };\n"
    "  entity Service in [Role] { id: String, name: String, tenant: String };\n"
    "  // Agents are called by their id, and are in whoever is above them.\n"
    "  entity Agent in [Agent, Human, Service] {\n"
    "    id: String, label: String, tenant: String, depth: Long, model?: String\n"
    "  };\n"
    "  // Keys are called by their alias, or by their id if they have none.\n"
    "  // Their labels are tags. state: PreActive, Active, Deactivated, Compromised,\n"
    "  // Destroyed, DestroyedCompromised. backend: the root of trust that holds it.\n"
    "  entity Key {\n"
    "    id: String, alias?: String, tenant: String, spec: String, state: String,\n"
    "    backend: String\n"
    "  } tags String;\n"
    "  entity Tool { tenant: String };\n"
    "\n"
    "  // How often this request would have been admitted with this one: the same\n"
    "  // principal, action and resource in the last second … day, items of batches\n"
    "  // counted each; and for how many keys this principal was, with this one.\n"
    "  type Recent = {\n"
    "    second: Long, minute: Long, hour: Long, day: Long,\n"
    "    keys_hour: Long, keys_day: Long\n"
    "  };\n"
    "  type Context = {\n"
    "    at: datetime,             // the server's clock\n"
    "    weekday: String,          // of it in UTC: \"mon\", \"tue\", …, \"sun\"\n"
    "    source: ipaddr,           // `::` if it is not known\n"
    "    plane: String,            // \"rest\", …\n"
    "    credential_age: duration, // since it was issued\n"
    "    stepped_up: Bool,         // the request came with a second factor\n"
    "    since_step_up?: duration, // since the last one of this principal; a\n"
    "                              // restart forgets it\n"
    "    since_approval?: duration, // since people last agreed to the same, in\n"
    "                              // the last day: principal, action, resource\n"
    "    recent: Recent,\n"
    "    items: Long,              // of a batch, else 1\n"
    "    bytes: Long,              // of the request's body, without names and\n"
    "                              // base64\n"
    "    under_way: Long           // requests of this principal, action and\n"
    "                              // resource that have not ended, with this one\n"
    "  };\n"
    "\n"
    "  action \"read\", \"use\", \"manage\", \"destroy\";\n";

static const char *const uses[] = { "sign", "verify", "encrypt", "decrypt",
	"wrap", "unwrap", "generate-data-key", "mac", "mac-verify", "random" };
static const char *const ends[] = { "key.destroy", "principal.delete",
	"system.tenant-delete" };

static bool
among(const char *const *list, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}
#define AMONG(list, word) among(list, sizeof(list) / sizeof((list)[0]), word)

/* A batch is asked about as the operation of its items. Not asked about are
 * decisions on approvals: they would need an approval. */
static bool
is_asked(const struct ag_operation *op)
{
	return op->kind != AG_KIND_ANY && op->kind != AG_KIND_POLICY &&
	    op->executor != AG_ROLE_APPROVALS &&
	    (op->flags & AG_OP_EITEM) == 0;
}

static const char *
group_of(const struct ag_operation *op)
{
	if (AMONG(ends, op->operation))
		return "destroy";
	if (op->kind == AG_KIND_TOOL ||
	    (op->kind == AG_KIND_KEY && AMONG(uses, op->op)))
		return "use";
	return (op->flags & AG_OP_READ) != 0 ? "read" : "manage";
}

bool
ag_rules_action_group(const char *operation, const char **group)
{
	const struct ag_operation *op = ag_operation_named(operation);

	if (op == NULL || !is_asked(op))
		return false;
	*group = group_of(op);
	return true;
}

static const char *
resources_of(const struct ag_operation *op)
{
	if ((op->flags & AG_OP_ALL) != 0)
		return "Tenant";
	switch (op->kind) {
	case AG_KIND_KEY:
		return "Key";
	case AG_KIND_AGENT:
		return "Agent";
	case AG_KIND_PRINCIPAL: /* a token is revoked as its owner's */
		return op->type == AG_MSG_TOKEN_REVOKE ?
		    "Human, Service, Agent" : "Human, Service";
	case AG_KIND_TOOL:
		return "Tool";
	case AG_KIND_ANY:
	case AG_KIND_AUDIT:
	case AG_KIND_POLICY:
	case AG_KIND_SYSTEM:
	case AG_KIND_COUNT:
		break;
	}
	return "Tenant";
}

char *
ag_rules_schema_text(void)
{
	const struct ag_operation *op;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	fputs(head, out);
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++)
		if (is_asked(op))
			fprintf(out, "  action \"%s\" in [\"%s\"] appliesTo {\n"
			    "    principal: [Human, Service, Agent], "
			    "resource: [%s], context: Context\n  };\n",
			    op->operation, group_of(op), resources_of(op));
	fputs("}\n", out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

enum ag_cedar_err
ag_rules_schema_new(struct ag_cedar_schema **out)
{
	struct ag_cedar_problem problem;
	enum ag_cedar_err err;
	char *text = ag_rules_schema_text();

	*out = NULL;
	if (text == NULL)
		return AG_CEDAR_NO_MEMORY;
	err = ag_cedar_schema_parse(text, strlen(text), SCHEMA_MEMORY, out,
	    &problem);
	free(text);
	return err;
}
