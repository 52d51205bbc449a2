#!/usr/bin/env python3
"""Numbers of processes that pass to others: nobody else is signalled, by cancel, resume, recovery, the daemon or a worker.

Usage: pid_reuse.py MLOPS      REUSES: how many numbers are given to others (default 100); SEED

Runs itself in a namespace of processes (root, unshare). When a runner, a keeper, a step or a daemon has died there, a
process that takes note of every signal gets its number at once, by clone3(set_tid). In the last part the numbers are
those of a step's own short-lived processes, while the step is being ended.
"""
import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from harness import Suite, number, send

INSIDE = "MLOPS_TORTURE_INSIDE"
libc = ctypes.PyDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
CLONE3 = 435


class Victim:
    """Some process that has nothing to do with mlops and has the number `pid`."""

    count = 0

    def __init__(self, pid):
        Victim.count += 1
        self.pid, self.log = pid, f"{os.getcwd()}/victim.{Victim.count}"
        tid = (ctypes.c_int32 * 1)(pid)
        arguments = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(tid), 1, 0)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        child = libc.syscall(CLONE3, arguments, len(arguments))
        for _ in range(500):  # who had the number may not have been waited for yet
            if child >= 0 or ctypes.get_errno() != errno.EEXIST:
                break
            time.sleep(0.01)
            child = libc.syscall(CLONE3, arguments, len(arguments))
        if child == 0:
            self.live()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if child < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        assert child == pid

    def live(self):
        out = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while True:
            info = signal.sigwaitinfo(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
            if info.si_signo == signal.SIGRTMAX:
                os._exit(0)
            os.write(out, f"signal {info.si_signo} from {info.si_pid}\n".encode())

    def end(self):
        """What it was sent; "" is what is wanted."""
        send(self.pid, signal.SIGRTMAX)
        end = time.monotonic() + 10
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                send(self.pid, signal.SIGKILL)
                return "it was stopped"
            if pid:
                break
            if time.monotonic() > end:
                return "it does not end"
            time.sleep(0.001)
        text = Path(self.log).read_text() if os.path.exists(self.log) else ""
        return text + (f"it was killed by {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "")


# --- Numbers of what has died -------------------------------------------------------------------------------------------


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill_all_of(suite, *roots):
    """Kills what is there from the roots down, the roots first, and gives their numbers to others."""
    pids = list(roots)
    for pid in pids:
        pids += children(pid)
    for pid in pids:
        send(pid, signal.SIGKILL)
    time.sleep(0.02)  # the start of a process is known in hundredths of a second
    for pid in pids:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
        suite.wait(f"process {pid} is gone", lambda pid=pid: gone(pid))
    return [Victim(pid) for pid in pids]


def no_harm(suite, what, victims):
    for victim in victims:
        said = victim.end()
        suite.expect(not said, f"{what}: process {victim.pid}, which belongs to nobody, was signalled: {said}")


def start_run(suite, name="long"):
    Path("started").unlink(missing_ok=True)
    process = suite.start("run", f"{name}.yaml", "--quiet")
    suite.wait("the step has begun", lambda: os.path.exists("started"))
    time.sleep(0.03)
    return process.pid, suite.ok("runs", "--ids", "--limit", "1").strip()


def hold(suite, run, name, pid, seconds=0.6):
    """A process that has just got the lock, and not yet written who it is: the number in it is another's."""
    path = f"{os.getcwd()}/.mlops/runs/{run}/{name}"
    code = ("import fcntl,struct,sys,time\nf=open(sys.argv[1],'r+')\n"
            "fcntl.fcntl(f,37,struct.pack('hhqqi4x',fcntl.F_WRLCK,0,0,0,0))\nprint('held',flush=True)\ntime.sleep(float(sys.argv[2]))")
    suite.expect(Path(path).read_text().split()[0] == str(pid), f"{path} names another process than {pid}")
    process = subprocess.Popen([sys.executable, "-S", "-c", code, path, str(seconds)], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def by_cancel(suite):
    for arguments in (["cancel"], ["cancel", "--now"], ["rm"]):
        pid, run = start_run(suite)
        victims = kill_all_of(suite, pid)
        suite.run(*arguments, run)
        no_harm(suite, " ".join(arguments), victims)


def by_cancel_of_what_is_locked(suite):
    for lock in ("runner.lock", "keeper.lock"):
        pid, run = start_run(suite)
        holder = children(pid)[0] if lock == "keeper.lock" else pid
        victims = kill_all_of(suite, pid)
        process = hold(suite, run, lock, holder)
        suite.run("cancel", "--now", "--no-wait", run)
        suite.run("status")
        process.wait()
        suite.ok("cancel", run)
        no_harm(suite, f"cancel with {lock} held", victims)


def by_resume(suite):
    pid, run = start_run(suite)
    victims = kill_all_of(suite, pid)
    process = suite.start("run", "--resume", run, "--quiet")
    time.sleep(0.3)
    process.terminate()
    process.wait()
    no_harm(suite, "resume", victims)


def by_resume_that_waits(suite):
    """SIGTERM to who waits for a keeper is passed on to that keeper, and to nobody else."""
    pid, run = start_run(suite)
    keeper = children(pid)[0]
    victims = kill_all_of(suite, pid)
    holder = hold(suite, run, "keeper.lock", keeper)
    process = suite.start("run", "--resume", run, "--quiet")
    time.sleep(0.2)
    process.terminate()
    process.wait()
    holder.wait()
    no_harm(suite, "resume that waits for a keeper", victims)


def by_recovery(suite):
    pid, run = start_run(suite)
    victims = kill_all_of(suite, pid)
    for command in (["runs"], ["status"], ["show", run], ["doctor"]):
        suite.run(*command)
    suite.expect("interrupted" in suite.ok("runs", "--limit", "1"), "a run whose processes have died is not called interrupted")
    no_harm(suite, "recovery", victims)


def by_keeper_only(suite):
    """The runner ends what the dead keeper has left."""
    pid, run = start_run(suite)
    keeper = children(pid)[0]
    steps = children(keeper)
    send(keeper, signal.SIGKILL)
    for step in steps:
        suite.wait("the step is gone", lambda step=step: gone(step))
    victims = [Victim(step) for step in steps]
    time.sleep(0.1)
    suite.run("cancel", "--now", run)
    no_harm(suite, "a runner whose keeper died", victims)


def by_daemon(suite, command=("daemon",), submit=True):
    Path("started").unlink(missing_ok=True)
    suite.ok("submit", "short.yaml")
    daemon = suite.start(*command, "--runs", "2")
    suite.wait("the step has begun", lambda: os.path.exists("started"))
    time.sleep(0.03)
    victims = kill_all_of(suite, daemon.pid)
    suite.run(*command, "--once", "--runs", "2")
    suite.run("queue", "list")
    no_harm(suite, " ".join(command), victims)


def by_worker(suite):
    by_daemon(suite, ("worker",))


def by_replace(suite):
    """The run before, which is to make way, has died, and others have its numbers."""
    daemon = suite.start("daemon", "replace.yaml", "--runs", "2")
    Path("started").unlink(missing_ok=True)
    suite.wait("the step has begun", lambda: os.path.exists("started"))
    time.sleep(0.03)
    victims = kill_all_of(suite, daemon.pid)
    time.sleep(1)
    suite.run("daemon", "--once", "--runs", "2")
    suite.ok("schedule", "remove", "replace.yaml")
    no_harm(suite, "a daemon that replaces", victims)


# --- Numbers of what is just being ended --------------------------------------------------------------------------------


def short_ones(keeper):
    """The numbers of what a busy step's loops have started just now."""
    return {short for step in children(keeper) for loop in children(step) for short in children(loop)}


def while_ending(suite, wanted):
    """A step whose processes come and go all the time is ended, and its keeper is stopped in the middle of that: when it
    goes on, the numbers which it has looked up may be others'."""
    while Victim.count < wanted:
        pid, run = start_run(suite, "busy")
        keeper = children(pid)[0]
        time.sleep(0.1)
        victims = []
        send(keeper, signal.SIGTERM)
        for pause in (0, 0.38, 0, 0, 0):
            before = time.monotonic() + pause
            while time.monotonic() < before:
                time.sleep(0.002)
            watched = short_ones(keeper)
            if gone(keeper) or not watched:
                break
            end = time.monotonic() + suite.chance.uniform(0, 0.008)
            while time.monotonic() < end:
                pass
            watched |= short_ones(keeper)
            send(keeper, signal.SIGSTOP)
            time.sleep(0.05)
            for short in watched:
                if gone(short):
                    try:
                        victims.append(Victim(short))
                    except FileExistsError:
                        pass
            send(keeper, signal.SIGCONT)
        suite.wait("the keeper has ended", lambda: gone(keeper))
        no_harm(suite, "while a step is ended", victims)


def main():
    if INSIDE not in os.environ:
        if len(sys.argv) < 2:
            sys.exit(f"usage: {sys.argv[0]} MLOPS")
        # The first process of a namespace adopts and waits for what loses its parent: the shell does.
        there = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        try:
            probe = subprocess.run([*there, "true"], capture_output=True, text=True)
            why = probe.stderr.strip()
        except FileNotFoundError as error:
            why = str(error)
        if why or probe.returncode != 0:
            print(f"SKIPPED pid_reuse: cannot make a namespace of processes: {why}", flush=True)
            sys.exit(77)
        os.environ[INSIDE] = "1"
        os.execvp("unshare", [*there, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv])
    suite = Suite("pid_reuse", ("REUSES",))
    if (known := libc.syscall(CLONE3, 0, 0)) != -1 or ctypes.get_errno() == 38:
        suite.skip("no clone3 here")
    step = 'steps: {a: {run: "touch started; sleep %s", grace: 100ms%s}}\n'
    Path("long.yaml").write_text("name: long\n" + step % (20, ""))
    Path("short.yaml").write_text("name: short\n" + step % (0.3, ""))
    Path("replace.yaml").write_text("name: replace\nschedule: {every: 1s, overlap: replace}\n" + step % (0.9, ""))
    # Who looks for all of them knows the short ones early, and is busy with those that stay for a while.
    Path("busy.yaml").write_text("""name: busy
steps:
  a:
    grace: 400ms
    run: |
      trap '' TERM
      for i in $(seq 6); do (while :; do setsid sleep 0.0$i || :; done) & done
      (for i in $(seq 150); do setsid sleep 30 & done; wait) &
      touch started
      wait
""")
    suite.ok("run", "short.yaml", "--quiet")
    wanted = number("REUSES", 100)
    ways = [by_cancel, by_cancel_of_what_is_locked, by_resume, by_resume_that_waits, by_recovery, by_keeper_only, by_daemon, by_worker, by_replace]
    figures = {}
    try:
        Victim(300000).end()
    except OSError as error:
        suite.skip(f"cannot choose the number of a process: {error}")
    Victim.count = 0
    while Victim.count < wanted * 0.7:
        for way in ways:
            before = Victim.count
            way(suite)
            figures[way.__name__] = figures.get(way.__name__, 0) + Victim.count - before
    before = Victim.count
    while_ending(suite, max(wanted, before + wanted // 2))
    figures["while_ending"] = Victim.count - before
    suite.passed(cases=Victim.count, reuses=figures, signalled=0)


main()
