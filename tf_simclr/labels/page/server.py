"""The server of the labelling page: local requests with its token only."""

import contextlib
import hmac
import json
import pathlib
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tf_simclr.errors import UserError
from tf_simclr.labels.page.pictures import LARGE, SMALL, Pictures
from tf_simclr.labels.page.session import Refused, Session

HOST = "127.0.0.1"
_FILES = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}
_HERE = pathlib.Path(__file__).parent
# Seconds after which Python turns to another thread: an answer waits for those
# that guess and write tables several times. 5 ms, as is usual, double the
# median of a click (benchmarks/speed/label_clicks.py).
_SWITCH = 0.0005
# Bytes of a request.
_LARGEST = 2**20
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self';"
    " style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class LabelApp:
    """The page as a WSGI application.

    Every address begins with a token that nobody can guess. Requests under
    another name of this machine, by which a page from elsewhere could reach it
    (DNS rebinding), and requests that such a page sends, are refused.

    Args:
      session: does what is asked.
      pictures: of its images.
      port: that it is served on.
      done: called once the person has said to be done, and was answered.
      token: begins the addresses; None makes one.
    """

    def __init__(
        self,
        session: Session,
        pictures: Pictures,
        port: int,
        done: Callable[[], None] = lambda: None,
        token: str | None = None,
    ):
        self._session, self._pictures, self._done = session, pictures, done
        self.token = token or secrets.token_urlsafe(24)
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self.address = f"http://{HOST}:{port}/{self.token}/"
        self._reads = {
            "state": lambda request: session.state(),
            "look": lambda request: session.look(_number(request)),
            "group": lambda request: session.group(_number(request)),
        }
        self._writes = {
            "label": lambda x: session.label(x.get("images"), x.get("class")),
            "exclude": lambda x: session.exclude(x.get("images")),
            "undo": lambda x: session.undo(x.get("event")),
            "class": lambda x: session.add_class(x.get("class")),
            "done": lambda x: {},
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answers one request, as WSGI wants it."""
        request = Request(environ)
        request.max_content_length = _LARGEST
        try:
            response = self._respond(request)
        except Refused as error:
            response = _json(error.answer, 409)
        except UserError as error:
            response = _json({"error": str(error)}, 400)
        except tf.errors.OpError:
            response = _json({"error": "This image cannot be read."}, 404)
        except OSError as error:
            text = f"The label could not be stored: {error.strerror}."
            response = _json({"error": text}, 500)
        except HTTPException as error:
            response = _json({"error": error.description}, error.code)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        _, token, *path = request.path.split("/", 2)
        # Bytes: a text with other than ASCII characters is not compared.
        known = hmac.compare_digest(token.encode(), self.token.encode())
        if request.headers.get("Host") not in self._hosts or not known:
            return _json({"error": "Take the address that was printed."}, 403)
        name = "/".join(path)
        if request.method == "POST":
            return self._write(name, request)
        if request.method != "GET":
            return _json({"error": "GET and POST alone are known."}, 405)
        if not path:
            return Response("", 302, {"Location": f"/{self.token}/"})
        if name in _FILES:
            file, media_type = _FILES[name]
            text = (_HERE / file).read_text("utf-8")
            return Response(text, content_type=f"{media_type}; charset=utf-8")
        if name in self._reads:
            return _json(self._reads[name](request))
        if name in ("large", "small"):
            return self._picture(request, LARGE if name == "large" else SMALL)
        return _json({"error": "There is nothing here."}, 404)

    def _write(self, name: str, request: Request) -> Response:
        host = request.headers["Host"]
        if request.headers.get("Origin") != f"http://{host}":
            return _json({"error": "The page alone may change labels."}, 403)
        if request.mimetype != "application/json":
            return _json({"error": "JSON alone is read."}, 415)
        if name not in self._writes:
            return _json({"error": "There is nothing here."}, 404)
        try:
            asked = json.loads(request.get_data())
        except (ValueError, RecursionError) as error:
            raise UserError("This is no JSON.") from error
        if not isinstance(asked, dict):
            raise UserError("This is no JSON object.")
        response = _json(self._writes[name](asked))
        if name == "done":
            response.call_on_close(self._done)
        return response

    def _picture(self, request: Request, side: int) -> Response:
        place = _number(request)
        if not 0 <= place < len(self._session):
            raise UserError(f"There is no image of this number: {place}")
        data, media_type = self._pictures.encoded(place, side)
        response = Response(data, content_type=media_type)
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response


class _Quiet(WSGIRequestHandler):
    """Prints nothing for a request."""

    def log_request(self, *_: Any) -> None:
        """Nothing."""


def listen(port: int) -> socket.socket:
    """Takes a port of this machine; 0 is any.

    Raises:
      UserError: it is taken, or not allowed.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise UserError(
            f"--port={port} cannot be used: {error.strerror}. Leave it out for"
            " any that is free."
        ) from error
    return found


@contextlib.contextmanager
def serving(app: LabelApp, listening: socket.socket) -> Iterator[None]:
    """Serves an application in threads of its own, until the block ends."""
    port = listening.getsockname()[1]
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    server: BaseWSGIServer = make_server(
        HOST,
        port,
        app,
        threaded=True,
        request_handler=_Quiet,
        fd=listening.fileno(),
    )
    thread = threading.Thread(
        target=server.serve_forever, args=(0.1,), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        listening.close()
        sys.setswitchinterval(before)


def _number(request: Request) -> int:
    text = request.args.get("image", "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UserError(f"This is no number of an image: {text!a:.60}")
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")
