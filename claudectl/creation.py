"""Creating a session at most once, also when the connection breaks before the daemon's reply."""

from claudectl.launch import Launcher
from claudectl.transport import ConnectionLost, DaemonUnreachable
from claudectl_protocol.calls import New, Show, Target
from claudectl_protocol.faults import Rejected, SessionNotFound, ShuttingDown
from claudectl_protocol.sessions import Lifecycle, SessionInfo


def created_session(launcher: Launcher, call: New) -> SessionInfo:
    """The session that `call` starts. After a break its key is looked up, and asked for again only to wait for a
    start that the next daemon goes on with.

    Raises:
        DaemonUnreachable: nothing was started, or nobody can be asked whether it was.
        Rejected, framing.RemoteProtocolError: as Client.call.
    """
    with launcher.connect() as client:
        try:
            return client.call(call)
        except ConnectionLost as lost:
            broken: Exception = lost
        except Rejected as rejected:
            # A daemon that leaves may have started the child before.
            if not isinstance(rejected.fault, ShuttingDown):
                raise
            broken = rejected
    try:
        found = launcher.call(Show(target=Target(text=call.key, cwd=call.cwd, all_projects=True))).info
        return launcher.call(call) if found.lifecycle is Lifecycle.STARTING else found
    except DaemonUnreachable as unreachable:
        why = f"the connection to the daemon was lost and {unreachable.why}; see 'claudectl ls' before trying again"
        raise DaemonUnreachable(why) from broken
    except Rejected as rejected:
        if not isinstance(rejected.fault, SessionNotFound):
            raise
        raise DaemonUnreachable("the connection to the daemon was lost; nothing was started") from broken
