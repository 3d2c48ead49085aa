"""A local server in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ServerProcess:
    """Runs a script that takes ``--port``, for `with`; `ready` tells when it answers."""

    def __init__(self, script: str, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [sys.executable, str(Path(script)), "--port", str(self.port), *arguments]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> None:
        """Raise OSError as long as the server does not answer."""
        self.call("stats")

    def call(self, path: str, value: Any = None, headers: dict[str, str] | None = None) -> Any:
        """GET, or POST a value as JSON."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.address}/{path}", data, headers or {})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.ready()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    self.__exit__(None, None, None)
                    raise
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
