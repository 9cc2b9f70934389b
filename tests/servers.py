"""A server of files in a thread of the test, which misbehaves as it is told: it cuts, stalls, redirects, forgets ranges."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Files by their paths, and what becomes of requests: each takes the next of `misbehaviours`; after them, all is well."""

    files: dict[str, bytes]
    misbehaviours: list[Callable[[Request], bool]] = field(default_factory=list)
    ranges: bool = True
    tag: str | None = '"1"'
    says_length: bool = True
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of all requests so far."""
    address: str = ""

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


class Request(BaseHTTPRequestHandler):
    """A request, which the server's description answers."""

    server: _Server

    def do_GET(self) -> None:
        told = self.server.told
        told.requests.append((self.path, dict(self.headers)))
        misbehaviour = told.misbehaviours.pop(0) if told.misbehaviours else None
        if misbehaviour is None or not misbehaviour(self):
            self.send()

    def send(self, *, cut_after: int | None = None, **headers: str) -> None:
        """The file or what was asked of it; `cut_after` so many bytes the connection ends."""
        told, content = self.server.told, self.server.told.files[self.path.rpartition("/")[2]]
        asked = self.headers.get("Range") if told.ranges else None
        if asked and self.headers.get("If-Range", told.tag) != told.tag:
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(content):
            self.answer(416, **{"Content-Range": f"bytes */{len(content)}"})
            return
        about = {"ETag": told.tag} if told.tag else {}
        about |= {"Content-Length": str(len(content) - start)} if told.says_length else {}
        about |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
        self.answer(206 if asked else 200, **(about | headers))
        self.wfile.write(content[start : None if cut_after is None else start + cut_after])
        self.close_connection = True

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    told: FileServer


@contextmanager
def serving(files: dict[str, bytes], **told: object) -> Iterator[FileServer]:
    """A block in which a server has some files."""
    described = FileServer(files, **told)  # type: ignore[arg-type]
    server = _Server(("127.0.0.1", 0), Request)
    server.told = described
    described.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield described
    finally:
        server.shutdown()
        server.server_close()


def cut(after: int) -> Callable[[Request], bool]:
    """The connection ends after so many bytes."""

    def misbehave(request: Request) -> bool:
        request.send(cut_after=after)
        return True

    return misbehave


def answer(status: int, **headers: str) -> Callable[[Request], bool]:
    """An answer without a file."""

    def misbehave(request: Request) -> bool:
        request.answer(status, **(headers | {"Content-Length": "0"}))
        return True

    return misbehave
