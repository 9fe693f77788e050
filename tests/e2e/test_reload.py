"""The configuration file is read again while the server runs."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from harness import BINARY, Manifests, Server, kill_tree, until

Serve = Callable[..., Server]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = tmp_path / "settings" / "switchboard.yaml"
    settings.parent.mkdir()
    settings.write_text("log:\n  level: info\n")
    return settings


def a_debug_line_shows(server: Server) -> bool:
    """Whether the log shows the line of a request that is refused, which only `debug` does."""
    before = len(server.log)
    assert httpx2.get(server.url, headers={"Host": "elsewhere.example"}).status_code == 403
    return any("refused by its Host" in line for line in server.log[before:])


def hang_up(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGHUP)


def test_the_log_level_follows_the_file_at_sighup_and_a_broken_file_changes_nothing(serve: Serve, file: Path) -> None:
    server = serve("--config", str(file))
    assert not a_debug_line_shows(server)
    file.write_text("log:\n  level: debug\n")
    hang_up(server)
    server.says('log.level is "debug" now')
    until(lambda: a_debug_line_shows(server), "a line of debug")

    file.write_text("log:\n  level: loud\nprot: 1\n")
    hang_up(server)
    server.says("the settings stay as they are")
    server.says("switchboard.yaml:2:10", "/log/level")
    server.says("switchboard.yaml:3:", "prot", "port")
    until(lambda: a_debug_line_shows(server), "a line of debug as before")

    file.write_text("log:\n  level: info\n")
    hang_up(server)
    server.says('log.level is "info" now')
    assert not a_debug_line_shows(server)


def test_a_change_is_noticed_without_a_signal_and_what_takes_a_restart_is_named(serve: Serve, file: Path) -> None:
    server = serve("--config", str(file))
    # Put in its place, as editors and Kubernetes do.
    draft = file.with_suffix(".draft")
    draft.write_text("port: 4000\nlimits:\n  sessions: 7\nlog:\n  level: debug\n")
    draft.rename(file)
    server.says("these settings changed and take a restart")
    # The command line says the port, so the file does not change it.
    server.says("take a restart: limits.sessions")
    assert not [line for line in server.log if "take a restart: port" in line]
    server.says('log.level is "debug" now')
    assert httpx2.get(f"{server.base}/ready").status_code == 200


def test_a_file_that_kubernetes_puts_in_its_place_is_read(serve: Serve, file: Path) -> None:
    # There the file and its folder are links, and only the folder's changes.
    folder = file.parent
    for version, level in (("..1", "info"), ("..2", "debug")):
        (folder / version).mkdir()
        (folder / version / file.name).write_text(f"log:\n  level: {level}\n")
    (folder / "..data").symlink_to("..1")
    file.unlink()
    file.symlink_to(Path("..data") / file.name)
    server = serve("--config", str(file))
    (folder / "..next").symlink_to("..2")
    (folder / "..next").rename(folder / "..data")
    server.says('log.level is "debug" now')


def test_settings_by_which_everybody_would_get_in_are_refused_as_at_the_start(serve: Serve, file: Path) -> None:
    server = serve("--config", str(file))
    file.write_text("auth:\n  mode: oauth\n")
    server.says("auth.oauth.issuer (OAUTH_ISSUER) is not set")
    server.says("the settings stay as they are")


def catches_hangups(process: subprocess.Popen) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) & 1 << (signal.SIGHUP - 1))


def test_a_sighup_while_it_starts_does_not_end_it_and_is_answered_later(manifests: Manifests, file: Path) -> None:
    # It waits for this manifest, as it would for a slow disk.
    os.mkfifo(slow := manifests.folder / "slow.json")
    command = [BINARY, "serve", "--port", "0", "--manifests", manifests.folder, "--config", file]
    with (log := file.with_name("log")).open("w") as stderr:
        env = {**os.environ, **manifests.env}
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        until(lambda: catches_hangups(process), "who catches SIGHUP")
        with slow.open("w") as writer:
            slow.unlink()
            file.write_text("prot: 1\n")
            process.send_signal(signal.SIGHUP)
            writer.write("{}")
        # It reads its settings once as it starts to follow them.
        until(lambda: log.read_text().count("the settings stay as they are") == 2, "the answer to the signal")
        assert process.poll() is None
    finally:
        kill_tree(process)
