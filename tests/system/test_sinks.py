# SPDX-License-Identifier: Apache-2.0
"""The sinks: lines in a file and on standard output, topics; a cursor that
survives, and no sink that delays another."""
import json
import os
import urllib.parse
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


def sink(admin, name):
    return admin.ok("GET", "/v1/sinks/" + name)


@pytest.fixture
def two_files(fresh_fleet, tmp_path):
    fleet = fresh_fleet(dict(CONFIG, sinks=[
        {"name": n, "kind": "file", "path": str(tmp_path / (n + ".jsonl"))} for n in ("first", "second")]))
    return fleet, fleet.admin(), str(tmp_path / "first.jsonl"), str(tmp_path / "second.jsonl")


def test_paused_until_resumed(two_files):
    fleet, admin, first, second = two_files
    has(first, last_id(fleet, admin))
    assert admin.ok("POST", "/v1/sinks/first/pause")["state"] == "paused"
    act(admin, 20)
    has(second, last_id(fleet, admin))
    items = dict((s["name"], s) for s in admin.ok("GET", "/v1/sinks")["items"])
    assert items["first"]["state"] == "paused" and items["first"]["lag_events"] >= 20
    assert items["second"]["state"] == "running"
    had = len(lines(first))
    os.kill(fleet.processes()["file.first"], signal.SIGKILL)
    wait_for(lambda: sink(admin, "first")["state"] == "paused", what="the sink to be paused again")
    act(admin, 5)
    has(second, last_id(fleet, admin))
    assert len(lines(first)) == had, "paused outlives the process"
    # What it says of itself outlives it: that it is back is seen by its answer, and until then by a 7.
    resumed = wait_for(lambda: (lambda done: done.returncode != 7 and done)(fleet.run("sink", "resume", "first")), 30,
                       what="the sink to be there again")
    assert (resumed.returncode, resumed.stdout.split()) == (0, ["first", "running"]), resumed
    has(first, last_id(fleet, admin))
    seqs = sorted(set(e["seq"] for e in lines(first) if e["tenant"] == "default"))
    assert seqs == list(range(1, len(seqs) + 1))
    told = [e["operation"] for e in fleet.events(admin)]
    assert "system.sink-pause" in told and "system.sink-resume" in told


def test_sinks_come_in_pages(two_files):
    fleet, admin, first, second = two_files
    page = admin.ok("GET", "/v1/sinks?limit=1")
    assert [s["name"] for s in page["items"]] == ["first"] and page["next_cursor"]
    rest = admin.ok("GET", "/v1/sinks?limit=1&cursor=" + urllib.parse.quote(page["next_cursor"]))
    assert [s["name"] for s in rest["items"]] == ["second"] and rest["next_cursor"] is None
    assert admin.ok("GET", "/v1/sinks")["next_cursor"] is None
    for query, reason in (("limit=0", "out_of_range"), ("cursor=x", "bad_cursor"), ("name=first", "unknown_field")):
        got = admin.get("/v1/sinks?" + query)
        assert (got.status, got.reason) == (400, reason), query


def test_a_sink_that_is_not_there_is_seen(two_files):
    fleet, admin, first, second = two_files
    has(first, last_id(fleet, admin))
    assert fleet.run("audit", "health", check=0).stdout.count("running") == 2
    pid = fleet.processes()["file.first"]
    os.kill(pid, signal.SIGSTOP)
    try:
        act(admin, 20)
        has(second, last_id(fleet, admin))
        found = wait_for(lambda: sink(admin, "first")["state"] == "down" and sink(admin, "first"), what="down")
        assert found["lag_events"] >= 20 and found["last_error"] is None
        rows = fleet.run("audit", "health", check=1).stdout.splitlines()
        assert [row.split()[2] for row in rows[1:]] == ["down", "running"]
        assert admin.post("/v1/sinks/first/pause").status == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    has(first, last_id(fleet, admin))
    wait_for(lambda: sink(admin, "first")["lag_events"] <= 2, what="it to catch up")


def test_trouble_is_told_and_ends(fresh_fleet, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    fleet = fresh_fleet(dict(CONFIG, sinks=[{"name": "a", "kind": "file", "path": str(folder / "x.jsonl"),
                                             "retry_max_s": 1}]))
    admin = fleet.admin()
    os.rename(str(folder), str(tmp_path / "away"))
    failing = wait_for(lambda: sink(admin, "a")["state"] == "retrying" and sink(admin, "a"), what="trouble")
    assert failing["last_error"] == "open: No such file or directory" and failing["last_error_at"]
    metrics = fleet.client().get("/metrics").data.decode()
    assert 'aegis_sink_failing{process="file.a"' in metrics and "aegis_audit_lag_seconds" in metrics
    act(admin, 10)
    os.rename(str(tmp_path / "away"), str(folder))
    has(str(folder / "x.jsonl"), last_id(fleet, admin))
    wait_for(lambda: sink(admin, "a")["state"] == "running", what="the trouble to end")


def test_who_may_steer_sinks(two_files):
    fleet, admin, first, second = two_files
    assert admin.get("/v1/sinks/none").status == 404
    assert admin.post("/v1/sinks/none/pause").status == 404
    auditor = fleet.person("looks", ["auditor"])
    assert [s["name"] for s in auditor.ok("GET", "/v1/sinks")["items"]] == ["first", "second"]
    assert auditor.post("/v1/sinks/first/pause").status == 403
    made = admin.ok("POST", "/v1/tenants", {"name": "other", "admin_name": "boss"})
    other = fleet.client(made["admin"]["token"])
    assert other.get("/v1/sinks").status == 403 and other.post("/v1/sinks/first/pause").status == 403
    user = fleet.person("user", ["key-user"])
    assert user.get("/v1/sinks").status == 403
    assert admin.ok("POST", "/v1/sinks/first/redeliver")["dead_letters"] == 0
    assert admin.post("/v1/sinks/first/pause", {"x": 1}).status == 400
    assert sink(admin, "first")["state"] == "running"


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
