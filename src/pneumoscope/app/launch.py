"""Starts the app's server, configured so that nothing leaves the machine."""

from __future__ import annotations

import socket
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from pneumoscope.app.settings import Settings
from pneumoscope.app.theme import theme_options
from pneumoscope.core.errors import DependencyError, InputError
from pneumoscope.core.files import is_there

MOST_MEGABYTES = 64
"""Of one upload; a 16-bit radiograph of 4000 x 5000 pixels has 40."""


def launch(settings: Settings, *, port: int, headless: bool) -> None:
    """Serve the app until it is interrupted.

    Args:
        settings: What it shows.
        port: To listen on; only this machine can reach it.
        headless: Whether no browser is opened.

    Raises:
        DependencyError: Streamlit is not installed.
        InputError: something named does not exist, or the port is taken.
    """
    check(settings, port)
    from streamlit.web import bootstrap

    script = str(resources.files("pneumoscope.app.entry") / "pneumoscope_app.py")
    options = server_options(port=port, headless=headless)
    keep_in_memory()
    bootstrap.load_config_options(options)
    bootstrap.run(script, False, settings.to_arguments(), options)


def keep_in_memory() -> None:
    """Have uploads of every size that is taken parsed in memory.

    Streamlit leaves that to Starlette, which writes a file above 1 MB to the disk meanwhile.
    """
    from starlette.formparsers import MultiPartParser

    # What Streamlit lets through is the file and 1 MB around it; nothing larger is parsed.
    MultiPartParser.spool_max_size = (MOST_MEGABYTES + 2) * 2**20


def check(settings: Settings, port: int) -> None:
    """Refuse what cannot be served, before anything is started.

    Raises:
        DependencyError, InputError: see `launch`.
    """
    if find_spec("streamlit") is None:
        raise DependencyError("the app needs Streamlit. Install pneumoscope[app].")
    for name in ("bundle", "audit"):
        path = getattr(settings, name)
        if path is not None and not is_there(path):
            raise InputError(f"--{name} {path}: does not exist. Give another path.")
    runs = settings.runs
    if runs is not None and "://" not in runs and not is_there(Path(runs)):
        raise InputError(f"--runs {runs}: does not exist. Give a folder or an MLflow address.")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(f"--port {port}: is taken. Give another, such as --port {port + 1}.")


def server_options(*, port: int, headless: bool) -> dict[str, object]:
    """Streamlit's options: local, quiet, without statistics, with our theme."""
    return {
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "localhost",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "viewer",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        "server.address": "127.0.0.1",
        "server.enableStaticServing": False,
        "server.fileWatcherType": "none",
        "server.headless": headless,
        "server.maxUploadSize": MOST_MEGABYTES,
        "server.port": port,
        "server.showEmailPrompt": False,
        **theme_options(),
    }
