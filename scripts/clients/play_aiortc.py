"""aiortc (Python), which decodes by FFmpeg through PyAV."""

import asyncio
import time
from importlib.metadata import version

import whep
from aiortc import RTCPeerConnection, RTCSessionDescription, rtcdtlstransport
from aiortc.mediastreams import MediaStreamError


async def main():
    arguments = whep.arguments()
    offered(arguments.profiles)
    peer = RTCPeerConnection()
    peer.addTransceiver("video", direction="recvonly")
    connected, playing, frames = asyncio.Event(), asyncio.Event(), []

    @peer.on("connectionstatechange")
    def changed():
        if peer.connectionState == "connected":
            connected.set()

    async def take(track):
        try:
            while True:
                frame = await track.recv()
                frames.append((time.monotonic(), frame.width, frame.height, bool(frame.key_frame)))
                playing.set()
        except MediaStreamError:
            pass

    @peer.on("track")
    def added(track):
        takers.append(asyncio.ensure_future(take(track)))

    takers = []
    await peer.setLocalDescription(await peer.createOffer())
    session = await asyncio.to_thread(whep.Session, arguments.url, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(session.answer, "answer"))
    await asyncio.wait_for(connected.wait(), 10)
    await asyncio.wait_for(playing.wait(), 15)
    await asyncio.sleep(arguments.seconds)
    found = list(frames)
    ended = await asyncio.to_thread(session.end)
    await peer.close()
    await asyncio.gather(*takers)
    whep.report(
        session,
        version=version("aiortc"),
        decoded=len(found),
        key_frames=sum(key for *_, key in found),
        width=found[-1][1] if found else None,
        height=found[-1][2] if found else None,
        first_frame_ms=session.elapsed_ms(found[0][0]) if found else None,
        ended=ended,
    )


def offered(numbers):
    """Keeps of aiortc's SRTP profiles those with these numbers; all when there are none."""
    wanted = {int(number) for number in numbers.split(",") if number}
    if wanted:
        kept = [profile for profile in rtcdtlstransport.SRTP_PROFILES if NUMBERS[profile.openssl_profile] in wanted]
        rtcdtlstransport.SRTP_PROFILES[:] = kept


NUMBERS = {
    b"SRTP_AES128_CM_SHA1_80": 1,
    b"SRTP_AES128_CM_SHA1_32": 2,
    b"SRTP_AEAD_AES_128_GCM": 7,
    b"SRTP_AEAD_AES_256_GCM": 8,
}

asyncio.run(main())
