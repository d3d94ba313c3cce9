"""As much of the Hugging Face Hub as its own client asks of it, on this machine: repositories of one commit."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class Hub:
    """Repositories by name, and what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.refuses = False

    def commit(self, repository: str) -> str:
        whole = json.dumps({name: len(content) for name, content in sorted(self.files[repository].items())})
        return hashlib.sha1(whole.encode()).hexdigest()


@contextmanager
def serving() -> Iterator[tuple[str, Hub]]:
    """The address of a server, and what it has."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, content: bytes | dict | list, code: int = 200, **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def given(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_POST(self) -> None:
            path, body = unquote(urlparse(self.path).path), self.given()
            hub.asked.append(f"POST {path}")
            if hub.refuses:
                self.answer({"error": "Invalid credentials in Authorization header"}, 401)
            elif path == "/api/repos/create":
                told = json.loads(body)
                name = f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"]
                hub.files.setdefault(name, {})
                self.answer({"url": f"http://{self.headers['Host']}/{name}"})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = [{**one, "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(body)["files"]]
                self.answer({"files": files})
            elif "/commit/" in path:
                repository = path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[repository][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                oid = hub.commit(repository)
                url = f"http://{self.headers['Host']}/{repository}/commit/{oid}"
                self.answer({"commitUrl": url, "commitOid": oid, "success": True})
            else:
                self.answer({"error": path}, 404)

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path).strip("/")
            hub.asked.append(f"{self.command} {path}")
            if path.startswith("api/models/"):
                self.tell(path.removeprefix("api/models/"))
                return
            repository, _, place = path.partition("/resolve/")
            revision, _, name = place.partition("/")
            files = hub.files.get(repository)
            if files is None:
                self.answer({"error": "none"}, 404, X_Error_Code="RepoNotFound")
            elif revision not in ("main", hub.commit(repository)):
                self.answer({"error": "none"}, 404, X_Error_Code="RevisionNotFound")
            elif name not in files:
                self.answer({"error": "none"}, 404, X_Error_Code="EntryNotFound")
            else:
                tag = hashlib.sha256(files[name]).hexdigest()
                self.answer(files[name], ETag=f'"{tag}"', X_Repo_Commit=hub.commit(repository))

        do_HEAD = do_GET  # noqa: N815

        def tell(self, path: str) -> None:
            repository, _, tree = path.partition("/revision/")[0].partition("/tree/")
            if repository not in hub.files:
                self.answer({"error": "none"}, 404, X_Error_Code="RepoNotFound")
                return
            files, oid = hub.files[repository], hub.commit(repository)
            if tree:
                entries = [{"type": "file", "path": name, "size": len(files[name]), "oid": "0"} for name in files]
                self.answer(entries)
                return
            self.answer(
                {
                    **{"id": repository, "modelId": repository, "sha": oid, "private": False, "tags": []},
                    **{"downloads": 0, "likes": 0, "siblings": [{"rfilename": name} for name in files]},
                }
            )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
