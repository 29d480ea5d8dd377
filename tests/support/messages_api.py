"""A Messages API on the loopback interface that plays the script in the prompt and remembers requests."""

import json
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self

import msgspec

from tests.support.replies import Failure, Hold, Message, Pause, Step, Text, Tool, last_prompt, steps

SIDE_REPLY = "A scripted title"
"""What titles, summaries and the like get: a request without tools is none of the person's turns."""


class _ToolName(msgspec.Struct, frozen=True):
    name: str


class _Body(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...] = ()
    tools: tuple[_ToolName, ...] = ()
    stream: bool = False
    model: str = ""
    max_tokens: int = 0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as a test wants to see it."""

    path: str
    session: str
    """The conversation that Claude says it belongs to."""
    prompt: str
    """What the person said last; empty after a tool's result."""
    messages: tuple[Message, ...]
    tools: tuple[str, ...]
    model: str
    stream: bool

    @property
    def is_turn(self) -> bool:
        """True for a turn of the conversation, False for titles, counts and other side calls."""
        return bool(self.tools) and self.path == "/v1/messages"


class MessagesApi:
    """The server; use it as a context manager.

    Every request is kept. Nothing here waits for a time to pass except the pauses a script asks for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._released: set[str] = set()
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="messages-api")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests so far, oldest first."""
        with self._changed:
            return tuple(self._requests)

    def turns(self) -> tuple[Request, ...]:
        """The requests that were turns of a conversation."""
        return tuple(request for request in self.requests if request.is_turn)

    def wait_for(
        self, wanted: Callable[[Request], bool], *, count: int = 1, deadline_s: float = 20.0
    ) -> Request:
        """The `count`-th request that is `wanted`, as soon as it has come in.

        Raises:
            TimeoutError: it did not come; the message lists what did.
        """

        def found() -> Request | None:
            fitting = [request for request in self._requests if wanted(request)]
            return fitting[count - 1] if len(fitting) >= count else None

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, deadline_s)
            request = found()
            if request is None:
                seen = [f"{r.path} {r.prompt[:60]!r}" for r in self._requests]
                raise TimeoutError(f"no such request within {deadline_s} s; seen: {seen}")
            return request

    def wait_for_prompt(self, text: str, *, count: int = 1, deadline_s: float = 20.0) -> Request:
        """The `count`-th turn whose prompt contains `text`. Raises TimeoutError."""
        return self.wait_for(lambda r: r.is_turn and text in r.prompt, count=count, deadline_s=deadline_s)

    def release(self, name: str) -> None:
        """Let every reply that holds at `[[hold:NAME]]` go on, those to come included."""
        with self._changed:
            self._released.add(name)
            self._changed.notify_all()

    def record(self, request: Request) -> None:
        """Remember a request (for the handler)."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def wait_at(self, step: Pause | Hold) -> None:
        """Wait as a script asks, or until the server closes (for the handler)."""
        match step:
            case Pause(seconds):
                self._closed.wait(seconds)
            case Hold(name):
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._closed.is_set() or (bool(name) and name in self._released)
                    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: MessagesApi

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Report all but a client that hangs up in the middle of a reply, which is how it interrupts."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    status_names: ClassVar[dict[int, str]] = {
        400: "invalid_request_error",
        401: "authentication_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name for it)
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Any path exists."""
        self._send(200, b"")

    def do_POST(self) -> None:
        """Messages, in one piece or as a stream, and the counting of tokens."""
        path = self.path.partition("?")[0]
        size = int(self.headers.get("content-length") or 0)
        body = msgspec.json.decode(self.rfile.read(size), type=_Body)
        request = Request(
            path=path,
            session=self.headers.get("x-claude-code-session-id") or "",
            prompt=last_prompt(body.messages),
            messages=body.messages,
            tools=tuple(tool.name for tool in body.tools),
            model=body.model,
            stream=body.stream,
        )
        self.server.api.record(request)
        if path == "/v1/messages/count_tokens":
            self._send(200, b'{"input_tokens":10}')
            return
        if path != "/v1/messages":
            self._fail(404)
            return
        script: tuple[Step, ...] = steps(request.prompt) if request.is_turn else (Text(SIDE_REPLY),)
        for step in script:
            if isinstance(step, Failure):
                self._fail(step.status)
                return
        if body.stream:
            self._stream(body, script)
        else:
            self._whole(body, script)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int) -> None:
        kind = self.status_names.get(status, "api_error")
        error = {"type": "error", "error": {"type": kind, "message": f"scripted failure {status}"}}
        self._send(status, json.dumps(error).encode())

    def _whole(self, body: _Body, script: tuple[Step, ...]) -> None:
        content: list[object] = []
        for number, step in enumerate(script):
            match step:
                case Text(text):
                    content.append({"type": "text", "text": text})
                case Tool(name, arguments):
                    block = {"type": "tool_use", "id": f"toolu_{number}", "name": name}
                    content.append({**block, "input": json.loads(arguments)})
                case Pause() | Hold():
                    self.server.api.wait_at(step)
                case Failure():
                    return
        self._send(200, json.dumps(_message(body.model, content, _stop_reason(script))).encode())

    def _stream(self, body: _Body, script: tuple[Step, ...]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        self._event({"type": "message_start", "message": _message(body.model, [], None)})
        number = 0
        text_open = False
        for step in script:
            match step:
                case Text(text):
                    if not text_open:
                        self._start(number, {"type": "text", "text": ""})
                        text_open = True
                    self._delta(number, {"type": "text_delta", "text": text})
                case Tool(name, arguments):
                    if text_open:
                        self._event({"type": "content_block_stop", "index": number})
                        text_open = False
                        number += 1
                    identity = f"toolu_{len(body.messages)}_{number}"
                    self._start(number, {"type": "tool_use", "id": identity, "name": name, "input": {}})
                    self._delta(number, {"type": "input_json_delta", "partial_json": arguments.decode()})
                    self._event({"type": "content_block_stop", "index": number})
                    number += 1
                case Pause() | Hold():
                    self.server.api.wait_at(step)
                case Failure():
                    return
        if text_open:
            self._event({"type": "content_block_stop", "index": number})
        end = {"stop_reason": _stop_reason(script), "stop_sequence": None}
        self._event({"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}})
        self._event({"type": "message_stop"})

    def _start(self, number: int, block: object) -> None:
        self._event({"type": "content_block_start", "index": number, "content_block": block})

    def _delta(self, number: int, delta: object) -> None:
        self._event({"type": "content_block_delta", "index": number, "delta": delta})

    def _event(self, event: dict[str, object]) -> None:
        self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _message(model: str, content: list[object], stop_reason: str | None) -> dict[str, object]:
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }


def _stop_reason(script: tuple[Step, ...]) -> str:
    return "tool_use" if any(isinstance(step, Tool) for step in script) else "end_turn"
