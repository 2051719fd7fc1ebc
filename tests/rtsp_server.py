"""A camera for tests: an RTSP server (RFC 2326) that sends pictures as RTP with JPEG (RFC 2435).

It speaks as little as FFmpeg asks for: one client at a time, RTP interleaved in the connection.
"""

import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image

CLOCK = 90_000  # ticks of RTP a second
PAYLOAD = 1200  # bytes of JPEG in a packet
JPEG, MARKER = 26, 0x80
SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 127.0.0.1
t=0 0
a=control:*
m=video 0 RTP/AVP 26
a=control:track0
"""


class Camera:
    """`grey` is the brightness of its pictures; `silent` stops them, `hang_up` ends the stream."""

    def __init__(self, width: int = 64, height: int = 48, rate: float = 50.0) -> None:
        self.size, self.rate, self.grey = (height, width), rate, 100
        self.silent, self.over, self.clients = threading.Event(), threading.Event(), 0
        self._client: socket.socket | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}/stream"

    def serve(self) -> None:
        """One client after another, until `over`."""
        while not self.over.is_set():
            with suppress(OSError):
                self._client, _ = self._server.accept()
                self.clients += 1
                with self._client:
                    self._talk(self._client)

    def hang_up(self) -> None:
        if self._client:
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.over.set()
        self.hang_up()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _talk(self, client: socket.socket) -> None:
        for words, headers in requests(client):
            number, more = headers["cseq"], ""
            if words[0] == "DESCRIBE":
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n"
            if words[0] in ("SETUP", "PLAY", "TEARDOWN"):
                more = "Session: 1\r\n"
            if words[0] == "SETUP":
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            if words[0] == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            body = SDP if words[0] == "DESCRIBE" else ""
            client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}".encode())
            if words[0] == "PLAY":
                self._play(client)
                return

    def _play(self, client: socket.socket) -> None:
        began, sequence = time.monotonic(), 0
        while not self.over.is_set():
            if not self.silent.is_set():
                ticks = int((time.monotonic() - began) * CLOCK)
                for packet in packets(np.full(self.size, self.grey, np.uint8), sequence, ticks):
                    client.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
                    sequence += 1
            self.over.wait(1 / self.rate)


def requests(client: socket.socket) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The words of the first line, and the headers, of each request."""
    with client.makefile("rb") as lines:
        while first := lines.readline().decode():
            headers = {}
            while line := lines.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            yield first.split(), headers


def packets(grey: np.ndarray, sequence: int, ticks: int) -> Iterator[bytes]:
    """The RTP packets of one picture (H, W)."""
    tables, scan = scan_of(grey)
    for at in range(0, len(scan), PAYLOAD):
        last = at + PAYLOAD >= len(scan)
        number = (sequence + at // PAYLOAD) & 0xFFFF
        rtp = struct.pack(">BBHII", 0x80, JPEG | MARKER * last, number, ticks & 0xFFFFFFFF, 1)
        where = struct.pack(">I", at)  # a byte of the type, three of the offset
        height, width = grey.shape
        head = where + struct.pack(">BBBB", 1, 255, width // 8, height // 8)
        quantisers = struct.pack(">BBH", 0, 0, len(tables)) + tables if at == 0 else b""
        yield rtp + head + quantisers + scan[at : at + PAYLOAD]


def scan_of(grey: np.ndarray) -> tuple[bytes, bytes]:
    """The two quantiser tables and the entropy-coded data of a JPEG with 4:2:0 and the usual
    Huffman tables, as type 1 of RFC 2435 asks for."""
    file = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(file, "JPEG", quality=90, subsampling=2)
    data, at, tables = file.getvalue(), 2, b""
    while data[at + 1] != 0xDA:  # the start of the scan
        size = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == 0xDB:  # tables, each behind a byte with its number
            part = data[at + 4 : at + 2 + size]
            tables += b"".join(part[n + 1 : n + 65] for n in range(0, len(part), 65))
        at += 2 + size
    start = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return tables, data[start:-2]


@contextmanager
def camera() -> Iterator[Camera]:
    """A camera that serves until the block ends."""
    made = Camera()
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()
