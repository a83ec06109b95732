# SPDX-License-Identifier: Apache-2.0
"""For clients that know no credential: passes on every request as it is, with a bearer, and every answer as it is. One
request a connection."""
import http.server
import select
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def pass_on(self):
        lines = ["%s %s HTTP/1.1" % (self.command, self.path), "Connection: close"]
        lines += ["%s: %s" % pair for pair in self.headers.items() if pair[0].lower() != "connection"]
        if "authorization" not in self.headers:
            lines.append("Authorization: Bearer " + self.server.token)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = True
        with socket.create_connection(self.server.target, timeout=60) as there:
            there.sendall("\r\n".join(lines + ["", ""]).encode("latin-1") + body)
            while True:
                ready, _, _ = select.select([there, self.connection], [], [], 60)
                if there not in ready:
                    return  # the client left, or nobody says anything
                data = there.recv(65536)
                if not data:
                    return
                self.connection.sendall(data)

    do_GET = do_POST = do_DELETE = do_OPTIONS = do_PUT = pass_on

    def log_message(self, *words):
        pass


class Relay(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target, token):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.token = target, token
        self.url = "http://127.0.0.1:%d/mcp" % self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that left

    def leave(self):
        self.shutdown()
        self.server_close()
