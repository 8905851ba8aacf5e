"""Rows, read from in-memory tables that Neutron's own models define."""

from __future__ import annotations

import contextlib
import json
import types
import unittest
from typing import Any, Dict, List
from unittest import mock

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as extra_dhcp_opt
from neutron.db.migration.models import head
from neutron.db.models import address_group, allowed_address_pair, dns, external_net, l3, securitygroup, segment
from neutron.db.port_security import models as psec
from neutron.db.qos import models as qos
from neutron.plugins.ml2 import models as ml2
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy import orm

from calico_openstack import rows, stamps

NOTHING: Dict[str, List[str]] = {"ports": [], "subnets": [], "security_groups": [], "address_groups": []}


class RowsTest(unittest.TestCase):
    def setUp(self) -> None:
        engine = sa.create_engine("sqlite://")
        head.get_metadata().create_all(engine)
        self.connection = engine.connect()
        self.reader = rows.Reader(orm.Session(self.connection))
        self.addCleanup(engine.dispose)
        has_dns = mock.patch.object(rows, "_has_dns", return_value=False)
        has_dns.start()
        self.addCleanup(has_dns.stop)
        self.numbers = iter(range(1, 1000))

    def insert(self, model: Any, **values: Any) -> None:
        if "standard_attr_id" in model.__table__.c:
            values = {"standard_attr_id": next(self.numbers), **values}
        self.connection.execute(model.__table__.insert().values(**values))

    def port(self, port_id: str, **values: Any) -> None:
        fields = {"network_id": "n", "mac_address": f"fa:16:3e:00:00:{next(self.numbers):02x}", "admin_state_up": True, "status": "DOWN", "device_owner": "compute:nova"}
        self.insert(models_v2.Port, id=port_id, project_id="t", device_id="vm", **{**fields, **values})

    def test_a_port_comes_with_everything_that_its_endpoint_needs(self) -> None:
        self.insert(models_v2.Network, id="n", name="net")
        self.insert(models_v2.Subnet, id="s", network_id="n", ip_version=4, cidr="10.0.0.0/24", gateway_ip="10.0.0.1", enable_dhcp=True)
        self.insert(models_v2.DNSNameServer, subnet_id="s", address="10.0.0.3", order=1)
        self.insert(models_v2.DNSNameServer, subnet_id="s", address="10.0.0.2", order=2)
        self.insert(models_v2.SubnetRoute, subnet_id="s", destination="10.9.0.0/16", nexthop="10.0.0.1")
        self.port("p")
        self.insert(models_v2.IPAllocation, port_id="p", ip_address="10.0.0.7", subnet_id="s", network_id="n")
        self.insert(ml2.PortBinding, port_id="p", host="h", vnic_type="normal", profile='{"migrating_to": "h2"}', vif_type="tap", vif_details="", status="ACTIVE")
        self.insert(securitygroup.SecurityGroup, id="g", name="web", stateful=True)
        self.insert(securitygroup.SecurityGroupPortBinding, port_id="p", security_group_id="g")
        self.insert(allowed_address_pair.AllowedAddressPair, port_id="p", mac_address="fa:16:3e:00:00:01", ip_address="10.0.0.200")
        self.insert(psec.PortSecurityBinding, port_id="p", port_security_enabled=False)
        self.insert(extra_dhcp_opt.ExtraDhcpOpt, id="o", port_id="p", opt_name="mtu", opt_value="1400", ip_version=4)
        self.insert(dns.PortDNS, port_id="p", dns_name="vm", current_dns_name="", current_dns_domain="", previous_dns_name="", previous_dns_domain="", dns_domain="")
        self.insert(l3.FloatingIP, id="f", floating_ip_address="203.0.113.9", floating_network_id="o", floating_port_id="fp", fixed_port_id="p", fixed_ip_address="10.0.0.7")
        self.insert(qos.QosPolicy, id="q", name="q")
        self.insert(qos.QosNetworkPolicyBinding, policy_id="q", network_id="n")
        self.insert(qos.QosBandwidthLimitRule, id="r", qos_policy_id="q", max_kbps=1000, max_burst_kbps=0, direction="egress")
        answer = json.loads(json.dumps(rows._rows(self.reader, {**NOTHING, "ports": ["p", "gone"]}), default=str))
        (port,) = answer["ports"]
        self.assertEqual([ip["ip_address"] for ip in port["fixed_ips"]], ["10.0.0.7"])
        self.assertEqual([(binding["host"], binding["profile"]) for binding in port["bindings"]], [("h", {"migrating_to": "h2"})])
        self.assertEqual((port["security_groups"], port["port_security_enabled"], port["dns"]["dns_name"]), (["g"], False, "vm"))
        self.assertEqual([(option["opt_name"], option["opt_value"], option["ip_version"]) for option in port["extra_dhcp_opts"]], [("mtu", "1400", 4)])
        self.assertEqual([pair["ip_address"] for pair in port["allowed_address_pairs"]], ["10.0.0.200"])
        self.assertEqual([(network["name"], network["qos_policy_id"]) for network in answer["networks"]], [("net", "q")])
        (subnet,) = answer["subnets"]
        self.assertEqual((subnet["gateway_ip"], "host_routes" in subnet), ("10.0.0.1", False))
        (subnet,) = rows._rows(self.reader, {**NOTHING, "subnets": ["s"]})["subnets"]
        self.assertEqual((subnet["gateway_ip"], subnet["dns_nameservers"]), ("10.0.0.1", ["10.0.0.3", "10.0.0.2"]))
        self.assertEqual([route["destination"] for route in subnet["host_routes"]], ["10.9.0.0/16"])
        self.assertEqual([(group["name"], "rules" in group) for group in answer["security_groups"]], [("web", False)])
        self.assertEqual([ip["floating_ip_address"] for ip in answer["floating_ips"]], ["203.0.113.9"])
        self.assertEqual([(policy["id"], policy["rules"][0]["type"], policy["rules"][0]["max_kbps"]) for policy in answer["qos_policies"]], [("q", "bandwidth_limit", 1000)])

    def test_a_ports_rows_are_read_by_one_statement_and_have_the_types_of_their_columns(self) -> None:
        self.insert(models_v2.Network, id="n", name="7")
        self.port("p", admin_state_up=False)
        self.insert(extra_dhcp_opt.ExtraDhcpOpt, id="o", port_id="p", opt_name="26", opt_value="1400", ip_version=6)
        self.insert(models_v2.Subnet, id="s", network_id="n", ip_version=6, cidr="2001:db8::/64", gateway_ip=None, enable_dhcp=False)
        for ip in ("2001:db8::8", "2001:db8::7"):
            self.insert(models_v2.IPAllocation, port_id="p", ip_address=ip, subnet_id="s", network_id="n")
        self.insert(securitygroup.SecurityGroup, id="g", name="true", stateful=False)
        self.insert(securitygroup.SecurityGroupPortBinding, port_id="p", security_group_id="g")
        statements: List[str] = []
        sa.event.listen(self.connection, "before_cursor_execute", lambda _connection, _cursor, statement, *_rest: statements.append(statement))
        answer = rows._rows(self.reader, {**NOTHING, "ports": ["p"]})
        self.assertEqual(len(statements), 1, statements)
        (port,), (network,), (subnet,), (group,) = (answer[kind] for kind in ("ports", "networks", "subnets", "security_groups"))
        self.assertEqual([port[name] for name in ("device_id", "admin_state_up", "dns", "qos_policy_id")], ["vm", False, None, None])
        self.assertEqual([option[name] for option in port["extra_dhcp_opts"] for name in ("opt_name", "opt_value", "ip_version")], ["26", "1400", 6])
        self.assertEqual([ip["ip_address"] for ip in port["fixed_ips"]], ["2001:db8::7", "2001:db8::8"])
        self.assertEqual(network["name"], "7")
        self.assertEqual([subnet[name] for name in ("cidr", "gateway_ip", "enable_dhcp")], ["2001:db8::/64", None, False])
        self.assertEqual([group[name] for name in ("name", "stateful")], ["true", False])

    def test_a_profile_that_is_not_a_json_object_is_empty_as_in_neutron(self) -> None:
        for stored in ('{"a": [[', "[1]", "7", "[" * 4000, ""):
            self.assertEqual(rows._json(stored), {}, stored[:10])

    def test_port_security_is_on_where_nothing_is_stored(self) -> None:
        self.port("p")
        (port,) = rows._rows(self.reader, {**NOTHING, "ports": ["p"]})["ports"]
        self.assertTrue(port["port_security_enabled"])

    def test_a_group_asked_for_itself_comes_with_its_rules_and_the_address_groups_they_name(self) -> None:
        self.insert(securitygroup.SecurityGroup, id="g", name="web", stateful=True)
        self.insert(address_group.AddressGroup, id="a", name="office")
        self.insert(address_group.AddressAssociation, address_group_id="a", address="10.0.0.0/8")
        for rule_id in ("r2", "r1"):
            self.insert(securitygroup.SecurityGroupRule, id=rule_id, security_group_id="g", remote_address_group_id="a", direction="ingress", ethertype="IPv4")
        answer = rows._rows(self.reader, {**NOTHING, "security_groups": ["g"]})
        self.assertEqual([rule["id"] for rule in answer["security_groups"][0]["rules"]], ["r1", "r2"])
        self.assertEqual([(group["name"], group["addresses"]) for group in answer["address_groups"]], [("office", ["10.0.0.0/8"])])

    def subnet(self, subnet_id: str, network: str, cidr: str, version: int = 4) -> None:
        self.insert(models_v2.Subnet, id=subnet_id, network_id=network, ip_version=version, cidr=cidr, gateway_ip=None, enable_dhcp=True)

    def test_a_port_that_may_use_other_addresses_comes_with_all_subnets_of_its_network(self) -> None:
        self.subnet("a", "n", "10.0.0.0/24")
        self.subnet("b", "n", "10.0.1.0/24")
        self.subnet("c", "m", "10.0.2.0/24")
        for port_id in ("plain", "pair", "open"):
            self.port(port_id)
        self.insert(models_v2.IPAllocation, port_id="plain", ip_address="10.0.0.7", subnet_id="a", network_id="n")
        self.insert(allowed_address_pair.AllowedAddressPair, port_id="pair", mac_address="fa:16:3e:00:00:01", ip_address="10.0.0.200")
        self.insert(psec.PortSecurityBinding, port_id="open", port_security_enabled=False)
        found = {port: [row["id"] for row in rows._rows(self.reader, {**NOTHING, "ports": [port]})["subnets"]] for port in ("plain", "pair", "open")}
        self.assertEqual(found, {"plain": ["a"], "pair": ["a", "b"], "open": ["a", "b"]})

    def test_a_port_comes_with_the_floating_ips_of_the_ports_whose_addresses_it_has_as_pairs(self) -> None:
        for port_id, network in (("vip", "n"), ("elsewhere", "m"), ("other", "n")):
            self.port(port_id, network_id=network, device_owner="Octavia")
        for port_id, network, ip in (("vip", "n", "10.0.0.200"), ("elsewhere", "m", "10.0.0.200"), ("other", "n", "10.0.0.201")):
            self.insert(models_v2.IPAllocation, port_id=port_id, ip_address=ip, subnet_id=network, network_id=network)
            fixed = {"fixed_port_id": port_id, "fixed_ip_address": ip}
            self.insert(l3.FloatingIP, id=f"of-{port_id}", floating_ip_address="203.0.113.9", floating_network_id="o", floating_port_id=f"f-{port_id}", **fixed)
        self.port("holder")
        self.insert(allowed_address_pair.AllowedAddressPair, port_id="holder", mac_address="fa:16:3e:00:00:01", ip_address="10.0.0.200/32")
        answer = rows._rows(self.reader, {**NOTHING, "ports": ["holder"]})
        self.assertEqual([(ip["id"], ip["port"]["id"], ip["port"]["bindings"]) for ip in answer["paired_floating_ips"]], [("of-vip", "vip", [])])
        self.assertEqual([port["id"] for port in answer["ports"]], ["holder"])

    def test_what_is_there_and_not_carried_out_is_listed(self) -> None:
        self.insert(securitygroup.SecurityGroup, id="loose", name="loose", stateful=False)
        self.insert(securitygroup.SecurityGroup, id="web", name="web", stateful=True)
        self.insert(qos.QosFIPPolicyBinding, policy_id="q", fip_id="f")
        with mock.patch.object(rows, "in_transaction", side_effect=lambda read: read(self.reader)):
            found = [(row["kind"], row["id"]) for row in rows.not_carried_out({})]
        self.assertEqual(found, [("security_group", "loose"), ("qos_fip_policy_bindings", "q")])

    def test_subnets_are_found_by_network_or_by_family_with_the_types_of_their_networks(self) -> None:
        self.subnet("a", "n", "10.0.0.0/24")
        self.subnet("b", "m", "10.0.1.0/24")
        self.subnet("c", "m", "2001:db8::/64", 6)
        self.insert(segment.NetworkSegment, id="s1", network_id="n", network_type="local")
        self.insert(segment.NetworkSegment, id="s2", network_id="m", network_type="vxlan")
        self.insert(external_net.ExternalNetwork, network_id="m")
        kinds = {"n": {"id": "n", "types": ["local"], "external": False}, "m": {"id": "m", "types": ["vxlan"], "external": True}}
        cases: List[Any] = [
            ({"network": "n"}, ["a"], ["n"]),
            ({"network": "gone"}, [], ["gone"]),
            ({"ip_version": 4}, ["a", "b"], ["m", "n"]),
            ({"ip_version": 6}, ["c"], ["m"]),
        ]
        for question, subnets, networks in cases:
            answer = rows._places(self.reader, question)
            self.assertEqual(sorted(subnet["id"] for subnet in answer["subnets"]), subnets, question)
            self.assertEqual(answer["networks"], [kinds.get(network, {"id": network, "types": [], "external": False}) for network in networks], question)

    def test_within_a_request_its_own_session_is_used_for_subnets_only(self) -> None:
        self.subnet("a", "n", "10.0.0.0/24")
        request = types.SimpleNamespace(session=self.reader._session)
        with mock.patch.object(db_api.CONTEXT_READER, "using", return_value=contextlib.nullcontext()):
            self.assertEqual([subnet["id"] for subnet in rows.within(request)("subnets", {"network": "n"})["subnets"]], ["a"])
        with self.assertRaises(LookupError):
            rows.within(request)("nothing", {})

    def test_pages_go_by_id(self) -> None:
        for subnet_id in ("a", "c", "d"):
            self.subnet(subnet_id, "n", "10.0.0.0/24")
        with mock.patch.object(rows, "in_transaction", side_effect=lambda read: read(self.reader)):
            pages = [rows.page({"kind": "subnets", "after": after, "limit": 2})["ids"] for after in ("", "c", "d")]
        self.assertEqual(pages, [["a", "c"], ["d"], []])

    def test_stamps_of_ports_go_by_id_and_owner_and_follow_revisions_and_floating_ips(self) -> None:
        for port_id, owner in (("a", "compute:nova"), ("b", "network:dhcp"), ("c", "compute:az_1"), ("d", "compute:nova"), ("e", "computeX")):
            number = next(self.numbers)
            self.connection.execute(standard_attr.StandardAttribute.__table__.insert().values(id=number, resource_type="ports", revision_number=7))
            self.port(port_id, device_owner=owner, standard_attr_id=number)
        floating_ip = {"floating_ip_address": "203.0.113.9", "floating_network_id": "o", "floating_port_id": "fp", "fixed_ip_address": "10.0.0.7"}
        self.insert(l3.FloatingIP, id="f", fixed_port_id="c", **floating_ip)
        self.insert(l3.FloatingIP, id="g", fixed_port_id="d", **{**floating_ip, "floating_ip_address": "203.0.113.10"})
        answers = [stamps._port_stamps(self.reader, {"after": after, "limit": 2, "owners": ["compute:"]}) for after in ("", "c", "d")]
        self.assertEqual(answers, [[("a", "7"), ("c", "7 f 10.0.0.7 203.0.113.9")], [("d", "7 g 10.0.0.7 203.0.113.10")], []])

    def test_the_shared_stamp_follows_what_many_endpoints_contain(self) -> None:
        self.insert(models_v2.Network, id="n", name="net")
        self.insert(models_v2.Subnet, id="s", network_id="n", ip_version=4, cidr="10.0.0.0/24", gateway_ip="10.0.0.1", enable_dhcp=True)
        self.insert(securitygroup.SecurityGroup, id="g", name="web", stateful=True)
        self.insert(qos.QosPolicy, id="q", name="q")
        self.insert(qos.QosPacketRateLimitRule, id="r", qos_policy_id="q", max_kpps=5, direction="egress")
        seen = [stamps._shared_stamp(self.reader)]
        for model, change in (
            (models_v2.Network, {"name": "other"}),
            (models_v2.Subnet, {"gateway_ip": "10.0.0.2"}),
            (securitygroup.SecurityGroup, {"name": "db"}),
            (qos.QosPacketRateLimitRule, {"max_kpps": 6}),
        ):
            self.connection.execute(model.__table__.update().values(**change))
            seen.append(stamps._shared_stamp(self.reader))
        self.insert(qos.QosNetworkPolicyBinding, policy_id="q", network_id="n")
        self.insert(qos.QosBandwidthLimitRule, id="w", qos_policy_id="q", max_kbps=1, max_burst_kbps=0, direction="egress")
        seen.append(stamps._shared_stamp(self.reader))
        self.assertEqual(len(set(seen)), len(seen))
        self.assertEqual(seen[-1], stamps._shared_stamp(self.reader))

    def test_the_ports_to_which_an_object_applies(self) -> None:
        for network, policy in (("n", None), ("m", "q")):
            self.insert(models_v2.Network, id=network, name=network)
            if policy:
                self.insert(qos.QosNetworkPolicyBinding, policy_id=policy, network_id=network)
        self.port("a")
        self.port("b")
        self.port("c", network_id="m")
        self.port("d")
        for port_id in ("b", "c"):
            self.insert(allowed_address_pair.AllowedAddressPair, port_id=port_id, mac_address="fa:16:3e:00:00:01", ip_address="10.0.0.200")
        self.port("e")
        self.insert(allowed_address_pair.AllowedAddressPair, port_id="e", mac_address="fa:16:3e:00:00:02", ip_address="10.0.0.200/32")
        self.port("v", device_owner="Octavia")
        self.insert(models_v2.IPAllocation, port_id="v", ip_address="10.0.0.200", subnet_id="t", network_id="n")
        for port_id, enabled in (("a", True), ("d", False)):
            self.insert(psec.PortSecurityBinding, port_id=port_id, port_security_enabled=enabled)
        self.insert(models_v2.IPAllocation, port_id="b", ip_address="10.0.0.7", subnet_id="s", network_id="n")
        self.insert(securitygroup.SecurityGroupPortBinding, port_id="a", security_group_id="g")
        self.insert(qos.QosPortPolicyBinding, port_id="a", policy_id="q")
        with mock.patch.object(rows, "in_transaction", side_effect=lambda read: read(self.reader)):
            questions = (("network", "n"), ("network_pairs", "n"), ("pair_holders", "v"), ("subnet", "s"), ("security_group", "g"), ("qos_policy", "q"))
            found = {kind: sorted(rows.ports_of({"of": kind, "id": i})) for kind, i in questions}
        self.assertEqual(found.pop("pair_holders"), ["b", "e"])  # c is of another network
        self.assertEqual(found, {"network": ["a", "b", "d", "e", "v"], "network_pairs": ["b", "d", "e"], "subnet": ["b"], "security_group": ["a"], "qos_policy": ["a", "c"]})
