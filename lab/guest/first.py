"""Says when a guest that arrives on an interface is first heard there, and when the first datagrams reach it. Usage: first.py INTERFACE PORT

Waits for the interface. Prints a line of JSON when the guest was heard and a datagram to the port has gone to it in both families: the seconds since the epoch as `heard`, `4` and `6`.
"""
import json
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
UDP = 17

interface, port = sys.argv[1], int(sys.argv[2])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
while True:
    try:
        raw.bind((interface, ETH_P_ALL))
        break
    except OSError:
        time.sleep(0.01)
seen = {}
while len(seen) < 3:
    try:
        frame, about = raw.recvfrom(2048)
    except OSError:  # the interface is not up yet
        time.sleep(0.001)
        continue
    if about[2] != PACKET_OUTGOING:
        what = "heard"
    elif frame[12:14] == b"\x08\x00" and frame[23] == UDP and frame[36:38] == port.to_bytes(2, "big"):
        what = "4"
    elif frame[12:14] == b"\x86\xdd" and frame[20] == UDP and frame[56:58] == port.to_bytes(2, "big"):
        what = "6"
    else:
        continue
    seen.setdefault(what, time.time())
print(json.dumps(seen), flush=True)
