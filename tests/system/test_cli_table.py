# SPDX-License-Identifier: Apache-2.0
"""The command line as the contract writes it down: every verb, every option,
what --help says of each, what is said to a slip of the finger, and what a
terminal gets that a pipe does not."""
import calendar
import csv
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import fcntl
import time
import urllib.parse

import pytest

from conftest import AEGIS
from test_cli_wire import Strange, aegis, server  # noqa: F401 (fixtures)

# Contract §9: verb → words that stand for its positionals, and its options
# with a value that they take (None: a flag).
FILTERS = {"--actor": "p", "--agent": "a", "--include-agents": None, "--key": "k", "--operation": "key.sign",
           "--outcome": "denied", "--since": "2h", "--until": "1h", "--type": "request", "--include-risk": None}
REASON = {"--reason": "t"}
CONTRACT = {
    "up": ([], {"--config": "f", "--state": "d", "--listen": "127.0.0.1:0", "--detach": None,
                "--unsafe-dev-identity": None, "--unsafe-test-clock": "f"}),
    "down": ([], {"--timeout": "30s"}),
    "status": ([], {"--watch": None}),
    "doctor": ([], {"--config": "f"}),
    "tls init": ([], {"--name": "h", "--out": "d"}),
    "completion": (["bash"], {}),
    "version": ([], {}),
    "config init": ([], {"--out": "f"}),
    "config check": (["f"], {}),
    "config show": ([], {}),
    "doc": (["rest"], {}),
    "login": ([], {"--token-file": "f", "--server": "http://127.0.0.1:1", "--ca-file": "f", "--context": "n"}),
    "logout": ([], {}),
    "whoami": ([], {}),
    "context": ([], {}),
    "context list": ([], {}),
    "context use": (["n"], {}),
    "principal create": (["n"], {"--kind": "human", "--role": "r", "--label": "k=v"}),
    "principal list": ([], {}),
    "principal show": (["p"], {}),
    "principal suspend": (["p"], REASON),
    "principal resume": (["p"], REASON),
    "principal delete": (["p"], REASON),
    "principal token": (["p"], {"--ttl": "12h", "--out": "f"}),
    "principal totp": (["p"], {"--confirm": "123456"}),
    "principal grant": (["p", "r"], {"--until": "30d"}),
    "principal ungrant": (["p", "r"], {}),
    "role list": ([], {}),
    "role show": (["r"], {}),
    "role set": (["r"], {"--scope": "key:*:sign"}),
    "admin-token": ([], {"--state": "./d", "--out": "f"}),
    "tenant create": (["n"], {"--admin": "n", "--out": "f"}),
    "tenant list": ([], {}),
    "key create": (["a"], {"--spec": "EC_P256", "--usage": "sign,verify", "--label": "k=v", "--rotate-every": "30d",
                           "--rotate-after": "5", "--activate": None}),
    "key import": (["a"], {"--spec": "EC_P256", "--in": "f", "--public-key": "f", "--usage": "verify"}),
    "key list": ([], {"--state": "Active", "--spec": "EC_P256", "--label": "k=v", "--limit": "1"}),
    "key show": (["k"], {}),
    "key activate": (["k"], {}),
    "key rotate": (["k"], {}),
    "key deactivate": (["k"], REASON),
    "key compromise": (["k"], REASON),
    "key freeze": (["k"], REASON),
    "key unfreeze": (["k"], REASON),
    "key label": (["k", "a=1", "b-"], {}),
    "key destroy": (["k"], {"--reason": "t", "--window": "7d", "--yes": None}),
    "key cancel-destroy": (["k"], {}),
    "key public": (["k"], {"--jwk": None, "--jwks": None, "--version": "1"}),
    "key sign": (["k"], {"--digest": None, "--algorithm": "a", "--format": "der", "--in": "f", "--out": "f",
                         "--base64": None}),
    "key verify": (["k"], {"--signature": "f", "--algorithm": "a", "--format": "p1363"}),
    "key encrypt": (["k"], {"--context": "a=1", "--aad": "f"}),
    "key decrypt": (["k"], {"--context": "a=1", "--aad": "f"}),
    "key wrap": (["k"], {"--algorithm": "AES_KWP"}),
    "key unwrap": (["k"], {"--algorithm": "AES_KWP"}),
    "key mac": (["k"], {}),
    "key mac-verify": (["k"], {"--mac": "f"}),
    "random": (["32"], {}),
    "key data-key": (["k"], {"--spec": "AES_256", "--context": "a=1", "--out": "f", "--wrapped-out": "f",
                             "--without-plaintext": None}),
    "agent issue": ([], {"--scope": "key:k:sign", "--label": "l", "--ttl": "1h", "--model": "m", "--purpose": "t",
                         "--parent": "p", "--max-depth": "1", "--source-cidr": "10.0.0.0/8", "--like": "a",
                         "--out": "f"}),
    "agent list": ([], {"--parent": "p", "--state": "live", "--label": "l"}),
    "agent show": (["a"], {}),
    "agent inspect": (["a"], {}),
    "agent chain": (["a"], {}),
    "agent suspend": (["a"], REASON),
    "agent resume": (["a"], REASON),
    "agent revoke": (["a"], {"--parent": "p", "--label": "l", "--jti": "j", "--issued-within": "24h", "--reason": "t",
                             "--dry-run": None}),
    "audit": ([], dict(FILTERS, **{"--limit": "1"})),
    "audit query": ([], dict(FILTERS, **{"--limit": "1"})),
    "audit tail": ([], dict(FILTERS, **{"--from": "1"})),
    "audit show": (["e"], {}),
    "audit proof": (["e"], {"--out": "f"}),
    "audit consistency": (["1", "2"], {"--out": "f"}),
    "audit verify": ([], {"--dir": "d", "--public-key": "f", "--tenant": "t", "--checkpoint": "f",
                          "--write-checkpoint": "f"}),
    "recommendation list": ([], {"--severity": "high", "--actor": "a", "--since": "1h"}),
    "recommendation show": (["r"], {}),
    "recommendation dismiss": (["r"], {"--reason": "t", "--learn": None}),
    "responder rules": ([], {}),
}
EVERYWHERE = {"--json": None, "--server": "http://127.0.0.1:1", "--ca-file": "f", "--token-file": "f",
              "--context": "n", "--state": "./d", "--timeout": "10s", "--quiet": None}
ENV = dict({k: v for k, v in os.environ.items() if not k.startswith("AEGIS_")}, NO_COLOR="1")


def run(*words, **kw):
    return subprocess.run([AEGIS] + list(words), capture_output=True, text=True, env=ENV, timeout=20, **kw)


def rows():
    """Every verb of the program itself: (verb, usage line)."""
    listing = run("--help").stdout
    found = re.findall(r"^  ([a-z-]+) +([a-z-]*) {2,}\S", listing.split("Every verb takes")[0], re.M)
    return [" ".join(filter(None, row)) for row in found]


@pytest.mark.parametrize("verb", sorted(CONTRACT))
def test_every_option_of_the_contract_is_taken(verb):
    words, options = CONTRACT[verb]
    given = dict(EVERYWHERE, **options)
    apart = [w for name, value in given.items() for w in ([name] if value is None else [name, value])]
    joined = [name if value is None else name + "=" + value for name, value in given.items()]
    for typed in (apart, joined):
        done = run(*verb.split(), *words, *typed, "--help")  # parsed, not run
        assert done.returncode == 0, (verb, done.stderr)
        assert done.stdout.startswith("usage: aegis " + verb)
    last = [name for name, value in options.items() if value is not None][-1:]
    for name in last:
        done = run(*verb.split(), *words, name)
        assert done.returncode == 2 and name in done.stderr, "%s %s without its value" % (verb, name)


def test_every_verb_of_the_contract_is_there():
    there = rows()
    assert set(CONTRACT) <= set(there), set(CONTRACT) - set(there)
    assert len(there) == len(set(there))


def test_help_of_every_verb():
    for verb in rows():
        done = run(*verb.split(), "--help")
        assert done.returncode == 0 and not done.stderr, verb
        usage, text = done.stdout.split("\n", 1)
        assert usage.startswith("usage: aegis " + verb), usage
        for option in re.findall(r"--[a-z][a-z0-9-]*", usage):
            assert re.search(r"^  %s\b.* {2}\S" % option, text, re.M), (verb, option)
        for status in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130):
            assert re.search(r"^  %d +\S" % status, text, re.M), (verb, status)
        example = text.split("Example:\n")[1].strip()
        assert example.startswith("aegis " + verb), example
        for option in EVERYWHERE:
            assert option in text
        assert all(line == line.rstrip() and "\t" not in line for line in text.splitlines()), verb


def test_examples_are_taken(tmp_path):
    """An example that its own verb refuses teaches nothing."""
    for verb in rows():
        example = run(*verb.split(), "--help").stdout.split("Example:\n")[1].strip()
        example = example.split("|")[-1].split(">")[0].strip()
        words = subprocess.run(["bash", "-c", "printf '%%s\\0' %s" % example], capture_output=True, text=True,
                               cwd=tmp_path).stdout.split("\0")[1:-1]
        words = [w for w in words if w != "<"]
        assert run(*words, "--help").returncode == 0, example


def test_unknown_options_get_a_suggestion():
    for verb in rows():
        done = run(*verb.split(), "--jsno")
        assert done.returncode == 2 and not done.stdout, verb
        assert done.stderr.splitlines()[0] == "aegis: --jsno: no such option of aegis " + verb
        assert re.match(r"hint: did you mean --json\? aegis %s --help$" % verb, done.stderr.splitlines()[1])
    done = run("key", "sign", "k", "--frobnicate")
    assert done.returncode == 2 and "did you mean" not in done.stderr
    assert done.stderr.splitlines()[1] == "hint: aegis key sign --help"


@pytest.mark.parametrize("typed,meant", [
    (["kye"], "key"), (["key", "sing"], "sign"), (["key", "lits"], "list"), (["audt"], "audit"),
    (["audit", "verfy"], "verify"), (["context", "usee"], "use"), (["--sevrer", "x", "whoami"], "--server"),
    (["key", "create", "--spce", "x"], "--spec"), (["agent", "issue", "--max-dept", "1"], "--max-depth"),
])
def test_what_was_meant(typed, meant):
    done = run(*typed)
    assert done.returncode == 2 and not done.stdout
    assert "did you mean %s?" % meant in done.stderr, done.stderr


def test_alone_it_says_what_to_type_next():
    done = run()
    assert done.returncode == 2 and not done.stdout
    commands = re.findall(r"^  aegis (.+?) {2,}", done.stderr, re.M)
    assert len(commands) == 5
    for words in commands:
        assert run(*words.split(), "--help").returncode == 0, words


def test_help_has_other_ways():
    same = run("key", "sign", "--help").stdout
    assert run("help", "key", "sign").stdout == same and run("key", "sign", "x", "-h").stdout == same
    assert run("help", "key").stdout == run("key", "--help").stdout
    assert run("help").stdout == run("--help").stdout
    assert run("--version").stdout == run("version").stdout


def test_aliases_of_nouns():
    assert run("keys", "list", "--help").stdout.startswith("usage: aegis key list")
    assert run("agents", "list", "--help").stdout.startswith("usage: aegis agent list")


# ---- what the server says, on the way to a terminal

HOSTILE = [("\x1b[2Jx", "\\x1b[2Jx"), ("a\rb", "a\\x0db"), ("a\nb", "a\\nb"), ("\x07", "\\x07"), ("\u009b1m", "\\u009b1m"),
           ("a\u202eb", "a\\u202eb"), ("\u2066", "\\u2066"), ("\u200b", "\\u200b"), ("\x7f", "\\x7f"), ("\t", "\\t")]


@pytest.mark.parametrize("text,shown", HOSTILE)
def test_hostile_text_is_escaped_and_aligned(aegis, text, shown):  # noqa: F811
    items = [{"id": text, "alias": "next", "state": "Active"}, {"id": "k", "alias": "next", "state": "Active"}]
    lines = aegis("key", "list", answer=(200, {"items": items, "next_cursor": None})).stdout.split("\n")
    assert len(lines) == 4 and lines[1].startswith(shown + " ")
    assert lines[1].index("next") == lines[2].index("next") == lines[0].index("ALIAS")
    refused = aegis("whoami", answer=(403, {"code": "PermissionDenied", "reason_code": text, "detail": text,
                                            "request_id": text, "hint": text}))
    assert refused.stderr == "aegis: PermissionDenied/%s: %s (request %s)\nhint: %s\n" % ((shown,) * 4)
    # --json is for programs: JSON has its own escapes, and no control character is left raw
    raw = aegis("key", "list", "--json", answer=(200, {"items": items, "next_cursor": None})).stdout
    assert json.loads(raw.split("\n")[0])["id"] == text and "\x1b" not in raw and "\x07" not in raw


def test_lists_as_csv(aegis):  # noqa: F811
    """C07: what a spreadsheet or csv.reader takes; others' words are neither a formula nor a terminal's orders."""
    words = ['plain', 'a,b', 'say "x"', '=1+1', '@x', '+x', '-x', '\x1b[2Jx', 'a\nb', None]
    items = [{"id": "apr_1", "state": "pending", "operation": "key.sign", "resource": {"alias": w},
              "requester": {"name": "bob"}, "requested_at": "2026-11-20T21:33:14.000Z", "expires_at": None} for w in words]
    # the page of a list comes in one; the heads come once
    got = aegis("approval", "list", "--csv", "--since", "7d", answer=(200, {"items": items, "next_cursor": None})).stdout
    rows = list(csv.reader(got.splitlines()))
    assert rows[0] == ["ID", "STATE", "OPERATION", "RESOURCE", "REQUESTER", "REQUESTED", "UNTIL"]
    assert [r[3] for r in rows[1:]] == ['plain', 'a,b', 'say "x"', "'=1+1", "'@x", "'+x", "'-x", '\\x1b[2Jx', 'a\\nb', '']
    assert {tuple(r[:3]) for r in rows[1:]} == {("apr_1", "pending", "key.sign")} and {r[6] for r in rows[1:]} == {""}
    bare = aegis("break-glass", "list", "--csv", "--quiet", answer=(200, {"items": [{"id": "brk_1"}], "next_cursor": None}))
    assert bare.stdout.splitlines() == ["brk_1,,,,,,"]
    for words in (["whoami"], ["approval", "show", "apr_1"], ["approval", "list", "--json"], ["key", "sign", "k"]):
        assert aegis(*words, "--csv").returncode == 2


@pytest.mark.parametrize("typed,seconds", [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800), ("30d", 2592000),
                                           ("0", 0), ("45", 45)])
def test_since_is_so_long_ago(aegis, typed, seconds):  # noqa: F811
    """C07: each unit, from now backwards."""
    before = time.time()
    assert aegis("approval", "list", "--since", typed, answer=(200, {"items": [], "next_cursor": None})).returncode == 0
    path = Strange.asked[0][1]
    sent = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["since"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", sent), sent
    at = calendar.timegm(time.strptime(sent[:19], "%Y-%m-%dT%H:%M:%S")) + seconds
    assert int(before) <= at <= time.time()


@pytest.mark.parametrize("typed,sent", [("2026-11-20T21:33:14Z", "2026-11-20T21:33:14.000Z"),
                                        ("2026-11-20T21:33:14.5Z", "2026-11-20T21:33:14.500Z"),
                                        ("2026-11-20T21:33:14+02:00", "2026-11-20T19:33:14.000Z")])
def test_since_is_a_time(aegis, typed, sent):  # noqa: F811
    assert aegis("break-glass", "list", "--since", typed, answer=(200, {"items": [], "next_cursor": None})).returncode == 0
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(Strange.asked[0][1]).query)["since"] == [sent]


@pytest.mark.parametrize("typed", ["7w", "-1d", "7 d", "", "1.5h", "d", "7dd", "yesterday", "99999999999999999999d",
                                   "2026-13-01T00:00:00Z", "2026-11-20", "2026-11-20T21:33:14"])
def test_since_is_nothing_else(aegis, typed):  # noqa: F811
    done = aegis("approval", "list", "--since", typed)
    assert done.returncode == 2 and "--since" in done.stderr and not Strange.asked, done.stderr


def test_columns_know_how_wide_characters_are(aegis):  # noqa: F811
    names = ["日本語キー", "émile", "plain", "e\u0301e\u0301"]
    items = [{"id": name, "alias": "next"} for name in names]
    lines = aegis("key", "list", answer=(200, {"items": items, "next_cursor": None})).stdout.split("\n")[1:5]
    widths = {"日本語キー": 10, "émile": 5, "plain": 5, "e\u0301e\u0301": 2}
    starts = [widths[n] + len(line.split("next")[0]) - len(n) for n, line in zip(names, lines)]
    assert set(starts) == {12}, lines


def test_a_pipe_gets_all_of_a_cell(aegis):  # noqa: F811
    scopes = ["key:%064d:sign" % n for n in range(64)]
    done = aegis("role", "list", answer=(200, {"items": [{"name": "r", "scopes": scopes}], "next_cursor": None}))
    assert ",".join(scopes) in done.stdout and "…" not in done.stdout


def on_terminal(words, env, answer_to=None, columns=60, cwd=None, timeout_s=20, stdout=None):
    """Runs it with a terminal as stdin, stdout and stderr, answering each prompt once:
    (exit status, what was shown)."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([AEGIS] + words, stdin=child, stdout=child if stdout is None else stdout, stderr=child,
                               env=env, cwd=cwd, start_new_session=True)
    os.close(child)
    shown, seen, end = b"", 0, time.monotonic() + timeout_s
    answers = list(answer_to if isinstance(answer_to, list) else [answer_to] if answer_to else [])
    try:
        while time.monotonic() < end:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    more = os.read(parent, 65536)
                except OSError:
                    break
                if not more:
                    break
                shown += more
                if answers and answers[0][0].encode() in shown[seen:]:
                    seen = len(shown)
                    os.write(parent, answers.pop(0)[1].encode())
        return process.wait(5), shown.decode()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(parent)


@pytest.fixture
def terminal(aegis, server, tmp_path):  # noqa: F811
    """The same stand-in for a server, with a terminal at the other end."""
    env = dict(ENV, AEGIS_STATE=str(tmp_path / "state"), XDG_CONFIG_HOME=str(tmp_path / "config"), TERM="xterm")
    env.pop("NO_COLOR")

    def go(*words, answer=(200, {}), no_color=False, **kw):
        Strange.asked.clear()
        Strange.answer = (answer[0], json.dumps(answer[1]).encode())
        return on_terminal(list(words), dict(env, NO_COLOR="1") if no_color else env, cwd=str(tmp_path), **kw)
    return go


def test_a_terminal_gets_lines_that_fit_and_colour(terminal, aegis):  # noqa: F811
    items = [{"id": "key_" + "0" * 32, "alias": "a-rather-long-alias-of-a-key", "key_spec": "EC_P256", "version": 1,
              "state": "Compromised", "created_at": "2026-01-01T00:00:00.000Z"}]
    page = (200, {"items": items, "next_cursor": None})
    status, shown = terminal("key", "list", answer=page, columns=80)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").split("\n")
    assert status == 0 and "\x1b[1m" in shown and "…" in lines[1]
    assert all(len(line) <= 80 for line in lines) and lines[1].startswith("key_" + "0" * 32)
    status, shown = terminal("key", "list", answer=page, columns=80, no_color=True)
    assert status == 0 and "\x1b" not in shown
    assert "\x1b" not in aegis("key", "list", answer=page).stdout
    assert items[0]["alias"] in aegis("key", "list", answer=page).stdout


def test_bytes_become_base64_on_a_terminal(terminal):
    status, shown = terminal("key", "sign", "k", "--in", "/dev/null", answer=(200, {"signature_b64": "AAEC"}))
    assert (status, shown) == (0, "AAEC\r\n")


def test_destroy_asks_a_person(terminal):
    ask = ("Type its name to go on: ", "wrong\n")
    status, shown = terminal("key", "destroy", "k", "--reason", "r", answer_to=ask)
    assert status == 2 and "not destroyed" in shown and not Strange.asked
    status, shown = terminal("key", "destroy", "k", "--reason", "r", answer_to=(ask[0], "k\n"))
    assert status == 0 and Strange.asked[0][1] == "/v1/keys/k/destroy"
    status, shown = terminal("key", "destroy", "k", "--reason", "r", "--yes")
    assert status == 0 and "Type" not in shown and Strange.asked


def test_progress_is_for_a_person_who_sees_nothing_else(aegis, terminal, tmp_path):  # noqa: F811
    more = (200, {"items": [{"id": "k"}] * 1000, "next_cursor": "c"})
    assert aegis("key", "list", "--limit", "3000", answer=more).stderr == ""
    _, shown = terminal("key", "list", "--limit", "3000", answer=more)
    assert " items\x1b[K" not in shown
    _, shown = terminal("key", "list", "--limit", "3000", answer=more, stdout=subprocess.DEVNULL)
    assert " items\x1b[K" in shown and shown.endswith("\r\x1b[K")
    _, shown = terminal("key", "list", "--limit", "3000", "--quiet", answer=more, stdout=subprocess.DEVNULL)
    assert shown == ""
