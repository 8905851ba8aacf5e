"""The connection to calico-neutron-driver: one JSON object per line, over a Unix socket. See README.md, "The wire".

While a call is under way the daemon may call back on the same connection, to ask the caller for rows as they are now.
"""

from __future__ import annotations

import collections
import json
import math
import os
import socket
import time
from typing import Any, Callable, Deque, Dict, Mapping, Optional

PROTOCOL = 1

Params = Mapping[str, Any]
"""Answers a question of the daemon: (method, params) -> result."""
Answer = Callable[[str, Params], Any]


class DaemonError(Exception):
    """An error in the daemon's answer, or a failure to reach the daemon. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Disconnected(Exception):
    """The connection ended before the answer came. All calls are idempotent, so they may be sent again."""


def _plain(value: Any) -> Any:
    """The text of a value that JSON does not know. Neutron's dictionaries hold addresses, times and translated messages; this is how its API shows them."""
    return str(value)


def _line(message: Params) -> bytes:
    try:
        text = json.dumps(message, default=_plain, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(message), default=_plain, separators=(",", ":"))
    return text.encode() + b"\n"


def _finite(value: Any) -> Any:
    """A copy with null instead of NaN and infinity, which JSON does not have. Python's parser accepts them, so Neutron's API does too, for example in a binding:profile."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


class Connection:
    """One connection to the daemon, used by one caller at a time."""

    def __init__(self, path: str, role: str, timeout_seconds: float) -> None:
        self.pid = os.getpid()
        self._calls = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_seconds)
            self._lines = self._socket.makefile("rb")
            self._socket.connect(path)
            self.send({"hello": {"protocol": PROTOCOL, "role": role, "pid": self.pid}})
            greeting = self.receive()
        except BaseException:
            self.close()
            raise
        if "error" in greeting:
            self.close()
            raise DaemonError(greeting["error"]["code"], greeting["error"]["message"])

    def send(self, message: Params) -> None:
        """Sends one message. Raises Disconnected, or socket.timeout."""
        line = _line(message)
        try:
            self._socket.sendall(line)
        except socket.timeout:
            raise
        except OSError as error:
            raise Disconnected(str(error)) from error

    def receive(self) -> Dict[str, Any]:
        """Waits for the next message. Raises Disconnected, or socket.timeout."""
        try:
            line = self._lines.readline()
        except socket.timeout:
            raise
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not line.endswith(b"\n"):
            raise Disconnected("the daemon closed the connection")
        message: Dict[str, Any] = json.loads(line)
        return message

    def call(self, method: str, params: Params, answer: Answer, deadline: float) -> Any:
        """Calls the daemon and answers its questions until it replies.

        Raises DaemonError with the daemon's refusal, Disconnected, or socket.timeout when `deadline` (monotonic) passes.
        """
        self._calls += 1
        self._await(deadline)
        self.send({"call": self._calls, "method": method, "params": params})
        while True:
            self._await(deadline)
            message = self.receive()
            if "call" in message:
                self.send(reply_to(message, answer))
            elif message.get("reply") == self._calls:
                if "error" in message:
                    raise DaemonError(message["error"]["code"], message["error"]["message"])
                return message.get("result")

    def _await(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)

    def wait_for_ever(self) -> None:
        """Lifts the time limit of the last call."""
        self._socket.settimeout(None)

    def close(self) -> None:
        """Closes the connection."""
        self._lines.close()
        self._socket.close()


def reply_to(message: Mapping[str, Any], answer: Answer) -> Dict[str, Any]:
    """Answers one question of the daemon. An exception becomes an error reply, because the daemon decides what to do about it."""
    try:
        return {"reply": message["call"], "result": answer(message["method"], message["params"])}
    except Exception as error:  # pylint: disable=broad-except
        return {"reply": message["call"], "error": {"code": type(error).__name__, "message": str(error)}}


#: How long to retry on a socket on which nobody listens. A daemon that starts replaces such a socket and listens in less time.
KILLED_SECONDS = 0.3


def _seconds_since_change(directory: str) -> float:
    """The time since a file was last created in the directory or removed from it. Infinite when there is no such directory."""
    try:
        return max(0.0, time.time() - os.stat(directory).st_mtime)
    except OSError:
        return math.inf


class Daemon:
    """The daemon as its callers see it. Connections are opened when needed, kept for later calls, and opened anew after a restart of the daemon."""

    def __init__(
        self,
        path: str,
        answer: Answer,
        restart_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        pause: Optional[Callable[[float], None]] = None,
    ) -> None:
        self._path = path
        self._answer = answer
        self._restart_seconds = restart_seconds
        self._clock = clock
        self._pause = pause or (lambda seconds: time.sleep(seconds))  # looked up at each call, because eventlet may replace it
        self._idle: Deque[Connection] = collections.deque()

    def call(self, method: str, params: Params, timeout_seconds: float, answer: Optional[Answer] = None, committed: bool = True) -> Any:
        """Calls the daemon. If the daemon is being restarted, waits a few seconds for it and sends the call again.

        `answer` answers the daemon's questions during this call, instead of the function given to the constructor.
        `committed`: whether the daemon is needed because Neutron has committed. Before a commit the call can still be refused, so a dead daemon is not waited for: the caller
        holds Neutron's locks, and there may be many of them.

        Raises DaemonError: the daemon's refusal, or DAEMON_UNAVAILABLE, or DAEMON_TIMEOUT.
        """
        begun = self._clock()
        deadline = begun + timeout_seconds
        while True:
            connection: Optional[Connection] = None
            try:
                connection = self._take(deadline)
                result = connection.call(method, params, answer or self._answer, deadline)
            except DaemonError:
                if connection:
                    self._idle.append(connection)
                raise
            except socket.timeout as error:
                if connection:
                    connection.close()
                raise DaemonError(
                    "DAEMON_TIMEOUT",
                    f"calico-neutron-driver did not answer within {timeout_seconds:g} s ({self._path}); look into its log",
                ) from error
            except (Disconnected, OSError) as error:
                if connection:
                    connection.close()
                if self._clock() >= min(deadline, begun + self._restart_seconds if committed else self._until(error, begun)):
                    raise DaemonError(
                        "DAEMON_UNAVAILABLE",
                        f"calico-neutron-driver cannot be reached at {self._path} ({error}); start it, then try again",
                    ) from error
                self._pause(0.1)
            except BaseException:
                if connection:
                    connection.close()  # the call was interrupted: the next message on this connection would be its answer, not the next call's
                raise
            else:
                self._idle.append(connection)
                return result

    def _until(self, error: Exception, begun: float) -> float:
        """Until when a restart of the daemon is waited for. A daemon that ends in order removes its socket; one that was killed leaves a socket on which nobody listens."""
        if isinstance(error, FileNotFoundError):
            return max(begun + KILLED_SECONDS, self._clock() + self._restart_seconds - _seconds_since_change(os.path.dirname(self._path)))
        return begun + (KILLED_SECONDS if isinstance(error, ConnectionRefusedError) else self._restart_seconds)

    def _take(self, deadline: float) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self._path, "api", max(0.1, deadline - self._clock()))
            if connection.pid == os.getpid():
                return connection
            connection.close()  # it was opened by the parent process, before the fork

    def close(self) -> None:
        """Closes the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()
