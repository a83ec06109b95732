# SPDX-License-Identifier: Apache-2.0
"""The supervisor: order, readiness, restarts, the end, and what it refuses.

Most of it runs a fleet of stand-ins (tests/unit/broker/idle_actor.c behind every
row's name) with the real broker: what is tested is what happens to processes,
whatever they do. The last tests use the real fleet.
"""
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import AEGIS, BUILD, ROOT, wait_for

IDLE = os.path.join(BUILD, "tests", "unit", "broker", "idle_actor")


def rows_of_fleet():
    """Name and count of every line of bin/fleet.def."""
    for line in open(os.path.join(ROOT, "bin", "fleet.def")):
        if line.startswith("AG_PROC("):
            words = [w.strip() for w in line[len("AG_PROC("):line.rindex(")")].split(",")]
            yield words[0], words[4]


class Idle:
    """A directory with the command, the broker, and a stand-in for every row."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="ag-")
        self.bin = self.dir + "/bin"
        self.state = self.dir + "/state"
        os.mkdir(self.bin)
        os.symlink(BUILD + "/engine", self.bin + "/engine")  # the run path is relative
        for name in ("aegis", "aegis-broker"):
            shutil.copy(os.path.join(BUILD, name), self.bin)
        for name, _ in rows_of_fleet():
            self.program(name)
        self.process = None

    def program(self, name, before=""):
        path = self.bin + "/aegis-" + name
        with open(path + ".new", "w") as out:
            out.write("#!/bin/sh\n%s\nexec %s\n" % (before, IDLE))
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)

    def command(self, *words, **kw):
        kw.setdefault("timeout", 60)
        return subprocess.run([self.bin + "/aegis"] + list(words) + ["--state", self.state],
                              capture_output=True, text=True, **kw)

    def popen(self, *words):
        self.process = subprocess.Popen(
            [self.bin + "/aegis", "up", "--state", self.state, "--listen", "127.0.0.1:0"] + list(words),
            stdout=subprocess.PIPE, stderr=open(self.dir + "/log", "ab"), text=True, start_new_session=True)
        return self.process

    def up(self, *words):
        self.popen(*words)
        self.lines = []
        while not self.lines or not self.lines[-1].startswith("ready: "):
            line = self.process.stdout.readline()
            assert line, "it ended: %r\n%s" % (self.lines, self.log())
            self.lines.append(line.rstrip("\n"))
        return self

    def log(self):
        return open(self.dir + "/log").read()

    def status(self):
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        return {p["name"]: p for p in map(json.loads, done.stdout.splitlines())}

    def pids(self):
        return {name: p["pid"] for name, p in self.status().items() if p["pid"]}

    def all_ready(self):
        return all(p["state"] == "ready" for p in self.status().values())

    def leave(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def idle():
    f = Idle()
    yield f
    f.leave()


def gone(pids):
    return not any(os.path.exists("/proc/%d" % p) and
                   open("/proc/%d/stat" % p).read().split(") ")[1][0] != "Z" for p in pids)


# ------------------------------------------------------------------- beginning


def test_up_says_where_and_status_shows_all(idle):
    idle.up()
    assert [line for line in idle.lines if line.startswith("ready: ")] == idle.lines
    url = idle.lines[-1][len("ready: "):]
    endpoints = json.load(open(idle.state + "/run/endpoints.json"))
    assert endpoints["rest"] == url and url.startswith("http://127.0.0.1:")
    assert endpoints["broker"].startswith("ipc://") and endpoints["topics"].startswith("ipc://")
    done = idle.command("status")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "ROLE", "PID", "STATE", "UPTIME", "RESTARTS", "QUEUE", "RSS"]
    names = [line.split()[0] for line in lines[1:]]
    assert names[0] == "broker"
    for name, count in rows_of_fleet():
        if count == "1":
            assert name in names
    assert "keys.0" in names and "rest" in names
    assert all(line.split()[3] == "ready" for line in lines[1:])


def test_the_admin_credential_is_told_once(idle):
    idle.program("iam", "echo secret > %s/admin.token" % idle.state)
    idle.up()
    assert idle.lines[0] == "admin credential: %s/admin.token" % idle.state
    assert idle.lines[1].startswith("ready: ")
    assert idle.command("down").returncode == 0
    assert len(idle.up().lines) == 1


def test_the_state_directory_is_private(idle):
    os.mkdir(idle.state, 0o755)
    idle.up()
    for path, mode in (("", 0o700), ("/run", 0o700), ("/run/bus", 0o700), ("/run/control.sock", 0o600),
                       ("/run/endpoints.json", 0o600), ("/VERSION", 0o600)):
        assert stat.S_IMODE(os.stat(idle.state + path).st_mode) == mode, path


def test_a_child_is_given_nothing_but_its_descriptors(idle):
    idle.up()
    pids = idle.pids()
    for name in ("iam", "rest"):
        environment = open("/proc/%d/environ" % pids[name], "rb").read().split(b"\0")
        names = {e.split(b"=")[0] for e in environment if e}
        # PWD is the stand-in's shell's; a sanitizer build passes its options on
        assert names - {b"PWD", b"ASAN_OPTIONS", b"UBSAN_OPTIONS"} == {b"PATH"}
        listeners = socket_inodes()
        fds = {int(fd): os.readlink("/proc/%d/fd/%s" % (pids[name], fd))
               for fd in os.listdir("/proc/%d/fd" % pids[name])}
        assert fds[0] == "/dev/null" and fds[3].startswith("socket:")
        held = [fd for fd, target in fds.items() if target in listeners]
        assert held == ([4] if name == "rest" else []), fds
        arguments = open("/proc/%d/cmdline" % pids[name]).read()
        assert len(arguments) < 200


def socket_inodes():
    """Listening TCP sockets of this machine."""
    found = set()
    for line in open("/proc/net/tcp").readlines()[1:]:
        words = line.split()
        if words[3] == "0A":
            found.add("socket:[%s]" % words[9])
    return found


def test_a_second_up_says_who_runs(idle):
    idle.up()
    second = idle.command("up", "--listen", "127.0.0.1:0")
    assert second.returncode == 6
    assert "pid %d" % idle.process.pid in second.stderr
    assert idle.all_ready()


def test_detach_returns_when_ready(idle):
    done = idle.command("up", "--detach", "--listen", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready: http://127.0.0.1:")
    pids = idle.pids().values()
    assert idle.command("down").returncode == 0
    assert gone(pids)


# -------------------------------------------------------------------- refusals


@pytest.mark.parametrize("words,says", [
    (["--listen", "0.0.0.0:0", "--unsafe-dev-identity"], "only on loopback"),
    (["--listen", "nowhere"], "HOST:PORT"),
    (["--listen", "0.0.0.0:0"], "plain HTTP"),
    (["--listen", "0.0.0.0:0", "--unsafe-test-clock", "c"], "only on loopback"),
    (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
    (["--frobnicate"], "no such option"),
    (["word"], "nothing is expected"),
])
def test_bad_words_are_refused(idle, words, says):
    done = idle.command("up", *words)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def config(idle, text):
    path = idle.dir + "/c.yaml"
    open(path, "w").write(text)
    return path


@pytest.mark.parametrize("text,says", [
    ("enviroment: dev\n", ":1:"),
    ("keys: {shards: none}\n", "keys.shards"),
    ("environment: prod\n", "accept_risk"),
    ("environment: prod\nrot: {software: {accept_risk: true}}\nrest: {allow_plain: true, listen: '0.0.0.0:0'}\n",
     "off loopback"),
])
def test_a_bad_configuration_is_refused(idle, text, says):
    done = idle.command("up", "--config", config(idle, text))
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_the_test_clock_is_not_for_prod(idle):
    path = config(idle, "environment: prod\nrot: {software: {accept_risk: true}}\n")
    done = idle.command("up", "--config", path, "--unsafe-test-clock", "c")
    assert done.returncode == 2 and "prod" in done.stderr


def test_a_missing_program_is_named(idle):
    os.unlink(idle.bin + "/aegis-iam")
    done = idle.command("up", "--listen", "127.0.0.1:0")
    assert done.returncode == 8 and "iam" in done.stderr and idle.bin + "/aegis-iam" in done.stderr


def test_a_newer_state_is_left_alone(idle):
    os.mkdir(idle.state, 0o700)
    open(idle.state + "/VERSION", "w").write("99.0.0\n")
    done = idle.command("up", "--listen", "127.0.0.1:0")
    assert done.returncode == 6 and "99.0.0" in done.stderr
    assert open(idle.state + "/VERSION").read() == "99.0.0\n"


def test_a_directory_others_may_write_is_refused(idle):
    os.mkdir(idle.state)
    os.chmod(idle.state, 0o777)
    done = idle.command("up", "--listen", "127.0.0.1:0")
    assert done.returncode == 2 and "others may write" in done.stderr


def test_a_path_too_long_for_sockets_is_refused(idle):
    idle.state = idle.dir + "/" + "d" * 120
    done = idle.command("up", "--listen", "127.0.0.1:0")
    assert done.returncode == 2 and "too long" in done.stderr


def test_a_taken_port_is_told(idle):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = idle.command("up", "--listen", "127.0.0.1:%d" % s.getsockname()[1])
    assert done.returncode == 6 and "in use" in done.stderr


def test_too_little_locked_memory_is_told(idle):
    """As an ordinary user: root may lock what it likes."""
    if os.geteuid() == 0:
        pytest.skip("root is not limited")
    done = subprocess.run(["sh", "-c", "ulimit -l 64; exec %s/aegis up --state %s" % (idle.bin, idle.state)],
                          capture_output=True, text=True)
    assert done.returncode == 2 and "ulimit -l" in done.stderr


def test_a_child_that_cannot_start_ends_the_start(idle):
    idle.program("risk", "exit 1")
    process = idle.popen()
    assert process.wait(30) == 8
    assert "risk ended before the fleet was ready" in idle.log()
    assert not os.path.exists(idle.state + "/run")
    idle.program("risk", "exit 2")  # its configuration: not tried again
    assert idle.popen().wait(30) == 2


def test_not_running_is_seven(idle):
    for words in (("status",), ("down",), ("actor", "enroll", "siem", "--role", "subscriber")):
        done = idle.command(*words)
        assert done.returncode == 7 and "no fleet runs" in done.stderr


# ------------------------------------------------------------------ middle: kill


def test_every_child_may_be_killed(idle):
    idle.up()
    before = idle.pids()
    for name, pid in before.items():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: idle.status()[name]["state"] == "ready" and idle.status()[name]["pid"] != pid, 15)
        assert idle.status()[name]["restarts"] == 1
    wait_for(idle.all_ready, 10)
    # a new start is a new endpoint; of the old nothing is left
    sockets = os.listdir(idle.state + "/run/bus")
    assert "iam.2" in sockets and "iam.1" not in sockets


def test_all_at_once(idle):
    idle.up()
    for pid in idle.pids().values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(p["restarts"] >= 1 and p["state"] == "ready" for p in idle.status().values()), 20)


def test_restarts_back_off(idle):
    idle.up()
    starts = []
    idle.program("risk", "date +%%s%%N >> %s/starts; exit 1" % idle.dir)
    os.kill(idle.pids()["risk"], signal.SIGKILL)
    wait_for(lambda: idle.status()["risk"]["state"] == "backoff", 5)

    def five():
        if os.path.exists(idle.dir + "/starts"):
            starts[:] = [int(x) / 1e9 for x in open(idle.dir + "/starts")]
        return len(starts) >= 5
    wait_for(five, 10)
    gaps = [b - a for a, b in zip(starts, starts[1:])]
    assert all(b > 1.5 * a for a, b in zip(gaps, gaps[1:])), gaps
    assert idle.status()["iam"]["restarts"] == 0
    idle.program("risk")
    wait_for(idle.all_ready, 10)


def test_the_port_stays_while_the_plane_dies(idle):
    idle.up()
    host, port = idle.lines[-1].split("//")[1].split(":")
    os.kill(idle.pids()["rest"], signal.SIGKILL)
    with socket.create_connection((host, int(port)), timeout=5):
        pass
    wait_for(idle.all_ready, 10)


# ----------------------------------------------------------------------- ending


@pytest.mark.parametrize("how,code", [(signal.SIGTERM, 0), (signal.SIGINT, 130), ("down", 0)])
def test_an_end_leaves_nothing(idle, how, code):
    idle.up()
    pids = list(idle.pids().values()) + [idle.process.pid]
    if how == "down":
        assert idle.command("down").returncode == 0
    else:
        idle.process.send_signal(how)
    assert idle.process.wait(20) == code
    assert gone(pids)
    assert not os.path.exists(idle.state + "/run")
    assert idle.command("status").returncode == 7


def test_down_returns_when_all_is_gone(idle):
    idle.up()
    pids = list(idle.pids().values()) + [idle.process.pid]
    assert idle.command("down").returncode == 0
    assert gone(pids)


def test_planes_go_first_and_the_broker_last(idle):
    idle.up("--config", config(idle, "log: {level: debug}\n"))
    assert idle.command("down").returncode == 0
    lines = [json.loads(line) for line in idle.log().splitlines() if "CHILD-STOPPED" in line]
    names = [name for line in lines for name in line["message"].split() if name.startswith("name=")]
    names = [name[len("name="):] for name in names]
    assert names[0] == "rest" and names[-1] == "broker"
    assert names.index("audit") > max(names.index("keys.0"), names.index("iam"))
    assert set(names[-3:-1]) == {"software", "journal"}


def test_who_does_not_go_is_killed(idle):
    idle.program("anomaly", "trap '' TERM")
    idle.up()
    stuck = idle.pids()["anomaly"]
    os.kill(stuck, signal.SIGSTOP)
    begin = time.monotonic()
    assert idle.command("down", "--timeout", "1s").returncode == 0
    assert time.monotonic() - begin < 8
    assert gone([stuck])


def test_the_fleet_ends_with_its_supervisor_and_the_next_works(idle):
    idle.up()
    pids = list(idle.pids().values())
    os.kill(idle.process.pid, signal.SIGKILL)
    idle.process.wait(5)
    wait_for(lambda: gone(pids), 5)
    assert os.path.exists(idle.state + "/run/control.sock")  # nobody tidied up
    idle.up()
    assert idle.all_ready()


def test_a_terminals_interrupt_is_the_supervisors(idle):
    """^C goes to the whole foreground group; the children are not in it."""
    idle.up()
    group = os.getpgid(idle.process.pid)
    assert all(os.getpgid(pid) != group for pid in idle.pids().values())


# ------------------------------------------------------------- the control socket


def ask(idle, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(idle.state + "/run/control.sock")
        s.sendall(line)
        got = b""
        while not got.endswith(b"\n"):
            more = s.recv(65536)
            if not more:
                break
            got += more
        return got


def test_nonsense_on_the_control_socket(idle):
    idle.up()
    for line in (b"\n", b"{}\n", b"[]\n", b"nonsense\n", b'{"verb":7}\n', b'{"verb":"dance"}\n',
                 b'{"verb":"down","timeout_ms":"soon"}\n', b'{"verb":"down","timeout_ms":-1}\n',
                 b'{"verb":"enroll"}\n', b"\xff\xfe\n", b'{"verb":"enroll","name":"../x","role":"actor"}\n',
                 b'{"verb":"enroll","name":"iam","role":"actor"}\n',
                 b'{"verb":"enroll","name":"siem","role":"plane"}\n'):
        answer = json.loads(ask(idle, line))
        assert answer["ok"] is False and answer["exit"] == 2, line
    try:
        assert ask(idle, b"x" * 10000) == b""
    except ConnectionResetError:
        pass
    held = []
    for _ in range(20):  # more than it listens to
        s = socket.socket(socket.AF_UNIX)
        s.connect(idle.state + "/run/control.sock")
        held.append(s)
    for s in held:
        s.close()
    wait_for(lambda: idle.command("status").returncode == 0, 5)
    assert idle.all_ready()


# ------------------------------------------------------------ guests and actors.d


def test_enrolling(idle):
    idle.up()
    out = idle.dir + "/siem.actor"
    done = idle.command("actor", "enroll", "siem", "--role", "subscriber", "--out", out)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
    data = open(out, "rb").read()
    assert struct.unpack("<I", data[:4])[0] == len(data) - 4
    record = json.load(open(idle.state + "/guests/siem"))
    assert record["role"] == "subscriber" and len(record["token_sha256"]) == 64
    wait_for(lambda: os.path.exists(idle.state + "/run/bus/siem.1"))
    # an existing file is somebody's key
    assert idle.command("actor", "enroll", "siem", "--role", "subscriber", "--out", out).returncode == 6
    assert json.load(open(idle.state + "/guests/siem"))["generation"] == 1
    for words in (("siem",), ("siem", "--role", "king"), ("Bad", "--role", "actor"), ("iam", "--role", "actor"),
                  ("keys", "--role", "actor")):
        done = idle.command("actor", "enroll", *words)
        assert done.returncode == 2, words
    assert idle.command("down").returncode == 0
    idle.up()  # its file is still good
    wait_for(lambda: os.path.exists(idle.state + "/run/bus/siem.1"))
    again = idle.command("actor", "enroll", "siem", "--role", "actor", "--out", out + "2")
    assert again.returncode == 0
    wait_for(lambda: os.path.exists(idle.state + "/run/bus/siem.2"))
    wait_for(lambda: not os.path.exists(idle.state + "/run/bus/siem.1"))


def local(idle, name, text):
    os.makedirs(idle.state + "/actors.d", mode=0o700, exist_ok=True)
    os.chmod(idle.state, 0o700)
    with open(idle.state + "/actors.d/" + name, "w") as out:
        out.write(text)


def test_actors_d_is_supervised(idle):
    local(idle, "mine.yaml", "program: %s\nrole: actor\n" % IDLE)
    idle.up()
    wait_for(lambda: idle.status()["mine"]["state"] == "ready", 10)
    assert idle.status()["mine"]["role"] == "guest"
    pid = idle.pids()["mine"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: idle.status()["mine"]["state"] == "ready" and idle.pids()["mine"] != pid, 10)
    assert idle.command("down").returncode == 0


def test_an_actor_of_yours_that_fails_holds_nobody_up(idle):
    local(idle, "mine.yaml", "program: /bin/false\nrole: actor\n")
    idle.up()
    wait_for(lambda: idle.status()["mine"]["restarts"] >= 1, 10)


@pytest.mark.parametrize("name,text,says", [
    ("mine.yaml", "program: /bin/cat\nrole: actor\ncolour: red\n", "mine.yaml:3: colour: unknown key"),
    ("mine.yaml", "program: cat\nrole: actor\n", "mine.yaml:1: program: an absolute path"),
    ("iam.yaml", "program: /bin/cat\nrole: actor\n", "must be a free name"),
    ("Mine.yaml", "program: /bin/cat\nrole: actor\n", "must be a free name"),
])
def test_a_bad_actor_file_is_refused(idle, name, text, says):
    local(idle, name, text)
    done = idle.command("up", "--listen", "127.0.0.1:0")
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_sinks_of_kind_stdout_write_to_our_stdout(idle):
    idle.program("stdout", "echo from the sink")
    path = config(idle, "sinks: [{name: console, kind: stdout}]\n")
    idle.popen("--config", path)
    lines = []
    while not lines or not lines[-1].startswith("ready"):
        lines.append(idle.process.stdout.readline())
        assert lines[-1]
    assert "from the sink\n" in lines
    assert "stdout.console" in idle.status()


# ------------------------------------------------------------------ the real fleet


def test_kill_any_one_under_load(fresh_fleet):
    """Clients see errors that can be retried, and none that was answered has no event."""
    fleet = fresh_fleet()
    who = fleet.admin()
    key = fleet.key(who, "k-load")["id"]
    answered, other, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            c = fleet.client(fleet.token())
            try:
                while not stop.is_set():
                    got = c.post("/v1/keys/%s/sign" % key, {"message_b64": "aGVsbG8="})
                    (answered if got.status == 200 else other).append(got)
            except OSError:
                time.sleep(0.05)
            except Exception as error:  # a connection cut in the middle of an answer
                assert type(error).__module__ == "http.client", error
            finally:
                c.close()
    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        for name in sorted(fleet.processes()):
            before = len(answered)
            pid = fleet.processes()[name]
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: fleet.processes().get(name) not in (0, pid), 20, what=name)
            wait_for(lambda: len(answered) > before + 20, 40, what="answers after %s was killed" % name)
    finally:
        stop.set()
        for t in threads:
            t.join(30)
    assert all(a.status in (401, 409, 500, 502, 503, 504) for a in other), \
        [a for a in other if a.status not in (401, 409, 500, 502, 503, 504)][:3]
    who = fleet.admin()
    count = {}
    for event in fleet.events(who, "operation=key.sign"):
        if event["event_type"] == "request":
            count[event["request_id"]] = count.get(event["request_id"], 0) + 1
    assert max(count.values()) == 1
    missing = [a for a in answered if a.headers["x-request-id"] not in count]
    assert not missing, len(missing)


# --------------------------------------------------------------- a lost credential


def test_admin_token(fresh_fleet, tmp_path):
    """Whoever has the fleet's own uid gets another admin credential; it is recorded, and nobody else gets one."""
    fleet = fresh_fleet()
    os.unlink(os.path.join(fleet.state, "admin.token"))
    out = str(tmp_path / "new.token")
    fleet.run("admin-token", "--out", out, check=0)
    assert os.stat(out).st_mode & 0o777 == 0o600
    assert not os.path.exists(os.path.join(fleet.state, "admin.token.new"))
    admin = fleet.client(open(out).read().strip())
    who = admin.ok("GET", "/v1/whoami")
    assert who["name"] == "admin" and "admin" in who["roles"]
    told = wait_for(lambda: [e for e in fleet.events(admin, "event_type=lifecycle")
                             if e["operation"] == "system.admin-token"], what="the event")
    assert len(told) == 1 and told[0]["resource"]["id"] == who["id"]
    # revoked like any other, and the next one is another
    jti = who["credential"]["jti"]
    admin.ok("POST", "/v1/tokens/%s/revoke" % jti, {"reason": "because"})
    assert admin.get("/v1/whoami").status == 401
    fleet.run("admin-token", "--out", out, check=0)
    assert fleet.client(open(out).read().strip()).ok("GET", "/v1/whoami")["credential"]["jti"] != jti
    if os.geteuid() == 0:
        done = subprocess.run([AEGIS, "admin-token", "--state", fleet.state, "--out", "-"], capture_output=True,
                              text=True, preexec_fn=lambda: os.setuid(65534), cwd="/")
        assert done.returncode != 0 and done.stdout == "", done
    fleet.stop()
    fleet.run("admin-token", "--out", out, check=7)


def test_the_log_is_opened_anew(fresh_fleet, tmp_path):
    """SIGHUP after the file was moved away: every process goes on in the new one, also one that is started later."""
    log, moved = tmp_path / "aegis.log", tmp_path / "aegis.log.1"
    fleet = fresh_fleet({"log": {"level": "debug", "file": str(log)}})

    def files(pids):
        return set(os.readlink("/proc/%d/fd/2" % pid) for pid in pids)
    before = fleet.processes()
    assert files(before.values()) == {str(log)}
    for _ in range(2):
        log.rename(moved)
        os.kill(fleet.process.pid, signal.SIGHUP)
        wait_for(log.exists, what="a new file")
        wait_for(lambda: files(list(before.values()) + [fleet.process.pid]) == {str(log)}, what="everybody to write there")
    assert fleet.processes() == before and "LOG-OPENED" in log.read_text()
    os.kill(before["history"], signal.SIGKILL)
    again = wait_for(lambda: (lambda pid: pid not in (0, before["history"]) and pid)(fleet.processes().get("history", 0)),
                     30, what="history")
    assert files([again]) == {str(log)} and '"history"' in log.read_text()
    # It cannot be opened: what is open stays in use.
    log.rename(moved)
    log.mkdir()
    os.kill(fleet.process.pid, signal.SIGHUP)
    wait_for(lambda: "LOG-NOT-OPENED" in moved.read_text(), what="the trouble to be told")
    assert fleet.client().get("/healthz/live").status == 200
