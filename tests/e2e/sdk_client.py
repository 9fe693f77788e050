"""A client of the HTTP API, of the shape the published SDKs have: their calls, their field names, their retries."""

import random
import time
from dataclasses import dataclass
from typing import Any

import httpx2

from harness import PATIENCE
from wire import Json

# What is worth another try; everything else is not.
AGAIN = {408, 429, 500, 502, 503, 504}


class ApiError(Exception):
    """The server said no."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body

    @property
    def words(self) -> str:
        return self.body["error"] if isinstance(self.body, dict) else str(self.body)


@dataclass
class SdkClient:
    """`base` is the server's address without `/api`; the waits are shorter than the SDKs' own."""

    base: str
    api_key: str | None = None
    tenant: str | None = None
    retries: int = 3
    shortest_wait: float = 0.05
    longest_wait: float = 1.0

    def __post_init__(self) -> None:
        self._http = httpx2.Client(base_url=self.base, timeout=60, trust_env=False)
        self.requests = 0

    def request(self, method: str, path: str, body: Json | None = None, query: Json | None = None, **headers: str) -> Any:
        shown = {"Accept": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.api_key:
            shown["Authorization"] = f"Bearer {self.api_key}"
        if self.tenant:
            shown["X-Tenant-ID"] = self.tenant
        for attempt in range(self.retries + 1):
            self.requests += 1
            try:
                answer = self._http.request(method, path, json=body, params=query, headers=shown)
            except httpx2.TransportError:
                if attempt == self.retries:
                    raise
            else:
                if answer.status_code not in AGAIN or attempt == self.retries:
                    value = answer.json() if answer.content else None
                    if answer.status_code >= 400:
                        raise ApiError(answer.status_code, value)
                    return value
            wait = min(self.longest_wait, self.shortest_wait * 2**attempt)
            time.sleep(wait * (0.5 + random.random() / 2))
        raise AssertionError("unreachable")

    # Tools

    def list_tools(self, **query: Any) -> Json:
        return self.request("GET", "/api/v1/tools/list", query=query)

    def get_tool(self, tool: str) -> Json:
        return self.request("GET", f"/api/v1/tools/{tool}")

    def invoke(self, tool: str, integration: str, parameters: Json | None = None, **more: Any) -> Json:
        body = {"toolId": tool, "integration": integration, "parameters": parameters or {}, **more}
        return self.request("POST", "/api/v1/tools/invoke", body)

    def select_tools(self, query: str | list[str], **more: Any) -> Json:
        return self.request("POST", "/api/v1/tools/select", {"query": query, **more})

    def categories(self) -> list[Json]:
        return self.request("GET", "/api/v1/categories")["categories"]

    # Connectors

    def integrations(self) -> dict[str, Json]:
        return {each["name"]: each for each in self.request("GET", "/api/v1/mcp/integrations")["integrations"]}

    def add(self, name: str, source: Json, category: str = "test", **more: Any) -> Json:
        return self.request("POST", "/api/v1/mcp/add", {"name": name, "source": source, "category": category, **more})

    def deployment(self, id: str) -> Json:
        return self.request("GET", f"/api/v1/mcp/deployments/{id}")

    def deployments(self) -> list[Json]:
        return self.request("GET", "/api/v1/mcp/deployments")["deployments"]

    def wait(self, id: str, *until: str) -> Json:
        """Waits until a deployment is over, or in one of these states."""
        deadline = time.monotonic() + PATIENCE
        far = 0
        while True:
            deployment = self.deployment(id)
            assert far <= deployment["progress"] <= 100, deployment
            far = deployment["progress"]
            if deployment["status"] in (until or ("running", "failed")):
                return deployment
            assert time.monotonic() < deadline, f"waited in vain for {until}: {deployment}"
            time.sleep(0.05)

    def custom(self, **query: Any) -> dict[str, Json]:
        answer = self.request("GET", "/api/v1/mcp/custom", query=query)
        assert answer["count"] == len(answer["servers"]), answer
        return {each["name"]: each for each in answer["servers"]}

    def remove(self, name: str, **query: Any) -> Json:
        return self.request("DELETE", f"/api/v1/mcp/custom/{name}", query=query)

    # Tenants

    def oauth_config(self, method: str, tenant: str, integration: str, body: Json | None = None) -> Json:
        return self.request(method, f"/api/v1/tenants/{tenant}/integrations/{integration}/oauth-config", body)

    def tenant_integrations(self, tenant: str) -> list[str]:
        answer = self.request("GET", f"/api/v1/tenants/{tenant}/integrations")
        assert answer["count"] == len(answer["integrations"]), answer
        return answer["integrations"]
