# SPDX-License-Identifier: Apache-2.0
"""The audit log has a bound: the oldest segments go with a signed record of it, and a full disk refuses until
there is room again."""
import copy
import glob
import os
import subprocess
import threading
import time

import pytest

from conftest import CONFIG, wait_for

SCOPES = ["key:%s-%d:sign" % ("x" * 50, i) for i in range(64)]  # an event of some 7 KB


def configured(**audit):
    config = copy.deepcopy(CONFIG)
    config["audit"] = dict({"segment_bytes": "4M"}, **audit)
    config["sinks"] = []
    config["limits"]["tenant"] = {"agents": 100000}
    return config


def verify(fleet):
    directory = os.path.join(fleet.state, "audit")
    return fleet.run("audit", "verify", "--dir", directory, "--public-key", os.path.join(directory, "public-key.pem"))


def segments(fleet):
    return sorted(glob.glob(os.path.join(fleet.state, "audit", "*.seg")))


def write_until(fleet, enough, threads=4, most=20000):
    """Agents are issued until enough() says so; the answers' statuses."""
    statuses, done = [], threading.Event()

    def work():
        who = fleet.admin()
        while not done.is_set() and len(statuses) < most:
            got = who.post("/v1/agents/issue", {"label": "filler", "scopes": SCOPES, "ttl_s": 60})
            statuses.append((got.status, None if got.status < 400 else got.reason))
            if got.status == 503:
                return
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for w in workers:
        w.start()
    try:
        wait_for(lambda: enough() or not any(w.is_alive() for w in workers), 90, what="the log to fill")
    finally:
        done.set()
        for w in workers:
            w.join(30)
    return statuses


def test_old_segments_go_and_the_rest_verifies(fresh_fleet):
    fleet = fresh_fleet(configured(retention_s="1h"))
    admin = fleet.admin()
    admin.get("/v1/whoami")
    oldest = fleet.events(admin)[0]
    write_until(fleet, lambda: len(segments(fleet)) >= 4)
    assert len(segments(fleet)) >= 4
    before = segments(fleet)
    assert verify(fleet).returncode == 0
    fleet.move_clock(7200)
    wait_for(lambda: len(segments(fleet)) == 2, 30, what="the old segments to go")
    assert before[0] not in segments(fleet)
    # An event of two hours later; then what is kept is asked for, proved and checked.
    admin = fleet.admin()
    admin.get("/v1/whoami")
    done = wait_for(lambda: (lambda d: d if d.returncode == 0 and "unsigned 0" in d.stdout else None)(verify(fleet)),
                    what="a head over everything")
    assert "events were removed, as signed at" in done.stdout
    first = int([line for line in done.stdout.splitlines() if "tenant default is kept from" in line][0].split()[-2])
    assert first > 1
    wait_for(lambda: fleet.events(admin)[0]["seq"] == first, what="history to follow")
    events = fleet.events(admin)
    assert [e["seq"] for e in events] == list(range(first, first + len(events)))
    for a, b in zip(events, events[1:]):
        assert b["prev_hash_b64"] == a["hash_b64"]
    assert admin.get("/v1/audit/" + oldest["event_id"]).status == 404
    proof = admin.ok("GET", "/v1/audit/%s/proof" % events[0]["event_id"])
    assert proof["index"] == first - 1
    # The cut is an event, too.
    assert b"audit.cut" in open(segments(fleet)[-1], "rb").read()
    # After a restart without history's index.
    fleet.stop()
    subprocess.run(["rm", "-r", os.path.join(fleet.state, "snapshots")], check=True)
    fleet.start()
    assert fleet.events(fleet.admin())[0]["seq"] == first
    assert verify(fleet).returncode == 0


@pytest.fixture
def small_disk(fresh_fleet):
    """A fleet whose audit folder is a file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted = []

    def make(config):
        fleet = fresh_fleet(config, start=False)
        folder = os.path.join(fleet.state, "audit")
        os.makedirs(folder, 0o700, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none", folder]).returncode != 0:
            pytest.skip("no tmpfs may be mounted here")
        mounted.append((fleet, folder))
        return fleet.start()
    yield make
    for fleet, folder in mounted:
        fleet.stop()
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_until_there_is_room(small_disk):
    fleet = small_disk(configured())
    folder = os.path.join(fleet.state, "audit")
    ballast = os.path.join(folder, "ballast")
    admin = fleet.admin()
    with open(ballast, "wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(65536))
        except OSError:
            pass
    statuses = write_until(fleet, lambda: False, most=20000)
    refused = [s for s in statuses if s[0] == 503]
    assert refused and set(refused) == {(503, "audit")}, set(statuses)
    # A small record may still fit where a large one did not: that nobody knows how it ended.
    assert set(s for s in statuses if s[0] != 503) <= {(201, None), (504, "outcome_unknown")}
    assert admin.get("/healthz/ready").status == 503
    # Nobody gets an answer without its record.
    assert fleet.admin().get("/v1/whoami").status == 503
    os.unlink(ballast)

    def answered():
        return fleet.admin().get("/v1/whoami").status == 200
    wait_for(answered, 30, 0.2, what="an answer")
    wait_for(lambda: admin.get("/healthz/ready").status == 200, what="ready")
    done = verify(fleet)
    assert done.returncode == 0, done.stdout
    # What was refused for want of a record is owed, and paid in one event.
    fleet.stop()
    done = verify(fleet)
    assert done.returncode == 0, done.stdout


def test_a_bound_keeps_the_disk_from_filling(small_disk):
    """Four segments fit, the disk has room for six: it is never full."""
    fleet = small_disk(configured(max_bytes="16M"))
    started = time.monotonic()
    statuses = write_until(fleet, lambda: int(os.path.basename(segments(fleet)[0])[:-4], 16) > 1500)
    assert set(statuses) == {(201, None)}, (set(statuses), time.monotonic() - started)
    assert int(os.path.basename(segments(fleet)[0])[:-4], 16) > 1500
    done = verify(fleet)
    assert done.returncode == 0 and "events were removed" in done.stdout, done.stdout
