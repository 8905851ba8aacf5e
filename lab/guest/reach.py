"""Tries once to reach a port that echoes, from inside a VM of the lab. Usage: reach.py tcp|udp ADDRESS PORT SECONDS [SOURCE-PORT]

Prints the outcome: answered, refused, silence (nothing within the time), or unreachable. The time is that of the network alone: once a TCP connection stands, the program that echoes
may take longer, because on a busy machine it is not run at once.
"""
import errno
import socket
import sys

ECHO_SECONDS = 30

protocol, address, port, seconds, *source_port = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as connection:
    connection.settimeout(float(seconds))
    if source_port:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(("", int(source_port[0])))
    try:
        connection.connect((address, int(port)))
        if protocol == "tcp":
            connection.settimeout(ECHO_SECONDS)
        connection.send(b"anybody there?")
        print("answered" if connection.recv(64) else "refused")
    except TimeoutError:
        print("silence")
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            print("refused")
        elif error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM):
            print("unreachable")
        else:
            raise
