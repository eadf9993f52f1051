"""WHEP as a player speaks it (draft-ietf-wish-whep), for the players in Python. Needs nothing but the standard library."""

import argparse
import json
import time
import urllib.error
import urllib.parse
import urllib.request


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="http://localhost:8081/whep/wall")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--profiles", help="of SRTP, by their numbers of RFC 5764 and RFC 7714: 1,7", default="")
    return parser.parse_args()


class Session:
    """Sends the offer. `answer` is the answer; `begun` is when the offer went."""

    def __init__(self, url, offer):
        self.offer, self.begun = offer, time.monotonic()
        request = urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                self.answer = response.read().decode()
                self._address = urllib.parse.urljoin(url, response.headers["Location"])
        except urllib.error.HTTPError as error:
            raise SystemExit(f"the offer was answered {error.code}: {error.read().decode()}") from error

    def elapsed_ms(self, at):
        return round(1000 * (at - self.begun))

    def end(self):
        with urllib.request.urlopen(urllib.request.Request(self._address, method="DELETE"), timeout=10) as response:
            return response.status


def report(session, **findings):
    """The one line on the standard output that the test reads."""
    print(json.dumps({"connected": True, **findings, "offer": session.offer, "answer": session.answer}), flush=True)
