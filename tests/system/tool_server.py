# SPDX-License-Identifier: Apache-2.0
"""A tool server in a thread, which behaves as the test says: both revisions, JSON or streams, slow, broken, lying."""
import http.server
import json
import ssl
import threading
import time

THEN, NOW = "2025-11-25", "2026-07-28"


def tool(name, description="What it does.", properties=None, required=(), **more):
    return dict({"name": name, "description": description,
                 "inputSchema": {"type": "object", "properties": properties or {}, "required": list(required)}}, **more)


def text(words, **structured):
    result = {"content": [{"type": "text", "text": words}], "isError": False}
    return dict(result, structuredContent=structured) if structured else result


class ToolServer:
    def __init__(self, tools, version=THEN, secret=None, header="Authorization", prefix="Bearer ", stream=False, port=0,
                 tls=None):
        self.tools, self.version, self.secret, self.stream = tools, version, secret, stream
        self.header, self.prefix = header, prefix
        self.answer = lambda name, arguments: text("done")  # a result, an Exception to raise, or bytes to send raw
        self.status = None   # instead of any answer to a call
        self.slow_s = 0.0    # before the answer to a call
        self.calls, self.seen, self.begun, self.lists = [], [], 0, 0
        self.at_once, self.most, self.lock = 0, 0, threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write an answer: else each waits for an acknowledgement

            def do_POST(self):
                owner.post(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = "http%s://127.0.0.1:%d/mcp" % ("" if tls is None else "s", self.port)
        if tls is not None:  # its certificate's file, and the key's
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def leave(self):
        self.server.shutdown()
        self.server.server_close()

    def say(self, handler, status, body=b"", kind="application/json", session=None):
        handler.send_response(status)
        if session:
            handler.send_header("MCP-Session-Id", session)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def post(self, handler, body):
        asked = json.loads(body)
        self.seen.append((dict(handler.headers), asked))
        if self.secret is not None and handler.headers.get(self.header) != self.prefix + self.secret:
            return self.say(handler, 401)
        method, params = asked["method"], asked.get("params") or {}
        if self.version == THEN and method != "initialize" and \
                handler.headers.get("MCP-Session-Id") != "session-%d" % self.begun:
            return self.say(handler, 404)
        if "id" not in asked:
            return self.say(handler, 202)
        if method == "initialize":
            self.begun += 1
            result = {"protocolVersion": THEN, "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}}
            return self.result(handler, asked, result, "session-%d" % self.begun)
        if method == "tools/list":
            self.lists += 1
            return self.result(handler, asked, {"tools": list(self.tools)})
        self.call(handler, asked, params)

    def call(self, handler, asked, params):
        with self.lock:
            self.calls.append((params["name"], params.get("arguments")))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            time.sleep(self.slow_s)
            if self.status is not None:
                return self.say(handler, self.status)
            result = self.answer(params["name"], params.get("arguments"))
            if isinstance(result, bytes):
                return self.say(handler, 200, result)
            self.result(handler, asked, result)
        finally:
            with self.lock:
                self.at_once -= 1

    def result(self, handler, asked, result, session=None):
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        if isinstance(result, Exception):
            answer["error"] = {"code": -32000, "message": str(result)}
        else:
            answer["result"] = dict({"resultType": "complete"} if self.version == NOW else {}, **result)
        body = json.dumps(answer)
        if not self.stream:
            return self.say(handler, 200, body.encode(), session=session)
        half = len(body) // 2
        while body[half - 1] == "\\" or body[half] in '"\\':
            half += 1
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        events = ": hello\n\nevent: message\ndata: %s\n\nevent: message\r\ndata: %s\r\n\r\n" % (note, body)
        self.say(handler, 200, events.encode(), "text/event-stream", session)
