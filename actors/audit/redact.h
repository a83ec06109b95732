/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: nothing secret, and nothing that the configuration names, reaches
 * the log. What is taken out leaves a keyed hash, so that equal values of a
 * tenant can still be joined.
 */
#ifndef AEGIS_AUDIT_REDACT_H
#define AEGIS_AUDIT_REDACT_H

#include <aegis/aegis.h>

enum {
	REDACT_RULES_MAX = 64,
	REDACT_KEY_BYTES = 32,
	REDACT_NESTED_MAX = 16 << 10, /* JSON in a value that is looked into */
};

struct redact {
	struct redact_rule {
		const char *operation; /* "key.sign", "key.*"; NULL: every one */
		const char *field;
	} rules[REDACT_RULES_MAX];
	unsigned rule_count;
	struct ag_secret *key; /* NULL: not there yet */
	bool asking;
	uint64_t count; /* values taken out, ever */
};

/* The rules of the configuration. Their strings are the configuration's. */
ag_err redact_init(struct redact *r, struct ag_ctx *ctx) AG_MUST;
void redact_fini(struct redact *r);
/* Asks the root of trust for the key, unless it is there. */
void redact_ask_key(struct redact *r, struct ag_ctx *ctx, unsigned rot,
    ag_then *then);
/* The reply's key. AG_BAD_MESSAGE: it is none. */
ag_err redact_take_key(struct redact *r, struct ag_ctx *ctx,
    const Ag__RotSecretReply *reply) AG_MUST;
/*
 * Replaces in the event what must not be kept; the new texts are the turn's.
 * Events that were unpacked are changed in place. Before the key is there,
 * the replacement says so instead of a hash.
 */
ag_err redact_event(struct redact *r, struct ag_ctx *ctx, Ag__Event *event)
    AG_MUST;

#endif
