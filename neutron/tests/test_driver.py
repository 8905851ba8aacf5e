"""Port binding, agents, and how Neutron finds the driver."""

from __future__ import annotations

import datetime
import importlib.metadata
import pathlib
import sys
import tempfile
import unittest
from typing import Any, Dict, List
from unittest import mock

from neutron.agent.common import utils as agent_utils
from neutron.conf.agent import common as agent_conf
from neutron.conf.agent.database import agents_db
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_utils import timeutils

import make_site
from calico_openstack import apply, driver, plugin


class BindingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.driver = driver.CalicoMechanismDriver()

    def bind(self, agents: List[Dict[str, Any]], network_type: str = "local", vnic_type: str = "normal") -> mock.Mock:
        context = mock.MagicMock()
        context.current = {"id": "p", "mac_address": "FA:16:3e:10:20:30", "binding:vnic_type": vnic_type, "fixed_ips": []}
        context.segments_to_bind = [{"id": "s", "network_type": network_type, "physical_network": None, "network_id": "n"}]
        context.host_agents.side_effect = lambda agent_type: [agent for agent in agents if agent["agent_type"] == agent_type]
        self.driver.bind_port(context)
        binding: mock.Mock = context.set_binding
        return binding

    def felix(self, alive: bool = True) -> Dict[str, Any]:
        return {"agent_type": "Calico per-host agent (felix)", "alive": alive, "host": "h", "configurations": {}}

    def test_a_port_is_bound_to_a_tap_where_felix_is_alive(self) -> None:
        for network_type in ("local", "flat"):
            binding = self.bind([self.felix()], network_type)
            details = {"connectivity": "legacy", "port_filter": True, "mac_address": "fe:16:3e:10:20:30"}
            binding.assert_called_once_with("s", "tap", details)

    def test_a_port_is_not_bound_without_a_living_felix_nor_when_it_needs_no_tap(self) -> None:
        self.bind([]).assert_not_called()
        self.bind([self.felix(alive=False)]).assert_not_called()
        self.bind([{**self.felix(), "agent_type": "Open vSwitch agent"}]).assert_not_called()
        self.bind([self.felix()], "vxlan").assert_not_called()
        self.bind([self.felix()], "local", "direct").assert_not_called()


class AgentsTest(unittest.TestCase):
    def setUp(self) -> None:
        cfg.CONF([])  # newer releases read policies for each context, and need to know where
        agent_conf.register_agent_state_opts_helper(cfg.CONF)
        agents_db.register_db_agents_opts()

    def report(self, known: Dict[apply.AgentKey, Any], reports: List[Dict[str, Any]]) -> "tuple[Any, List[Dict[str, Any]]]":
        plugin = mock.Mock()
        with mock.patch.object(apply, "_heartbeats", return_value=known), mock.patch.object(apply, "_beat") as beat:
            with mock.patch("neutron_lib.plugins.directory.get_plugin", return_value=plugin):
                apply.report_agents({"agents": reports})
        return beat, [call.args[1] for call in plugin.create_or_update_agent.call_args_list]

    def test_a_host_that_neutron_cannot_record_does_not_affect_others_and_an_unreachable_database_is_reported(self) -> None:
        entered: List[str] = []
        failure: List[Exception] = [db_exception.DBDataError()]

        def enter(_context: Any, state: Dict[str, Any], _time: Any) -> None:
            if state["host"] == "b":
                raise failure[0]
            entered.append(state["host"])

        plugin = mock.Mock(create_or_update_agent=enter)
        reports = {"agents": [{"agent": "calico-felix", "host": host, "started": False} for host in ("c", "b", "a")]}
        with mock.patch.object(apply, "_heartbeats", return_value={}), mock.patch("neutron_lib.plugins.directory.get_plugin", return_value=plugin):
            apply.report_agents(reports)
            self.assertEqual(entered, ["a", "c"])
            failure[0] = db_exception.DBConnectionError()
            with self.assertRaises(db_exception.DBConnectionError):
                apply.report_agents(reports)

    def test_living_agents_are_recorded_in_one_write_and_the_others_through_neutrons_function(self) -> None:
        now = timeutils.utcnow()
        long_ago = now - datetime.timedelta(seconds=cfg.CONF.agent_down_time * 2)
        self.assertTrue(agent_utils.is_agent_down(long_ago))
        felix, bird = "Calico per-host agent (felix)", "Calico BIRD agent"
        reports = [{"agent": "calico-felix", "host": host, "started": host == "restarted"} for host in ("a", "dead", "restarted", "new")]
        reports.append({"agent": "calico-bird-agent", "host": "a", "started": False})
        reports.append({"agent": "calico-bird-agent", "host": "new", "started": False})
        beat, states = self.report({(felix, "a"): now, (bird, "a"): now, (felix, "dead"): long_ago, (felix, "restarted"): now}, reports)
        beat.assert_called_once_with({(felix, "a"), (bird, "a")})
        said = [(state["binary"], state["host"], state.get("start_flag")) for state in states]
        self.assertEqual(said, [("calico-bird-agent", "new", None), *(("calico-felix", host, flag) for host, flag in (("dead", None), ("new", None), ("restarted", True)))])
        self.assertEqual({key: states[0][key] for key in ("agent_type", "topic")}, {"agent_type": bird, "topic": "N/A"})


class SiteTest(unittest.TestCase):
    def test_neutron_finds_the_driver_in_a_directory_on_pythonpath(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            make_site.make_site(pathlib.Path(directory))
            (found,) = importlib.metadata.distributions(path=[directory])
            self.assertEqual((found.metadata["Name"], found.version), ("calico-openstack", "0.1.0"))
            entries = {(entry.group, entry.name): entry.value for entry in found.entry_points}
            classes = {
                ("neutron.ml2.mechanism_drivers", "calico"): driver.CalicoMechanismDriver,
                ("neutron.core_plugins", "calico"): plugin.CalicoPlugin,
            }
            self.assertEqual(entries.keys(), classes.keys() | {("os_vif", "calico")})  # the latter is nova-compute's: test_nova_taps.py
            for entry, value in entries.items():
                module, _, name = value.partition(":")
                self.assertTrue((pathlib.Path(directory) / (module.replace(".", "/") + ".py")).exists())
                if entry in classes:
                    self.assertIs(getattr(sys.modules[module], name), classes[entry])
