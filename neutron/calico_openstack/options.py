"""The options of section [calico] that Neutron's side reads. The daemon reads the others from the same file."""

from __future__ import annotations

from oslo_config import cfg

DEFAULT_SOCKET = "/run/calico/neutron-driver.sock"

OPTIONS = [
    cfg.StrOpt("neutron_driver_socket", default=DEFAULT_SOCKET, help="Unix socket on which calico-neutron-driver listens."),
    cfg.FloatOpt("etcd_timeout", default=60, help="Longest that an API call waits until etcd has its change, in seconds."),
    cfg.FloatOpt("commit_patience_secs", default=5, help="Longest that Neutron's transactions wait for etcd before their commit, in seconds."),
    cfg.FloatOpt("daemon_patience_secs", default=5, help="Longest that an API call waits for a restart of calico-neutron-driver, in seconds."),
]


def register(conf: cfg.ConfigOpts = cfg.CONF) -> cfg.ConfigOpts:
    """Registers the options with `conf`, and returns it."""
    conf.register_opts(OPTIONS, group="calico")
    return conf
