/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis policy sample: policies to begin with, the configuration that goes with
 * them, and tests that say what they mean. Three sizes, each on the last one's
 * shoulders. What is written here is checked by the tests as a user would.
 */
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum size { BASIC, APPROVALS, FULL, SIZES };

/* ------------------------------------------------------------------- texts */

static const char base_cedar[] =
    "// Whoever holds a role of Aegis may do with keys what the role is for.\n"
    "@id(\"keys-are-used\")\n"
    "permit(\n"
    "  principal in Aegis::Role::\"key-user\",\n"
    "  action in [Aegis::Action::\"use\", Aegis::Action::\"read\"],\n"
    "  resource is Aegis::Key\n"
    ");\n"
    "\n"
    "@id(\"keys-are-managed\")\n"
    "permit(\n"
    "  principal in Aegis::Role::\"key-admin\",\n"
    "  action,\n"
    "  resource is Aegis::Key\n"
    ");\n"
    "\n"
    "@id(\"keys-are-made\")\n"
    "permit(\n"
    "  principal in Aegis::Role::\"key-admin\",\n"
    "  action in [Aegis::Action::\"key.create\", Aegis::Action::\"key.list\"],\n"
    "  resource is Aegis::Tenant\n"
    ");\n"
    "\n"
    "@id(\"agents-are-issued\")\n"
    "permit(\n"
    "  principal in Aegis::Role::\"agent-issuer\",\n"
    "  action == Aegis::Action::\"agent.issue\",\n"
    "  resource\n"
    ");\n"
    "\n"
    "@id(\"administration\")\n"
    "permit(principal in Aegis::Role::\"admin\", action, resource);\n"
    "\n"
    "// What an agent may destroy, nobody can give back.\n"
    "@id(\"agents-destroy-nothing\")\n"
    "@reason(\"people destroy keys\")\n"
    "forbid(\n"
    "  principal is Aegis::Agent,\n"
    "  action in Aegis::Action::\"destroy\",\n"
    "  resource\n"
    ");\n";

static const char approvals_cedar[] =
    "// Of production, a lead has to agree to what an agent decrypts, for a quarter\n"
    "// of an hour; people show a second factor before they end something.\n"
    "@id(\"production-is-agreed-to\")\n"
    "@approval(\"leads, quorum 1, window 15m\")\n"
    "permit(\n"
    "  principal is Aegis::Agent,\n"
    "  action == Aegis::Action::\"key.decrypt\",\n"
    "  resource is Aegis::Key\n"
    ")\n"
    "when {\n"
    "  resource.hasTag(\"env\") && resource.getTag(\"env\") == \"prod\"\n"
    "};\n"
    "\n"
    "@id(\"ends-are-confirmed\")\n"
    "@step_up(\"totp\")\n"
    "permit(\n"
    "  principal is Aegis::Human in Aegis::Role::\"key-admin\",\n"
    "  action in Aegis::Action::\"destroy\",\n"
    "  resource is Aegis::Key\n"
    ");\n";

static const char limits_cedar[] =
    "// What agents do is bounded: how often, how much, how many at once, for how long.\n"
    "@id(\"agents-are-quick\")\n"
    "@timeout(\"2s\")\n"
    "permit(\n"
    "  principal is Aegis::Agent in Aegis::Role::\"key-user\",\n"
    "  action in Aegis::Action::\"use\",\n"
    "  resource is Aegis::Key\n"
    ");\n"
    "\n"
    "@id(\"rate\")\n"
    "@constraint(\"rate\")\n"
    "@reason(\"600 a minute, 50 keys an hour\")\n"
    "forbid(\n"
    "  principal is Aegis::Agent,\n"
    "  action in Aegis::Action::\"use\",\n"
    "  resource is Aegis::Key\n"
    ")\n"
    "when {\n"
    "  context.recent.minute > 600 || context.recent.keys_hour > 50\n"
    "};\n"
    "\n"
    "@id(\"size\")\n"
    "@constraint(\"bytes\")\n"
    "@reason(\"64 KiB\")\n"
    "forbid(\n"
    "  principal is Aegis::Agent,\n"
    "  action in Aegis::Action::\"use\",\n"
    "  resource\n"
    ")\n"
    "when {\n"
    "  context.bytes > 65536\n"
    "};\n"
    "\n"
    "@id(\"at-once\")\n"
    "@constraint(\"concurrency\")\n"
    "@reason(\"8 at once\")\n"
    "forbid(\n"
    "  principal is Aegis::Agent,\n"
    "  action in Aegis::Action::\"use\",\n"
    "  resource\n"
    ")\n"
    "when {\n"
    "  context.under_way > 8\n"
    "};\n";

static const char closed_cedar[] =
    "// Payroll is closed at night (UTC); in an emergency a person breaks the glass.\n"
    "@id(\"payroll-is-closed\")\n"
    "@overridable\n"
    "@reason(\"payroll is open from 06:00 to 20:00 UTC\")\n"
    "forbid(\n"
    "  principal,\n"
    "  action in Aegis::Action::\"use\",\n"
    "  resource is Aegis::Key\n"
    ")\n"
    "when {\n"
    "  resource.hasTag(\"team\") && resource.getTag(\"team\") == \"payroll\"\n"
    "}\n"
    "unless {\n"
    "  context.at.toTime() >= duration(\"6h\") &&\n"
    "  context.at.toTime() < duration(\"20h\")\n"
    "};\n";

static const char basic_yaml[] =
    "# What the policies of this folder need besides; `aegis doc config` says what else\n"
    "# there is.\n"
    "environment: dev\n"
    "rest:\n"
    "  listen: \"127.0.0.1:8470\"\n";

static const char approvals_yaml[] =
    "# Who agrees to what the policies of this folder leave to people, and to what\n"
    "# they say nothing of.\n"
    "environment: dev\n"
    "rest:\n"
    "  listen: \"127.0.0.1:8470\"\n"
    "approvals:\n"
    "  dual_control:\n"
    "    - {operation: key.destroy, label: env=prod, group: leads, quorum: 2}\n"
    "grants:\n"
    "  rules:\n"
    "    - {scope: \"key:label=env=test:*\", group: leads, ttl_max_s: 1800}\n";

static const char full_yaml[] =
    "# Approvals, limits, a way through a no in an emergency, and keys that stay where\n"
    "# they belong. `aegis doc config` says what each of these is.\n"
    "environment: dev\n"
    "rest:\n"
    "  listen: \"127.0.0.1:8470\"\n"
    "approvals:\n"
    "  dual_control:\n"
    "    - {operation: key.destroy, label: env=prod, group: leads, quorum: 2}\n"
    "    - {operation: principal.delete, group: leads, quorum: 2}\n"
    "grants:\n"
    "  rules:\n"
    "    - {scope: \"key:label=env=test:*\", group: leads, ttl_max_s: 1800}\n"
    "break_glass:\n"
    "  reasons: [incident, security]\n"
    "  ttl_max_s: 1800\n"
    "  cooldown_s: 900\n"
    "limits:\n"
    "  rules:\n"
    "    - {kind: agent, operation: \"key.*\", rate: 600, window_s: 60}\n"
    "    - {kind: agent, per: root, rate: 3000, window_s: 60}\n"
    "residency:\n"
    "  regions:\n"
    "    - {name: eu, networks: [10.1.0.0/16]}\n"
    "    - {name: us, networks: [10.2.0.0/16]}\n";

static const char world[] =
    "{\"principals\": {\n"
    "  \"ada\": {\"kind\": \"human\", \"roles\": [\"admin\"]},\n"
    "  \"alice\": {\"kind\": \"human\", \"roles\": [\"key-user\", \"agent-issuer\"]},\n"
    "  \"bob\": {\"kind\": \"human\", \"roles\": [\"key-admin\"]},\n"
    "  \"clerk\": {\"kind\": \"agent\", \"parent\": \"alice\"},\n"
    "  \"digger\": {\"kind\": \"agent\", \"parent\": \"bob\"}},\n"
    " \"keys\": {\n"
    "  \"build\": {\"labels\": {\"env\": \"test\"}},\n"
    "  \"ledger\": {\"spec\": \"AES_256\", \"labels\": {\"env\": \"prod\"}},\n"
    "  \"wages\": {\"labels\": {\"env\": \"test\", \"team\": \"payroll\"}}}}\n";

static const struct {
	const char *name, *text;
	enum size from; /* the smallest that has it */
} documents[] = {
	{ "base", base_cedar, BASIC },
	{ "approvals", approvals_cedar, APPROVALS },
	{ "limits", limits_cedar, FULL },
	{ "closed", closed_cedar, FULL },
};

static const struct {
	const char *word, *config;
} sizes[SIZES] = {
	[BASIC] = { "basic", basic_yaml },
	[APPROVALS] = { "approvals", approvals_yaml },
	[FULL] = { "full", full_yaml },
};

/* What each size decides of them. */
static const struct {
	const char *principal, *action, *resource, *context;
	const char *expect[SIZES];
} requests[] = {
	{ "alice", "key.sign", "build", NULL, { "allow", "allow", "allow" } },
	{ "alice", "key.rotate", "build", NULL, { "deny", "deny", "deny" } },
	{ "bob", "key.rotate", "build", NULL, { "allow", "allow", "allow" } },
	{ "ada", "key.create", NULL, NULL, { "allow", "allow", "allow" } },
	{ "clerk", "key.sign", "build", NULL, { "allow", "allow", "allow" } },
	{ "digger", "key.destroy", "build", NULL, { "deny", "deny", "deny" } },
	{ "bob", "key.destroy", "build", NULL, { "allow", "step_up", "step_up" } },
	{ "clerk", "key.decrypt", "ledger", NULL,
	    { "allow", "require_approval", "require_approval" } },
	{ "clerk", "key.sign", "build", "{\"recent\": {\"minute\": 601}}",
	    { "allow", "allow", "deny" } },
	{ "clerk", "key.sign", "build", "{\"bytes\": 65537}",
	    { "allow", "allow", "deny" } },
	{ "clerk", "key.sign", "build", "{\"under_way\": 9}",
	    { "allow", "allow", "deny" } },
	{ "alice", "key.sign", "wages", "{\"at\": \"2026-01-05T05:59:59Z\"}",
	    { "allow", "allow", "deny" } },
	{ "alice", "key.sign", "wages", "{\"at\": \"2026-01-05T06:00:00Z\"}",
	    { "allow", "allow", "allow" } },
};

/* ------------------------------------------------------------------ writing */

static enum cli_exit
write_text(struct cli *cli, const char *folder, const char *name,
    const char *text)
{
	char path[PATH_SIZE + AG_RULES_NAME_MAX + 16];
	enum cli_exit status;
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	if ((status = cli_create(path, false, &out)) != CLI_OK)
		return status;
	fputs(text, out);
	status = cli_finish(out, path);
	if (status == CLI_OK && !cli->quiet)
		cli_say("%s", path);
	return status;
}

static json_t *
tests_of(enum size size)
{
	json_t *policies = json_object(), *list = json_array();

	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		if (documents[i].from <= size)
			json_object_set_new(policies, documents[i].name,
			    json_string(documents[i].text));
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		json_t *request = json_pack("{s:s,s:s,s:s*,s:s}", "principal",
		    requests[i].principal, "action", requests[i].action,
		    "resource", requests[i].resource, "expect",
		    requests[i].expect[size]);

		if (requests[i].context != NULL)
			json_object_set_new(request, "context",
			    json_loads(requests[i].context, 0, NULL));
		json_array_append_new(list, request);
	}
	return json_pack("{s:o,s:[{s:s,s:o,s:o}]}", "world",
	    json_loads(world, 0, NULL), "cases", "name", sizes[size].word,
	    "policies", policies, "requests", list);
}

static enum cli_exit
write_tests(struct cli *cli, const char *folder, enum size size)
{
	json_t *tests = tests_of(size);
	char *text = tests == NULL ? NULL : json_dumps(tests, JSON_INDENT(1));
	enum cli_exit status = text == NULL ?
	    cli_fail(CLI_FAULT, "no memory") :
	    write_text(cli, folder, "tests.json", text);

	free(text);
	json_decref(tests);
	return status;
}

enum cli_exit
policy_sample(struct cli *cli)
{
	const char *folder = cli_get(cli, "DIR"), *word = cli_get(cli, "SIZE");
	char policies[PATH_SIZE], name[AG_RULES_NAME_MAX + 8];
	enum size size = BASIC;
	enum cli_exit status;

	while (size < SIZES && strcmp(sizes[size].word, word) != 0)
		size++;
	if (size == SIZES)
		return cli_fail(CLI_USAGE, "SIZE is basic, approvals or full, not "
		    "\"%.40s\"", word);
	if (snprintf(policies, sizeof(policies), "%s/policies", folder) >=
	    (int)sizeof(policies))
		return cli_fail(CLI_USAGE, "DIR is too long a name");
	if ((mkdir(folder, 0777) != 0 && errno != EEXIST) ||
	    mkdir(policies, 0777) != 0)
		return cli_fail(CLI_USAGE, "%s: %s; a new folder is expected",
		    policies, strerror(errno));
	status = write_text(cli, folder, "aegis.yaml", sizes[size].config);
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
		if (status != CLI_OK || documents[i].from > size)
			continue;
		(void)snprintf(name, sizeof(name), "%s" POLICY_ENDING,
		    documents[i].name);
		status = write_text(cli, policies, name, documents[i].text);
	}
	return status != CLI_OK ? status : write_tests(cli, folder, size);
}
