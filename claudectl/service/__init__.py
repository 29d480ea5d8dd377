"""The daemon and the keeper as services of the user's own service manager: systemd, or launchd on macOS."""
