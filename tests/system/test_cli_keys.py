# SPDX-License-Identifier: Apache-2.0
"""The key verbs that move other keys: wrap, unwrap, mac, random, import; and
the rotation policy. K11 K14 K18 K20."""
import json
import os
import stat
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from conftest import b64, unb64


def test_wrap_and_unwrap(fleet, tmp_path, unique):
    alias = unique("kek")
    fleet.run("key", "create", alias, "--spec", "AES_256", "--activate", check=0)
    dek, wrapped, back = tmp_path / "dek", tmp_path / "wrapped", tmp_path / "back"
    dek.write_bytes(os.urandom(32))
    fleet.run("key", "wrap", alias, "--in", str(dek), "--out", str(wrapped), check=0)
    fleet.run("key", "unwrap", alias, "--in", str(wrapped), "--out", str(back), check=0)
    assert back.read_bytes() == dek.read_bytes() and dek.read_bytes() not in wrapped.read_bytes()
    assert stat.S_IMODE(back.stat().st_mode) == 0o600
    for algorithm in ("AES_KW", "AES_KWP", "AES_GCM"):
        fleet.run("key", "wrap", alias, "--in", str(dek), "--out", str(wrapped), "--algorithm", algorithm, "--raw", check=0)
        fleet.run("key", "unwrap", alias, "--in", str(wrapped), "--out", str(back), "--algorithm", algorithm, "--raw",
                  check=0)
        assert back.read_bytes() == dek.read_bytes()
    wrapped.write_bytes(b"\0" * 40)
    assert "CryptographicFailure" in fleet.run("key", "unwrap", alias, "--in", str(wrapped), check=2).stderr
    fleet.run("key", "wrap", alias, "--in", str(dek), "--algorithm", "AES_CBC", check=2)


def test_mac(fleet, tmp_path, unique):
    alias = unique("mac")
    fleet.run("key", "create", alias, "--spec", "HMAC_SHA256", "--activate", check=0)
    data, mac = tmp_path / "data", tmp_path / "mac"
    data.write_bytes(b"invoice 17")
    fleet.run("key", "mac", alias, "--in", str(data), "--out", str(mac), check=0)
    assert len(mac.read_bytes()) == 32
    verify = ("key", "mac-verify", alias, "--in", str(data), "--mac", str(mac))
    assert fleet.run(*verify, check=0).stdout == "valid\n"
    data.write_bytes(b"invoice 18")
    assert fleet.run(*verify, check=1).stdout == "invalid\n"
    fleet.run("key", "mac", alias, "--in", str(data), "--out", str(mac), "--length", "16", check=0)
    assert len(mac.read_bytes()) == 16
    assert fleet.run(*verify, check=1).stdout == "invalid\n"
    assert fleet.run(*verify, "--length", "16", check=0).stdout == "valid\n"


def test_random(fleet, tmp_path):
    out = tmp_path / "random"
    fleet.run("random", "48", "--out", str(out), check=0)
    assert len(out.read_bytes()) == 48 and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(unb64(fleet.run("random", "4096", "--base64", check=0).stdout.strip())) == 4096
    fleet.run("random", "4097", check=2)
    fleet.run("random", check=2)


def key_import(fleet, *words, check):
    """Exit 7 says try again: on a loaded machine the import's RSA-4096 key may outlast the request."""
    end = time.monotonic() + 50
    while True:
        done = fleet.run("key", "import", *words, "--timeout", "20s")
        if done.returncode != 7 or time.monotonic() > end:
            assert done.returncode == check, (words, done.returncode, done.stdout, done.stderr)
            return done


def test_import(fleet, admin, tmp_path, unique):
    """Raw bytes, PKCS#8 in DER and in PEM: wrapped here, and the same key there."""
    raw, der, pem = tmp_path / "raw", tmp_path / "der", tmp_path / "pem"
    raw.write_bytes(os.urandom(32))
    alias = unique("byok")
    key_import(fleet, alias, "--spec", "AES_256", "--in", str(raw), "--label", "from=elsewhere", check=0)
    fleet.run("key", "activate", alias, check=0)
    sealed = admin.ok("POST", "/v1/keys/%s/encrypt" % alias, {"plaintext_b64": b64(b"m"), "format": "raw"})
    assert AESGCM(raw.read_bytes()).decrypt(unb64(sealed["iv_b64"]), unb64(sealed["ciphertext_b64"]) +
                                            unb64(sealed["tag_b64"]), None) == b"m"
    wrapped = tmp_path / "wrapped"
    fleet.run("key", "wrap", alias, "--in", str(raw), "--out", str(wrapped), "--raw", check=0)
    assert aes_key_unwrap_with_padding(raw.read_bytes(), wrapped.read_bytes()) == raw.read_bytes()
    key = rsa.generate_private_key(65537, 2048)
    for path, encoding in ((der, serialization.Encoding.DER), (pem, serialization.Encoding.PEM)):
        path.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        made = json.loads(key_import(fleet, "--spec", "RSA_2048", "--in", str(path), "--json", check=0).stdout)
        assert made["versions"][0]["origin"] == "imported"
        public = admin.ok("GET", "/v1/keys/%s/public-key" % made["id"])["public_key_pem"]
        assert serialization.load_pem_public_key(public.encode()).public_numbers() == key.public_key().public_numbers()


def test_import_refuses(fleet, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    old, public, short = tmp_path / "old", tmp_path / "public", tmp_path / "short"
    old.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                      serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM,
                                                     serialization.PublicFormat.SubjectPublicKeyInfo))
    short.write_bytes(b"0123456789abcdef")
    done = key_import(fleet, "--spec", "EC_P256", "--in", str(old), check=2)
    assert "PKCS#8" in done.stderr  # said here: nothing was sent
    done = key_import(fleet, "--spec", "AES_256", "--in", str(short), check=2)
    assert "InvalidField/out_of_range" in done.stderr and "16 bytes" in done.stderr
    key_import(fleet, "--spec", "EC_P256", check=2)
    key_import(fleet, "--spec", "EC_P256", "--in", str(short), "--public-key", str(public), check=2)
    made = key_import(fleet, "--spec", "EC_P256", "--public-key", str(public), check=0)
    assert "EC_P256" in made.stdout


def test_rotation_policy(fleet, unique):
    alias = unique("turns")
    fleet.run("key", "create", alias, "--spec", "ED25519", "--rotate-every", "90d", "--rotate-after", "1000000",
              "--activate", check=0)
    shown = json.loads(fleet.run("key", "show", alias, "--json", check=0).stdout)
    assert shown["rotation"]["every_s"] == 90 * 86400 and shown["rotation"]["after_operations"] == 1000000
    assert shown["rotation"]["next_at"] is not None
