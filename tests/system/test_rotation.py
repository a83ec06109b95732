# SPDX-License-Identifier: Apache-2.0
"""Rotation by policy, by the clock and by use, and what is counted for it. K14."""
import pytest

from conftest import CONFIG, Fleet, b64, unb64, wait_for


@pytest.fixture(scope="module")
def fleet():
    f = Fleet(config=dict(CONFIG, keys={"destroy_min_window_s": 0, "shards": 2}))
    try:
        f.start()
        yield f
    finally:
        f.leave()


def version(who, key, wanted):
    return lambda: who.ok("GET", "/v1/keys/" + key)["version"] >= wanted


def rotations(fleet, who, key):
    return [e for e in fleet.events(who, "key=" + key) if e["operation"] == "key.rotated"]


def test_every_so_often(fleet, admin):
    key = fleet.key(admin, spec="AES_256", rotation={"every_s": 600}, activate=False)
    assert key["rotation"] == {"every_s": 600, "after_operations": None, "next_at": None}
    key = admin.ok("POST", "/v1/keys/%s/activate" % key["id"])
    assert key["rotation"]["next_at"] > key["versions"][0]["activated_at"]
    sealed = admin.ok("POST", "/v1/keys/%s/encrypt" % key["id"], {"plaintext_b64": b64(b"old")})["ciphertext_b64"]
    for n in (2, 3):
        fleet.move_clock(601)
        wait_for(version(admin, key["id"], n), what="rotation %d" % n)
        now = admin.ok("GET", "/v1/keys/" + key["id"])
        assert now["version"] == n and now["rotation"]["next_at"] > now["versions"][-1]["activated_at"]
        assert [v["state"] for v in now["versions"]] == ["Deactivated"] * (n - 1) + ["Active"]
    # Once per turn, and each turn in the log with its cause.
    events = wait_for(lambda: (lambda e: e if len(e) == 2 else None)(rotations(fleet, admin, key["id"])),
                      what="the records")
    assert [(e["event_type"], e["outcome"], e["params"]) for e in events] == [
        ("lifecycle", "allowed", {"cause": "every_s", "version": str(n)}) for n in (2, 3)]
    opened = admin.ok("POST", "/v1/keys/%s/decrypt" % key["id"], {"ciphertext_b64": sealed})
    assert unb64(opened["plaintext_b64"]) == b"old"
    # null removes the policy: no more turns.
    assert admin.ok("PATCH", "/v1/keys/" + key["id"], {"rotation": None})["rotation"] is None
    other = fleet.key(admin, rotation={"every_s": 60})["id"]
    fleet.move_clock(700)
    wait_for(version(admin, other, 2), what="the other one's turn")
    assert admin.ok("GET", "/v1/keys/" + key["id"])["version"] == 3


def test_after_so_many_operations(fleet, admin):
    key = fleet.key(admin, spec="ED25519", rotation={"after_operations": 50})["id"]
    revision = admin.ok("GET", "/v1/keys/" + key)["revision"]
    items = [{"message_b64": b64(b"m")}] * 49
    admin.ok("POST", "/v1/keys/%s/batch" % key, {"operation": "sign", "items": items})
    now = admin.ok("GET", "/v1/keys/" + key)
    assert now["versions"][0]["operations"] == 49 and now["revision"] == revision
    admin.ok("POST", "/v1/keys/%s/sign" % key, items[0])
    wait_for(version(admin, key, 2), what="the rotation")
    for _ in range(10):
        assert admin.ok("POST", "/v1/keys/%s/sign" % key, items[0])["key_version"] == 2
    now = admin.ok("GET", "/v1/keys/" + key)
    assert [v["operations"] for v in now["versions"]] == [50, 10]
    events = wait_for(lambda: rotations(fleet, admin, key), what="the record")
    assert [e["params"] for e in events] == [{"cause": "after_operations", "version": "2"}]


def test_a_turn_missed_while_down_is_made_up_for_once(fleet, admin):
    key = fleet.key(admin, rotation={"every_s": 1000})["id"]
    fleet.stop()
    fleet.move_clock(5500)
    fleet.start()
    admin = fleet.admin()
    wait_for(version(admin, key, 2), what="the rotation")
    assert len(wait_for(lambda: rotations(fleet, admin, key), what="the record")) == 1
    assert admin.ok("GET", "/v1/keys/" + key)["version"] == 2


def test_operations_are_exact_or_an_upper_bound(fresh_fleet):
    """In order: exact. After kill -9 of the shards: never less than was done."""
    import os
    import signal
    fleet = fresh_fleet(dict(CONFIG, keys={"shards": 1}))
    admin = fleet.admin()
    key = fleet.key(admin, spec="ED25519")["id"]
    idle = fleet.key(admin, spec="ED25519")["id"]

    def count(k):
        return fleet.admin().ok("GET", "/v1/keys/" + k)["versions"][0]["operations"]

    def sign(n):
        admin.ok("POST", "/v1/keys/%s/batch" % key, {"operation": "sign", "items": [{"message_b64": b64(b"m")}] * n})
    sign(7)
    fleet.stop()
    fleet.start()
    admin = fleet.admin()
    assert count(key) == 7
    sign(5)
    old = fleet.processes()["keys.0"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: fleet.processes().get("keys.0") not in (None, 0, old), what="the new shard")
    got = wait_for(lambda: (lambda a: a if a.status == 200 else None)(fleet.admin().get("/v1/keys/" + key)),
                   what="the shard's answer")
    bound = got.json["versions"][0]["operations"]
    assert 12 <= bound <= 65536 + 12
    assert count(idle) == 0
    admin = fleet.admin()
    sign(1)
    assert count(key) == bound + 1
