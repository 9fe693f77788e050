"""Who hears what the server tells: a collector of OpenTelemetry, and what it was given."""

import gzip
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rotel
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from browser import free_port
from harness import kill_tree, until
from loopback import Handler, Loopback, listening

AGENT = Path(rotel.__file__).parent / "rotel-agent"


class Backend(Loopback):
    """Keeps what a collector hands on."""

    def __init__(self) -> None:
        super().__init__(BackendHandler)
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.raw = b""

    def spans(self) -> list[Span]:
        scopes = [scope for told in self.traces for it in told.resource_spans for scope in it.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def numbers(self) -> set[str]:
        scopes = [scope for told in self.metrics for it in told.resource_metrics for scope in it.scope_metrics]
        return {metric.name for scope in scopes for metric in scope.metrics}


class BackendHandler(Handler):
    server: Backend

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.raw += body
        if self.path.endswith("/v1/traces"):
            self.server.traces.append(ExportTraceServiceRequest.FromString(body))
        else:
            self.server.metrics.append(ExportMetricsServiceRequest.FromString(body))
        self.answer(200, b"", "application/x-protobuf")


@contextmanager
def backend() -> Iterator[Backend]:
    with listening(Backend()) as server:
        yield server


@contextmanager
def collector(behind: Backend, folder: Path) -> Iterator[str]:
    """A collector that others wrote; its address. What it takes, it hands on."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    started = subprocess.Popen(
        [
            *(AGENT, "start", "--otlp-http-endpoint", f"127.0.0.1:{port}"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--exporter", "otlp"),
            *("--otlp-exporter-endpoint", behind.url, "--otlp-exporter-protocol", "http"),
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: started.poll() is not None or listens(port), "the collector listens")
        assert started.poll() is None, "the collector ended"
        yield address
    finally:
        kill_tree(started)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def attributes(span: Span) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in span.attributes}
