"""Two requests that activate one port binding at the same time, as Nova sends them at the end of each live migration.

Neutron 21 answers the second with 500, when two workers take them: its `_commit_port_binding` looks for the inactive binding, which the first request has made active meanwhile. Nova
takes that for a failed migration, and the server ends in ERROR. (Neutron 26 answers with 409, which Nova expects.) Here the second request waits for the first, and is then tried again
by Neutron from its beginning, where Neutron 21 answers with 409, too.
"""

from __future__ import annotations

import time
from typing import Any, Iterable, Optional

from neutron.plugins.ml2 import models
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc

#: How long the second request waits: longer than the first may wait for etcd. If the first has not ended by then, its worker has died, and the second has to do the work.
PATIENCE_SECONDS = 12.0
POLL_SECONDS = 0.05


def subscribe() -> None:
    """Subscribes to the only event of an activation between its two transactions."""
    registry.subscribe(wait_for_the_other, resources.PORT, events.BEFORE_UPDATE)


def wait_for_the_other(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Makes Neutron try an activation again that another request has carried out. Does nothing for any other change of a port.

    An activation first unbinds the port from its old host. Who finds it unbound already is the second one. If both begin so closely together that neither finds that, both may succeed.
    """
    new = payload.metadata.get("new_binding")
    if new is None or new.status != constants.INACTIVE:
        return
    is_second = payload.metadata["orig_binding"].vif_type == portbindings.VIF_TYPE_UNBOUND
    deadline = time.monotonic() + (PATIENCE_SECONDS if is_second else 0)
    while True:
        if active_host(payload.context, payload.resource_id) == new.host:
            raise db_exc.RetryRequest(RuntimeError(f"another request has activated the binding of port {payload.resource_id} on {new.host}"))
        if time.monotonic() >= deadline:
            return
        time.sleep(POLL_SECONDS)


def active_host(context: Any, port_id: str) -> Optional[str]:
    """The host of the port's active binding. A transaction that is changing the binding just now is awaited, because the rows are read for an update."""
    with db_api.CONTEXT_READER.using(context):
        query = context.session.query(models.PortBinding.host, models.PortBinding.status).filter_by(port_id=port_id).with_for_update()
        hosts: Iterable[str] = (host for host, status in query if status == constants.ACTIVE)
        return next(iter(hosts), None)
