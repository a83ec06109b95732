/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the configuration must be as a whole: defaults, members that a row
 * needs, keys that only make sense together, and what prod refuses.
 */
#include "cfg.h"
#include "engine.h"

#include <aegis/seglog.h>

#include <stdlib.h>
#include <string.h>

/* The words that config.def defines for more than one reader. */
#define CFG(path, type, fallback, range, help)
#include <aegis/config.def>
#undef CFG

static const char redact_fields[] = REDACT_FIELDS;

struct complaint {
	const char *name; /* of the file */
	char *message;
	size_t size;
};

/* "file:line: key: what would be right"; without a line for a default. */
static ag_err __attribute__((format(printf, 4, 5)))
complain(const struct complaint *to, const char *where, const char *key,
    const char *fmt, ...)
{
	va_list ap;
	int n;

	if (where == NULL || strcmp(where, "default") == 0)
		where = to->name;
	n = snprintf(to->message, to->size, "%s: %s: ", where, key);
	if (n >= 0 && (size_t)n < to->size) {
		va_start(ap, fmt);
		vsnprintf(to->message + n, to->size - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return AG_USAGE;
}

/* Where it is given; if it is a default, where what it does not go with is. */
static const char *
where_of(const struct ag_config *c, const char *path, const char *other)
{
	const char *where = ag_config_get_where(c, path, 0);

	return strcmp(where, "default") != 0 ? where :
	    ag_config_get_where(c, other, 0);
}

static bool
is(const struct ag_config *c, const char *path, unsigned i, const char *word)
{
	const char *text = ag_config_get_str(c, path, i);

	return text != NULL && strcmp(text, word) == 0;
}

static bool
has(const struct ag_config *c, const char *path, unsigned i)
{
	return ag_cfg_is_set(c, ag_cfg_find(path), i);
}

/* ------------------------------------------------------------- defaults */

static ag_err
fill_defaults(struct ag_config *c)
{
	char want[AG_CFG_WANT_MAX], list[AG_CFG_PATH_MAX];
	const struct ag_config_key *key;
	unsigned rows;
	ag_err err;

	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++) {
		if (key->fallback == NULL)
			continue;
		snprintf(list, sizeof(list), "%.*s",
		    (int)strcspn(key->path, "["), key->path);
		rows = ag_cfg_is_list(list) ? ag_config_get_count(c, list) : 1;
		for (unsigned row = 0; row < rows; row++) {
			if (ag_cfg_is_set(c, (int)i, row))
				continue;
			err = ag_cfg_set(c, (int)i, row, NULL, key->fallback,
			    want);
			if (err == AG_USAGE)
				ag_panic("config.def: default of %s", key->path);
			if (err != AG_OK)
				return err;
		}
	}
	return AG_OK;
}

/* -------------------------------------------------------- rows of lists */

/* The first is what complains about a row's place, so rows without it have
 * none: then any other member of the row says where. */
static const struct {
	const char *list, *member;
} needed[] = {
	{ "approvals.auto", "name" },
	{ "approvals.auto", "operation" },
	{ "approvals.auto", "group" },
	{ "approvals.callback.people", "user" },
	{ "approvals.callback.people", "principal" },
	{ "approvals.dual_control", "operation" },
	{ "audit.redact", "field" },
	{ "auth.issuers", "issuer" },
	{ "auth.issuers", "algorithms" },
	{ "gateway.servers", "name" },
	{ "gateway.servers", "url" },
	{ "gateway.tools", "tool" },
	{ "grants.rules", "scope" },
	{ "limits.rules", "rate" },
	{ "policies.signers", "name" },
	{ "policies.signers", "public_key_file" },
	{ "residency.regions", "name" },
	{ "residency.regions", "networks" },
	{ "responder.rules", "detector" },
	{ "responder.rules", "action" },
	{ "sinks", "name" },
	{ "sinks", "kind" },
};

static const char *
row_where(const struct ag_config *c, const char *list, unsigned row)
{
	size_t n = strlen(list);
	const struct ag_config_key *key;

	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++)
		if (strncmp(key->path, list, n) == 0 &&
		    strncmp(key->path + n, "[].", 3) == 0 &&
		    ag_cfg_is_set(c, (int)i, row))
			return ag_config_get_where(c, key->path, row);
	return NULL;
}

static ag_err
check_needed(const struct ag_config *c, const struct complaint *to)
{
	char path[AG_CFG_PATH_MAX], want[AG_CFG_WANT_MAX];

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		snprintf(path, sizeof(path), "%s[].%s", needed[i].list,
		    needed[i].member);
		for (unsigned j = 0;
		    j < ag_config_get_count(c, needed[i].list); j++) {
			if (has(c, path, j))
				continue;
			ag_cfg_want(ag_cfg_find(path), want);
			return complain(to, row_where(c, needed[i].list, j), path,
			    "row %u needs it: %s", j + 1, want);
		}
	}
	return AG_OK;
}

/* One of the words separated by |. */
static bool
is_word_of(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = words; *p != '\0'; p += *p == '|') {
		size_t n = strcspn(p, "|");

		if (n == len && memcmp(p, text, n) == 0)
			return true;
		p += n;
	}
	return false;
}

/* Which kinds of sinks need a member, and which may have it. */
static const struct {
	const char *member, *needs, *may;
} sink_members[] = {
	{ "path", "file", "" },
	{ "url", "webhook|splunk|otlp|traces|syslog|postgres|nats", "slack" },
	{ "url_file", "", "slack" },
	{ "brokers", "kafka", "" },
	{ "topic", "", "kafka|nats" },
	{ "format", "", "kafka|webhook|splunk|otlp|syslog|nats" },
	{ "key_file", "webhook|slack", "" },
	{ "callback_file", "", "slack" },
	{ "token_file", "splunk", "otlp|traces" },
	{ "user", "", "kafka|nats" },
	{ "password_file", "", "kafka|postgres|nats" },
	{ "ca_file", "", "kafka|webhook|slack|splunk|otlp|traces|syslog|postgres|nats" },
};

static ag_err
check_sink_members(const struct ag_config *c, const struct complaint *to,
    unsigned row, const char *where)
{
	const char *kind = ag_config_get_str(c, "sinks[].kind", row);
	char path[AG_CFG_PATH_MAX];

	for (size_t i = 0; i < sizeof(sink_members) / sizeof(sink_members[0]);
	    i++) {
		bool needs = is_word_of(sink_members[i].needs, kind);
		bool may = needs || is_word_of(sink_members[i].may, kind);
		bool there;

		snprintf(path, sizeof(path), "sinks[].%s", sink_members[i].member);
		there = has(c, path, row);
		if (needs != there && (needs || !may))
			return complain(to, where, path, "given with kind: %s%s%s, "
			    "and only then", sink_members[i].needs,
			    sink_members[i].needs[0] != '\0' &&
			    sink_members[i].may[0] != '\0' ? "|" : "",
			    sink_members[i].may);
	}
	if (is(c, "sinks[].format", row, "protobuf") &&
	    !is_word_of("kafka|nats", kind))
		return complain(to, where, "sinks[].format",
		    "json or ocsf; protobuf is for kafka and nats");
	if (is_word_of("slack", kind) && has(c, "sinks[].url", row) ==
	    has(c, "sinks[].url_file", row))
		return complain(to, where, "sinks[].url",
		    "given, or sinks[].url_file, and not both");
	if (has(c, "sinks[].user", row) != has(c, "sinks[].password_file", row) &&
	    !is_word_of("postgres", kind))
		return complain(to, where, "sinks[].user",
		    "given with password_file");
	return AG_OK;
}

bool
ag_is_loopback(const char *authority)
{
	size_t all = strcspn(authority, "/?#");
	size_t len = *authority == '[' ? strcspn(authority, "]") + 1 :
	    strcspn(authority, ":/?#");

	if (memchr(authority, '@', all) != NULL ||
	    (len < all && authority[len] != ':'))
		return false;
	return (len == 9 && strncmp(authority, "localhost", len) == 0) ||
	    (len == 5 && strncmp(authority, "[::1]", len) == 0) ||
	    (strncmp(authority, "127.", 4) == 0 &&
	    strspn(authority, "0123456789.") == len);
}

/* What leaves the machine leaves it encrypted, but for syslog over UDP and TCP,
 * which has no other way with many receivers. */
static const struct {
	const char *kinds, *scheme;
	bool near; /* to this machine only */
} sink_urls[] = {
	{ "webhook|slack|splunk|otlp|traces", "https://", false },
	{ "webhook|slack|splunk|otlp|traces", "http://", true },
	{ "syslog", "udp://", false }, { "syslog", "tcp://", false },
	{ "syslog", "tls://", false }, { "syslog", "unix:/", false },
	{ "postgres", "postgresql://", false },
	{ "nats", "tls://", false }, { "nats", "nats://", true },
};

static ag_err
check_sink_url(const struct ag_config *c, const struct complaint *to,
    unsigned row, const char *where)
{
	const char *kind = ag_config_get_str(c, "sinks[].kind", row);
	const char *url = ag_config_get_str(c, "sinks[].url", row);
	char right[256] = "";
	size_t len = 0;

	if (url == NULL)
		return AG_OK;
	for (size_t i = 0; i < sizeof(sink_urls) / sizeof(sink_urls[0]); i++) {
		const char *scheme = sink_urls[i].scheme;

		if (!is_word_of(sink_urls[i].kinds, kind))
			continue;
		if (strncmp(url, scheme, strlen(scheme)) == 0 &&
		    (!sink_urls[i].near || ag_is_loopback(url + strlen(scheme))))
			return AG_OK;
		len += (size_t)snprintf(right + len, sizeof(right) - len, "%s%s%s",
		    len > 0 ? ", " : "", scheme,
		    sink_urls[i].near ? " on loopback" : "");
	}
	return complain(to, where, "sinks[].url", "begins with one of %s", right);
}

static ag_err
check_sinks(const struct ag_config *c, const struct complaint *to)
{
	unsigned n = ag_config_get_count(c, "sinks");
	ag_err err;

	for (unsigned i = 0; i < n; i++) {
		const char *name = ag_config_get_str(c, "sinks[].name", i);
		const char *where = ag_config_get_where(c, "sinks[].name", i);

		for (unsigned j = 0; j < i; j++)
			if (is(c, "sinks[].name", j, name))
				return complain(to, where, "sinks[].name",
				    "a name that no other sink has");
		if ((err = check_sink_members(c, to, i, where)) != AG_OK ||
		    (err = check_sink_url(c, to, i, where)) != AG_OK)
			return err;
	}
	return AG_OK;
}

/* Names are parts of scopes and of the tools' names: "weather__forecast". */
static bool
is_server_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 20 && name[0] != '-' &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool
is_tool_url(const char *url)
{
	return strncmp(url, "https://", 8) == 0 ||
	    (strncmp(url, "http://", 7) == 0 && ag_is_loopback(url + 7));
}

enum { TOOL_REPLICAS_MAX = 7 };

static ag_err
check_gateway(const struct ag_config *c, const struct complaint *to)
{
	unsigned n = ag_config_get_count(c, "gateway.servers");

	for (unsigned i = 0; i < n; i++) {
		const char *name = ag_config_get_str(c, "gateway.servers[].name", i);
		const char *url = ag_config_get_str(c, "gateway.servers[].url", i);
		const char *where = ag_config_get_where(c,
		    "gateway.servers[].name", i);

		if (!is_server_name(name))
			return complain(to, where, "gateway.servers[].name",
			    "at most 20 of a-z, 0-9 and -");
		for (unsigned k = 0; k < i; k++)
			if (is(c, "gateway.servers[].name", k, name))
				return complain(to, where, "gateway.servers[].name",
				    "a name that no other server has");
		for (unsigned k = 0; url != NULL; k++) {
			if (!is_tool_url(url))
				return complain(to, where, k == 0 ?
				    "gateway.servers[].url" :
				    "gateway.servers[].replicas",
				    "https://, or http:// on loopback");
			url = ag_config_get_item(c, "gateway.servers[].replicas", i, k);
			if (url != NULL && k == TOOL_REPLICAS_MAX)
				return complain(to, where,
				    "gateway.servers[].replicas", "at most 7");
		}
	}
	return AG_OK;
}

static ag_err
check_opa(const struct ag_config *c, const struct complaint *to)
{
	static const char *const keys[] = { "opa.url", "opa.hook_url" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *url = ag_config_get_str(c, keys[i], 0);

		if (url != NULL && !is_tool_url(url))
			return complain(to, ag_config_get_where(c, keys[i], 0),
			    keys[i], "https://, or http:// on loopback");
	}
	if (has(c, "opa.hook_url", 0) &&
	    ag_config_get_int(c, "break_glass.destructive", 0) == 0)
		return complain(to, ag_config_get_where(c, "opa.hook_url", 0),
		    "opa.hook_url", "only together with "
		    "break_glass.destructive: true");
	return AG_OK;
}

static ag_err
check_journal(const struct ag_config *c, const struct complaint *to)
{
	static const char *const keys[] = { "journal.postgres.url",
		"journal.postgres.password_file", "journal.postgres.ca_file" };
	const char *url = ag_config_get_str(c, keys[0], 0);
	bool postgres = is(c, "journal.kind", 0, "postgres");

	for (size_t i = 0; !postgres && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (has(c, keys[i], 0))
			return complain(to, ag_config_get_where(c, keys[i], 0),
			    keys[i], "only together with journal.kind: postgres");
	if (!postgres)
		return AG_OK;
	if (url == NULL)
		return complain(to, ag_config_get_where(c, "journal.kind", 0),
		    keys[0], "given with journal.kind: postgres");
	if (strncmp(url, "postgresql://", 13) != 0)
		return complain(to, ag_config_get_where(c, keys[0], 0), keys[0],
		    "begins with postgresql://");
	return AG_OK;
}

/* hiredis speaks no TLS: what goes to Redis in the clear stays here. */
static bool
is_redis(const char *where)
{
	size_t len = strlen(where);
	const char *port = strrchr(where, ':');

	if (strncmp(where, "unix:/", 6) == 0)
		return len < 6 + 100; /* sockaddr_un has 108 bytes */
	return port != NULL && ag_is_loopback(where) && port[1] != '\0' &&
	    strspn(port + 1, "0123456789") == strlen(port + 1) &&
	    strlen(port + 1) <= 5 && atoi(port + 1) > 0 &&
	    atoi(port + 1) <= UINT16_MAX;
}

static ag_err
check_shared(const struct ag_config *c, const struct complaint *to)
{
	static const char *const keys[] = { "shared.redis", "shared.user",
		"shared.password_file" };
	const char *redis = ag_config_get_str(c, keys[0], 0);
	bool enabled = ag_config_get_int(c, "shared.enabled", 0) != 0;

	for (size_t i = 0; !enabled && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (has(c, keys[i], 0))
			return complain(to, ag_config_get_where(c, keys[i], 0),
			    keys[i], "only together with shared.enabled: true");
	if (!enabled)
		return AG_OK;
	if (redis == NULL || !is_redis(redis))
		return complain(to, ag_config_get_where(c, redis == NULL ?
		    "shared.enabled" : keys[0], 0), keys[0],
		    "unix:/path, or address:port on loopback");
	if (has(c, keys[1], 0) && !has(c, keys[2], 0))
		return complain(to, ag_config_get_where(c, keys[1], 0), keys[1],
		    "given with shared.password_file");
	return AG_OK;
}

/* What it reads there has people's agents revoked: off this machine only over
 * TLS. One name an item: librdkafka splits them at commas. */
static ag_err
check_across(const struct ag_config *c, const struct complaint *to)
{
	static const char brokers[] = "across.brokers";
	bool tls = has(c, "across.ca_file", 0) || has(c, "across.user", 0);
	const char *broker;
	unsigned n = 0;

	if (ag_config_get_int(c, "across.enabled", 0) == 0)
		return AG_OK;
	for (; (broker = ag_config_get_item(c, brokers, 0, n)) != NULL; n++)
		if (broker[0] == '\0' || strpbrk(broker, ", \t") != NULL ||
		    (!tls && !ag_is_loopback(broker)))
			return complain(to, ag_config_get_where(c, brokers, 0),
			    brokers, "host:port each; off loopback with "
			    "across.ca_file or across.user (TLS)");
	if (n == 0)
		return complain(to, ag_config_get_where(c, "across.enabled", 0),
		    brokers, "given with across.enabled: true");
	if (has(c, "across.user", 0) != has(c, "across.password_file", 0))
		return complain(to, ag_config_get_where(c, has(c, "across.user",
		    0) ? "across.user" : "across.password_file", 0),
		    "across.user", "given with across.password_file");
	return AG_OK;
}

static ag_err
check_issuers(const struct ag_config *c, const struct complaint *to)
{
	unsigned n = ag_config_get_count(c, "auth.issuers");
	bool prod = is(c, "environment", 0, "prod");
	const char *path = "auth.issuers[].algorithms", *word;

	for (unsigned i = 0; i < n; i++) {
		const char *where = ag_config_get_where(c, path, i);
		bool shared = false, public = false;

		for (unsigned j = 0;
		    (word = ag_config_get_item(c, path, i, j)) != NULL; j++) {
			shared = shared || strcmp(word, "HS256") == 0;
			public = public || strcmp(word, "HS256") != 0;
		}
		if (shared && prod)
			return complain(to, where, path, "ES256, RS256 or EdDSA; "
			    "prod refuses HS256");
		if (!shared && !public)
			return complain(to, where, path, "at least one algorithm");
		if (public != has(c, "auth.issuers[].jwks_file", i))
			return complain(to, where, "auth.issuers[].jwks_file",
			    "given with ES256, RS256 or EdDSA, and only then");
		if (shared != has(c, "auth.issuers[].hs256_secret_file", i))
			return complain(to, where,
			    "auth.issuers[].hs256_secret_file",
			    "given with HS256, and only then");
	}
	return AG_OK;
}

static ag_err
check_redact(const struct ag_config *c, const struct complaint *to)
{
	const char *path = "audit.redact[].field";
	unsigned n = ag_config_get_count(c, "audit.redact");

	for (unsigned i = 0; i < n; i++) {
		const char *field = ag_config_get_str(c, path, i);

		if (strncmp(field, "params.", 7) == 0 ? field[7] == '\0' :
		    !is_word_of(redact_fields, field))
			return complain(to, ag_config_get_where(c, path, i), path,
			    "%s or params.<name>", redact_fields);
	}
	return AG_OK;
}

/* Two segments are kept whatever happens, a third goes, a spare is made. */
static ag_err
check_retention(const struct ag_config *c, const struct complaint *to)
{
	int64_t bytes = ag_config_get_int(c, "audit.max_bytes", 0);
	int64_t segment = ag_config_get_int(c, "audit.segment_bytes", 0);

	if (segment < AG_SEG_BYTES_MIN)
		segment = AG_SEG_BYTES_MIN;
	if (bytes == 0 || bytes >= 4 * segment)
		return AG_OK;
	return complain(to, where_of(c, "audit.max_bytes", "audit.segment_bytes"),
	    "audit.max_bytes", "0, or at least four segments: %lld",
	    4 * (long long)segment);
}

/* ------------------------------------------------- keys that go together */

/* The planes over HTTP: each has the same keys in a section of its own. */
static const char *const http_planes[] = { "rest", "mcp", "agent" };

static const char *
of_plane(char path[AG_CFG_PATH_MAX], const char *plane, const char *key)
{
	snprintf(path, AG_CFG_PATH_MAX, "%s.%s", plane, key);
	return path;
}

static ag_err
check_plane_tls(const struct ag_config *c, const struct complaint *to,
    const char *plane)
{
	char certificate[AG_CFG_PATH_MAX], key[AG_CFG_PATH_MAX];
	char client_ca[AG_CFG_PATH_MAX], tls[AG_CFG_PATH_MAX];
	bool has_it = has(c, of_plane(certificate, plane, "tls.certificate_file"), 0);

	of_plane(client_ca, plane, "tls.client_ca_file");
	if (has_it != has(c, of_plane(key, plane, "tls.key_file"), 0))
		return complain(to, ag_config_get_where(c, has_it ? certificate : key,
		    0), of_plane(tls, plane, "tls"),
		    "certificate_file and key_file together");
	if (has(c, client_ca, 0) && !has_it)
		return complain(to, ag_config_get_where(c, client_ca, 0), client_ca,
		    "only together with certificate_file and key_file");
	return AG_OK;
}

static ag_err
check_plane_plain(const struct ag_config *c, const struct complaint *to,
    const char *plane)
{
	char listen[AG_CFG_PATH_MAX], path[AG_CFG_PATH_MAX];
	const char *text = ag_config_get_str(c, of_plane(listen, plane, "listen"), 0);
	const char *where = ag_config_get_where(c, listen, 0);

	if (text == NULL || ag_is_loopback(text) ||
	    has(c, of_plane(path, plane, "tls.certificate_file"), 0))
		return AG_OK;
	if (is(c, "environment", 0, "prod"))
		return complain(to, where, listen, "off loopback, prod needs "
		    "%s.tls.certificate_file and %s.tls.key_file", plane, plane);
	if (ag_config_get_int(c, of_plane(path, plane, "allow_plain"), 0) == 0)
		return complain(to, where, listen, "off loopback it needs "
		    "%s.tls, or %s.allow_plain: true", plane, plane);
	return AG_OK;
}

static ag_err
check_planes(const struct ag_config *c, const struct complaint *to)
{
	ag_err err = AG_OK;

	for (size_t i = 0; err == AG_OK &&
	    i < sizeof(http_planes) / sizeof(http_planes[0]); i++)
		if ((err = check_plane_tls(c, to, http_planes[i])) == AG_OK)
			err = check_plane_plain(c, to, http_planes[i]);
	return err;
}

static ag_err
check_risk(const struct ag_config *c, const struct complaint *to)
{
	static const char *const up = "risk.per_tenant[].step_up";
	static const char *const no = "risk.per_tenant[].deny";
	double step_up = ag_config_get_number(c, "risk.step_up", 0);
	double deny = ag_config_get_number(c, "risk.deny", 0);

	if (step_up > deny)
		return complain(to, where_of(c, "risk.step_up", "risk.deny"),
		    "risk.step_up", "at most risk.deny");
	for (unsigned i = 0; i < ag_config_get_count(c, "risk.per_tenant"); i++) {
		const char *name = ag_config_get_str(c,
		    "risk.per_tenant[].tenant", i);

		if ((has(c, up, i) ? ag_config_get_number(c, up, i) : step_up) >
		    (has(c, no, i) ? ag_config_get_number(c, no, i) : deny))
			return complain(to, row_where(c, "risk.per_tenant", i),
			    up, "at most deny");
		for (unsigned j = 0; j < i; j++)
			if (is(c, "risk.per_tenant[].tenant", j, name))
				return complain(to, row_where(c,
				    "risk.per_tenant", i), "risk.per_tenant",
				    "%s once; it is here a second time", name);
	}
	return AG_OK;
}

static ag_err
check_detectors(const struct ag_config *c, const struct complaint *to)
{
	static const char *const names[] = {
#define DETECTOR(name, ...) #name,
		DETECTORS
#undef DETECTOR
	};
	static const char *const levels[] = { "low", "medium", "high" };
	char path[AG_CFG_PATH_MAX], under[AG_CFG_PATH_MAX];
	double before, v;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		before = 0;
		for (unsigned j = 0; j < 3; j++) {
			snprintf(path, sizeof(path), "anomaly.%s.%s", names[i],
			    levels[j]);
			v = ag_config_get_number(c, path, 0);
			if (v < before)
				return complain(to, where_of(c, path, under), path,
				    "not below the level under it, %g",
				    before);
			before = v;
			memcpy(under, path, sizeof(under));
		}
	}
	return AG_OK;
}

static ag_err
check_prod(const struct ag_config *c, const struct complaint *to)
{
	if (is(c, "environment", 0, "prod") &&
	    ag_config_get_int(c, "rot.software.accept_risk", 0) == 0)
		return complain(to, where_of(c, "rot.software.accept_risk",
		    "environment"), "rot.software.accept_risk", "true; prod "
		    "refuses a root of trust in a file unless the risk is "
		    "accepted");
	return AG_OK;
}

static ag_err (*const checks[])(const struct ag_config *,
    const struct complaint *) = {
	check_needed, check_redact, check_retention, check_sinks, check_gateway,
	check_opa, check_journal, check_shared, check_across, check_issuers,
	check_planes, check_risk, check_detectors, check_prod,
};

ag_err
ag_cfg_finish(struct ag_config *c, const char *name, char *message,
    size_t message_size)
{
	struct complaint to = { name, message, message_size };
	ag_err err = fill_defaults(c);

	for (size_t i = 0; err == AG_OK &&
	    i < sizeof(checks) / sizeof(checks[0]); i++)
		err = checks[i](c, &to);
	return err;
}
