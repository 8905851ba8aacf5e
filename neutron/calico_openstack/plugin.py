"""`core_plugin = calico`, as upstream's DevStack and its operators set it: Neutron's own ML2, with the settings that this value has always implied."""

from __future__ import annotations

from typing import Any, List, Optional

from neutron.plugins.ml2 import plugin
from oslo_config import cfg
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

#: The settings that upstream's plugin makes, whatever the configuration file says. Newer releases call the third `project_network_types`.
ML2 = {"mechanism_drivers": ["calico"], "type_drivers": ["local", "flat"], "tenant_network_types": ["local"]}
RENAMED = {"tenant_network_types": "project_network_types"}
#: The service plugins and extensions that upstream's plugin contains or adds. Here floating IPs are the work of Neutron's own router plugin.
SERVICE_PLUGINS = ("router", "qos")
EXTENSION_DRIVERS = ("qos",)


def _with(values: Any, wanted: Any) -> List[str]:
    """The present values, and behind them those of `wanted` that are missing."""
    return [*values, *(value for value in wanted if value not in values)]


def _set(conf: cfg.ConfigOpts, name: str, value: List[str], group: Optional[str] = None) -> None:
    before = list(conf[group][name] if group else conf[name])
    if before == value:
        return
    where = f"[{group or 'DEFAULT'}] {name}"
    LOG.info("Calico: core_plugin = calico makes %s %s (it was %s)", where, ",".join(value), ",".join(before) or "empty")
    conf.set_override(name, value, group)


def configure(conf: cfg.ConfigOpts) -> None:
    """Makes the settings. It must run before ML2 reads its options and Neutron's manager reads the list of service plugins; the manager loads the core plugin first."""
    for name, value in ML2.items():
        newer = RENAMED.get(name, name)
        _set(conf, newer if newer in conf.ml2 else name, list(value), "ml2")
    _set(conf, "extension_drivers", _with(conf.ml2.extension_drivers, EXTENSION_DRIVERS), "ml2")
    _set(conf, "service_plugins", _with(conf.service_plugins, SERVICE_PLUGINS))


class CalicoPlugin(plugin.Ml2Plugin):
    """ML2 with the mechanism driver `calico` alone."""

    def __init__(self) -> None:
        configure(cfg.CONF)
        super().__init__()
