# SPDX-License-Identifier: Apache-2.0
"""The sinks: lines in a file and on standard output, topics; a cursor that
survives, and no sink that delays another."""
import json
import os
import signal
import subprocess
import sys

import pytest
import zmq

from conftest import CONFIG, ROOT, wait_for


def lines(path):
    try:
        with open(path) as f:
            return [json.loads(line) for line in f.read().splitlines()]
    except FileNotFoundError:
        return []


def tenant_events(fleet, admin):
    return [e["event_id"] for e in fleet.events(admin)]


def act(admin, n=5):
    for _ in range(n):
        admin.ok("GET", "/v1/whoami")


def last_id(fleet, admin):
    got = admin.get("/v1/whoami")
    (event,) = fleet.event_of(admin, got)
    return event["event_id"]


def pid_of(fleet, i=0):
    """Of the i-th sink; a process that is being started again has none."""
    def pid():
        rows = sorted(name_pid for name_pid in fleet.processes().items() if name_pid[0].startswith(("file", "sink")))
        return rows[i][1]
    return wait_for(pid, what="the sink")


@pytest.fixture
def file_fleet(fresh_fleet, tmp_path):
    path = str(tmp_path / "audit.jsonl")
    fleet = fresh_fleet(dict(CONFIG, sinks=[{"name": "plain", "kind": "file", "path": path}]))
    return fleet, fleet.admin(), path


def has(path, event_id):
    return wait_for(lambda: any(e["event_id"] == event_id for e in lines(path)), what="the line")


def test_file_has_every_event_once_in_order(file_fleet):
    fleet, admin, path = file_fleet
    act(admin, 50)
    has(path, last_id(fleet, admin))
    known = fleet.events(admin)
    written = dict((e["event_id"], e) for e in lines(path))
    for event in known[:-2]:
        line = written[event["event_id"]]
        assert set(line) == set(event), "the members of the contract, no others"
        assert line["seq"] == event["seq"] and line["operation"] == event["operation"]
    seqs = [e["seq"] for e in lines(path) if e["tenant"] == known[0]["tenant"]]
    assert seqs == sorted(seqs) and len(seqs) == len(set(seqs))
    assert os.stat(path).st_mode & 0o077 == 0


def test_file_may_be_moved_away(file_fleet):
    fleet, admin, path = file_fleet
    has(path, last_id(fleet, admin))
    os.rename(path, path + ".1")
    wait_for(lambda: os.path.exists(path), what="a new file")
    act(admin)
    has(path, last_id(fleet, admin))
    os.rename(path, path + ".2")
    pid = pid_of(fleet)
    os.kill(pid, signal.SIGHUP)  # as logrotate does
    wait_for(lambda: os.path.exists(path), what="a new file")
    act(admin)
    has(path, last_id(fleet, admin))
    assert pid_of(fleet) == pid
    both = lines(path + ".1") + lines(path + ".2") + lines(path)
    seqs = [e["seq"] for e in both if e["tenant"] == "default"]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_killed_file_sink_misses_nothing(file_fleet):
    fleet, admin, path = file_fleet
    has(path, last_id(fleet, admin))
    for _ in range(3):
        os.kill(pid_of(fleet), signal.SIGKILL)
        act(admin, 20)
    has(path, last_id(fleet, admin))
    seqs = sorted(set(e["seq"] for e in lines(path) if e["tenant"] == "default"))
    assert seqs == list(range(1, len(seqs) + 1)), "a line may be there twice, none is missing"


def test_stdout(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, sinks=[{"name": "console", "kind": "stdout"}]))
    admin = fleet.admin()
    wanted = last_id(fleet, admin)

    def said():
        fleet.said = open(fleet.said_file).read()
        return wanted in fleet.said
    wait_for(said, what="the line on standard output")
    line = next(text for text in fleet.said.splitlines() if wanted in text)
    assert json.loads(line)["operation"] == "principal.whoami"
    assert len(line) < 65536


def test_a_dead_sink_delays_only_itself(fresh_fleet, tmp_path):
    good = str(tmp_path / "good.jsonl")
    os.mkdir(str(tmp_path / "later"))
    fleet = fresh_fleet(dict(CONFIG, sinks=[
        {"name": "good", "kind": "file", "path": good}, {"name": "later", "kind": "file",
                                                         "path": str(tmp_path / "later" / "x.jsonl")}]))
    admin = fleet.admin()
    pid = pid_of(fleet, -1)
    os.kill(pid, signal.SIGSTOP)
    try:
        act(admin, 20)
        has(good, last_id(fleet, admin))
    finally:
        os.kill(pid, signal.SIGCONT)
    has(str(tmp_path / "later" / "x.jsonl"), last_id(fleet, admin))


@pytest.fixture(scope="module")
def event_class(tmp_path_factory):
    where = tmp_path_factory.mktemp("proto")
    proto = os.path.join(ROOT, "proto")
    subprocess.run(["protoc", "--proto_path=" + proto, "--python_out=" + str(where),
                    os.path.join(proto, "aegis.proto")], check=True)
    sys.path.insert(0, str(where))
    import aegis_pb2
    return aegis_pb2.Event


def test_topics(fleet, admin, event_class):
    context = zmq.Context()
    sub = context.socket(zmq.SUB)
    try:
        sub.linger = 0
        sub.subscribe("audit.default.principal.whoami")
        sub.connect(fleet.endpoints["topics"])
        seen = []

        def heard():
            admin.ok("GET", "/v1/whoami")
            while sub.poll(50):
                seen.append(sub.recv_multipart())
            return len(seen) > 3
        wait_for(heard, what="topics")
        for topic, body in seen:
            event = event_class.FromString(body)
            assert topic == b"audit.default.principal.whoami"
            assert event.operation == "principal.whoami" and event.tenant == "default"
            assert not event.HasField("honey") and not event.HasField("author")
    finally:
        sub.close()
        context.term()
