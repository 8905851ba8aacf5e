"""Announces changes to the daemon: before Neutron commits them, and after."""

from __future__ import annotations

import itertools
import os
import uuid
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, TypeVar

from neutron_lib.api.definitions import portbindings
from oslo_config import cfg
from oslo_log import log as logging

from calico_openstack import wire
from calico_openstack.refusals import CalicoRefused, CalicoUnavailable

LOG = logging.getLogger(__name__)

#: How much longer than its `commit_patience_secs` or `etcd_timeout` the daemon may take to answer, so that it can report what failed.
ANSWER_SECONDS = 5.0

Row = Mapping[str, Any]
Kept = TypeVar("Kept")


#: The daemon's codes that mean "not now". All others refuse the request for good.
_NOT_NOW = frozenset({"ETCD_UNAVAILABLE", "DAEMON_UNAVAILABLE", "DAEMON_TIMEOUT", "JOURNAL_UNWRITABLE", "INTERNAL"})


def _api_error(error: wire.DaemonError) -> Exception:
    kind: Any = CalicoUnavailable if error.code in _NOT_NOW else CalicoRefused
    raised: Exception = kind(reason=f"Calico: {error}")
    return raised


class Announcer:
    """Announces each change twice: before Neutron commits it, and after. Both announcements carry the same mark, so that the daemon knows which of its notes is completed."""

    def __init__(self, daemon: wire.Daemon, within: Callable[[Any], wire.Answer], rows_of: Callable[[str], Any]) -> None:
        """`within` returns, for a request, a function that answers the daemon's questions from the request's own transaction. `rows_of` reads a port's committed rows."""
        self._daemon = daemon
        self._within = within
        self._rows_of = rows_of
        self._numbers = itertools.count(1)
        self._process = uuid.uuid4().hex[:12]
        self._pid = os.getpid()

    def before(self, request: Any, kind: str, object_id: Optional[str], original: Optional[Row], current: Optional[Row]) -> None:
        """Announces a change inside Neutron's transaction, which holds locks. When the change cannot be carried out, raises the API's answer; Neutron then rolls back."""
        if object_id in _halfway(request) and _is_unbound(original) and not _is_unbound(current):
            return  # the first half was announced, and refusing the second would leave the port without a binding
        mark = self._mark(kind, object_id, current)
        rollback = current is None and kind in _failed(request)
        try:
            answer = self._call(request, "before", cfg.CONF.calico.commit_patience_secs + ANSWER_SECONDS, kind, object_id, original, current, [mark], rollback)
        except (CalicoUnavailable, CalicoRefused):
            if current is not None:
                _failed(request).append(kind)  # Neutron now deletes what it had created: that must not be refused for the same reason
            raise
        for said, objects in (("done", _done(request)), ("halfway", _halfway(request)), ("rows", _wanted(request))):
            if isinstance(answer, dict) and answer.get(said) is True:
                objects.add(object_id)
            else:
                objects.discard(object_id)
        if object_id in _done(request):
            return
        _marks(request).setdefault(object_id or "", []).append(mark)

    def after(self, request: Any, kind: str, object_id: Optional[str], original: Optional[Row], current: Optional[Row]) -> None:
        """Announces a change after Neutron's commit. When etcd does not have it yet, raises the API's answer; the daemon keeps a note and retries.
        Announces nothing when the daemon has said before the commit that there is nothing to do, or that it waits for the second half of a binding."""
        if object_id in _done(request):
            _done(request).discard(object_id)
            return
        if object_id in _halfway(request) and _is_unbound(current):
            return
        _halfway(request).discard(object_id)
        marks = _marks(request).pop(object_id or "", []) or _marks_of_deletion(kind, object_id, current)
        rows = self._rows(request, object_id)
        try:
            self._call(request, "after", cfg.CONF.calico.etcd_timeout + ANSWER_SECONDS, kind, object_id, original, current, marks, False, rows)
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
        rows: Any = None,
    ) -> Any:
        admin = bool(getattr(request, "is_admin", False))
        change = {"kind": kind, "id": object_id, "original": original, "current": current, "marks": marks, "rollback": rollback, "admin": admin}
        if rows is not None:
            change["rows"] = rows
        try:
            if method == "before":
                return self._daemon.call(method, change, timeout_seconds, self._within(request), committed=False)
            return self._daemon.call(method, change, timeout_seconds)
        except wire.DaemonError as error:
            tell = LOG.error if error.code in _NOT_NOW else LOG.info  # a refusal concerns the user alone
            tell("Calico: the announcement %s the commit of %s %s was answered with an error: %s (%s)", method, kind, object_id, error, error.code)
            raise _api_error(error) from error

    def _rows(self, request: Any, object_id: Optional[str]) -> Any:
        """The port's committed rows where the daemon wants them: it need not ask for them then. None when they cannot be read: the daemon asks, and says what is wrong."""
        if object_id is None or object_id not in _wanted(request):
            return None
        _wanted(request).discard(object_id)
        try:
            return self._rows_of(object_id)
        except Exception:  # pylint: disable=broad-except
            return None

    def rule_template(self, fields: Row) -> None:
        """Asks whether Calico can enforce a rule that new security groups are to have. Raises the API's answer when it cannot."""
        self._call(None, "before", cfg.CONF.calico.commit_patience_secs + ANSWER_SECONDS, "default_security_group_rule", None, None, fields, [], False)

    def _mark(self, kind: str, object_id: Optional[str], current: Optional[Row]) -> str:
        for mark in _marks_of_deletion(kind, object_id, current):
            return mark
        if self._pid != os.getpid():
            self._process, self._pid = uuid.uuid4().hex[:12], os.getpid()
        return f"{self._process}-{next(self._numbers)}"


def _marks_of_deletion(kind: str, object_id: Optional[str], current: Optional[Row]) -> List[str]:
    """The mark of a floating IP's deletion. Neutron announces it on two contexts, one a copy, so it is made of the id, which is deleted only once."""
    return [f"delete {object_id}"] if kind == "floatingip" and current is None else []


def _kept(request: Any, name: str, make: Callable[[], Kept]) -> Kept:
    """What is kept under this name on a request's context; `make` makes it. If Neutron copies the context it may be lost; the daemon then checks the object by itself later."""
    if not hasattr(request, name):
        setattr(request, name, make())
    kept: Kept = getattr(request, name)
    return kept


def _marks(request: Any) -> Dict[str, List[str]]:
    """The marks of announcements before the commit, by object."""
    return _kept(request, "_calico_marks", dict)


def _done(request: Any) -> Set[Optional[str]]:
    """The objects for whose present change nothing has to be announced after the commit."""
    return _kept(request, "_calico_done", set)


def _halfway(request: Any) -> Set[Optional[str]]:
    """The ports of which the first half of a binding was announced. What is announced next is that the second half is committed."""
    return _kept(request, "_calico_halfway", set)


def _wanted(request: Any) -> Set[Optional[str]]:
    """The ports whose rows are sent with the announcement after the commit."""
    return _kept(request, "_calico_wanted", set)


def _failed(request: Any) -> List[str]:
    """The kinds of resources for which an announcement of this request failed."""
    return _kept(request, "_calico_failed", list)


def _is_unbound(port: Optional[Row]) -> bool:
    return port is not None and port.get(portbindings.VIF_TYPE) == portbindings.VIF_TYPE_UNBOUND
