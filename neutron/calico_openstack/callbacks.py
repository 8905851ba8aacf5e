"""Callbacks for changes that ML2 does not pass to mechanism drivers: security groups, their rules, address groups, floating IPs. So plain `core_plugin = ml2` suffices."""

from __future__ import annotations

from typing import Any, Optional

from neutron_lib.callbacks import events, registry, resources

from calico_openstack import announce

#: The events of each resource. Address groups have none before the commit.
EVENTS = {
    resources.SECURITY_GROUP: (
        events.PRECOMMIT_CREATE,
        events.PRECOMMIT_UPDATE,
        events.PRECOMMIT_DELETE,
        events.AFTER_CREATE,
        events.AFTER_UPDATE,
        events.AFTER_DELETE,
    ),
    resources.SECURITY_GROUP_RULE: (events.PRECOMMIT_CREATE, events.PRECOMMIT_DELETE, events.AFTER_CREATE, events.AFTER_DELETE),
    resources.ADDRESS_GROUP: (events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE),
    resources.FLOATING_IP: (events.PRECOMMIT_CREATE, events.PRECOMMIT_UPDATE, events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE),
}


def subscribe(changes: announce.Announcer) -> None:
    """Subscribes to EVENTS. What a callback raises before the commit becomes the API's answer; what it raises after the commit is only logged by Neutron."""

    def notice(resource: str, event: str, _trigger: Any, payload: Any) -> None:
        tell = changes.before if event.startswith(events.PRECOMMIT) else changes.after
        original, current = states(event, payload)
        tell(payload.context, resource, payload.resource_id, original, current)

    for resource, names in EVENTS.items():
        for name in names:
            registry.subscribe(notice, resource, name)


def states(event: str, payload: Any) -> "tuple[Optional[announce.Row], Optional[announce.Row]]":
    """The object before and after the change, as far as the event has them."""
    if event.endswith("_delete"):
        return {**_row(payload.latest_state), **_row(payload.metadata)}, None
    if event.endswith("_create"):
        return None, _row(payload.latest_state)
    return _row(payload.states[0]) if payload.states else None, _row(payload.latest_state)


def _row(state: Any) -> announce.Row:
    if state is None:
        return {}
    if isinstance(state, dict):
        return state
    fields: announce.Row = state.to_dict() if hasattr(state, "to_dict") else {}
    return fields
