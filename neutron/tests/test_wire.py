"""The connection to the daemon, as Neutron's processes see it."""

from __future__ import annotations

import os
import threading
import unittest
from typing import Any, List, Mapping

from calico_openstack import wire
from tests.fake_daemon import Behaviour, FakeDaemon, Hangup, Refusal


def rows(method: str, params: Mapping[str, Any]) -> Any:
    if method == "rows":
        return {"ports": params["ports"]}
    raise LookupError(method)


class WireTest(unittest.TestCase):
    def daemon(self, behaviour: Behaviour, **options: Any) -> "tuple[FakeDaemon, wire.Daemon]":
        fake = FakeDaemon(behaviour, **options)
        self.addCleanup(fake.close)
        fake.start()
        daemon = wire.Daemon(fake.path, rows, restart_seconds=2)
        self.addCleanup(daemon.close)
        return fake, daemon

    def refusal(self, daemon: wire.Daemon, timeout_seconds: float = 5) -> wire.DaemonError:
        with self.assertRaises(wire.DaemonError) as raised:
            daemon.call("after", {}, timeout_seconds)
        return raised.exception

    def test_while_a_call_is_under_way_the_daemon_can_ask_the_caller(self) -> None:
        _, daemon = self.daemon(lambda method, params, ask: [method, params, ask("rows", {"ports": ["p"]})])
        self.assertEqual(daemon.call("after", {"id": "p"}, 5), ["after", {"id": "p"}, {"reply": 77, "result": {"ports": ["p"]}}])

    def test_numbers_that_json_does_not_have_do_not_end_the_connection(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: params)
        change = {"binding:profile": {"a": float("nan"), "b": [1.5, (float("inf"), -float("inf"))]}}
        self.assertEqual(daemon.call("after", change, 5), {"binding:profile": {"a": None, "b": [1.5, [None, None]]}})
        self.assertEqual(len(fake.hellos), 1)

    def test_an_error_of_the_caller_reaches_the_daemon_and_not_the_api(self) -> None:
        _, daemon = self.daemon(lambda method, params, ask: ask("nonsense", {}))
        self.assertEqual(daemon.call("after", {}, 5), {"reply": 77, "error": {"code": "LookupError", "message": "nonsense"}})

    def test_one_connection_serves_one_call_after_the_other(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: None)
        for _ in range(3):
            daemon.call("before", {}, 5)
        self.assertEqual([hello["hello"]["role"] for hello in fake.hellos], ["api"])

    def test_calls_at_the_same_time_do_not_share_a_connection(self) -> None:
        both = threading.Barrier(2, timeout=5)

        def behave(method: str, params: Mapping[str, Any], ask: Any) -> Any:
            both.wait()
            return params["n"]

        _, daemon = self.daemon(behave)
        answers: List[Any] = []
        threads = [threading.Thread(target=lambda n=n: answers.append((n, daemon.call("after", {"n": n}, 5)))) for n in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), [(1, 1), (2, 2)])

    def test_a_refusal_has_the_daemons_code_and_message_and_leaves_the_connection_usable(self) -> None:
        def behave(method: str, params: Mapping[str, Any], ask: Any) -> Any:
            raise Refusal("ETCD_UNAVAILABLE", "etcd is away")

        fake, daemon = self.daemon(behave)
        for _ in range(2):
            error = self.refusal(daemon)
            self.assertEqual((error.code, str(error)), ("ETCD_UNAVAILABLE", "etcd is away"))
        self.assertEqual(len(fake.hellos), 1)

    def test_a_daemon_that_dies_in_mid_call_is_called_again_when_it_is_back(self) -> None:
        calls: List[str] = []

        def behave(method: str, params: Mapping[str, Any], ask: Any) -> Any:
            calls.append(method)
            if len(calls) == 1:
                raise Hangup()
            return "done"

        _, daemon = self.daemon(behave)
        self.assertEqual(daemon.call("after", {}, 5), "done")
        self.assertEqual(calls, ["after", "after"])

    def test_a_daemon_that_was_restarted_between_two_calls_is_found_again(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: "done")
        daemon.call("after", {}, 5)
        fake.stop()
        fake.start()
        self.assertEqual(daemon.call("after", {}, 5), "done")

    def test_a_call_to_a_daemon_that_stays_away_ends_with_the_remedy(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: None)
        fake.stop()
        error = self.refusal(daemon)
        self.assertEqual(error.code, "DAEMON_UNAVAILABLE")
        self.assertRegex(str(error), "cannot be reached at .*start it, then try again")

    def attempts(self, daemon: wire.Daemon, committed: bool) -> int:
        """How often a call is tried before it is given up, with a clock that goes on by a pause."""
        now, tries = [0.0], [0]

        def pause(seconds: float) -> None:
            now[0] += seconds
            tries[0] += 1

        daemon._clock, daemon._pause = lambda: now[0], pause  # pylint: disable=protected-access
        with self.assertRaises(wire.DaemonError) as raised:
            daemon.call("before", {}, 5, committed=committed)
        self.assertEqual(raised.exception.code, "DAEMON_UNAVAILABLE")
        return tries[0]

    def test_before_a_commit_a_killed_daemon_is_not_waited_for_and_one_that_is_restarted_is(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: None)
        fake.stop()
        self.assertGreater(self.attempts(daemon, committed=False), 10)  # its socket has just been removed
        os.utime(os.path.dirname(fake.path), (0, 0))
        self.assertLess(self.attempts(daemon, committed=False), 5)  # it is long gone
        fake.start()
        fake.kill()
        self.assertLess(self.attempts(daemon, committed=False), 5)

    def test_after_a_commit_a_killed_daemon_is_waited_for(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: None)
        fake.kill()
        self.assertGreater(self.attempts(daemon, committed=True), 10)

    def test_a_call_that_is_not_answered_ends_in_time_and_its_late_answer_is_dropped(self) -> None:
        asked = threading.Event()
        go_on = threading.Event()

        def behave(method: str, params: Mapping[str, Any], ask: Any) -> Any:
            if params.get("slow"):
                asked.set()
                go_on.wait(5)
                return "late"
            return "prompt"

        _, daemon = self.daemon(behave)
        with self.assertRaises(wire.DaemonError) as raised:
            daemon.call("after", {"slow": True}, 0.2)
        self.assertEqual(raised.exception.code, "DAEMON_TIMEOUT")
        go_on.set()
        self.assertEqual(daemon.call("after", {}, 5), "prompt")

    def test_a_daemon_of_another_protocol_version_is_reported(self) -> None:
        _, daemon = self.daemon(lambda *_: None, greeting={"error": {"code": "PROTOCOL", "message": "install both from one release"}})
        self.assertEqual(self.refusal(daemon).code, "PROTOCOL")

    def test_a_child_process_does_not_use_its_parents_connection(self) -> None:
        fake, daemon = self.daemon(lambda method, params, ask: "done")
        daemon.call("after", {}, 5)
        child = os.fork()
        if child == 0:
            try:
                daemon.call("after", {}, 5)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(daemon.call("after", {}, 5), "done")
        self.assertEqual([hello["hello"]["pid"] for hello in fake.hellos], [os.getpid(), child])

    def test_values_that_json_does_not_know_are_sent_as_text(self) -> None:
        import netaddr  # pylint: disable=import-outside-toplevel

        _, daemon = self.daemon(lambda method, params, ask: params)
        self.assertEqual(daemon.call("after", {"ip": netaddr.IPAddress("10.0.0.1")}, 5), {"ip": "10.0.0.1"})
