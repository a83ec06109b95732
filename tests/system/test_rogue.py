# SPDX-License-Identifier: Apache-2.0
"""Somebody else's program in the place of a plane, who speaks as planes do: by its door, its line and the bus.

The program hands all that it was given to the test (its token, its ends of
lines), which is the rogue from then on. Nobody may die of it, the other plane
goes on, it gets nothing that is not its own, and the log has a word of it.
"""
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid

import pytest
import zmq

import conftest
from conftest import BUILD, CONFIG, SANITIZED, Fleet, wait_for
from test_broker import DELIVER, KEY_SIGN, OUTCOME, WHOAMI, Peer, frame, pb, unframe  # noqa: F401
from test_metrics import metrics

pytestmark = pytest.mark.skipif(SANITIZED or "coverage" in os.path.basename(os.path.abspath(BUILD)),
                                reason="it is the release's programs that are attacked")
KEY_CREATE, RULING, ROT_LOAD = 0x1100, 0x0304, 0x0402
MIB = 1 << 20
PROGRAM = r"""#!/usr/bin/python3
import json, os, signal, socket, struct
def exactly(n):
    got = b""
    while len(got) < n:
        got += os.read(3, n - len(got))
    return got
boot = exactly(struct.unpack("<I", exactly(4))[0])
fds = [fd for fd in range(3, 64) if os.path.exists("/proc/self/fd/%%d" %% fd)]
os.write(3, b"ready\n")
place = socket.socket(socket.AF_UNIX)
if os.path.exists(%(at)r):
    os.unlink(%(at)r)
place.bind(%(at)r)
place.listen()
while True:
    one, _ = place.accept()
    head = json.dumps({"fds": fds, "boot": boot.hex(), "pid": os.getpid()}).encode()
    socket.send_fds(one, [struct.pack("<I", len(head))], fds)
    one.sendall(head)
    one.close()
"""


class Rogue:
    """What the program in the place of the MCP plane was given."""

    def __init__(self, pb, fleet, at):
        self.pb, self.fleet = pb, fleet
        with socket.socket(socket.AF_UNIX) as s:
            wait_for(lambda: s.connect_ex(at) == 0, 30, what="the rogue")
            data, fds, _, _ = socket.recv_fds(s, 4, 64)
            text = b""
            while len(text) < struct.unpack("<I", data)[0]:
                text += s.recv(65536)
        told = json.loads(text)
        self.pid = told["pid"]
        self.fds = dict(zip(told["fds"], fds))
        self.boot = pb.Boot.FromString(bytes.fromhex(told["boot"]))
        self.me = getattr(self.boot, "self")
        self.slots = {row.name: row.slot for row in self.boot.rows}
        self.door = self.end(self.boot.lines_to, self.slots["iam"])
        self.line = self.end(self.boot.lines_from, self.slots["audit"])
        self.start, self.n, self.part = secrets.randbits(63) | 1, 0, b""
        self.zmq = zmq.Context()
        holder = type("Holder", (), {"pb": pb, "zmq": self.zmq})()
        self.bus = Peer(holder, self.me.endpoint, self.me.name, self.me.token.hex().encode()).hello()

    def end(self, lines, slot):
        [fd] = [line.fd for line in lines if line.slot == slot]
        return socket.socket(fileno=self.fds[fd])

    def leave(self):
        self.bus.close()
        self.zmq.destroy(linger=0)
        self.door.close()
        self.line.close()
        for fd in self.fds.values():
            try:
                os.close(fd)
            except OSError:
                pass

    # ---- what it says

    def packet(self, data, size=None, at=0):
        """One packet of a frame by the door, true or not; False: there is no room now."""
        try:
            self.door.send(struct.pack("<II", len(data) if size is None else size, at) + data, socket.MSG_DONTWAIT)
            return True
        except BlockingIOError:
            return False

    def say(self, data):
        for at in range(0, max(len(data), 1), 65536):
            wait_for(lambda: self.packet(data[at:at + 65536], len(data), at), 30, what="room in the door")

    def ask(self, kind, body=b"", token=None, selector=None, n=None, start=None, **more):
        """A request as a plane makes it; its part of a frame."""
        if n is None:
            self.n += 1
            n = self.n
        request = self.pb.Request(request_id=uuid.uuid4().bytes, boot=self.start if start is None else start, n=n,
                                  occurred_at=int(time.time() * 1000), received_us=time.clock_gettime_ns(
                                      time.CLOCK_BOOTTIME) // 1000, reply_key=secrets.token_bytes(32))
        if token:
            request.credential = token
        if selector:
            request.selector = selector
        for name, value in more.items():
            setattr(request, name, value)
        envelope = self.pb.Envelope(deadline_ms=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000 + 10000,
                                    request=request)
        return kind, body, envelope.SerializeToString()

    def answers(self, timeout_s=10.0):
        """The frames of its line, whole; ends when nothing comes."""
        self.line.settimeout(timeout_s)
        while True:
            try:
                got = self.line.recv(8 + 65536)
            except (TimeoutError, BlockingIOError):
                return
            size, at = struct.unpack_from("<II", got)
            self.part = (self.part if at else b"") + got[8:]
            if len(self.part) == size:
                for kind, body, _ in unframe(self.part)[2]:
                    assert kind == DELIVER
                    yield self.pb.DeliverEvent.FromString(body)

    def answer(self, n, timeout_s=30.0):
        for event in self.answers(timeout_s):
            if (event.boot, event.n) == (self.start, n):
                return event
        raise AssertionError("no answer to %d" % n)

    def whoami(self, token):
        """It is a plane like others for as long as it behaves."""
        self.say(frame(self.slots["iam"], self.ask(WHOAMI, token=token)))
        assert self.answer(self.n).status == 200


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The fleet's programs, but for one."""
    top = str(tmp_path_factory.mktemp("programs"))
    for name in os.listdir(BUILD):
        path = os.path.join(BUILD, name)
        if name == "engine" or (name.startswith("aegis-") and os.path.isfile(path)):
            os.symlink(path, os.path.join(top, name))
    shutil.copy(os.path.join(BUILD, "aegis"), top)
    os.unlink(os.path.join(top, "aegis-mcp"))
    with open(os.path.join(top, "aegis-mcp"), "w") as out:
        out.write(PROGRAM % {"at": os.path.join(top, "s")})
    os.chmod(os.path.join(top, "aegis-mcp"), 0o755)
    return top


def begin(f):
    """It is never ready as a whole: one of its planes has no heart that beats. The other one is."""
    with open(f.log, "ab") as log:
        f.process = subprocess.Popen(
            [conftest.AEGIS, "up", "--state", f.state, "--config", f.config_file, "--listen", f.listen,
             "--unsafe-test-clock", f.clock], stdout=log, stderr=log, start_new_session=True)

    def answers():
        assert f.process.poll() is None, f.tail()
        try:
            return f.admin().get("/v1/whoami").status == 200
        except (OSError, KeyError):
            return False
    wait_for(answers, 60, 0.05, "the other plane")


@pytest.fixture(scope="module")
def fleet(place):
    before, conftest.AEGIS = conftest.AEGIS, os.path.join(place, "aegis")
    f = Fleet(config=dict(CONFIG, mcp={"listen": "127.0.0.1:0"}))
    try:
        begin(f)
        yield f
    finally:
        f.leave()
        conftest.AEGIS = before


@pytest.fixture
def rogue(pb, fleet, place, admin):  # noqa: F811
    """It ends with everybody alive, and the other plane at work."""
    pids = fleet.processes()
    r = Rogue(pb, fleet, os.path.join(place, "s"))
    r.whoami(admin.token)
    yield r
    r.leave()
    admin.patient("GET", "/v1/whoami")
    now = fleet.processes()
    assert {name: now[name] for name in now if name != "mcp"} == {n: pids[n] for n in pids if n != "mcp"}


def logged(fleet, *words):
    """A line of the log with all of these."""
    def found():
        return any(all(word in line for word in words) for line in open(fleet.log, errors="replace"))
    return wait_for(found, 30, 0.05, "a line with %r" % (words,))


def refused(fleet, why):
    """What the audit log says of frames of the rogue that were refused for this."""
    return [e for e in fleet.all_events() if e["operation"] == "bus.refused" and e["params"]["from"] == "mcp" and
            e["params"]["why"] == why]


def rss(fleet, name):
    return int(open("/proc/%d/statm" % fleet.processes()[name]).read().split()[1]) * 4096


def bad_frames(good):
    head = struct.pack("<HHHHQ", 1, good[2], 0, 1, 0)
    return [b"", b"x", good[:15], good[:16], good[:-1], good + b"x", b"\2" + good[1:],
            struct.pack("<HHHHQ", 1, good[2], 0, 0, 0), struct.pack("<HHHHQ", 1, good[2], 0, 1025, 0) + good[16:],
            struct.pack("<HHHHQ", 1, good[2], 0, 1, 1) + good[16:], head + struct.pack("<IHHI", 0xffffffff, WHOAMI, 0, 0),
            head + struct.pack("<IHHI", 4, WHOAMI, 0, 5) + b"1234", head + struct.pack("<IHHI", 0, WHOAMI, 1, 0),
            secrets.token_bytes(60000)]


def test_what_is_no_frame_is_counted_and_nothing_else(fleet, rogue, admin):
    good = frame(rogue.slots["iam"], rogue.ask(WHOAMI, token=admin.token))
    bad = bad_frames(good)
    before = metrics(fleet)["broker_garbage_total"]
    for data in bad:
        rogue.say(data)
        rogue.bus.send(data)
    # Packets that lie: shorter than their head; past the longest frame; past their own; of no frame that began.
    rogue.door.send(b"x" * 7)
    assert rogue.packet(b"x", size=8 * MIB + 1) and rogue.packet(b"x" * 10, size=9) and rogue.packet(b"x", 9, at=9)
    # Descriptors that come along stay nobody's.
    held = len(os.listdir("/proc/%d/fd" % fleet.processes()["broker"]))
    socket.send_fds(rogue.door, [struct.pack("<II", 1, 0) + b"x"], [0] * 50)
    wait_for(lambda: metrics(fleet)["broker_garbage_total"] - before == 2 * len(bad) + 5, 30, what="all to be counted")
    assert len(os.listdir("/proc/%d/fd" % fleet.processes()["broker"])) <= held
    # A frame that never ends, and one that ends as another: nothing is taken for the rest of it.
    assert rogue.packet(good[:40], size=len(good)) and rogue.packet(good[40:], size=len(good) + 1, at=40)
    assert rogue.packet(b"\0" * 65536, size=8 * MIB)
    rogue.whoami(admin.token)
    logged(fleet, "FRAME-REFUSED", "from=mcp")
    wait_for(lambda: refused(fleet, "not a frame"), 30, 0.1, what="the last of them to be recorded")


def test_who_says_it_is_stamped(fleet, rogue, admin):
    """Whatever the frame claims, and whatever is in it that only others may say."""
    key = fleet.key(admin)["id"]
    before, slots, events = metrics(fleet), rogue.slots, len(fleet.all_events())
    request = rogue.ask(KEY_SIGN, token=admin.token, selector=key)
    theirs = [("keys.0", KEY_SIGN), ("software", ROT_LOAD), ("rest", DELIVER), ("iam", RULING), ("journal", 0x0100),
              ("iam", 0x0105), ("risk", KEY_SIGN), ("history", WHOAMI), ("audit", 0x0202)]
    for name, kind in theirs:
        for sender in ("iam", "responder", "audit"):
            data = frame(slots[name], (kind,) + request[1:], sender=slots[sender])
            rogue.say(data)
            rogue.bus.send(data)
    wait_for(lambda: metrics(fleet)["broker_refused_total"] - before["broker_refused_total"] == 6 * len(theirs), 30)
    # To audit it may speak: of its own refusals, and never of success or with a grant of its own making.
    grant = dict(grant=b"\x0a\x10" + secrets.token_bytes(30), grant_mac=secrets.token_bytes(32))
    rogue.n += 1
    claims = [dict(request=rogue.pb.Request(request_id=uuid.uuid4().bytes, boot=rogue.start, n=rogue.n, occurred_at=1,
                                            received_us=1)), grant]
    for claim in claims:
        event = rogue.pb.OutcomeEvent(event_type=rogue.pb.EventType.V.Value("request"), operation="key.destroy",
                                      outcome=rogue.pb.OutcomeKind.V.Value("allowed"), **claim)
        rogue.bus.send(frame(slots["audit"], (OUTCOME, event.SerializeToString()), sender=slots["iam"]))
    wait_for(lambda: metrics(fleet)["audit_refused_total"] - before["audit_refused_total"] == len(claims), 30)
    # With a grant that iam never signed on a request, or with none that iam would take.
    kind, body, envelope = rogue.ask(WHOAMI, token=admin.token)
    rogue.say(frame(slots["iam"], (kind, body, envelope + rogue.pb.Envelope(**grant).SerializeToString())))
    wait_for(lambda: metrics(fleet)["malformed_total"] > before["malformed_total"], 30, what="iam to refuse it")
    new = fleet.all_events()[events:]
    assert {e["operation"] for e in new} <= {"bus.refused", "principal.whoami", "key.create"}
    assert all(e["outcome"] == "denied" for e in new if e["operation"] == "bus.refused")
    logged(fleet, "FRAME-REFUSED", "from=mcp")
    wait_for(lambda: refused(fleet, "no such route"), 30, 0.1, what="the last of them to be recorded")


def test_anothers_credential_is_worth_nothing(fleet, rogue, admin):
    """Its own token at another's door, another's name at its own, and its own while it is there."""
    before = metrics(fleet)["broker_handshakes_denied_total"]
    [rest] = [name for name in os.listdir(fleet.state + "/run/bus") if re.match(r"rest\.\d+$", name)]
    token = rogue.me.token.hex().encode()
    holder = rogue.bus.switch
    liars = [Peer(holder, "ipc://%s/run/bus/%s" % (fleet.state, rest), "rest", token),
             Peer(holder, "ipc://%s/run/bus/%s" % (fleet.state, rest), "mcp", token),
             Peer(holder, rogue.me.endpoint, "rest", token), Peer(holder, rogue.me.endpoint, "mcp", token, b"rest"),
             Peer(holder, rogue.me.endpoint, "mcp", b"0" * 64), Peer(holder, rogue.me.endpoint, None, None)]
    try:
        for liar in liars:
            say = on_bus(liar, frame(rogue.slots["iam"], rogue.ask(WHOAMI, token=admin.token)))
            say()  # or there is nobody whom it could be said to
        wait_for(lambda: metrics(fleet)["broker_handshakes_denied_total"] - before >= 5, 30, what="them to be denied")
        assert not any(liar.socket.poll(50) for liar in liars)
        assert admin.get("/v1/whoami").status == 200
    finally:
        for liar in liars:
            liar.close()
    rogue.whoami(admin.token)
    logged(fleet, "HANDSHAKES-DENIED")


def test_a_replay_is_answered_once_and_hides_nothing(fleet, rogue, admin, unique):
    """A frame again, and other requests under a number that was used, is none, or is another plane's."""
    iam = rogue.slots["iam"]
    key = fleet.key(admin, unique("replayed"))["id"]
    once = frame(iam, rogue.ask(KEY_SIGN, b"\x0a\x01x", token=admin.token, selector=key))  # message_b64
    used = rogue.n
    for _ in range(20):
        rogue.say(once)
    assert rogue.answer(used).status == 200
    made = []
    for spoiled in (dict(n=used), dict(n=2 ** 64 - 1), dict(n=2 ** 64 - 1), dict(n=used + 1)):
        made.append(unique("hidden"))
        body = b"\x08\x04\x12" + bytes([len(made[-1])]) + made[-1].encode()  # key_spec, alias
        rogue.say(frame(iam, rogue.ask(KEY_CREATE, body, token=admin.token, **spoiled)))
    bodies = b"\x08\x04\x12\x05never"
    rogue.say(frame(iam, rogue.ask(KEY_CREATE, bodies, token=admin.token, n=0)))
    rogue.say(frame(iam, rogue.ask(KEY_CREATE, bodies, token=admin.token, n=5, start=0)))
    keys = wait_for(lambda: [k for k in admin.items("/v1/keys") if k["alias"] in made] if len(
        [k for k in admin.items("/v1/keys") if k["alias"] in made]) == len(made) else None, 30, 0.1, "the keys")

    def recorded():
        events = [e for e in fleet.all_events() if e["operation"] == "key.create" and e["outcome"] == "allowed"]
        return {e["resource"]["id"] for e in events} >= {k["id"] for k in keys}
    wait_for(recorded, 30, 0.1, "each key's event")
    assert admin.get("/v1/keys/never").status == 404
    signed = [e for e in fleet.all_events() if e["operation"] == "key.sign" and e["resource"]["id"] == key]
    assert len(signed) == 1
    told = [e.n for e in rogue.answers(0.5)]
    assert told.count(used) == 0, "what came under a used number is answered to nobody"
    # The other plane's numbers are its own.
    assert all(admin.get("/v1/whoami").status == 200 for _ in range(10))


class Flood:
    """Says something for as long as there is room, until told to stop; and hears nothing."""

    def __init__(self, say, most):
        self.go, self.sent, self.say, self.most = True, 0, say, most
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while self.go:
            if self.sent < self.most and self.say():
                self.sent += 1
            else:
                time.sleep(0.0005)

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: self.sent >= 20, 30, what="the flood")
        return self

    def __exit__(self, *_):
        self.go = False
        self.thread.join(30)


def on_bus(peer, data):
    def say():
        try:
            peer.send(data)
            return True
        except zmq.Again:
            return False
    return say


def floods(rogue, token):
    iam, audit = rogue.slots["iam"], rogue.slots["audit"]
    tiny = frame(iam, *[(WHOAMI, b"", b"")] * 1024)
    asks = frame(iam, *[rogue.ask(WHOAMI, token="a.b.c") for _ in range(300)])
    large = frame(audit, *[(OUTCOME, b"\0" * 60000)] * 34)
    # What is answered (401) is recorded, too, so of that there is an end.
    return [("tiny parts by the door", lambda: rogue.packet(tiny), 10 ** 9),
            ("requests by the door", lambda: rogue.packet(asks), 20), ("requests by the bus", on_bus(rogue.bus, asks), 20),
            ("2 MiB to audit", on_bus(rogue.bus, large), 50), ("no frames", lambda: rogue.packet(b"x" * 100), 10 ** 9)]


def test_a_flood_drowns_nobody(fleet, rogue, admin, unique):
    """Whoever does not come in by that plane is answered, and no process grows with it."""
    key = fleet.key(admin, unique("dry"))["id"]
    before = {name: rss(fleet, name) for name in ("broker", "iam", "audit")}
    size = os.path.getsize(fleet.log)
    for what, say, most in floods(rogue, admin.token):
        with Flood(say, most):
            for _ in range(2):
                # What takes too long says so and is asked again; nothing is lost without a word.
                admin.patient("POST", "/v1/keys/%s/sign" % key, {"message_b64": "eA=="})
        for name, was in before.items():
            assert rss(fleet, name) - was < 300 * MIB, (what, name)
    assert os.path.getsize(fleet.log) - size < 4 * MIB, "the log is no flood, either"
    for _ in rogue.answers(1.0):
        pass
    admin.patient("GET", "/v1/whoami")


def test_who_never_hears_and_goes_in_the_middle(fleet, rogue, admin, place, pb):  # noqa: F811
    """What waits for it is bounded; half a frame of it is not the beginning of its successor's."""
    was = rss(fleet, "audit")
    asks = frame(rogue.slots["iam"], *[rogue.ask(WHOAMI, token=admin.token) for _ in range(200)])
    for _ in range(40):
        rogue.say(asks)
    admin.patient("GET", "/v1/whoami")
    assert rss(fleet, "audit") - was < 200 * MIB
    assert rogue.packet(asks[:100], size=len(asks))
    generation = rogue.me.endpoint
    os.kill(rogue.pid, signal.SIGKILL)
    wait_for(lambda: fleet.processes()["mcp"] not in (0, rogue.pid), 30, what="its successor")
    wait_for(lambda: os.path.exists(os.path.join(place, "s")), 30)
    after = wait_for(lambda: heir(pb, fleet, place, generation), 30, 0.1, "the successor's own start")
    try:
        after.whoami(admin.token)
        # The token of the start before opens nothing.
        denied = metrics(fleet)["broker_handshakes_denied_total"]
        old = Peer(after.bus.switch, after.me.endpoint, "mcp", rogue.me.token.hex().encode())
        old.send(frame(after.slots["iam"], after.ask(WHOAMI, token=admin.token)))
        wait_for(lambda: metrics(fleet)["broker_handshakes_denied_total"] > denied, 30, what="it to be denied")
        old.close()
    finally:
        after.leave()


def heir(pb, fleet, place, generation):  # noqa: F811
    try:
        found = Rogue(pb, fleet, os.path.join(place, "s"))
    except (OSError, AssertionError, ValueError):
        return None
    if found.me.endpoint != generation:
        return found
    found.leave()
    return None
