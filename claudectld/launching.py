"""From a session to what is executed: which program, which arguments, which environment."""

import os
from pathlib import Path

from msgspec.structs import replace

from claudectl_protocol.faults import ProcessAlreadyRunning, Rejected
from claudectl_protocol.sessions import ConversationId
from claudectld.claude import arguments, registry, settings, transcript
from claudectld.claude.environment import environment
from claudectld.claude.program import claude_command, find_program
from claudectld.core.session import LaunchContext, Session
from claudectld.ports import SpawnSpec

SEGMENT_BYTES = 4 * 1024 * 1024


class LocalLauncher:
    """Launches programs of this machine."""

    def __init__(self, state: str, *, program: str, limit_bytes: int) -> None:
        """`program` is Claude's path if people have set one; `limit_bytes` is how much of a run's output is kept."""
        self._state = Path(state)
        self._program = program
        self._limit_bytes = limit_bytes

    def admit(self, session: Session, context: LaunchContext) -> tuple[Session, LaunchContext]:
        """See ports.Launcher."""
        if not session.is_claude:
            find_program(session.program, context.env, session.cwd)
            return session, context
        parsed = arguments.parse(session.args)
        if parsed.settings is not None:
            settings.read(parsed.settings, session.cwd)
            # They may hold tokens, and arguments stand in the project's file.
            if settings.is_text(parsed.settings):
                session = replace(session, args=parsed.options)
                context = replace(context, settings=parsed.settings)
        claude_command(context.env, self._program, via_npx=session.via_npx)
        return session, context

    def prepare(self, session: Session, context: LaunchContext) -> SpawnSpec:
        """See ports.Launcher."""
        assert session.run is not None
        argv = self._claude(session, context) if session.is_claude else self._other(session, context)
        env = environment(context.env, session=session.id, run=session.run.id, claude=session.is_claude)
        return SpawnSpec(
            run=session.run.id,
            session=session.id,
            argv=argv,
            cwd=session.cwd,
            context=replace(context, env=env),
            size=session.size,
            segment_bytes=min(SEGMENT_BYTES, self._limit_bytes),
            limit_bytes=self._limit_bytes,
        )

    def conversation(self, session: Session, context: LaunchContext) -> ConversationId | None:
        """See ports.Launcher."""
        process = session.run.process if session.run is not None else None
        if process is None or not session.is_claude:
            return None
        entry = registry.read(transcript.config_directory(context.env, session.cwd), process.pid)
        return None if entry is None else entry.conversation

    def _claude(self, session: Session, context: LaunchContext) -> tuple[str, ...]:
        conversation = session.conversation
        assert conversation is not None
        config = transcript.config_directory(context.env, session.cwd)
        # Claude itself lets two processes write one conversation, so strangers are looked for here.
        for holder in registry.holders(config, conversation):
            raise Rejected(ProcessAlreadyRunning(session=session.id, name=session.name, pid=holder.pid))
        parsed = arguments.parse(session.args)
        given = context.settings or parsed.settings
        merged = settings.write(self._state, session.id, given, session.cwd)
        *runner, program = claude_command(context.env, self._program, via_npx=session.via_npx)
        argv = arguments.build_argv(
            program,
            parsed,
            conversation=conversation,
            resume=transcript.exists(conversation, config),
            # After a clear the new conversation may have no transcript either, but the prompt was for the first.
            prompt=session.prompt if len(session.conversations) == 1 else None,
            settings_path=None if merged is None else os.fspath(merged),
        )
        return (*runner, *argv)

    def _other(self, session: Session, context: LaunchContext) -> tuple[str, ...]:
        return (find_program(session.program, context.env, session.cwd), *session.args)
