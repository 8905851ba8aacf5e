"""Refusals where Neutron has no place for them: its callbacks wrap what they raise, and some resources have no callback before their commit."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from neutron_lib import exceptions
from sqlalchemy import event, orm


class CalicoUnavailable(exceptions.ServiceUnavailable):
    """HTTP 503: the change cannot reach the datastore now. Nothing is wrong with the request."""

    message = "%(reason)s"


class CalicoRefused(exceptions.Conflict):
    """HTTP 409: Calico cannot do what the request asks for."""

    message = "%(reason)s"


def at_commit(session: Any, refusal: Exception) -> None:
    """Makes the commit of this session's transaction raise `refusal`, which so becomes the API's answer as it is.

    For security groups and their rules, Neutron makes a 409 of whatever a callback raises, with the callback's name in it. A session has one transaction and is thrown away with it.
    """

    def refuse(_session: Any) -> None:
        raise refusal

    event.listen(session, "before_commit", refuse)


_ROUTED = "no traffic passes it, since Calico routes on each host"
#: What Neutron would accept although nothing carries it out: the model of the rows, and the answer to a request that creates such a row.
NOT_CARRIED_OUT: Mapping[str, str] = {
    "neutron.db.models.port_forwarding.PortForwarding": "port forwarding is not supported: a floating IP is translated as a whole, for one port",
    "neutron.db.qos.models.QosFIPPolicyBinding": "a floating IP cannot have a QoS policy: give the policy to its port",
    "neutron.db.qos.models.QosRouterGatewayIPPolicyBinding": f"a router's gateway cannot have a QoS policy: {_ROUTED}",
    "neutron.services.trunk.models.Trunk": "trunks are not supported: Calico routes each port by itself, without VLANs",
    "neutron.services.trunk.models.SubPort": "trunks are not supported: Calico routes each port by itself, without VLANs",
    "neutron.db.models.ndp_proxy.NDPProxy": "NDP proxies are not supported: IPv6 addresses are routed as they are",
    "neutron.db.models.local_ip.LocalIP": "local IPs are not supported: an address is one and the same everywhere in a routed cloud",
    "neutron.db.models.conntrack_helper.ConntrackHelper": f"a router's connection tracking helpers are not supported: {_ROUTED}",
}
#: The same for stateless security groups. They exist only if they are older than the driver, which does not offer this extension of the API.
STATELESS_GROUP = "the group is stateless, and is enforced as a stateful one: Calico tracks connections, so replies pass without a rule"
#: Templates of the rules of new groups, in Neutron 24 and newer. Neutron has no callback for them.
RULE_TEMPLATE = "neutron.db.models.securitygroup_default_rules.SecurityGroupDefaultRule"


def others_than_calico(mechanism_drivers: Sequence[str]) -> bool:
    """Whether a mechanism driver beside `calico` binds ports. (`logger` only writes log lines.) What Calico does not carry out may then be for the ports of others."""
    return bool(set(mechanism_drivers) - {"calico", "logger"})


def columns(row: Any) -> Mapping[str, Any]:
    """The fields of a row of the database."""
    return {column.key: getattr(row, column.key) for column in orm.object_mapper(row).column_attrs}


def full_name(model: type) -> str:
    """The name of a class with its module, as in NOT_CARRIED_OUT."""
    return f"{model.__module__}.{model.__qualname__}"


def refuse_new_rows(alone: bool, template: Callable[[Mapping[str, Any]], None]) -> None:
    """Refuses rows of NOT_CARRIED_OUT when `alone`. `template` is called with the fields of a new rule template, and raises when Calico cannot enforce it.

    The listener is on the mappers of all models, because importing the model of a plugin that is not loaded would change Neutron's own queries.
    """

    def look(_mapper: Any, _connection: Any, row: Any) -> None:
        name = full_name(type(row))
        if alone and name in NOT_CARRIED_OUT:
            raise CalicoRefused(reason=f"Calico: {NOT_CARRIED_OUT[name]}")
        if name == RULE_TEMPLATE:
            template(columns(row))

    event.listen(orm.Mapper, "before_insert", look)
