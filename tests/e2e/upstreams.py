"""Real MCP servers to put behind the server under test: how each starts, and what is asked of it.

`{folder}` stands for a folder of the server's own, which `prepare` fills; two servers over two such folders that are
asked the same things in the same order answer the same, but for what `same_text` levels out.
"""

import base64
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clients import node
from harness import HERE, kill_tree, until
from session import Session, over_http, over_sse, over_stdio
from wire import LEGACY, Json

PACKAGES = HERE / "node_modules/@modelcontextprotocol"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Upstream:
    id: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    transport: str = "stdio"
    prepare: Callable[[Path], None] = lambda folder: None
    calls: Sequence[tuple[str, Json]] = ()
    reads: Sequence[str] = ()
    prompts: Sequence[tuple[str, Json]] = ()
    completions: Sequence[Json] = ()

    def __str__(self) -> str:
        return self.id

    def command_in(self, folder: Path) -> list[str]:
        return [part.replace("{folder}", str(folder)) for part in self.command]

    def env_in(self, folder: Path) -> dict[str, str]:
        return {name: value.replace("{folder}", str(folder)) for name, value in self.env.items()}

    @contextmanager
    def adapter(self, folder: Path) -> Iterator[Json]:
        """A prepared folder, a running server where there is an address, and what a manifest says of it."""
        folder.mkdir(parents=True)
        self.prepare(folder)
        program, *arguments = self.command_in(folder)
        if self.transport == "stdio":
            # What a server says may depend on the era, and `directly` speaks this one.
            yield {"program": program, "args": arguments, "env": self.env_in(folder), "protocol": LEGACY}
            return
        path = {"http": "/mcp", "sse": "/sse"}[self.transport]
        with listening(self.command_in(folder), self.env_in(folder)) as (base, _):
            yield {"url": base + path, "allowPrivate": True}

    @contextmanager
    def directly(self, folder: Path, roots: Sequence[Path]) -> Iterator[Session]:
        """A session with a server of its own, nothing between."""
        with self.adapter(folder) as adapter:
            if self.transport == "stdio":
                connected = over_stdio(self.command_in(folder), self.env_in(folder), roots=roots)
            else:
                connected = {"http": over_http, "sse": over_sse}[self.transport](adapter["url"], roots=roots)
            with connected as session:
                yield session


@contextmanager
def listening(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[tuple[str, subprocess.Popen]]:
    """Runs a server that says on stderr where it listens, and gives its base address."""
    process = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()

    def address() -> str:
        return next(
            (f"http://{found[1]}" for line in list(said) if (found := re.search(r"(127\.0\.0\.1:\d+)", line))), ""
        )

    try:
        until(lambda: address() or process.poll() is not None, f"the address of {command}")
        assert process.poll() is None, "".join(said)
        yield address(), process
    finally:
        kill_tree(process)


def same_text(text: str) -> str:
    """Levels out what differs between two runs of one server: the time of day, and identifiers made up at random."""
    for pattern, word in [
        (r"\w{3} \w{3} \d{2} \d{4} \d{2}:\d{2}:\d{2} GMT[+-]\d{4} \([^)]*\)", "<date>"),  # JavaScript's dates
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?", "<date>"),
        (r"\d{1,2}:\d{2}:\d{2} [AP]M", "<time>"),
        (r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day", "<day>"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
        (r"\b[0-9a-f]{32}\b", "<id>"),
    ]:
        text = re.sub(pattern, word, text)
    return re.sub(r'(?<="blob":")[^"]+', lambda blob: same_blob(blob[0]), text)


def same_blob(blob: str) -> str:
    """The same for text in base64."""
    try:
        text = base64.b64decode(blob).decode()
    except UnicodeDecodeError:
        return blob
    return base64.b64encode(re.sub(r"\d{1,2}:\d{2}:\d{2} [AP]M", "<time>", text).encode()).decode()


def package(name: str) -> str:
    return str(PACKAGES / name / "dist/index.js")


# server-everything, over each of its transports

TOOLS_OF_EVERYTHING: list[tuple[str, Json]] = [
    ("echo", {"message": 'héllo \u2028 <b>&amp;</b> \\ "quoted" \x7f 🎉'}),
    *(("get-annotated-message", {"messageType": kind, "includeImage": True}) for kind in ("error", "success", "debug")),
    ("get-env", {}),
    ("get-resource-links", {"count": 4}),
    ("get-resource-reference", {"resourceType": "Text", "resourceId": 3}),
    ("get-resource-reference", {"resourceType": "Blob", "resourceId": 4}),
    ("get-roots-list", {}),
    *(("get-structured-content", {"location": place}) for place in ("New York", "Chicago", "Los Angeles")),
    ("get-sum", {"a": 1.5, "b": 2}),
    ("get-tiny-image", {}),
    ("gzip-file-as-resource", {"name": "a.gz", "data": "data:text/plain;base64,aGVsbG8=", "outputType": "resource"}),
    (
        "gzip-file-as-resource",
        {"name": "a.gz", "data": "data:text/plain;base64,aGVsbG8=", "outputType": "resourceLink"},
    ),
    *[("toggle-simulated-logging", {})] * 2,
    *[("toggle-subscriber-updates", {})] * 2,
    ("trigger-long-running-operation", {"duration": 0.2, "steps": 2}),
    ("trigger-elicitation-request", {}),
    ("trigger-sampling-request", {"prompt": "say something", "maxTokens": 5}),
    ("trigger-url-elicitation", {"url": "https://example.com/", "elicitationId": "one"}),
    ("trigger-url-elicitation", {"url": "https://example.com/", "elicitationId": "two", "errorPath": True}),
    # Wrong on purpose: what the server says of it arrives as it says it.
    ("echo", {"message": 7}),
    ("get-resource-reference", {"resourceId": -1}),
    # Only as a task, which none of these calls is; test_upstreams.py runs it as one.
    ("simulate-research-query", {"topic": "bees"}),
]
PROMPT = {"type": "ref/prompt", "name": "completable-prompt"}
TEMPLATE = {"type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}"}


def everything(id: str, transport: str) -> Upstream:
    loopback = ["--import", str(HERE / "force-loopback.mjs")] if transport != "stdio" else []
    mode = {"stdio": "stdio", "http": "streamableHttp", "sse": "sse"}[transport]
    return Upstream(
        id,
        [node(), *loopback, package("server-everything"), mode],
        {"PORT": "0"} if transport != "stdio" else {"ANSWER": "forty-two"},
        transport,
        calls=TOOLS_OF_EVERYTHING,
        reads=["demo://resource/dynamic/text/1", "demo://resource/dynamic/blob/2", "demo://resource/dynamic/text/none"],
        prompts=[
            ("simple-prompt", {}),
            ("args-prompt", {"city": "Köln"}),
            ("completable-prompt", {"department": "Sales", "name": "Eve"}),
            ("resource-prompt", {"resourceType": "Text", "resourceId": "1"}),
            ("resource-prompt", {"resourceType": "Blob", "resourceId": "2"}),
            ("resource-prompt", {"resourceType": "None", "resourceId": "0"}),
        ],
        completions=[
            {"ref": PROMPT, "argument": {"name": "department", "value": "S"}},
            {
                "ref": PROMPT,
                "argument": {"name": "name", "value": ""},
                "context": {"arguments": {"department": "Marketing"}},
            },
            {"ref": TEMPLATE, "argument": {"name": "resourceId", "value": "12"}},
        ],
    )


# The others


def files(folder: Path) -> None:
    for name, content in {
        "a.txt": b"one\ntwo\nthree\n",
        "b.md": "# Bücher\n".encode(),
        "dot.png": PIXEL,
        "noise.bin": bytes(range(256)),
        "sub/c.txt": b"deep\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


FILESYSTEM = Upstream(
    "filesystem",
    [node(), package("server-filesystem"), "{folder}"],
    prepare=files,
    calls=[
        ("list_allowed_directories", {}),
        ("read_file", {"path": "{folder}/a.txt"}),
        ("read_text_file", {"path": "{folder}/b.md"}),
        ("read_text_file", {"path": "{folder}/a.txt", "head": 1}),
        ("read_text_file", {"path": "{folder}/a.txt", "tail": 1}),
        ("read_media_file", {"path": "{folder}/dot.png"}),
        ("read_media_file", {"path": "{folder}/noise.bin"}),
        ("read_multiple_files", {"paths": ["{folder}/a.txt", "{folder}/sub/c.txt", "{folder}/none"]}),
        ("write_file", {"path": "{folder}/new.txt", "content": "written ✓\n"}),
        ("edit_file", {"path": "{folder}/a.txt", "edits": [{"oldText": "two", "newText": "2"}], "dryRun": True}),
        ("edit_file", {"path": "{folder}/a.txt", "edits": [{"oldText": "two", "newText": "zwei"}]}),
        ("create_directory", {"path": "{folder}/made"}),
        ("move_file", {"source": "{folder}/new.txt", "destination": "{folder}/made/moved.txt"}),
        ("list_directory", {"path": "{folder}"}),
        ("list_directory_with_sizes", {"path": "{folder}", "sortBy": "size"}),
        ("directory_tree", {"path": "{folder}", "excludePatterns": ["*.bin"]}),
        ("search_files", {"path": "{folder}", "pattern": "**/*.txt"}),
        ("get_file_info", {"path": "{folder}/a.txt"}),
        ("read_file", {"path": "{folder}/none"}),
        ("read_file", {"path": "/etc/hostname"}),
    ],
)

BEE = {"name": "Bee", "entityType": "insect", "observations": ["flies"]}
ROSE = {"name": "Rose", "entityType": "flower", "observations": ["smells", "has thorns"]}
VISITS = {"from": "Bee", "to": "Rose", "relationType": "visits"}

MEMORY = Upstream(
    "memory",
    [node(), package("server-memory")],
    {"MEMORY_FILE_PATH": "{folder}/memory.jsonl"},
    calls=[
        ("create_entities", {"entities": [BEE, ROSE]}),
        ("create_relations", {"relations": [VISITS]}),
        ("add_observations", {"observations": [{"entityName": "Bee", "contents": ["stings", "flies"]}]}),
        ("read_graph", {}),
        ("search_nodes", {"query": "sting"}),
        ("open_nodes", {"names": ["Rose"]}),
        ("delete_observations", {"deletions": [{"entityName": "Rose", "observations": ["smells"]}]}),
        ("delete_relations", {"relations": [VISITS]}),
        ("delete_entities", {"entityNames": ["Bee"]}),
        ("read_graph", {}),
        ("add_observations", {"observations": [{"entityName": "Nobody", "contents": ["is absent"]}]}),
    ],
)

APP = Upstream("app", [node(), package("server-basic-vanillajs"), "--stdio"], calls=[("get-time", {})])

THINKING = Upstream(
    "thinking",
    [node(), package("server-sequential-thinking")],
    {"DISABLE_THOUGHT_LOGGING": "true"},
    calls=[
        (
            "sequentialthinking",
            {"thought": "First, look.", "nextThoughtNeeded": True, "thoughtNumber": 1, "totalThoughts": 2},
        ),
        (
            "sequentialthinking",
            {"thought": "Then leap.", "nextThoughtNeeded": False, "thoughtNumber": 2, "totalThoughts": 2},
        ),
    ],
)

TIME = Upstream(
    "time",
    [sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"],
    calls=[
        ("get_current_time", {"timezone": "Europe/Paris"}),
        ("convert_time", {"source_timezone": "Asia/Kathmandu", "time": "10:30", "target_timezone": "Europe/Paris"}),
        ("convert_time", {"source_timezone": "UTC", "time": "half past", "target_timezone": "Mars/Olympus"}),
    ],
)

COMMITTER = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_NAME": "Ann" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "ann@example.com" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_DATE": "2026-01-02T03:04:05+0000" for role in ("AUTHOR", "COMMITTER")},
}


def repository(folder: Path) -> None:
    def git(*arguments: str) -> None:
        env = {"PATH": os.environ["PATH"], **COMMITTER}
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=env)

    git("init", "--initial-branch=main")
    (folder / "a.txt").write_text("one\n")
    git("add", ".")
    git("commit", "--message=first")
    (folder / "a.txt").write_text("one\nzwei — ✓\n")


GIT = Upstream(
    "git",
    [sys.executable, "-m", "mcp_server_git", "--repository", "{folder}"],
    COMMITTER,
    prepare=repository,
    calls=[
        (f"git_{tool}", {"repo_path": "{folder}", **arguments})
        for tool, arguments in [
            ("status", {}),
            ("diff_unstaged", {"context_lines": 1}),
            ("add", {"files": ["a.txt"]}),
            ("diff_staged", {}),
            ("reset", {}),
            ("add", {"files": ["."]}),
            ("commit", {"message": "second — ✓"}),
            ("log", {"max_count": 5}),
            ("show", {"revision": "HEAD"}),
            ("diff", {"target": "HEAD~1"}),
            ("create_branch", {"branch_name": "side"}),
            ("checkout", {"branch_name": "side"}),
            ("branch", {"branch_type": "local"}),
            ("checkout", {"branch_name": "nowhere"}),
        ]
    ],
)

EVERYTHING = [
    everything("everything", "stdio"),
    everything("everything-http", "http"),
    everything("everything-sse", "sse"),
]
ALL = [*EVERYTHING, FILESYSTEM, MEMORY, APP, THINKING, TIME, GIT]
