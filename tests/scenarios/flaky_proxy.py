#!/usr/bin/env python3
"""A connection to a server that has bad days: flaky_proxy.py PORT CONTROL

Listens on a free port of 127.0.0.1, prints it, and passes connections on to 127.0.0.1:PORT. The file CONTROL says how,
for each new connection:

    ok            as it should be
    cut BYTES     the connection breaks when so many bytes were sent to the server
    total BYTES   the server goes down when so many bytes were sent to it over all connections, from then on
    down          connections end at once
    busy N        of N connections all but the last get "503 Slow Down" to their first request
"""
import selectors
import socket
import sys
import threading

port, control = int(sys.argv[1]), sys.argv[2]
sent, seen, lock = 0, 0, threading.Lock()
last = ""


def mode():
    global sent, last
    text = open(control).read()
    with lock:
        if text != last:
            last, sent = text, 0
    words = text.split()
    return words[0], int(words[1]) if len(words) > 1 else 0


def serve(client):
    global sent, seen
    what, number = mode()
    with lock:
        seen += 1
        turn = seen
    if what == "down":
        client.close()
        return
    if what == "busy" and turn % number:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close()
        return
    server = socket.create_connection(("127.0.0.1", port))
    passed = 0
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                try:
                    data = key.fileobj.recv(65536)
                    if data:
                        key.data.sendall(data)
                except OSError:
                    data = b""
                if key.fileobj is client:
                    passed += len(data)
                    with lock:
                        sent += len(data)
                over = (what == "cut" and passed >= number) or (mode()[0] == "total" and sent >= mode()[1])
                if not data or over:
                    client.close()
                    server.close()
                    return


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    if mode()[0] == "total" and sent >= mode()[1]:
        connection.close()
        continue
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
