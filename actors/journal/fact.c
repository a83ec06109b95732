/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fact: which facts end their stream's thing.
 */
#include "fact.h"

#include <aegis/proto.h>

#include <string.h>

bool
fact_tells(uint16_t type)
{
	return type == AG_MSG_KEY_STATE_FACT || type == AG_MSG_AGENT_STATE_FACT ||
	    type == AG_MSG_PRINCIPAL_STATE_FACT || type == AG_MSG_TENANT_FACT ||
	    type == AG_MSG_APPROVAL_FACT;
}

static int
word_ends(const char *word)
{
	return strcmp(word, "revoked") == 0 || strcmp(word, "deleted") == 0;
}

/* Of one version it says nothing: the key has others. */
static int
key_ends(const Ag__KeyStateFact *fact)
{
	return fact->has_version ? -1 :
	    fact->state >= AG__KEY_STATE__V__Compromised;
}

/* What was agreed to lives on: it is used. */
static int
approval_ends(const Ag__ApprovalFact *fact)
{
	return strcmp(fact->approval->state, "pending") != 0 &&
	    strcmp(fact->approval->state, "approved") != 0;
}

int
fact_ends(uint16_t type, const void *fact)
{
	if (type == AG_MSG_KEY_VERSION_FACT)
		return 0;
	if (type == AG_MSG_TOKEN_REVOKED_FACT)
		return 1;
	if (!fact_tells(type) || fact == NULL)
		return -1;
	if (type == AG_MSG_KEY_STATE_FACT)
		return key_ends(fact);
	if (type == AG_MSG_AGENT_STATE_FACT)
		return word_ends(((const Ag__AgentStateFact *)fact)->state);
	if (type == AG_MSG_APPROVAL_FACT)
		return approval_ends(fact);
	if (type == AG_MSG_TENANT_FACT)
		return word_ends(((const Ag__TenantFact *)fact)->state);
	return word_ends(((const Ag__PrincipalStateFact *)fact)->state);
}
