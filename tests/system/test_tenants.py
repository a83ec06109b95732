# SPDX-License-Identifier: Apache-2.0
"""What one tenant does changes nothing that another can see: the same script of one tenant is run twice on fresh
fleets, once alone, once with another tenant at random work between its every two steps, and all that it is told must be
the same."""
import json
import os
import random
import re

import pytest

from conftest import HIGH, b64

SEEDS = [int(s) for s in os.environ.get("AEGIS_SEEDS", "1 2").split()]
SIGN = {"message_b64": b64(b"hello")}
ID = re.compile(r"\b(?:key|hum|svc|agt|evt|rec|chl|apr|brk|grt|pol)_[0-9a-f]{32}\b|"
                r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
# Chance and time: what two runs of the same script alone differ in, too.
DIFFERS = {"token", "signature_b64", "ciphertext_b64", "hash_b64", "prev_hash_b64", "public_key_pem", "jti", "secret_b32",
           "otpauth_uri", "latency_us", "root_b64", "leaf_hash_b64", "path_b64", "next_cursor", "random_b64", "score",
           "value", "contribution", "decision", "source_port", "trace_id", "provenance"}


class Seen:
    """Answers with ids numbered as they come, and without what is chance."""

    def __init__(self):
        self.ids, self.log = {}, []

    def name(self, match):
        return self.ids.setdefault(match.group(0), "id%d" % len(self.ids))

    def plain(self, value, key=""):
        if key in DIFFERS or key.endswith("_at"):
            return value is not None
        if isinstance(value, dict):
            return {k: self.plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.plain(v) for v in value]
        return ID.sub(self.name, value) if isinstance(value, str) else value

    def add(self, what, answer):
        body = self.plain(answer.json) if answer.data else None
        headers = {k: v for k, v in answer.headers.items() if k in ("etag", "ratelimit-policy", "www-authenticate",
                                                                   "idempotency-replayed", "content-type")}
        room = answer.headers.get("ratelimit", "").split(";t=")[0]
        self.log.append((what, answer.status, headers, room, body))


class Tenant:
    """One tenant's admin, its keys and agents, and random work with them."""

    def __init__(self, fleet, admin, name, seed):
        made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "ann"})
        self.fleet, self.random, self.seen = fleet, random.Random(seed), Seen()
        self.who = fleet.client(made["admin"]["token"])
        self.keys, self.agents, self.n, self.foreign = [], [], 0, []

    def call(self, who, method, path, body=None, headers=None):
        answer = who.request(method, path, body, headers=headers)
        self.seen.add((method, ID.sub(self.seen.name, path)), answer)
        return answer

    def step(self):
        self.n += 1
        steps = [self.new_key, self.new_agent, self.sign, self.sign, self.sign, self.list, self.list, self.nobody,
                 self.others, self.change, self.role, self.end_agent, self.bad]
        self.random.choice(steps)()

    # Names are the same in both tenants on purpose.
    def new_key(self):
        alias = "k%d" % len(self.keys)
        got = self.call(self.who, "POST", "/v1/keys", {"key_spec": "EC_P256", "alias": alias, "activate": True,
                                                       "labels": {"n": str(self.n)}})
        assert got.status == 201
        self.keys.append(alias)

    def new_agent(self):
        if self.keys:
            scopes = ["key:%s:sign" % k for k in self.random.sample(self.keys, min(2, len(self.keys)))]
            got = self.call(self.who, "POST", "/v1/agents/issue", {"label": "worker", "scopes": scopes})
            self.agents.append((got.json["agent_id"], self.fleet.client(got.json["token"]), scopes))

    def sign(self):
        if self.agents:
            _, client, scopes = self.random.choice(self.agents)
            self.call(client, "POST", "/v1/keys/%s/sign" % self.random.choice(scopes).split(":")[1], SIGN)

    def list(self):
        path = self.random.choice(["/v1/keys?limit=2", "/v1/agents?limit=3", "/v1/principals", "/v1/roles", "/v1/whoami",
                                   "/v1/keys?alias_prefix=k", "/v1/audit/checkpoints?limit=1", "/v1/agents?state=live"])
        got = self.call(self.who, "GET", path)
        if path.startswith("/v1/audit"):
            self.seen.log.pop()  # when a head is signed is time
        elif got.json.get("next_cursor"):
            self.call(self.who, "GET", path + "&cursor=" + got.json["next_cursor"])
            self.seen.log[-1] = (("GET", path + " next"),) + self.seen.log[-1][1:]

    def nobody(self):
        self.call(self.who, "GET", "/v1/keys/nobody")
        self.call(self.who, "GET", "/v1/agents/agt_%032x" % self.n)

    def others(self):
        """What belongs to another tenant is as what is nowhere."""
        for path in self.foreign:
            assert self.who.get(path).status == 404, path

    def change(self):
        if self.keys:
            key = self.random.choice(self.keys)
            self.call(self.who, "PATCH", "/v1/keys/" + key, {"labels": {"changed": str(self.n)}},
                      headers={"Idempotency-Key": "same-in-both-%d" % self.n})
            self.call(self.who, "POST", "/v1/keys/%s/%s" % (key, self.random.choice(["freeze", "unfreeze"])),
                      {"reason": "test"})

    def role(self):
        self.call(self.who, "PUT", "/v1/roles/r%d" % self.random.randrange(3), {"scopes": ["key:*:read"]})

    def end_agent(self):
        if self.agents:
            agent, client, _ = self.agents.pop(self.random.randrange(len(self.agents)))
            self.call(self.who, "POST", "/v1/agents/%s/revoke" % agent, {"reason": "test"})
            self.call(client, "GET", "/v1/whoami")

    def bad(self):
        self.call(self.who, "POST", "/v1/keys", {"key_spec": "NONE"})
        self.call(self.who, "GET", "/v1/keys?limit=0")

    def end(self):
        """All that can be asked at the end: lists, counts, the whole log."""
        for path in ("/v1/keys?limit=1000", "/v1/agents?limit=1000", "/v1/principals", "/v1/roles",
                     "/v1/audit?limit=1000&order=asc&event_type=request", "/v1/responder/rules"):
            got = self.call(self.who, "GET", path)
            if path.startswith("/v1/agents"):
                for agent in self.seen.log[-1][4]["items"]:
                    agent.pop("last_activity_at"), agent.pop("allowed_count"), agent.pop("refused_count")
            for item in got.json.get("items", []):
                self.foreign.append({"key_": "/v1/keys/", "agt_": "/v1/agents/", "evt_": "/v1/audit/",
                                     "hum_": "/v1/principals/"}.get((item.get("id") or item.get("event_id") or "")[:4],
                                                                    "") + (item.get("id") or item.get("event_id") or ""))
        self.foreign = [p for p in self.foreign if p.startswith("/")]


def run(fresh_fleet, seed, steps, with_other):
    fleet = fresh_fleet({"limits": {"address": HIGH, "key": HIGH, "authentication": HIGH},
                         # What detection says takes numbers of the log at times of its own.
                         "anomaly": {d: {"enabled": False} for d in ("rate_spike", "refusal_burst")}})
    admin = fleet.admin()
    a = Tenant(fleet, admin, "alpha", seed)
    b = Tenant(fleet, admin, "beta", seed + 1000) if with_other else None
    noise = random.Random(seed + 2000)
    for _ in range(steps):
        a.step()
        for _ in range(noise.randrange(4) if b else 0):
            b.step()
    a.end()
    if b is not None:
        b.end()
        assert len(b.foreign) > 10
        a.foreign, b.foreign = b.foreign, a.foreign
        a.others()
        b.others()
    return a.seen.log


def differences(one, two, where=""):
    """Where two answers differ, and in what."""
    if isinstance(one, dict) and isinstance(two, dict):
        return [d for k in sorted(set(one) | set(two)) for d in differences(one.get(k), two.get(k), "%s/%s" % (where, k))]
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)) and len(one) == len(two):
        return [d for i, (a, b) in enumerate(zip(one, two)) for d in differences(a, b, "%s/%d" % (where, i))]
    return [] if one == two else ["%s: %s, %s" % (where, json.dumps(one), json.dumps(two))]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_another_tenant_does_is_not_seen(fresh_fleet, seed):
    alone = run(fresh_fleet, seed, 60, False)
    among = run(fresh_fleet, seed, 60, True)
    for one, two in zip(alone, among):
        assert differences(one, two) == [], one[:2]
    assert len(alone) == len(among) > 50
