# SPDX-License-Identifier: Apache-2.0
"""The NATS sink, against Debian's nats-server with JetStream. The test speaks
NATS' text protocol itself: the stream is the operator's, not the sink's."""
import base64
import json
import os
import signal
import socket
import threading

import pytest

from conftest import CONFIG, wait_for
from servers import Nats


class Client:
    """One connection: requests, and JetStream's API over them."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.file.readline()  # INFO
        self.send(b'CONNECT {"verbose":false}\r\nSUB inbox 1\r\nPING\r\n')
        while self.file.readline() != b"PONG\r\n":
            pass

    def send(self, data):
        self.socket.sendall(data)

    def request(self, subject, body):
        body = json.dumps(body).encode()
        self.send(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while True:
            line = self.file.readline()
            if line == b"PING\r\n":
                self.send(b"PONG\r\n")
            elif line.startswith(b"MSG "):
                size = int(line.split()[-1])
                return json.loads(self.file.read(size + 2)[:size])
            else:
                assert line, "the server went away"

    def make(self, **more):
        made = self.request("$JS.API.STREAM.CREATE.AUDIT", dict(
            {"name": "AUDIT", "subjects": ["audit.>"], "storage": "file", "retention": "limits", "num_replicas": 1,
             "duplicate_window": 120 * 10**9}, **more))
        assert "error" not in made, made

    def count(self):
        return self.request("$JS.API.STREAM.INFO.AUDIT", {})["state"]["messages"]

    def all(self):
        state = self.request("$JS.API.STREAM.INFO.AUDIT", {})["state"]
        found = []
        for seq in range(state["first_seq"], state["last_seq"] + 1):
            message = self.request("$JS.API.STREAM.MSG.GET.AUDIT", {"seq": seq})["message"]
            headers = base64.b64decode(message["hdrs"]).decode()
            found.append((message["subject"], headers, json.loads(base64.b64decode(message["data"]))))
        return found

    def close(self):
        self.socket.close()


@pytest.fixture
def nats():
    made = Nats()
    try:
        yield made.start()
    finally:
        made.leave()


def start(fresh_fleet, nats):
    fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [
        {"name": "js", "kind": "nats", "url": "nats://127.0.0.1:%d" % nats.port, "retry_max_s": 1}]))
    return fleet, fleet.admin()


def caught_up(fleet, admin, port):
    """Until the stream has what happens now; what it has then."""
    (event,) = fleet.event_of(admin, admin.get("/v1/whoami"))
    client = Client(port)
    try:
        def look():
            newest = client.count() and client.all()
            return newest if newest and any(e["event_id"] == event["event_id"] for _, _, e in newest) else None
        return wait_for(look, 60, 0.2, "the stream to have the event")
    finally:
        client.close()


def test_messages(fresh_fleet, nats):
    client = Client(nats.port)
    client.make()
    fleet, admin = start(fresh_fleet, nats)
    fleet.key(admin, "k")
    found = caught_up(fleet, admin, nats.port)
    known = dict((e["event_id"], e) for e in fleet.all_events())
    for subject, headers, event in found:
        assert subject == "audit.%s.%s" % (event["tenant"], event["operation"])
        assert "Nats-Msg-Id: %s\r\n" % event["event_id"] in headers
        assert known[event["event_id"]] == event
    client.close()


def test_a_server_killed_under_load_loses_nothing(fresh_fleet, nats):
    client = Client(nats.port)
    client.make()
    client.close()
    fleet, admin = start(fresh_fleet, nats)
    caught_up(fleet, admin, nats.port)
    over = threading.Event()

    def load():
        c = fleet.admin()
        while not over.is_set():
            c.ok("GET", "/v1/whoami")
    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["sent"] > 100, 60, what="messages")
        nats.kill()
        wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["state"] == "retrying", 60, what="trouble to be told")
        wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["lag_events"] > 100, 60, what="a lag")
        nats.start()
        wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["state"] == "running", 60, what="trouble to end")
        os.kill(fleet.processes()["nats.js"], signal.SIGKILL)
        wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["sent"] > 20, 60, what="the next process to send")
    finally:
        over.set()
        for t in threads:
            t.join()
    found = caught_up(fleet, admin, nats.port)
    seqs = [e["seq"] for _, _, e in found if e["tenant"] == "default"]
    assert seqs == list(range(1, len(seqs) + 1)), "each once and in order: the server drops what comes twice"
    assert len(seqs) > 200


def test_without_a_stream_it_waits(fresh_fleet, nats):
    fleet, admin = start(fresh_fleet, nats)
    found = wait_for(lambda: admin.ok("GET", "/v1/sinks/js")["state"] == "retrying" and
                     admin.ok("GET", "/v1/sinks/js"), 60, what="trouble to be told")
    assert found["last_error"].startswith("publish: ") and found["dead_letters"] == 0
    client = Client(nats.port)
    client.make()
    found = caught_up(fleet, admin, nats.port)
    seqs = [e["seq"] for _, _, e in found if e["tenant"] == "default"]
    assert seqs == list(range(1, len(seqs) + 1))
    client.close()
