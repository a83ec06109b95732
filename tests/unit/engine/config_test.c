/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "cfg.h"

#include <unistd.h>

static char message[1024];

static struct ag_config *
good(const char *text)
{
	struct ag_config *c;

	if (ag_config_parse("c.yaml", text, strlen(text), &c, message,
	    sizeof(message)) != AG_OK)
		fail_msg("refused: %s", message);
	return c;
}

static void
defaults(void **state)
{
	struct ag_config *c;

	assert_int_equal(ag_config_load(NULL, &c, message, sizeof(message)),
	    AG_OK);
	assert_string_equal(ag_config_get_str(c, "environment", 0), "dev");
	assert_string_equal(ag_config_get_str(c, "rest.listen", 0),
	    "127.0.0.1:8470");
	assert_int_equal(ag_config_get_int(c, "rest.limits.body_bytes", 0),
	    1 << 20);
	assert_int_equal(ag_config_get_int(c, "limits.principal.rate", 0), 6000);
	assert_int_equal(ag_config_get_int(c, "agents.hold_ms", 0), 50);
	assert_int_equal(ag_config_get_int(c, "rest.allow_plain", 0), 0);
	assert_int_equal(ag_config_get_int(c, "keys.destroy_min_window_s", 0),
	    86400);
	assert_float_equal(ag_config_get_number(c, "risk.step_up", 0), 0.7, 1e-9);
	assert_float_equal(ag_config_get_number(c, "anomaly.rate_spike.high", 0),
	    3, 1e-9);
	assert_int_equal(ag_config_get_count(c, "sinks"), 0);
	assert_int_equal(ag_config_get_count(c, "responder.rules"), 0);
	assert_null(ag_config_get_str(c, "log.file", 0));
	assert_null(ag_config_get_str(c, "sinks[].name", 0));
	assert_string_equal(ag_config_get_where(c, "environment", 0), "default");
	ag_config_free(&c);
	assert_null(c);
	c = good("# nothing\n");
	ag_config_free(&c);
	c = good("---\nrest:\nlog: ~\n");
	ag_config_free(&c);
	c = good("across: {enabled: true, brokers: ['127.0.0.1:1', '[::1]:2', "
	    "'localhost:3']}\n");
	ag_config_free(&c);
	c = good("across: {enabled: true, brokers: ['b:9093'], ca_file: /c}\n");
	ag_config_free(&c);
	c = good("across: {enabled: true, brokers: ['b:9093'], user: me, "
	    "password_file: /p}\n");
	ag_config_free(&c);
}

static const char all[] =
    "environment: prod\n"
    "rest: {listen: '0.0.0.0:443', processes: 2,\n"
    "  tls: {certificate_file: /a, key_file: /b},\n"
    "  trusted_proxies: [10.0.0.0/8, '::1'], limits: {body_bytes: 512K}}\n"
    "auth:\n"
    "  issuers:\n"
    "    - {issuer: 'https://idp', algorithms: [ES256, RS256], jwks_file: /j}\n"
    "agents: {ttl_max_s: 12h, hold_ms: 80}\n"
    "risk: {step_up: .5, deny: 1}\n"
    "responder:\n"
    "  rules:\n"
    "    - {detector: honey_key, action: revoke_subtree}\n"
    "    - detector: rate_spike\n"
    "      severity: high\n"
    "      kind: agent\n"
    "      action: suspend_agent\n"
    "rot: {software: {accept_risk: true}}\n"
    "sinks: [{name: out, kind: stdout}, {name: f, kind: file, path: /x}]\n";

static void
check_all(const struct ag_config *c)
{
	assert_int_equal(ag_config_get_int(c, "rest.processes", 0), 2);
	assert_int_equal(ag_config_get_int(c, "rest.limits.body_bytes", 0),
	    512 << 10);
	assert_string_equal(ag_config_get_item(c, "rest.trusted_proxies", 0, 1),
	    "::1");
	assert_null(ag_config_get_item(c, "rest.trusted_proxies", 0, 2));
	assert_int_equal(ag_config_get_int(c, "agents.ttl_max_s", 0), 43200);
	assert_float_equal(ag_config_get_number(c, "risk.step_up", 0), 0.5, 1e-9);
	assert_int_equal(ag_config_get_count(c, "responder.rules"), 2);
	assert_string_equal(ag_config_get_str(c, "responder.rules[].action", 1),
	    "suspend_agent");
	assert_null(ag_config_get_str(c, "responder.rules[].severity", 0));
	assert_string_equal(ag_config_get_where(c, "responder.rules[].detector",
	    1), "c.yaml:13");
	assert_int_equal(ag_config_get_count(c, "sinks"), 2);
	assert_string_equal(ag_config_get_str(c, "sinks[].path", 1), "/x");
	assert_string_equal(ag_config_get_item(c, "auth.issuers[].algorithms",
	    0, 1), "RS256");
	assert_string_equal(ag_config_get_str(c, "auth.issuers[].tenant", 0),
	    "default");
}

static void
values_and_the_way_to_a_child(void **state)
{
	struct ag_config *c = good(all), *child;
	char *text;

	check_all(c);
	assert_int_equal(ag_config_pack(c, &text), AG_OK);
	ag_config_free(&c);
	assert_int_equal(ag_config_unpack(text, &child), AG_OK);
	check_all(child);
	ag_config_free(&child);
	free(text);
	assert_int_equal(ag_config_unpack("nonsense\n", &child), AG_BAD_MESSAGE);
	assert_int_equal(ag_config_unpack("sinks[].name\t99\tx\ty\n", &child),
	    AG_BAD_MESSAGE);
	assert_int_equal(ag_config_unpack("environment\t1\tx\tdev\n", &child),
	    AG_BAD_MESSAGE);
	assert_null(child);
}

static const struct { const char *text, *want; } bad[] = {
	{ "enviroment: dev\n",
	  "c.yaml:1: enviroment: unknown key; did you mean environment?" },
	{ "rest:\n  lsten: x\n",
	  "c.yaml:2: rest.lsten: unknown key; did you mean listen?" },
	{ "keys:\n  zzzzzzzz: 1\n", "c.yaml:2: keys.zzzzzzzz: unknown key; here "
	  "may be shards, destroy_min_window_s, cache_keys" },
	{ "sinks: [{nme: x}]\n",
	  "c.yaml:1: sinks[].nme: unknown key; did you mean name?" },
	{ "environment: test\n", "c.yaml:1: environment: one of dev, prod" },
	{ "rest: {processes: 0}\n", "c.yaml:1: rest.processes: a whole number "
	  "(K, M and G are taken), from 1 to 16" },
	{ "rest: {processes: -1}\n", "c.yaml:1: rest.processes: " },
	{ "rest: {processes: 99999999999999999999}\n", "c.yaml:1: rest.proc" },
	{ "rest: {processes: [1]}\n", "c.yaml:1: rest.processes: " },
	{ "rest: {processes: {a: 1}}\n", "c.yaml:1: rest.processes: " },
	{ "rest: {processes: }\n", "c.yaml:1: rest.processes: " },
	{ "rest: {allow_plain: yes}\n",
	  "c.yaml:1: rest.allow_plain: true or false" },
	{ "rest: {listen: 8470}\n", "c.yaml:1: rest.listen: host:port" },
	{ "rest: {listen: 'a:b:1'}\n", "c.yaml:1: rest.listen: host:port" },
	{ "rest: {listen: '127.0.0.1:70000'}\n", "c.yaml:1: rest.listen: host" },
	{ "rest: {trusted_proxies: 10.0.0.1}\n",
	  "c.yaml:1: rest.trusted_proxies: a sequence of texts: addresses" },
	{ "rest: {trusted_proxies: [proxy]}\n", "c.yaml:1: rest.trusted_proxies" },
	{ "rest: {trusted_proxies: [[a]]}\n", "c.yaml:1: rest.trusted_proxies" },
	{ "rest: []\n", "c.yaml:1: rest: a mapping" },
	{ "rest: 1\n", "c.yaml:1: rest: a mapping" },
	{ "sinks: {name: x}\n", "c.yaml:1: sinks: a sequence of mappings" },
	{ "sinks: [x]\n", "c.yaml:1: sinks: a sequence of mappings" },
	{ "risk: {step_up: 2}\n",
	  "c.yaml:1: risk.step_up: a number, from 0 to 1" },
	{ "risk: {step_up: nan}\n", "c.yaml:1: risk.step_up: a number" },
	{ "risk: {step_up: 0x1}\n", "c.yaml:1: risk.step_up: a number" },
	{ "risk: {step_up: -0.1}\n", "c.yaml:1: risk.step_up: a number" },
	{ "risk: {deny: 0.5}\n", "c.yaml:1: risk.step_up: at most risk.deny" },
	{ "risk: {per_tenant: []}\n", "c.yaml:1: risk.per_tenant: a mapping" },
	{ "risk: {per_tenant: {acme: 1}}\n", "c.yaml:1: risk.per_tenant[]: a mapping" },
	{ "risk: {per_tenant: {a b: {deny: 1}}}\n",
	  "c.yaml:1: risk.per_tenant[].tenant: " },
	{ "risk: {per_tenant: {acme: {step: 1}}}\n",
	  "c.yaml:1: risk.per_tenant[].step: unknown key" },
	{ "risk: {per_tenant: {acme: {deny: 2}}}\n",
	  "c.yaml:1: risk.per_tenant[].deny: a number, from 0 to 1" },
	{ "risk:\n  per_tenant:\n    acme: {deny: 0.5}\n",
	  "c.yaml:3: risk.per_tenant[].step_up: at most deny" },
	{ "risk: {per_tenant: {acme: {deny: 1}, acme: {deny: 1}}}\n",
	  "c.yaml:1: risk.per_tenant: acme once" },
	{ "agents: {ttl_max_s: 1w}\n", "c.yaml:1: agents.ttl_max_s: seconds, or" },
	{ "agents: {ttl_max_s: 2d}\n", "c.yaml:1: agents.ttl_max_s: seconds, or" },
	{ "agents: {hold_ms: 5}\nagents: {}\n",
	  "c.yaml:2: agents: once; it is here a second time" },
	{ "agents:\n  hold_ms: 5\n  hold_ms: 6\n",
	  "c.yaml:3: agents.hold_ms: once; it is here a second time" },
	{ "agents: &a {hold_ms: 5}\n", "c.yaml:1: agents: the value itself" },
	{ "agents: *a\n", "c.yaml:1: agents: the value itself" },
	{ "agents: {hold_ms: !!str 5}\n", "c.yaml:1: agents.hold_ms: the value w" },
	{ "log: {file: \"a\\0b\"}\n", "c.yaml:1: log.file: the path of a file" },
	{ "log: {file: \"a\\nb\"}\n", "c.yaml:1: log.file: the path of a file" },
	{ "log: {file: ''}\n", "c.yaml:1: log.file: the path of a file" },
	{ "{}: 1\n", "c.yaml:1: syntax: a key of small letters" },
	{ "? [a]\n: 1\n", "c.yaml:1: syntax: a key of small letters" },
	{ "- a\n", "c.yaml:1: syntax: a mapping" },
	{ "hello\n", "c.yaml:1: syntax: a mapping" },
	{ "log: {\n", "c.yaml:2: syntax: " },
	{ "log: {level: info}\n---\nlog: {}\n", "c.yaml:2: syntax: one document" },
	{ "log:\n\tlevel: info\n", "c.yaml:2: syntax: " },
	{ "sinks:\n  - kind: stdout\n",
	  "c.yaml:2: sinks[].name: row 1 needs it: text: a name of a-z" },
	{ "audit: {redact: [{operation: key.sign}]}\n",
	  "c.yaml:1: audit.redact[].field: row 1 needs it" },
	{ "audit: {redact: [{field: user-agent}]}\n",
	  "c.yaml:1: audit.redact[].field: user_agent|client_request_id|" },
	{ "audit: {redact: [{field: params.}]}\n",
	  "c.yaml:1: audit.redact[].field: user_agent|client_request_id|" },
	{ "audit: {max_bytes: 64M}\n",
	  "c.yaml:1: audit.max_bytes: 0, or at least four segments: 268435456" },
	{ "audit: {segment_bytes: 1M, max_bytes: 8M}\n",
	  "c.yaml:1: audit.max_bytes: 0, or at least four segments: 16777216" },
	{ "shared: {enabled: true}\n",
	  "c.yaml:1: shared.redis: unix:/path, or address:port on loopback" },
	{ "shared: {enabled: true, redis: '10.0.0.1:6379'}\n",
	  "c.yaml:1: shared.redis: unix:/path, or address:port on loopback" },
	{ "shared: {enabled: true, redis: '127.0.0.1.evil.example:6379'}\n",
	  "c.yaml:1: shared.redis: unix:/path, or address:port on loopback" },
	{ "shared: {enabled: true, redis: '127.0.0.1:0'}\n",
	  "c.yaml:1: shared.redis: unix:/path, or address:port on loopback" },
	{ "shared: {enabled: true, redis: 'unix:/r', user: me}\n",
	  "c.yaml:1: shared.user: given with shared.password_file" },
	{ "shared: {redis: 'unix:/r'}\n",
	  "c.yaml:1: shared.redis: only together with shared.enabled: true" },
	{ "shared: {nodes: 0}\n", "c.yaml:1: shared.nodes: " },
	{ "across: {enabled: true}\n",
	  "c.yaml:1: across.brokers: given with across.enabled: true" },
	{ "across: {enabled: true, brokers: []}\n",
	  "c.yaml:1: across.brokers: given with across.enabled: true" },
	{ "across: {enabled: true, brokers: ['127.0.0.1:1', 'b:9092']}\n",
	  "c.yaml:1: across.brokers: host:port each; off loopback with" },
	{ "across: {enabled: true, brokers: ['127.0.0.1:1,b:9092']}\n",
	  "c.yaml:1: across.brokers: host:port each; off loopback with" },
	{ "across: {enabled: true, brokers: ['127.evil.example:1']}\n",
	  "c.yaml:1: across.brokers: host:port each; off loopback with" },
	{ "across: {enabled: true, brokers: ['b:9092'], user: me}\n",
	  "c.yaml:1: across.user: given with across.password_file" },
	{ "sinks: [{}]\n", "c.yaml: sinks[].name: row 1 needs it" },
	{ "sinks:\n- {name: a, kind: stdout}\n- {name: a, kind: stdout}\n",
	  "c.yaml:3: sinks[].name: a name that no other sink has" },
	{ "sinks: [{name: a, kind: file}]\n",
	  "c.yaml:1: sinks[].path: given with kind: file, and only then" },
	{ "sinks: [{name: a, kind: pigeon}]\n",
	  "c.yaml:1: sinks[].kind: one of file, stdout" },
	{ "sinks: [{name: a, kind: kafka}]\n",
	  "c.yaml:1: sinks[].brokers: given with kind: kafka, and only then" },
	{ "sinks: [{name: a, kind: stdout, format: ocsf}]\n",
	  "c.yaml:1: sinks[].format: given with kind: kafka|webhook" },
	{ "sinks: [{name: a, kind: webhook, url: 'https://x/', key_file: k, "
	  "format: protobuf}]\n",
	  "c.yaml:1: sinks[].format: json or ocsf; protobuf is for" },
	{ "sinks: [{name: a, kind: webhook, url: 'http://127.evil.example/', key_file: k}]\n",
	  "c.yaml:1: sinks[].url: begins with one of https://" },
	{ "sinks: [{name: a, kind: webhook, url: 'http://localhost:1@evil.example/', key_file: k}]\n",
	  "c.yaml:1: sinks[].url: begins with one of https://" },
	{ "sinks: [{name: a, kind: webhook, url: 'http://localhost.evil.example/', key_file: k}]\n",
	  "c.yaml:1: sinks[].url: begins with one of https://" },
	{ "sinks: [{name: a, kind: webhook, url: 'http://10.0.0.1/', key_file: k}]\n",
	  "c.yaml:1: sinks[].url: begins with one of https://" },
	{ "sinks: [{name: a, kind: kafka, brokers: ['b:9092'], user: me}]\n",
	  "c.yaml:1: sinks[].user: given with password_file" },
	{ "approvals: {auto: [{name: a, operation: key.sign}]}\n",
	  "c.yaml:1: approvals.auto[].group: row 1 needs it" },
	{ "approvals: {callback: {people: [{user: U1}]}}\n",
	  "c.yaml:1: approvals.callback.people[].principal: row 1 needs it" },
	{ "sinks: [{name: a, kind: slack, key_file: k}]\n",
	  "c.yaml:1: sinks[].url: given, or sinks[].url_file" },
	{ "sinks: [{name: a, kind: slack, key_file: k, url: 'https://x/', url_file: u}]\n",
	  "c.yaml:1: sinks[].url: given, or sinks[].url_file" },
	{ "sinks: [{name: a, kind: stdout, callback_file: k}]\n",
	  "c.yaml:1: sinks[].callback_file: given with kind: slack, and only then" },
	{ "sinks: [{name: A, kind: stdout}]\n", "c.yaml:1: sinks[].name: text: a" },
	{ "responder: {rules: [{detector: honey_key}]}\n",
	  "c.yaml:1: responder.rules[].action: row 1 needs it: one of alert" },
	{ "responder: {rules: [{detector: any, action: alert}]}\n",
	  "c.yaml:1: responder.rules[].detector: one of honey_key, scope_" },
	{ "anomaly: {rate_spike: {low: 4}}\n",
	  "c.yaml:1: anomaly.rate_spike.medium: not below the level under it, 4" },
	{ "rest: {tls: {key_file: /k}}\n",
	  "c.yaml:1: rest.tls: certificate_file and key_file together" },
	{ "rest: {tls: {client_ca_file: /k}}\n", "c.yaml:1: rest.tls.client_ca_" },
	{ "rest: {listen: '0.0.0.0:80'}\n",
	  "c.yaml:1: rest.listen: off loopback it needs rest.tls, or" },
	{ "environment: prod\nrot: {software: {accept_risk: true}}\n"
	  "rest: {listen: '0.0.0.0:80', allow_plain: true}\n",
	  "c.yaml:3: rest.listen: off loopback, prod needs rest.tls" },
	{ "environment: prod\n", "c.yaml:1: rot.software.accept_risk: true; prod" },
	{ "environment: prod\nrot: {software: {accept_risk: false}}\n",
	  "c.yaml:2: rot.software.accept_risk: true; prod" },
	{ "environment: prod\nrot: {software: {accept_risk: true}}\nauth:\n"
	  "  issuers:\n  - {issuer: a, algorithms: [HS256],\n"
	  "     hs256_secret_file: /s}\n",
	  "c.yaml:5: auth.issuers[].algorithms: ES256, RS256 or EdDSA; prod" },
	{ "auth: {issuers: [{issuer: a, algorithms: []}]}\n",
	  "c.yaml:1: auth.issuers[].algorithms: at least one algorithm" },
	{ "auth: {issuers: [{issuer: a, algorithms: [none]}]}\n",
	  "c.yaml:1: auth.issuers[].algorithms: a sequence of words, each one" },
	{ "auth: {issuers: [{issuer: a, algorithms: [ES256]}]}\n",
	  "c.yaml:1: auth.issuers[].jwks_file: given with ES256" },
};

static void
mistakes_say_what_would_be_right(void **state)
{
	struct ag_config *c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ag_config_parse("c.yaml", bad[i].text, strlen(bad[i].text),
		    &c, message, sizeof(message)) != AG_USAGE)
			fail_msg("taken: %s", bad[i].text);
		assert_null(c);
		if (strncmp(message, bad[i].want, strlen(bad[i].want)) != 0)
			fail_msg("%s said: %s", bad[i].text, message);
	}
}

static void
bounded(void **state)
{
	size_t size = AG_CFG_TEXT_MAX + 2;
	char *text = malloc(size), *at = text;
	struct ag_config *c;

	memset(text, ' ', size);
	assert_int_equal(ag_config_parse("c", text, size, &c, message,
	    sizeof(message)), AG_USAGE);
	assert_string_equal(message, "c:1: size: at most 262144 bytes");
	/* deep, and many rows, items and members */
	memset(text, '[', size);
	assert_int_equal(ag_config_parse("c", text, 200000, &c, message,
	    sizeof(message)), AG_USAGE);
	at += sprintf(at, "sinks:\n");
	for (int i = 0; i < 65; i++)
		at += sprintf(at, "- {name: n%d, kind: stdout}\n", i);
	assert_int_equal(ag_config_parse("c", text, (size_t)(at - text), &c,
	    message, sizeof(message)), AG_USAGE);
	assert_string_equal(message, "c:66: sinks: at most 64 rows");
	at = text + sprintf(text, "rest: {trusted_proxies: [");
	for (int i = 0; i < 65; i++)
		at += sprintf(at, "10.0.0.%d, ", i);
	at += sprintf(at, "]}\n");
	assert_int_equal(ag_config_parse("c", text, (size_t)(at - text), &c,
	    message, sizeof(message)), AG_USAGE);
	assert_string_equal(message,
	    "c:1: rest.trusted_proxies: at most 64 items");
	free(text);
}

static void
files(void **state)
{
	char path[] = "/tmp/aegis-config-XXXXXX", want[80];
	struct ag_config *c;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, "log:\n  level: x\n", 16), 16);
	close(fd);
	assert_int_equal(ag_config_load(path, &c, message, sizeof(message)),
	    AG_USAGE);
	snprintf(want, sizeof(want), "%s:2: log.level: one of debug, info, warn, "
	    "error", path);
	assert_string_equal(message, want);
	unlink(path);
	assert_int_equal(ag_config_load(path, &c, message, sizeof(message)),
	    AG_USAGE);
	assert_non_null(strstr(message, "No such file"));
	assert_int_equal(ag_config_load("/", &c, message, sizeof(message)),
	    AG_USAGE);
	assert_null(c);
}

/* Small messages must not be written past their end. */
static void
short_messages(void **state)
{
	struct ag_config *c;
	char small[8] = "1234567";

	for (size_t n = 0; n < sizeof(small); n++)
		assert_int_equal(ag_config_parse("c.yaml", "x: 1\n", 5, &c, small,
		    n), AG_USAGE);
	assert_int_equal(small[7], '\0');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(values_and_the_way_to_a_child),
		cmocka_unit_test(mistakes_say_what_would_be_right),
		cmocka_unit_test(bounded),
		cmocka_unit_test(files),
		cmocka_unit_test(short_messages),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
