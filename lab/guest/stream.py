"""A long TCP connection to a port that echoes, from inside a VM of the lab. Usage: stream.py ADDRESS PORT INTERVAL-SECONDS PATIENCE-SECONDS

Sends numbered records and checks that they come back, each once and in order. Prints `streaming` once the first is back. On SIGTERM it ends and prints a line of JSON:
sent, received, longestSilenceSeconds (between two that came back), trouble (empty, or what went wrong).
"""
import json
import signal
import socket
import struct
import sys
import time

address, port, interval, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
stop = False


def end(*_: object) -> None:
    """Ends the stream after the records that are on their way."""
    global stop
    stop = True


signal.signal(signal.SIGTERM, end)
sent = received = 0
longest = 0.0
trouble = ""
waiting = b""
try:
    connection = socket.create_connection((address, port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    last = next_send = time.monotonic()
    while not stop or received < sent:
        now = time.monotonic()
        if not stop and now >= next_send:
            connection.sendall(struct.pack(">Q", sent))
            sent += 1
            next_send += interval
        if stop and now - last > patience:
            trouble = f"what was sent last did not come back within {patience:g} s"
            break
        connection.settimeout(max(0.001, next_send - time.monotonic()) if not stop else 0.1)
        try:
            text = connection.recv(65536)
        except TimeoutError:
            continue
        if not text:
            trouble = "the other side closed the connection"
            break
        waiting += text
        while len(waiting) >= 8:
            number = struct.unpack(">Q", waiting[:8])[0]
            waiting = waiting[8:]
            if number != received:
                trouble = trouble or f"record {number} came back where {received} was due"
            received += 1
            arrived = time.monotonic()
            longest = max(longest, arrived - last)
            last = arrived
            if received == 1:
                longest = 0.0
                print("streaming", flush=True)
except OSError as error:
    trouble = str(error)
longest = max(longest, time.monotonic() - last) if received and trouble else longest
print(json.dumps({"sent": sent, "received": received, "longestSilenceSeconds": round(longest, 4), "trouble": trouble}), flush=True)
