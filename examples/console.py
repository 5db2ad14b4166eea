"""Types messages to a console port and shows the objects that come: console.py HOST PORT NAME [SECRET]

Each line of the input is sent as a message; one that begins with cmd! as a command.
"""

import json
import socket
import sys
import threading


def main(host, port, name, secret=None):
    server = socket.create_connection((host, port))

    def send(**members):
        server.sendall(json.dumps(members).encode())

    def type_in():
        try:
            for line in sys.stdin:
                line = line.rstrip("\n")
                send(message_type="command" if line.startswith("cmd!") else "message", data=line)
        except OSError:
            pass

    send(username=name, **({"secret": secret} if secret else {}))
    threading.Thread(target=type_in, daemon=True).start()
    objects, waiting = json.JSONDecoder(), b""
    while some := server.recv(1024):
        waiting += some
        # Objects come one behind the other, with nothing between them, and perhaps not whole.
        try:
            while waiting:
                text = waiting.decode()
                end = objects.raw_decode(text)[1]
                print(text[:end], flush=True)
                waiting = text[end:].encode()
        except ValueError:
            pass
    print("closed", flush=True)


try:
    main(*sys.argv[1:])
except KeyboardInterrupt:
    pass
except (OSError, TypeError) as error:
    sys.exit(f"console.py: {error}")
