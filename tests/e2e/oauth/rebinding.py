"""A gateway in a world where names change their meaning: run in network and mount namespaces of its own.

`rebinding.py FOLDER`: a public address and loopback are both this machine's here, and both have a web server with the same
certificate. A DNS server says of each name what the name says it should; what the gateway answered to the clients of those
names, and who was asked for documents, comes out as JSON.
"""

import json
import re
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import httpx2

from .client import App
from .documents import papers, web
from .gateway import BOARD, gateway
from .person import Forms

PUBLIC = "93.184.215.14"
NAMESERVER = "127.0.53.53"
# What a name is answered with, each time it is asked for; the last one stays.
ZONE = {
    "steady": [[PUBLIC]],
    "private": [["127.0.0.1"]],
    "changes": [[PUBLIC], ["127.0.0.1"]],
    "changes-late": [[PUBLIC], [PUBLIC], ["127.0.0.1"]],
    "both": [[PUBLIC, "127.0.0.1"]],
    "both-otherwise": [["127.0.0.1", PUBLIC]],
    "metadata": [["169.254.169.254"]],
    "mapped": [["::ffff:127.0.0.1"]],
    "loopback6": [["::1"]],
}


def host(name: str) -> str:
    return f"{name}.rebinding.example"


def serve_names() -> None:
    """A DNS server of one page: A and AAAA by the table, each name's list moving on with each question for its family."""
    asked: dict[str, int] = {}
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((NAMESERVER, 53))

    def answer() -> None:
        while True:
            query, peer = server.recvfrom(4096)
            labels, at = [], 12
            while size := query[at]:
                labels.append(query[at + 1 : at + 1 + size].decode().lower())
                at += size + 1
            kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
            told = ZONE.get(labels[0], [])
            wanted = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
            addresses: list[bytes] = []
            if told and wanted:
                of_family = [[each for each in turn if (":" in each) == (wanted == socket.AF_INET6)] for turn in told]
                if any(of_family):
                    turn = min(asked.get(labels[0], 0), len(told) - 1)
                    asked[labels[0]] = turn + 1
                    addresses = [socket.inet_pton(wanted, each) for each in of_family[turn]]
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0) + query[12 : at + 5]
            records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(each)) + each for each in addresses]
            server.sendto(head + b"".join(records), peer)

    threading.Thread(target=answer, daemon=True).start()


def main() -> None:
    home = Path(sys.argv[1])
    for command in (["link", "set", "lo", "up"], ["addr", "add", f"{PUBLIC}/32", "dev", "lo"]):
        subprocess.run(["ip", *command], check=True)
    (home / "resolv.conf").write_text(f"nameserver {NAMESERVER}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(home / "resolv.conf"), "/etc/resolv.conf"], check=True)
    serve_names()
    own = papers(home, *(host(name) for name in ZONE), PUBLIC)
    with (
        web(own.chain, PUBLIC, 443) as public,
        web(own.chain, "127.0.0.1", 443) as private,
        web(None, PUBLIC, 80) as plain,
    ):
        env = {"SSL_CERT_FILE": str(own.root)}
        with gateway(home / "gateway", BOARD, auth={"mode": "built-in"}, env=env) as server:
            client = httpx2.Client(timeout=60, trust_env=False)
            outcomes = {}
            for name in ZONE:
                told = []
                # Each document once only, so that none is remembered.
                for number in range(4):
                    path = f"/{name}/{number}/client.json"
                    for each in (public, private):
                        each.document(path, host(name))
                    id = f"https://{host(name)}{path}"
                    for each in (public, private):
                        page = json.loads(each.pages[path].body) | {"client_id": id}
                        each.pages[path].body = json.dumps(page).encode()
                    answer = client.get(
                        App(server.base, id, resource=f"{server.base}/mcp").link(), follow_redirects=True
                    )
                    told.append([answer.status_code, Forms(answer.text).has("/oauth/sign-in")])
                outcomes[name] = {
                    "answers": told,
                    "public": sum(path.startswith(f"/{name}/") for path in public.seen),
                    "private": sum(path.startswith(f"/{name}/") for path in private.seen),
                }
            id = f"http://{host('steady')}/client.json"
            plain.document("/client.json", client_id=id)
            answer = client.get(App(server.base, id, resource=f"{server.base}/mcp").link(), follow_redirects=True)
            outcomes["plain"] = {"answer": answer.status_code, "reached": plain.reached}
            outcomes["reached"] = {"public": public.reached, "private": private.reached}
            outcomes["log"] = [line for line in server.log if re.search(r"panick|ERROR", line)]
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
