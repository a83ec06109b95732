/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a request may come from: a browser names the page that sent it in
 * Origin and the name that it looked up in Host. On loopback both must be of
 * this machine, or a page from elsewhere whose name leads here (DNS rebinding)
 * could speak with the plane. And what this resource is called (RFC 9728).
 */
#include "mcp.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* "localhost", "127.0.0.1", "[::1]", with or without a port. */
static bool
is_local_host(const char *host)
{
	size_t len = strcspn(host, *host == '[' ? "]" : ":"), digits;
	const char *port;

	if (*host == '[' && host[len++] != ']')
		return false;
	port = host + len;
	digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
	if (*port != '\0' && (digits == 0 || port[1 + digits] != '\0'))
		return false;
	return (len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
	    (len == 5 && strncmp(host, "[::1]", 5) == 0) ||
	    (strncmp(host, "127.", 4) == 0 &&
	    strspn(host, "0123456789.") == len);
}

/* What stands behind "://"; NULL: no such thing. */
static const char *
host_of(const char *url)
{
	if (strncasecmp(url, "http://", 7) == 0)
		return url + 7;
	return strncasecmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

static bool
is_listed(struct mcp *mcp, const char *origin)
{
	const struct ag_config *config = ag_config(mcp->plane.ctx);
	const char *item;
	unsigned i;

	for (i = 0; (item = ag_config_get_item(config, "mcp.origins", 0, i)) !=
	    NULL; i++)
		if (strcasecmp(item, origin) == 0)
			return true;
	return mcp->base[0] != '\0' && strcasecmp(mcp->base, origin) == 0;
}

static bool
origin_fits(struct mcp *mcp, const char *origin)
{
	const char *host;

	if (origin == NULL || is_listed(mcp, origin))
		return true;
	host = host_of(origin);
	return mcp->loopback && host != NULL && is_local_host(host);
}

static bool
host_fits(struct mcp *mcp, const char *host)
{
	if (!mcp->loopback || host == NULL || is_local_host(host))
		return true;
	return mcp->base[0] != '\0' && host_of(mcp->base) != NULL &&
	    strcasecmp(host_of(mcp->base), host) == 0;
}

bool
mcp_check(struct conn *conn)
{
	struct mcp *mcp = mcp_of(conn);

	memset(&mcp_conn_of(conn)->call, 0, sizeof(struct call));
	if (origin_fits(mcp, http_field(&conn->in, FIELD_ORIGIN)) &&
	    host_fits(mcp, http_field(&conn->in, FIELD_HOST)))
		return true;
	request_refuse(conn, AG_PERMISSION_DENIED, "source_address",
	    "this origin or host may not call");
	return false;
}

/* The Host goes into a quoted string: nothing but what a host consists of. */
bool
mcp_base(struct conn *conn, char out[MCP_BASE_SIZE])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_";
	const char *host = http_field(&conn->in, FIELD_HOST);
	struct mcp *mcp = mcp_of(conn);

	if (mcp->base[0] != '\0') {
		snprintf(out, MCP_BASE_SIZE, "%s", mcp->base);
		return true;
	}
	if (host == NULL || *host == '\0' || strspn(host, allowed) != strlen(host))
		return false;
	return snprintf(out, MCP_BASE_SIZE, "%s://%s",
	    conn->plain ? "http" : "https", host) < MCP_BASE_SIZE;
}

/* Only issuers that the configuration names: our own tokens are given out by
 * people, not by an authorization endpoint. */
static void
add_servers(struct mcp *mcp, struct text *out)
{
	const struct ag_config *config = ag_config(mcp->plane.ctx);
	unsigned n = ag_config_get_count(config, "auth.issuers"), i, said = 0;
	const char *issuer;

	for (i = 0; i < n; i++) {
		issuer = ag_config_get_str(config, "auth.issuers[].issuer", i);
		if (issuer == NULL)
			continue;
		text_str(out, said++ == 0 ? ",\"authorization_servers\":[" : ",");
		text_json(out, issuer);
	}
	if (said > 0)
		text_char(out, ']');
}

static void
add_scopes(struct text *out)
{
	const struct tool *tool;
	const char *comma = "";
	char scope[64];
	unsigned i;

	text_str(out, ",\"scopes_supported\":[");
	for (i = 0; (tool = tool_at(i)) != NULL; i++) {
		if (tool_scope(tool, scope) == NULL)
			continue;
		text_str(out, comma);
		text_json(out, scope);
		comma = ",";
	}
	text_char(out, ']');
}

void
mcp_page(struct conn *conn)
{
	char base[MCP_BASE_SIZE], resource[MCP_BASE_SIZE + 8];
	struct text body = { 0 };

	if (!mcp_base(conn, base)) {
		refuse_set(&conn->own, AG_MALFORMED_REQUEST, "http", "Host",
		    "the host that was called is expected");
		answer_own(conn);
		return;
	}
	snprintf(resource, sizeof(resource), "%s/mcp", base);
	text_str(&body, "{\"resource\":");
	text_json(&body, resource);
	add_servers(mcp_of(conn), &body);
	add_scopes(&body);
	text_str(&body, ",\"bearer_methods_supported\":[\"header\"],"
	    "\"resource_name\":\"Aegis\"}");
	answer_page(conn, 200, "application/json", "", body.bytes, body.len);
	text_fini(&body);
}
