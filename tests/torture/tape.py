"""What shim.cpp recorded, and what a disk may hold when the power goes at some point of it.

A record is a head of 48 bytes (see Head in shim.cpp), a path, another path, and data. Kinds: C created, T truncated to
`at`, W written at `at`, S synced, SX a sync that failed, SFS all synced, MV renamed (`at`: flags), L linked, SL symbolic link, U unlinked, RD
directory removed, MK directory made; ACK written to stdout or stderr, OUT stdout was flushed and has `at` bytes, MARK a
note of the harness.

Two models of the disk:
  ordered  as ext4: changes of names and sizes survive as a prefix in order, at least up to the last one that a sync
           covers; syncing a file commits the changes of its own inode and all before them
  strict   as POSIX: an entry of a directory survives for sure only if that directory was synced; of the others each
           directory keeps a prefix of its own. A rename to another directory never loses the file at both ends
In both, what was written since a file's last sync survives or not by sectors of 512 bytes, in any order.
"""
import os
import random
import struct

HEAD = struct.Struct("<4s4sQQQIIII")
SECTOR = 512
DROPPED = ("-shm",)  # memory that processes share; of no use after a start of the machine


def mark(path, text):
    """A note of the harness, at this point of the recording."""
    data = text.encode()
    record = HEAD.pack(b"TREC", b"MARK", 0, 0, 0, os.getpid(), 0, 0, len(data)) + data
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, record)
    os.close(fd)


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        magic, what, _, inode, where, pid, a, b, c = HEAD.unpack_from(data, at)
        assert magic == b"TREC", f"{path}: no record at {at}"
        at += HEAD.size
        path_, other, bytes_ = data[at:at + a], data[at + a:at + a + b], data[at + a + b:at + a + b + c]
        at += a + b + c
        yield what.rstrip(b"\0").decode(), pid, inode, where, os.fsdecode(path_), os.fsdecode(other), bytes_


class Node:
    """A file, a directory or a link, whatever it is called."""
    __slots__ = ("kind", "text", "image", "pending", "live_size", "touched", "version", "digest")

    def __init__(self, kind, text=""):
        self.kind, self.text = kind, text   # file, dir, link
        self.image = bytearray()            # what a sync has covered
        self.pending = []                   # (index, offset, data), or (index, size, None): truncated
        self.live_size = 0                  # as processes see it
        self.touched = -1                   # when its inode changed last: size, names
        self.version = 0                    # of the image
        self.digest = None                  # of the image, for whoever wants to remember it


class Tape:
    """The recording as operations on nodes, which names no longer matter for."""

    def __init__(self, path):
        """The first record is a mark "root INODE PATH"."""
        tape = records(path)
        inode, root = next(tape)[-1].decode().split(" ", 2)[1:]
        self.root = Node("dir")
        self.nodes = [self.root]
        self.ops = []
        self.unknown = 0
        live = {id(self.root): {}}
        by_inode = {int(inode): self.root}

        def walk(name):
            """(directory, last part) of a path below the root."""
            if not (name + "/").startswith(root + "/"):
                return None, ""
            parts = [part for part in name[len(root):].split("/") if part]
            node = self.root
            for part in parts[:-1]:
                node = live.get(id(node), {}).get(part)
                if node is None or node.kind != "dir":
                    return None, ""
            return (node, parts[-1]) if parts else (None, "")

        def add(name, node, inode):
            directory, last = walk(name)
            self.nodes.append(node)
            by_inode[inode] = node
            if node.kind == "dir":
                live[id(node)] = {}
            if directory is None:
                self.unknown += 1
                return
            live[id(directory)][last] = node
            self.ops.append(("name", directory, last, node))

        def file_of(name, inode):
            """The node of an inode that is written to; it may have been made where nothing is recorded."""
            node = by_inode.get(inode)
            if node is None:
                node = Node("file")
                add(name, node, inode)
            return node

        for what, pid, inode, at, name, other, data in tape:
            if name.endswith(DROPPED) or other.endswith(DROPPED):
                continue
            if what == "C":
                add(name, Node("file"), inode)
            elif what == "MK":
                add(name, Node("dir"), inode)
            elif what == "SL":
                add(name, Node("link", other), inode)
            elif what == "W":
                self.ops.append(("write", file_of(name, inode), at, data))
            elif what == "T":
                self.ops.append(("size", file_of(name, inode), at))
            elif what == "S":
                if inode in by_inode:
                    self.ops.append(("sync", by_inode[inode]))
            elif what == "SX":
                if inode in by_inode:
                    self.ops.append(("lost", by_inode[inode]))
            elif what == "SFS":
                self.ops.append(("sync all",))
            elif what in ("U", "RD"):
                directory, last = walk(name)
                if directory is not None and live[id(directory)].pop(last, None) is not None:
                    self.ops.append(("gone", directory, last))
                else:
                    self.unknown += 1
            elif what == "L":
                directory, last = walk(other)
                if directory is not None and inode in by_inode:
                    live[id(directory)][last] = by_inode[inode]
                    self.ops.append(("name", directory, last, by_inode[inode]))
            elif what == "MV":
                source, first = walk(name)
                target, last = walk(other)
                node = live[id(source)].get(first) if source is not None else None
                if node is None:  # made where nothing is recorded
                    self.unknown += 1
                elif target is None:
                    del live[id(source)][first]
                    self.ops.append(("gone", source, first))
                elif at & 2:  # RENAME_EXCHANGE
                    there = live[id(target)].get(last)
                    live[id(source)][first], live[id(target)][last] = there, node
                    self.ops.append(("exchange", source, first, there, target, last, node))
                else:
                    del live[id(source)][first]
                    live[id(target)][last] = node
                    self.ops.append(("move", source, first, target, last, node))
            elif what == "ACK":
                self.ops.append(("said", pid, data.decode(errors="replace")))
            elif what == "OUT":
                self.ops.append(("flushed", inode, at))
            elif what == "MARK":
                self.ops.append(("mark", data.decode()))


class Names:
    """Directories of a disk, copied when they are changed."""

    def __init__(self):
        self.entries = {}

    def copy(self):
        other = Names()
        other.entries = dict(self.entries)
        other.entries_owned = set()
        return other

    def set(self, directory, name, node):
        self._own(directory)[name] = node

    def drop(self, directory, name):
        self._own(directory).pop(name, None)

    def of(self, directory):
        return self.entries.get(id(directory), {})

    entries_owned = None

    def _own(self, directory):
        key = id(directory)
        if self.entries_owned is None:
            return self.entries.setdefault(key, {})
        if key not in self.entries_owned:
            self.entries[key] = dict(self.entries.get(key, {}))
            self.entries_owned.add(key)
        return self.entries[key]

    def apply(self, op):
        what = op[0]
        if what == "name":
            self.set(op[1], op[2], op[3])
        elif what == "gone":
            self.drop(op[1], op[2])
        elif what == "move":
            self.drop(op[1], op[2])
            self.set(op[3], op[4], op[5])
        elif what == "exchange":
            self.set(op[1], op[2], op[3])
            self.set(op[4], op[5], op[6])


NAMING = ("name", "gone", "move", "exchange")


class Disk:
    """Goes along the tape, and knows what of it is durable at each point."""

    def __init__(self, tape):
        self.tape = tape
        self.at = 0
        self.ordered = Names()      # what is durable for sure, by either model
        self.strict = Names()
        self.committed = 0          # operations before it are, as far as they are about names and sizes
        self.applied = 0
        self.waiting = {}           # directory: [(index, change of it, partner)] that no sync of it has covered
        self.dirty = {}             # nodes with pending writes

    def go_to(self, point):
        ops = self.tape.ops
        while self.at < point:
            self._take(self.at, ops[self.at])
            self.at += 1
        while self.applied < self.committed:
            if ops[self.applied][0] in NAMING:
                self.ordered.apply(ops[self.applied])
            self.applied += 1

    def _wait(self, directory, entry):
        self.waiting.setdefault(id(directory), []).append(entry)

    def _take(self, index, op):
        what = op[0]
        if what == "write":
            node = op[1]
            node.pending.append((index, op[2], op[3]))
            self.dirty[id(node)] = node
            if op[2] + len(op[3]) > node.live_size:
                node.live_size, node.touched = op[2] + len(op[3]), index
        elif what == "size":
            node = op[1]
            if op[2] != node.live_size:
                node.live_size, node.touched = op[2], index
            node.pending.append((index, op[2], None))
            self.dirty[id(node)] = node
        elif what == "name":
            op[1].touched = op[3].touched = index
            self._wait(op[1], (index, "set", op[1], op[2], op[3], None))
        elif what == "gone":
            op[1].touched = index
            self._wait(op[1], (index, "drop", op[1], op[2], None, None))
        elif what == "move":
            op[1].touched = op[3].touched = op[5].touched = index
            if op[1] is op[3]:
                self._wait(op[1], (index, "move", op[1], op[2], op[5], op[4]))
            else:
                arrival = (index, "set", op[3], op[4], op[5], None)
                self._wait(op[3], arrival)
                self._wait(op[1], (index, "leave", op[1], op[2], op[5], arrival))
        elif what == "exchange":
            op[1].touched = op[4].touched = index
            self._wait(op[1], (index, "set", op[1], op[2], op[3], None))
            self._wait(op[4], (index, "set", op[4], op[5], op[6], None))
        elif what == "sync":
            node = op[1]
            self.committed = max(self.committed, node.touched + 1)
            if node.kind == "dir":
                self._settle(node)
            else:
                self._fold(node)
        elif what == "lost":
            # The kernel takes the pages for clean after it: they are as written for whoever reads, and not on the disk.
            if self.dirty.pop(id(op[1]), None) is not None:
                op[1].pending = []
                op[1].version += 1
                op[1].digest = None
        elif what == "sync all":
            self.committed = index
            for node in list(self.dirty.values()):
                self._fold(node)
            for node in self.tape.nodes:
                if id(node) in self.waiting:
                    self._settle(node)

    def _settle(self, directory):
        """A sync of a directory. What left it for another one is there then."""
        for entry in self.waiting.pop(id(directory), []):
            if entry[1] == "leave":
                arrival = entry[5]
                others = self.waiting.get(id(arrival[2]), [])
                if arrival in others:
                    others.remove(arrival)
                    self._change(self.strict, arrival)
            self._change(self.strict, entry)

    @staticmethod
    def _change(names, entry):
        _, what, directory, name, node, more = entry
        if what == "set":
            names.set(directory, name, node)
        elif what == "move":
            names.drop(directory, name)
            names.set(directory, more, node)
        elif what == "drop" or names.of(directory).get(name) is node:
            names.drop(directory, name)

    def _fold(self, node):
        if self.dirty.pop(id(node), None) is None:
            return
        for _, where, data in node.pending:
            write(node.image, where, data)
        node.pending = []
        node.version += 1
        node.digest = None


def write(image, where, data):
    if data is None:
        if len(image) > where:
            del image[where:]
        else:
            image.extend(bytes(where - len(image)))
        return
    if len(image) < where:
        image.extend(bytes(where - len(image)))
    image[where:where + len(data)] = data


class State:
    """One disk after the power went at a point, drawn by a number."""

    def __init__(self, disk, chance, model):
        self.disk, self.seed = disk, chance.getrandbits(62)
        self.model = model
        self.fate = chance.choice(("none", "none", "all", "prefix", "random", "random"))
        self.share = chance.choice((0.1, 0.5, 0.9))
        self.zeroes = chance.random() < 0.15  # a file's size may be known before its contents are
        self.cut = disk.at
        if model == "ordered":
            low, high = disk.committed, disk.at
            self.cut = chance.choice((low, high, chance.randint(low, high)))
            self.names = disk.ordered.copy()
            for op in disk.tape.ops[low:self.cut]:
                if op[0] in NAMING:
                    self.names.apply(op)
        else:
            self._strict(disk, chance)
        self.bytes = {}

    def _strict(self, disk, chance):
        self.names = disk.strict.copy()
        kept, waiting = [], disk.waiting
        for list_ in waiting.values():
            kept += list_[:chance.choice((0, len(list_), chance.randint(0, len(list_))))]
        kept.sort(key=lambda entry: entry[0])
        arrived = {id(entry) for entry in kept}
        open_ = {id(entry) for list_ in waiting.values() for entry in list_}
        for entry in kept:
            if entry[1] == "leave" and id(entry[5]) in open_ and id(entry[5]) not in arrived:
                continue
            Disk._change(self.names, entry)

    def find(self, path):
        node = self.disk.tape.root
        for part in path.split("/"):
            node = self.names.of(node).get(part)
            if node is None:
                return None
        return node

    def list(self, path):
        node = self.find(path)
        return self.names.of(node) if node is not None else {}

    def content(self, node):
        """What is in a file. Nodes without pending writes have what they were synced with."""
        if not node.pending:
            return node.image
        if id(node) not in self.bytes:
            self.bytes[id(node)] = self._draw(node)
        return self.bytes[id(node)]

    def _draw(self, node):
        # By the first write, as nodes themselves have no number that is the same in each process.
        chance = random.Random(self.seed * 1_000_003 + node.pending[0][0])
        image, pending, fate = bytearray(node.image), node.pending, self.fate
        last = chance.randint(0, len(pending)) if fate == "prefix" else len(pending)
        for i, (index, where, data) in enumerate(pending):
            if data is None:
                due = index < self.cut if self.model == "ordered" else fate == "all" or i < last and fate != "none"
                if due:
                    write(image, where, None)
                continue
            if fate == "none" or i > last:
                continue
            if fate == "all" or (fate == "prefix" and i < last):
                write(image, where, data)
                continue
            self._tear(image, where, data, chance, fate == "prefix")
        if self.zeroes and len(image) < node.live_size:
            image.extend(bytes(node.live_size - len(image)))
        return image

    def _tear(self, image, where, data, chance, in_order):
        end, at, share = where + len(data), where, chance.random() if in_order else self.share
        while at < end:
            until = min(end, at - at % SECTOR + SECTOR)
            if chance.random() < share:
                write(image, at, data[at - where:until - where])
            elif in_order:
                return
            at = until

    def write_to(self, target):
        """Makes the tree of it below a directory."""
        def go(node, path):
            for name, child in self.names.of(node).items():
                at = os.path.join(path, name)
                if child.kind == "dir":
                    os.mkdir(at, 0o700)
                    go(child, at)
                elif child.kind == "link":
                    os.symlink(child.text, at)
                else:
                    with open(at, "wb") as file:
                        file.write(self.content(child))
                    os.chmod(at, 0o600)

        os.makedirs(target, 0o700)
        go(self.disk.tape.root, target)
