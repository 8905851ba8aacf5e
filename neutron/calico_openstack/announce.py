"""Tells the daemon what Neutron is about to change, and what it has changed."""

from __future__ import annotations

import itertools
import os
import uuid
from typing import Any, Callable, Dict, List, Mapping, Optional

from neutron_lib import exceptions
from oslo_config import cfg
from oslo_log import log as logging

from calico_openstack import wire

LOG = logging.getLogger(__name__)

#: Inside Neutron's transaction, which holds locks: not long. The daemon itself gives etcd 5 s.
BEFORE_SECONDS = 10.0
#: On top of etcd's own timeout, so that it is the daemon that says what failed.
ANSWER_SECONDS = 5.0

Row = Mapping[str, Any]


class CalicoUnavailable(exceptions.ServiceUnavailable):
    """503: the change cannot reach the datastore. Nothing is wrong with the request."""

    message = "%(reason)s"


class CalicoRefused(exceptions.Conflict):
    """409: Calico cannot do what the request asks for."""

    message = "%(reason)s"


#: Codes of the daemon that mean "not now". Any other is a refusal for good.
_NOT_NOW = frozenset({"ETCD_UNAVAILABLE", "DAEMON_UNAVAILABLE", "DAEMON_TIMEOUT", "JOURNAL_UNWRITABLE", "INTERNAL"})


def _api_error(error: wire.DaemonError) -> Exception:
    kind: Any = CalicoUnavailable if error.code in _NOT_NOW else CalicoRefused
    raised: Exception = kind(reason=f"Calico: {error}")
    return raised


class Announcer:
    """Each change is announced twice: before Neutron commits it, and after. Both carry the same mark, so that the daemon knows which of its notes is done with."""

    def __init__(self, daemon: wire.Daemon, within: Callable[[Any], wire.Answer]) -> None:
        """`within`: answers the daemon's questions as the request's own transaction sees things."""
        self._daemon = daemon
        self._within = within
        self._numbers = itertools.count(1)
        self._process = uuid.uuid4().hex[:12]
        self._pid = os.getpid()

    def before(self, request: Any, kind: str, object_id: Optional[str], original: Optional[Row], current: Optional[Row]) -> None:
        """Inside Neutron's transaction. Raises what the API shall answer when the change cannot be carried out; Neutron then rolls back."""
        mark = self._mark()
        rollback = current is None and kind in _failed(request)
        try:
            self._call(request, "before", BEFORE_SECONDS, kind, object_id, original, current, [mark], rollback)
        except (CalicoUnavailable, CalicoRefused):
            if current is not None:
                _failed(request).append(kind)  # what Neutron now undoes must not be refused for the same reason
            raise
        _marks(request).setdefault(object_id or "", []).append(mark)

    def after(self, request: Any, kind: str, object_id: Optional[str], original: Optional[Row], current: Optional[Row]) -> None:
        """After Neutron's commit. Raises what the API shall answer when etcd has not got the change; the daemon keeps a note of it."""
        marks = _marks(request).pop(object_id or "", [])
        try:
            self._call(request, "after", cfg.CONF.calico.etcd_timeout + ANSWER_SECONDS, kind, object_id, original, current, marks, False)
        except (CalicoUnavailable, CalicoRefused):
            _failed(request).append(kind)
            raise

    def _call(
        self,
        request: Any,
        method: str,
        timeout_seconds: float,
        kind: str,
        object_id: Optional[str],
        original: Optional[Row],
        current: Optional[Row],
        marks: List[str],
        rollback: bool,
    ) -> None:
        admin = bool(getattr(request, "is_admin", False))
        change = {"kind": kind, "id": object_id, "original": original, "current": current, "marks": marks, "rollback": rollback, "admin": admin}
        try:
            self._daemon.call(method, change, timeout_seconds, self._within(request) if method == "before" else None)
        except wire.DaemonError as error:
            tell = LOG.error if error.code in _NOT_NOW else LOG.info  # what a user may not have is the user's trouble
            tell("Calico, %s change of %s %s: %s (%s)", method, kind, object_id, error, error.code)
            raise _api_error(error) from error

    def _mark(self) -> str:
        if self._pid != os.getpid():
            self._process, self._pid = uuid.uuid4().hex[:12], os.getpid()
        return f"{self._process}-{next(self._numbers)}"


def _marks(request: Any) -> Dict[str, List[str]]:
    """What was announced before, by object, kept on the request's own context. Neutron sometimes makes another one of it: then the daemon looks again by itself, later."""
    if not hasattr(request, "_calico_marks"):
        request._calico_marks = {}  # pylint: disable=protected-access
    marks: Dict[str, List[str]] = request._calico_marks
    return marks


def _failed(request: Any) -> List[str]:
    """The kinds of what went wrong after the commit in this request."""
    if not hasattr(request, "_calico_failed"):
        request._calico_failed = []  # pylint: disable=protected-access
    failed: List[str] = request._calico_failed
    return failed
