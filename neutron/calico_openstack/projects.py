"""Reads the names of projects from Keystone, with the credentials that Neutron itself uses."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from keystoneauth1 import adapter, exceptions
from keystoneauth1 import loading as ks_loading
from oslo_config import cfg

SECTION = "keystone_authtoken"

_identity: Optional[Any] = None


def identity() -> Any:
    """A client of Keystone. It is created once, because it holds the token."""
    global _identity  # pylint: disable=global-statement
    if _identity is None:
        ks_loading.register_auth_conf_options(cfg.CONF, SECTION)
        for option in ks_loading.get_session_conf_options():
            try:
                cfg.CONF.register_opt(option, group=SECTION)
            except cfg.DuplicateOptError:
                continue  # an API worker's middleware has registered the option already, with another help text
        auth = ks_loading.load_auth_from_conf_options(cfg.CONF, SECTION)
        session = ks_loading.load_session_from_conf_options(cfg.CONF, SECTION, auth=auth, timeout=5)
        _identity = adapter.Adapter(session, service_type="identity", interface=["internal", "admin", "public"], min_version="3", max_version="3.latest")
    return _identity


def projects(params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The named projects, as far as Keystone knows them. An empty list when Neutron runs without Keystone."""
    if cfg.CONF.auth_strategy != "keystone":
        return []
    found = []
    for project_id in params["ids"]:
        try:
            found.append(identity().get(f"/projects/{project_id}").json()["project"])
        except exceptions.NotFound:
            continue  # deleted, or never known to Keystone
    return found
