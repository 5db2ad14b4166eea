"""Types frames into a WebSocket and shows those that come: frames.py URL [SUBPROTOCOL...]

Each line of the input is sent as one text frame. Needs the package websockets (Debian: python3-websockets).
"""

import asyncio
import sys
import threading

import websockets


async def main(url, *subprotocols):
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


try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    pass
except (OSError, ValueError, websockets.WebSocketException) as error:
    # A bad subprotocol is most often no token: the sign-in was refused, and its answer says why.
    sys.exit(f"frames.py: {error}")
