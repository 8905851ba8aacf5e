"""The rows process: it has Neutron's plugin loaded and answers the daemon's questions at any time. calico-neutron-driver starts it, and it ends with the daemon.

API workers cannot do this: under uWSGI nothing of theirs runs between two requests, and a second thread breaks eventlet.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Dict, List, Mapping, Sequence

from calico_openstack import wire

#: How many questions are answered at the same time. Each holds a database connection.
CONCURRENCY = 8


#: The environment variable with the daemon's pid. The daemon sets it when it starts this process.
PARENT = "CALICO_NEUTRON_DRIVER_PID"
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Makes the kernel kill this process when the daemon ends in any way: a process without its daemon would hold database connections in vain."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if str(os.getppid()) != parent:
        os._exit(0)  # the daemon has ended already


def patch_eventlet() -> None:
    """Patches the process for Neutron releases whose servers run on eventlet. Releases that have a server without eventlet do not need that.

    This must come before any import of Neutron or oslo, even one that only looks for a module: locks that were created before the patch would never be released.
    """
    neutron = importlib.util.find_spec("neutron")
    folders = list(neutron.submodule_search_locations or ()) if neutron else []
    if not any(os.path.exists(os.path.join(folder, "server", "rpc.py")) for folder in folders):
        importlib.import_module("neutron.common.eventlet_utils").monkey_patch()


def load_neutron(arguments: List[str]) -> None:
    """Loads Neutron as neutron-rpc-server does, without listening."""
    from neutron import manager  # pylint: disable=import-outside-toplevel
    from neutron.api import extensions  # pylint: disable=import-outside-toplevel
    from neutron.common import config  # pylint: disable=import-outside-toplevel
    from neutron_lib.api import attributes  # pylint: disable=import-outside-toplevel
    from sqlalchemy import orm  # pylint: disable=import-outside-toplevel

    config.register_common_config_options()
    config.init(arguments)
    config.setup_logging()
    config.set_config_defaults()
    manager.init()
    extension_manager = extensions.PluginAwareExtensionManager.get_instance()
    extension_manager.extend_resources("2.0", attributes.RESOURCES)
    orm.configure_mappers()  # the plugin's port queries use relations that exist only after this call


def check_configuration(mechanism_drivers: Sequence[str]) -> None:
    """Refuses an incomplete configuration: with only some of Neutron's files, this process would see ports without their extensions and undo what API workers do."""
    if "calico" not in mechanism_drivers:
        raise SystemExit(
            f"[ml2] mechanism_drivers is {', '.join(mechanism_drivers) or 'empty'}, without calico: give calico-neutron-driver "
            "every --config-file that Neutron itself is given"
        )


def serve(connection: wire.Connection, answer: wire.Answer) -> None:
    """Answers questions until the daemon closes the connection. Several are answered at a time, each in a thread of its own."""
    sending = threading.Lock()
    free = threading.Semaphore(CONCURRENCY)

    def respond(message: Dict[str, Any]) -> None:
        try:
            reply = wire.reply_to(message, answer)
            with sending:
                connection.send(reply)
        except wire.Disconnected:
            pass  # serve() notices that too, and ends
        finally:
            free.release()

    connection.wait_for_ever()
    while True:
        try:
            message = connection.receive()
        except wire.Disconnected:
            return
        free.acquire()
        threading.Thread(target=respond, args=(message,), daemon=True).start()


def main() -> None:
    """Runs the process until the daemon closes the connection."""
    end_with_parent()
    patch_eventlet()
    load_neutron(sys.argv[1:])
    from calico_openstack import apply, options, rows, stamps  # pylint: disable=import-outside-toplevel
    from oslo_config import cfg  # pylint: disable=import-outside-toplevel

    options.register()
    check_configuration(cfg.CONF.ml2.mechanism_drivers)
    questions: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {**rows.QUESTIONS, **stamps.QUESTIONS, **apply.ORDERS}

    def answer(method: str, params: Mapping[str, Any]) -> Any:
        if method not in questions:
            raise LookupError(f"no such question: {method}")
        return questions[method](params)

    serve(wire.Connection(cfg.CONF.calico.neutron_driver_socket, "rows", 10), answer)


if __name__ == "__main__":
    # The process ends without the interpreter's shutdown, in which threads of Neutron's libraries may wait for ever.
    try:
        main()
    except BaseException as error:  # pylint: disable=broad-except
        if isinstance(error, SystemExit):
            print(error, file=sys.stderr)  # the message tells the operator what to do
        else:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
