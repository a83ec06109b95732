# SPDX-License-Identifier: Apache-2.0
"""The helpers of examples/ that make LangChain tools of Aegis' functions, with the packages that LangChain released."""
import json
import os
import shutil
import subprocess

import pytest

import npm
import pypi
from conftest import ROOT, Fleet
from mcp_client import CONFIG_MCP
from test_mcp_conformance import node  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(ROOT, "examples")
TOOLS = ["my_activity", "my_scopes", "request_access", "sign"]


@pytest.fixture
def agent(tmp_path):
    """The environment of a program that is an agent, and its key's id."""
    fleet = Fleet(config=CONFIG_MCP)
    try:
        fleet.start()
        admin = fleet.admin()
        key = fleet.key(admin, "chain")
        fleet.key(admin, "other")
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text(fleet.agent(admin, ["key:chain:sign"]).token)
        yield dict(os.environ, AEGIS_AGENT_URL=fleet.endpoints["agent"], AEGIS_TOKEN_FILE=str(file), AEGIS_KEY="chain",
                   LANGSMITH_TRACING="false"), key["id"]
    finally:
        fleet.leave()


def run(words, env):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def judge(said, key_id):
    assert said["tools"] == TOOLS and said["signed"] == key_id and said["schema"] == ["key", "message_b64"]
    assert said["refused"].startswith("PermissionDenied/scope_missing: The scope key:other:sign is not held.")


def test_python(agent):
    env, key_id = agent
    said = run([pypi.program("langchain", "python"), os.path.join(HERE, "langchain_agent.py")],
               dict(env, PYTHONPATH=EXAMPLES))
    judge(said, key_id)
    assert said["status"] == ["success", "error"]


def test_typescript(node, agent):  # noqa: F811
    env, key_id = agent
    # A module's packages are looked for beside it.
    folder = os.path.join(npm.FOLDER, "langchain")
    for file in (os.path.join(EXAMPLES, "langchain_tools.ts"), os.path.join(HERE, "langchain_agent.ts")):
        shutil.copy(file, folder)
    with open(os.path.join(folder, "package.json"), "w") as out:
        out.write('{"type": "module"}\n')
    judge(run([node, "--no-warnings", os.path.join(folder, "langchain_agent.ts")], env), key_id)
