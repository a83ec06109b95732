# SPDX-License-Identifier: Apache-2.0
"""The aegis command: exit statuses, data in and out, contexts, secrets."""
import hashlib
import json
import os
import re
import stat
import subprocess

import pytest

from conftest import AEGIS, unb64, wait_for


def test_version_and_help(fleet):
    assert fleet.run("version", check=0).stdout.startswith("aegis ")
    assert "key" in fleet.run("--help", check=0).stdout
    assert "usage: aegis key sign KEY" in fleet.run("key", "sign", "--help", check=0).stdout
    assert fleet.run("key", "--help", check=0).stdout.count("usage:") > 10


@pytest.mark.parametrize("words", [
    [], ["frobnicate"], ["key"], ["key", "frobnicate"], ["key", "sign"], ["key", "show"], ["key", "show", "a", "b"],
    ["key", "create", "x"], ["key", "freeze", "x"], ["key", "list", "--nonsense"], ["key", "list", "--limit", "0"],
    ["key", "list", "--limit"], ["--timeout", "soon", "whoami"], ["key", "show", ".."], ["key", "label", "k", "x"],
    ["agent", "revoke", "--reason", "r"], ["agent", "issue", "--label", "l"], ["audit", "--since", "yesterday"],
    ["config", "check"], ["doc", "nonsense"], ["login"],
])
def test_usage_is_2(fleet, words):
    done = fleet.run(*words)
    assert done.returncode == 2, done.stderr
    assert done.stderr and not done.stdout


def test_token_in_environment_is_refused(fleet):
    done = fleet.run("whoami", env={"AEGIS_TOKEN": "secret-value"})
    assert done.returncode == 2
    assert "AEGIS_TOKEN" in done.stderr and "secret-value" not in done.stderr


def test_token_file_that_others_may_read_is_refused(fleet, tmp_path):
    path = tmp_path / "token"
    path.write_text(fleet.token())
    path.chmod(0o644)
    done = fleet.run("whoami", token=str(path))
    assert done.returncode == 2 and "chmod 600" in done.stderr
    path.chmod(0o600)
    assert "admin" in fleet.run("whoami", token=str(path), check=0).stdout


def test_admin_is_the_default_on_this_machine(fleet):
    me = json.loads(fleet.run("whoami", "--json", check=0).stdout)
    assert (me["name"], me["kind"], me["tenant"]) == ("admin", "human", "default")


def test_exit_statuses(fleet, admin, tmp_path, unique):
    fleet.run("key", "show", unique("nowhere"), check=4)
    alias = unique("key")
    fleet.run("key", "create", alias, "--spec", "EC_P256", check=0)
    fleet.run("key", "create", alias, "--spec", "EC_P256", check=6)
    fleet.run("key", "sign", alias, stdin="x", check=6)  # PreActive
    fleet.run("key", "create", "--spec", "NONSENSE", check=2)
    bad = tmp_path / "bad.token"
    bad.write_text("not-a-token")
    bad.chmod(0o600)
    done = fleet.run("whoami", token=str(bad), check=3)
    assert re.match(r"aegis: Unauthenticated/\w+: .* \(request [0-9a-f-]{36}\)\n", done.stderr), done.stderr
    agent = fleet.agent(admin, ["key:%s:sign" % alias])
    one = tmp_path / "agent.token"
    one.write_text(agent.token)
    one.chmod(0o600)
    fleet.run("principal", "list", token=str(one), check=5)
    fleet.run("whoami", "--server", "http://127.0.0.1:1", "--token-file", str(one), check=7)
    fleet.run("whoami", "--server", "http://192.0.2.1:1", "--token-file", str(one), check=2)  # in clear, elsewhere
    fleet.run("whoami", "--state", str(tmp_path / "none"), check=7)


def test_sign_and_verify(fleet, tmp_path, unique):
    alias = unique("key")
    fleet.run("key", "create", alias, "--spec", "EC_P256", "--activate", check=0)
    data, sig, pem = tmp_path / "data", tmp_path / "sig", tmp_path / "pem"
    data.write_bytes(bytes(range(256)) * 40)
    fleet.run("key", "sign", alias, "--in", str(data), "--out", str(sig), check=0)
    fleet.run("key", "public", alias, "--out", str(pem), check=0)
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", str(pem), "-signature", str(sig), str(data)], check=True,
                   capture_output=True)
    assert fleet.run("key", "verify", alias, "--signature", str(sig), "--in", str(data), check=0).stdout == "valid\n"
    digest = hashlib.sha256(data.read_bytes()).digest()
    done = fleet.run("key", "sign", alias, "--digest", stdin=digest, check=0, text=False)  # stdin and stdout are binary
    sig.write_bytes(done.stdout)
    assert fleet.run("key", "verify", alias, "--signature", str(sig), "--in", str(data), check=0).stdout == "valid\n"
    data.write_bytes(b"another")
    assert fleet.run("key", "verify", alias, "--signature", str(sig), "--in", str(data), check=1).stdout == "invalid\n"
    raw = fleet.run("key", "sign", alias, "--format", "p1363", "--base64", stdin="x", check=0).stdout
    assert len(unb64(raw)) == 64


def test_encrypt_decrypt_data_key(fleet, tmp_path, unique):
    alias = unique("key")
    fleet.run("key", "create", alias, "--spec", "AES_256", "--activate", check=0)
    plain = os.urandom(5000)
    sealed = fleet.run("key", "encrypt", alias, "--context", "a=1", "--context", "b=2", stdin=plain, check=0,
                       text=False).stdout
    assert plain not in sealed
    back = fleet.run("key", "decrypt", alias, "--context", "b=2", "--context", "a=1", stdin=sealed, check=0,
                     text=False).stdout
    assert back == plain
    fleet.run("key", "decrypt", alias, "--context", "a=2", stdin=sealed, check=2, text=False)
    out, wrapped = tmp_path / "dk", tmp_path / "dk.wrapped"
    fleet.run("key", "data-key", alias, "--out", str(out), "--wrapped-out", str(wrapped), check=0)
    assert len(out.read_bytes()) == 32 and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert fleet.run("key", "decrypt", alias, "--in", str(wrapped), check=0, text=False).stdout == out.read_bytes()


def test_key_life(fleet, tmp_path, unique):
    alias = unique("key")
    made = json.loads(fleet.run("key", "create", alias, "--spec", "ED25519", "--label", "team=a", "--label", "x=1",
                                "--json", check=0).stdout)
    assert (made["alias"], made["state"], made["labels"]) == (alias, "PreActive", {"team": "a", "x": "1"})
    assert alias in fleet.run("key", "activate", alias, check=0).stdout
    fleet.run("key", "label", alias, "team=b", "x-", check=0)
    shown = json.loads(fleet.run("key", "show", alias, "--json", check=0).stdout)
    assert (shown["state"], shown["labels"]) == ("Active", {"team": "b"})
    fleet.run("key", "rotate", alias, check=0)
    fleet.run("key", "freeze", alias, "--reason", "lunch", check=0)
    fleet.run("key", "sign", alias, stdin="x", check=6)
    fleet.run("key", "unfreeze", alias, "--reason", "back", check=0)
    fleet.run("key", "sign", alias, "--out", str(tmp_path / "s"), stdin="x", check=0)
    fleet.run("key", "deactivate", alias, "--reason", "old", check=0)
    fleet.run("key", "destroy", alias, "--reason", "gone", "--window", "7d", "--yes", check=0)
    fleet.run("key", "cancel-destroy", alias, check=0)
    assert "version" in fleet.run("key", "show", alias, check=0).stdout


def test_lists_are_tables_or_json_lines(fleet, unique):
    prefix = unique("list")
    for n in range(5):
        fleet.run("key", "create", "%s-%d" % (prefix, n), "--spec", "EC_P256", check=0)
    table = fleet.run("keys", "list", "--alias-prefix", prefix, check=0).stdout.splitlines()
    assert table[0].split() == ["ID", "ALIAS", "SPEC", "STATE", "VERSION", "CREATED"] and len(table) == 6
    column = table[0].index("SPEC")
    assert all(line[column:].startswith("EC_P256") for line in table[1:])
    lines = fleet.run("key", "list", "--alias-prefix", prefix, "--json", check=0).stdout.splitlines()
    assert sorted(json.loads(line)["alias"] for line in lines) == ["%s-%d" % (prefix, n) for n in range(5)]
    assert len(fleet.run("key", "list", "--alias-prefix", prefix, "--limit", "3", "--quiet", check=0)
               .stdout.splitlines()) == 3


def test_login_context_logout(fleet, tmp_path, unique):
    name = unique("person")
    token = tmp_path / "t"
    fleet.run("principal", "create", name, "--kind", "human", "--role", "auditor", check=0)
    fleet.run("principal", "token", name, "--ttl", "1h", "--out", str(token), check=0)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    fleet.run("login", "--token-file", "-", "--context", "mine", stdin=token.read_text(), env=env, check=0)
    assert json.loads(fleet.run("whoami", "--json", env=env, check=0).stdout)["name"] == name
    assert "mine" in fleet.run("context", "list", env=env, check=0).stdout
    for folder, _, files in os.walk(str(tmp_path / "config")):
        for f in files:
            assert os.stat(os.path.join(folder, f)).st_mode & 0o077 == 0
    fleet.run("context", "use", "other", env=env, check=4)
    fleet.run("logout", env=env, check=0)
    assert json.loads(fleet.run("whoami", "--json", env=env, check=0).stdout)["name"] == "admin"
    fleet.run("login", "--token-file", "-", stdin="bad", env=env, check=3)


def test_sessions(fleet, admin, tmp_path, unique):
    """C07: what somebody is here with, for people, programs and spreadsheets; one of them ends, with a reason."""
    name, token = unique("olga"), tmp_path / "t"
    olga = fleet.person(name)
    token.touch(0o600)
    token.write_text(olga.token)
    jti = olga.ok("GET", "/v1/whoami")["credential"]["jti"]
    lines = fleet.run("session", "list", name, check=0).stdout.splitlines()
    assert lines[0].split() == ["JTI", "ISSUED", "USED", "UNTIL", "REVOKED", "BREAK-GLASS"] and lines[1].startswith(jti)
    assert [json.loads(t)["jti"] for t in fleet.run("session", "list", name, "--json", check=0).stdout.splitlines()] == [jti]
    rows = fleet.run("sessions", "list", name, "--csv", "--limit", "5", check=0).stdout.splitlines()
    assert rows[0] == "JTI,ISSUED,USED,UNTIL,REVOKED,BREAK-GLASS" and rows[1].startswith(jti + ",") and len(rows) == 2
    assert fleet.run("devices", "list", name, "--csv", check=0).stdout.split() == ["NAME,ALGORITHM,ATTESTATION,CREATED,USED"]
    assert fleet.run("devices", "list", name, "--json", check=0).stdout == ""
    fleet.run("session", "revoke", jti, check=2)  # a reason is wanted
    ended = fleet.run("session", "revoke", jti, "--reason", "left it open", check=0).stdout.split()
    assert ended[0] == jti and ended[-1] == "no"
    fleet.run("whoami", token=str(token), check=3)
    assert fleet.run("session", "revoke", jti, "--reason", "again", check=0).stdout.split()[-1] == "yes"
    fleet.run("session", "revoke", "no-such", "--reason", "r", check=4)
    events = [e for e in admin.items("/v1/audit?operation=principal.revoke&limit=50") if jti in json.dumps(e)]
    assert len(events) == 2 and {e["outcome"] for e in events} == {"allowed"}


def test_agents(fleet, tmp_path, unique):
    alias, label, token = unique("key"), unique("label"), tmp_path / "t"
    fleet.run("key", "create", alias, "--spec", "EC_P256", "--activate", check=0)
    made = json.loads(fleet.run("agent", "issue", "--scope", "key:%s:sign" % alias, "--label", label, "--ttl", "10m",
                                "--model", "m-1", "--out", str(token), "--json", check=0).stdout)
    assert made["token"] is None and token.read_text().count(".") == 2
    fleet.run("key", "sign", alias, "--out", str(tmp_path / "s"), stdin="x", token=str(token), check=0)
    assert label in fleet.run("agent", "list", "--label", label, check=0).stdout
    chain = fleet.run("agent", "chain", made["agent_id"], check=0).stdout.splitlines()
    assert chain[0].split() == ["ID", "KIND", "NAME", "STATE"] and len(chain) == 3
    assert json.loads(fleet.run("agent", "inspect", made["agent_id"], "--json", check=0).stdout)["model"] == "m-1"
    fleet.run("agent", "suspend", made["agent_id"], "--reason", "r", check=0)
    fleet.run("key", "sign", alias, stdin="x", token=str(token), check=5)
    fleet.run("agent", "resume", made["agent_id"], "--reason", "r", check=0)
    dry = json.loads(fleet.run("agent", "revoke", "--label", label, "--issued-within", "1h", "--reason", "r",
                               "--dry-run", "--json", check=0).stdout)
    assert dry["matched"] == 1 and made["agent_id"] in dry["items"]
    assert json.loads(fleet.run("agent", "revoke", made["agent_id"], "--reason", "r", "--json",
                                check=0).stdout)["revoked"] == 1
    fleet.run("key", "sign", alias, stdin="x", token=str(token), check=3)


def test_audit(fleet, unique):
    alias = unique("key")
    fleet.run("key", "create", alias, "--spec", "EC_P256", check=0)
    fleet.run("key", "sign", alias, stdin="x", check=6)
    lines = fleet.run("audit", "--key", alias, check=0).stdout.splitlines()
    assert lines[0].split() == ["TIME", "ACTOR", "PARENT", "KEY", "OPERATION", "OUTCOME", "RISK", "REASON"]
    assert "key.create" in lines[1] and "allowed" in lines[1]
    assert "key.sign" in lines[2] and "InvalidKeyState/pre_active" in lines[2]
    newest = fleet.run("audit", "query", "--key", alias, "--limit", "1", "--json", check=0).stdout.splitlines()
    assert [json.loads(n)["operation"] for n in newest] == ["key.sign"]
    event = json.loads(newest[0])["event_id"]
    assert event in fleet.run("audit", "show", event, check=0).stdout
    fleet.run("audit", "show", "evt_" + "0" * 32, check=4)
    assert fleet.run("audit", "--since", "1h", "--outcome", "failed", "--key", alias, "--quiet",
                     check=0).stdout.count("\n") == 1


def test_every_audit_flag_is_the_filter_of_the_api(fleet, admin, unique):
    """What --flag V prints is what ?filter=V answers, and each filter leaves something out."""
    alias = unique("key")
    fleet.key(admin, alias)
    agent = fleet.agent(admin, ["key:%s:read" % alias], label=unique("l"), model="m-7")
    agent.get("/v1/keys/" + alias)
    agent.get("/v1/principals")
    request = admin.get("/v1/whoami").headers["x-request-id"]
    me = admin.ok("GET", "/v1/whoami")["id"]
    flags = {("--actor", "admin"): "actor=" + me, ("--agent", agent.id): "agent=" + agent.id,
             ("--actor", "admin", "--include-agents"): "actor=%s&include_agents=1" % me,
             ("--key", alias): "key=" + alias, ("--operation", "key.read"): "operation=key.read",
             ("--outcome", "denied"): "outcome=denied", ("--type", "lifecycle"): "event_type=lifecycle",
             ("--code", "PermissionDenied"): "code=PermissionDenied", ("--model", "m-7"): "model=m-7",
             ("--request", request): "request_id=" + request, ("--root", "admin"): "root=" + me}
    until = ["--until", "2099-01-01T00:00:00Z"]
    for words, query in flags.items():
        def both():
            printed = [json.loads(n)["event_id"] for n in
                       fleet.run("audit", *words, *until, "--json", check=0).stdout.splitlines()]
            answered = [e["event_id"] for e in fleet.events(admin, query)]
            # Both readings are recorded themselves: what the second has more is the first.
            return printed, [e for e in answered if e in printed or "--actor" not in words and "--root" not in words]
        printed, answered = both()
        assert printed == answered, words
        assert printed or words[0] == "--type", words
    everything = len(fleet.run("audit", "--json", check=0).stdout.splitlines())
    assert 0 < len(fleet.run("audit", "--agent", agent.id, "--json", check=0).stdout.splitlines()) < everything
    assert not fleet.run("audit", "--since", "2099-01-01T00:00:00Z", "--json", check=0).stdout
    risky = fleet.run("audit", "--agent", agent.id, "--include-risk", check=0).stdout
    assert len(risky) > len(fleet.run("audit", "--agent", agent.id, check=0).stdout), "with what the score is made of"


def test_audit_tail_follows(fleet, admin, tmp_path, unique):
    alias = unique("key")
    env = dict(os.environ, AEGIS_STATE=fleet.state, XDG_CONFIG_HOME=fleet.state + ".home")
    heard_file = tmp_path / "tail"
    with open(heard_file, "w") as out:
        tail = subprocess.Popen([AEGIS, "audit", "tail", "--key", alias, "--json"], stdout=out, env=env)
    try:
        fleet.key(admin, alias)
        # The stream may open after the first event: go on until it speaks.
        def heard():
            admin.get("/v1/keys/" + alias)
            return heard_file.read_text()
        line = wait_for(heard, 10, 0.1, "the tail").splitlines()[0]
        assert json.loads(line)["resource"]["alias"] == alias
    finally:
        tail.terminate()
        tail.wait(10)


def test_rules_and_recommendations(fleet):
    out = fleet.run("responder", "rules", check=0).stdout
    assert "scope_violation" in out and "revoke_agent" in out
    fleet.run("recommendation", "list", check=0)
    fleet.run("recommendation", "show", "rec_" + "0" * 32, check=4)


def test_config_check_names_the_line(fleet, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("rest:\n  listen: 127.0.0.1:0\n")
    bad.write_text("environment: dev\nrest:\n  listne: 127.0.0.1:0\n")
    fleet.run("config", "check", str(good), check=0)
    done = fleet.run("config", "check", str(bad), check=2)
    assert "%s:3: " % bad in done.stderr and "listne" in done.stderr
    assert "rest.listen" in fleet.run("config", "show", check=0).stdout


def test_key_import_public(fleet, tmp_path, unique):
    key, pem, sig, data = (tmp_path / n for n in ("k", "p", "s", "d"))
    data.write_text("message")
    for words in (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key],
                  ["pkey", "-in", key, "-pubout", "-out", pem],
                  ["dgst", "-sha256", "-sign", key, "-out", sig, data]):
        subprocess.run(["openssl"] + [str(w) for w in words], check=True, capture_output=True)
    alias = unique("imported")
    made = json.loads(fleet.run("key", "import", alias, "--spec", "EC_P256", "--public-key", str(pem), "--json",
                                check=0).stdout)
    if made["state"] == "PreActive":
        fleet.run("key", "activate", alias, check=0)
    fleet.run("key", "verify", alias, "--signature", str(sig), "--in", str(data), check=0)
    fleet.run("key", "sign", alias, stdin="x", check=6)


def test_tenant(fleet, tmp_path, unique):
    name, token = unique("tenant"), tmp_path / "t"
    fleet.run("tenant", "create", name, "--admin", "boss", "--out", str(token), check=0)
    me = json.loads(fleet.run("whoami", "--json", token=str(token), check=0).stdout)
    assert (me["tenant"], me["name"]) == (name, "boss")
    assert name in fleet.run("tenant", "list", check=0).stdout


def test_roles(fleet, unique):
    who = unique("p")
    fleet.run("principal", "create", who, "--kind", "service", check=0)
    fleet.run("principal", "grant", who, "key-user", check=0)
    shown = json.loads(fleet.run("principal", "show", who, "--json", check=0).stdout)
    assert [r["name"] for r in shown["roles"]] == ["key-user"]
    fleet.run("principal", "ungrant", who, "key-user", check=0)
    assert "admin" in fleet.run("role", "list", check=0).stdout
    assert "*:*:*" in fleet.run("role", "show", "admin", check=0).stdout
    fleet.run("principal", "suspend", who, "--reason", "r", check=0)
    fleet.run("principal", "resume", who, "--reason", "r", check=0)
    fleet.run("principal", "delete", who, "--reason", "r", check=0)


def test_docs_are_printed(fleet):
    for part in ("rest", "errors", "messages", "routes", "config", "fleet", "events", "cli", "man"):
        assert len(fleet.run("doc", part, check=0).stdout) > 200
    subprocess.run(["bash", "-n"], input=fleet.run("completion", "bash").stdout, text=True, check=True)


def test_control_characters_do_not_reach_the_terminal(fleet, unique):
    alias = unique("key")
    fleet.run("key", "create", alias, "--spec", "EC_P256", "--label", "a=\u009b31mred", check=None)
    out = fleet.run("key", "show", alias).stdout
    assert "\x1b" not in out and "\u009b" not in out
