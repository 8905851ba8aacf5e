"""Two activations of one binding at the same time."""

from __future__ import annotations

import types
import unittest
from typing import Any, List, Mapping, Optional
from unittest import mock

from neutron.db.migration.models import head  # pylint: disable=unused-import # its models refer to each other
from neutron_lib.callbacks import events, manager, registry, resources
from neutron_lib.db import api as db_api

from calico_openstack import activations


class ActivationsTest(unittest.TestCase):
    def publish(self, metadata: Optional[Mapping[str, Any]], active: List[str]) -> int:
        """Publishes the event as ML2 does. `active` has the host of the active binding at each look. Returns how often the request waited."""
        callbacks = manager.CallbacksManager()
        with mock.patch.object(registry, "subscribe", callbacks.subscribe):
            activations.subscribe()
        clock = iter(range(1000))
        waits = mock.Mock()
        with mock.patch.object(activations, "active_host", side_effect=active), mock.patch.object(
            activations, "time", types.SimpleNamespace(monotonic=lambda: next(clock), sleep=waits)
        ):
            callbacks.publish(resources.PORT, events.BEFORE_UPDATE, self, payload=events.DBEventPayload(None, resource_id="p", metadata=metadata))
        return int(waits.call_count)

    @staticmethod
    def activation(old_vif_type: str) -> Mapping[str, Any]:
        """What ML2 tells of an activation on h2. The old binding is as it was before this request."""
        return {"orig_binding": types.SimpleNamespace(vif_type=old_vif_type), "new_binding": types.SimpleNamespace(status="INACTIVE", host="h2")}

    def test_the_second_waits_until_the_first_has_ended_and_is_then_tried_again(self) -> None:
        with self.assertRaises(Exception) as raised:
            self.publish(self.activation("unbound"), ["h1", "h1", "h2"])
        self.assertTrue(db_api.is_retriable(raised.exception))

    def test_an_activation_that_finds_the_binding_active_is_tried_again_also_when_it_was_the_first(self) -> None:
        with self.assertRaises(Exception) as raised:
            self.publish(self.activation("tap"), ["h2"])
        self.assertTrue(db_api.is_retriable(raised.exception))

    def test_the_first_does_not_wait(self) -> None:
        self.assertEqual(self.publish(self.activation("tap"), ["h1"]), 0)

    def test_the_second_does_the_work_when_the_first_has_died(self) -> None:
        self.assertGreater(self.publish(self.activation("unbound"), ["h1"] * 30), 0)

    def test_other_changes_of_a_port_are_left_alone(self) -> None:
        bound = {"orig_binding": types.SimpleNamespace(vif_type="unbound"), "new_binding": types.SimpleNamespace(status="ACTIVE", host="h2")}
        self.assertEqual([self.publish(None, []), self.publish(bound, [])], [0, 0])
