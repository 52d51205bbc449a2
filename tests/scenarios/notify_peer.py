#!/usr/bin/env python3
"""The other side of notifications: an HTTP, an HTTPS and an SMTP server on 127.0.0.1, which do as they are told.

    notify_peer.py DIRECTORY        writes DIRECTORY/ports (shell), and a line of JSON to DIRECTORY/got for each message

HTTP answers by path: /ok… 200, /404… and the like that status with the path in the body, /later… 503 with
"Retry-After: 1" as long as DIRECTORY/later exists, /hang… nothing as long as DIRECTORY/hang exists, /redirect 302,
/big a body without an end. HTTPS runs if DIRECTORY/cert.pem is there. SMTP refuses nobody@ for good and busy@ for now;
it knows one user, "ml" with the password "geheim".

SMTP is spoken by the few lines below: smtpd is gone from newer versions of Python.
"""
import base64
import http.server
import json
import os
import socketserver
import ssl
import sys
import threading
import time

place = sys.argv[1]
lock = threading.Lock()


def there(name):
    return os.path.exists(os.path.join(place, name))


def note(**message):
    with lock, open(os.path.join(place, "got"), "a", encoding="utf-8") as file:
        file.write(json.dumps(message) + "\n")


class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        note(kind="http", path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
        word = self.path[1:].split("/")[0]
        if word == "hang" and there("hang"):
            while there("hang"):
                time.sleep(0.05)
            self.close_connection = True
        elif word == "redirect":
            self.answer(302, "", ("Location", f"http://127.0.0.1:{self.server.server_address[1]}/ok"))
        elif word == "later" and there("later"):
            self.answer(503, "not now", ("Retry-After", "1"))
        elif word == "big":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass
        elif word.isdigit():
            self.answer(int(word), f"you asked for {self.path}")
        else:
            self.answer(200, "thanks")

    def answer(self, status, body, *headers):
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda text: self.wfile.write(text.encode() + b"\r\n")
        say("220 here")
        sender, to, user = "", [], ""
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            word, upper = line, line.upper()
            if upper.startswith("EHLO"):
                say("250-here")
                say("250 AUTH PLAIN")
            elif upper.startswith("AUTH PLAIN"):
                given = line.split(" ")[2] if len(line.split(" ")) > 2 else None
                if given is None:
                    say("334 ")
                    given = self.rfile.readline().decode().strip()
                _, user, password = base64.b64decode(given).decode().split("\0")
                say("235 ok" if (user, password) == ("ml", "geheim") else "535 wrong password")
            elif upper.startswith("MAIL FROM:"):
                sender = word[10:]
                say("250 ok")
            elif upper.startswith("RCPT TO:"):
                address = word[8:]
                if "nobody@" in address:
                    say("550 no such user here")
                elif "busy@" in address and there("later"):
                    say("451 try again later")
                else:
                    to.append(address)
                    say("250 ok")
            elif upper == "DATA":
                say("354 go on")
                text = []
                while (part := self.rfile.readline().decode()).rstrip("\r\n") != ".":
                    text.append(part[1:] if part.startswith("..") else part)
                note(kind="mail", sender=sender, to=to, user=user, text="".join(text))
                say("250 taken")
            elif upper == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok" if upper == "RSET" else "502 what?")


class Threaded(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


servers = {"HTTP": Threaded(("127.0.0.1", 0), Web), "SMTP": Threaded(("127.0.0.1", 0), Mail)}
if there("cert.pem"):
    servers["HTTPS"] = Threaded(("127.0.0.1", 0), Web)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(place, "cert.pem"), os.path.join(place, "key.pem"))
    servers["HTTPS"].socket = context.wrap_socket(servers["HTTPS"].socket, server_side=True)
    servers["HTTPS"].handle_error = lambda *args: None  # a client that does not trust us
for server in servers.values():
    threading.Thread(target=server.serve_forever, daemon=True).start()
with open(os.path.join(place, "ports.new"), "w", encoding="utf-8") as file:
    for name, server in servers.items():
        file.write(f"{name}={server.server_address[1]}\n")
os.rename(os.path.join(place, "ports.new"), os.path.join(place, "ports"))
threading.Event().wait()
