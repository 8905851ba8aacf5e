"""`core_plugin = calico` stands for the settings that it stands for upstream."""

from __future__ import annotations

import unittest

from neutron import manager
from neutron.conf.plugins.ml2 import config as ml2_options
from oslo_config import cfg

from calico_openstack import plugin


def settings(**ml2: object) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    ml2_options.register_ml2_plugin_opts(conf)
    conf.register_opt(cfg.ListOpt("service_plugins", default=[]))
    conf([])
    for name, value in ml2.items():
        conf.set_default(name, value, "ml2")
    return conf


class TestPlugin(unittest.TestCase):
    def test_it_is_found_by_its_name(self) -> None:
        self.assertTrue(issubclass(plugin.CalicoPlugin, manager.NeutronManager.load_class_for_provider("neutron.core_plugins", "ml2")))

    def test_the_driver_is_calico_alone_whatever_the_file_says(self) -> None:
        conf = settings(mechanism_drivers=["openvswitch"])
        network_types = "project_network_types" if "project_network_types" in conf.ml2 else "tenant_network_types"
        conf.set_default(network_types, ["vxlan"], "ml2")
        plugin.configure(conf)
        self.assertEqual(conf.ml2.mechanism_drivers, ["calico"])
        self.assertEqual(conf.ml2.type_drivers, ["local", "flat"])
        self.assertEqual(conf.ml2[network_types], ["local"])

    def test_what_the_operator_has_besides_stays(self) -> None:
        conf = settings(extension_drivers=["port_security", "dns"])
        conf.set_default("service_plugins", ["trunk", "qos"])
        plugin.configure(conf)
        self.assertEqual(conf.ml2.extension_drivers, ["port_security", "dns", "qos"])
        self.assertEqual(conf.service_plugins, ["trunk", "qos", "router"])


if __name__ == "__main__":
    unittest.main()
