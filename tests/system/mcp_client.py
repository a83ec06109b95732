# SPDX-License-Identifier: Apache-2.0
"""Small clients of the MCP plane for the tests: one per era."""
import json

from conftest import CONFIG, Client

NOW, THEN = "2026-07-28", "2025-11-25"
META = {"io.modelcontextprotocol/protocolVersion": NOW, "io.modelcontextprotocol/clientCapabilities": {}}
MIRRORED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
CONFIG_MCP = json.loads(json.dumps(dict(CONFIG, mcp={"listen": "127.0.0.1:0"},
                                    agent={"listen": "127.0.0.1:0"})))


class Mcp:
    """A client of 2026-07-28: every request says everything."""

    def __init__(self, fleet, token=None):
        self.http = Client(fleet.endpoints["mcp"], token)
        self.n = 0

    def headers(self, method, params):
        send = {"MCP-Protocol-Version": NOW, "Mcp-Method": method}
        if method in MIRRORED and MIRRORED[method] in params:
            send["Mcp-Name"] = params[MIRRORED[method]]
        return send

    def ask(self, method, params=None, headers=None, meta=None):
        """The HTTP answer. headers: what to send otherwise; None takes one away."""
        self.n += 1
        params = dict(params or {}, _meta=dict(META, **(meta or {})))
        send = dict(self.headers(method, params), **(headers or {}))
        return self.http.post("/mcp", {"jsonrpc": "2.0", "id": self.n, "method": method, "params": params},
                              headers={k: v for k, v in send.items() if v is not None})

    def ok(self, method, params=None, **kw):
        got = self.ask(method, params, **kw)
        assert got.status == 200 and got.json["id"] == self.n and "result" in got.json, got
        assert got.json["result"]["resultType"] == "complete"
        return got.json["result"]

    def tools(self):
        return {t["name"]: t for t in self.ok("tools/list")["tools"]}

    def call(self, tool, **arguments):
        """(structured content or None, problem or None, the HTTP answer)"""
        got = self.ask("tools/call", {"name": tool, "arguments": arguments})
        return outcome(got) + (got,)


class McpThen(Mcp):
    """A client of 2025-11-25: a session."""

    def __init__(self, fleet, token=None):
        super().__init__(fleet, token)
        self.session = None
        got = self.ask("initialize", {"protocolVersion": THEN, "capabilities": {},
                                      "clientInfo": {"name": "test", "version": "1"}})
        assert got.status == 200, got
        self.initialized = got.json["result"]
        self.session = got.headers["mcp-session-id"]
        assert self.http.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"},
                              headers=self.headers(None, {})).status == 202

    def headers(self, method, params):
        return {} if self.session is None else {"MCP-Protocol-Version": THEN, "MCP-Session-Id": self.session}

    def ask(self, method, params=None, headers=None, meta=None):
        self.n += 1
        send = dict(self.headers(method, params), **(headers or {}))
        return self.http.post("/mcp", {"jsonrpc": "2.0", "id": self.n, "method": method, "params": params or {}},
                              headers={k: v for k, v in send.items() if v is not None})

    def ok(self, method, params=None, **kw):
        got = self.ask(method, params, **kw)
        assert got.status == 200 and got.json["id"] == self.n and "result" in got.json, got
        assert "resultType" not in got.json["result"]
        return got.json["result"]


def outcome(got):
    """What a tools/call came to: (structured content or None, problem or None)."""
    if "result" not in got.json:
        return None, got.json["error"]["data"]
    result = got.json["result"]
    text = json.loads(result["content"][0]["text"])
    if result["isError"]:
        return None, text
    assert text == result["structuredContent"]
    return text, None


def validate(schema, value, root=None, at="$"):
    """As much of JSON Schema 2020-12 as the tools' schemas use; what it does not know fails."""
    root = schema if root is None else root
    known = {"$ref", "$defs", "anyOf", "type", "enum", "properties", "required", "additionalProperties", "items",
             "format", "contentEncoding", "minimum", "minLength", "maxLength", "description", "minItems", "maxItems"}
    assert set(schema) <= known, (at, schema)
    if "$ref" in schema:
        assert schema["$ref"].startswith("#/$defs/"), schema
        return validate(root["$defs"][schema["$ref"][8:]], value, root, at)
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            try:
                return validate(option, value, root, at)
            except AssertionError:
                pass
        raise AssertionError((at, value))
    types = schema.get("type", [])
    names = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
             "null": type(None)}
    if types:
        types = [types] if isinstance(types, str) else types
        assert any(isinstance(value, names[t]) and not (t != "boolean" and isinstance(value, bool))
                   for t in types), (at, value, types)
    if "enum" in schema:
        assert value in schema["enum"], (at, value)
    if isinstance(value, dict):
        for name in schema.get("required", []):
            assert name in value, (at, name)
        for name, member in value.items():
            rule = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
            assert rule is not False, (at, name)
            if isinstance(rule, dict):
                validate(rule, member, root, "%s.%s" % (at, name))
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            validate(schema["items"], item, root, "%s[%d]" % (at, i))
