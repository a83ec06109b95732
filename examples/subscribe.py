#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Follows the audit log from Python: pyzmq and protobuf, nothing else.

    protoc --proto_path=/usr/local/include/aegis-actor --python_out=. aegis.proto
    aegis actor enroll watcher --role subscriber --out watcher.actor
    ./subscribe.py watcher.actor

Two ways, and both at once:

    FILE               joins the fleet with the file of `aegis actor enroll` and
                       pulls: every event, in order, from --from on
    --topics ENDPOINT  subscribes to the ZeroMQ topics (`topics` in
                       run/endpoints.json): fast, but events may be lost; the
                       numbers show it

With both, topics only say that there is more, and the log is pulled. One line
an event; with --json the whole event.
"""
import argparse
import json
import os
import stat
import struct
import sys
import time

import zmq
from google.protobuf import json_format

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import aegis_pb2
except ImportError:
    sys.exit("subscribe.py: aegis_pb2.py is missing; make it with protoc (see the head of this file)")

# Message types, of proto/messages.def.
HELLO_EVENT, PEER_EVENT, ERROR_REPLY = 0x0001, 0x0002, 0x0004
AUDIT_PULL_ASK, AUDIT_PULL_REPLY, AUDIT_POKE_EVENT = 0x0202, 0x0203, 0x0204
BROKER = 0xfffe

FRAME = struct.Struct("<HHHHQ")  # version, to, from, count, reserved
PART = struct.Struct("<IHHI")    # length, type, flags, length of the envelope


def pack_frame(to, parts):
    """parts: (type, envelope, body) each."""
    out = [FRAME.pack(1, to, 0, len(parts), 0)]
    for kind, envelope, body in parts:
        head, tail = envelope.SerializeToString(), body.SerializeToString()
        out += [PART.pack(len(head) + len(tail), kind, 0, len(head)), head, tail]
    return b"".join(out)


def unpack_frame(data):
    version, _, sender, count, _ = FRAME.unpack_from(data)
    if version != 1:
        raise ValueError("frame of version %d" % version)
    at = FRAME.size
    for _ in range(count):
        length, kind, _, head = PART.unpack_from(data, at)
        at += PART.size
        envelope = aegis_pb2.Envelope.FromString(data[at:at + head])
        yield sender, kind, envelope, data[at + head:at + length]
        at += length


def read_boot(path):
    """Who we are: a length, then a Boot message. The file is a key: 0600."""
    if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        sys.exit("subscribe.py: %s may be read by others; chmod 600 it" % path)
    with open(path, "rb") as f:
        data = f.read()
    (length,) = struct.unpack_from("<I", data)
    return aegis_pb2.Boot.FromString(data[4:4 + length])


class Mailbox:
    """A connection to the broker, and the pull of the audit log over it."""

    def __init__(self, context, path):
        self.boot = read_boot(path)
        own = self.boot.self
        self.audit = next(row.slot for row in self.boot.rows if row.role == "audit")
        self.number = int.from_bytes(os.urandom(7), "little")
        self.corr = 0
        self.waiting = None  # when the pull that is out was asked
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.plain_username = own.name.encode()
        self.socket.plain_password = own.token.hex().encode()
        self.socket.connect(own.endpoint)
        self.hello()

    def hello(self):
        self.hello_at = time.monotonic()
        body = aegis_pb2.HelloEvent(name=self.boot.self.name, boot=self.number)
        self.socket.send(pack_frame(BROKER, [(HELLO_EVENT, aegis_pb2.Envelope(), body)]))

    def pull(self, from_pos, max_events):
        self.corr += 1
        self.waiting = time.monotonic()
        ask = aegis_pb2.AuditPullAsk(from_pos=from_pos, max=max_events)
        self.socket.send(pack_frame(self.audit, [(AUDIT_PULL_ASK, aegis_pb2.Envelope(corr=self.corr), ask)]))

    def receive(self):
        """What came: replies to the pull that is out, and pokes."""
        while self.socket.poll(0):
            for sender, kind, envelope, body in unpack_frame(self.socket.recv()):
                if sender != self.audit:
                    continue
                if kind == AUDIT_POKE_EVENT:
                    yield kind, aegis_pb2.AuditPokeEvent.FromString(body)
                elif envelope.corr == self.corr and kind == AUDIT_PULL_REPLY:
                    self.waiting = None
                    yield kind, aegis_pb2.AuditPullReply.FromString(body)
                elif envelope.corr == self.corr and kind == ERROR_REPLY:
                    self.waiting = None

    def tick(self):
        """Every half second: a restarted broker knows nobody; an ask may be lost."""
        now = time.monotonic()
        if now - self.hello_at > 0.5:
            self.hello()
        if self.waiting is not None and now - self.waiting > 2:
            self.waiting = None


class Printer:
    """One line an event, and the numbers that are missing."""

    def __init__(self, as_json):
        self.as_json = as_json
        self.last = {}  # tenant → seq
        self.count = 0
        self.gaps = 0

    def show(self, event):
        last = self.last.get(event.tenant)
        if last is not None and event.seq <= last:
            return  # seen
        if last is not None and event.seq != last + 1:
            self.gaps += event.seq - last - 1
            print("gap: %s %d to %d" % (event.tenant, last + 1, event.seq - 1), flush=True)
        self.last[event.tenant] = event.seq
        self.count += 1
        if self.as_json:
            line = json.dumps(json_format.MessageToDict(event, preserving_proto_field_name=True))
        else:
            when = time.strftime("%H:%M:%S", time.gmtime(event.occurred_at / 1000))
            line = "%s %d %s %s %s %s %s" % (
                event.tenant, event.seq, when, event.actor.name or event.actor.label or event.actor.id or "-",
                event.operation, aegis_pb2.OutcomeKind.V.Name(event.outcome), event.reason_code or "-")
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Follows Aegis's audit log.")
    parser.add_argument("file", nargs="?", help="of aegis actor enroll --role subscriber")
    parser.add_argument("--topics", metavar="ENDPOINT")
    parser.add_argument("--prefix", default="audit.", help="of the topics: audit.<tenant>.<operation>")
    parser.add_argument("--from", dest="start", type=int, default=1, help="position in the log (1: its beginning)")
    parser.add_argument("--count", type=int, default=0, help="ends after so many events")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.file is None and args.topics is None:
        parser.error("FILE or --topics")

    context = zmq.Context()
    poller = zmq.Poller()
    printer = Printer(args.json)
    mailbox = topics = None
    if args.file is not None:
        mailbox = Mailbox(context, args.file)
        poller.register(mailbox.socket, zmq.POLLIN)
    if args.topics is not None:
        topics = context.socket(zmq.SUB)
        topics.linger = 0
        topics.subscribe(args.prefix)
        topics.connect(args.topics)
        poller.register(topics, zmq.POLLIN)

    position, more, asked = args.start, True, 0.0
    while args.count == 0 or printer.count < args.count:
        poller.poll(100)
        while topics is not None and topics.poll(0):
            _, body = topics.recv_multipart()
            more = True
            if mailbox is None:
                printer.show(aegis_pb2.Event.FromString(body))
        if mailbox is None:
            continue
        for kind, message in mailbox.receive():
            if kind == AUDIT_PULL_REPLY:
                for item in message.items:
                    printer.show(aegis_pb2.Event.FromString(item.event))
                position = message.next_pos
                more = position <= message.head_pos
            else:
                more = more or message.head_pos >= position
        mailbox.tick()
        # A lost poke costs a second, not an event.
        if mailbox.waiting is None and (more or time.monotonic() - asked > 1):
            more, asked = False, time.monotonic()
            mailbox.pull(position, 256)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
