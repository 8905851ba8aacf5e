"""Neutron's API and RPC workers in one process, as green threads: for a driver of upstream's.

Such a driver works in eventlet's threads beside the API, as neutron-server runs them and a WSGI server does not. And it tells Neutron of live agents by RPC, which reaches other processes
only through a message broker. In one process `transport_url = fake://` is enough.

Usage: neutron_server.py HOST PORT SOCKET, with OS_NEUTRON_CONFIG_DIR and OS_NEUTRON_CONFIG_FILES in the environment.
"""

import sys

import neutron.cmd.eventlet  # noqa: F401  patches the standard library, so it comes first

import eventlet
import eventlet.wsgi
from neutron import server, service
from neutron.common import config
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory


def serve(host, port, path):
    """Serves Neutron's API at the address and at the UNIX socket, beside the RPC workers, until the process ends."""
    app = config.load_paste_app("neutron")
    registry.publish(resources.PROCESS, events.BEFORE_SPAWN, None)
    workers = [
        service.RpcWorker(directory.get_plugins().values(), worker_process_count=0),
        service.RpcReportsWorker([directory.get_plugin()], worker_process_count=0),
    ]
    for worker in workers:
        worker.start()
    registry.publish(resources.PROCESS, events.AFTER_SPAWN, None)
    inside = eventlet.listen((host, int(port)))
    outside = eventlet.listen(path, family=eventlet.green.socket.AF_UNIX)
    servers = [eventlet.spawn(eventlet.wsgi.server, each, app, keepalive=False) for each in (inside, outside)]
    for each in servers:
        each.wait()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv[1:] = []  # the rest is Neutron's
    server.boot_server(lambda: serve(*arguments))
