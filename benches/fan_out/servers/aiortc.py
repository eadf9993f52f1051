"""Plays a film, encoded already, to WebRTC viewers by aiortc: `POST /whep`. Arguments: the film, seconds to hold each frame."""

import asyncio
import fractions
import struct
import sys
import time

import av
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

TICK = 0.04
RTP_TICK = 3600
QUEUE = 12


def read_film(path):
    units = []
    with open(path, "rb") as film:
        while head := film.read(9):
            length, stamp, key = struct.unpack(">IIB", head)
            units.append((film.read(length), stamp, key == 1))
    return units


class Track(MediaStreamTrack):
    kind = "video"

    def __init__(self):
        super().__init__()
        self.frames = asyncio.Queue(QUEUE)
        self.begun = False

    def offer(self, packet, key):
        self.begun |= key
        if self.begun and not self.frames.full():
            self.frames.put_nowait(packet)

    async def recv(self):
        return await self.frames.get()


tracks, connections, wanted = [], set(), asyncio.Event()


def hand_in(packet, key):
    for track in tracks:
        track.offer(packet, key)


async def play(units, hold):
    start, number, last_key = time.monotonic(), 0, 0.0
    tick = 0
    while True:
        await asyncio.sleep(max(0.0, start + tick * TICK - time.monotonic()))
        if wanted.is_set() and time.monotonic() - last_key >= 0.5:
            wanted.clear()
            number = 0
        unit, stamp, key = units[number]
        number = (number + 1) % len(units)
        if key:
            last_key = time.monotonic()
        now = time.time_ns()
        nibbles = bytes(0x40 | now >> (60 - 4 * n) & 0xF for n in range(16))
        packet = av.Packet(unit[:stamp] + nibbles + unit[stamp + 16 :])
        packet.pts = tick * RTP_TICK
        packet.time_base = fractions.Fraction(1, 90000)
        asyncio.get_running_loop().call_later(hold, hand_in, packet, key)
        tick += 1


async def answer(request):
    connection, track = RTCPeerConnection(), Track()
    connections.add(connection)

    @connection.on("connectionstatechange")
    def changed():
        if connection.connectionState == "connected":
            tracks.append(track)
            wanted.set()

    await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
    connection.addTrack(track)
    await connection.setLocalDescription(await connection.createAnswer())
    return web.Response(status=201, text=connection.localDescription.sdp)


async def main():
    app = web.Application()
    app.router.add_post("/whep", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/whep", flush=True)
    await play(read_film(sys.argv[1]), float(sys.argv[2]))


asyncio.run(main())
