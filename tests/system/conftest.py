# SPDX-License-Identifier: Apache-2.0
"""A real fleet for the system tests: its own state directory, a free port, a
clock that tests can move, and small clients for the public socket.

Nothing here sleeps for luck: wait_for() polls a condition until a deadline.
"""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("AEGIS_BUILD", os.path.join(ROOT, "build"))
AEGIS = os.path.join(BUILD, "aegis")
# A sanitizer keeps freed memory for a while: what grows there says nothing.
SANITIZED = "asan" in os.path.basename(os.path.abspath(BUILD))
# Limits that a test never meets by accident.
HIGH = {"rate": 1000000, "window_s": 60}
# The sink shows every tenant's events, those of nobody (tenant `system`) among them.
CONFIG = {"limits": {"address": dict(HIGH), "principal": dict(HIGH), "key": dict(HIGH),
                     "authentication": dict(HIGH)},
          "sinks": [{"name": "everything", "kind": "file", "path": "everything.jsonl"}]}


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text)


def wait_for(condition, timeout_s=30.0, every_s=0.02, what="it"):
    """The condition's first true value; fails after the deadline."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.1f s for %s" % (timeout_s, what))
        time.sleep(every_s)


class Answer:
    def __init__(self, status, headers, data):
        self.status = status
        self.headers = headers
        self.data = data

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def code(self):
        return self.json["code"]

    @property
    def reason(self):
        return self.json["reason_code"]

    def __repr__(self):
        return "<%d %r>" % (self.status, self.data[:400])


class Client:
    """One caller on one kept-alive connection."""

    def __init__(self, url, token=None, timeout_s=20):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.token = parts.hostname, parts.port, token
        self.connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def request(self, method, path, body=None, headers=None):
        """body: a dict (JSON), bytes as they are, or None. One try: a request is never repeated."""
        send = dict(headers or {})
        if self.token is not None:
            send.setdefault("Authorization", "Bearer " + self.token)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if body is not None:
            send.setdefault("Content-Type", "application/json")
        try:
            self.connection.request(method, path, body, send)
            got = self.connection.getresponse()
            data = got.read()
        except Exception:
            self.connection.close()
            raise
        return Answer(got.status, dict((k.lower(), v) for k, v in got.getheaders()), data)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def ok(self, method, path, body=None, **kw):
        got = self.request(method, path, body, **kw)
        assert 200 <= got.status < 300, "%s %s: %r" % (method, path, got)
        return got.json if got.data else None

    def patient(self, method, path, body=None, timeout_s=60):
        """ok(), but "try again" is tried again: on a loaded machine a large RSA key may outlast its request."""
        end = time.monotonic() + timeout_s
        while True:
            got = self.request(method, path, body)
            if got.status not in (503, 504) or time.monotonic() > end:
                assert 200 <= got.status < 300, "%s %s: %r" % (method, path, got)
                return got.json

    def items(self, path):
        """Every item of a list, over all pages."""
        found, cursor = [], None
        while True:
            mark = "&" if "?" in path else "?"
            page = path + (mark + "cursor=" + urllib.parse.quote(cursor) if cursor else "")
            got = self.ok("GET", page)
            found += got["items"]
            cursor = got["next_cursor"]
            if cursor is None:
                return found

    def close(self):
        self.connection.close()


class Fleet:
    """aegis up, in the foreground, as a child of the test."""
    test_clock = True  # it costs three system calls a turn of every process: benchmarks have none

    def __init__(self, state=None, config=None, listen="127.0.0.1:0", build=BUILD):
        self.state = state or tempfile.mkdtemp(prefix="aegis-test-")
        self.own_state = state is None
        self.clock = self.state.rstrip("/") + ".clock"
        self.config_file = self.clock[:-len("clock")] + "yaml"
        self.log = self.clock[:-len("clock")] + "log"
        self.listen = listen
        self.process = None
        self.offset = 0
        self.options = []  # more words of aegis up
        self.configure(CONFIG if config is None else config)
        self.move_clock(0)

    def configure(self, config):
        if isinstance(config, dict):
            config = yaml.safe_dump(json.loads(json.dumps(config)))  # without anchors
        with open(self.config_file, "w") as out:
            out.write(config)

    def start(self, timeout_s=60):
        self.said_file = self.log[:-len("log")] + "out"
        with open(self.log, "ab") as log, open(self.said_file, "wb") as out:
            self.process = subprocess.Popen(
                [AEGIS, "up", "--state", self.state, "--config", self.config_file, "--listen", self.listen,
                 *(["--unsafe-test-clock", self.clock] if self.test_clock else []), *self.options], stdout=out, stderr=log, start_new_session=True)
        self.said = ""

        def ready():
            self.said = open(self.said_file).read()
            assert self.process.poll() is None, "aegis up ended: %s\n%s" % (self.said, self.tail())
            return "\nready: " in "\n" + self.said
        try:
            wait_for(ready, timeout_s, what="the ready line")
        except AssertionError as error:
            self.kill()
            raise AssertionError("%s; aegis up said %r\n%s" % (error, self.said, self.tail())) from None
        return self

    def tail(self, lines=30):
        try:
            return "".join(open(self.log, errors="replace").readlines()[-lines:])
        except OSError:
            return ""

    @property
    def endpoints(self):
        return json.load(open(os.path.join(self.state, "run", "endpoints.json")))

    @property
    def url(self):
        return self.endpoints["rest"]

    def token(self):
        return open(os.path.join(self.state, "admin.token")).read().strip()

    def client(self, token=None, **kw):
        return Client(self.url, token, **kw)

    def admin(self):
        return self.client(self.token())

    def run(self, *words, stdin=None, check=None, token=None, text=True, env=None):
        """The command, as a user of this fleet would type it."""
        environment = dict(os.environ, AEGIS_STATE=self.state, XDG_CONFIG_HOME=self.state + ".home", NO_COLOR="1")
        for name in ("AEGIS_TOKEN", "AEGIS_TOKEN_FILE", "AEGIS_SERVER", "AEGIS_CONTEXT"):
            environment.pop(name, None)
        environment.update(env or {})
        words = list(words)
        if token is not None:
            words += ["--token-file", token]
        done = subprocess.run([AEGIS] + words, input=stdin, capture_output=True, text=text, env=environment,
                              timeout=60)
        if check is not None:
            assert done.returncode == check, "%r: exit %d\n%s\n%s" % (words, done.returncode, done.stdout,
                                                                     done.stderr)
        return done

    def move_clock(self, seconds):
        """Moves the fleet's wall clock by so many seconds more."""
        self.offset += seconds
        part = self.clock + ".new"
        with open(part, "w") as out:
            out.write("%d\n" % self.offset)
        os.rename(part, self.clock)

    def now(self):
        return time.time() + self.offset

    def processes(self):
        """name → pid, from what the processes say of themselves."""
        listing = self.run("status", "--json", check=0).stdout
        rows = [json.loads(line) for line in listing.splitlines() if line.strip()]
        if len(rows) == 1 and "items" in rows[0]:
            rows = rows[0]["items"]
        lower = [dict((k.lower(), v) for k, v in row.items()) for row in rows]
        return dict((row["name"], int(row["pid"] or 0)) for row in lower)

    def stop(self, timeout_s=30):
        if self.process is None or self.process.poll() is not None:
            return
        self.run("down")
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the fleet did not stop\n" + self.tail())

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def leave(self):
        try:
            self.stop()
        finally:
            self.kill()
            if self.own_state:
                shutil.rmtree(self.state, ignore_errors=True)
                for name in (self.clock, self.config_file, self.log, self.log[:-3] + "out", self.state + ".home"):
                    shutil.rmtree(name, ignore_errors=True)
                    if os.path.exists(name):
                        os.unlink(name)

    # ---- people, keys, agents ------------------------------------------

    def person(self, name, roles=("admin",), kind="human"):
        """A principal with a token, and a client that is it."""
        admin = self.admin()
        made = admin.ok("POST", "/v1/principals", {"kind": kind, "name": name, "roles": list(roles)})
        token = admin.ok("POST", "/v1/principals/%s/tokens" % name, {})["token"]
        admin.close()
        who = self.client(token)
        who.id, who.name = made["id"], name
        return who

    @staticmethod
    def key(who, alias=None, spec="EC_P256", labels=None, activate=True, **more):
        body = dict(key_spec=spec, activate=activate, **more)
        if alias:
            body["alias"] = alias
        if labels:
            body["labels"] = labels
        return who.ok("POST", "/v1/keys", body)

    def agent(self, who, scopes, label="agent", **more):
        """A fresh agent below who, and a client that is it."""
        made = who.ok("POST", "/v1/agents/issue", dict(label=label, scopes=list(scopes), **more))
        client = self.client(made["token"])
        client.id, client.made = made["agent_id"], made
        return client

    def events(self, who, query=""):
        return who.items("/v1/audit?limit=1000&order=asc" + ("&" + query if query else ""))

    def event_of(self, who, answer):
        """The one event of this answer's request; detectors may add others later."""
        found = self.events(who, "request_id=" + answer.headers["x-request-id"])
        return [e for e in found if e["event_type"] == "request"]

    def all_events(self, timeout_s=20):
        """Every event of every tenant up to now, from the file sink (which may say one twice after a crash)."""
        marker = self.admin().get("/v1/whoami").headers["x-request-id"].encode()
        path = os.path.join(self.state, "everything.jsonl")

        def read():
            data = open(path, "rb").read() if os.path.exists(path) else b""
            return data if marker in data and data.endswith(b"\n") else None
        data = wait_for(read, timeout_s, 0.05, "the sink to have all events")
        found = {}
        for line in data.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # half a line, ended by the next start; its event comes again
            found.setdefault(event["event_id"], event)
        return list(found.values())

    # ---- bytes that no client library would send ------------------------

    def raw(self, data, timeout_s=20, pause=None):
        """Sends bytes, returns all that comes until the server closes or is done with one answer."""
        parts = urllib.parse.urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as s:
            s.sendall(data)
            if pause is not None:
                pause(s)
            got = b""
            while True:
                head, _, body = got.partition(b"\r\n\r\n")
                length = [int(line.split(b":")[1]) for line in head.split(b"\r\n")
                          if line.lower().startswith(b"content-length:")]
                if length and len(body) >= length[0]:
                    break
                try:
                    more = s.recv(65536)
                except ConnectionResetError:
                    break
                if not more:
                    break
                got += more
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict((k.strip().lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines[1:]))
        return Answer(int(lines[0].split(" ")[1]) if lines[0] else 0, headers, body)


@pytest.fixture(scope="module")
def fleet():
    """One fleet for a file's tests, with the defaults but for high limits."""
    f = Fleet()
    try:
        f.start()
        yield f
    finally:
        f.leave()


@pytest.fixture
def fresh_fleet():
    """make(config, **kw) starts a fleet for one test; all end with it."""
    made = []

    def make(config=None, start=True, **kw):
        f = Fleet(config=config, **kw)
        made.append(f)
        return f.start() if start else f
    yield make
    for f in made:
        f.leave()


@pytest.fixture
def admin(fleet):
    c = fleet.admin()
    yield c
    c.close()


_count = [0]


@pytest.fixture
def unique():
    """A name that no other test of this run has."""
    def make(prefix="n"):
        _count[0] += 1
        return "%s-%d-%d" % (prefix, os.getpid(), _count[0])
    return make
