# SPDX-License-Identifier: Apache-2.0
"""The syslog sink: RFC 5424 over each transport."""
import json
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import CONFIG, wait_for

MESSAGE = re.compile(rb'<(\d+)>1 (\S+) (\S+) aegis - (\S+) \[aegis@32473 event_id="(\w+)" tenant="([\w.-]+)" seq="(\d+)"\] '
                     rb'(\{.*\})', re.S)


class Streams:
    """Takes messages with octet counting (RFC 6587 §3.4.1), over TCP or TLS."""

    def __init__(self, context=None, port=0):
        self.messages, self.open = [], []
        self.context, self.running = context, True
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.running:
            try:
                plain, _ = self.listener.accept()
                self.open.append(plain)
                s = self.context.wrap_socket(plain, server_side=True) if self.context else plain
                if self.context:
                    self.open.append(s)
                threading.Thread(target=self.take, args=(s,), daemon=True).start()
            except OSError:
                continue

    def take(self, s):
        data = b""
        while True:
            try:
                more = s.recv(65536)
            except OSError:
                return
            if not more:
                return
            data += more
            while b" " in data:
                size, _, rest = data.partition(b" ")
                if len(rest) < int(size):
                    break
                self.messages.append(rest[:int(size)])
                data = rest[int(size):]

    def close(self):
        self.running = False
        for s in [self.listener] + self.open:
            try:
                socket.socket.shutdown(s, socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()


class Datagrams:
    def __init__(self, s):
        self.socket, self.messages = s, []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            try:
                self.messages.append(self.socket.recv(65536))
            except OSError:
                return

    def close(self):
        self.socket.close()


def last_id(fleet, admin):
    (event,) = fleet.event_of(admin, admin.get("/v1/whoami"))
    return event["event_id"].encode()


def has(messages, event_id):
    wait_for(lambda: any(b'event_id="' + event_id in m for m in list(messages)), 60, what="the event")


def check(fleet, messages):
    known = dict((e["event_id"], e) for e in fleet.all_events())
    for message in list(messages):
        found = MESSAGE.fullmatch(message)
        assert found, message
        pri, at, host, msgid, event_id, tenant, seq, text = found.groups()
        event = json.loads(text)
        assert event == known[event_id.decode()]
        assert (at.decode(), msgid.decode()) == (event["occurred_at"], event["operation"][:32])
        assert (tenant.decode(), int(seq)) == (event["tenant"], event["seq"])
        assert int(pri) == 13 * 8 + (6 if event["outcome"] == "allowed" and event["event_type"] == "request" else 4)


def start(fresh_fleet, url, **more):
    fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [dict(
        {"name": "log", "kind": "syslog", "url": url, "retry_max_s": 1}, **more)]))
    return fleet, fleet.admin()


def test_datagrams(fresh_fleet, tmp_path):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    unix.bind(str(tmp_path / "log"))
    one, two = Datagrams(udp), Datagrams(unix)
    try:
        fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [
            {"name": "u", "kind": "syslog", "url": "udp://127.0.0.1:%d" % udp.getsockname()[1]},
            {"name": "x", "kind": "syslog", "url": "unix://" + str(tmp_path / "log")}]))
        admin = fleet.admin()
        admin.get("/v1/keys/none")
        wanted = last_id(fleet, admin)
        for taker in (one, two):
            has(taker.messages, wanted)
            check(fleet, taker.messages)
    finally:
        one.close()
        two.close()


def test_a_stream_that_breaks_loses_nothing(fresh_fleet):
    first = Streams()
    fleet, admin = start(fresh_fleet, "tcp://127.0.0.1:%d" % first.port)
    has(first.messages, last_id(fleet, admin))
    check(fleet, first.messages)
    first.close()
    for _ in range(100):
        admin.ok("GET", "/v1/whoami")
    wait_for(lambda: admin.ok("GET", "/v1/sinks/log")["state"] == "retrying", what="trouble to be told")
    second = Streams(port=first.port)
    try:
        has(second.messages, last_id(fleet, admin))
        seqs = [int(m[6]) for m in (MESSAGE.fullmatch(x).groups() for x in first.messages + second.messages)
                if m[5] == b"default"]
        assert sorted(set(seqs)) == list(range(1, max(seqs) + 1)) and len(set(seqs)) > 100
    finally:
        second.close()


def test_tls_and_whom_it_trusts(fresh_fleet, tmp_path):
    def certificate(name):
        key, cert = str(tmp_path / (name + ".key")), str(tmp_path / (name + ".pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=" + name, "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return cert, key
    cert, key = certificate("ours")
    stranger, _ = certificate("stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Streams(context)
    try:
        url = "tls://127.0.0.1:%d" % server.port
        fleet, admin = start(fresh_fleet, url, ca_file=cert)
        has(server.messages, last_id(fleet, admin))
        check(fleet, server.messages)
        fleet.leave()
        had = len(server.messages)
        fleet, admin = start(fresh_fleet, url, ca_file=stranger)
        found = wait_for(lambda: admin.ok("GET", "/v1/sinks/log")["state"] == "retrying" and
                         admin.ok("GET", "/v1/sinks/log"), what="trouble to be told")
        assert "certificate verify failed" in found["last_error"] and len(server.messages) == had
    finally:
        server.close()


@pytest.mark.parametrize("url", ["tcp://", "udp://:514", "tcp://host:", "ftp://host"])
def test_bad_urls(fresh_fleet, url):
    with pytest.raises(AssertionError) as told:
        start(fresh_fleet, url)
    assert "sinks[].url" in str(told.value) or "SINK-URL" in str(told.value)
