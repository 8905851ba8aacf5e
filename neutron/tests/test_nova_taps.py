"""The plugin for nova-compute has taps marked as managed='no'. Where Nova is installed it is tested on Nova itself, otherwise on a class of Nova's shape alone."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from typing import Any
from xml.etree import ElementTree

from calico_openstack import nova_taps

NOVA = importlib.util.find_spec("nova") is not None


def interface_class(**attributes: str) -> Any:
    """A class of the shape of Nova's LibvirtConfigGuestInterface, whose targets have these attributes besides `dev`."""

    class Interface:
        net_type = "bridge"
        target_dev = ""

        def format_dom(self) -> Any:
            dom = ElementTree.Element("interface", type=self.net_type)
            ElementTree.SubElement(dom, "target", {"dev": self.target_dev, **attributes})
            return dom

    return Interface


class TestMarks(unittest.TestCase):
    def test_taps_are_marked_and_other_interfaces_are_not(self) -> None:
        interface = interface_class()
        self.assertIsNotNone(nova_taps.trouble_of(interface))
        nova_taps.mark_taps(interface)
        nova_taps.mark_taps(interface)
        self.assertIsNone(nova_taps.trouble_of(interface))
        self.assertIsNone(interface().format_dom().find("target").get("managed"))

    def test_what_nova_writes_itself_stays(self) -> None:
        interface = interface_class(managed="yes")
        nova_taps.mark_taps(interface)
        self.assertIn("without managed='no'", nova_taps.trouble_of(interface) or "")

    def test_a_nova_that_is_built_differently_is_told_of_and_stops_nothing(self) -> None:
        self.assertIn("cannot be written", nova_taps.trouble_of(object) or "")


@unittest.skipUnless(NOVA, "Nova is not installed")
class TestNova(unittest.TestCase):
    site: "tempfile.TemporaryDirectory[str]"

    @classmethod
    def setUpClass(cls) -> None:
        # os-vif finds plugins by the metadata of an installed package.
        cls.site = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.site.cleanup)
        make_site = pathlib.Path(__file__).resolve().parent.parent / "make_site.py"
        subprocess.run([sys.executable, str(make_site), cls.site.name], check=True)

    def run_python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join(filter(None, [self.site.name, os.environ.get("PYTHONPATH")]))
        return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=self.site.name, env={**os.environ, "PYTHONPATH": path})

    #: What nova-compute does before it starts a VM: it loads os-vif's plugins, and asks its driver for the interface of a port with vif_type tap.
    COMPUTE = """
import logging, sys
from unittest import mock
import nova.cmd.compute, os_vif
from nova import objects
from nova.network import model
from nova.virt.libvirt import vif
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
objects.register_all()
PREPARE
port = model.VIF(id="5d6e7f80-0000-4000-8000-000000000000", address="fa:16:3e:00:00:01", type="tap", devname="tap5d6e7f80-00", vnic_type="normal",
    network=model.Network(id="n", bridge=None, label="net", subnets=[]), details={"mac_address": "fe:16:3e:00:00:01"})
image = objects.ImageMeta.from_dict({"properties": {"hw_vif_model": "virtio"}})
flavor = objects.Flavor(extra_specs={}, vcpus=1)
instance = objects.Instance(id=1, uuid="6d6e7f80-0000-4000-8000-000000000000", display_name="vm")
print(vif.LibvirtGenericVIFDriver(mock.Mock()).get_config(instance, port, image, flavor, "qemu").to_xml())
"""

    def xml(self, prepare: str) -> "subprocess.CompletedProcess[str]":
        answer = self.run_python("-c", self.COMPUTE.replace("PREPARE", prepare))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return answer

    def test_a_tap_of_a_new_vm_is_marked_when_the_plugins_are_loaded(self) -> None:
        answer = self.xml("os_vif.initialize()")
        target = ElementTree.fromstring(answer.stdout).find("target")
        assert target is not None
        self.assertEqual(target.attrib, {"dev": "tap5d6e7f80-00", "managed": "no"})
        self.assertIn("taps that Nova makes are marked", answer.stderr)

    def test_without_them_it_is_not_unless_this_nova_knows_the_attribute_itself(self) -> None:
        answer = self.xml("from nova.virt.libvirt import config; print('knows', hasattr(config.LibvirtConfigGuestInterface(), 'managed'))")
        self.assertEqual('managed="no"' in answer.stdout, "knows True" in answer.stdout)

    def test_the_check_tells_which(self) -> None:
        check = self.run_python("-m", "calico_openstack.nova_taps")
        self.assertEqual((check.returncode, check.stdout.startswith("in force")), (0, True), check.stdout)


if __name__ == "__main__":
    unittest.main()
