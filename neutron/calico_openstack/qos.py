"""Registers with Neutron's QoS service which rules Calico can enforce, and announces changed QoS policies."""

from __future__ import annotations

from typing import Any, Optional

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import constants as db_constants
from neutron_lib.services.qos import base
from neutron_lib.services.qos import constants as qos_constants

from calico_openstack import announce
from calico_openstack.apply import VIF_TYPE

_NUMBER = {"type:range": [0, db_constants.DB_INTEGER_MAX_VALUE]}
_DIRECTION = {"type:values": constants.VALID_DIRECTIONS}

RULES = {
    qos_constants.RULE_TYPE_BANDWIDTH_LIMIT: {
        qos_constants.MAX_KBPS: _NUMBER,
        qos_constants.MAX_BURST: _NUMBER,
        qos_constants.DIRECTION: _DIRECTION,
    },
    qos_constants.RULE_TYPE_PACKET_RATE_LIMIT: {
        qos_constants.MAX_KPPS: _NUMBER,
        qos_constants.MAX_BURST_KPPS: {"type:values": [0, None]},  # Calico cannot limit a burst of packets separately from the rate
        qos_constants.DIRECTION: _DIRECTION,
    },
}

_driver: Optional["CalicoQosDriver"] = None


class CalicoQosDriver(base.DriverBase):
    """Announces a QoS policy whose rules changed. The daemon asks which ports have it."""

    def __init__(self, changes: announce.Announcer) -> None:
        super().__init__(
            name="calico", vif_types=[VIF_TYPE], vnic_types=[portbindings.VNIC_NORMAL], supported_rules=RULES, requires_rpc_notifications=False
        )
        self._changes = changes

    def update_policy_precommit(self, context: Any, policy: Any) -> None:
        """Announces the change inside Neutron's transaction."""
        self._changes.before(context, "qos_policy", policy.id, {}, {})

    def update_policy(self, context: Any, policy: Any) -> None:
        """Announces the change after the commit."""
        self._changes.after(context, "qos_policy", policy.id, {}, {})


def register(changes: announce.Announcer) -> None:
    """Registers the driver, once per process: Neutron's registry keeps every driver that was ever created."""
    global _driver  # pylint: disable=global-statement
    if _driver is None:
        _driver = CalicoQosDriver(changes)
