/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client secrets of services, second factors of people, and requests that wait for
 * one.
 */
#ifndef AEGIS_ACTORS_IAM_FACTORS_H
#define AEGIS_ACTORS_IAM_FACTORS_H

#include "iam.h"

/* ---- clients.c: services and their secrets */
ag_handler iam_on_client_secret, iam_on_client_secret_remove,
    iam_on_client_token;
ag_err iam_client_take(struct iam *iam, const Ag__ClientSecretFact *fact)
    AG_MUST;
ag_err iam_client_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;

/* ---- totp.c: the second factor of people */
ag_handler iam_on_totp_begin, iam_on_totp_confirm, iam_on_totp_remove;
void iam_totp_fetch_key(struct iam *iam, struct ag_ctx *ctx);
ag_err iam_totp_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_totp_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
bool iam_totp_enrolled(const struct iam_node *node);
/* Ends an enrolment that is not confirmed, if there is one: in memory, and in
 * the snapshot. */
ag_err iam_totp_drop(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node) AG_MUST;
/* The code of a factor that is begun; each is good once, and wrong ones are
 * few. Otherwise refuses with AG_STEP_UP_FAILED, AG_RATE_LIMITED or
 * AG_UNAVAILABLE. */
ag_err iam_totp_take(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *code) AG_MUST;

/*
 * Where nodes share: asks whether the code, if it is a good one, was used on
 * another node; iam_totp_take needs to know. AG_OK: nothing is to be asked.
 * AG_PENDING: `then` runs with the trip, calls iam_totp_claimed, and begins it
 * again. */
ag_err iam_totp_claim(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node, const uint8_t request[AG_UUID_BYTES],
    const char *code, ag_then *then) AG_MUST;
void iam_totp_claimed(struct iam *iam, ag_err status, const void *msg,
    const void *memo);

/* ---- webauthn.c, webauthn_keys.c: FIDO2 keys of people */
ag_handler iam_on_webauthn_begin, iam_on_webauthn_confirm, iam_on_webauthn_list,
    iam_on_webauthn_remove;
ag_err iam_webauthn_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_webauthn_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;
ag_err iam_webauthn_take(struct iam *iam, const void *keys) AG_MUST;
void iam_webauthn_free(struct iam_node *node);
/* AG_METHOD_ bits of what it has enrolled; is there any? */
unsigned iam_methods(const struct iam_node *node);
bool iam_second_factor(const struct iam_node *node);

/* ---- stepup.c: requests that wait for a second factor */
/* One for a key of this name that is being enrolled. */
struct iam_challenge *iam_challenge_enrol(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const char *name);
/* NULL: none of this node's, or its time is over. */
struct iam_challenge *iam_challenge_enrolling(struct iam *iam, const char *id,
    const struct iam_node *node, int64_t now);
/* A factor came or went: what this node was asked before is over. One that was
 * spent stays: it is good for nothing but an answer that says so. */
void iam_challenges_end(struct iam *iam, const struct iam_node *node);
ag_handler iam_on_challenge, iam_on_challenge_read, iam_on_challenge_answer;
/* An executor of iam that wants a second factor whatever risk says: AG_OK if
 * the request came with one, or its caller has none enrolled. */
ag_err iam_step_up_wanted(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller) AG_MUST;

#endif
