"""Opens many connections to a port and does nothing with them until its stdin is closed.

    python -m tests.support.idle_clients PORT COUNT

Says `open` once all are, and `closed` once the other side has closed them all. Each third is asked something first.
"""

import resource
import select
import socket
import sys

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"


def main(port: int, count: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = []
    for number in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        if number % 3 == 0:
            client.sendall(GET)
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        clients.append(client)
    print("open", flush=True)
    open_ones = {client.fileno(): client for client in clients}
    poll = select.poll()
    for number in open_ones:
        poll.register(number, select.POLLIN)
    while open_ones:
        for number, _ in poll.poll():
            assert open_ones.pop(number).recv(4096) == b""
            poll.unregister(number)
    print("closed", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
