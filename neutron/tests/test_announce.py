"""Announcements before and after a commit, and the API's answers."""

from __future__ import annotations

import types
import unittest
from typing import Any, Dict, List, Mapping, Optional

from neutron.db.migration.models import head  # pylint: disable=unused-import # its models refer to each other
from neutron.db.models import l3
from neutron_lib.callbacks import events
from oslo_config import cfg

from calico_openstack import announce, callbacks, options, refusals, wire


class Recorder:
    """Stands for the daemon."""

    def __init__(self) -> None:
        self.said: List[Dict[str, Any]] = []
        self.refuse: Optional[wire.DaemonError] = None
        self.answer: Any = None

    def call(self, method: str, params: Mapping[str, Any], timeout_seconds: float, answer: Optional[wire.Answer] = None, committed: bool = True) -> Any:
        asked = answer and answer("subnets", {})
        self.said.append({"method": method, "seconds": timeout_seconds, "committed": committed, "asked": asked, **params})
        if self.refuse and not params["rollback"]:
            raise self.refuse
        return self.answer


class AnnounceTest(unittest.TestCase):
    def setUp(self) -> None:
        options.register(cfg.CONF)
        self.daemon = Recorder()
        self.changes = announce.Announcer(self.daemon, lambda request: lambda method, params: (method, request), self.rows_of)  # type: ignore[arg-type]
        self.request = types.SimpleNamespace()
        self.unreadable = False

    def rows_of(self, port: str) -> Any:
        if self.unreadable:
            raise RuntimeError("the database is away")
        return {"ports": [port]}

    def test_an_announcement_after_the_commit_carries_the_marks_of_those_before(self) -> None:
        self.changes.before(self.request, "port", "p", None, {"id": "p"})
        self.changes.before(self.request, "port", "p", None, {"id": "p"})  # Neutron retried its transaction
        self.changes.before(self.request, "port", "other", None, {"id": "other"})
        self.changes.after(self.request, "port", "p", None, {"id": "p"})
        marks = [said["marks"] for said in self.daemon.said]
        self.assertEqual(marks[3], marks[0] + marks[1])
        self.assertEqual(len({mark for said in marks[:3] for mark in said}), 3)
        self.changes.after(self.request, "port", "p", {"id": "p"}, None)
        self.assertEqual(self.daemon.said[-1]["marks"], [])

    def test_nothing_is_announced_after_the_commit_of_a_change_that_concerns_nobody(self) -> None:
        self.daemon.answer = {"done": True}
        self.changes.before(self.request, "port", "p", None, {"id": "p"})
        self.daemon.answer = None
        self.changes.before(self.request, "port", "other", None, {"id": "other"})
        self.changes.after(self.request, "port", "p", None, {"id": "p"})
        self.changes.after(self.request, "port", "other", None, {"id": "other"})
        self.assertEqual([(said["method"], said["id"]) for said in self.daemon.said], [("before", "p"), ("before", "other"), ("after", "other")])
        self.changes.after(self.request, "port", "p", {"id": "p"}, None)
        self.assertEqual(self.daemon.said[-1]["method"], "after")

    def test_a_ports_rows_are_sent_along_where_the_daemon_wants_them(self) -> None:
        self.daemon.answer = {"halfway": True, "rows": True}
        self.changes.before(self.request, "port", "p", None, {"id": "p"})
        self.daemon.answer = {}
        self.changes.before(self.request, "port", "other", None, {"id": "other"})
        for port in ("p", "other", "p"):
            self.changes.after(self.request, "port", port, None, {"id": port})
        self.assertEqual([said.get("rows") for said in self.daemon.said[2:]], [{"ports": ["p"]}, None, None])
        for answer, self.unreadable in (({"rows": True}, True), ({}, False)):
            self.daemon.answer = {"rows": True}
            self.changes.before(self.request, "port", "p", None, {"id": "p"})
            self.daemon.answer = answer
            self.changes.before(self.request, "port", "p", None, {"id": "p"})  # Neutron retried its transaction
            self.changes.after(self.request, "port", "p", None, {"id": "p"})
            self.assertNotIn("rows", self.daemon.said[-1])

    def test_only_the_last_answer_before_a_commit_decides_whether_the_change_is_announced_after_it(self) -> None:
        self.daemon.answer = {"done": True}
        self.changes.before(self.request, "port", "p", None, {"id": "p"})
        self.daemon.answer = None
        self.changes.before(self.request, "port", "p", {"id": "p"}, {"id": "p", "device_id": "vm"})  # Neutron tried again, or changed the port further
        self.changes.after(self.request, "port", "p", {"id": "p"}, {"id": "p", "device_id": "vm"})
        self.assertEqual([said["method"] for said in self.daemon.said], ["before", "before", "after"])

    def test_of_a_binding_only_its_beginning_and_its_end_are_announced(self) -> None:
        free, unbound, bound = ({"id": "p", "binding:vif_type": kind} for kind in ("unbound", "unbound", "tap"))
        self.daemon.answer = {"halfway": True}
        self.changes.before(self.request, "port", "p", free, unbound)
        self.changes.before(self.request, "port", "p", free, unbound)  # Neutron retried its transaction
        self.changes.after(self.request, "port", "p", free, unbound)
        self.changes.before(self.request, "port", "p", unbound, bound)
        self.changes.before(self.request, "port", "other", unbound, bound)
        self.changes.after(self.request, "port", "p", unbound, bound)
        self.assertEqual([(said["method"], said["id"]) for said in self.daemon.said], [("before", "p"), ("before", "p"), ("before", "other"), ("after", "p")])
        self.assertEqual(self.daemon.said[3]["marks"], self.daemon.said[0]["marks"] + self.daemon.said[1]["marks"])
        self.daemon.answer = None
        self.changes.before(self.request, "port", "p", unbound, bound)
        self.changes.after(self.request, "port", "p", bound, unbound)
        self.assertEqual([said["method"] for said in self.daemon.said[4:]], ["before", "after"])

    def test_a_port_that_is_deleted_or_changed_instead_of_being_bound_is_announced(self) -> None:
        unbound = {"id": "p", "binding:vif_type": "unbound"}
        self.daemon.answer = {"halfway": True}
        self.changes.before(self.request, "port", "p", None, unbound)
        self.changes.after(self.request, "port", "p", None, unbound)
        self.daemon.answer = None
        self.changes.before(self.request, "port", "p", unbound, {**unbound, "device_id": "vm"})
        self.changes.after(self.request, "port", "p", unbound, {**unbound, "device_id": "vm"})
        self.changes.before(self.request, "port", "p", unbound, None)
        self.changes.after(self.request, "port", "p", unbound, None)
        self.assertEqual([said["method"] for said in self.daemon.said], ["before", "before", "after", "before", "after"])

    def test_a_deletion_of_a_floating_ip_is_known_again_although_neutron_announces_it_on_two_contexts(self) -> None:
        self.changes.before(types.SimpleNamespace(), "floatingip", "f", {"id": "f"}, None)
        self.changes.after(types.SimpleNamespace(), "floatingip", "f", {"id": "f"}, None)
        self.assertEqual(self.daemon.said[1]["marks"], self.daemon.said[0]["marks"])

    def test_a_rule_template_is_asked_about_without_a_note(self) -> None:
        self.daemon.refuse = wire.DaemonError("REFUSED", "it cannot be enforced")
        with self.assertRaises(refusals.CalicoRefused):
            self.changes.rule_template({"protocol": "udplite", "port_range_min": 5})
        self.assertEqual((self.daemon.said[0]["kind"], self.daemon.said[0]["marks"]), ("default_security_group_rule", []))

    def test_questions_are_answered_from_the_requests_transaction_before_the_commit_and_from_committed_rows_after_it(self) -> None:
        self.changes.before(self.request, "subnet", "s", None, {"id": "s"})
        self.changes.after(self.request, "subnet", "s", None, {"id": "s"})
        self.assertEqual([said["asked"] for said in self.daemon.said], [("subnets", self.request), None])

    def test_an_administrators_change_is_announced_as_such(self) -> None:
        for request in (self.request, types.SimpleNamespace(is_admin=True), types.SimpleNamespace(is_admin=False)):
            self.changes.before(request, "subnet", "s", None, {"id": "s"})
        self.assertEqual([said["admin"] for said in self.daemon.said], [False, True, False])

    def test_inside_neutrons_transaction_a_call_does_not_wait_long(self) -> None:
        self.changes.before(self.request, "port", "p", None, {})
        self.changes.after(self.request, "port", "p", None, {})
        self.assertEqual(self.daemon.said[0]["seconds"], cfg.CONF.calico.commit_patience_secs + announce.ANSWER_SECONDS)
        self.assertGreater(self.daemon.said[1]["seconds"], cfg.CONF.calico.etcd_timeout)
        self.assertEqual([said["committed"] for said in self.daemon.said], [False, True])

    def test_the_api_answers_503_when_the_change_cannot_reach_etcd_now_and_409_when_it_never_can(self) -> None:
        for code, status in (("ETCD_UNAVAILABLE", "CalicoUnavailable"), ("DAEMON_UNAVAILABLE", "CalicoUnavailable"), ("REFUSED", "CalicoRefused")):
            self.daemon.refuse = wire.DaemonError(code, "the reason")
            with self.assertRaises(Exception) as raised:
                self.changes.before(self.request, "port", "p", None, {})
            self.assertEqual((type(raised.exception).__name__, str(raised.exception)), (status, "Calico: the reason"))

    def test_what_neutron_undoes_after_a_refusal_is_not_refused_for_the_same_reason(self) -> None:
        self.daemon.refuse = wire.DaemonError("ETCD_UNAVAILABLE", "etcd is away")
        with self.assertRaises(refusals.CalicoUnavailable):
            self.changes.after(self.request, "port", "p", None, {"id": "p"})
        self.changes.before(self.request, "port", "p", {"id": "p"}, None)
        self.assertTrue(self.daemon.said[-1]["rollback"])

    def test_a_deletion_that_was_refused_is_refused_again(self) -> None:
        self.daemon.refuse = wire.DaemonError("ETCD_UNAVAILABLE", "etcd is away")
        for _ in range(2):
            with self.assertRaises(refusals.CalicoUnavailable):
                self.changes.before(self.request, "port", "p", {"id": "p"}, None)

    def test_a_request_that_fails_grants_nothing_to_the_next(self) -> None:
        self.daemon.refuse = wire.DaemonError("ETCD_UNAVAILABLE", "etcd is away")
        with self.assertRaises(refusals.CalicoUnavailable):
            self.changes.after(self.request, "port", "p", None, {"id": "p"})
        with self.assertRaises(refusals.CalicoUnavailable):
            self.changes.before(types.SimpleNamespace(), "port", "p", {"id": "p"}, None)


class StatesTest(unittest.TestCase):
    """The content of events in Neutron 21 and later."""

    def states(self, event: str, **payload: Any) -> Any:
        return callbacks.states(event, events.DBEventPayload(None, **payload))

    def test_events(self) -> None:
        old, new = {"name": "old"}, {"name": "new"}
        cases: List[Any] = [
            (events.PRECOMMIT_CREATE, {"states": (new,)}, (None, new)),
            (events.AFTER_CREATE, {"states": (new,)}, (None, new)),
            (events.PRECOMMIT_UPDATE, {"states": (old,), "desired_state": new}, (old, new)),
            (events.AFTER_UPDATE, {"states": (old, new)}, (old, new)),
            (events.PRECOMMIT_DELETE, {"states": (old,)}, (old, None)),
            (events.AFTER_DELETE, {"states": (old,)}, (old, None)),
            (events.PRECOMMIT_DELETE, {"metadata": {"security_group_id": "g"}}, ({"security_group_id": "g"}, None)),
        ]
        for event, payload, expected in cases:
            with self.subTest(event=event):
                self.assertEqual(self.states(event, **payload), expected)

    def test_a_state_that_is_an_object_or_a_row_is_announced_by_its_fields(self) -> None:
        thing = types.SimpleNamespace(to_dict=lambda: {"fixed_port_id": "p"})
        self.assertEqual(self.states(events.PRECOMMIT_UPDATE, states=({},), desired_state=thing), ({}, {"fixed_port_id": "p"}))
        row = l3.FloatingIP(id="f", fixed_port_id="p")
        _, current = self.states(events.PRECOMMIT_CREATE, states=({},), desired_state=row)
        self.assertEqual((current["id"], current["fixed_port_id"]), ("f", "p"))
