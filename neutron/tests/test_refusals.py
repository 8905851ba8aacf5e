"""Refusals at the commit, and of rows."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import unittest
from typing import Any, Dict, List, Mapping
from unittest import mock

import sqlalchemy as sa
from sqlalchemy import event, orm

from calico_openstack import refusals

Base: Any = orm.declarative_base()


class Thing(Base):
    __tablename__ = "things"
    id = sa.Column(sa.Integer, primary_key=True)


class NamesTest(unittest.TestCase):
    def test_this_neutron_has_all_models_whose_rows_are_refused(self) -> None:
        """A model that has another name would be accepted. They are imported elsewhere, because a model changes the queries of the process that imports it."""
        names = list(refusals.NOT_CARRIED_OUT)
        if int(importlib.metadata.version("neutron").split(".")[0]) >= 24:
            names.append(refusals.RULE_TEMPLATE)
        script = "import pkgutil, sys\nfor name in sys.argv[1:]: pkgutil.resolve_name(name)"
        subprocess.run([sys.executable, "-W", "ignore", "-c", script, *names], check=True, capture_output=True)


class RefusalsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.engine = sa.create_engine("sqlite://")
        Base.metadata.create_all(self.engine)
        self.addCleanup(self.engine.dispose)

    def rows(self) -> int:
        with orm.Session(self.engine) as session:
            return session.query(Thing).count()

    def test_a_commit_raises_the_refusal_itself_and_commits_nothing_and_the_next_session_is_free(self) -> None:
        refusal = refusals.CalicoUnavailable(reason="etcd is away")
        with orm.Session(self.engine) as session:
            session.add(Thing(id=1))
            refusals.at_commit(session, refusal)
            with self.assertRaises(refusals.CalicoUnavailable) as raised:
                session.commit()
        self.assertIs(raised.exception, refusal)
        self.assertEqual(self.rows(), 0)
        with orm.Session(self.engine) as session:
            session.add(Thing(id=1))
            session.commit()
        self.assertEqual(self.rows(), 1)

    def listen(self, alone: bool, names: Dict[str, str], template: Any = None) -> None:
        listeners: List[Any] = []
        with mock.patch.object(event, "listen", lambda target, name, listener: listeners.append((target, name, listener))):
            refusals.refuse_new_rows(alone, template)
        patched = mock.patch.multiple(refusals, NOT_CARRIED_OUT=names, RULE_TEMPLATE=refusals.full_name(Thing) if template else "")
        patched.start()
        self.addCleanup(patched.stop)
        for target, name, listener in listeners:
            event.listen(target, name, listener)
            self.addCleanup(event.remove, target, name, listener)

    def add(self) -> None:
        with orm.Session(self.engine) as session:
            session.add(Thing(id=7))
            session.commit()

    def test_a_row_that_nothing_carries_out_is_refused_with_the_reason_unless_another_driver_may_do_it(self) -> None:
        answer = {refusals.full_name(Thing): "things are not supported"}
        self.listen(False, answer)
        self.add()
        self.assertEqual(self.rows(), 1)
        self.listen(True, answer)
        with self.assertRaises(refusals.CalicoRefused) as raised:
            self.add()
        self.assertEqual(str(raised.exception), "Calico: things are not supported")

    def test_the_fields_of_a_rule_template_are_handed_to_who_judges_it(self) -> None:
        judged: List[Mapping[str, Any]] = []
        self.listen(False, {}, judged.append)
        self.add()
        self.assertEqual(judged, [{"id": 7}])

    def test_other_drivers(self) -> None:
        self.assertEqual([refusals.others_than_calico(names) for names in (["calico"], ["calico", "logger"], ["openvswitch", "calico"])], [False, False, True])


if __name__ == "__main__":
    unittest.main()
