# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote, against the MCP plane: the SDK of each era and the inspector's command line."""
import json
import os
import shutil
import subprocess

import pytest

import npm
from mcp_client import NOW, THEN
from test_mcp_conformance import fleet, node, relay  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
INSPECTOR = ("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")
SCOPES = ["key:interop:sign", "key:interop:verify", "key:gone:read"]  # of a key that is not there


@pytest.fixture(scope="module")
def agent(fleet, tmp_path_factory):  # noqa: F811
    """Its token's file, its key's alias and id."""
    admin = fleet.admin()
    key = fleet.key(admin, "interop")
    file = tmp_path_factory.mktemp("agent") / "token"
    file.touch(0o600)
    file.write_text(fleet.agent(admin, SCOPES).token)
    return str(file), "interop", key["id"]


@pytest.mark.parametrize("script, version", [("client_then.mjs", THEN), ("client_now.mjs", NOW)])
def test_an_sdk(node, fleet, agent, script, version):  # noqa: F811
    token, alias, key_id = agent
    # A module's packages are looked for beside it.
    for name in ("client.mjs", script):
        shutil.copy(os.path.join(HERE, name), npm.FOLDER)
    done = subprocess.run([node, os.path.join(npm.FOLDER, script)], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, AEGIS_MCP_URL=fleet.endpoints["mcp"] + "/mcp", AEGIS_TOKEN_FILE=token,
                                   AEGIS_KEY=alias))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == {"version": version, "tools": ["describe_key", "sign", "verify", "my_scopes", "my_activity", "request_access"],
                    "key_id": key_id, "valid": True, "refused": "ItemNotFound",
                    "scopes": SCOPES, "prompt": 1, "unknown": -32602}


def inspect(node, relay, *words):  # noqa: F811
    done = subprocess.run([node, npm.script(*INSPECTOR), "--cli", relay.url, "--transport", "http", *words],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_inspector(node, relay, agent):  # noqa: F811
    tools = inspect(node, relay, "--method", "tools/list")["tools"]
    assert "sign" in [tool["name"] for tool in tools]
    signed = inspect(node, relay, "--method", "tools/call", "--tool-name", "sign", "--tool-arg", "key=interop",
                     "--tool-arg", "message_b64=aGVsbG8=")
    assert signed["structuredContent"]["key_id"] == agent[2]
    resources = inspect(node, relay, "--method", "resources/list")["resources"]
    assert [resource["uri"] for resource in resources] == ["aegis://me/activity", "aegis://me/scopes"]
    prompts = inspect(node, relay, "--method", "prompts/list")["prompts"]
    assert [prompt["name"] for prompt in prompts] == ["rotate_safely", "explain_refusal"]
