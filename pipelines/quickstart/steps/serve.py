"""Answers over HTTP with the current release: GET /health, POST /predict {"bill_length_mm": 39.1, …}.

Listens on 127.0.0.1 on a free port, which it writes to --port-file once it is ready. SIGTERM ends it.
"""
from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from common import FEATURES, write_file
from models import Model, load

MAX_BODY = 64 * 1024


class Handler(BaseHTTPRequestHandler):
    model: Model
    release: str
    timeout = 10  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"status": "ok", "release": self.release, "model": self.model.kind})
        else:
            self.answer(404, {"error": "there is GET /health and POST /predict"})

    def do_POST(self) -> None:
        if self.path != "/predict":
            return self.answer(404, {"error": "there is GET /health and POST /predict"})
        try:
            length = int(self.headers.get("Content-Length", "0"))
            if not 0 < length <= MAX_BODY:
                return self.answer(413, {"error": f"a body of 1 to {MAX_BODY} bytes is expected"})
            body = json.loads(self.rfile.read(length))
            if not isinstance(body, dict):
                raise ValueError("a JSON object is expected")
            row = [float(body[name]) for name in FEATURES]
            if not all(map(math.isfinite, row)):
                raise ValueError("every value must be a finite number")
        except KeyError as missing:
            return self.answer(400, {"error": f"missing {missing.args[0]}"})
        except (TypeError, ValueError, RecursionError) as error:
            return self.answer(400, {"error": str(error)})
        chances = dict(zip(self.model.classes, self.model.probabilities(row)))
        self.answer(200, {
            "species": max(chances, key=chances.__getitem__),
            "probabilities": {name: round(chance, 4) for name, chance in chances.items()},
            "release": self.release,
        })

    def answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, required=True, help="folder of the release, or a link to it")
    parser.add_argument("--port-file", type=Path, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    release = args.release.resolve()  # the link may move on; this process stays with what it loaded
    Handler.model = load(release / "model.json")
    Handler.release = release.name
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        write_file(args.port_file, f"{server.server_port}\n")
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
