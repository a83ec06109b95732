# SPDX-License-Identifier: Apache-2.0
"""Keys made elsewhere: wrapped under a key of the root of trust's for one
import, opened there, and from then on like every other key. K18."""
import os

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from conftest import CONFIG, Fleet, b64, unb64, wait_for

OAEP = "RSAES_OAEP_SHA_256"
KEY_WRAP = "RSA_AES_KEY_WRAP_SHA_256"


@pytest.fixture(scope="module")
def fleet():
    f = Fleet(config=dict(CONFIG, keys={"destroy_min_window_s": 0}))
    try:
        f.start()
        yield f
    finally:
        f.leave()


def refused(got, code, reason, field=None):
    assert (got.status, got.code, got.reason) == (400, code, reason), got
    assert field is None or got.json["field"] == field, got


class Importer:
    """One import's parameters, and what an owner does with them."""

    def __init__(self, who, algorithm=OAEP):
        made = who.patient("POST", "/v1/keys/import-parameters", {"wrapping_algorithm": algorithm})
        self.who, self.algorithm, self.id = who, algorithm, made["import_id"]
        self.expires_at = made["expires_at"]
        self.public = serialization.load_pem_public_key(made["public_key_pem"].encode())
        assert self.public.key_size == 4096

    def oaep(self, data):
        return self.public.encrypt(data, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))

    def wrap(self, material):
        if self.algorithm == OAEP:
            return self.oaep(material)
        kek = os.urandom(32)
        return self.oaep(kek) + aes_key_wrap_with_padding(kek, material)

    def post(self, spec, wrapped, **more):
        return self.who.post("/v1/keys/import", dict(
            {"key_spec": spec, "import_id": self.id, "wrapping_algorithm": self.algorithm,
             "wrapped_key_b64": b64(wrapped)}, **more))

    def ok(self, spec, material, **more):
        got = self.post(spec, self.wrap(material), **more)
        assert got.status == 201, got
        key = got.json
        assert key["versions"][0]["origin"] == "imported" and key["state"] == "PreActive"
        self.who.ok("POST", "/v1/keys/%s/activate" % key["id"])
        return key["id"]


def pkcs8(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def test_an_aes_key_is_that_key(fleet, admin, unique):
    """Encrypted here, opened elsewhere with the original; restart, rotation and destruction are as for all."""
    material, alias = os.urandom(32), unique("byok")
    importer = Importer(admin)
    key = importer.ok("AES_256", material, alias=alias, labels={"from": "elsewhere"})
    sealed = admin.ok("POST", "/v1/keys/%s/encrypt" % key,
                      {"plaintext_b64": b64(b"invoice 17"), "format": "raw", "aad_b64": b64(b"bound")})
    assert AESGCM(material).decrypt(unb64(sealed["iv_b64"]), unb64(sealed["ciphertext_b64"]) +
                                    unb64(sealed["tag_b64"]), b"bound") == b"invoice 17"
    # One import, one key.
    refused(importer.post("AES_256", importer.wrap(material)), "InvalidField", "unknown_value", "/import_id")
    old = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"old")})["ciphertext_b64"]
    rotated = admin.ok("POST", "/v1/keys/%s/rotate" % key)
    assert [v["origin"] for v in rotated["versions"]] == ["imported", "generated"]
    fleet.stop()
    fleet.start()
    admin = fleet.admin()
    opened = admin.patient("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": old})
    assert unb64(opened["plaintext_b64"]) == b"old"
    admin.ok("POST", "/v1/keys/%s/destroy" % key, {"reason": "end", "pending_window_s": 0, "version": 1})
    wait_for(lambda: admin.ok("GET", "/v1/keys/" + key)["versions"][0]["state"] == "Destroyed", what="its end")
    got = admin.post("/v1/keys/%s/decrypt" % key, {"ciphertext_b64": old})
    assert (got.status, got.reason) == (409, "destroyed")
    admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"new")})
    # The material is in no file of the fleet.
    for folder, _, names in os.walk(fleet.state):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as source:
                    assert material not in source.read(), path


def test_private_keys(fleet, admin):
    """Each shape of private key; every wrong one first, none of which uses the import up."""
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    importer = Importer(admin)
    refused(importer.post("EC_P256", importer.wrap(pkcs8(p384))), "InvalidField", "wrong_type", "/wrapped_key_b64")
    refused(importer.post("EC_P256", pkcs8(p256)), "InvalidField", "out_of_range", "/wrapped_key_b64")
    refused(importer.post("EC_P256", os.urandom(512)), "CryptographicFailure", None)
    key = importer.ok("EC_P256", pkcs8(p256))
    signature = unb64(admin.ok("POST", "/v1/keys/%s/sign" % key, {"message_b64": b64(b"m")})["signature_b64"])
    p256.public_key().verify(signature, b"m", ec.ECDSA(hashes.SHA256()))
    public = admin.ok("GET", "/v1/keys/%s/public-key" % key)["public_key_pem"]
    assert serialization.load_pem_public_key(public.encode()).public_numbers() == p256.public_key().public_numbers()
    assert admin.patient("POST", "/v1/keys/%s/rotate" % key)["version"] == 2


def test_rsa_keys_take_two_layers(fleet, admin):
    big, weak = rsa.generate_private_key(65537, 3072), rsa.generate_private_key(3, 2048)
    ed = ed25519.Ed25519PrivateKey.generate()
    importer = Importer(admin, KEY_WRAP)
    refused(importer.post("RSA_2048", importer.wrap(pkcs8(weak))), "InvalidField", "out_of_range", "/wrapped_key_b64")
    refused(importer.post("RSA_2048", importer.wrap(pkcs8(big))), "InvalidField", "wrong_type", "/wrapped_key_b64")
    refused(importer.post("RSA_3072", importer.wrap(pkcs8(ed))), "InvalidField", "wrong_type", "/wrapped_key_b64")
    key = importer.ok("RSA_3072", pkcs8(big), usage=["encrypt", "decrypt"])
    sealed = big.public_key().encrypt(b"m", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    opened = admin.ok("POST", "/v1/keys/%s/decrypt" % key, {"format": "raw", "ciphertext_b64": b64(sealed)})
    assert unb64(opened["plaintext_b64"]) == b"m"


def test_hmac_lengths(fleet, admin):
    """16 to 128 bytes are taken; RFC 4231 test case 1 has 20."""
    importer = Importer(admin)
    for size in (15, 129):
        refused(importer.post("HMAC_SHA256", importer.wrap(os.urandom(size))), "InvalidField", "out_of_range",
                "/wrapped_key_b64")
    key = importer.ok("HMAC_SHA256", b"\x0b" * 20)
    made = admin.ok("POST", "/v1/keys/%s/mac" % key, {"message_b64": b64(b"Hi There")})
    assert unb64(made["mac_b64"]).hex() == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"


def test_what_else_is_refused(fleet, admin):
    public = ec.generate_private_key(ec.SECP256R1())
    private_pem = public.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()).decode()
    # Unwrapped private material, whatever member it is put into.
    refused(admin.post("/v1/keys/import", {"key_spec": "EC_P256", "public_key_pem": private_pem}),
            "InvalidField", "wrong_type", "/public_key_pem")
    refused(admin.post("/v1/keys/import", {"key_spec": "AES_256", "wrapped_key_b64": b64(bytes(32))}),
            "InvalidField", "missing", "/import_id")
    refused(admin.post("/v1/keys/import", {"key_spec": "AES_256", "key_b64": b64(bytes(32))}),
            "InvalidField", "unknown_field")
    refused(admin.post("/v1/keys/import", {"key_spec": "AES_256"}), "InvalidField", "missing")
    refused(admin.post("/v1/keys/import-parameters", {"wrapping_algorithm": "RSAES_PKCS1"}),
            "InvalidField", "unknown_value", "/wrapping_algorithm")
    agent = fleet.agent(admin, ["key:%s:sign" % fleet.key(admin)["id"]])
    got = agent.post("/v1/keys/import-parameters", {"wrapping_algorithm": OAEP})
    assert (got.status, got.code) == (403, "PermissionDenied")


def test_an_import_is_over_after_an_hour(fleet, admin):
    importer = Importer(admin)
    fleet.move_clock(3601)
    wait_for(lambda: admin.get("/v1/keys").status in (200, 401), what="an answer")
    admin = importer.who = fleet.admin()

    def over():
        got = importer.post("AES_256", importer.wrap(os.urandom(31)))
        return got if got.reason == "unknown_value" else None
    refused(wait_for(over, 5, 0.2, "the clock to be seen"), "InvalidField", "unknown_value", "/import_id")
    fleet.move_clock(-3601)
