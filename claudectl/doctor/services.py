"""What the user's service manager says: whether daemon and sessions come back by themselves."""

from collections.abc import Iterator

from claudectl.doctor.facts import Answer, Service, Unit
from claudectl.doctor.findings import Finding, ok, weaker, wrong

INSTALL = "claudectl daemon install"
_LOOK = {
    "systemd": "systemctl --user status claudectld",
    "launchd": "claudectl daemon logs",
}


def service(found: Service, answer: Answer) -> Finding:
    """The daemon's own service."""
    unit = found.daemon
    if not found.manager:
        was = "this machine has no service manager for users: nothing starts the daemon after a reboot"
        return weaker("service", was, "start it by cron: @reboot claudectl daemon start")
    if found.trouble:
        was = f"{found.manager} does not answer: {found.trouble}; nothing starts the daemon after a reboot"
        return weaker("service", was, "log in by a way that starts it, as ssh and a desktop do")
    if not unit.installed:
        return weaker("service", "not installed: nothing starts the daemon after a reboot", INSTALL)
    if unit.state == "failed":
        return wrong("service", f"{found.manager} gave it up", _LOOK.get(found.manager, ""))
    if not unit.enabled:
        return weaker("service", "installed, but not enabled: nothing starts it after a reboot", INSTALL)
    running = answer.status.pid if answer.status is not None else None
    if running is not None and unit.pid != running:
        was = f"installed, but the daemon (pid {running}) runs outside of it"
        return weaker("service", was, f"{INSTALL} (sessions go on)")
    if running is None and unit.state != "active":
        return weaker("service", f"installed and enabled, but {unit.state}", "claudectl daemon start")
    return ok("service", f"installed, enabled and {unit.state} ({found.manager})")


def keeper_service(found: Service, keeper_pid: int | None) -> Iterator[Finding]:
    """The keeper's service; only where ours are installed."""
    unit: Unit = found.keeper
    if not found.manager or found.trouble or not found.daemon.installed:
        return
    check = "keeper's service"
    if not unit.installed:
        yield weaker(check, "not installed", INSTALL)
    elif unit.state == "failed":
        yield wrong(check, f"{found.manager} gave it up", f"{INSTALL} (sessions go on)")
    elif keeper_pid is not None and unit.pid != keeper_pid:
        was = f"the keeper (pid {keeper_pid}) was started before it, and stays until it has no session"
        yield weaker(check, was)
    else:
        yield ok(check, f"installed and {unit.state}")


def lingering(found: Service, on: bool | None) -> Iterator[Finding]:
    """Whether services of this user live without a login; only systemd asks that."""
    if found.manager != "systemd":
        return
    if on:
        yield ok("lingering", "on: sessions live on after logout, and come back without a login")
    elif on is None:
        was = "could not be found out; if it is off, the last logout ends all sessions"
        yield weaker("lingering", was, "loginctl enable-linger")
    else:
        was = "off: the last logout ends all sessions, and nothing is restored before the next login"
        yield weaker("lingering", was, "loginctl enable-linger")
