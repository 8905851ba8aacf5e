"""The ML2 mechanism driver `calico`. It decides nothing: it announces what changed, and calico-neutron-driver reads the rows."""

from __future__ import annotations

from typing import Any, Dict, Optional, Set, Tuple

from neutron.plugins.ml2.drivers import mech_agent
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg
from oslo_log import log as logging

from calico_openstack import activations, announce, callbacks, options, qos, refusals, rows, trunk, wire
from calico_openstack.apply import AGENT_TYPE, VIF_TYPE

LOG = logging.getLogger(__name__)


NETWORK_TYPES = ("local", "flat")
VIF_DETAILS_MAC = "mac_address"
#: The extensions of stateless security groups: Calico tracks all connections.
STATELESS_GROUPS = frozenset({"stateful-security-group", "security-groups-default-statefulness"})


def tap_mac(port_mac: str) -> str:
    """The MAC of the host's end of a port's tap: the port's own MAC with fe as its first octet, as libvirt used to choose it.

    It is the same on every host, so that the guest's ARP entry for its gateway stays valid across a live migration.
    """
    return "fe" + port_mac.lower()[2:]


def rebind_on_revival() -> None:
    """Makes ML2 bind ports whose binding failed for lack of a living Felix, once a Felix reports again. ML2 does this for the agent types in its list."""
    from neutron.plugins.ml2 import plugin  # pylint: disable=import-outside-toplevel

    agent_types = getattr(plugin.Ml2Plugin, "_rebind_on_revive_agent_types", None)
    if agent_types is not None and AGENT_TYPE not in agent_types:
        agent_types.append(AGENT_TYPE)


class CalicoMechanismDriver(mech_agent.SimpleAgentMechanismDriverBase):
    """Binds ports to taps on hosts where Felix is alive, and announces changes of networks, subnets and ports. `callbacks` announces the others."""

    def __init__(self) -> None:
        super().__init__(AGENT_TYPE, VIF_TYPE, {portbindings.CAP_PORT_FILTER: True}, [portbindings.VNIC_NORMAL])

    def initialize(self) -> None:
        """Connects to the daemon when it is first needed, and subscribes to everything that ML2 does not pass on. Called once by ML2."""
        options.register()
        self._daemon = wire.Daemon(cfg.CONF.calico.neutron_driver_socket, rows.answer, cfg.CONF.calico.daemon_patience_secs)
        self._changes = announce.Announcer(self._daemon, rows.within, rows.of_port)
        callbacks.subscribe(self._changes)
        activations.subscribe()
        qos.register(self._changes)
        rebind_on_revival()
        self._alone = not refusals.others_than_calico(cfg.CONF.ml2.mechanism_drivers)
        refusals.refuse_new_rows(self._alone, self._changes.rule_template)
        if self._alone:
            trunk.subscribe()
        LOG.info("Calico: changes are announced to calico-neutron-driver at %s", cfg.CONF.calico.neutron_driver_socket)

    def supported_extensions(self, extensions: Set[str]) -> Set[str]:
        """The extensions of Neutron's API that are offered, of those that ML2 has."""
        return extensions - STATELESS_GROUPS if self._alone else extensions

    # Binding

    def get_allowed_network_types(self, agent: Optional[Dict[str, Any]] = None) -> Tuple[str, ...]:
        """The types of networks whose ports are bound."""
        return NETWORK_TYPES

    def get_mappings(self, agent: Dict[str, Any]) -> Dict[str, str]:
        """No physical networks: traffic is routed and not bridged."""
        return {}

    def check_segment_for_agent(self, segment: Dict[str, Any], agent: Dict[str, Any]) -> bool:
        """Whether a port can be bound to the segment on the host of this agent, which has to be a Felix."""
        return bool(agent["agent_type"] == AGENT_TYPE and segment[api.NETWORK_TYPE] in NETWORK_TYPES)

    def get_vif_details(self, context: Any, agent: Dict[str, Any], segment: Dict[str, Any]) -> Dict[str, Any]:
        """The details for Nova, among them the MAC of the tap."""
        return {**self.vif_details, VIF_DETAILS_MAC: tap_mac(context.current["mac_address"])}

    # Networks

    def create_network_precommit(self, context: Any) -> None:
        self._before(context, "network", None, context.current)

    def create_network_postcommit(self, context: Any) -> None:
        self._after(context, "network", None, context.current)

    def update_network_precommit(self, context: Any) -> None:
        self._before(context, "network", context.original, context.current)

    def update_network_postcommit(self, context: Any) -> None:
        self._after(context, "network", context.original, context.current)

    def delete_network_precommit(self, context: Any) -> None:
        self._before(context, "network", context.current, None)

    def delete_network_postcommit(self, context: Any) -> None:
        self._after(context, "network", context.current, None)

    # Subnets

    def create_subnet_precommit(self, context: Any) -> None:
        self._before(context, "subnet", None, context.current)

    def create_subnet_postcommit(self, context: Any) -> None:
        self._after(context, "subnet", None, context.current)

    def update_subnet_precommit(self, context: Any) -> None:
        self._before(context, "subnet", context.original, context.current)

    def update_subnet_postcommit(self, context: Any) -> None:
        self._after(context, "subnet", context.original, context.current)

    def delete_subnet_precommit(self, context: Any) -> None:
        self._before(context, "subnet", context.current, None)

    def delete_subnet_postcommit(self, context: Any) -> None:
        self._after(context, "subnet", context.current, None)

    # Ports. The base class would also keep a port DOWN until an L2 agent reports over RPC. Here Felix reports, through the daemon.

    def create_port_precommit(self, context: Any) -> None:
        self._before(context, "port", None, context.current)

    def create_port_postcommit(self, context: Any) -> None:
        self._after(context, "port", None, context.current)

    def update_port_precommit(self, context: Any) -> None:
        self._before(context, "port", context.original, context.current)

    def update_port_postcommit(self, context: Any) -> None:
        self._after(context, "port", context.original, context.current)

    def delete_port_precommit(self, context: Any) -> None:
        self._before(context, "port", context.current, None)

    def delete_port_postcommit(self, context: Any) -> None:
        self._after(context, "port", context.current, None)

    def _before(self, context: Any, kind: str, original: Optional[announce.Row], current: Optional[announce.Row]) -> None:
        row = current or original or {}
        self._changes.before(context._plugin_context, kind, row["id"], original, current)  # pylint: disable=protected-access

    def _after(self, context: Any, kind: str, original: Optional[announce.Row], current: Optional[announce.Row]) -> None:
        row = current or original or {}
        self._changes.after(context._plugin_context, kind, row["id"], original, current)  # pylint: disable=protected-access
