#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tool server to put behind Aegis' gateway: MCP 2025-11-25 over Streamable HTTP, with nothing but Python.

    toolserver.py --secret-file FILE [--port N] [--port-file FILE]

It answers whoever knows the secret, which is the gateway: agents call its tools through Aegis and never see it. FILE
must be there and readable by its owner alone, or the server does not start."""
import argparse
import hmac
import http.server
import json
import os
import secrets
import stat
import sys

VERSION = "2025-11-25"
FORECASTS = {"bern": (4, "fog"), "lisbon": (17, "sun"), "oslo": (-3, "snow")}
NOTES = []


def forecast(arguments):
    degrees, sky = FORECASTS.get(arguments["city"].lower(), (10, "clouds"))
    return {"city": arguments["city"], "degrees": degrees, "sky": sky}


def note(arguments):
    NOTES.append(arguments["text"])
    return {"notes": len(NOTES)}


def forget(arguments):
    NOTES.clear()
    return {"notes": 0}


def text_of(name, most):
    return {"type": "object", "properties": {name: {"type": "string", "minLength": 1, "maxLength": most}},
            "required": [name], "additionalProperties": False}


TOOLS = {
    "forecast": (forecast, "Tells the weather of a city.", text_of("city", 60), {"readOnlyHint": True}),
    "note": (note, "Keeps a note.", text_of("text", 200), {}),
    "forget": (forget, "Forgets all notes.", {"type": "object", "properties": {}, "additionalProperties": False},
               {"destructiveHint": True}),
}


def listed():
    return {"tools": [{"name": name, "title": name.capitalize(), "description": says, "inputSchema": schema,
                       "annotations": hints} for name, (_, says, schema, hints) in TOOLS.items()]}


def called(params):
    if params.get("name") not in TOOLS:
        raise KeyError("there is no such tool")
    answer = TOOLS[params["name"]][0](params.get("arguments", {}))
    return {"content": [{"type": "text", "text": json.dumps(answer)}], "structuredContent": answer, "isError": False}


def begun(params):
    return {"protocolVersion": VERSION, "capabilities": {"tools": {}},
            "serverInfo": {"name": "toolserver", "version": "1"}}


METHODS = {"initialize": begun, "ping": lambda params: {}, "tools/list": lambda params: listed(), "tools/call": called}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sessions = set()

    def say(self, status, value=None, session=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if session:
            self.send_header("MCP-Session-Id", session)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self.server.secret):
            return self.say(401)
        asked = json.loads(body)
        session = self.headers.get("MCP-Session-Id")
        if asked.get("method") == "initialize":
            session = secrets.token_hex(16)
            self.sessions.add(session)
        elif session not in self.sessions:
            return self.say(404)
        if "id" not in asked:
            return self.say(202)
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            answer["result"] = METHODS[asked["method"]](asked.get("params", {}))
        except KeyError as error:
            answer["error"] = {"code": -32602, "message": str(error)}
        self.say(200, answer, session)

    def log_message(self, *words):
        pass


def read_secret(path):
    with open(path, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            sys.exit("%s: others may read it; chmod 600" % path)
        secret = file.read().strip()
    return secret or sys.exit("%s: it is empty" % path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file")
    args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    try:
        server.secret = read_secret(args.secret_file)
    except OSError as error:
        sys.exit(str(error))
    if args.port_file:
        with open(args.port_file + ".new", "w") as file:
            file.write("%d\n" % server.server_port)
        os.rename(args.port_file + ".new", args.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
