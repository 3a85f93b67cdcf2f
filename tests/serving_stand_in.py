"""A stand-in for TensorFlow Serving: its REST interface for one model.

Bodies and answers are those of the row format that its page on the RESTful API
describes: `instances` are stacked to the one input of the signature, bytes come
as {"b64": standard base64}, strings go out as text, and a wrong request is
answered by {"error": ...} with status 400.
"""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf


def predict(module: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The server's answer to a body."""
    name = body.get("signature_name", "serving_default")
    signature = module.signatures[name]
    ((key, spec),) = signature.structured_input_signature[1].items()
    rows = [_plain(row, key) for row in body["instances"]]
    if not rows:
        rows = np.zeros([n or 0 for n in spec.shape], spec.dtype.as_numpy_dtype)
    outputs = signature(**{key: tf.constant(rows, spec.dtype)})
    values = {name: value.numpy() for name, value in outputs.items()}
    count = len(rows)
    return {
        "predictions": [
            {name: _as_json(value[row]) for name, value in values.items()}
            for row in range(count)
        ]
    }


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, dict) and set(value) == {key}:
        value = value[key]
    if isinstance(value, dict):
        # As the server's decoder: letters of other alphabets are an error.
        return base64.b64decode(value["b64"], validate=True)
    return value


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return [_as_json(row) for row in value]
    return value.item()


@contextlib.contextmanager
def serving(export: str, name: str) -> Iterator[int]:
    """Serves a SavedModel as a model of that name; yields the port."""
    module = tf.saved_model.load(export)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            data = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                if self.path != f"/v1/models/{name}:predict":
                    raise ValueError(f"Malformed request: POST {self.path}")
                status, found = 200, predict(module, json.loads(data))
            except Exception as error:
                status, found = 400, {"error": str(error)}
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
