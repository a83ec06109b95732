/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All verbs, in the order of the reference.
 */
#include "cli.h"

#include <string.h>

static const struct cli_verb *const tables[] = {
	cli_verbs_fleet,
	cli_verbs_tls,
	cli_verbs_mcp,
	cli_verbs_system,
	cli_verbs_identity,
	cli_verbs_webauthn,
	cli_verbs_keys,
	cli_verbs_agents,
	cli_verbs_policy,
	cli_verbs_authz,
	cli_verbs_approvals,
	cli_verbs_audit,
	cli_verbs_sinks,
	cli_verbs_tools,
	cli_verbs_rot,
	cli_verbs_backup,
	cli_verbs_journal,
	cli_verbs_init,
	cli_verbs_demo,
};

/* What people type besides. */
static const struct { const char *typed, *noun; } aliases[] = {
	{ "keys", "key" },
	{ "agents", "agent" },
	{ "sessions", "session" },
	{ "devices", "webauthn" },
};

const struct cli_verb *
cli_verb_at(unsigned i)
{
	const struct cli_verb *verb;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (verb = tables[t]; verb->noun != NULL; verb++)
			if (i-- == 0)
				return verb;
	return NULL;
}

bool
cli_is_first(unsigned i)
{
	for (unsigned j = 0; j < i; j++)
		if (strcmp(cli_verb_at(j)->noun, cli_verb_at(i)->noun) == 0)
			return false;
	return true;
}

const char *
cli_noun_of(const char *typed)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(typed, aliases[i].typed) == 0)
			return aliases[i].noun;
	return typed;
}

const struct cli_verb *
cli_verb_find(const char *noun, const char *verb)
{
	const struct cli_verb *row;

	noun = cli_noun_of(noun);
	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, noun) == 0 && strcmp(row->verb, verb) == 0)
			return row;
	return NULL;
}

bool
cli_noun_has_verbs(const char *noun)
{
	const struct cli_verb *row;

	noun = cli_noun_of(noun);
	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, noun) == 0 && row->verb[0] != '\0')
			return true;
	return false;
}

bool
cli_noun_known(const char *noun)
{
	const struct cli_verb *row;

	noun = cli_noun_of(noun);
	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, noun) == 0)
			return true;
	return false;
}
