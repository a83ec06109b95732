# SPDX-License-Identifier: Apache-2.0
"""The Kafka sink, against librdkafka's mock cluster (tests/peers): what a
subscriber sees, and what an outage under load does to it. tests/interop has
the same against Apache Kafka."""
import io
import json
import os
import signal
import subprocess
import threading

import pytest

from conftest import BUILD, CONFIG, ROOT, wait_for

PARTITIONS = 4


class Mock:
    def __init__(self, *topics):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "peers", "kafka-mock"), str(PARTITIONS), *topics],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.brokers = self.process.stdout.readline().strip()

    def order(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def read(self, topic):
        """All records: (partition, key, headers, value)."""
        form = r"%p\t%k\t%h\t%S\n%s\n"
        done = subprocess.run(["kcat", "-C", "-b", self.brokers, "-t", topic, "-o", "beginning", "-e", "-q", "-f", form],
                              capture_output=True, timeout=60)
        found, rest = [], io.BytesIO(done.stdout)
        for head in iter(rest.readline, b""):
            partition, key, headers, size = head.decode().rstrip("\n").split("\t")
            found.append((int(partition), key, dict(h.split("=", 1) for h in headers.split(",")), rest.read(int(size))))
            rest.readline()
        return found

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def mock():
    made = Mock("aegis.audit", "packed", "ocsf")
    yield made
    made.stop()


def kafka_fleet(fresh_fleet, mock, *rows):
    rows = [dict({"kind": "kafka", "brokers": mock.brokers.split(","), "retry_max_s": 1}, **row) for row in rows]
    fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + rows))
    return fleet, fleet.admin()


def has(mock, topic, event_id):
    def look():
        records = mock.read(topic)
        return records if any(h["event-id"] == event_id for _, _, h, _ in records) else None
    return wait_for(look, 60, what="the event on " + topic)


def last_id(fleet, admin):
    (event,) = fleet.event_of(admin, admin.get("/v1/whoami"))
    return event["event_id"]


def test_what_a_subscriber_sees(fresh_fleet, mock):
    fleet, admin = kafka_fleet(fresh_fleet, mock, {"name": "bus"}, {"name": "raw", "topic": "packed",
                               "format": "protobuf"}, {"name": "siem", "topic": "ocsf", "format": "ocsf"})
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"])
    agent.ok("POST", "/v1/keys/k/sign", {"message_b64": "aGk="})
    wanted = last_id(fleet, admin)
    records = has(mock, "aegis.audit", wanted)
    known = dict((e["event_id"], e) for e in fleet.all_events())
    me = admin.ok("GET", "/v1/whoami")["id"]
    for _, key, headers, value in records:
        event = json.loads(value)
        assert event == known[event["event_id"]] and headers["event-id"] == event["event_id"]
        assert headers["tenant"] == event["tenant"] and headers["event-type"] == event["event_type"]
        assert headers["content-type"] == "application/json"
    signed = [r for r in records if json.loads(r[3])["operation"] == "key.sign"]
    assert [r[1] for r in signed] == ["default/" + me], "the root of the chain, not the agent"
    assert len(set(h["event-id"] for _, _, h, _ in records)) == len(records)
    packed = has(mock, "packed", wanted)
    assert all(h["content-type"] == "application/x-protobuf" for _, _, h, _ in packed)
    assert any(wanted.encode() in value for _, _, _, value in packed)
    one = next(json.loads(v) for _, _, _, v in has(mock, "ocsf", wanted) if b"key.sign" in v)
    assert one["class_uid"] == 6003 and one["type_uid"] == 600399 and one["api"]["operation"] == "key.sign"
    assert one["actor"]["invoked_by"] == me and one["status_id"] == 1


def test_the_example_of_the_docs(fresh_fleet, mock):
    fleet, admin = kafka_fleet(fresh_fleet, mock, {"name": "bus"})
    wanted = last_id(fleet, admin)
    has(mock, "aegis.audit", wanted)
    page = open(os.path.join(ROOT, "docs", "sinks.md")).read()
    (command,) = [line.strip() for line in page.splitlines() if line.startswith("    kcat ")]
    assert "kafka-1:9092" in command
    shown = subprocess.run(["bash", "-c", command.replace("kafka-1:9092", mock.brokers)], capture_output=True, text=True,
                           timeout=60, check=True).stdout.splitlines()
    at = next(i for i, line in enumerate(shown) if "event-id=" + wanted in line)
    assert shown[at].startswith("default/hum_") and json.loads(shown[at + 1])["operation"] == "principal.whoami"


def test_an_outage_under_load_loses_nothing(fresh_fleet, mock):
    fleet, admin = kafka_fleet(fresh_fleet, mock, {"name": "bus"})
    over = threading.Event()

    def load():
        client = fleet.admin()
        while not over.is_set():
            client.ok("GET", "/v1/whoami")
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: len(mock.read("aegis.audit")) > 200, 60, what="records")
        mock.order("down")
        down = wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["state"] == "retrying", 60, what="trouble to be told")
        assert down
        wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["lag_events"] > 300, 60, what="a lag")
        assert admin.ok("GET", "/v1/sinks/everything")["state"] == "running"
        mock.order("up")
        wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["state"] == "running", 120, what="trouble to end")
        os.kill(fleet.processes()["kafka.bus"], signal.SIGKILL)
        wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["sent"] > 100, 60, what="the next process to send")
    finally:
        over.set()
        for t in threads:
            t.join()
    records = has(mock, "aegis.audit", last_id(fleet, admin))
    wanted = [e for e in fleet.all_events() if e["tenant"] == "default"]
    seen, order = {}, {}
    for partition, key, headers, value in records:
        event = json.loads(value)
        assert seen.setdefault(event["event_id"], value) == value, "a duplicate is the same event"
        if event["tenant"] == "default":
            first = order.setdefault(key, {})
            first.setdefault(event["seq"], len(first))
            assert order.setdefault("of " + key, partition) == partition
    for key, seqs in order.items():
        if not key.startswith("of "):
            assert list(seqs) == sorted(seqs), "in order per key"
    got = set(seq for key, seqs in order.items() if not key.startswith("of ") for seq in seqs)
    newest = max(got)
    assert got == set(range(1, newest + 1)) and newest >= len(wanted) - 20
