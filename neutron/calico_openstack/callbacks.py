"""Callbacks for changes that ML2 does not pass to mechanism drivers: security groups, their rules, address groups, floating IPs. So plain `core_plugin = ml2` suffices."""

from __future__ import annotations

from typing import Any, Optional

from neutron_lib.callbacks import events, registry, resources

from calico_openstack import announce, refusals, rows

ALL = (
    events.PRECOMMIT_CREATE,
    events.PRECOMMIT_UPDATE,
    events.PRECOMMIT_DELETE,
    events.AFTER_CREATE,
    events.AFTER_UPDATE,
    events.AFTER_DELETE,
)
#: The events of each resource. Address groups have none before the commit.
EVENTS = {
    resources.SECURITY_GROUP: ALL,
    resources.SECURITY_GROUP_RULE: (events.PRECOMMIT_CREATE, events.PRECOMMIT_DELETE, events.AFTER_CREATE, events.AFTER_DELETE),
    resources.ADDRESS_GROUP: (events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE),
    resources.FLOATING_IP: ALL,
}


def subscribe(changes: announce.Announcer) -> None:
    """Subscribes to EVENTS. A refusal becomes the API's answer at the commit. What is raised after the commit is only logged by Neutron."""

    def notice(resource: str, event: str, _trigger: Any, payload: Any) -> None:
        original, current = states(event, payload)
        object_id: str = payload.resource_id
        if resource == resources.FLOATING_IP and event == events.PRECOMMIT_DELETE:
            # The event names the port that holds the address.
            original = rows.floating_ip_at(payload.context, object_id)
            if original is None:
                return
            object_id = original["id"]
        if not event.startswith(events.PRECOMMIT):
            changes.after(payload.context, resource, object_id, original, current)
            return
        try:
            changes.before(payload.context, resource, object_id, original, current)
        except (refusals.CalicoUnavailable, refusals.CalicoRefused) as refusal:
            refusals.at_commit(payload.context.session, refusal)

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
    if hasattr(state, "to_dict"):  # an object of Neutron's
        fields: announce.Row = state.to_dict()
        return fields
    return refusals.columns(state)
