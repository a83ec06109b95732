# SPDX-License-Identifier: Apache-2.0
"""Signed policies: what is not signed by who may is not put in force, and what is stays signed."""
import json
import os
import shutil
import subprocess

import pytest

ALL = "permit (principal, action, resource);\n"
STOP = "@id(\"stop\") forbid (principal, action == Aegis::Action::\"key.create\", resource);\n"
WHY = {"reason": "because"}


def pair(folder, name):
    """A signer's key and its public half, made as the manual says."""
    key, public = str(folder / (name + ".pem")), str(folder / (name + ".pub"))
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    os.chmod(key, 0o600)
    return key, public


@pytest.fixture
def signed(fresh_fleet, tmp_path):
    fleet = fresh_fleet(start=False)
    fleet.key_file, fleet.public = pair(tmp_path, "alice")
    fleet.dir = tmp_path / "policies"
    fleet.dir.mkdir()
    fleet.configure({"policies": {"enforce": True, "signers": [{"name": "alice", "public_key_file": fleet.public}]}})
    fleet.start()
    return fleet


def write(fleet, name, text, sign=True, **kw):
    (fleet.dir / (name + ".cedar")).write_text(text)
    if sign:
        fleet.run("policy", "sign", str(fleet.dir / (name + ".cedar")), "--key", fleet.key_file, check=0, **kw)
        return (fleet.dir / (name + ".cedar.sig")).read_text()
    return None


def put(who, name, text, signature=None):
    return who.request("PUT", "/v1/policies/" + name, {"text": text, "signature": signature} if signature
                       else {"text": text})


def refused(got, reason):
    assert (got.status, got.code, got.reason, got.json["rule"], got.json["field"]) == (
        403, "PermissionDenied", reason, "policies.signers", "/signature"), got


def test_signed_policies(signed, fresh_fleet, tmp_path):
    fleet, admin = signed, signed.admin()
    refused(put(admin, "base", ALL), "signature_missing")
    signature = write(fleet, "base", ALL)
    refused(put(admin, "base", ALL + " ", signature), "signature_altered")
    refused(put(admin, "other", ALL, signature), "signature_name")
    pushed = fleet.run("policy", "push", str(fleet.dir), "--yes", check=0).stdout
    assert "base version 1 is in force" in pushed
    body = admin.ok("GET", "/v1/policies/base")
    assert body["signature"] == signature and body["signed_version"] == 1 and len(body["signer"]) == 64
    # Who signed is in the log, for what was refused as for what was put.
    events = {e["outcome"]: e for e in fleet.events(admin, "operation=policy.update")}
    assert events["allowed"]["params"]["signer"] == "alice"
    assert events["denied"]["reason_code"] == "signature_name" and events["denied"]["rule"] == "policies.signers"
    # A newer one needs a new signature; the older one never comes back.
    newer = write(fleet, "base", ALL + STOP)
    assert newer != signature
    assert put(admin, "base", ALL + STOP, newer).status == 200
    refused(put(admin, "base", ALL, signature), "signature_older")
    got = admin.post("/v1/policies/base/rollback", dict(WHY, version=1))
    refused(got, "signature_missing")
    assert "--version 3" in got.json["hint"]
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).json["rule"] == "base/stop"
    # A deletion is signed, too: a forbid does not just vanish.
    refused(admin.request("DELETE", "/v1/policies/base?reason=over"), "signature_missing")
    # Over a restart, and out of a backup, it is signed as before.
    backup, escrow = str(tmp_path / "b.aegis"), str(tmp_path / "escrow.key")
    shutil.copy(os.path.join(fleet.state, "rot", "master.key"), escrow)
    os.chmod(escrow, 0o600)
    fleet.run("backup", "create", "--out", backup, check=0)
    token = fleet.token()
    fleet.stop()
    new = fresh_fleet(start=False)
    shutil.rmtree(new.state)
    new.run("backup", "restore", backup, "--master-key", escrow, check=0)
    new.configure({"policies": {"enforce": True, "signers": [{"name": "alice", "public_key_file": fleet.public}]}})
    new.start()
    admin = new.client(token)
    assert admin.ok("GET", "/v1/policies/base")["signature"] == newer
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).json["rule"] == "base/stop"
    refused(put(admin, "base", ALL, signature), "signature_older")
    fleet.run("policy", "sign", str(fleet.dir / "base.cedar"), "--gone", "--key", fleet.key_file, check=0)
    gone = (fleet.dir / "base.cedar.sig").read_text()
    assert admin.ok("DELETE", "/v1/policies/base?reason=over&signature=" + gone)["state"] == "deleted"
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).json["rule"] == "default-deny"


def test_the_command(fleet, tmp_path):
    """sign and verify need no server; what verify says of a file is what the server says of it."""
    key, public = pair(tmp_path, "alice")
    _, other = pair(tmp_path, "bob")
    folder = tmp_path / "policies"
    folder.mkdir()
    base, sig = folder / "base.cedar", folder / "base.cedar.sig"
    base.write_text(ALL)
    verify = lambda *more: fleet.run("policy", "verify", str(folder), "--public-key", public, *more)
    sign = lambda *more, **kw: fleet.run("policy", "sign", str(folder), "--key", key, *more, **kw)
    unsigned = verify()
    assert unsigned.returncode == 1 and "base.cedar: signature_missing:" in unsigned.stdout
    assert "signed as version 1" in sign(check=0).stdout
    assert "version 1, good until" in verify().stdout
    first = sig.read_text()
    assert "version 1 stands" in sign(check=0).stdout and sig.read_text() == first
    base.write_text(ALL + STOP)
    assert json.loads(verify("--json").stdout)["reason_code"] == "signature_altered"
    assert "signed as version 2" in sign("--expires", "1h", check=0).stdout
    assert verify("--tenant", "acme").stdout.split(": ")[1] == "signature_tenant"
    assert fleet.run("policy", "verify", str(folder), "--public-key", other).returncode == 1
    assert sign("--version", "9", "--tenant", "acme", check=0)
    assert verify("--tenant", "acme").returncode == 0
    # Nothing is signed that is not valid, nor with a key that others can read.
    base.write_text("permit (principal);")
    before = sig.read_text()
    assert sign().returncode == 2 and sig.read_text() == before
    base.write_text(ALL)
    os.chmod(key, 0o644)
    assert sign().returncode == 2
    os.chmod(key, 0o600)
    for words in (["--expires", "0s"], ["--expires", "2001-01-01T00:00:00Z"], ["--version", "0"], ["--tenant", "A B"]):
        assert sign(*words).returncode == 2, words
    assert fleet.run("policy", "sign", str(base), "--key", public).returncode == 2


def test_configuration(fleet, tmp_path):
    """What is wrong with a signer is said before anything starts, or at the start."""
    config = tmp_path / "c.yaml"
    for text, said in (("signers: [{name: alice}]", "public_key_file"),
                       ("signers: [{name: alice, public_key_file: x, until: tomorrow}]", "2027-01-31T00:00:00Z"),
                       ("enforce: maybe", "true or false")):
        config.write_text("policies: {%s}\n" % text)
        got = fleet.run("config", "check", str(config))
        assert got.returncode == 2 and said in got.stderr, got
