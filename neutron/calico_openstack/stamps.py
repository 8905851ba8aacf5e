"""Answers in which state the ports are, in one short row for each, so that resync reads in depth only those that changed."""

from __future__ import annotations

import hashlib
from typing import Any, List, Mapping, Optional, Tuple

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3 as l3_models
from neutron.db.models import securitygroup as sg_models
from neutron.db.qos import models as qos_models
from neutron_lib.db import standard_attr
from neutron_lib.plugins import directory

from calico_openstack import rows

#: The type of Neutron's service plugin `revisions`, which counts the changes of each object and of the rows that belong to it.
REVISIONS = "revision_plugin"


def shared_stamp(_params: Mapping[str, Any]) -> Optional[str]:
    """A digest of what the endpoints of many ports contain, or None when ports have no revisions. Then all of them have to be read."""
    return rows.in_transaction(_shared_stamp) if directory.get_plugin(REVISIONS) is not None else None


def _shared_stamp(reader: rows.Reader) -> str:
    digest = hashlib.sha256(repr(rows.dns_domain()).encode())
    for model, *names in (
        (models_v2.Network, "id", "name"),
        (models_v2.Subnet, "id", "network_id", "cidr", "gateway_ip"),
        (sg_models.SecurityGroup, "id", "name"),
        (qos_models.QosNetworkPolicyBinding, "network_id", "policy_id"),
        (qos_models.QosBandwidthLimitRule, "id", "qos_policy_id", "direction", "max_kbps", "max_burst_kbps"),
        (qos_models.QosPacketRateLimitRule, "id", "qos_policy_id", "direction", "max_kpps"),
    ):
        columns = model.__table__.c
        digest.update(repr(reader.tuples(sa.select(*(columns[name] for name in names)).order_by(columns[names[0]]))).encode())
    return digest.hexdigest()


def port_stamps(params: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """The next ports by id, each with a text that is another one after each change of the port, of the rows that belong to it, or of its floating IPs."""
    return rows.in_transaction(lambda reader: _port_stamps(reader, params))


def _port_stamps(reader: rows.Reader, params: Mapping[str, Any]) -> List[Tuple[str, str]]:
    port, attribute, floating_ip = models_v2.Port.__table__, standard_attr.StandardAttribute.__table__, l3_models.FloatingIP.__table__
    counted = sa.select(port.c.id, attribute.c.revision_number).where(port.c.standard_attr_id == attribute.c.id)
    chosen = counted.where(port.c.id > params["after"], rows.owned_by(params["owners"])).order_by(port.c.id).limit(params["limit"])
    stamps = {port_id: str(revision) for port_id, revision in reader.tuples(chosen)}
    if stamps:
        fields = sa.select(floating_ip.c.fixed_port_id, floating_ip.c.id, floating_ip.c.fixed_ip_address, floating_ip.c.floating_ip_address)
        among = fields.where(floating_ip.c.fixed_port_id > params["after"], floating_ip.c.fixed_port_id <= max(stamps)).order_by(floating_ip.c.id)
        for port_id, *translation in reader.tuples(among):
            if port_id in stamps:
                stamps[port_id] += " " + " ".join(map(str, translation))
    return list(stamps.items())


QUESTIONS = {"shared_stamp": shared_stamp, "port_stamps": port_stamps}
