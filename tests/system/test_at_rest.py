# SPDX-License-Identifier: Apache-2.0
"""What lies on disks and in the database is no secret: every store of a fleet that has been used is searched for what
was secret in it, in each form that one would find it in (D11)."""
import base64
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import CONFIG, b64, unb64
from servers import Postgres
from test_import import Importer
from test_stepup import enrol

PASSWORD = "a password of the database"
# Made to hold a secret, for their owner alone; everything else must not.
SECRET_FILES = {"admin.token", "rot/master.key"}


@pytest.fixture
def postgres():
    made = Postgres(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


def forms(secret):
    """As it is, in hexadecimal (a dump's bytea), in base32, and as base64 or base64url has it wherever it begins."""
    found = {secret, secret.hex().encode(), base64.b32encode(secret).rstrip(b"=")}
    for skip in range(3):
        text = base64.b64encode(b"\0" * skip + secret)[(skip * 4 + 2) // 3:-4]
        found |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def holds(data, secrets):
    """Names of the secrets that are in it; in a dump each text is there once more, in hexadecimal."""
    return [name for name, secret in secrets.items() if any(f in data or f.hex().encode() in data for f in forms(secret))]


def files(folder):
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            if os.path.isfile(file):
                yield os.path.relpath(file, folder), open(file, "rb").read()


def used(fleet):
    """A fleet with some of everything secret; what that was, by name."""
    admin = fleet.admin()
    aes, elliptic = os.urandom(32), ec.generate_private_key(ec.SECP256R1())
    scalar = elliptic.private_numbers().private_value.to_bytes(32, "big")
    Importer(admin).ok("AES_256", aes, alias="imported")
    der = elliptic.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Importer(admin).ok("EC_P256", der, alias="imported-ec")
    sealed = admin.ok("POST", "/v1/keys/imported/encrypt", {"plaintext_b64": b64(b"the thirteenth salary")})
    opened = admin.ok("POST", "/v1/keys/imported/decrypt", {"ciphertext_b64": sealed["ciphertext_b64"]})
    assert unb64(opened["plaintext_b64"]) == b"the thirteenth salary"
    data_key = unb64(admin.ok("POST", "/v1/keys/imported/generate-data-key", {"data_key_spec": "AES_256"})["plaintext_b64"])
    agent = fleet.agent(admin, ["key:imported:encrypt"])
    alice = fleet.person("alice")
    device = enrol(fleet, alice, "alice")
    return {"imported AES key": aes, "imported EC key": scalar, "plaintext": b"the thirteenth salary",
            "data key": data_key, "agent's token": agent.token.split(".")[2].encode(),
            "person's token": alice.token.split(".")[2].encode(), "admin's token": admin.token.split(".")[2].encode(),
            "second factor": device.key, "database's password": PASSWORD.encode(),
            "master key": open(os.path.join(fleet.state, "rot", "master.key"), "rb").read()[:32]}


def test_no_store_holds_a_secret(fresh_fleet, postgres, tmp_path):
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    fleet = fresh_fleet(dict(CONFIG, journal={"kind": "postgres", "postgres": {
        "url": postgres.url, "password_file": str(secret)}}))
    secrets = used(fleet)
    fleet.stop()
    dump = subprocess.run([postgres.bin + "/pg_dump", "-d", postgres.url], capture_output=True, check=True,
                          env=dict(os.environ, PGPASSWORD=PASSWORD)).stdout
    # What is searched is there: the dump has the keys' facts, in hexadecimal.
    assert b"aegis_journal.event" in dump and b"imported-ec".hex().encode() in dump
    assert holds(dump, secrets) == []
    seen = set()
    for name, data in files(fleet.state):
        seen.add(name.split("/")[0])
        if name not in SECRET_FILES:
            assert holds(data, secrets) == [], name
    assert {"journal", "snapshots", "audit", "rot"} <= seen
    # And the search finds: these two hold what they are for.
    kept = dict(files(fleet.state))
    assert holds(kept["rot/master.key"], secrets) == ["master key"]
    assert holds(kept["admin.token"], secrets) == ["admin's token"]
    assert holds(b"x" + base64.b64encode(b"y" + secrets["data key"]) + b"z", secrets) == ["data key"]
    for name in SECRET_FILES:
        assert os.stat(os.path.join(fleet.state, name)).st_mode & 0o077 == 0
