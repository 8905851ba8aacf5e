"""Lets Neutron start with the service plugin `trunk`, which demands a driver. Creating a trunk is refused (`refusals`)."""

from __future__ import annotations

from typing import Any

from neutron_lib.callbacks import events, registry, resources

from calico_openstack.apply import VIF_TYPE


def subscribe() -> None:
    """Registers the driver when the plugin is loaded. Its modules are not imported otherwise, because they change Neutron's own queries."""
    registry.subscribe(_register, resources.TRUNK_PLUGIN, events.AFTER_INIT)


def _register(_resource: str, _event: str, plugin: Any, payload: Any = None) -> None:  # pylint: disable=unused-argument
    from neutron.services.trunk.drivers import base  # pylint: disable=import-outside-toplevel

    class CalicoTrunkDriver(base.DriverBase):
        """A driver without trunks."""

        @property
        def is_loaded(self) -> bool:
            return True

    plugin.register_driver(CalicoTrunkDriver("calico", (VIF_TYPE,), ("vlan",)))
