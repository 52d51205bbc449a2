"""Sends webhooks as GitHub does, and what nobody should send. Usage: hooks.py COMMAND PORT …"""
import hashlib
import hmac
import http.client
import os
import socket
import sys
import threading
import time

SECRET = os.environ["HOOK_SECRET"]


def headers(body, delivery, secret=SECRET):
    sign = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": "sha256=" + sign, "X-GitHub-Delivery": delivery, "Content-Type": "application/json"}


def post(port, body, head, path="/hooks/push", timeout=20):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request("POST", path, body, head)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def deliver(port_file, first, last):
    """Each until it is taken, as a sender does that is told so."""
    for n in range(first, last + 1):
        body = b'{"n": "hook%d"}' % n
        while True:
            try:
                status, _ = post(int(open(port_file).read()), body, headers(body, f"d{n}"), timeout=2)
                if status in (200, 202):
                    break
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.05)


def flood(port, threads, each):
    """Many requests at a time: too large, unsigned, signed; and clients that never finish theirs."""
    idle = []
    for _ in range(400):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"POST /hooks/push HTTP/1.1\r\nHost: localhost\r\nX-Drip: ")
        idle.append(s)
    seen, worst, lock = {}, [0.0], threading.Lock()

    def work(thread):
        for i in range(each):
            kind = i % 4
            body = b"{}"
            head = headers(body, f"flood{thread}-{i}")
            if kind == 1:
                head["X-Hub-Signature-256"] = "sha256=" + "0" * 64
            elif kind == 2:
                body, head = b"x" * (1 << 16), {"X-Junk": "y" * 4000}
            elif kind == 3:
                head["Content-Length"] = str(1 << 30)
            began = time.monotonic()
            try:
                status = post(port, body, head)[0]
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
            with lock:
                seen[status] = seen.get(status, 0) + 1
                worst[0] = max(worst[0], time.monotonic() - began)

    workers = [threading.Thread(target=work, args=(t,)) for t in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    began = time.monotonic()
    status = post(port, b"{}", headers(b"{}", "after"))[0]
    print(sorted(seen.items(), key=str), f"worst {worst[0]:.2f}s, then {status} in {time.monotonic() - began:.2f}s")
    assert set(seen) <= {202, 200, 401, 413, 429}, seen
    assert worst[0] < 5 and status in (202, 429) and time.monotonic() - began < 2
    for s in idle:
        s.close()


if __name__ == "__main__":
    command, rest = sys.argv[1], sys.argv[2:]
    if command == "post":  # PORT BODY DELIVERY [SECRET]: prints the status and what was answered
        body = rest[1].encode()
        status, text = post(int(rest[0]), body, headers(body, rest[2], *rest[3:4]))
        print(status, text.strip())
    elif command == "deliver":
        deliver(rest[0], int(rest[1]), int(rest[2]))
    else:
        flood(int(rest[0]), int(rest[1]), int(rest[2]))
