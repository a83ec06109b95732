/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.rules: rates for who fits (tenant, principal, kind, role) and what is
 * done (resource, operation, tool). Beside limits.principal and limits.key, which
 * always hold.
 */
#ifndef AEGIS_ACTORS_IAM_RATES_H
#define AEGIS_ACTORS_IAM_RATES_H

#include <aegis/aegis.h>

struct iam;
struct iam_rates;
struct call;

/* From the configuration; AG_NO_MEMORY. Without rules there are none. */
ag_err iam_rates_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_rates_fini(struct iam *iam);
/* "limits begin", "limits <a line of ag_config_pack>" …, "limits end": the
 * rates of all kinds as the file now has them. */
void iam_rates_told(struct iam *iam, struct ag_ctx *ctx, const char *word);
/* The shares of the rules that fit. */
void iam_rates_begin(struct call *c);
/* Only looked at; a refusal below must not use up others' share. */
ag_err iam_rates_look(struct call *c) AG_MUST;
void iam_rates_take(struct call *c);

#endif
