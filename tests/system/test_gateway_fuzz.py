# SPDX-License-Identifier: Apache-2.0
"""W15: whatever a client asks of a tool server behind the gateway, its secret is in no answer, log, metric or core. A few
hundred seeded requests here; `make fuzz-gateway` asks 10,000 (AEGIS_FUZZ_REQUESTS, AEGIS_FUZZ_SEED)."""
import base64
import json
import os
import random
import secrets
import signal
import subprocess

import pytest

from conftest import ROOT, Client, Fleet, wait_for
from mcp_client import CONFIG_MCP, Mcp, McpThen

REQUESTS = int(os.environ.get("AEGIS_FUZZ_REQUESTS", "400"))
SEED = int(os.environ.get("AEGIS_FUZZ_SEED", "20261121"))
EXAMPLE = os.path.join(ROOT, "examples", "toolserver.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("site"))
    secret = "upstream-" + secrets.token_hex(24)
    secret_file, port_file = os.path.join(folder, "secret"), os.path.join(folder, "port")
    with open(os.open(secret_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(secret + "\n")
    server = subprocess.Popen([EXAMPLE, "--secret-file", secret_file, "--port-file", port_file],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fleet = None
    try:
        wait_for(lambda: os.path.exists(port_file), 30, what="the example's port")
        fleet = Fleet(config=dict(json.loads(json.dumps(CONFIG_MCP)), gateway={
            "enabled": True, "refresh_s": 1, "servers": [{
                "name": "weather", "url": "http://127.0.0.1:%s/mcp" % open(port_file).read().strip(),
                "secret_file": secret_file}],
            "tools": [{"tool": "weather/forecast", "risk": "read"}]},
            # What is looked for is what comes back, so nobody is stopped for asking oddly; who is held waits.
            responder={"dry_run": True}, agents={"hold_ms": 10000}))
        fleet.start()
        fleet.root, fleet.secret = fleet.admin(), secret
        wait_for(lambda: [t for t in fleet.root.ok("GET", "/v1/tools")["items"] if t["state"] == "accepted"], 30,
                 what="the example's tools")
        yield fleet
    finally:
        if fleet is not None:
            fleet.leave()
        server.terminate()
        server.wait(30)


def words(chance, depth=0):
    """A JSON value of no particular kind."""
    kinds = ["s", "s", "n", "b", "0", "long", "odd"] + (["a", "o"] if depth < 3 else [])
    kind = chance.choice(kinds)
    if kind == "s":
        return chance.choice(["Oslo", "bern", "", "x", "../secret", "{{secret}}", "${secret_file}", "Authorization", "Bearer"])
    if kind == "n":
        return chance.choice([0, -1, 2 ** 31, 1.5, 10 ** 15])
    if kind == "b":
        return chance.random() < 0.5
    if kind == "0":
        return None
    if kind == "long":
        return "y" * chance.choice([60, 61, 200, 201, 5000])
    if kind == "odd":
        return chance.choice(["\u0000", "\r\nAuthorization: x", "\u202e", "\U0001f300", "%s%n", "\ud83d"])
    if kind == "a":
        return [words(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(["city", "text", "secret", "headers", "_meta", "a"]): words(chance, depth + 1)
            for _ in range(chance.randrange(4))}


METHODS = ["tools/list", "tools/call", "tools/call", "tools/call", "resources/list", "resources/read", "prompts/get", "ping",
           "server/discover", "initialize", "logging/setLevel", "secrets/get"]
TOOLS = ["weather__forecast", "weather__note", "weather__forget", "weather__none", "weather__", "my_scopes", "my_activity"]


def one(chance, site, now, then, functions, rest):
    """One request, right or wrong, over one of the four ways there are; its answer."""
    arguments = {"city": chance.choice(["Oslo", "Bern"])} if chance.random() < 0.5 else words(chance)
    name, way = chance.choice(TOOLS), chance.randrange(5)
    if way == 0:
        got = functions.post("/v1/agent/call", {"name": name, "arguments": arguments})
    elif way == 1:
        got = rest.get(chance.choice(["/v1/tools", "/v1/tool-servers", "/v1/tool-servers/weather", "/v1/tools?server=weather",
                                      "/v1/audit?operation=tool.call&limit=5", "/v1/config"]))
    else:
        who, method = chance.choice([now, then]), chance.choice(METHODS)
        if who is then and method == "initialize":
            method = "ping"
        params = {"name": name, "arguments": arguments} if method == "tools/call" else \
            {"name": name, "uri": "aegis://me/" + name} if chance.random() < 0.5 else {}
        headers = {}
        if chance.random() < 0.15:
            headers[chance.choice(["Mcp-Name", "Mcp-Method", "MCP-Session-Id", "Authorization-X"])] = chance.choice(
                ["weather", "tools/call", "x" * 100])
        got = who.ask(method, params, headers=headers)
    return got


def test_the_secret_comes_back_nowhere(site):
    chance = random.Random(SEED)
    agent = site.agent(site.root, ["tool:label=server=weather:call"])
    now, then = Mcp(site, agent.token), McpThen(site, agent.token)
    functions, rest = Client(site.endpoints["agent"], agent.token), site.client(agent.token)
    raw = site.secret.encode()
    forms = [raw, base64.b64encode(raw)[:-4], raw.hex().encode(), raw[::-1]]
    came = {}
    for n in range(REQUESTS):
        got = one(chance, site, now, then, functions, rest)
        whole = got.data + json.dumps(got.headers).encode()
        assert not [f for f in forms if f in whole], (SEED, n, whole)
        came[got.status] = came.get(got.status, 0) + 1
        assert got.status < 500 or got.status in (503, 504), (SEED, n, got)
    assert came.get(200, 0) > REQUESTS // 4 and came.get(400, 0) > 0, came  # it was a conversation, and a bad one
    metrics = site.root.get("/metrics").data
    assert b"aegis_gateway_calls_total" in metrics and not [f for f in forms if f in metrics]
    for pattern in [f.decode() for f in forms]:
        found = subprocess.run(["grep", "-rlaF", pattern, site.state, site.log, site.said_file], capture_output=True, text=True)
        assert found.stdout == "", (pattern, found.stdout)


def test_the_one_process_that_knows_it_leaves_no_core(site):
    """It is killed as a crash would: nothing may be written of it, and nobody of its user may look into it."""
    pid = site.processes()["gateway"]
    with open("/proc/%d/limits" % pid) as file:
        core = next(line.split() for line in file if line.startswith("Max core file size"))
    assert core[4:6] == ["0", "0"], core
    before = set(os.listdir(site.state))
    os.kill(pid, signal.SIGABRT)
    wait_for(lambda: site.processes().get("gateway", 0) not in (0, pid), 30,
             what="another gateway")
    assert set(os.listdir(site.state)) - before <= {"run"}
    assert not [name for name in os.listdir(site.state) + os.listdir(".") if name.startswith("core")]
    site.root = site.admin()

    def again():
        got = site.root.get("/v1/tools")
        return got.status == 200 and [t for t in got.json["items"] if t["state"] == "accepted"]
    wait_for(again, 30, what="the tools of the new one")


def test_without_its_secret_nothing_starts(site, tmp_path):
    """The example says what is missing; a fleet whose configuration names a secret that is not there asks nobody."""
    for make, said in ((None, "No such file"), (b"", "it is empty"), (b"open", "others may read it")):
        path = tmp_path / ("s%d" % len(said))
        if make is not None:
            path.write_bytes(make)
            path.chmod(0o644 if make == b"open" else 0o600)
        ended = subprocess.run([EXAMPLE, "--secret-file", str(path)], capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1 and said in ended.stderr, ended
