/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person does next about an error: what the server said of this one,
 * else what goes for its reason, else what goes for its code. Every public code
 * has a word here (aegis doc errors prints them).
 */
#include "cli.h"

#include <string.h>

struct hint {
	const char *about, *hint;
};

static const struct hint of_reasons[] = {
	{ "token_expired", "this credential has expired; get a new one (aegis "
	    "principal token NAME --out FILE), then aegis login --token-file "
	    "FILE" },
	{ "token_revoked", "this credential was revoked; get another one, then "
	    "aegis login --token-file FILE" },
	{ "token_malformed", "that is no token; aegis login --token-file FILE" },
	{ "scope_missing", "aegis whoami shows what you may do" },
	{ "role_missing", "aegis whoami shows what you may do" },
	{ "no_matching_rule", "aegis authz explain says which policy it was" },
	{ "pre_active", "aegis key activate KEY" },
	{ "frozen", "aegis key unfreeze KEY --reason TEXT" },
	{ "pending_destruction", "aegis key cancel-destroy KEY" },
	{ "outcome_unknown", "aegis audit says whether it happened" },
};

static const struct hint of_codes[] = {
	{ "MalformedRequest", "aegis version says whether both sides are of one "
	    "release" },
	{ "InvalidField", "--help says what the verb takes" },
	{ "CryptographicFailure", "compare key, version, context and data with what "
	    "was encrypted" },
	{ "Unauthenticated", "aegis login --token-file FILE" },
	{ "StepUpRequired", "do the same again with --code-file, or at a terminal" },
	{ "StepUpFailed", "wait for the next code, and do the same again" },
	{ "PermissionDenied", "aegis whoami shows what you may do; aegis audit says "
	    "why it was refused" },
	{ "PrincipalSuspended", "somebody has to resume it: aegis principal resume P "
	    "--reason TEXT" },
	{ "OutsideAllowedWindow", "aegis key show KEY has its allowed_windows" },
	{ "DelegationDepthExceeded", "have somebody higher up issue the agent, or "
	    "one with a larger --max-depth" },
	{ "ItemNotFound", "the noun's list shows what there is" },
	{ "RouteNotFound", "aegis doc rest has all routes" },
	{ "MethodNotAllowed", "aegis doc rest has all routes" },
	{ "RequestTimeout", "send it again" },
	{ "AlreadyExists", "names are taken for ever; choose another one" },
	{ "IllegalOperation", "show says what state it is in" },
	{ "InvalidKeyState", "aegis key show KEY says what state it is in" },
	{ "KeyCompromised", "use another key; this one is good for nothing any more" },
	{ "UsageLimitExceeded", "aegis key rotate KEY, or another credential" },
	{ "Conflict", "look at it again, then do the same again" },
	{ "PreconditionFailed", "look at it again: it changed meanwhile" },
	{ "RequestTooLarge", "send it in smaller parts" },
	{ "HeadersTooLarge", "send fewer or shorter header fields" },
	{ "UnsupportedMediaType", "send Content-Type: application/json" },
	{ "IdempotencyMismatch", "take a new Idempotency-Key for another request" },
	{ "RateLimited", "wait, and do the same again" },
	{ "GeneralFailure", "the log has the cause under the request's id; aegis "
	    "doctor" },
	{ "FeatureNotSupported", "aegis doc config says how it is switched on" },
	{ "Unavailable", "aegis status says what is missing; try again" },
	{ "DeadlineExceeded", "aegis audit says whether it happened" },
	{ "ApprovalRequired", "aegis approval show says who has to agree" },
	{ "ResidencyViolation", "use the key from an address in its region" },
};

static const char *
find(const struct hint *hints, size_t count, const char *about)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(hints[i].about, about) == 0)
			return hints[i].hint;
	return NULL;
}
#define FIND(hints, about) find(hints, sizeof(hints) / sizeof((hints)[0]), about)

const char *
cli_hint_of(const char *code)
{
	const char *hint = FIND(of_codes, code);

	return hint == NULL ? "" : hint;
}

const char *
cli_hint_for(const json_t *problem)
{
	const char *said = cli_member_text(problem, "hint");
	const char *hint = FIND(of_reasons, cli_member_text(problem,
	    "reason_code"));

	if (said[0] != '\0')
		return said;
	return hint != NULL ? hint : cli_hint_of(cli_member_text(problem, "code"));
}
