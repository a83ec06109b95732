# SPDX-License-Identifier: Apache-2.0
"""An old client keeps working: exchanges that were recorded once are had again
with today's fleet. What was answered then is answered now: the status, every
member that a client may have read (more may have come), its type, and the very
words of those that programs branch on.

golden/v1.jsonl is one exchange a line; `${name}` stands for what an earlier
answer gave. A change of it that takes something away breaks clients. New
exchanges are written without `answer` and filled in by

  AEGIS_GOLDEN=record /usr/bin/python3 -m pytest tests/system/test_golden.py
"""
import json
import os
import re

import pytest

from conftest import wait_for
from test_stepup import Authenticator

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "v1.jsonl")
RECORD = os.environ.get("AEGIS_GOLDEN") == "record"
# Words that programs branch on: recorded as they are. All others by their type.
WORDS = {"code", "reason_code", "state", "kind", "algorithm", "token_type", "key_spec", "decision", "detector",
         "severity", "operation", "outcome", "totp", "event_type", "product", "api", "format"}
# What clients may rely on beside the body.
HEADERS = ["content-type", "www-authenticate", "allow", "location", "etag", "retry-after", "idempotency-replayed"]


def shape(value, name=None):
    """What a client may rely on of a value."""
    if isinstance(value, dict):
        return dict((k, shape(v, k)) for k, v in sorted(value.items()))
    if isinstance(value, list):
        shapes = []
        for item in value:
            if shape(item) not in shapes:
                shapes.append(shape(item))
        return shapes[:1]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "boolean", False: "boolean"}[value]
    if isinstance(value, (int, float)):
        return "number"
    return "=" + value if name in WORDS else "string"


def lost(was, now, at=""):
    """What of a recorded shape is not there any more, as text; a list."""
    if was == "null":  # it was absent then; now it may be there
        return []
    if isinstance(was, dict):
        if not isinstance(now, dict):
            return ["%s: was an object, is %r" % (at, now)]
        found = []
        for name, inner in was.items():
            found += lost(inner, now[name], at + "/" + name) if name in now else ["%s/%s: is gone" % (at, name)]
        return found
    if isinstance(was, list):
        if not isinstance(now, list):
            return ["%s: was a list, is %r" % (at, now)]
        if was and not now:
            return ["%s: is empty" % at]
        return lost(was[0], now[0], at + "/0") if was else []
    return [] if was == now else ["%s: was %s, is %s" % (at, was, now)]


def test_lost_is_found():
    """This test's own judge: each way to break a client is seen."""
    was = shape({"a": 1, "state": "Active", "list": [{"b": "x"}], "none": None, "deep": {"c": True}})
    assert lost(was, was) == []
    more = shape({"a": 1, "state": "Active", "list": [{"b": "x", "new": 1}], "none": "now", "deep": {"c": False}, "z": 1})
    assert lost(was, more) == []
    for broken in ({"a": None}, {"a": "1"}, {"state": "active"}, {"list": []}, {"list": [{"B": "x"}]}, {"list": {}},
                   {"deep": None}, {"deep": {}}):
        now = dict({"a": 1, "state": "Active", "list": [{"b": "x"}], "none": None, "deep": {"c": True}}, **broken)
        assert len(lost(was, shape(now))) == 1, broken
    assert lost(was, {}) != []


class Old:
    """The client of then: what it was told, by name."""

    def __init__(self, fleet):
        self.fleet, self.kept = fleet, {"admin": fleet.token()}

    def fill(self, value):
        if isinstance(value, dict):
            return dict((k, self.fill(v)) for k, v in value.items())
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if not isinstance(value, str):
            return value
        if value == "${code}":
            return Authenticator(self.fleet, self.kept["secret"]).code()
        return re.sub(r"\$\{(\w+)\}", lambda m: self.kept[m.group(1)], value)

    def ask(self, row):
        token = self.kept[row["as"]] if row.get("as") else None
        client = self.fleet.client(token)
        try:
            body = self.fill(row.get("body"))
            if "bytes" in row:
                body = row["bytes"].encode()
            return client.request(row["method"], self.fill(row["path"]), body, headers=self.fill(row.get("headers")))
        finally:
            client.close()

    def exchange(self, row):
        """The answer; asked again until it has items, where the log needs a moment."""
        got = self.ask(row)
        if row.get("wait"):
            got = wait_for(lambda: (lambda a: a if a.status != 200 or a.json[row["wait"]] else None)(self.ask(row)), 20,
                           what=row["name"])
        for name, path in row.get("keep", {}).items():
            value = got.json
            for part in path.split("."):
                at = int(part) if isinstance(value, list) else part
                assert isinstance(value, list) or at in value, "%s: no %s in %r" % (row["name"], path, got)
                value = value[at]
            self.kept[name] = value
        return got


def answer_of(row, got):
    found = {"status": got.status, "headers": {}}
    for name in HEADERS:
        if name in got.headers:
            found["headers"][name] = got.headers[name] if name in ("content-type", "allow") else "string"
    if "json" in got.headers.get("content-type", "") and got.data and row.get("only") != "status":
        found["body"] = shape(got.json)
    return found


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in open(FILE) if line.strip()]


def test_old_clients_keep_working(fresh_fleet, rows):
    fleet = fresh_fleet({"sinks": [{"name": "golden", "kind": "file", "path": "golden.jsonl"}]})
    old, wrong = Old(fleet), []
    for row in rows:
        found = answer_of(row, old.exchange(row))
        if RECORD and "answer" not in row:
            row["answer"] = found
        for what in lost(row["answer"], found):
            wrong.append("%s (%s %s): %s" % (row["name"], row["method"], row["path"], what))
    if RECORD:
        with open(FILE, "w") as out:
            out.write("".join(json.dumps(row) + "\n" for row in rows))
    assert not wrong, "\n".join(wrong)


def test_recorded_routes_are_served(fleet, admin, rows):
    """Each route of the record is one of today's, and the record has nearly all of them."""
    served = set()
    for path, methods in admin.ok("GET", "/openapi.json")["paths"].items():
        served |= set((method.upper(), path) for method in methods if method != "parameters")

    def route(row):
        asked = row["path"].split("?")[0].split("/")
        for method, path in served:
            parts = path.split("/")
            if method == row["method"] and len(parts) == len(asked) and all(
                    p == a or p.startswith("{") for p, a in zip(parts, asked)):
                yield method, path, sum(p.startswith("{") for p in parts)
    recorded = set()
    for row in rows:
        if row["answer"]["status"] in (404, 405) and not row["answer"].get("body", {}).get("code") == "=ItemNotFound":
            continue
        found = sorted(route(row), key=lambda r: r[2])
        assert found, "%s %s is not served any more" % (row["method"], row["path"])
        recorded.add(found[0][:2])
    print("not recorded: %s" % sorted("%s %s" % r for r in served - recorded))
    assert len(recorded) >= 80
