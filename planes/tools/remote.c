/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <aegis/id.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define WORD LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

ag_err
remotes_take(struct remotes *remotes, const Ag__ToolCatalogEvent *event)
{
	size_t len = ag__tool_catalog_event__get_packed_size(event);
	uint8_t *bytes = malloc(len + 1);
	Ag__ToolCatalogEvent *copy = NULL;

	if (bytes != NULL) {
		ag__tool_catalog_event__pack(event, bytes);
		copy = ag__tool_catalog_event__unpack(NULL, len, bytes);
	}
	free(bytes);
	if (copy == NULL)
		return AG_NO_MEMORY;
	remotes_fini(remotes);
	remotes->catalog = copy;
	return AG_OK;
}

void
remotes_fini(struct remotes *remotes)
{
	if (remotes->catalog != NULL)
		ag__tool_catalog_event__free_unpacked(remotes->catalog, NULL);
	remotes->catalog = NULL;
}

const Ag__ToolOffered *
remote_at(const struct remotes *remotes, size_t i)
{
	return remotes->catalog == NULL || i >= remotes->catalog->n_tools ? NULL :
	    remotes->catalog->tools[i];
}

/* ----------------------------------------------------------------------- names */

void
remote_name(const Ag__ToolOffered *tool, char out[REMOTE_NAME_SIZE])
{
	snprintf(out, REMOTE_NAME_SIZE, "%s__%s", tool->server, tool->tool);
}

const char *
remote_selector(struct pool *pool, const char *name)
{
	const char *gap = strstr(name, "__"), *tool;
	size_t server = gap == NULL ? 0 : (size_t)(gap - name), len;
	char *out;

	if (server == 0 || strspn(name, LOWER "-") != server || name[0] == '-')
		return NULL;
	tool = gap + 2;
	len = strlen(tool);
	if (len == 0 || server + 1 + len > AG_NAME_MAX ||
	    strspn(tool, WORD "._-") != len || strchr("._-", tool[0]) != NULL)
		return NULL;
	if ((out = pool_zalloc(pool, server + len + 2)) == NULL)
		return NULL;
	memcpy(out, name, server);
	out[server] = '/';
	memcpy(out + server + 1, tool, len);
	return out;
}

/* ---------------------------------------------------------------------- scopes */

/* kind:selector:op, the kind up to the first colon, the op after the last. */
static bool
scope_fits(const char *scope, const Ag__ToolOffered *tool)
{
	static const char label[] = "label=server=";
	const char *first = strchr(scope, ':'), *last = strrchr(scope, ':');
	char path[REMOTE_NAME_SIZE];
	const char *selector;
	size_t len;

	if (first == NULL || first == last ||
	    (strcmp(last, ":call") != 0 && strcmp(last, ":*") != 0) ||
	    (strncmp(scope, "tool:", 5) != 0 && strncmp(scope, "*:", 2) != 0))
		return false;
	selector = first + 1;
	len = (size_t)(last - selector);
	if (len == 1 && *selector == '*')
		return true;
	snprintf(path, sizeof(path), "%s/%s", tool->server, tool->tool);
	if (strlen(path) == len && memcmp(path, selector, len) == 0)
		return true;
	return len == sizeof(label) - 1 + strlen(tool->server) &&
	    memcmp(selector, label, sizeof(label) - 1) == 0 &&
	    memcmp(selector + sizeof(label) - 1, tool->server,
	    strlen(tool->server)) == 0;
}

bool
remote_is_shown(const Ag__ToolOffered *tool, const char *tenant,
    char *const *scopes, size_t n)
{
	size_t i;

	if (strcmp(tool->tenant, tenant) != 0)
		return false;
	for (i = 0; i < n; i++)
		if (scope_fits(scopes[i], tool))
			return true;
	return false;
}

/* ----------------------------------------------------------------------- calls */

/* What is loaded is in the pool; what jansson prints is not. */
static bool
print_arguments(struct pool *pool, const json_t *arguments,
    Ag__ToolCallAsk *msg)
{
	/* In one order: people agree to what it says, not to how it was said. */
	char *text = json_dumps(arguments, JSON_COMPACT | JSON_SORT_KEYS);
	size_t len = text == NULL ? 0 : strlen(text);
	char *copy = text == NULL ? NULL : pool_strndup(pool, text, len);

	if (text != NULL)
		explicit_bzero(text, len);
	free(text);
	msg->has_arguments = true;
	msg->arguments.data = (uint8_t *)copy;
	msg->arguments.len = len;
	return copy != NULL;
}

bool
remote_bind(struct pool *pool, const char *name, const json_t *arguments,
    const char *at, struct tool_ask *ask, struct refuse *refuse)
{
	const char *selector = remote_selector(pool, name);
	Ag__ToolCallAsk *msg;

	if (selector == NULL)
		return false;
	ask->op = AG_MSG_TOOL_CALL;
	ask->selector = selector;
	ask->msg = NULL;
	msg = codec_bind_object(pool, &ag__tool_call_ask__descriptor, NULL, NULL,
	    refuse);
	if (msg == NULL)
		return true;
	if (arguments != NULL && !json_is_object(arguments))
		refuse_set(refuse, AG_INVALID_FIELD, "wrong_type", at,
		    "the arguments must be an object");
	else if (arguments != NULL && !print_arguments(pool, arguments, msg))
		refuse_set(refuse, AG_REQUEST_TOO_LARGE, "json_memory", at,
		    "the arguments are too large");
	else
		ask->msg = msg;
	return true;
}
