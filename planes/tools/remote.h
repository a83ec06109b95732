/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools of other servers, as the gateway last told: how they are named here,
 * who may see which, and what a call of one comes to. Here a tool is called
 * "<server>__<tool>", which every host can say; in scopes "<server>/<tool>".
 */
#ifndef PLANE_REMOTE_H
#define PLANE_REMOTE_H

#include "tools.h"

enum { REMOTE_NAME_SIZE = 72 };

struct remotes {
	Ag__ToolCatalogEvent *catalog; /* NULL: none was told yet */
};

/* Keeps a copy. */
ag_err remotes_take(struct remotes *remotes, const Ag__ToolCatalogEvent *event)
    AG_MUST;
void remotes_fini(struct remotes *remotes);
/* In the gateway's order, NULL past the end. */
const Ag__ToolOffered *remote_at(const struct remotes *remotes, size_t i);
/* Is it its tenant's, and do these effective scopes let it be called? */
bool remote_is_shown(const Ag__ToolOffered *tool, const char *tenant,
    char *const *scopes, size_t n);
void remote_name(const Ag__ToolOffered *tool, char out[REMOTE_NAME_SIZE]);
/* The name's selector, in the pool; NULL: it is no name of such a tool. */
const char *remote_selector(struct pool *pool, const char *name);
/* The call of `name`. False: it is no name of such a tool. ask->msg NULL: refuse
 * says why. */
bool remote_bind(struct pool *pool, const char *name, const json_t *arguments,
    const char *at, struct tool_ask *ask, struct refuse *refuse);

#endif
