"""Starts the HTTP service in the background, or stops it.

start: ends a service that an earlier run left, starts a new one, waits until it answers, tells its URL.
stop:  ends the service that start started. Its number alone proves nothing, since numbers are used again: the process
       must also have been started with this very port file.
"""
from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from common import fail, set_output, write_file

START_SECONDS = 20
STOP_SECONDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("--releases", type=Path, required=True)
    args = parser.parse_args()
    releases = args.releases.resolve()
    folder = releases / ".service"  # pid, port and log
    if args.what == "start":
        stop(folder)
        start(releases / "current", folder)
    else:
        print("service stopped" if stop(folder) else "no service to stop")


def start(release: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    port_file, log = folder / "port", folder / "log"
    port_file.unlink(missing_ok=True)
    program = Path(__file__).with_name("serve.py")
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(program), "--release", str(release), "--port-file", str(port_file)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,  # else the step's output would never end
            start_new_session=True)
    write_file(folder / "pid", f"{process.pid}\n")

    deadline = time.monotonic() + START_SECONDS
    while not port_file.exists():
        if process.poll() is not None:
            fail(f"the service ended with code {process.returncode}:\n{log.read_text(errors='replace')}")
        if time.monotonic() > deadline:
            stop(folder)
            fail(f"the service was not ready after {START_SECONDS} s:\n{log.read_text(errors='replace')}")
        time.sleep(0.01)
    url = f"http://127.0.0.1:{port_file.read_text().strip()}"
    # No proxy, whatever the environment says: this is our own machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/health", timeout=5) as answer:
        print(f"{url} says {answer.read().decode()}")
    set_output(url=url, pid=process.pid)


def stop(folder: Path) -> bool:
    """True if there was a service to end."""
    try:
        pid = int((folder / "pid").read_text())
        handle = os.pidfd_open(pid)  # from here on it means this process, even if the number is used again
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if os.fsencode(folder / "port") not in arguments:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], STOP_SECONDS)[0]:  # readable: it has ended
                return True
        fail(f"process {pid} does not end")
    except (FileNotFoundError, ProcessLookupError):
        return False
    finally:
        os.close(handle)
        (folder / "pid").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
