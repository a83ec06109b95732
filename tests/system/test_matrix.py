# SPDX-License-Identifier: Apache-2.0
"""Every key_spec in every state with every operation and every algorithm: what
contract §4 allows is done, all the rest is refused, and with which words."""
import os

import pytest

from conftest import CONFIG, Fleet, b64, unb64, wait_for

RSA_SIGN = ["RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512", "RSASSA_PKCS1_V1_5_SHA_256",
            "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"]
OAEP = ["RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_384", "RSAES_OAEP_SHA_512"]
SIGNING = ["sign", "verify"]
CRYPTING = ["encrypt", "decrypt", "wrap", "unwrap"]


def ecdsa(first):
    return [first] + [a for a in ("ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512") if a != first]


# key_spec, usage (default group unless given), algorithms of sign, of encrypt, of wrap, of mac: default first
KINDS = [
    ("RSA_2048", None, RSA_SIGN, [], [], []),
    ("RSA_2048", CRYPTING, [], OAEP, OAEP, []),
    ("RSA_3072", None, RSA_SIGN, [], [], []),
    ("RSA_3072", CRYPTING, [], OAEP, OAEP, []),
    ("RSA_4096", None, RSA_SIGN, [], [], []),
    ("RSA_4096", CRYPTING, [], OAEP, OAEP, []),
    ("EC_P256", None, ecdsa("ECDSA_SHA_256"), [], [], []),
    ("EC_P384", None, ecdsa("ECDSA_SHA_384"), [], [], []),
    ("EC_P521", None, ecdsa("ECDSA_SHA_512"), [], [], []),
    ("EC_SECP256K1", None, ecdsa("ECDSA_SHA_256"), [], [], []),
    ("ED25519", None, ["ED25519"], [], [], []),
    ("ED448", None, ["ED448"], [], [], []),
    ("AES_128", None, [], ["AES_GCM"], ["AES_KWP", "AES_KW", "AES_GCM"], []),
    ("AES_192", None, [], ["AES_GCM"], ["AES_KWP", "AES_KW", "AES_GCM"], []),
    ("AES_256", None, [], ["AES_GCM"], ["AES_KWP", "AES_KW", "AES_GCM"], []),
    ("CHACHA20_POLY1305", None, [], ["CHACHA20_POLY1305"], [], []),
    ("HMAC_SHA256", None, [], [], [], ["HMAC_SHA_256"]),
    ("HMAC_SHA384", None, [], [], [], ["HMAC_SHA_384"]),
    ("HMAC_SHA512", None, [], [], [], ["HMAC_SHA_512"]),
]
IDS = [k[0] + ("-crypting" if k[1] else "") for k in KINDS]
ALL = RSA_SIGN + OAEP + ecdsa("ECDSA_SHA_256") + ["ED25519", "ED448", "AES_GCM", "AES_KWP", "AES_KW",
                                                   "CHACHA20_POLY1305", "HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512"]
PROTECT = ["sign", "encrypt", "wrap", "generate-data-key", "mac"]
PROCESS = ["verify", "decrypt", "unwrap", "mac-verify"]
MAY = {"Active": PROTECT + PROCESS, "Deactivated": PROCESS}
REFUSALS = {"PreActive": ("InvalidKeyState", "pre_active"), "Deactivated": ("InvalidKeyState", "deactivated"),
            "frozen": ("InvalidKeyState", "frozen"), "pending": ("InvalidKeyState", "pending_destruction"),
            "Compromised": ("KeyCompromised", None), "Destroyed": ("InvalidKeyState", "destroyed"),
            "DestroyedCompromised": ("InvalidKeyState", "destroyed")}
MESSAGE = b64(b"invoice 17")
KEY = b64(bytes(range(16)))


@pytest.fixture(scope="module")
def fleet():
    f = Fleet(config=dict(CONFIG, keys={"destroy_min_window_s": 0}))
    try:
        f.start()
        yield f
    finally:
        f.leave()


def new_key(admin, kind, activate):
    more = {"usage": kind[1]} if kind[1] else {}
    return admin.patient("POST", "/v1/keys", dict(key_spec=kind[0], activate=activate, **more))["id"]


def uses_of(kind):
    """The operations of the key's default or given usage."""
    _, usage, sign, crypt, wrap, mac = kind
    if usage:
        return usage
    return (SIGNING if sign else []) + (CRYPTING[:2] if crypt else []) + (CRYPTING[2:] if wrap else []) + \
        (["generate-data-key"] if crypt else []) + (["mac", "mac-verify"] if mac else [])


def first_bodies(kind):
    """What each operation is asked before the key has made anything: well-formed, of this key_spec."""
    aead = not kind[0].startswith("RSA")
    size = {"RSA_2048": 256, "RSA_3072": 384, "RSA_4096": 512}.get(kind[0], 24)
    decrypt = {"format": "raw", "ciphertext_b64": b64(bytes(size))}
    if aead:
        decrypt.update(iv_b64=b64(bytes(12)), tag_b64=b64(bytes(16)))
    return {
        "sign": {"message_b64": MESSAGE},
        "verify": {"message_b64": MESSAGE, "signature_b64": b64(bytes(64))},
        "encrypt": {"plaintext_b64": MESSAGE, "format": "raw"},
        "decrypt": decrypt,
        "wrap": {"key_b64": KEY, "format": "raw"},
        "unwrap": {"wrapped_key_b64": b64(bytes(size)), "format": "raw"},
        "generate-data-key": {"data_key_spec": "AES_256"},
        "mac": {"message_b64": MESSAGE},
        "mac-verify": {"message_b64": MESSAGE, "mac_b64": b64(bytes(32))},
    }


def made_bodies(who, key, kind):
    """The same with what the active key has made, so that the other half succeeds."""
    bodies, uses = first_bodies(kind), uses_of(kind)

    def ask(op):
        return who.ok("POST", "/v1/keys/%s/%s" % (key, op), bodies[op])
    if "sign" in uses:
        bodies["verify"]["signature_b64"] = ask("sign")["signature_b64"]
    if "encrypt" in uses:
        made = ask("encrypt")
        bodies["decrypt"] = {"format": "raw", "ciphertext_b64": made["ciphertext_b64"]}
        bodies["decrypt"].update({m: made[m] for m in ("iv_b64", "tag_b64") if m in made})
    if "wrap" in uses:
        bodies["unwrap"]["wrapped_key_b64"] = ask("wrap")["wrapped_key_b64"]
    if "mac" in uses:
        bodies["mac-verify"]["mac_b64"] = ask("mac")["mac_b64"]
    return bodies


def play(who, key, kind, state, bodies):
    """Every operation in this state."""
    uses = uses_of(kind)
    for op in PROTECT + PROCESS:
        got = who.post("/v1/keys/%s/%s" % (key, op), bodies[op])
        cell = (kind[0], state, op, got)
        if op not in uses:
            assert (got.status, got.code, got.reason) == (409, "IllegalOperation", "usage"), cell
        elif op in MAY.get(state, []):
            assert got.status == 200, cell
            assert got.json.get("valid", True) is True, cell
        else:
            assert (got.status, got.code, got.reason) == (409,) + REFUSALS[state], cell


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_every_operation_in_every_state(fleet, admin, kind):
    key = new_key(admin, kind, False)
    path = "/v1/keys/%s/" % key

    def step(op, **body):
        return admin.ok("POST", path + op, dict(body, reason="a test") if op not in ("activate", "cancel-destroy")
                        else None)
    play(admin, key, kind, "PreActive", first_bodies(kind))
    step("activate")
    bodies = made_bodies(admin, key, kind)
    play(admin, key, kind, "Active", bodies)
    step("freeze")
    play(admin, key, kind, "frozen", bodies)
    step("unfreeze")
    step("deactivate")
    play(admin, key, kind, "Deactivated", bodies)
    step("destroy", pending_window_s=3600)
    play(admin, key, kind, "pending", bodies)
    step("cancel-destroy")
    play(admin, key, kind, "Deactivated", bodies)
    step("compromise")
    play(admin, key, kind, "Compromised", bodies)
    step("destroy", pending_window_s=0)
    wait_for(lambda: admin.ok("GET", path[:-1])["state"] == "DestroyedCompromised", what="the destruction")
    play(admin, key, kind, "DestroyedCompromised", bodies)


@pytest.mark.parametrize("kind", [k for k in KINDS if k[0] != "RSA_4096"],
                         ids=[i for i in IDS if not i.startswith("RSA_4096")])
def test_destroyed_before_it_was_active(fleet, admin, kind):
    """The one state that the walk above does not meet."""
    key = new_key(admin, kind, False)
    admin.ok("POST", "/v1/keys/%s/destroy" % key, {"reason": "a test", "pending_window_s": 0})
    wait_for(lambda: admin.ok("GET", "/v1/keys/" + key)["state"] == "Destroyed", what="the destruction")
    play(admin, key, kind, "Destroyed", first_bodies(kind))


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_every_algorithm(fleet, admin, kind):
    """The default first; each of its own makes what its other half takes; all others: algorithm_mismatch."""
    spec, usage, sign, crypt, wrap, mac = kind
    key = new_key(admin, kind, True)
    bodies = first_bodies(kind)
    pairs = [("sign", "verify", sign, "signature_b64", "signature_b64"),
             ("encrypt", "decrypt", crypt, "ciphertext_b64", "ciphertext_b64"),
             ("wrap", "unwrap", wrap, "wrapped_key_b64", "wrapped_key_b64"),
             ("mac", "mac-verify", mac, "mac_b64", "mac_b64")]
    for op, back, known, member, taken in pairs:
        if op not in uses_of(kind):
            continue
        path = "/v1/keys/%s/" % key
        assert admin.ok("POST", path + op, bodies[op])["algorithm"] == known[0], (spec, op)
        for algorithm in ALL:
            ask = dict(bodies[op], algorithm=algorithm)
            got = admin.post(path + op, ask)
            if algorithm not in known:
                assert (got.status, got.code, got.reason) == (400, "InvalidField", "algorithm_mismatch"), got
                assert got.json["field"] == "/algorithm"
                got = admin.post(path + back, dict(bodies[back], algorithm=algorithm))
                assert (got.status, got.reason) == (400, "algorithm_mismatch"), (spec, back, algorithm, got)
                continue
            assert got.status == 200 and got.json["algorithm"] == algorithm, (spec, op, algorithm, got)
            answer = {taken: got.json[member], "algorithm": algorithm}
            if op == "encrypt":
                answer.update({m: got.json[m] for m in ("iv_b64", "tag_b64") if m in got.json})
            result = admin.ok("POST", path + back, dict(bodies[back], **answer))
            assert result["algorithm"] == algorithm and result.get("valid", True) is True, (spec, back, algorithm)
            if back == "unwrap":
                assert result["key_b64"] == KEY
            if back == "decrypt":
                assert result["plaintext_b64"] == MESSAGE


# ------------------------------------------------------------ K11, K20, K12

def test_wrapped_keys_come_back(fleet, admin):
    a, b = (fleet.key(admin, spec="AES_256")["id"] for _ in range(2))
    for size in (16, 24, 32):
        dek = os.urandom(size)
        made = admin.ok("POST", "/v1/keys/%s/wrap" % a, {"key_b64": b64(dek)})
        assert made["algorithm"] == "AES_KWP" and made["key_version"] == 1
        assert dek not in unb64(made["wrapped_key_b64"])
        back = admin.ok("POST", "/v1/keys/%s/unwrap" % a, {"wrapped_key_b64": made["wrapped_key_b64"]})
        assert unb64(back["key_b64"]) == dek
        got = admin.post("/v1/keys/%s/unwrap" % b, {"wrapped_key_b64": made["wrapped_key_b64"]})
        assert (got.status, got.code) == (400, "CryptographicFailure")


def test_unwrap_needs_its_scope(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    agent = fleet.agent(admin, ["key:%s:wrap" % key])
    made = agent.ok("POST", "/v1/keys/%s/wrap" % key, {"key_b64": KEY})
    got = agent.post("/v1/keys/%s/unwrap" % key, {"wrapped_key_b64": made["wrapped_key_b64"]})
    assert (got.status, got.code, got.reason) == (403, "PermissionDenied", "scope_missing")
    events = fleet.event_of(admin, got)
    assert [(e["operation"], e["outcome"]) for e in events] == [("key.unwrap", "denied")]


def test_random(fleet, admin):
    first, second = (unb64(admin.ok("POST", "/v1/random", {"length": 4096})["random_b64"]) for _ in range(2))
    assert len(first) == len(second) == 4096 and first != second
    assert len(unb64(admin.ok("POST", "/v1/random", {"length": 1})["random_b64"])) == 1
    for body in ({"length": 0}, {"length": 4097}, {"length": -1}, {"length": "9"}, {}):
        got = admin.post("/v1/random", body)
        assert (got.status, got.code) == (400, "InvalidField"), body
    agent = fleet.agent(admin, ["key:%s:sign" % fleet.key(admin)["id"]])
    assert agent.post("/v1/random", {"length": 1}).status == 403
    got = admin.post("/v1/random", {"length": 16})
    event, = fleet.event_of(admin, got)
    assert event["operation"] == "key.random" and event["resource"]["id"] is None


def test_macs_cut_short(fleet, admin):
    key = fleet.key(admin, spec="HMAC_SHA512")["id"]
    full = unb64(admin.ok("POST", "/v1/keys/%s/mac" % key, {"message_b64": MESSAGE})["mac_b64"])
    assert len(full) == 64
    for length in (16, 32, 64):
        cut = unb64(admin.ok("POST", "/v1/keys/%s/mac" % key, {"message_b64": MESSAGE, "mac_length": length})["mac_b64"])
        assert cut == full[:length]
        said = {"message_b64": MESSAGE, "mac_b64": b64(cut)}
        assert admin.ok("POST", "/v1/keys/%s/mac-verify" % key, dict(said, mac_length=length))["valid"]
        assert admin.ok("POST", "/v1/keys/%s/mac-verify" % key, said)["valid"] is (length == 64)
    for length in (15, 65):
        got = admin.post("/v1/keys/%s/mac" % key, {"message_b64": MESSAGE, "mac_length": length})
        assert (got.status, got.reason, got.json["field"]) == (400, "out_of_range", "/mac_length")


def test_data_keys_of_every_spec(fleet, admin):
    for spec in ("AES_128", "AES_192", "AES_256", "CHACHA20_POLY1305"):
        key = fleet.key(admin, spec=spec)["id"]
        for wanted, size in (("AES_128", 16), ("AES_192", 24), ("AES_256", 32), ("HMAC_SHA256", 32)):
            made = admin.ok("POST", "/v1/keys/%s/generate-data-key" % key, {"data_key_spec": wanted})
            assert len(unb64(made["plaintext_b64"])) == size
            back = admin.ok("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": made["ciphertext_b64"]})
            assert back["plaintext_b64"] == made["plaintext_b64"]
        got = admin.post("/v1/keys/%s/generate-data-key" % key, {"data_key_spec": "EC_P256"})
        assert (got.status, got.reason) == (400, "unknown_value")
