"""A mechanism driver that binds ports as the driver `calico` does, and does nothing else: the floor of the bench neutron-overhead."""

from neutron.plugins.ml2.drivers import mech_agent
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class NothingMechanismDriver(mech_agent.SimpleAgentMechanismDriverBase):
    """Binds ports to taps on hosts where Felix is alive."""

    def __init__(self):
        super().__init__("Calico per-host agent (felix)", "tap", {portbindings.CAP_PORT_FILTER: True}, [portbindings.VNIC_NORMAL])

    def get_allowed_network_types(self, agent=None):
        """The types of networks whose ports are bound."""
        return ("local", "flat")

    def get_mappings(self, agent):
        """No physical networks."""
        return {}

    def check_segment_for_agent(self, segment, agent):
        """Whether a port can be bound on the host of this agent."""
        return agent["agent_type"] == self.agent_type and segment[api.NETWORK_TYPE] in self.get_allowed_network_types()

    # The base class would keep each port DOWN until an agent reports, which costs more than nothing.

    def create_port_precommit(self, context):
        """Does nothing."""

    def update_port_precommit(self, context):
        """Does nothing."""

    def update_port_postcommit(self, context):
        """Does nothing."""
