/* SPDX-License-Identifier: Apache-2.0 */
/* FIDO2 keys of people, between webauthn.c, webauthn_keys.c and stepup.c. */
#ifndef AEGIS_ACTORS_IAM_WEBAUTHN_H
#define AEGIS_ACTORS_IAM_WEBAUTHN_H

#include "ceremony.h"
#include "iam.h"

enum { IAM_WEBAUTHN_EACH = 8 /* keys of one person */ };

struct iam_webauthn_key {
	char name[AG_NAME_MAX + 1];
	struct iam_fido_key key;
	int64_t created_at, last_used_at; /* 0: never */
	struct iam_webauthn_key *next;
};
struct iam_webauthn {
	uint64_t version; /* of the stream webauthn:<id> */
	struct iam_webauthn_key *first;
};

/* NULL: none. */
struct iam_webauthn_key *iam_webauthn_named(const struct iam_node *node,
    const char *name);
struct iam_webauthn_key *iam_webauthn_with(const struct iam_node *node,
    struct iam_bytes id);
unsigned iam_webauthn_count(const struct iam_node *node);
/* What of a fact is about the key itself; borrows both. */
void iam_webauthn_describe(Ag__WebauthnFact *fact, const char *name,
    struct iam_fido_key *key);

/* What an authenticator is given to sign; NULL: no memory. */
Ag__WebauthnRequest *iam_webauthn_request(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node, uint8_t challenge[IAM_FIDO_CHALLENGE]);
/*
 * An assertion for this challenge, by one of the node's keys: once it is a good
 * one its counter is journaled, and `then` runs (AG_PENDING). Otherwise refuses
 * with AG_STEP_UP_FAILED.
 */
ag_err iam_webauthn_answer(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const uint8_t challenge[IAM_FIDO_CHALLENGE],
    const Ag__WebauthnAssertion *answer, ag_then *then, const void *memo,
    size_t memo_size) AG_MUST;

#endif
