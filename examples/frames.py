"""Types frames into a room's WebSocket and shows those that come.

    frames.py http://127.0.0.1:7000 NICKNAME [SUBPROTOCOL...]    signs in first; TALK_SECRET makes it an account's sign-in
    frames.py ws://127.0.0.1:7000/ws [SUBPROTOCOL...]            with a token among the subprotocols

Each line of the input is sent as one text frame. Needs the package websockets (Debian: python3-websockets).
"""

import asyncio
import json
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import websockets


def sign_in(url, nickname):
    """The WebSocket's URL, and a token for it."""
    fields = {"nickname": nickname}
    # Not an argument: those can be seen by everybody on the machine.
    if "TALK_SECRET" in os.environ:
        fields["secret"] = os.environ["TALK_SECRET"]
    try:
        with urllib.request.urlopen(url + "/auth", urllib.parse.urlencode(fields).encode()) as answer:
            return "ws" + url.removeprefix("http") + "/ws", json.load(answer)["token"]
    except urllib.error.HTTPError as refused:
        raise ValueError(json.load(refused)["detail"])
    except urllib.error.URLError as failed:
        raise ValueError(f"{url} does not answer: {failed.reason}")


async def main(url, *subprotocols):
    if url.startswith("http"):
        nickname, *others = subprotocols
        url, token = sign_in(url.rstrip("/"), nickname)
        subprotocols = [*others, token]
    async with websockets.connect(url, subprotocols=subprotocols or None) as socket:
        lines, loop = asyncio.Queue(), asyncio.get_running_loop()

        def read():
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))

        async def type_in():
            while True:
                await socket.send(await lines.get())

        threading.Thread(target=read, daemon=True).start()
        typing = asyncio.create_task(type_in())
        try:
            while True:
                print(await socket.recv(), flush=True)
        except websockets.ConnectionClosed as closed:
            print(f"closed: {closed.rcvd.code} {closed.rcvd.reason}".rstrip() if closed.rcvd else "gone", flush=True)
        typing.cancel()


if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help") or (sys.argv[1].startswith("http") and len(sys.argv) < 3):
    sys.exit(__doc__.strip())
try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    pass
except (OSError, ValueError, websockets.WebSocketException) as error:
    # A bad subprotocol is most often no token.
    sys.exit(f"frames.py: {error}")
