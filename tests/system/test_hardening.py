# SPDX-License-Identifier: Apache-2.0
"""Where secrets must not be (X18), names that are none (Q05), and an end under
load (O06)."""
import glob
import http.client
import json
import os
import re
import signal
import socket
import threading

import pytest

from conftest import BUILD, CONFIG, b64, unb64, wait_for
from test_cli_table import run as aegis_alone

# ---------------------------------------------------------------- X18


class Scanner(threading.Thread):
    """Reads the environment and the arguments of every process of ours, again and again."""

    def __init__(self):
        super().__init__()
        self.seen, self.enough, self.rounds = {}, threading.Event(), 0
        self.build = os.path.realpath(BUILD)

    def run(self):
        while not self.enough.is_set():
            for folder in glob.glob("/proc/[0-9]*"):
                try:
                    if not os.readlink(folder + "/exe").startswith(self.build):
                        continue
                    for what in ("environ", "cmdline"):
                        self.seen.setdefault(folder + "/" + what, set()).add(open(folder + "/" + what, "rb").read())
                except OSError:
                    continue  # it has ended
            self.rounds += 1


def test_no_secret_in_any_environment_or_argument(fresh_fleet, tmp_path):
    scanner = Scanner()
    scanner.start()
    try:
        fleet = fresh_fleet()
        secrets = [fleet.token().encode()]
        fleet.run("key", "create", "invoice", "--spec", "EC_P256", "--activate", check=0)
        fleet.run("key", "create", "store", "--spec", "AES_256", "--activate", check=0)
        fleet.run("login", "--token-file", "-", stdin=fleet.token(), check=0)
        fleet.run("agent", "issue", "--scope", "key:invoice:sign", "--label", "bot", "--out", str(tmp_path / "bot"),
                  check=0)
        for n in range(5):
            fleet.run("key", "sign", "invoice", "--out", str(tmp_path / "s"), stdin="invoice %d" % n,
                      token=str(tmp_path / "bot"), check=0)
        fleet.run("key", "data-key", "store", "--out", str(tmp_path / "dk"), "--wrapped-out", str(tmp_path / "w"),
                  check=0)
        fleet.run("principal", "create", "anna", "--kind", "human", check=0)
        fleet.run("principal", "token", "anna", "--out", str(tmp_path / "anna"), check=0)
        fleet.run("key", "sign", "store", token=str(tmp_path / "bot"), stdin="x", check=5)
        fleet.run("audit", check=0)
        rounds = scanner.rounds
        wait_for(lambda: scanner.rounds > rounds + 1, 30, what="another look at all processes")
        running = [p for p in fleet.processes().values() if p]
    finally:
        scanner.enough.set()
        scanner.join(30)
    secrets += [(tmp_path / name).read_bytes().strip() for name in ("bot", "anna")]
    data_key = (tmp_path / "dk").read_bytes()
    master = open(fleet.state + "/rot/master.key", "rb").read()
    for raw in (data_key, master[-32:]):
        secrets += [raw, raw.hex().encode(), b64(raw).encode()]
    secrets += [s.split(b".")[-1] for s in secrets if s.count(b".") == 2]  # the signature alone
    assert all("/proc/%d/%s" % (pid, what) in scanner.seen for pid in running for what in ("environ", "cmdline"))
    assert sum(b"login" in text for texts in scanner.seen.values() for text in texts) > 0, "the command was seen, too"
    for place, texts in scanner.seen.items():
        for text in texts:
            assert not [s for s in secrets if s in text], place
            assert not re.search(rb"eyJ[A-Za-z0-9_-]{10,}\.eyJ", text), place


def test_files_with_secrets_are_nobody_elses(fresh_fleet):
    fleet = fresh_fleet()
    for name in ("admin.token", "rot/master.key"):
        assert os.stat(os.path.join(fleet.state, name)).st_mode & 0o7777 == 0o600
    fleet.stop()
    os.chmod(fleet.state + "/rot/master.key", 0o640)
    with pytest.raises(AssertionError, match="others may read"):
        fleet.start()
    os.chmod(fleet.state + "/rot/master.key", 0o600)
    fleet.start()


# ---------------------------------------------------------------- Q05

# No name, wherever a name is made. Each would do harm somewhere: in a path, a
# terminal, a log, a table, an identifier that looks like another.
NAMES = ["", ".", "..", "../etc/passwd", "a/b", "/a", "a\\b", "a\x00b", "a\nb", "a\r\nb", "\x1b[2J", "a\x7f", "a b", " a", "a ",
         "A", "Ä", "аdmin", "a\u202eb", "a\u200bb", "\ufeffa", "a\u0301", "😀", "a:b", "a*", "*", "a?b", "a#b", "a%2fb", "%00",
         "a;b", "a|b", "$(id)", "`id`", "'; drop", "\"", "<script>", "{{a}}", "${a}", "-a", "_a", "a" * 64, "key_abc",
         "agt_" + "0" * 32, "import", "import-parameters"]
RESERVED_FOR_KEYS = ("import", "import-parameters")


def log_is_clean(fleet):
    """One JSON object a line, and no control character anywhere."""
    data = open(fleet.log, "rb").read()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", data)
    for line in data.splitlines():
        if line.startswith(b"{"):
            json.loads(line)
    assert "\u202e".encode() not in data or b"\\u202e" in data


def test_hostile_names_over_rest(fleet, admin):
    entries = {
        "alias": lambda n: admin.post("/v1/keys", {"key_spec": "AES_256", "alias": n}),
        "principal": lambda n: admin.post("/v1/principals", {"kind": "service", "name": n}),
        "tenant": lambda n: admin.post("/v1/tenants", {"name": n, "admin_name": "boss"}),
        "admin": lambda n: admin.post("/v1/tenants", {"name": "t", "admin_name": n}),
        "label": lambda n: admin.post("/v1/keys", {"key_spec": "AES_256", "labels": {n: "v"}}),
    }
    for entry, call in entries.items():
        for name in NAMES:
            if entry != "alias" and name in RESERVED_FOR_KEYS:
                continue
            if entry == "label" and re.fullmatch(r"[a-z][a-z0-9._-]{0,62}", name):
                continue
            got = call(name)
            assert got.status == 400, (entry, name, got.status, got.data)
            problem = got.json
            assert problem["code"] in ("InvalidField", "MalformedRequest"), (entry, name, problem)
            assert "\x1b" not in problem["detail"] and "\n" not in problem["detail"]
    log_is_clean(fleet)


def test_hostile_values_over_rest(fleet, admin):
    for value in ("a\nb", "\x1b[2J", "a\x00b", "x" * 129):
        assert admin.post("/v1/keys", {"key_spec": "AES_256", "labels": {"k": value}}).status == 400, value
    for path in ("/v1/keys/..", "/v1/keys/%2e%2e", "/v1/keys/a%00b", "/v1/keys/a%0ab", "/v1/keys/%1b", "/v1/../keys",
                 "/v1/keys/a%2fb", "/v1//keys", "/v1/keys/", "/v1/keys/a%", "/v1/keys/%zz"):
        got = fleet.raw(("GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n" %
                         (path, fleet.token())).encode())
        assert got.status in (400, 404), (path, got.status)
    log_is_clean(fleet)


def test_hostile_names_over_the_command(fleet):
    for name in NAMES:
        if not name or "\x00" in name or name in RESERVED_FOR_KEYS:
            continue
        for words in (["key", "create", "--spec", "AES_256", "--", name],
                      ["principal", "create", "--kind", "service", "--", name],
                      ["login", "--token-file", fleet.state + "/admin.token", "--context", name]):
            if words[0] == "login" and re.fullmatch(r"(key_|agt_).*", name):
                continue
            done = fleet.run(*words)
            assert done.returncode == 2, (words, done)
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u200b\ufeff]", done.stderr + done.stdout), (words, done)
    log_is_clean(fleet)


@pytest.mark.parametrize("name", [n for n in NAMES if n and n not in RESERVED_FOR_KEYS and
                                  not re.fullmatch(r"(key_|agt_).*", n)])
def test_hostile_names_in_the_configuration(tmp_path, name):
    file = tmp_path / "c.yaml"
    file.write_text("sinks: [{name: %s, kind: stdout}]\n" % json.dumps(name, ensure_ascii=False), encoding="utf-8")
    done = aegis_alone("config", "check", str(file))
    assert done.returncode == 2 and re.match(r"aegis: %s:1: (sinks\[\]\.name|syntax): " % re.escape(str(file)),
                                                done.stderr), done
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u200b\ufeff]", done.stderr)


# ---------------------------------------------------------------- O06

class Signer(threading.Thread):
    """Signs over one connection until the fleet is gone."""

    def __init__(self, fleet):
        super().__init__()
        self.fleet, self.statuses, self.bad = fleet, [], []

    def run(self):
        port = int(self.fleet.url.rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": "Bearer " + self.fleet.token(), "Content-Type": "application/json"}
        body = json.dumps({"message_b64": b64(b"x")})
        try:
            while True:
                connection.request("POST", "/v1/keys/k/sign", body, headers)
                answer = connection.getresponse()
                data = json.loads(answer.read())
                self.statuses.append(answer.status)
                if answer.status == 200:
                    assert unb64(data["signature_b64"])
                elif answer.status != 503:
                    self.bad.append((answer.status, data))
        except (OSError, http.client.HTTPException):
            pass  # closed between two requests: nothing was promised
        finally:
            connection.close()


def shared_memory():
    return set(os.listdir("/dev/shm"))


def test_an_end_under_load(fresh_fleet):
    before = shared_memory()
    fleet = fresh_fleet(dict(CONFIG, log={"level": "info"}))
    admin = fleet.admin()
    fleet.key(admin, "k")
    pids = [p for p in fleet.processes().values() if p]
    signers = [Signer(fleet) for _ in range(8)]
    for s in signers:
        s.start()
    wait_for(lambda: all(len(s.statuses) > 20 for s in signers), 60, what="load")
    # One request whose header is on its way: it comes too late.
    port = int(fleet.url.rsplit(":", 1)[1])
    late = socket.create_connection(("127.0.0.1", port), timeout=30)
    late.sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: h\r\n")
    wait_for(lambda: b"rest_connections" in admin.get("/metrics").data, 10)
    fleet.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not all(s.is_alive() for s in signers), 30, what="the drain")
    try:
        late.sendall(b"Authorization: Bearer " + fleet.token().encode() + b"\r\n\r\n")
        answer = late.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ") and b'"draining"' in answer, answer
    except OSError:
        pass  # the plane was gone already
    late.close()
    assert fleet.process.wait(40) == 0
    for s in signers:
        s.join(30)
        assert not s.is_alive() and not s.bad and 200 in s.statuses
        first_503 = s.statuses.index(503) if 503 in s.statuses else len(s.statuses)
        assert 200 not in s.statuses[first_503:], "what is refused once is refused from there on"
    wait_for(lambda: not [p for p in pids if os.path.exists("/proc/%d/exe" % p) and
                          os.path.realpath("/proc/%d/exe" % p).startswith(os.path.realpath(BUILD))], 20,
             what="all processes to be gone")
    assert not os.path.exists(fleet.state + "/run"), "no socket stays"
    leftovers = [n for n in shared_memory() - before if "aegis" in n]
    assert not leftovers
    # All that was answered is on record, and the log is whole.
    answered = sum(s.statuses.count(200) for s in signers)
    fleet.start()
    admin = fleet.admin()
    signed = [e for e in fleet.events(admin, "operation=key.sign") if e["outcome"] == "allowed"]
    assert len(signed) >= answered
