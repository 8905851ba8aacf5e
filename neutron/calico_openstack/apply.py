"""Carries out the daemon's orders: writes port states and agents' heartbeats to Neutron. Runs in the rows process."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Set, Tuple

import sqlalchemy as sa
from neutron.agent.common import utils as agent_utils
from neutron.db.models import agent as agent_models
from neutron.db.models import l3 as l3_models
from neutron_lib import context as neutron_context
from neutron_lib import exceptions
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_db import exception as db_exception
from oslo_log import log as logging
from oslo_utils import timeutils

LOG = logging.getLogger(__name__)

AGENT_TYPE = "Calico per-host agent (felix)"
#: The types of agents in Neutron's list, by the names of their programs. Ports are bound where the first of them is alive.
AGENT_TYPES = {"calico-felix": AGENT_TYPE, "calico-dhcp-agent": "Calico DHCP agent", "calico-bird-agent": "Calico BIRD agent"}
TOPIC = "N/A"
VIF_TYPE = "tap"


def set_port_status(params: Mapping[str, str]) -> None:
    """Sets a port's status through ML2, which notifies Nova. A port that has been deleted is ignored."""
    directory.get_plugin().update_port_status(neutron_context.get_admin_context(), params["port"], params["status"], host=params["host"])


@db_api.retry_db_errors
def set_floating_ip_status(params: Mapping[str, Any]) -> None:
    """Sets a floating IP's status, if it still belongs to this port (to no port when the port is null)."""
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(context):
        query = context.session.query(l3_models.FloatingIP).filter_by(id=params["id"], fixed_port_id=params["port"])
        floating_ip = query.enable_eagerloads(False).with_for_update().one_or_none()
        if floating_ip is not None and floating_ip.status != params["status"]:
            floating_ip.status = params["status"]


def notify_port_active(params: Mapping[str, str]) -> None:
    """Notifies Nova that the port works on the host to which it is migrating. ML2 does not do that, because to it the port is still on the source host."""
    plugin = directory.get_plugin()
    notifier = getattr(plugin, "nova_notifier", None)
    if notifier is None:
        return
    context = neutron_context.get_admin_context()
    try:
        with db_api.CONTEXT_READER.using(context):
            port = plugin._get_port(context, params["port"])  # pylint: disable=protected-access
            notifier.notify_port_active_direct(port)
    except exceptions.PortNotFound:
        return


#: An agent: its type and its host.
AgentKey = Tuple[str, str]


def report_agents(params: Mapping[str, Any]) -> None:
    """Records heartbeats of these agents.
    One statement serves all agents that were alive. New, revived and restarted ones go through Neutron's own function, because other code listens to its events.
    """
    reports: List[Mapping[str, Any]] = params["agents"]
    binaries = {(AGENT_TYPES[report["agent"]], report["host"]): report["agent"] for report in reports}
    started = {(AGENT_TYPES[report["agent"]], report["host"]) for report in reports if report["started"]}
    known = _heartbeats(set(binaries))
    steady = {agent for agent in binaries if agent in known and agent not in started and not agent_utils.is_agent_down(known[agent])}
    if steady:
        _beat(steady)
    plugin = directory.get_plugin()
    for agent in sorted(set(binaries) - steady):
        try:
            plugin.create_or_update_agent(neutron_context.get_admin_context(), agent_state(agent, binaries[agent], agent in started), timeutils.utcnow())
        except db_exception.DBError as error:
            if isinstance(error, (db_exception.DBConnectionError, db_exception.DBDeadlock)):
                raise
            # The table may not be able to hold the name. The other agents' heartbeats are recorded nevertheless.
            LOG.error("Calico: the %s on host %r cannot be recorded in Neutron's list of agents: %s", agent[0], agent[1], error)


def agent_state(agent: AgentKey, binary: str, started: bool) -> Dict[str, Any]:
    """The state of an agent as Neutron's own agents report it. `started` marks the first report after the agent's start."""
    agent_type, host = agent
    state: Dict[str, Any] = {"agent_type": agent_type, "binary": binary, "host": host, "topic": TOPIC, "configurations": {}}
    if started:
        state["start_flag"] = True
    return state


def _among(table: Any, agents: Set[AgentKey]) -> Any:
    """Whether a row of the table is one of these agents."""
    hosts: Dict[str, List[str]] = {}
    for agent_type, host in sorted(agents):
        hosts.setdefault(agent_type, []).append(host)
    return sa.or_(*(sa.and_(table.c.agent_type == agent_type, table.c.host.in_(names)) for agent_type, names in hosts.items()))


@db_api.retry_db_errors
def _heartbeats(agents: Set[AgentKey]) -> Dict[AgentKey, Any]:
    table = agent_models.Agent.__table__
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_READER.using(context):
        query = sa.select(table.c.agent_type, table.c.host, table.c.heartbeat_timestamp).where(_among(table, agents))
        return {(row[0], row[1]): row[2] for row in context.session.execute(query)}


@db_api.retry_db_errors
def _beat(agents: Set[AgentKey]) -> None:
    table = agent_models.Agent.__table__
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(sa.update(table).where(_among(table, agents)).values(heartbeat_timestamp=timeutils.utcnow()))


ORDERS = {"set_port_status": set_port_status, "set_floating_ip_status": set_floating_ip_status, "notify_port_active": notify_port_active, "report_agents": report_agents}
