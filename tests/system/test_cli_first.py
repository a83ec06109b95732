# SPDX-License-Identifier: Apache-2.0
"""The first hour with aegis: the wizard, contexts, status on a terminal, and
what is said when a credential no longer counts."""
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
import yaml

from conftest import AEGIS, wait_for
from test_cli_table import ENV, on_terminal, run

DEV = ["Is this to try", "Where do clients", "How long may an agent", "When an agent goes rogue", "How much goes"]
TLS = ["The certificate's PEM", "Its key's PEM"]
PROD = DEV[:2] + TLS + ["All keys lie on this disk", "under a passphrase"] + DEV[2:]


def ask(tmp_path, prompts, answers, words=()):
    """One answer a prompt, "" for what is offered."""
    talk = list(zip(prompts, [a + "\n" for a in answers]))
    return on_terminal(["config", "init", "--out", "out.yaml", *words], ENV, answer_to=talk, cwd=str(tmp_path))


def test_the_wizard_with_all_that_is_offered(tmp_path):
    status, shown = ask(tmp_path, DEV, [""] * 5)
    assert status == 0, shown
    done = run("config", "check", "out.yaml", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert written["environment"] == "dev" and written["rest"] == {"listen": "127.0.0.1:8470"}
    assert (tmp_path / "out.yaml").stat().st_mode & 0o777 == 0o600
    assert "next: aegis doctor --config out.yaml" in shown and "then: aegis up --config out.yaml" in shown
    again, shown = ask(tmp_path, DEV, [""] * 5)
    assert again == 6 and "is there already" in shown


def test_the_wizard_for_real(tmp_path):
    status, shown = ask(tmp_path, PROD, ["prod", "0.0.0.0:9000", "/tls/c.pem", "/tls/k.pem", "yes", "", "2h", "yes", "warn"])
    assert status == 0, shown
    written = yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert written == {"environment": "prod", "agents": {"ttl_max_s": "2h"}, "responder": {"dry_run": True},
                       "rest": {"listen": "0.0.0.0:9000",
                                "tls": {"certificate_file": "/tls/c.pem", "key_file": "/tls/k.pem"}},
                       "rot": {"software": {"accept_risk": True, "passphrase": False}}, "log": {"level": "warn"}}
    assert run("config", "check", "out.yaml", cwd=str(tmp_path)).returncode == 0
    assert "next: aegis tls init --name HOST --out DIR, for /tls/c.pem" in shown


def test_the_wizard_says_what_is_wrong_and_asks_again(tmp_path):
    prompts = [DEV[0], "is wanted", DEV[1]] + DEV[2:3] + ["is wanted"] + DEV[3:]
    status, shown = ask(tmp_path, prompts, ["maybe", "dev", "", "a year", "1h", "", ""])
    assert status == 0, shown
    assert "no: one of dev, prod is wanted" in shown and len(re.findall("no: ", shown)) == 2
    assert yaml.safe_load((tmp_path / "out.yaml").read_text())["agents"]["ttl_max_s"] == "1h"


def test_the_wizard_writes_nothing_that_could_not_be_used(tmp_path):
    status, shown = ask(tmp_path, PROD, ["prod", "", "/c", "/k", "no", "", "", "", ""])
    assert status == 2 and "accept_risk" in shown and not os.listdir(tmp_path)
    status, shown = ask(tmp_path, DEV[:1] + ["is wanted"] * 4, ["x"] * 5)
    assert status == 2 and not os.listdir(tmp_path)
    assert run("config", "init", cwd=str(tmp_path), stdin=subprocess.DEVNULL).returncode == 2
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", [
    '/x: "y', "/a #b", "/{a: b}", "/- x", "/'quoted'", "/*star &anchor !tag", "/%TAG", "/日本", "/😀", "/ a\\b", "/$(reboot)`x`",
])
def test_hostile_answers_are_quoted(tmp_path, name):
    status, shown = ask(tmp_path, PROD[:4] + DEV[2:], ["", "0.0.0.0:1", name, name + ".key", "", "", ""])
    assert status == 0, shown
    tls = yaml.safe_load((tmp_path / "out.yaml").read_text())["rest"]["tls"]
    assert (tls["certificate_file"], tls["key_file"]) == (name, name + ".key")
    assert run("config", "check", "out.yaml", cwd=str(tmp_path)).returncode == 0


def test_controls_are_no_answer(tmp_path):
    # ^V is how a terminal lets the next key through, whatever it is
    status, shown = ask(tmp_path, PROD[:3] + ["is wanted", TLS[1]] + DEV[2:],
                        ["", "0.0.0.0:1", "/a\x16\x1b[2Jb", "/c", "/k", "", "", ""])
    assert status == 0 and "\x1b[2J" not in shown, shown
    assert yaml.safe_load((tmp_path / "out.yaml").read_text())["rest"]["tls"]["certificate_file"] == "/c"


# ---- contexts

def test_two_contexts(fleet, tmp_path, unique):
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    names = [unique("person"), unique("person")]
    for name in names:
        fleet.run("principal", "create", name, "--kind", "human", "--role", "auditor", check=0)
        fleet.run("principal", "token", name, "--out", str(tmp_path / name), check=0)
        said = fleet.run("login", "--token-file", str(tmp_path / name), "--context", name, env=env, check=0).stdout
        assert said == "logged in as %s at %s (context %s)\n" % (name, fleet.url, name)

    def who(*words, **more):
        return json.loads(fleet.run("whoami", "--json", *words, env=dict(env, **more), check=0).stdout)["name"]
    assert who() == names[1]
    for name in (names[0], names[1], names[0]):
        assert fleet.run("context", "use", name, env=env, check=0).stdout == "context %s\n" % name
        assert who() == name
        rows = [json.loads(n) for n in fleet.run("context", "list", "--json", env=env, check=0).stdout.splitlines()]
        assert sorted((r["name"], r["current"]) for r in rows) == sorted((n, "*" if n == name else "") for n in names)
    assert who("--context", names[1]) == names[1] and who(AEGIS_CONTEXT=names[1]) == names[1]
    fleet.run("whoami", "--context", "nobody", env=env, check=2)
    token = tmp_path / "config" / "aegis" / (names[0] + ".token")
    assert token.stat().st_mode & 0o777 == 0o600 and (token.parent.stat().st_mode & 0o777) == 0o700
    token.chmod(0o640)
    assert "chmod 600" in fleet.run("whoami", env=env, check=2).stderr
    token.chmod(0o600)
    assert json.loads(fleet.run("logout", "--json", env=env, check=0).stdout) == {"context": names[0]}
    assert not token.exists()
    assert [json.loads(n)["name"] for n in fleet.run("context", "list", "--json", env=env, check=0).stdout.splitlines()
            ] == [names[1]]


def test_a_credential_that_no_longer_counts(fresh_fleet, tmp_path):
    fleet = fresh_fleet()
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    fleet.run("principal", "create", "anna", "--kind", "human", "--role", "auditor", check=0)
    fleet.run("principal", "token", "anna", "--ttl", "1h", "--out", str(tmp_path / "t"), check=0)
    fleet.run("login", "--token-file", str(tmp_path / "t"), env=env, check=0)
    fleet.run("principal", "suspend", "anna", "--reason", "r", check=0)
    assert "PrincipalSuspended" in fleet.run("whoami", env=env, check=5).stderr
    fleet.run("principal", "resume", "anna", "--reason", "r", check=0)
    fleet.move_clock(3700)
    done = wait_for(lambda: (lambda d: d if d.returncode else None)(fleet.run("whoami", env=env)), 10, 0.1, "the end")
    lines = done.stderr.splitlines()
    assert done.returncode == 3 and lines[0].startswith("aegis: Unauthenticated/token_expired: ")
    assert lines[1].startswith("hint: ") and "aegis login --token-file" in lines[1]


# ---- status

def test_status_hints(fleet, tmp_path):
    done = fleet.run("status", check=0)
    assert not done.stderr and done.stdout.splitlines()[0].split() == [
        "NAME", "ROLE", "PID", "STATE", "UPTIME", "RESTARTS", "QUEUE", "RSS"]
    none = run("status", "--state", str(tmp_path / "none"))
    assert none.returncode == 7 and none.stderr.splitlines()[1].startswith("hint: start it with `aegis up --detach`")


def test_status_watch_draws_over_itself(fleet):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 70, 0, 0))
    env = dict(ENV, AEGIS_STATE=fleet.state, TERM="xterm")
    watch = subprocess.Popen([AEGIS, "status", "--watch"], stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    shown = [b""]

    def pictures():
        shown[0] += os.read(parent, 65536)
        return shown[0].count(b"\x1b[H") >= 3
    try:
        wait_for(pictures, 20, 0, "three pictures")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        while not shown[0].endswith(b"\x1b[?1049l"):
            shown[0] += os.read(parent, 65536)
    finally:
        watch.kill()
        watch.wait()
        os.close(parent)
    text = shown[0].decode()
    assert text.startswith("\x1b[?1049h\x1b[?25l") and text.endswith("\x1b[?25h\x1b[?1049l")
    for picture in text.split("\x1b[H")[1:3]:
        lines = picture.split("\x1b[J")[0].replace("\r", "").split("\n")
        assert len(lines) == 8 and lines[-1] == "", "seven lines on a terminal of eight, and the cursor"
        for line in lines[:-1]:
            assert line.endswith("\x1b[K") and len(line) - 3 <= 70, line
        assert lines[0].startswith("NAME")


def test_status_watch_in_a_pipe_is_plain(fleet):
    env = dict(ENV, AEGIS_STATE=fleet.state)
    with subprocess.Popen([AEGIS, "status", "--watch", "--json"], stdout=subprocess.PIPE, env=env, text=True) as watch:
        count = len(fleet.processes())
        rows = [json.loads(watch.stdout.readline()) for _ in range(2 * count)]
        watch.terminate()
    assert [r["name"] for r in rows[:count]] == [r["name"] for r in rows[count:]] and rows[0]["role"] == "broker"


def test_up_says_its_two_lines_in_order(fresh_fleet):
    fleet = fresh_fleet()
    assert re.fullmatch(r"admin credential: %s/admin\.token\nready: http://127\.0\.0\.1:\d+\n" % re.escape(fleet.state),
                        fleet.said)
    fleet.stop()
    fleet.start()
    assert re.fullmatch(r"ready: http://127\.0\.0\.1:\d+\n", fleet.said), "the credential is made once"


def test_long_work_is_seen_on_a_terminal_only(fresh_fleet, tmp_path):
    """verify, replay and backups say how far they are in one line of standard error, which is gone at the end."""
    fleet = fresh_fleet()
    fleet.key(fleet.admin(), "k")
    log, pem = os.path.join(fleet.state, "audit"), os.path.join(fleet.state, "audit", "public-key.pem")
    kept = str(tmp_path / "backup")
    for words, what in ((["audit", "verify", "--dir", log, "--public-key", pem], "events verified"),
                        (["audit", "replay"], "events read"),
                        (["backup", "create", "--out", kept], "MiB"), (["backup", "verify", kept], "MiB")):
        master, slave = pty.openpty()
        done = subprocess.run([AEGIS, *words], stdout=subprocess.PIPE, stderr=slave,
                              env=dict(os.environ, AEGIS_STATE=fleet.state))
        os.close(slave)
        seen = os.read(master, 65536).decode()
        os.close(master)
        assert done.returncode == 0 and what in seen and seen.endswith("\r\x1b[K"), (words, seen)
        if words[:2] == ["backup", "create"]:
            os.unlink(kept)
        assert fleet.run(*words).stderr == "", words
