# SPDX-License-Identifier: Apache-2.0
"""The webhook sink and its relatives (Splunk HEC, OTLP), against an HTTPS
receiver that fails on purpose."""
import hashlib
import hmac
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import CONFIG, wait_for

KEY = b"a key of the webhook, 32 bytes or more"


class Receiver:
    """Takes batches over TLS. answer(body) gives the status; port stays over close and open."""

    def __init__(self, folder):
        self.cert, self.key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.got, self.refused, self.port = [], [], 0
        self.answer = lambda body: 200
        self.open()

    def open(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answer(body)
                (receiver.got if status == 200 else receiver.refused).append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def get_request(self):
                got = super().get_request()
                self.connections.append(got[0])
                return got

            def handle_error(self, *words):
                pass
        Server.connections = []
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.server.connections:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                pass

    def url(self, path):
        return "https://127.0.0.1:%d%s" % (self.port, path)

    def events(self):
        return [e for _, _, body in list(self.got) for e in json.loads(body)["events"]]


@pytest.fixture
def receiver(tmp_path):
    made = Receiver(str(tmp_path))
    yield made
    made.close()


def secret(tmp_path, text, mode=0o600):
    path = tmp_path / ("secret-%d" % len(os.listdir(str(tmp_path))))
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def hooked(fresh_fleet, receiver, tmp_path):
    def make(**more):
        row = dict({"name": "hook", "kind": "webhook", "url": receiver.url("/in"), "ca_file": receiver.cert,
                    "key_file": secret(tmp_path, KEY + b"\n"), "retry_max_s": 1}, **more)
        fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [row]))
        return fleet, fleet.admin()
    return make


def last_id(fleet, admin):
    (event,) = fleet.event_of(admin, admin.get("/v1/whoami"))
    return event["event_id"]


def has(receiver, event_id):
    wait_for(lambda: any(e["event_id"] == event_id for e in receiver.events()), 60, what="the event")


def test_every_batch_is_signed(hooked, receiver):
    fleet, admin = hooked()
    has(receiver, last_id(fleet, admin))
    for path, headers, body in receiver.got:
        stamp = headers["Aegis-Timestamp"]
        assert path == "/in" and headers["Content-Type"] == "application/json"
        assert abs(int(stamp) - time.time()) < 120
        mac = hmac.new(KEY, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert headers["Aegis-Signature"] == "v1=" + mac
    known = dict((e["event_id"], e) for e in fleet.all_events())
    assert all(known[e["event_id"]] == e for e in receiver.events())
    assert KEY.decode() not in open(fleet.log, errors="replace").read()


def test_an_outage_loses_nothing(hooked, receiver):
    fleet, admin = hooked()
    has(receiver, last_id(fleet, admin))
    receiver.close()
    for _ in range(300):
        admin.ok("GET", "/v1/whoami")
    down = wait_for(lambda: admin.ok("GET", "/v1/sinks/hook")["state"] == "retrying" and
                    admin.ok("GET", "/v1/sinks/hook"), what="trouble to be told")
    assert down["lag_events"] >= 300 and "onnect" in down["last_error"] and down["dead_letters"] == 0
    os.kill(fleet.processes()["webhook.hook"], signal.SIGKILL)
    receiver.answer = lambda body: 503 if len(receiver.refused) < 5 else 200
    receiver.open()
    has(receiver, last_id(fleet, admin))
    assert len(receiver.refused) == 5
    seen = {}
    for event in receiver.events():
        assert seen.setdefault(event["event_id"], event) == event, "a duplicate is the same event"
    seqs = [e["seq"] for e in seen.values() if e["tenant"] == "default"]
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) > 300


def test_a_refused_event_is_put_aside_and_sent_again(hooked, receiver):
    fleet, admin = hooked(attempts=2)
    has(receiver, last_id(fleet, admin))
    receiver.answer = lambda body: 422 if b"agent.issue" in body else 200
    for _ in range(20):
        admin.ok("GET", "/v1/whoami")
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"])
    for _ in range(20):
        admin.ok("GET", "/v1/whoami")
    has(receiver, last_id(fleet, admin))
    found = wait_for(lambda: admin.ok("GET", "/v1/sinks/hook")["dead_letters"] and admin.ok("GET", "/v1/sinks/hook"),
                     what="the dead letter")
    assert found["dead_letters"] == 1 and found["last_error"] == "HTTP 422" and found["state"] == "running"
    fleet.run("audit", "health", check=1)
    file = os.path.join(fleet.state, "sinks", "webhook.hook.dead")
    assert os.stat(file).st_mode & 0o077 == 0
    (letter,) = [json.loads(line) for line in open(file)]
    assert letter["error"] == "HTTP 422" and letter["event"]["operation"] == "agent.issue"
    assert agent.id not in b"".join(body for _, _, body in receiver.got).decode()
    receiver.answer = lambda body: 200
    fleet.run("sink", "redeliver", "hook", check=0)
    has(receiver, letter["event"]["event_id"])
    wait_for(lambda: admin.ok("GET", "/v1/sinks/hook")["dead_letters"] == 0, what="no dead letters")
    assert not os.path.exists(file)
    seqs = sorted(e["seq"] for e in receiver.events() if e["tenant"] == "default")
    assert seqs == list(range(1, len(seqs) + 1))


def test_only_detections_and_responses(hooked, receiver):
    fleet, admin = hooked(event_types=["detection", "response"])
    fleet.key(admin, "mine")
    fleet.key(admin, "other")
    agent = fleet.agent(admin, ["key:mine:sign"])
    assert agent.post("/v1/keys/other/sign", {"message_b64": "aGk="}).status == 403
    wait_for(lambda: set(e["event_type"] for e in receiver.events()) == {"detection", "response"}, 60, what="both")
    assert admin.ok("GET", "/v1/sinks/hook")["filtered"] > 3


def test_a_certificate_of_somebody_else(hooked, receiver, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    stranger = Receiver(str(other))
    try:
        fleet, admin = hooked(ca_file=stranger.cert)
        found = wait_for(lambda: admin.ok("GET", "/v1/sinks/hook")["state"] == "retrying" and
                         admin.ok("GET", "/v1/sinks/hook"), what="trouble to be told")
        assert "SSL" in found["last_error"] or "certificate" in found["last_error"]
        assert receiver.got == [] and receiver.refused == []
    finally:
        stranger.close()


def test_secrets_of_others_eyes(hooked, fresh_fleet, receiver, tmp_path):
    with pytest.raises(AssertionError) as told:
        hooked(key_file=secret(tmp_path, KEY, 0o644))
    assert "others may read it" in str(told.value)
    with pytest.raises(AssertionError) as told:
        hooked(key_file=secret(tmp_path, b"short"))
    assert "shorter than 32 bytes" in str(told.value)


def test_splunk_and_otlp(fresh_fleet, receiver, tmp_path):
    token = secret(tmp_path, b"splunk-token-1\n")
    both = {"ca_file": receiver.cert, "token_file": token}
    fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [
        dict(both, name="hec", kind="splunk", url=receiver.url("/services/collector")),
        dict(both, name="otel", kind="otlp", url=receiver.url("/v1/logs"))]))
    admin = fleet.admin()
    wanted = last_id(fleet, admin)

    def bodies(path):
        return [(h, b) for p, h, b in list(receiver.got) if p == path]
    for path in ("/services/collector", "/v1/logs"):
        wait_for(lambda: any(wanted.encode() in b for _, b in bodies(path)), 60, what="the event at " + path)
    known = dict((e["event_id"], e) for e in fleet.all_events())
    lines = [json.loads(line) for h, b in bodies("/services/collector") for line in b.decode().splitlines()]
    assert all(h["Authorization"] == "Splunk splunk-token-1" for h, _ in bodies("/services/collector"))
    assert all(line["sourcetype"] == "aegis:audit" and known[line["event"]["event_id"]] == line["event"] for line in lines)
    assert all(h["Authorization"] == "Bearer splunk-token-1" for h, _ in bodies("/v1/logs"))
    records = [r for _, b in bodies("/v1/logs")
               for r in json.loads(b)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]]
    for record in records:
        said = dict((a["key"], a["value"]["stringValue"]) for a in record["attributes"])
        event = known[said["aegis.event_id"]]
        assert json.loads(record["body"]["stringValue"]) == event
        assert said["aegis.operation"] == event["operation"] and int(record["timeUnixNano"]) > 1e18
    assert lines and records
