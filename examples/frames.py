"""Types frames into a room's WebSocket and shows those that come.

    frames.py http://127.0.0.1:7000 NICKNAME [SUBPROTOCOL...]    signs in first; TALK_SECRET makes it an account's sign-in
    frames.py ws://127.0.0.1:7000/ws [SUBPROTOCOL...]            with a token among the subprotocols

Each line of the input is sent as one text frame; the end of the input (Ctrl-D) closes. Needs the package websockets
(Debian: python3-websockets).
"""

import asyncio
import http.client
import json
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import websockets

# Seconds: for an answer, and after the end of the input for what may still come.
PATIENCE, QUIET = 10, 1
NO_ROOMS = "is no room server; that is at port 7000, unless it was told otherwise"


def reason(status, body):
    """What a refusal says of itself."""
    try:
        return f"{json.loads(body)['detail']} (HTTP {status})"
    except (KeyError, TypeError, ValueError):
        return f"HTTP {status}"


def sign_in(url, nickname):
    """The WebSocket's URL, and a token for it."""
    fields = {"nickname": nickname}
    # Not an argument: those can be seen by everybody on the machine.
    if "TALK_SECRET" in os.environ:
        fields["secret"] = os.environ["TALK_SECRET"]
    try:
        with urllib.request.urlopen(url + "/auth", urllib.parse.urlencode(fields).encode(), PATIENCE) as answer:
            return "ws" + url.removeprefix("http") + "/ws", json.load(answer)["token"]
    except urllib.error.HTTPError as refused:
        why = reason(refused.code, refused.read())
        raise ValueError(why if refused.code not in (404, 405, 501) else f"what answers at {url} {NO_ROOMS}: {why}")
    except urllib.error.URLError as failed:
        raise ValueError(f"{url} does not answer: {failed.reason}")
    except TimeoutError:
        raise ValueError(f"what listens at {url} {NO_ROOMS}: no answer in {PATIENCE} seconds")
    except (http.client.HTTPException, OSError, KeyError, TypeError, ValueError) as wrong:
        raise ValueError(f"what listens at {url} {NO_ROOMS}: {wrong!r}")


async def connect(url, subprotocols):
    try:
        return await websockets.connect(url, subprotocols=subprotocols or None, open_timeout=PATIENCE)
    except (TimeoutError, asyncio.TimeoutError):
        raise ValueError(f"what listens at {url} speaks no WebSocket: no answer in {PATIENCE} seconds")
    except OSError as failed:
        raise ValueError(f"{url} does not answer: {failed}")
    except websockets.InvalidURI:
        raise ValueError(f"{url} begins neither with http:// nor with ws://")
    except websockets.InvalidHandshake as refused:
        response = getattr(refused, "response", None)
        # Older releases of the package keep the status alone.
        status = getattr(response, "status_code", getattr(refused, "status_code", None))
        if status is None:
            raise ValueError(f"what listens at {url} speaks no WebSocket: {refused}")
        raise ValueError(f"{url}: {reason(status, getattr(response, 'body', None))}")


async def main(url, *subprotocols):
    if url.startswith("http"):
        nickname, *others = subprotocols
        url, token = sign_in(url.rstrip("/"), nickname)
        subprotocols = [*others, token]
    socket = await connect(url, subprotocols)
    try:
        await talk(socket)
    finally:
        await socket.close()


async def talk(socket):
    lines, loop = asyncio.Queue(), asyncio.get_running_loop()
    heard = loop.time()

    def read():
        try:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except RuntimeError:
            pass  # It is closed, and the loop has ended.

    async def type_in():
        while (line := await lines.get()) is not None:
            await socket.send(line)
        ended = loop.time()
        while (wait := max(heard, ended) + QUIET - loop.time()) > 0:
            await asyncio.sleep(wait)
        await socket.close()

    threading.Thread(target=read, daemon=True).start()
    typing = asyncio.create_task(type_in())
    try:
        while True:
            print(await socket.recv(), flush=True)
            heard = loop.time()
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
    sys.exit(f"frames.py: {error}")
