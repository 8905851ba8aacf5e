"""Raw Ethernet frames on an interface of the lab. Usage: frames.py send INTERFACE      sends each line of standard input, as hexadecimal digits
       frames.py watch INTERFACE     prints each frame that comes or goes, a line: seconds since the epoch, `in` or `out`, hexadecimal digits

watch prints `watching` once it misses no frame any more. It sees incoming frames before the host's filters and outgoing ones after them.
"""
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33

command, interface = sys.argv[1:]
# The socket has no protocol until it is bound. Otherwise it would receive the frames of all interfaces until then.
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
if command == "send":
    raw.bind((interface, 0))
    for line in sys.stdin:
        raw.send(bytes.fromhex(line.strip()))
else:
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # beyond the usual limit, so that nothing is missed on a busy machine
    raw.bind((interface, ETH_P_ALL))
    print("watching", flush=True)
    while True:
        frame, about = raw.recvfrom(65536)
        print(f"{time.time():.6f} {'out' if about[2] == PACKET_OUTGOING else 'in'} {frame.hex()}", flush=True)
