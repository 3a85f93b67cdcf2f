"""TensorBoard in a browser: what a tab says.

Its page is built of shadow roots, which a browser's dump leaves out. So a page
of our own, which must come from the same server, holds it in a frame and
collects the text of everything within.
"""

import contextlib
import http.server
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import browser

_WALK = """
<iframe id=frame src="/#{tab}" width=1400 height=900></iframe>
<pre id=said></pre>
<script>
function text(node) {{
  if (node.nodeType === Node.TEXT_NODE) return node.data + " ";
  if (["STYLE", "SCRIPT"].includes(node.nodeName)) return "";
  const inner = [node.shadowRoot, node.contentDocument, ...node.childNodes];
  const own = node.naturalWidth ? `[picture of ${{node.naturalWidth}}] ` : "";
  return own + inner.filter(Boolean).map(text).join("");
}}
setTimeout(() => {{
  said.textContent = text(frame.contentDocument).replace(/\\s+/g, " ");
}}, {milliseconds});
</script>
"""
_MILLISECONDS = 10_000
_START_SECONDS = 60


@contextlib.contextmanager
def serve(log_dir: pathlib.Path) -> Iterator[str]:
    """TensorBoard on loopback, with the walking page beside it: its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "tensorboard.main"),
            *(f"--logdir={log_dir}", "--host=127.0.0.1", f"--port={port}"),
            "--load_fast=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            origin = f"http://127.0.0.1:{port}"
            _wait_for(f"{origin}/data/runs")
            with _beside(origin) as url:
                yield url
        finally:
            process.terminate()


def says(url: str, tab: str) -> str:
    """All text of a tab, and the widths of its pictures."""
    html = browser.document(
        f"{url}/walk/{tab}",
        [f"--virtual-time-budget={_MILLISECONDS + 5_000}"],
    )
    return re.search(r"<pre id=\"said\">(.*?)</pre>", html, re.DOTALL)[1]


def _wait_for(url: str) -> None:
    """Until it knows runs, and has read no new one for a second."""
    deadline, before = time.monotonic() + _START_SECONDS, b""
    while time.monotonic() < deadline:
        time.sleep(1)
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            found = urllib.request.urlopen(url, timeout=10).read()
            if found == before and len(found) > 2:
                return
            before = found
    raise TimeoutError(f"No runs at {url}")


@contextlib.contextmanager
def _beside(origin: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            self._answer(self.rfile.read(size))

        def _answer(self, body: bytes | None) -> None:
            if self.path.startswith("/walk/"):
                page = _WALK.format(
                    tab=self.path.removeprefix("/walk/"),
                    milliseconds=_MILLISECONDS,
                )
                self._send(200, "text/html", page.encode())
                return
            request = urllib.request.Request(origin + self.path, body)
            kind = self.headers.get("Content-Type")
            if kind:
                request.add_header("Content-Type", kind)
            try:
                with urllib.request.urlopen(request) as found:
                    kind = found.headers["Content-Type"]
                    self._send(found.status, kind, found.read())
            except urllib.error.HTTPError as error:
                self._send(error.code, "text/plain", error.read())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
