"""Lets nova-compute start VMs with libvirt 9.0 and later, which refuse a tap that exists already unless the domain's XML says `managed='no'`.

Nova makes the tap of a port with `vif_type` tap itself and, before version 34, does not write that attribute. nova-compute loads every plugin of the entry point `os_vif` when it starts, and so this one:
it has Nova's interfaces of type `ethernet` carry the attribute. That covers new VMs, hot-plug and live migration alike. libvirt before 5.7 ignores the attribute.

Run as a program (`python3 -m calico_openstack.nova_taps`) with nova-compute's Python, it prints whether the attribute is there, and exits with 1 when it is not.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any, Optional

if __name__ == "__main__":
    # Nova must be loaded before anything that loads eventlet. main() reports when a module is missing.
    with contextlib.suppress(Exception):
        import nova.cmd.compute

import os_vif
from os_vif import plugin
from os_vif.objects import host_info
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

#: What happens to a VM when the attribute is missing, and what to do.
REMEDY = (
    "libvirt 9.0 and later refuse to start a VM on a tap (\"interface already exists\"). "
    "Install the package calico-openstack into the Python of nova-compute, restart nova-compute, and report the version of Nova if this stays"
)


def mark_taps(interface: Any) -> None:
    """Makes Nova's class of interfaces write `managed='no'` for those that Nova makes itself, unless Nova writes the attribute. A second call changes nothing."""
    plain = interface.format_dom
    if getattr(plain, "marks_taps", False):
        return

    @functools.wraps(plain)
    def format_dom(self: Any) -> Any:
        dom = plain(self)
        if self.net_type == "ethernet":
            for target in dom.findall("target"):
                if target.get("managed") is None:
                    target.set("managed", "no")
        return dom

    setattr(format_dom, "marks_taps", True)
    interface.format_dom = format_dom


def trouble_of(interface: Any) -> Optional[str]:
    """Why the XML of a tap lacks the attribute; None when it has it. It is written as Nova writes it for a port."""
    try:
        tap = interface()
        tap.net_type = "ethernet"
        tap.mac_addr = "fa:16:3e:00:00:01"
        tap.target_dev = "tap00000000-00"
        targets = tap.format_dom().findall("target")
    except Exception as error:  # Whatever another version of Nova throws here is the answer.
        return f"Nova's interface cannot be written: {error!r}"
    if [(target.get("dev"), target.get("managed")) for target in targets] != [("tap00000000-00", "no")]:
        return "Nova writes a tap without managed='no'"
    return None


def put_in_force() -> Optional[str]:
    """Has Nova write the attribute. Returns why it does not, or None."""
    try:
        from nova.virt.libvirt import config

        interface = config.LibvirtConfigGuestInterface
        mark_taps(interface)
    except Exception as error:  # A Nova without libvirt, or one that is built differently.
        return f"Nova's interface cannot be found: {error!r}"
    return trouble_of(interface)


class NovaTaps(plugin.PluginBase):
    """The plugin by which os-vif loads this module in nova-compute. It plugs nothing."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        # Another program that uses os-vif has no business with libvirt.
        if "nova.cmd.compute" not in sys.modules:
            return
        trouble = put_in_force()
        if trouble:
            LOG.error("Calico: taps are not marked as managed='no': %s. %s", trouble, REMEDY)
        else:
            LOG.info("Calico: taps that Nova makes are marked as managed='no', as libvirt 9.0 and later demand")

    def describe(self) -> Any:
        """No kind of interface is plugged by this plugin."""
        return host_info.HostPluginInfo(plugin_name="calico", vif_info=[])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Never called: no port has this plugin's name."""

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Never called: no port has this plugin's name."""


def main() -> int:
    """Loads Nova's modules and all plugins as nova-compute does, and prints whether taps are marked. Returns the exit code."""
    try:
        import nova.cmd.compute  # noqa: F401
        from nova.virt.libvirt import config

        os_vif.initialize()
        trouble = trouble_of(config.LibvirtConfigGuestInterface)
    except Exception as error:
        trouble = f"Nova cannot be loaded: {error!r}"
    print(f"not in force: {trouble}. {REMEDY}." if trouble else "in force: Nova writes managed='no' for its taps.")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
