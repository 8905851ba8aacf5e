"""Listens in a VM of the lab and echoes what it receives. Usage: echo.py tcp:80 tcp:22 udp:53 …

Prints `listening` once all ports are open.
"""
import selectors
import socket
import sys

wait = selectors.DefaultSelector()


def accept(listener: socket.socket) -> None:
    """Accepts a TCP connection."""
    connection, _ = listener.accept()
    wait.register(connection, selectors.EVENT_READ, give_back)


def give_back(connection: socket.socket) -> None:
    """Sends back what has arrived on a TCP connection, and closes it after its end."""
    try:
        text = connection.recv(65536)
        if text:
            connection.sendall(text)
            return
    except OSError as error:
        print(f"a connection ended: {error}", flush=True)
    wait.unregister(connection)
    connection.close()


def answer(listener: socket.socket) -> None:
    """Sends back a UDP datagram."""
    text, peer = listener.recvfrom(65536)
    listener.sendto(text, peer)


for argument in sys.argv[1:]:
    protocol, port = argument.split(":")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", int(port)))
    if kind == socket.SOCK_STREAM:
        listener.listen(64)
    wait.register(listener, selectors.EVENT_READ, accept if kind == socket.SOCK_STREAM else answer)
print("listening", flush=True)
while True:
    for key, _ in wait.select():
        key.data(key.fileobj)
