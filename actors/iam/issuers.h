/* SPDX-License-Identifier: Apache-2.0 */
/* issuers.c: tokens of other issuers */
#ifndef AEGIS_ACTORS_IAM_ISSUERS_H
#define AEGIS_ACTORS_IAM_ISSUERS_H

#include "iam.h"

/* AG_USAGE: what the configuration names is not usable; the log says why. */
ag_err iam_issuers_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_issuers_fini(struct iam *iam);
struct stat;
/* All of a file, with a NUL behind it, or NULL with errno; the caller frees. At
 * most max bytes. */
char *iam_file_read(const char *path, size_t max, size_t *len, struct stat *st);
struct iam_node *iam_external_find(struct iam *iam, const char *issuer,
    const char *subject);
/* The node's state is set; external NULL: none. */
ag_err iam_external_take(struct iam *iam, struct iam_node *node,
    const Ag__External *external) AG_MUST;
void iam_external_free(struct iam_node *node);
/* Before a change that gives node (NULL: a new one) this identity: nobody else
 * has it, nor gets it meanwhile. AG_PENDING, AG_ALREADY_EXISTS. */
ag_err iam_external_claim(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__External *external) AG_MUST;

#endif
