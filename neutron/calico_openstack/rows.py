"""Answers the daemon's questions for rows: the committed state, read in a new transaction, with Neutron's own field names.

It reads the tables themselves: a port's dictionary as Neutron's API shows it costs five times as much, and the tables have kept their columns for years.
An API call waits for a port's rows, so all that belongs to ports is read by one statement: each statement costs a round trip to the database, whatever it reads.
"""

from __future__ import annotations

import collections
import functools
import json
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import address_group as ag_models
from neutron.db.models import allowed_address_pair as pair_models
from neutron.db.models import dns as dns_models
from neutron.db.models import external_net as external_models
from neutron.db.models import l3 as l3_models
from neutron.db.models import securitygroup as sg_models
from neutron.db.models import segment as segment_models
from neutron.db.port_security import models as psec_models
from neutron.db.qos import models as qos_models
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import context as neutron_context
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from calico_openstack import projects, refusals, together

Row = Dict[str, Any]


class Reader:
    """Reads whole rows in one transaction, and so one state of the database."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def by(self, model: Any, column: str, values: Iterable[Any], *order: str) -> List[Row]:
        """The rows whose column has one of these values."""
        wanted = sorted(set(values))
        if not wanted:
            return []
        table = model.__table__
        query = sa.select(table).where(table.c[column].in_(wanted)).order_by(*(table.c[name] for name in order))
        return self.select(query)

    def select(self, query: Any) -> List[Row]:
        """The rows that a query selects."""
        return [dict(row) for row in self._session.execute(query).mappings()]

    def ids(self, query: Any) -> List[str]:
        """The values that a query for one column selects."""
        return list(self._session.execute(query).scalars())

    def tuples(self, query: Any, parameters: Optional[Mapping[str, Any]] = None) -> List[Tuple[Any, ...]]:
        """The rows that a query selects, without their columns' names."""
        return [tuple(row) for row in self._session.execute(query, parameters)]


def grouped(rows: Sequence[Row], column: str) -> Dict[Any, List[Row]]:
    """The rows by the value of a column, in their order."""
    groups: Dict[Any, List[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def rows(params: Mapping[str, Sequence[str]]) -> Row:
    """The named ports, subnets, security groups (with rules) and address groups, and everything that they refer to."""
    return in_transaction(lambda reader: _rows(reader, params))


#: A question to `rows` for nothing at all.
_NO_QUESTION: Mapping[str, Sequence[str]] = {"ports": [], "subnets": [], "security_groups": [], "address_groups": []}


def of_port(port_id: str) -> Row:
    """The answer to `rows` for one port."""
    return rows({**_NO_QUESTION, "ports": [port_id]})


@db_api.retry_db_errors
def in_transaction(read: Any) -> Any:
    """What `read` returns for a reader."""
    # The transaction is new, so it sees everything that is committed by now, whatever transaction the caller is in.
    context = neutron_context.get_admin_context()
    with db_api.CONTEXT_READER.using(context):
        return read(Reader(context.session))


def _rows(reader: Reader, params: Mapping[str, Sequence[str]]) -> Row:
    attached = _attached(reader, params["ports"])
    ports, networks = _ports(attached), _networks(attached)
    policies = {row["qos_policy_id"] for row in ports + networks if row["qos_policy_id"]}
    groups = _security_groups(reader, params["security_groups"], attached["named_groups"])
    address_groups = {rule["remote_address_group_id"] for group in groups for rule in group.get("rules", ()) if rule["remote_address_group_id"]}
    return {
        "ports": ports,
        "networks": networks,
        "subnets": _subnets(reader, params["subnets"], attached["subnets"], _networks_spoken_for(ports)),
        "security_groups": groups,
        "floating_ips": attached["floating_ips"],
        "paired_floating_ips": _paired_floating_ips(reader, ports),
        "address_groups": _address_groups(reader, set(params["address_groups"]) | address_groups),
        "qos_policies": _qos_policies(reader, policies),
        "dns_domain": dns_domain(),
    }


def dns_domain() -> Optional[str]:
    """Neutron's option `dns_domain`; None without its DNS extension."""
    return cfg.CONF.dns_domain if _has_dns() else None


def _has_dns() -> bool:
    return "dns-integration" in directory.get_plugin().supported_extension_aliases


@functools.lru_cache(maxsize=None)
def _statement() -> together.Statement:
    """The statement that reads ports and everything that belongs to them, as far as the daemon uses it. It is made once, so that SQLAlchemy compiles it once."""
    ids = sa.bindparam("ids", expanding=True)
    port, ip, group = models_v2.Port.__table__.c, models_v2.IPAllocation.__table__.c, sg_models.SecurityGroupPortBinding.__table__.c
    networks = sa.select(port.network_id).where(port.id.in_(ids))
    subnets = sa.select(ip.subnet_id).where(ip.port_id.in_(ids))
    groups = sa.select(group.security_group_id).where(group.port_id.in_(ids))

    def part(name: str, model: Any, column: str, values: Any, columns: str, *order: str) -> together.Part:
        return together.Part(name, model.__table__, [column, *columns.split()], model.__table__.c[column].in_(values), order or (column,))

    return together.Statement(
        [
            part("ports", models_v2.Port, "id", ids, "network_id project_id mac_address admin_state_up status device_id device_owner"),
            part("ips", models_v2.IPAllocation, "port_id", ids, "ip_address subnet_id", "ip_address", "subnet_id"),
            part("bindings", ml2_models.PortBinding, "port_id", ids, "host status vif_type profile", "host"),
            part("groups", sg_models.SecurityGroupPortBinding, "port_id", ids, "security_group_id", "security_group_id"),
            part("pairs", pair_models.AllowedAddressPair, "port_id", ids, "ip_address mac_address", "ip_address", "mac_address"),
            part("security", psec_models.PortSecurityBinding, "port_id", ids, "port_security_enabled"),
            part("options", dhcp_models.ExtraDhcpOpt, "port_id", ids, "ip_version opt_name opt_value", "ip_version", "opt_name"),
            part("dns", dns_models.PortDNS, "port_id", ids, "dns_name current_dns_domain"),
            part("policies", qos_models.QosPortPolicyBinding, "port_id", ids, "policy_id"),
            part("floating_ips", l3_models.FloatingIP, "fixed_port_id", ids, "id status fixed_ip_address floating_ip_address", "id"),
            part("networks", models_v2.Network, "id", networks, "name"),
            part("network_policies", qos_models.QosNetworkPolicyBinding, "network_id", networks, "policy_id"),
            part("subnets", models_v2.Subnet, "id", subnets, "network_id cidr gateway_ip enable_dhcp ipv6_ra_mode ipv6_address_mode"),
            part("named_groups", sg_models.SecurityGroup, "id", groups, "name stateful"),
        ]
    )


#: The rows of each table that belong to some ports.
Attached = Mapping[str, List[Row]]


def _attached(reader: Reader, ids: Sequence[str]) -> Attached:
    return _statement().read(reader.tuples, {"ids": sorted(set(ids))}) if ids else collections.defaultdict(list)


def _ports(attached: Attached) -> List[Row]:
    ips, bindings, groups, pairs, options = (grouped(attached[name], "port_id") for name in ("ips", "bindings", "groups", "pairs", "options"))
    security = {row["port_id"]: row["port_security_enabled"] for row in attached["security"]}
    dns = {row["port_id"]: row for row in attached["dns"]}
    policies = {row["port_id"]: row["policy_id"] for row in attached["policies"]}
    for port in attached["ports"]:
        port["fixed_ips"] = ips.get(port["id"], [])
        port["bindings"] = [{**row, "profile": _json(row["profile"])} for row in bindings.get(port["id"], [])]
        port["security_groups"] = [row["security_group_id"] for row in groups.get(port["id"], [])]
        port["allowed_address_pairs"] = pairs.get(port["id"], [])
        port["port_security_enabled"] = security.get(port["id"], True)  # Neutron's default when its extension has stored nothing
        port["extra_dhcp_opts"] = options.get(port["id"], [])
        port["dns"] = dns.get(port["id"])
        port["qos_policy_id"] = policies.get(port["id"])
    return attached["ports"]


def _paired_floating_ips(reader: Reader, ports: Sequence[Row]) -> List[Row]:
    """The floating IPs of other ports of these ports' networks that have one of these ports' allowed address pairs as an address: of a load balancer's virtual IP, say."""
    pairs = {pair["ip_address"].split("/")[0] for port in ports for pair in port["allowed_address_pairs"]}
    networks = {port["network_id"] for port in ports if port["allowed_address_pairs"]}
    if not pairs:
        return []
    ips = models_v2.IPAllocation.__table__
    holders = reader.ids(sa.select(ips.c.port_id).where(ips.c.ip_address.in_(sorted(pairs)), ips.c.network_id.in_(sorted(networks)), ips.c.port_id.isnot(None)))
    floating_ips = reader.by(l3_models.FloatingIP, "fixed_port_id", set(holders) - {port["id"] for port in ports}, "id")
    own = {port["id"]: port for port in _ports(_attached(reader, [row["fixed_port_id"] for row in floating_ips]))}
    return [{**row, "port": own[row["fixed_port_id"]]} for row in floating_ips]


def _json(text: str) -> Any:
    """Parses a binding:profile as Neutron itself does: text that is not a JSON object counts as empty, so that one bad port does not prevent a whole page from being read."""
    try:
        stored = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _networks(attached: Attached) -> List[Row]:
    policies = {row["network_id"]: row["policy_id"] for row in attached["network_policies"]}
    return [{**network, "qos_policy_id": policies.get(network["id"])} for network in attached["networks"]]


def _networks_spoken_for(ports: Sequence[Row]) -> Set[str]:
    """The networks of ports that may use addresses other than their fixed IPs. The daemon limits those addresses to the networks' subnets, so it needs these."""
    return {port["network_id"] for port in ports if port["allowed_address_pairs"] or not port["port_security_enabled"]}


def _subnets(reader: Reader, whole: Sequence[str], gateways: Sequence[Row], networks: Set[str]) -> List[Row]:
    """The subnets of `whole` with all their fields; `gateways` as they are, without routes and DNS servers, which saves queries while an API call waits; and all subnets of `networks`."""
    read = [*gateways, *reader.by(models_v2.Subnet, "id", whole, "id"), *reader.by(models_v2.Subnet, "network_id", networks, "id")]
    subnets = {subnet["id"]: subnet for subnet in read}
    routes = grouped(reader.by(models_v2.SubnetRoute, "subnet_id", whole, "destination", "nexthop"), "subnet_id")
    servers = grouped(reader.by(models_v2.DNSNameServer, "subnet_id", whole, "order", "address"), "subnet_id")
    for subnet in subnets.values():
        if subnet["id"] in whole:
            subnet["host_routes"] = routes.get(subnet["id"], [])
            subnet["dns_nameservers"] = [row["address"] for row in servers.get(subnet["id"], [])]
    return list(subnets.values())


def _security_groups(reader: Reader, with_rules: Sequence[str], named: Sequence[Row]) -> List[Row]:
    """The groups of `with_rules` with their rules, and `named` as they are."""
    groups = {group["id"]: group for group in [*named, *reader.by(sg_models.SecurityGroup, "id", with_rules, "id")]}
    rules = grouped(reader.by(sg_models.SecurityGroupRule, "security_group_id", with_rules, "id"), "security_group_id")
    for group in groups.values():
        if group["id"] in with_rules:
            group["rules"] = rules.get(group["id"], [])
    return list(groups.values())


def _address_groups(reader: Reader, ids: Set[str]) -> List[Row]:
    groups = reader.by(ag_models.AddressGroup, "id", ids, "id")
    addresses = grouped(reader.by(ag_models.AddressAssociation, "address_group_id", ids, "address"), "address_group_id")
    for group in groups:
        group["addresses"] = [row["address"] for row in addresses.get(group["id"], [])]
    return groups


def _qos_policies(reader: Reader, ids: Set[str]) -> List[Row]:
    bandwidth = reader.by(qos_models.QosBandwidthLimitRule, "qos_policy_id", ids, "id")
    packet_rate = reader.by(qos_models.QosPacketRateLimitRule, "qos_policy_id", ids, "id")
    rules = grouped([{**row, "type": "bandwidth_limit"} for row in bandwidth] + [{**row, "type": "packet_rate_limit"} for row in packet_rate], "qos_policy_id")
    return [{"id": policy, "rules": rules.get(policy, [])} for policy in sorted(ids)]


def page(params: Mapping[str, Any]) -> Row:
    """The next objects of a kind, by id, and their rows."""

    def read(reader: Reader) -> Row:
        kind = params["kind"]
        table = _PAGED[kind].__table__
        ids = reader.ids(sa.select(table.c.id).where(table.c.id > params["after"]).order_by(table.c.id).limit(params["limit"]))
        return {"ids": ids, "rows": _rows(reader, {**_NO_QUESTION, kind: ids})}

    return in_transaction(read)


def owned_by(owners: Sequence[str]) -> Any:
    """Whether a port's device_owner begins with one of these."""
    return sa.or_(*(models_v2.Port.__table__.c.device_owner.startswith(owner, autoescape=True) for owner in owners))


_PAGED = {
    "subnets": models_v2.Subnet,
    "security_groups": sg_models.SecurityGroup,
    "address_groups": ag_models.AddressGroup,
}


def ports_of(params: Mapping[str, str]) -> List[str]:
    """The ids of the ports to which a network, subnet, security group or QoS policy applies."""
    return in_transaction(lambda reader: reader.ids(_ports_of(params["of"], params["id"])))


def _ports_of(kind: str, object_id: str) -> Any:
    port = models_v2.Port.__table__
    if kind == "network":
        return sa.select(port.c.id).where(port.c.network_id == object_id)
    if kind == "network_pairs":
        pairs, security = pair_models.AllowedAddressPair.__table__, psec_models.PortSecurityBinding.__table__
        speaks = sa.or_(
            port.c.id.in_(sa.select(pairs.c.port_id)),
            port.c.id.in_(sa.select(security.c.port_id).where(security.c.port_security_enabled.is_(False))),
        )
        return sa.select(port.c.id).where(port.c.network_id == object_id, speaks)
    if kind == "pair_holders":
        ips, pairs = models_v2.IPAllocation.__table__, pair_models.AllowedAddressPair.__table__
        network = sa.select(port.c.network_id).where(port.c.id == object_id)
        addresses = sa.select(ips.c.ip_address).where(ips.c.port_id == object_id)
        prefixes = [sa.select(ips.c.ip_address + length).where(ips.c.port_id == object_id) for length in ("/32", "/128")]
        holders = sa.select(pairs.c.port_id).where(sa.or_(*(pairs.c.ip_address.in_(texts) for texts in (addresses, *prefixes))))
        return sa.select(port.c.id).where(port.c.network_id == network.scalar_subquery(), port.c.id.in_(holders))
    if kind == "subnet":
        ips = models_v2.IPAllocation.__table__
        return sa.select(ips.c.port_id).where(ips.c.subnet_id == object_id, ips.c.port_id.isnot(None)).distinct()
    if kind == "security_group":
        bindings = sg_models.SecurityGroupPortBinding.__table__
        return sa.select(bindings.c.port_id).where(bindings.c.security_group_id == object_id)
    if kind == "qos_policy":
        own = qos_models.QosPortPolicyBinding.__table__
        network = qos_models.QosNetworkPolicyBinding.__table__
        on_networks = sa.select(network.c.network_id).where(network.c.policy_id == object_id)
        return sa.select(own.c.port_id).where(own.c.policy_id == object_id).union(sa.select(port.c.id).where(port.c.network_id.in_(on_networks)))
    raise LookupError(f"no such kind: {kind}")


def subnets(params: Mapping[str, Any]) -> Row:
    """The prefixes and gateways of subnets, and their networks: those of one network, or all of an IP version."""
    return in_transaction(lambda reader: _places(reader, params))


def _places(reader: Reader, params: Mapping[str, Any]) -> Row:
    subnet = models_v2.Subnet.__table__
    network = params.get("network")
    chosen = subnet.c.network_id == network if network is not None else subnet.c.ip_version == params["ip_version"]
    places = reader.select(sa.select(subnet.c.id, subnet.c.network_id, subnet.c.cidr, subnet.c.gateway_ip).where(chosen))
    segment = segment_models.NetworkSegment.__table__
    external = external_models.ExternalNetwork.__table__
    kinds = sa.select(segment.c.network_id, segment.c.network_type)
    outside = sa.select(external.c.network_id)
    if network is not None:
        kinds, outside = kinds.where(segment.c.network_id == network), outside.where(external.c.network_id == network)
    types = grouped(reader.select(kinds), "network_id")
    floating = set(reader.ids(outside))
    ids = {place["network_id"] for place in places} | ({network} if network is not None else set())
    networks = [{"id": i, "types": [row["network_type"] for row in types.get(i, [])], "external": i in floating} for i in sorted(ids)]
    return {"subnets": places, "networks": networks}


def within(request: Any) -> Callable[[str, Mapping[str, Any]], Any]:
    """Returns a function that answers `subnets` from the transaction of this request. It sees the request's own subnets, and needs no second database connection."""

    def respond(method: str, params: Mapping[str, Any]) -> Any:
        if method != "subnets":
            return answer(method, params)
        with db_api.CONTEXT_READER.using(request):
            return _places(Reader(request.session), params)

    return respond


#: The most objects of a kind that `not_carried_out` lists.
MOST_LISTED = 1000


def not_carried_out(_params: Mapping[str, Any]) -> List[Row]:
    """The objects in the database that Calico does not carry out, and that would be refused today. Rows of plugins that are not loaded do not count."""
    mappers = models_v2.Port.registry.mappers
    answers = {mapper.local_table: refusals.NOT_CARRIED_OUT.get(refusals.full_name(mapper.class_)) for mapper in mappers}

    def read(reader: Reader) -> List[Row]:
        group = sg_models.SecurityGroup.__table__
        stateless = sa.select(group.c.id).where(group.c.stateful.is_(False)).order_by(group.c.id)
        found = [{"kind": "security_group", "id": group_id, "what": refusals.STATELESS_GROUP} for group_id in reader.ids(stateless)]
        for table, answer in sorted(answers.items(), key=lambda item: str(item[0])):
            if answer is not None:
                ids = reader.ids(sa.select(list(table.primary_key)[0]).limit(MOST_LISTED))
                found += [{"kind": table.name, "id": row_id, "what": answer} for row_id in ids]
        return found

    return in_transaction(read)


def floating_ip_at(request: Any, port_id: str) -> Optional[Row]:
    """The floating IP whose address this port holds, as the request's transaction sees it."""
    with db_api.CONTEXT_READER.using(request):
        found = Reader(request.session).by(l3_models.FloatingIP, "floating_port_id", [port_id])
    return found[0] if found else None


QUESTIONS = {"rows": rows, "subnets": subnets, "page": page, "ports_of": ports_of, "not_carried_out": not_carried_out, "projects": projects.projects}


def answer(method: str, params: Mapping[str, Any]) -> Any:
    """Answers one question of the daemon. Raises LookupError for an unknown one."""
    question = QUESTIONS.get(method)
    if question is None:
        raise LookupError(f"no such question: {method}")
    return question(params)
