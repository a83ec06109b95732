# SPDX-License-Identifier: Apache-2.0
"""The broker against peers that lie, babble, flood and vanish.

The test is the supervisor here: it gives aegis-broker its descriptor 3 with
rows and tokens of its own making, so it can be any row, and any stranger.
"""
import glob
import hashlib
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import pytest
import zmq

from conftest import BUILD, ROOT, wait_for

BROKER = 0xfffe
HELLO, PEER, REFUSED, ERROR_REPLY = 1, 2, 3, 4
OUTCOME, DELIVER, AUDIT_PULL_ASK = 0x0200, 0x0201, 0x0202
WHOAMI, KEY_SIGN = 0x1001, 0x1110
SLOTS = {"rest": (0, "plane"), "iam": (1, "iam"), "keys.0": (2, "keys"), "audit": (3, "audit"),
         "siem": (160, "subscriber")}


@pytest.fixture(scope="session")
def pb(tmp_path_factory):
    """The messages in Python, made from the .proto files."""
    out = tmp_path_factory.mktemp("pb")
    proto = os.path.join(ROOT, "proto")
    subprocess.run(["protoc", "--proto_path=" + proto, "--python_out=" + str(out)] +
                   [os.path.join(proto, n + ".proto") for n in ("aegis", "api", "facts")], check=True)
    sys.path.insert(0, str(out))
    import aegis_pb2
    yield aegis_pb2
    sys.path.remove(str(out))


def frame(to, *parts, sender=0, version=1):
    """parts: (type, body) or (type, body, envelope)"""
    out = struct.pack("<HHHHQ", version, to, sender, len(parts), 0)
    for part in parts:
        kind, body, envelope = (part + (b"",))[:3]
        out += struct.pack("<IHHI", len(envelope) + len(body), kind, 0, len(envelope)) + envelope + body
    return out


def unframe(data):
    version, to, sender, count, _ = struct.unpack_from("<HHHHQ", data)
    at, parts = 16, []
    for _ in range(count):
        size, kind, _, env = struct.unpack_from("<IHHI", data, at)
        parts.append((kind, data[at + 12 + env:at + 12 + size], data[at + 12:at + 12 + env]))
        at += 12 + size
    return to, sender, parts


class Peer:
    def __init__(self, switch, endpoint, name, token, identity=None, hwm=1000000):
        self.switch = switch
        self.peers = []  # what was said of others
        self.socket = switch.zmq.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = hwm
        self.socket.reconnect_ivl = 20
        if identity is not None:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        if name is not None:
            self.socket.plain_username = name.encode()
            self.socket.plain_password = token
        self.socket.connect(endpoint)
        self.endpoint = endpoint
        self.name = name

    def send(self, data):
        self.socket.send(data, zmq.DONTWAIT)

    def again(self):
        """A new connection: libzmq gives one up for good that was refused, as it
        is while the row's last one has not been seen to end."""
        try:
            self.socket.disconnect(self.endpoint)
        except zmq.ZMQError:
            pass
        self.socket.connect(self.endpoint)

    def hello(self):
        """As every row does it: said again until the broker greets (what it sent
        to a connection that was just closing is lost)."""
        message = self.switch.pb.HelloEvent(name=self.name, boot=1)
        for _ in range(10):
            self.send(frame(BROKER, (HELLO, message.SerializeToString())))
            try:
                self.until(lambda to, sender, parts: sender == BROKER and
                           any(p.slot == to and p.up for p in self.peers_in(parts)), 0.5)
                return self
            except AssertionError:
                self.again()
        raise AssertionError("%s was not greeted" % self.name)

    def peers_in(self, parts):
        return [self.switch.pb.PeerEvent.FromString(p[1]) for p in parts if p[0] == PEER]

    def receive(self, timeout_s=5.0):
        if not self.socket.poll(int(timeout_s * 1000)):
            return None
        got = unframe(self.socket.recv())
        self.peers += [(p.slot, p.up) for p in self.peers_in(got[2])]
        return got

    def until(self, wanted, timeout_s=5.0):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            got = self.receive(max(0.0, end - time.monotonic()))
            if got is not None and wanted(*got):
                return got
        raise AssertionError("%s did not hear it" % self.name)

    def next(self, timeout_s=5.0):
        """The next frame that is not the broker's talk about peers."""
        return self.until(lambda to, sender, parts: parts[0][0] != PEER, timeout_s)

    def hears_nothing(self, timeout_s=0.3):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            got = self.receive(max(0.0, end - time.monotonic()))
            assert got is None or got[2][0][0] == PEER, got
        return True

    def close(self):
        self.socket.close()


class Switch:
    def __init__(self, pb):
        self.pb = pb
        self.dir = tempfile.mkdtemp(prefix="aegis-bus-")
        os.makedirs(self.dir + "/run/bus")
        os.makedirs(self.dir + "/run/metrics")
        self.zmq = zmq.Context()
        self.tokens = {name: secrets.token_bytes(32) for name in SLOTS}
        self.generation = {name: 1 for name in SLOTS}
        self.peers = []
        self.start()

    def endpoint(self, name):
        return "ipc://%s/run/bus/%s.%d" % (self.dir, name, self.generation[name])

    def row(self, name):
        slot, role = SLOTS[name]
        return self.pb.BootRow(slot=slot, name=name, role=role, endpoint=self.endpoint(name),
                               token=hashlib.sha256(self.tokens[name]).digest())

    def start(self):
        boot = self.pb.Boot(self=self.pb.BootRow(slot=BROKER, name="broker", role="broker"),
                            rows=[self.row(n) for n in SLOTS], state_dir=self.dir, run_dir=self.dir + "/run",
                            config="", jail="LISTENER", uid=os.geteuid())
        ours, theirs = socket.socketpair()
        self.fd = ours
        # theirs becomes 3 and nothing else is passed on
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "aegis-broker")], stdin=subprocess.DEVNULL, close_fds=False,
            preexec_fn=lambda: (os.dup2(theirs.fileno(), 3, inheritable=True), os.closerange(4, 256)))
        theirs.close()
        self.tell(boot)
        self.fd.settimeout(10)
        assert self.fd.recv(6) == b"ready\n"

    def tell(self, message):
        data = message.SerializeToString()
        self.fd.sendall(struct.pack("<I", len(data)) + data)

    def peer(self, name, **kw):
        kw.setdefault("token", self.tokens[name].hex().encode())
        peer = Peer(self, self.endpoint(name), name, **kw)
        self.peers.append(peer)
        return peer

    def stranger(self, at, name, token, **kw):
        peer = Peer(self, self.endpoint(at), name, token, **kw)
        self.peers.append(peer)
        return peer

    def metric(self, name):
        data = open(self.dir + "/run/metrics/broker", "rb").read()
        count = struct.unpack_from("<I", data, 8 + 32 + 16 + 8 + 64 + 24)[0]
        size = 48 + 80 + 64 + 8 + 16 + 16 * 8
        for i in range(count):
            at = 8 + 32 + 16 + 8 + 64 + 32 + i * size
            if data[at:at + 48].split(b"\0")[0] == ("broker_%s_total" % name).encode():
                return struct.unpack_from("<Q", data, at + 200)[0]
        raise AssertionError(name)

    def alive(self):
        return self.process.poll() is None

    def rss(self):
        return int(open("/proc/%d/statm" % self.process.pid).read().split()[1]) * 4096

    def leave(self):
        for peer in self.peers:
            peer.close()
        self.fd.close()
        try:
            assert self.process.wait(5) == 0
        finally:
            self.process.kill()
            self.zmq.destroy(linger=0)
            shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def switch(pb):
    s = Switch(pb)
    yield s
    s.leave()


def works(switch):
    """Whatever was done to it: a plane still reaches iam."""
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    check_route(plane, iam)


def check_route(plane, iam):
    mark = secrets.token_bytes(8)
    plane.send(frame(1, (WHOAMI, mark)))
    got = iam.until(lambda to, sender, parts: parts[0][1] == mark)
    assert got[1] == 0


# ------------------------------------------------------------------ what it does


def test_frames_are_forwarded_and_stamped(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    plane.send(frame(1, (WHOAMI, b"one", b"env"), (KEY_SIGN, b"two"), sender=3))
    to, sender, parts = iam.next()
    assert (to, sender) == (1, 0), "who sent it is stamped, whatever the frame says"
    assert parts == [(WHOAMI, b"one", b"env"), (KEY_SIGN, b"two", b"")]
    wait_for(lambda: switch.metric("forwarded") == 1)


def test_rows_hear_of_each_other(switch):
    def about(slot, up):
        return lambda to, sender, parts: sender == BROKER and any(
            p.slot == slot and p.up == up for p in plane.peers_in(parts))
    plane = switch.peer("rest").hello()
    siem = switch.peer("siem").hello()
    assert (0, True) in siem.peers, "who is there is told before the greeting"
    plane.until(about(160, True))
    siem.close()
    got = plane.until(about(160, False))
    event = plane.peers_in(got[2])[0]
    assert (event.name, event.role) == ("siem", "subscriber")


def test_a_connection_is_asked_for_its_hello(switch):
    """A broker that does not know a row says so: after its restart everybody says hello without waiting for a
    tick, and asks for what may have been lost."""
    plane = switch.peer("rest")
    plane.until(lambda to, sender, parts: any(p.slot == 0 and not p.up for p in plane.peers_in(parts)))
    plane.hello()


def test_nothing_comes_before_the_greeting(switch):
    plane = switch.peer("rest").hello()
    iam = switch.peer("iam")
    iam.until(lambda to, sender, parts: any(p.slot == to and not p.up for p in iam.peers_in(parts)))
    plane.send(frame(1, (WHOAMI, b"")))
    wait_for(lambda: switch.metric("dropped_nobody") == 1, what="a frame for who has not said hello")
    iam.hello()
    assert (0, True) in iam.peers
    check_route(plane, iam)


def test_nobody_there_is_counted(switch):
    plane = switch.peer("rest").hello()
    plane.send(frame(1, (WHOAMI, b"")))
    wait_for(lambda: switch.metric("dropped_nobody") == 1)
    check_route(plane, switch.peer("iam").hello())


def test_a_new_start_evicts_the_old(switch):
    plane, old = switch.peer("rest").hello(), switch.peer("iam").hello()
    switch.generation["iam"] += 1
    switch.tokens["iam"] = secrets.token_bytes(32)
    switch.tell(switch.row("iam"))
    plane.until(lambda to, sender, parts: any(p.slot == 1 and not p.up for p in plane.peers_in(parts)))
    new = switch.peer("iam").hello()
    check_route(plane, new)
    assert old.hears_nothing()


def test_a_guest_may_be_added_and_taken_out(switch):
    audit = switch.peer("audit").hello()
    guest = switch.peer("siem").hello()
    guest.send(frame(3, (AUDIT_PULL_ASK, b"")))
    assert audit.next()[1] == 160
    gone = switch.pb.BootRow(slot=160, name="siem", role="subscriber")
    switch.tell(gone)
    audit.until(lambda to, sender, parts: any(p.slot == 160 and not p.up for p in audit.peers_in(parts)))
    audit.send(frame(160, (ERROR_REPLY, b"")))
    wait_for(lambda: switch.metric("refused") == 1)


def test_it_ends_with_the_supervisor(pb):
    s = Switch(pb)
    s.fd.shutdown(socket.SHUT_RDWR)
    assert s.process.wait(5) == 0
    s.leave()


def test_it_ends_on_sigterm(pb):
    s = Switch(pb)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(5) == 0
    s.leave()


# --------------------------------------------------------------- the topology


def test_a_plane_that_addresses_keys_is_refused_and_told(switch):
    plane, keys, audit = (switch.peer(n).hello() for n in ("rest", "keys.0", "audit"))
    plane.send(frame(2, (KEY_SIGN, b"x")))
    to, sender, parts = audit.next()
    assert sender == BROKER and parts[0][0] == REFUSED
    event = switch.pb.RefusedEvent.FromString(parts[0][1])
    assert (getattr(event, "from"), event.to, event.type) == (0, 2, KEY_SIGN)
    assert event.why == "no such route"
    assert keys.hears_nothing()
    assert switch.metric("refused") == 1


@pytest.mark.parametrize("sender,to,kind", [
    ("rest", 2, KEY_SIGN), ("rest", 1, PEER), ("rest", 3, REFUSED), ("keys.0", 0, DELIVER),
    ("siem", 1, WHOAMI), ("siem", 3, OUTCOME), ("siem", 0, DELIVER), ("iam", 2, 0x0800),
    ("rest", 1, 0x7777), ("rest", 99, WHOAMI), ("rest", 0xffff, WHOAMI), ("rest", BROKER, WHOAMI),
    ("rest", BROKER, PEER), ("rest", 1, HELLO)])
def test_what_is_not_listed_does_not_go(switch, sender, to, kind):
    peer = switch.peer(sender).hello()
    others = [switch.peer(n).hello() for n in SLOTS if n != sender]
    peer.send(frame(to, (kind, b"x")))
    wait_for(lambda: switch.metric("refused") == 1)
    for other in others:
        if other.name != "audit":
            assert other.hears_nothing(0.05)


def test_one_bad_part_refuses_the_frame(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    plane.send(frame(1, (WHOAMI, b"good"), (OUTCOME, b"bad"), (WHOAMI, b"good")))
    wait_for(lambda: switch.metric("refused") == 1)
    assert iam.hears_nothing()


def test_refusals_told_are_bounded_and_exact(switch):
    plane, audit = switch.peer("rest").hello(), switch.peer("audit").hello()
    for _ in range(500):
        plane.send(frame(2, (KEY_SIGN, b"")))
    wait_for(lambda: switch.metric("refused") == 500)
    told, frames, end = 0, 0, time.monotonic() + 5
    while told < 500 and time.monotonic() < end:
        got = audit.receive(0.5)
        if got is None or got[2][0][0] != REFUSED:
            continue
        frames += 1
        told += 1 + switch.pb.RefusedEvent.FromString(got[2][0][1]).suppressed
    assert told == 500
    assert frames <= 30


def test_refusals_are_kept_while_audit_is_away(switch):
    plane = switch.peer("rest").hello()
    for _ in range(5):
        plane.send(frame(2, (KEY_SIGN, b"")))
    wait_for(lambda: switch.metric("refused") == 5)
    audit = switch.peer("audit").hello()
    to, sender, parts = audit.next()
    assert 1 + switch.pb.RefusedEvent.FromString(parts[0][1]).suppressed == 5


# ----------------------------------------------------------------- identity


def test_a_wrong_token_is_nobody(switch):
    iam = switch.peer("iam").hello()
    for token in (b"-", b"00" * 32, switch.tokens["iam"].hex().encode(), b"\xff" * 64,
                  switch.tokens["rest"].hex().encode()[:-1], b"x" * 200):
        liar = switch.stranger("rest", "rest", token)
        liar.send(frame(1, (WHOAMI, b"lie")))
    wait_for(lambda: switch.metric("handshakes_denied") >= 6)
    assert iam.hears_nothing()
    works_as(switch, iam)


def works_as(switch, iam):
    check_route(switch.peer("rest").hello(), iam)


def test_no_credential_at_all_is_nobody(switch):
    iam = switch.peer("iam").hello()
    switch.stranger("rest", None, None).send(frame(1, (WHOAMI, b"lie")))
    assert iam.hears_nothing(0.5)
    works_as(switch, iam)


def test_another_rows_name_and_token_open_its_own_door_only(switch):
    iam = switch.peer("iam").hello()
    audit = switch.peer("audit").hello()
    # siem's credential at rest's door, and rest's name at siem's
    switch.stranger("rest", "siem", switch.tokens["siem"].hex().encode()).send(frame(1, (WHOAMI, b"lie")))
    switch.stranger("siem", "rest", switch.tokens["rest"].hex().encode()).send(frame(1, (WHOAMI, b"lie")))
    wait_for(lambda: switch.metric("handshakes_denied") >= 2)
    assert iam.hears_nothing() and audit.hears_nothing()
    works_as(switch, iam)


@pytest.mark.parametrize("identity", [b"iam", b"rest", b"\x00\x00\x00\x00\x01", b"i-am-root", b"A" * 255])
def test_a_claimed_routing_id_is_worth_nothing(switch, identity):
    """An automatic routing id aborted a ROUTER; a DEALER per row has none."""
    keys = switch.peer("keys.0").hello()
    siem = switch.peer("siem", identity=identity).hello()
    siem.send(frame(2, (KEY_SIGN, b"lie"), sender=1))
    siem.send(frame(1, (WHOAMI, b"lie"), sender=0))
    wait_for(lambda: switch.metric("refused") == 2)
    assert keys.hears_nothing()
    works(switch)


def test_a_second_connection_takes_nothing_from_the_first(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    second = switch.peer("iam", identity=b"iam")
    wait_for(lambda: switch.metric("handshakes_denied") >= 1)
    for i in range(200):
        plane.send(frame(1, (WHOAMI, b"%d" % i)))
    for i in range(200):
        assert iam.next()[2][0][1] == b"%d" % i
    assert not second.socket.poll(100)


def test_rows_that_come_and_go(switch):
    iam = switch.peer("iam").hello()
    for _ in range(20):
        plane = switch.peer("rest").hello()
        check_route(plane, iam)
        plane.close()
    assert switch.alive()


# ------------------------------------------------------------------- garbage


def test_garbage_is_counted_and_survived(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    good = frame(1, (WHOAMI, b"body", b"env"))
    bad = [b"", b"x", good[:15], good[:-1], good + b"x", frame(1), frame(1, (WHOAMI, b""), version=2),
           struct.pack("<HHHHQ", 1, 1, 0, 1025, 0), struct.pack("<HHHHQ", 1, 1, 0, 1, 0),
           struct.pack("<HHHHQ", 1, 1, 0, 1, 0) + struct.pack("<IHHI", 0xffffffff, WHOAMI, 0, 0),
           struct.pack("<HHHHQ", 1, 1, 0, 1, 0) + struct.pack("<IHHI", 4, WHOAMI, 0, 5) + b"1234",
           struct.pack("<HHHHQ", 1, 1, 0, 1, 7) + struct.pack("<IHHI", 0, WHOAMI, 0, 0),
           secrets.token_bytes(100000)]
    for data in bad:
        plane.send(data)
    wait_for(lambda: switch.metric("garbage") == len(bad))
    check_route(plane, iam)


def test_several_zmq_frames_are_no_frame(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    plane.socket.send_multipart([frame(1, (WHOAMI, b"a")), frame(1, (WHOAMI, b"b"))])
    iam.hears_nothing(0.2)
    check_route(plane, iam)


def test_a_message_over_the_limit_ends_the_connection_only(switch):
    plane, iam = switch.peer("rest").hello(), switch.peer("iam").hello()
    plane.send(b"\0" * (20 << 20))
    iam.until(lambda to, sender, parts: any(p.slot == 0 and not p.up for p in iam.peers_in(parts)))
    assert switch.alive()
    check_route(plane.hello(), iam)


def test_noise_on_the_socket_itself(switch):
    """Not even ZMTP."""
    path = switch.endpoint("rest")[len("ipc://"):]
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 10 + b"\x7f" + secrets.token_bytes(5000), b"\0" * 64):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(data)
            s.settimeout(0.2)
            try:
                s.recv(100)
            except OSError:
                pass
    works(switch)


# ------------------------------------------------------------------ overload


def test_a_row_that_does_not_read_costs_only_itself(switch):
    """Its queue has an end: then frames for it are dropped and counted; the others go on, memory stays."""
    plane, iam = switch.peer("rest").hello(), switch.peer("iam", hwm=10).hello()
    audit, siem = switch.peer("audit").hello(), switch.peer("siem").hello()
    before = switch.rss()
    sent = 0
    while switch.metric("dropped_full") == 0 and sent < 400000:
        for _ in range(1000):
            plane.send(frame(1, (WHOAMI, b"x" * 100)))
        sent += 1000
        siem.send(frame(3, (AUDIT_PULL_ASK, b"still here")))
        assert audit.next(10)[1] == 160
    assert switch.metric("dropped_full") > 0
    assert switch.rss() - before < 200 << 20
    heard = 0
    while True:
        got = iam.receive(1.0)
        if got is None:
            break
        heard += got[2][0][0] == WHOAMI
    wait_for(lambda: switch.metric("forwarded") + switch.metric("dropped_full") >= sent)
    lost = switch.metric("dropped_full")
    assert heard + lost == sent, "what is lost is counted"
    check_route(plane, iam)


def test_a_restart_is_survived_by_its_peers(pb):
    s = Switch(pb)
    plane, iam = s.peer("rest").hello(), s.peer("iam").hello()
    check_route(plane, iam)
    s.process.kill()
    s.process.wait()
    s.fd.close()
    s.start()
    for peer in (plane, iam):
        peer.until(lambda to, sender, parts: any(p.slot == to and not p.up for p in peer.peers_in(parts)), 10)
        peer.hello()
    check_route(plane, iam)
    s.leave()


# ------------------------------------------------------------- in the real fleet


class Guest(Peer):
    """Who joins a running fleet with the file that `aegis actor enroll` wrote."""

    def __init__(self, pb, file):
        data = open(file, "rb").read()
        self.boot = pb.Boot.FromString(data[4:])
        me = getattr(self.boot, "self")
        self.slots = {row.name: row.slot for row in self.boot.rows}
        holder = type("Holder", (), {"pb": pb, "zmq": zmq.Context()})()
        super().__init__(holder, me.endpoint, me.name, me.token.hex().encode())

    def leave(self):
        self.close()
        self.switch.zmq.destroy(linger=0)


def test_what_the_broker_refuses_is_in_the_audit_log(pb, fleet, admin, unique, tmp_path):
    name = unique("guest")
    fleet.run("actor", "enroll", name, "--role", "subscriber", "--out", str(tmp_path / "g"), check=0)
    guest = Guest(pb, str(tmp_path / "g")).hello()
    try:
        guest.send(frame(guest.slots["keys.0"], (KEY_SIGN, b"around the checks")))
        guest.send(b"garbage")

        def recorded():  # tenant `system`: in the log itself
            log = b"".join(open(f, "rb").read() for f in glob.glob(fleet.state + "/audit/**/*.seg", recursive=True))
            at = log.find(b"bus.refused")
            return log[at:at + 400] if at >= 0 else None
        event = wait_for(recorded, 10)
        for word in (name, "keys.0", "KEY_SIGN", "no such route"):
            assert word.encode() in event
        # and the events themselves may be pulled
        ask = pb.AuditPullAsk(from_pos=1, max=10).SerializeToString()
        guest.send(frame(guest.slots["audit"], (AUDIT_PULL_ASK, ask, pb.Envelope(corr=7).SerializeToString())))
        got = guest.next()
        assert got[1] == guest.slots["audit"] and got[2][0][0] == 0x0203
        assert pb.Envelope.FromString(got[2][0][2]).corr == 7
        assert len(pb.AuditPullReply.FromString(got[2][0][1]).items) > 0
    finally:
        guest.leave()


def test_a_restarted_broker_finds_everybody(fleet, admin):
    pid = fleet.processes()["broker"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: fleet.processes()["broker"] not in (0, pid), 10)

    def answers():
        return admin.get("/v1/whoami").status == 200
    wait_for(answers, 15)
    key = fleet.key(admin)["id"]
    assert admin.post("/v1/keys/%s/sign" % key, {"message_b64": "aGVsbG8="}).status == 200
