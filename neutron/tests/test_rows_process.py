"""The rows process, without loading Neutron."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, List, Mapping

from calico_openstack import rows_process, wire
from tests.fake_daemon import FakeDaemon


class RowsProcessTest(unittest.TestCase):
    def test_an_incomplete_configuration_is_refused_with_the_remedy(self) -> None:
        rows_process.check_configuration(["logger", "calico"])
        halves: List[List[str]] = [[], ["openvswitch"]]
        for drivers in halves:
            with self.assertRaisesRegex(SystemExit, "every --config-file that Neutron itself is given"):
                rows_process.check_configuration(drivers)

    def test_several_questions_are_answered_at_a_time_and_the_process_ends_with_the_connection(self) -> None:
        both = threading.Barrier(2, timeout=5)
        replies: List[Any] = []

        def answer(method: str, params: Mapping[str, Any]) -> Any:
            both.wait()  # neither is answered before the other has arrived
            return [method, params]

        fake = FakeDaemon(lambda *_: None)
        self.addCleanup(fake.close)
        fake.start()
        connection = wire.Connection(fake.path, "rows", 5)
        self.addCleanup(connection.close)
        serving = threading.Thread(target=rows_process.serve, args=(connection, answer))
        serving.start()
        daemon_side = fake.accepted()
        daemon_side.sendall(b'{"call": 1, "method": "rows", "params": {"n": 1}}\n{"call": 2, "method": "rows", "params": {"n": 2}}\n')
        deadline = time.monotonic() + 5
        while len(replies) < 2 and time.monotonic() < deadline:
            replies.append(fake.replies.get(timeout=5))
        self.assertEqual(sorted((reply["reply"], reply["result"]) for reply in replies), [(1, ["rows", {"n": 1}]), (2, ["rows", {"n": 2}])])
        fake.stop()
        serving.join(5)
        self.assertFalse(serving.is_alive())

    def test_nothing_of_neutrons_is_imported_before_eventlet_has_patched_the_process(self) -> None:
        script = """
import sys
from calico_openstack import rows_process
early = [name for name in sys.modules if name.split('.')[0] in ('neutron', 'oslo_config', 'oslo_log', 'sqlalchemy', 'eventlet')]
import importlib
def import_module(name):
    importlib.import_module = original
    print(early, [name for name in sys.modules if name.startswith('neutron')], name)
    return original(name)
original = importlib.import_module
importlib.import_module = import_module
rows_process.patch_eventlet()
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        said = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True).stdout
        on_eventlet = importlib.util.find_spec("neutron.common.eventlet_utils") is not None
        self.assertEqual(said.strip(), "[] [] neutron.common.eventlet_utils" if on_eventlet else "")

    def test_it_ends_with_the_daemon_that_started_it(self) -> None:
        child = "import time; from calico_openstack import rows_process; rows_process.end_with_parent(); print('ready', flush=True); time.sleep(60)"
        parent = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {child!r}], env={{**os.environ, 'CALICO_NEUTRON_DRIVER_PID': str(os.getpid())}}, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as daemon:
            assert daemon.stdout
            pid = int(daemon.stdout.readline())
            daemon.kill()
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
