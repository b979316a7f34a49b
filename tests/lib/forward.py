#!/usr/bin/python3
"""tests/lib/forward.py - a TCP link between two places that can be cut without root.

    forward.py --control SOCKET LISTEN=TARGET [LISTEN=TARGET ...]
    forward.py --send SOCKET COMMAND

LISTEN and TARGET are host:port. Commands: `cut` closes every connection and refuses new
ones, `freeze` keeps connections open but lets nothing through (a black hole: what a
pulled fibre looks like), `heal` ends either, `delay MS` adds a one-way delay, `stats`
prints the bytes carried. All pairs share one fate: together they are the fibre.
"""
import asyncio
import os
import signal
import socket
import sys

CHUNK = 256 * 1024
QUEUE_CHUNKS = 64


def split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


class Link:
    def __init__(self, pairs):
        self.pairs = pairs
        self.servers = []
        self.writers = set()
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0
        self.carried = 0

    async def listen(self):
        if self.servers:
            return
        for listen, target in self.pairs:
            host, port = listen
            self.servers.append(await asyncio.start_server(
                lambda r, w, target=target: self.accept(r, w, target), host, port))

    async def accept(self, reader, writer, target):
        self.writers.add(writer)
        try:
            out_reader, out_writer = await asyncio.open_connection(*target)
        except OSError:
            self.drop(writer)
            return
        self.writers.add(out_writer)
        ways = [asyncio.ensure_future(self.carry(reader, out_writer)),
                asyncio.ensure_future(self.carry(out_reader, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # Either end closing closes both: neither peer keeps half a connection.
        self.drop(writer)
        self.drop(out_writer)
        for way in ways:
            way.cancel()

    def drop(self, writer):
        self.writers.discard(writer)
        try:
            writer.close()
        except OSError:
            pass

    async def carry(self, reader, writer):
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(QUEUE_CHUNKS)

        async def read():
            try:
                while True:
                    data = await reader.read(CHUNK)
                    await queue.put((loop.time() + self.delay, data))
                    if not data:
                        return
            except (OSError, ConnectionError):
                await queue.put((0, b""))

        feeder = asyncio.ensure_future(read())
        try:
            while True:
                due, data = await queue.get()
                if not data:
                    return
                wait = due - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                await self.open.wait()
                writer.write(data)
                self.carried += len(data)
                await writer.drain()
        except (OSError, ConnectionError):
            return
        finally:
            feeder.cancel()

    async def cut(self):
        for server in self.servers:
            server.close()
        self.servers = []
        for writer in list(self.writers):
            # Abort, not close: a cut fibre delivers nothing more.
            writer.transport.abort()
        self.writers.clear()

    async def command(self, line):
        words = line.split()
        if words == ["cut"]:
            await self.cut()
        elif words == ["freeze"]:
            self.open.clear()
        elif words == ["heal"]:
            self.open.set()
            await self.listen()
        elif len(words) == 2 and words[0] == "delay":
            self.delay = float(words[1]) / 1000
        elif words == ["stats"]:
            return str(self.carried)
        else:
            return "unknown command: " + line
        return "ok"

    async def control(self, reader, writer):
        line = (await reader.readline()).decode().strip()
        try:
            answer = await self.command(line)
        except OSError as e:
            answer = "error: %s" % e
        writer.write((answer + "\n").encode())
        writer.close()


async def serve(path, pairs):
    link = Link(pairs)
    await link.listen()
    server = await asyncio.start_unix_server(link.control, path)
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    await stop.wait()
    server.close()
    await link.cut()


def send(path, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall((line + "\n").encode())
        answer = s.makefile().readline().strip()
    if not answer or answer.startswith(("error", "unknown")):
        raise OSError("link command '%s': %s" % (line, answer or "no answer"))
    return answer


def main(argv):
    if len(argv) >= 4 and argv[1] == "--send":
        print(send(argv[2], " ".join(argv[3:])))
        return 0
    if len(argv) < 4 or argv[1] != "--control":
        print(__doc__, file=sys.stderr)
        return 2
    pairs = []
    for pair in argv[3:]:
        listen, _, target = pair.partition("=")
        pairs.append((split(listen), split(target)))
    if os.path.exists(argv[2]):
        os.unlink(argv[2])
    asyncio.run(serve(argv[2], pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
