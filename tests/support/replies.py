"""What the fake Messages API answers, read from directives in the prompt: `[[text:hello]] [[bash:touch x]]`.

A prompt without directives is answered with `You said: PROMPT`. Nothing is remembered between requests.
"""

import json
import re

import msgspec

_DIRECTIVE = re.compile(r"\[\[(text|slow|hold|bash|tool|error|hang)(?::(.*?))?\]\](?!\])", re.DOTALL)
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


class Text(msgspec.Struct, frozen=True):
    """Say this."""

    text: str


class Pause(msgspec.Struct, frozen=True):
    """Wait this long: the pace of a slow stream, never a way to synchronise."""

    seconds: float


class Hold(msgspec.Struct, frozen=True):
    """Wait until the test releases `name`; the empty name is never released."""

    name: str


class Tool(msgspec.Struct, frozen=True):
    """Call a tool; `arguments` is a JSON object."""

    name: str
    arguments: bytes


class Failure(msgspec.Struct, frozen=True):
    """Refuse the whole request with this HTTP status."""

    status: int


Step = Text | Pause | Hold | Tool | Failure


class Block(msgspec.Struct, frozen=True):
    """One block of a message, as far as a script cares."""

    type: str
    text: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: str | tuple[Block, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The content as blocks."""
        return (Block("text", self.content),) if isinstance(self.content, str) else self.content


def last_prompt(messages: tuple[Message, ...]) -> str:
    """What the person said last, without reminders; empty when a tool's result came last.

    The CLI may add messages of role system after the person's own, and several of the person's in a row.
    """
    said = ""
    for message in messages:
        if message.role == "assistant":
            said = ""
        elif message.role == "user":
            for block in message.blocks:
                if block.type == "tool_result":
                    said = ""
                elif block.type == "text":
                    said = _REMINDER.sub("", block.text).strip() or said
    return said


def steps(prompt: str) -> tuple[Step, ...]:
    """The reply that a prompt asks for.

    Directives: `text:T`, `slow:N:MS` (N words, MS milliseconds apart), `hold:NAME` (until released),
    `bash:COMMAND`, `tool:NAME:JSON`, `error:STATUS`, `hang`.

    Raises:
        ValueError: a directive's argument makes no sense.
    """
    script: list[Step] = []
    for kind, argument in _DIRECTIVE.findall(prompt):
        match kind:
            case "text":
                script.append(Text(argument))
            case "slow":
                count, _, pause_ms = argument.partition(":")
                for number in range(int(count)):
                    script += (Text(f"word{number} "), Pause(float(pause_ms) / 1000))
            case "hold":
                script.append(Hold(argument))
            case "bash":
                call = {"command": argument, "description": "a scripted command"}
                script.append(Tool("Bash", json.dumps(call).encode()))
            case "tool":
                name, _, arguments = argument.partition(":")
                json.loads(arguments)
                script.append(Tool(name, arguments.encode()))
            case "error":
                script.append(Failure(int(argument)))
            case _:
                script.append(Hold(""))
    if script:
        return tuple(script)
    return (Text(f"You said: {prompt}") if prompt else Text("The tool is done."),)
