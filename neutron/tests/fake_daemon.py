"""A daemon for tests, which answers calls as a test wants."""

from __future__ import annotations

import json
import os
import queue
import socket
import tempfile
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional

#: Called with (method, params, ask), where `ask` asks the caller a question. Returns the result, raises Refusal, or raises Hangup to close the connection.
Behaviour = Callable[[str, Mapping[str, Any], Callable[[str, Any], Any]], Any]


class Refusal(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Hangup(Exception):
    """Makes the daemon close the connection instead of answering."""


class FakeDaemon:
    def __init__(self, behaviour: Behaviour, greeting: Optional[Dict[str, Any]] = None) -> None:
        self.behaviour = behaviour
        self.greeting: Dict[str, Any] = greeting or {"hello": {"protocol": 1}}
        self.hellos: List[Dict[str, Any]] = []
        #: Replies of callers to questions that did not come from `ask`.
        self.replies: "queue.Queue[Dict[str, Any]]" = queue.Queue()
        self._accepted: "queue.Queue[socket.socket]" = queue.Queue()
        self._directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._directory.name, "sock")
        self._server: Optional[socket.socket] = None
        self._open: List[socket.socket] = []

    def start(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path)
        server.listen()
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def kill(self) -> None:
        """Ends as a killed process does: the socket stays, and nobody listens on it."""
        self._end()

    def stop(self) -> None:
        self._end()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _end(self) -> None:
        if self._server:
            self._server.shutdown(socket.SHUT_RDWR)  # ends the thread's accept()
            self._server.close()
            self._server = None
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other end has closed it already
            connection.close()
        self._open.clear()

    def close(self) -> None:
        self.stop()
        self._directory.cleanup()

    def accepted(self) -> socket.socket:
        """The next connection that has been greeted, for a test that wants to send first."""
        return self._accepted.get(timeout=5)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")

        def say(message: Mapping[str, Any]) -> None:
            connection.sendall(json.dumps(message).encode() + b"\n")

        def ask(method: str, params: Any) -> Any:
            say({"call": 77, "method": method, "params": params})
            return json.loads(lines.readline())

        try:
            self.hellos.append(json.loads(lines.readline()))
            say(self.greeting)
            self._accepted.put(connection)
            for line in lines:
                call = json.loads(line)
                if "reply" in call:
                    self.replies.put(call)
                    continue
                try:
                    say({"reply": call["call"], "result": self.behaviour(call["method"], call["params"], ask)})
                except Refusal as refusal:
                    say({"reply": call["call"], "error": {"code": refusal.code, "message": str(refusal)}})
        except (Hangup, OSError, ValueError):
            pass
        finally:
            lines.close()
            connection.close()
