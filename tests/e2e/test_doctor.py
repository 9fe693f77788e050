"""`switchboard doctor`: what it says of servers that are well, and of one with a fault at a time."""

import json
import os
import pty
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import faulty
import harness
import signin
from faulty import PASSWORD, USER, Fault
from harness import BINARY, Manifests, Server, until
from proxies import KINDS, certificate
from signin import ADA, Gateway
from wire import Json

Done = subprocess.CompletedProcess[str]

NOTHING, FOUND, USAGE = 0, 1, 2


def doctor(*arguments: str, say: str = "", **env: str) -> Done:
    return subprocess.run(
        [BINARY, "doctor", *arguments],
        env=os.environ | env,
        input=say,
        capture_output=True,
        text=True,
        timeout=120,
    )


def visit(url: str, *, guise: str = "chatgpt", user: str = USER, password: str = PASSWORD, **env: str) -> Done:
    """A visit by a client that a person signs in to, as scripts read it."""
    signing = ["--user", user, "--password-stdin"]
    return doctor(guise, url, *signing, "--format", "json", say=f"{password}\n", **env)


def findings(done: Done, *severities: str) -> list[Json]:
    assert done.returncode in (NOTHING, FOUND), (done.returncode, done.stdout, done.stderr)
    found = json.loads(done.stdout)["findings"]
    return [one for one in found if one["severity"] in severities]


def troubles(done: Done) -> list[Json]:
    return findings(done, "error", "warning")


def words(finding: Json) -> str:
    return " ".join(finding[part] for part in ("what", "why", "fix"))


def says(finding: Json, *wanted: str) -> bool:
    return all(word.lower() in words(finding).lower() for word in wanted)


# Servers that are well


@pytest.mark.parametrize("guise", ["chatgpt", "claude"])
def test_there_is_nothing_to_say_of_a_server_that_is_well(guise: str) -> None:
    with faulty.serving() as server:
        for _ in range(2):
            done = visit(server.url, guise=guise)
            assert troubles(done) == [] and done.returncode == NOTHING
        # Whoever only looks changes nothing.
        assert not {"add_note", "attach_file"} & set(server.calls)


def test_an_older_server_is_well_too() -> None:
    with faulty.serving(Fault.NO_DISCOVER) as server:
        done = visit(server.url)
        assert troubles(done) == [] and done.returncode == NOTHING


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("gateway")
    with signin.gateway(home, certificate(home), ADA, strangers=None) as gateway:
        yield gateway


@pytest.mark.parametrize("guise", ["chatgpt", "claude"])
def test_there_is_nothing_to_say_of_our_own_server(gateway: Gateway, guise: str) -> None:
    done = visit(gateway.url, guise=guise, user=ADA.name, password=ADA.password)
    assert troubles(done) == [] and done.returncode == NOTHING


def test_without_an_address_it_visits_our_own_server(gateway: Gateway) -> None:
    signing = ["--user", ADA.name, "--password-stdin", "--format", "json"]
    done = doctor("chatgpt", *signing, say=f"{ADA.password}\n", BASE_URL=gateway.base)
    assert json.loads(done.stdout)["url"] == gateway.url
    assert findings(done, "error") == []


def test_it_asks_for_the_code_on_the_terminal_where_nobody_is_known(tmp_path: Path) -> None:
    with signin.gateway(tmp_path, certificate(tmp_path)) as gateway:
        command = [BINARY, "doctor", "chatgpt", gateway.url, "--code-stdin", "--format", "json"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            until(lambda: gateway.codes() or asking.poll() is not None, "a code")
            assert asking.poll() is None and asking.stdin
            code = re.search(r"sign-in code (\S+) ", gateway.codes()[0])[1]
            asking.stdin.write(f"{code}\n")
            asking.stdin.flush()
            said, _ = asking.communicate()
        assert len(gateway.codes()) == 1
    done = subprocess.CompletedProcess(command, asking.returncode, said)
    assert troubles(done) == [] and done.returncode == NOTHING


def test_a_key_does_for_clients_that_can_show_one(manifests: Manifests, tmp_path: Path) -> None:
    with harness.serve(manifests, "--data-dir", str(tmp_path), env={"CONNECTORS_API_KEY": "open sesame"}) as server:
        done = doctor("claude", server.url, "--token-env", "KEY", "--format", "json", KEY="open sesame")
        assert findings(done, "error") == [] and done.returncode == NOTHING
        done = doctor("chatgpt", server.url, "--token-env", "KEY", "--format", "json", KEY="open sesame")
        assert any(says(one, "ChatGPT", "API key") for one in findings(done, "error")), done.stdout


@pytest.mark.parametrize("way", KINDS)
def test_our_own_server_can_be_used_through_a_proxy(way: str, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with signin.gateway(tmp_path, made, ADA, way=way) as gateway:
        trusting = {"SSL_CERT_FILE": str(made.authority)}
        done = visit(gateway.url, user=ADA.name, password=ADA.password, **trusting)
    assert findings(done, "error") == [] and done.returncode == NOTHING


def test_there_is_nothing_to_say_of_an_open_server_on_this_machine(server: Server) -> None:
    done = doctor("chatgpt", server.url, "--format", "json")
    assert findings(done, "error") == [] and done.returncode == NOTHING


# One fault at a time: what has to be said of it, and how bad it is.

E, W = "error", "warning"
CHATGPTS: dict[Fault, tuple[str, list[str]]] = {
    Fault.REDIRECTS: (E, ["redirect", "/mcp/"]),
    Fault.EMPTY_IS_REFUSED: (W, ["empty request", "400"]),
    Fault.DISCOVER_WITHOUT_THE_VERSION: (E, ["server/discover", "2026-07-28"]),
    Fault.NO_INITIALIZE: (W, ["older handshake", "initialize"]),
    Fault.NEEDS_A_SESSION: (W, ["session id", "Mcp-Session-Id"]),
    Fault.NO_CHALLENGE: (E, ["401", "has no `WWW-Authenticate` header"]),
    Fault.CHALLENGE_WITHOUT_METADATA: (W, ["401", "resource_metadata"]),
    Fault.NO_RESOURCE_METADATA: (E, ["resource metadata", "/.well-known/oauth-protected-resource"]),
    Fault.RESOURCE_METADATA_IS_A_PAGE: (E, ["resource metadata", "/.well-known/oauth-protected-resource", "web page"]),
    Fault.ENDLESS_RESOURCE_METADATA: (E, ["resource metadata", "/.well-known/oauth-protected-resource"]),
    Fault.RESOURCE_IS_ANOTHER: (E, ["for another address", "/api"]),
    Fault.NO_ISSUER_METADATA: (E, ["sign-in server", "/.well-known/oauth-authorization-server"]),
    Fault.ISSUER_WITH_A_SLASH: (E, ["calls itself", "slash"]),
    Fault.NO_S256: (E, ["PKCE", "S256"]),
    Fault.NO_WAY_TO_REGISTER: (E, ["takes no clients it does not know"]),
    Fault.REGISTRATION_FAILS: (E, ["registration fails", "500"]),
    Fault.ONE_REDIRECT_ONLY: (E, ["registration", "https://chatgpt.com/connector/oauth/"]),
    Fault.ISS_IS_NOT_SENT: (E, ["announces `iss`", "does not send it"]),
    Fault.ISS_IS_ANOTHER: (E, ["`iss`", "https://issuer.example"]),
    Fault.STATE_IS_LOST: (E, ["does not send back `state`"]),
    Fault.PAGES_CAN_BE_FRAMED: (W, ["inside other pages"]),
    Fault.VERIFIER_IS_NOT_CHECKED: (E, ["wrong PKCE verifier"]),
    Fault.CODE_COUNTS_TWICE: (E, ["same code twice"]),
    Fault.NO_REFRESH_TOKEN: (W, ["no refresh token"]),
    Fault.REFRESH_FAILS: (E, ["refresh token does not work"]),
    Fault.REFRESH_BEARS_NO_REPETITION: (W, ["refresh token that was used a moment ago"]),
    Fault.TOKEN_IS_FOR_ANOTHER: (W, ["meant for https://another.example/mcp"]),
    Fault.ANY_TOKEN_COUNTS: (E, ["token", "is accepted"]),
    Fault.LONG_NAME: (E, ["name clients refuse", "add_a_note_", "64"]),
    Fault.DOTTED_NAME: (E, ["name clients refuse", "notes.add"]),
    Fault.TWO_OF_A_NAME: (E, ["share a name", "add_note"]),
    Fault.NO_DESCRIPTION: (E, ["without a description", "add_note"]),
    Fault.NO_READ_ONLY_HINT: (W, ["readOnlyHint", "add_note"]),
    Fault.SECURITY_NOT_MIRRORED: (W, ["`securitySchemes`", "`_meta`", "add_note"]),
    Fault.LONG_STATUS: (W, ["status text", "64", "list_notes"]),
    Fault.SCHEMA_OF_ANOTHER_PLACE: (E, ["refers to another document", "add_note"]),
    Fault.SCHEMA_IS_A_CHOICE: (E, ["anyOf", "at its root", "add_note"]),
    Fault.SCHEMA_IS_NO_OBJECT: (E, ["input schema is not an object", "add_note"]),
    Fault.FILE_WITHOUT_ADDRESS: (E, ["openai/fileParams", "attach_file"]),
    Fault.OTHER_TOOLS_IN_THE_OLD_ERA: (W, ["differs between versions", "add_note"]),
    Fault.RESULT_WITHOUT_SCHEMA: (W, ["list_notes", "has no `outputSchema`"]),
    Fault.TEXT_TELLS_ANOTHER_STORY: (W, ["list_notes", "not the same as its `structuredContent`"]),
    Fault.SECRET_IN_A_RESULT: (E, ["list_notes", "secret"]),
    Fault.STEP_UP_WITHOUT_WORDS: (E, ["show_audit", "error_description"]),
    Fault.NO_PROFILE: (W, ["openai/profile"]),
    Fault.PAGE_CANNOT_BE_READ: (E, ["ui://notes/list-v1.html", "cannot be read"]),
    Fault.PAGE_OF_ANOTHER_KIND: (E, ["ui://notes/list-v1.html", "text/html;profile=mcp-app"]),
    Fault.NO_OPENAI_POLICY: (W, ["ui://notes/list-v1.html", "openai/widgetCSP"]),
    Fault.NO_STANDARD_POLICY: (W, ["ui://notes/list-v1.html", "ui.csp"]),
    Fault.POLICIES_DISAGREE: (W, ["ui://notes/list-v1.html", "different origins"]),
    Fault.PAGE_LOADS_MORE: (E, ["loads what it may not", "https://elsewhere.example"]),
    Fault.DOMAIN_IS_NO_ORIGIN: (W, ["domain", "notes.example", "origin"]),
}
CLAUDES: dict[Fault, tuple[str, list[str]]] = {
    Fault.NO_PUBLIC_CLIENTS: (W, ["token_endpoint_auth_methods_supported", "none"]),
    Fault.NO_STANDARD_POLICY: (W, ["ui://notes/list-v1.html", "ui.csp"]),
    Fault.NO_S256: (E, ["PKCE", "S256"]),
    Fault.PAGE_FOR_CHATGPT_ONLY: (W, ["only ChatGPT finds", "list_notes"]),
}
CASES = [*(("chatgpt", fault) for fault in CHATGPTS), *(("claude", fault) for fault in CLAUDES)]


@pytest.mark.parametrize(("guise", "fault"), CASES)
def test_a_fault_is_found_and_named(guise: str, fault: Fault) -> None:
    severity, wanted = (CHATGPTS if guise == "chatgpt" else CLAUDES)[fault]
    with faulty.serving(fault) as server:
        done = visit(server.url, guise=guise)
    found = troubles(done)
    named = [one for one in found if says(one, *wanted)]
    assert len(named) == 1, found
    assert named[0]["severity"] == severity, named
    assert all(named[0][part].strip() for part in ("what", "why", "fix")), named
    # What follows from a fault is not a fault of its own.
    assert found == named
    assert done.returncode == (FOUND if severity == E else NOTHING)


def test_several_faults_are_found_on_one_visit() -> None:
    faults = [Fault.ISS_IS_NOT_SENT, Fault.NO_READ_ONLY_HINT, Fault.PAGE_OF_ANOTHER_KIND, Fault.LONG_STATUS]
    with faulty.serving(*faults) as server:
        found = troubles(visit(server.url))
    assert len(found) == len(faults)
    assert all(any(says(one, *CHATGPTS[fault][1]) for one in found) for fault in faults), found


# How it behaves at other people's servers


def test_it_gives_nothing_away_to_where_a_redirect_leads() -> None:
    with faulty.serving() as other, faulty.serving(Fault.REDIRECTS_ELSEWHERE) as server:
        server.elsewhere = other.base
        done = doctor("chatgpt", server.url, "--token-env", "TOKEN", "--format", "json", TOKEN="a token of ours")
        assert any(says(one, "redirect", other.base) for one in findings(done, "error")), done.stdout
        assert not any(other.told), other.told


def test_it_keeps_to_itself_what_it_signs_in_with() -> None:
    with faulty.serving(Fault.SECRET_IN_A_RESULT) as server:
        for form in ("json", "text"):
            done = doctor(
                "chatgpt", server.url, "--user", USER, "--password-stdin", "--format", form, say=f"{PASSWORD}\n"
            )
            said = done.stdout + done.stderr
            assert PASSWORD not in said and "eyJ" not in said and faulty.SECRET not in said


def test_a_token_does_where_the_visitor_cannot_sign_in() -> None:
    with faulty.serving(Fault.FOREIGN_SIGN_IN) as server:
        done = visit(server.url)
        assert any(says(one, "token") for one in findings(done, "note", "warning")), done.stdout
        claims = server.issuer.tokens({"user": USER, "client_id": "a client of before", "scope": "notes:read"})
        done = doctor("chatgpt", server.url, "--token-env", "TOKEN", "--format", "json", TOKEN=claims["access_token"])
        assert findings(done, "error") == [] and done.returncode == NOTHING
        assert "list_notes" in server.calls


def test_a_wrong_password_is_told_as_such() -> None:
    with faulty.serving() as server:
        done = visit(server.url, password="wrong")
        assert any(says(one, "password") for one in findings(done, "error", "warning", "note")), done.stdout


def test_who_is_not_there_is_told_as_such() -> None:
    with faulty.serving() as server:
        url = server.url
    done = visit(url)
    assert done.returncode == FOUND
    assert any(says(one, urlsplit(url).netloc) for one in findings(done, "error")), done.stdout


@pytest.mark.parametrize("wrong", [["nowhere"], ["chatgpt", "ftp://127.0.0.1/mcp"], ["chatgpt", "--user", "a"]])
def test_a_wrong_question_is_told_as_such(wrong: list[str]) -> None:
    done = doctor(*wrong)
    assert done.returncode == USAGE and done.stderr


def test_people_read_a_line_for_each_step_and_what_to_do() -> None:
    with faulty.serving(Fault.NO_DESCRIPTION) as server:
        done = doctor("chatgpt", server.url, "--user", USER, "--password-stdin", say=f"{PASSWORD}\n")
        found = troubles(visit(server.url))
    lines = done.stdout.splitlines()
    assert sum(line.strip().startswith("✓") for line in lines) > 8, done.stdout
    assert sum(line.strip().startswith("✗") for line in lines) >= 1, done.stdout
    assert "\x1b" not in done.stdout
    whole = " ".join(done.stdout.split())
    assert all(" ".join(one[part].split()) in whole for one in found for part in ("what", "why", "fix")), done.stdout
    assert done.returncode == FOUND


def test_nobody_elses_words_command_the_terminal() -> None:
    """On a terminal there are colours; but what a server calls its things cannot colour, clear or rename anything."""
    with faulty.serving(Fault.COMMANDS_IN_A_NAME) as server:
        ours, terminals = pty.openpty()
        command = [BINARY, "doctor", "chatgpt", server.url, "--user", USER, "--password-stdin"]
        env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"}
        running = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=terminals, stderr=terminals)
        os.close(terminals)
        assert running.stdin
        running.stdin.write(f"{PASSWORD}\n".encode())
        running.stdin.close()
        shown = b"".join(iter(lambda: read(ours), b"")).decode()
        assert running.wait() == FOUND
    assert "_note" in shown and "\x1b[3" in shown
    rest = re.sub(r"\x1b\[\d*m", "", shown)
    assert not [character for character in rest if unicodedata.category(character) == "Cc" and character not in "\r\n"]


def read(terminal: int) -> bytes:
    """What a program says on a terminal; nothing more when it has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


# At home


def at_home(manifests: Manifests, folder: Path, *arguments: str, **env: str) -> Done:
    where = ["--manifests", str(manifests.folder), "--data-dir", str(folder / "data")]
    return doctor(*where, "--format", "json", *arguments, **manifests.env | env)


def test_there_is_nothing_to_say_at_home_when_all_is_well(manifests: Manifests, tmp_path: Path) -> None:
    done = at_home(manifests, tmp_path)
    assert findings(done, "error") == [] and done.returncode == NOTHING


def test_a_variable_that_is_missing_is_named(manifests: Manifests, tmp_path: Path) -> None:
    file = manifests.folder / "api.json"
    connector = json.loads(file.read_text())
    connector["credentials"] = {"headers": {"Authorization": "Bearer ${THE_MISSING_TOKEN}"}}
    manifests.replace(file, json.dumps(connector))
    done = at_home(manifests, tmp_path)
    assert any(says(one, "THE_MISSING_TOKEN", "api") for one in troubles(done)), done.stdout


def test_an_upstream_that_is_away_is_named(manifests: Manifests, tmp_path: Path) -> None:
    away = Manifests(manifests.folder, "http://127.0.0.1:9")
    done = at_home(away, tmp_path)
    assert any(says(one, "api cannot be reached") for one in findings(done, "error")), done.stdout


def test_a_public_address_that_is_open_to_everybody_is_found(manifests: Manifests, tmp_path: Path) -> None:
    done = at_home(manifests, tmp_path, BASE_URL="https://gateway.example", NO_AUTH="true")
    assert any(says(one, "everybody who knows the address") for one in troubles(done)), done.stdout


def test_a_folder_that_nothing_can_be_kept_in_is_found(manifests: Manifests, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("This is a file.")
    done = at_home(manifests, tmp_path)
    assert any(says(one, str(tmp_path / "data")) for one in findings(done, "error")), done.stdout
    assert done.returncode == FOUND
