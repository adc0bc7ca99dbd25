"""Load on a running server over loopback, with nothing but Python's standard library.

    load.py URL PID cost    CPU time outside the model for one 1024x1024 PNG with two sentences, by stage
    load.py URL PID rate    requests a second for small pictures on kept-open connections
    load.py URL PID slow    p99 of healthy clients without and with 200 slow ones beside them
    load.py URL PID storm [SECONDS] [CLIENTS]
                            valid and bad requests mixed, more clients than places, slow clients beside them

URL is the server's base (http://127.0.0.1:PORT), PID its process. `storm` fails when a reply has a status that was
not promised, or when memory grows from the first half to the second.
"""

import asyncio
import base64
import collections
import json
import os
import random
import struct
import sys
import time
import urllib.parse
import urllib.request
import zlib

PROMISED = {200, 400, 413, 415, 422, 429}


def png(width, height, kind):
    """An RGB picture: a ramp, grain (five bits of noise, which costs most to unpack) or noise (which is largest)."""
    if kind != "ramp":
        mask = 31 if kind == "grain" else 255
        noise = [random.Random(y).randbytes(3 * width) for y in range(height)]
        rows = [b"\0" + bytes(value & mask for value in row) for row in noise]
    else:
        rows = [b"\0" + bytes(v for x in range(width) for v in ((x + y) % 256, x % 256, y % 256)) for y in range(height)]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows), 1))
        + chunk(b"IEND", b"")
    )


def score(*rows):
    data = [[base64.b64encode(picture).decode(), text] for picture, text in rows]
    table = {"columns": ["image", "text"], "index": list(range(len(rows))), "data": data}
    return json.dumps({"input_data": table}).encode()


class Connection:
    """One kept-open HTTP/1.1 connection."""

    def __init__(self, host, port):
        self.host, self.port, self.streams = host, port, None

    async def post(self, body, headers=""):
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        reader, writer = self.streams
        head = (
            f"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n"
        )
        writer.write(head.encode() + body)
        status, length, chunked, close, size = 0, 0, False, False, 0
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            if not status:
                status = int(line.split()[1])
            length = int(value) if name.lower() == "content-length" else length
            chunked |= name.lower() == "transfer-encoding"
            close |= name.lower() == "connection" and "close" in value
        if not status:
            raise ConnectionResetError
        while chunked:
            part = int(await reader.readline(), 16)
            await reader.readexactly(part + 2)
            size += part
            chunked = part > 0
        await reader.readexactly(length)
        if close:
            self.close()
        return status, size + length

    def close(self):
        if self.streams:
            self.streams[1].close()
            self.streams = None


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def stages(url):
    """Seconds by stage so far, from the metrics."""
    text = urllib.request.urlopen(f"{url}/metrics").read().decode()
    sums = {}
    for line in text.splitlines():
        if line.startswith("medparse_stage_seconds_sum"):
            sums[line.split('"')[1]] = float(line.split()[-1])
    return sums


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] * 1e3 if values else float("nan")


async def cost(url, pid, host, port):
    for name, kind, headers in [
        ("ramp", "ramp", ""),
        ("grain", "grain", ""),
        ("noise", "noise", ""),
        ("noise, gzip reply", "noise", "Accept-Encoding: gzip\r\n"),
        ("noise, br reply", "noise", "Accept-Encoding: br\r\n"),
        ("noise, zstd reply", "noise", "Accept-Encoding: zstd\r\n"),
    ]:
        body = score((png(1024, 1024, kind), "tumor core & enhancing tumor"))
        connection, count = Connection(host, port), 60
        await connection.post(body, headers)
        before, spent, started = stages(url), processor_seconds(pid), time.monotonic()
        for _ in range(count):
            status, size = await connection.post(body, headers)
            assert status == 200, status
        wall = (time.monotonic() - started) / count * 1e3
        spent = (processor_seconds(pid) - spent) / count * 1e3
        by_stage = {stage: (value - before[stage]) / count * 1e3 for stage, value in stages(url).items()}
        outside = spent - by_stage.pop("encode") - by_stage.pop("ask")
        by_stage.pop("wait")
        parts = ", ".join(f"{stage} {value:.1f}" for stage, value in by_stage.items())
        print(
            f"{name:18} body {len(body) / 2**20:4.1f} MiB, reply {size / 2**20:5.2f} MiB: {outside:5.1f} ms of CPU "
            f"outside the model, {wall:5.1f} ms on the clock ({parts}; the rest is sockets and compression)"
        )
        connection.close()


async def rate(url, pid, host, port):
    body = score((png(64, 64, "ramp"), "cell & nucleus"))
    for clients in (1, 8, 32):
        done, end = 0, time.monotonic() + 5
        times = []

        async def client():
            nonlocal done
            connection = Connection(host, port)
            while time.monotonic() < end:
                started = time.monotonic()
                status, _ = await connection.post(body)
                assert status == 200, status
                times.append(time.monotonic() - started)
                done += 1

        spent = processor_seconds(pid)
        await asyncio.gather(*(client() for _ in range(clients)))
        spent = processor_seconds(pid) - spent
        print(
            f"{clients:3} clients: {done / 5:7.0f} requests/s, p50 {percentile(times, 0.5):.2f} ms, "
            f"p99 {percentile(times, 0.99):.2f} ms, {spent / done * 1e6:.0f} us of CPU each"
        )


async def slow(url, pid, host, port):
    """Healthy clients alone, then beside 200 that say half a request and then nothing."""
    body = score((png(64, 64, "ramp"), "cell & nucleus"))

    async def healthy(end, times):
        connection = Connection(host, port)
        while time.monotonic() < end:
            started = time.monotonic()
            status, _ = await connection.post(body)
            assert status == 200, status
            times.append(time.monotonic() - started)
            await asyncio.sleep(0.01)

    closed = []

    async def dribble(start):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{")
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        closed.append(time.monotonic() - start)
        writer.close()

    for count in (0, 200):
        times, start = [], time.monotonic()
        dribblers = [dribble(start) for _ in range(count)]
        await asyncio.gather(*(healthy(start + 10, times) for _ in range(4)), *dribblers)
        text = f", all closed after {min(closed):.1f} to {max(closed):.1f} s" if closed else ""
        print(
            f"beside {count:3} slow clients: {len(times)} requests, p50 {percentile(times, 0.5):.2f} ms, "
            f"p99 {percentile(times, 0.99):.2f} ms{text}"
        )


async def storm(url, pid, host, port, seconds=60, clients=80):
    good = png(256, 256, "ramp")
    large = png(1024, 1024, "noise")
    bomb = bytearray(good)
    bomb[16:24] = struct.pack(">II", 40000, 40000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    kinds = {
        "one row": score((good, "cell & nucleus")),
        "eight rows": score(*[(good, "cell")] * 8),
        "large": score((large, "tumor core & enhancing tumor")),
        "bomb": score((bytes(bomb), "cell")),
        "cut": score((good[: len(good) // 2], "cell")),
        "rows": score(*[(good[:40], "cell")] * 257),
        "prompts": score((good, "&".join(["cell"] * 10000))),
        "nulls": b'{"input_data": {"columns": ["image", "text"], "index": [0], "data": [[null, null]]}}',
        "syntax": b'{"input_data": NaN}',
        "deep": b'{"params": ' + b"[" * 100000,
    }
    weights = [30, 5, 5] + [3] * 7
    end = time.monotonic() + seconds
    counts, times, broken, memory = collections.Counter(), collections.defaultdict(list), 0, []

    async def client(number):
        nonlocal broken
        chance, connection = random.Random(number), Connection(host, port)
        while time.monotonic() < end:
            (kind,) = chance.choices(list(kinds), weights)
            started = time.monotonic()
            try:
                if chance.random() < 0.02:
                    # Gone before the answer.
                    try:
                        await asyncio.wait_for(connection.post(kinds[kind]), 0.001)
                    except TimeoutError:
                        connection.close()
                        counts["gone"] += 1
                    continue
                status, _ = await connection.post(kinds[kind])
            except (ConnectionError, asyncio.IncompleteReadError):
                broken += 1
                connection.close()
                continue
            counts[kind, status] += 1
            times["429" if status == 429 else kind].append(time.monotonic() - started)
            if status == 429:
                await asyncio.sleep(0.2)

    async def dribble():
        """Says half a request and then nothing, over and over."""
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{")
                await asyncio.wait_for(reader.read(), max(0.1, end - time.monotonic()))
                writer.close()
            except (ConnectionError, TimeoutError):
                pass

    async def watch():
        while time.monotonic() < end:
            memory.append(resident_mib(pid))
            await asyncio.sleep(0.5)

    await asyncio.gather(watch(), *(dribble() for _ in range(200)), *(client(number) for number in range(clients)))
    statuses = collections.Counter()
    for key, count in counts.items():
        if isinstance(key, tuple):
            statuses[key[1]] += count
    print(f"{sum(statuses.values())} replies in {seconds} s from {clients} clients beside 200 that dribble: {dict(statuses)}")
    print(f"{counts['gone']} clients left early, {broken} connections broke")
    for kind, values in times.items():
        print(f"  {kind:10} {len(values):6}  p50 {percentile(values, 0.5):7.1f} ms  p99 {percentile(values, 0.99):7.1f} ms")
    half = len(memory) // 2
    first, second = max(memory[half // 5 : half]), max(memory[half:])
    print(f"resident memory: at most {first:.0f} MiB in the first half, {second:.0f} MiB in the second")
    unpromised = set(statuses) - PROMISED
    assert not unpromised, f"statuses that were not promised: {unpromised}"
    assert broken == 0, f"{broken} connections broke"
    assert second <= first * 1.1 + 8, "memory grows"


def main():
    url, pid, mode, *rest = sys.argv[1:]
    parts = urllib.parse.urlsplit(url)
    work = {"cost": cost, "rate": rate, "slow": slow, "storm": storm}[mode]
    asyncio.run(work(url, int(pid), parts.hostname, parts.port, *map(int, rest)))


if __name__ == "__main__":
    main()
