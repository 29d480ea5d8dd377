"""The keeper's log: one event per line, key=value, bounded to two files."""

import os
import time

LIMIT_BYTES = 1 << 20


class Log:
    """Standard output and standard error, sent to a file that is set aside once when it is full."""

    def __init__(self, path: str, *, is_open: bool = False) -> None:
        """Redirect both streams to `path`. Raises OSError."""
        self._path = path
        if not is_open:
            self._redirect()

    def line(self, event: str, **facts: str | int) -> None:
        """Write one event. A log that cannot be written is no reason to stop."""
        words = " ".join(f"{key}={_printable(str(value))}" for key, value in facts.items())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            if os.fstat(2).st_size > LIMIT_BYTES:
                os.rename(self._path, self._path + ".1")
                self._redirect()
            os.write(2, f"{stamp} {event} {words}".rstrip().encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            pass

    def _redirect(self) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        if fd > 2:
            os.close(fd)


def _printable(text: str) -> str:
    return text if text.isprintable() and " " not in text and text else repr(text)
