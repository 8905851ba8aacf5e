"""Raw Ethernet frames on an interface of the lab. Usage: frames.py send INTERFACE      sends each line of standard input, as hexadecimal digits
       frames.py watch INTERFACE     prints each frame that comes or goes, a line: seconds since the epoch, `in` or `out`, hexadecimal digits

watch says `watching` once it misses nothing any more. It sees frames as the driver does: what comes before the host's filters, what goes after them.
"""
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4

command, interface = sys.argv[1:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL if command == "watch" else 0))
raw.bind((interface, ETH_P_ALL if command == "watch" else 0))
if command == "send":
    for line in sys.stdin:
        raw.send(bytes.fromhex(line.strip()))
else:
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    print("watching", flush=True)
    while True:
        frame, about = raw.recvfrom(65536)
        print(f"{time.time():.6f} {'out' if about[2] == PACKET_OUTGOING else 'in'} {frame.hex()}", flush=True)
