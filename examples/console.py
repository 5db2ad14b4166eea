"""Types messages to a console port and shows the objects that come: console.py HOST PORT NAME [SECRET]

Each line of the input is sent as a message; one that begins with cmd! as a command. The end of the input (Ctrl-D) leaves.
"""

import itertools
import json
import socket
import sys
import threading

LEAVES = ("cmd!client_exit", "cmd!error")


def main(host, port, name, secret=None):
    server = socket.create_connection((host, port))
    asked, heard = False, False

    def send(**members):
        server.sendall(json.dumps(members).encode())

    def type_in():
        nonlocal asked
        try:
            for line in itertools.chain(sys.stdin, LEAVES[:1]):
                line = line.rstrip("\n")
                asked = asked or line in LEAVES
                send(message_type="command" if line.startswith("cmd!") else "message", data=line)
        except OSError:
            pass

    send(username=name, **({"secret": secret} if secret else {}))
    threading.Thread(target=type_in, daemon=True).start()
    objects, waiting = json.JSONDecoder(), b""
    try:
        while some := server.recv(1024):
            waiting += some
            if waiting[:1] != b"{":
                first = waiting.decode(errors="replace").splitlines()[0]
                sys.exit(f"console.py: {host}:{port} is no console port (9009): it says {first!r}")
            # Objects come one behind the other, with nothing between them, and perhaps not whole.
            try:
                while waiting:
                    text = waiting.decode()
                    end = objects.raw_decode(text)[1]
                    print(text[:end], flush=True)
                    waiting, heard = text[end:].encode(), True
            except ValueError:
                pass
    except ConnectionError:
        # Closed, and what was still sent had no reader.
        pass
    # The server says nothing when it closes: what it knows shows in what came before.
    if asked:
        print("closed", flush=True)
    elif heard:
        print("closed: the server stops, or cannot read what was sent", flush=True)
    else:
        sys.exit(
            "console.py: closed before anything was heard: the name is none or reserved (1 to 64 printable characters, "
            "no '#', no ': '), the secret is wrong, the server stops, or this is no console port (9009)"
        )


if len(sys.argv) not in (4, 5) or not sys.argv[2].isdecimal():
    sys.exit(__doc__.strip())
try:
    main(*sys.argv[1:])
except KeyboardInterrupt:
    pass
except OSError as error:
    sys.exit(f"console.py: {sys.argv[1]}:{sys.argv[2]}: {error}")
