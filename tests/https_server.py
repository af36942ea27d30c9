"""A real HTTPS server on this machine that misbehaves on demand."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Page:
    """What the server answers for one path; a list is used up, one entry a request."""

    body: bytes
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """Close the connection after so many bytes of the answer."""
    statuses: list[int] = field(default_factory=list)
    redirect: str = ""
    lie: str = ""
    """A Content-Range header to send instead of the true one."""
    headers: dict[str, str] = field(default_factory=dict)
    """What a HEAD request is told."""


@dataclass
class Site:
    """A server on this machine."""

    host: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of each request so far."""

    def url(self, name: str) -> str:
        return f"https://{self.host}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        page = self.site.pages.get(self.path.lstrip("/"))
        wanted = self.headers.get("Range", "")
        self.site.asked.append((self.path, wanted))
        self.close_connection = True
        if page is None:
            self.send_error(404)
        elif page.redirect:
            self.send_response(302)
            self.send_header("Location", page.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif page.statuses:
            self.send_error(page.statuses.pop(0))
        else:
            self._send(page, wanted)

    def do_HEAD(self) -> None:
        page = self.site.pages.get(self.path.lstrip("/"))
        self.close_connection = True
        if page is None:
            self.send_error(404)
            return
        self.send_response(302)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, page: Page, wanted: str) -> None:
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and page.ranges else 0
        if start >= len(page.body):
            self.send_error(416)
            return
        body = page.body[start:]
        self.send_response(206 if start else 200)
        if start:
            whole = f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
            self.send_header("Content-Range", page.lie or whole)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: page.cuts.pop(0)] if page.cuts else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Says nothing: the tests read `asked`."""


@contextmanager
def serving(certificate: Path) -> Iterator[Site]:
    """A running server that shows `certificate`, whose key is `key.pem` beside it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    handler = type("Handler", (_Handler,), {})
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what we test
    server.socket = context.wrap_socket(server.socket, server_side=True)
    site = Site(f"localhost:{server.server_address[1]}")
    handler.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
