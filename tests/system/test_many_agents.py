# SPDX-License-Identifier: Apache-2.0
"""A thousand agents at once, each with a credential of its own (Q10, in short; at their full rate: make bench, make
soak): none is refused, each request has one event with its own actor, and memory is bounded."""
import collections
import re
import threading

from conftest import CONFIG, HIGH, b64

AGENTS, CLIENTS, TURNS = 1000, 8, 2
BAD_SHARE = 0.001
GREW_KB = 16384  # of any process, from the first turn of all agents to the last
SCOPES = ["key:shared:sign", "key:shared:verify", "key:sealed:encrypt"]
MESSAGE = {"message_b64": b64(b"many")}


def rss_kb(pid):
    for line in open("/proc/%d/status" % pid):
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def in_parallel(work, items):
    """work(item) of each, by a few clients at a time."""
    left, failed, lock = list(items), [], threading.Lock()

    def run():
        while True:
            with lock:
                if not left or failed:
                    return
                item = left.pop()
            try:
                work(item)
            except Exception as error:
                failed.append(error)
    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


def test_a_thousand_agents(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, limits=dict(CONFIG["limits"], address=HIGH, principal=HIGH, key=HIGH)))
    admin = fleet.admin()
    fleet.key(admin, "shared")
    fleet.key(admin, "sealed", spec="AES_256")
    local, agents = threading.local(), {}

    def client(token):
        if not hasattr(local, "http"):
            local.http = fleet.client()
        local.http.token = token
        return local.http

    def issue(n):
        made = client(fleet.token()).ok("POST", "/v1/agents/issue", {"label": "agent-%d" % n, "scopes": SCOPES})
        agents[made["agent_id"]] = made["token"]
    in_parallel(issue, range(AGENTS))
    assert len(agents) == AGENTS
    asked, bad = collections.Counter(), []

    def note(id, got, name):
        asked[got.headers["x-request-id"], id, name] += 1
        if got.status != 200:
            bad.append(got)
        return got

    def use(id):
        who = client(agents[id])
        made = note(id, who.post("/v1/keys/shared/sign", MESSAGE), "key.sign")
        if made.status == 200:
            note(id, who.post("/v1/keys/shared/verify", dict(MESSAGE, signature_b64=made.json["signature_b64"])), "key.verify")
        note(id, who.post("/v1/keys/sealed/encrypt", {"plaintext_b64": b64(id.encode())}), "key.encrypt")
    memory = []
    for _ in range(TURNS):
        in_parallel(use, agents)
        memory.append(dict((name, rss_kb(pid)) for name, pid in fleet.processes().items() if pid))
    assert len(bad) <= BAD_SHARE * len(asked), bad[:3]
    grew = dict((name, kb - memory[0][name]) for name, kb in memory[-1].items() if kb - memory[0].get(name, kb) > GREW_KB)
    assert not grew, grew
    events = collections.Counter((e["request_id"], e["actor"]["id"], e["operation"]) for e in fleet.all_events(60)
                                 if e["event_type"] == "request" and e["actor"]["id"] in agents)
    assert events == asked
    fleet.stop()
    done = fleet.run("audit", "verify", "--dir", fleet.state + "/audit", "--public-key", fleet.state + "/audit/public-key.pem", check=0)
    assert int(re.match(r"audit: (\d+) events verified", done.stdout.splitlines()[-1]).group(1)) > len(asked)
