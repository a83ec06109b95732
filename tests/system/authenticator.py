# SPDX-License-Identifier: Apache-2.0
"""A FIDO2 authenticator and the browser before it, in software: written from W3C
Web Authentication Level 2 and CTAP2, not from the product. What they send can be
bent, so that each thing that must be refused is sent once."""
import base64
import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

UP, UV, AT, ED = 0x01, 0x04, 0x40, 0x80
ES256, EDDSA, RS256 = -7, -8, -257


def cbor(value):
    """RFC 8949 §4.2, of what is needed here."""
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for more, form in ((24, ">B"), (25, ">H"), (26, ">I")):
            if n < 1 << 8 * struct.calcsize(form):
                return bytes([major << 5 | more]) + struct.pack(form, n)
        raise ValueError(n)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(cbor(v) for v in value)
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SoftKey:
    """One credential. `counter` None: an authenticator that does not count."""

    def __init__(self, algorithm=ES256, counter=0):
        self.algorithm, self.counter = algorithm, counter
        self.id, self.aaguid = os.urandom(32), bytes(range(16))
        self.secret = (ec.generate_private_key(ec.SECP256R1()) if algorithm == ES256 else
                       ed25519.Ed25519PrivateKey.generate() if algorithm == EDDSA else
                       rsa.generate_private_key(65537, 2048))

    def cose(self):
        public = self.secret.public_key()
        if self.algorithm == EDDSA:
            return {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes_raw() if hasattr(public, "public_bytes_raw")
                    else raw_ed25519(public)}
        n = public.public_numbers()
        if self.algorithm == ES256:
            return {1: 2, 3: ES256, -1: 1, -2: n.x.to_bytes(32, "big"), -3: n.y.to_bytes(32, "big")}
        return {1: 3, 3: RS256, -1: n.n.to_bytes(256, "big"), -2: n.e.to_bytes(3, "big")}

    def sign(self, data):
        if self.algorithm == ES256:
            return self.secret.sign(data, ec.ECDSA(hashes.SHA256()))
        if self.algorithm == EDDSA:
            return self.secret.sign(data)
        return self.secret.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def auth_data(self, rp_id, flags, attested=False):
        if self.counter is not None:
            self.counter += 1
        out = hashlib.sha256(rp_id.encode()).digest() + bytes([flags | (AT if attested else 0)])
        out += struct.pack(">I", self.counter or 0)
        if attested:
            out += self.aaguid + struct.pack(">H", len(self.id)) + self.id + cbor(self.cose())
        return out

    @staticmethod
    def client_data(kind, challenge, origin, **more):
        return json.dumps(dict({"type": kind, "challenge": b64url(challenge), "origin": origin,
                                "crossOrigin": False}, **more)).encode()

    def make(self, options, attestation="none", flags=UP, rp_id=None, origin=None, challenge=None,
             kind="webauthn.create", bend=None, **more):
        """§7.1: what is posted for the options of a registration."""
        client = self.client_data(kind, challenge or base64.b64decode(options["challenge_b64"]),
                                  origin or options["origins"][0], **more)
        auth = self.auth_data(rp_id or options["rp_id"], flags, attested=True)
        if bend is not None:
            auth = bend(auth)
        signed = auth + hashlib.sha256(client).digest()
        statement = {"none": lambda: {}, "self": lambda: {"alg": self.algorithm, "sig": self.sign(signed)},
                     "broken": lambda: {"alg": self.algorithm, "sig": self.sign(signed + b"x")}}[attestation]()
        return {"challenge_id": options["challenge_id"], "client_data_json_b64": b64(client),
                "attestation_object_b64": b64(cbor({"fmt": "none" if attestation == "none" else "packed",
                                                    "attStmt": statement, "authData": auth}))}

    def get(self, request, flags=UP, rp_id=None, origin=None, challenge=None, kind="webauthn.get", bend=None,
            credential=None, counter=None, **more):
        """§7.2: what is posted for the challenge of a step-up."""
        client = self.client_data(kind, challenge or base64.b64decode(request["challenge_b64"]),
                                  origin or request["origins"][0], **more)
        if counter is not None:
            self.counter = counter - 1
        auth = self.auth_data(rp_id or request["rp_id"], flags)
        signature = self.sign(auth + hashlib.sha256(client).digest())
        if bend is not None:
            signature = bend(signature)
        return {"webauthn": {"credential_id_b64": b64(credential or self.id), "client_data_json_b64": b64(client),
                             "authenticator_data_b64": b64(auth), "signature_b64": b64(signature)}}


def raw_ed25519(public):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)
