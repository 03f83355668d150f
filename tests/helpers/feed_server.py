"""A small HTTP server that serves feeds, and breaks off, delays or redirects them as a test says."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes
    ----------
    sent
        Bytes of the body that are sent before the connection ends; None for all.
    with_length
        Whether the length of the body is stated; if not, its end is that of the connection.
    drip_s
        Seconds before each byte.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    with_length: bool = True
    drip_s: float = 0.0


@dataclass
class Feeds:
    """What is served, by path and in order; the last answer of a path stays.

    Attributes
    ----------
    requests
        Path and headers of every request.
    """

    address: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, *answers: Answer) -> str:
        """Serve answers at a path and return the address."""
        self.answers[path] = list(answers)
        return self.address + path


@contextmanager
def feed_server() -> Iterator[Feeds]:
    """Serve feeds on a free port of the loopback interface."""
    feeds = Feeds()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            feeds.requests.append((self.path, dict(self.headers.items())))
            answers = feeds.answers.get(path, [Answer(b"no such feed", 404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.with_length:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with suppress(OSError):  # the client may end the connection
                self.write(answer)
            self.close_connection = True

        def write(self, answer: Answer) -> None:
            body = answer.body[: answer.sent]
            if not answer.drip_s:
                self.wfile.write(body)
                return
            for place in range(len(body)):
                if feeds.closing.is_set():
                    return
                time.sleep(answer.drip_s)
                self.wfile.write(body[place : place + 1])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    feeds.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield feeds
    finally:
        feeds.closing.set()
        server.shutdown()
        server.server_close()
