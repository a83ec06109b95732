#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes policy.json: golden allow and deny vectors. Each policy stands beside what it means, written once more in
Python, so that what is expected does not come from the engine that is tested: forbid wins over permit, of the permits
the one that wants a second factor wins, nothing said is a deny.

  tests/vectors/make_policy.py > tests/vectors/policy.json
"""
import json

PEOPLE = {
    "alice": {"kind": "human", "roles": ["key-user", "agent-issuer"]},
    "bob": {"kind": "human", "roles": ["key-admin"]},
    "carol": {"kind": "human", "roles": ["admin"]},
    "robot": {"kind": "service", "roles": ["key-user"]},
    "clerk": {"kind": "agent", "parent": "alice", "model": "model-x"},
    "helper": {"kind": "agent", "parent": "clerk"},
    "digger": {"kind": "agent", "parent": "bob", "model": "model-y"},
}
KEYS = {
    "payroll": {"spec": "EC_P256", "labels": {"env": "prod", "team": "hr"}},
    "invoice": {"spec": "EC_P256", "labels": {"env": "prod", "team": "sales"}},
    "build": {"spec": "ED25519", "labels": {"env": "test"}},
    "vault": {"spec": "AES_256", "labels": {"env": "prod", "tier": "critical"}},
    "plain": {"spec": "AES_256"},
}
GROUPS = {"key.sign": "use", "key.verify": "use", "key.encrypt": "use", "key.decrypt": "use", "key.read": "read",
          "key.rotate": "manage", "key.destroy": "destroy", "key.create": "manage", "key.list": "read",
          "agent.issue": "manage", "audit.query": "read", "principal.delete": "destroy", "agent.revoke": "manage",
          "principal.read": "read"}


class Ask:
    """A request as a policy sees it, and the words that the meanings below are written in."""

    def __init__(self, who, action, what=None, **context):
        self.who, self.action, self.what, self.context = who, action, what, context
        self.at = context.get("at", "2026-01-05T12:00:00Z")
        self.source = context.get("source", "10.0.0.1")
        self.plane = context.get("plane", "rest")
        self.age = context.get("credential_age_s", 60)
        self.stepped_up = context.get("stepped_up", False)
        self.items = context.get("items", 1)
        self.bytes = context.get("bytes", 0)
        self.under_way = context.get("under_way", 1)
        self.tracked = context.get("tracked", True)
        self.minute = context.get("recent", {}).get("minute", self.items)

    def chain(self, who=None):
        who = who or self.who
        out = [who]
        while "parent" in PEOPLE[out[-1]]:
            out.append(PEOPLE[out[-1]]["parent"])
        return out

    def below(self, name):
        return name in self.chain()

    def role(self, name):
        return name in PEOPLE[self.chain()[-1]].get("roles", [])

    def kind(self, kind):
        return PEOPLE[self.who]["kind"] == kind

    def group(self, name):
        return GROUPS[self.action] == name

    def key(self):
        return KEYS.get(self.what) if self.action.startswith("key.") else None

    def label(self, name):
        return (self.key() or {}).get("labels", {}).get(name)

    def hour(self):
        return int(self.at[11:13])

    def inside(self, prefix):
        return self.source.startswith(prefix)


def is_key(a):
    return a.what is not None and a.action.startswith("key.")


# name → [(cedar, effect, meaning)], effect: permit, forbid, second (a permit that wants a second factor), session (one
# that wants a credential that is kept here); behind a colon stands what a forbid constrains, and how many ms a permit
# gives
SETS = {
    "everything": [("permit (principal, action, resource);", "permit", lambda a: True)],
    "nothing": [("forbid (principal, action, resource);", "forbid", lambda a: True)],
    "one person, one key": [
        ('permit (principal == Aegis::Human::"alice", action == Aegis::Action::"key.sign", '
         'resource == Aegis::Key::"payroll");', "permit",
         lambda a: a.who == "alice" and a.action == "key.sign" and a.what == "payroll")],
    "a person and her agents": [
        ('permit (principal in Aegis::Human::"alice", action in Aegis::Action::"use", resource is Aegis::Key);',
         "permit", lambda a: a.below("alice") and a.group("use") and is_key(a))],
    "by role": [
        ('permit (principal in Aegis::Role::"key-user", action in Aegis::Action::"use", resource is Aegis::Key);',
         "permit", lambda a: a.role("key-user") and a.group("use") and is_key(a)),
        ('permit (principal in Aegis::Role::"admin", action, resource);', "permit", lambda a: a.role("admin"))],
    "people only destroy": [
        ("permit (principal, action, resource);", "permit", lambda a: True),
        ('forbid (principal is Aegis::Agent, action in Aegis::Action::"destroy", resource);', "forbid",
         lambda a: a.kind("agent") and a.group("destroy"))],
    "labels": [
        ('permit (principal, action in [Aegis::Action::"use", Aegis::Action::"read"], resource is Aegis::Key)\n'
         'when { resource.hasTag("env") && resource.getTag("env") == "test" };', "permit",
         lambda a: (a.group("use") or a.group("read")) and is_key(a) and a.label("env") == "test"),
        ('permit (principal in Aegis::Human::"bob", action, resource is Aegis::Key)\n'
         'unless { resource.hasTag("tier") };', "permit",
         lambda a: a.below("bob") and is_key(a) and a.key() is not None and a.label("tier") is None)],
    "from inside": [
        ("permit (principal, action, resource);", "permit", lambda a: True),
        ('forbid (principal, action, resource) unless { context.source.isInRange(ip("10.0.0.0/8")) };', "forbid",
         lambda a: not a.inside("10."))],
    "by day": [
        ('permit (principal, action, resource)\nwhen { context.at.toTime() >= duration("8h") && '
         'context.at.toTime() < duration("18h") };', "permit", lambda a: 8 <= a.hour() < 18)],
    "a second factor for the vault": [
        ('permit (principal, action, resource) unless { resource == Aegis::Key::"vault" };', "permit",
         lambda a: a.what != "vault" or not is_key(a)),
        ('@step_up("totp") permit (principal, action, resource == Aegis::Key::"vault");', "second",
         lambda a: a.what == "vault" and is_key(a))],
    "the strictest word": [
        ("permit (principal, action, resource);", "permit", lambda a: True),
        ('@step_up("totp") permit (principal, action in Aegis::Action::"use", resource);', "second",
         lambda a: a.group("use")),
        ('forbid (principal, action == Aegis::Action::"key.decrypt", resource) unless { context.stepped_up };',
         "forbid", lambda a: a.action == "key.decrypt" and not a.stepped_up)],
    "fresh credentials and small batches": [
        ('permit (principal, action, resource)\nwhen { context.credential_age < duration("1h") && '
         "context.items <= 10 };", "permit", lambda a: a.age < 3600 and a.items <= 10)],
    "by plane": [
        ('permit (principal, action, resource) when { context.plane == "rest" };', "permit",
         lambda a: a.plane == "rest"),
        ('permit (principal is Aegis::Agent, action in Aegis::Action::"use", resource) '
         'when { context.plane == "mcp" };', "permit",
         lambda a: a.plane == "mcp" and a.kind("agent") and a.group("use"))],
    "depth and model": [
        ('permit (principal is Aegis::Agent, action in Aegis::Action::"use", resource)\n'
         'when { principal.depth < 2 && principal has model && principal.model == "model-x" };', "permit",
         lambda a: a.kind("agent") and a.group("use") and len(a.chain()) == 2 and
         PEOPLE[a.who].get("model") == "model-x")],
    "what fails says nothing": [
        ('permit (principal, action, resource) when { context.items + 9223372036854775807 > 0 };', "permit",
         lambda a: a.items <= 0),
        ('forbid (principal, action == Aegis::Action::"key.sign", resource) '
         "when { context.items + 9223372036854775807 > 0 };", "forbid", lambda a: False),
        ('permit (principal == Aegis::Service::"robot", action, resource);', "permit", lambda a: a.who == "robot")],
    "no loose ends": [
        ('permit (principal == Aegis::Human::"alic", action, resource);', "permit", lambda a: False),
        ('permit (principal == Aegis::Service::"alice", action, resource);', "permit", lambda a: False),
        ('permit (principal, action, resource == Aegis::Key::"pay");', "permit", lambda a: False),
        ('permit (principal in Aegis::Agent::"alice", action, resource);', "permit", lambda a: False)],
    "tenant matters": [
        ('permit (principal in Aegis::Role::"key-admin", action, resource == Aegis::Tenant::"default");', "permit",
         lambda a: a.role("key-admin") and a.what is None),
        ('permit (principal, action == Aegis::Action::"agent.revoke", resource is Aegis::Agent) '
         "when { resource in principal };", "permit",
         lambda a: a.action == "agent.revoke" and a.who in a.chain(a.what))],
    "constraints": [
        ('@timeout("2s") permit (principal, action, resource);', "permit:2000", lambda a: True),
        ('@timeout("200ms") permit (principal is Aegis::Agent, action in Aegis::Action::"use", resource);',
         "permit:200", lambda a: a.kind("agent") and a.group("use")),
        ('@constraint("rate") forbid (principal, action, resource == Aegis::Key::"payroll") '
         "when { context.recent.minute > 10 };", "forbid:rate",
         lambda a: is_key(a) and a.what == "payroll" and a.minute > 10),
        ('@constraint("bytes") forbid (principal, action in Aegis::Action::"use", resource) '
         "when { context.bytes > 4096 };", "forbid:bytes", lambda a: a.group("use") and a.bytes > 4096),
        ('@constraint("operations") forbid (principal, action, resource == Aegis::Key::"invoice") unless { '
         '[Aegis::Action::"key.sign", Aegis::Action::"key.read"].contains(action) };', "forbid:operations",
         lambda a: is_key(a) and a.what == "invoice" and a.action not in ("key.sign", "key.read")),
        ('@constraint("concurrency") forbid (principal, action, resource) when { context.under_way > 5 };',
         "forbid:concurrency", lambda a: a.under_way > 5)],
    "credentials that are kept here": [
        ("permit (principal, action, resource);", "permit", lambda a: True),
        ('@require_session permit (principal, action in Aegis::Action::"use", resource);', "session",
         lambda a: a.group("use"))],
}


def asks():
    for who in ("alice", "bob", "carol", "robot", "clerk", "helper", "digger"):
        for action, what in (("key.sign", "payroll"), ("key.decrypt", "vault"), ("key.read", "build")):
            yield Ask(who, action, what)
    yield Ask("alice", "key.sign", "nowhere")
    yield Ask("bob", "key.rotate", "plain")
    yield Ask("bob", "key.destroy", "invoice")
    yield Ask("digger", "key.destroy", "plain")
    yield Ask("carol", "key.create")
    yield Ask("bob", "key.list")
    yield Ask("clerk", "agent.revoke", "helper")
    yield Ask("alice", "agent.revoke", "digger")
    yield Ask("alice", "agent.revoke", "clerk")
    yield Ask("carol", "principal.delete", "bob")
    yield Ask("alice", "key.sign", "payroll", source="192.0.2.7")
    yield Ask("alice", "key.sign", "payroll", at="2026-01-05T03:00:00Z")
    yield Ask("alice", "key.sign", "payroll", at="2026-01-05T18:00:00Z")
    yield Ask("alice", "key.sign", "payroll", at="2026-01-05T17:59:59Z")
    yield Ask("carol", "key.decrypt", "vault", stepped_up=True)
    yield Ask("robot", "key.encrypt", "plain", items=11)
    yield Ask("robot", "key.encrypt", "plain", items=10)
    yield Ask("alice", "key.sign", "payroll", credential_age_s=3600)
    yield Ask("clerk", "key.sign", "payroll", plane="mcp")
    yield Ask("carol", "key.sign", "payroll", plane="mcp")
    for minute in (10, 11):
        yield Ask("alice", "key.sign", "payroll", recent={"minute": minute})
    for size in (4096, 4097):
        yield Ask("alice", "key.sign", "payroll", bytes=size)
    for action in ("key.sign", "key.verify"):
        yield Ask("alice", action, "invoice")
    for action, what in (("key.sign", "payroll"), ("key.read", "build")):
        yield Ask("alice", action, what, tracked=False)
    for under_way in (5, 6):
        yield Ask("clerk", "key.sign", "payroll", under_way=under_way)


def expected(policies, ask):
    """The decision, the number of the policy that makes it, why it is a no, and how many ms it may take."""
    meant = [(*effect.partition(":")[::2], i) for i, (_, effect, meaning) in enumerate(policies) if meaning(ask)]
    permitted = not any(e == "forbid" for e, _, _ in meant)
    sessions = [i for e, _, i in meant if e == "session"]
    if permitted and sessions and not ask.tracked:
        return "deny", "p/%d" % sessions[0], "session_required", 0
    meant = [("permit" if e == "session" else e, what, i) for e, what, i in meant]
    for effect, decision in (("forbid", "deny"), ("second", "step_up"), ("permit", "allow")):
        found = [(what, i) for e, what, i in meant if e == effect]
        if found and decision == "deny":
            return decision, "p/%d" % found[0][1], "constraint_" + found[0][0] if found[0][0] else "no_matching_rule", 0
        if found:
            return decision, "p/%d" % found[0][1], None, min((int(w) for e, w, _ in meant if w), default=0)
    return "deny", None, "no_matching_rule", 0


def main():
    cases = []
    for name, policies in SETS.items():
        requests = []
        for ask in asks():
            decision, rule, why, timeout = expected(policies, ask)
            request = {"principal": ask.who, "action": ask.action}
            if ask.what is not None:
                request["resource"] = ask.what
            if ask.context:
                request["context"] = ask.context
            request["expect"] = decision
            if rule:
                request["rule"] = rule
            if why:
                request["reason_code"] = why
            if timeout:
                request["timeout_ms"] = timeout
            requests.append(request)
        cases.append({"name": name, "policies": {"p": "\n".join(p[0] for p in policies) + "\n"}, "requests": requests})
    lines = ['{"world": %s,' % json.dumps({"principals": PEOPLE, "keys": KEYS}), ' "cases": [']
    for i, case in enumerate(cases):
        head = {"name": case["name"], "policies": case["policies"]}
        lines.append("  %s, \"requests\": [" % json.dumps(head)[:-1])
        lines += ["    %s%s" % (json.dumps(r), "," if k + 1 < len(case["requests"]) else "")
                  for k, r in enumerate(case["requests"])]
        lines.append("  ]}%s" % ("," if i + 1 < len(cases) else ""))
    print("\n".join(lines + [" ]}"]))


main()
