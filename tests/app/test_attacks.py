"""Attacks on the running server, by sockets and by a real browser."""

import json
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from spacy_embtune.app import PageServer
from spacy_embtune.app._guard import MOST_BYTES

from ..plots.browser import ARGS, find_chromium
from .conftest import make_pile_of
from .test_loop import opened

HOSTILE = "<img src=x onerror=window.pwned=1>"
GIVE = json.dumps({"do": "give", "label": "A", "rows": [0, 1]}).encode()


@pytest.fixture
def server(log_path: Path) -> Iterator[PageServer]:
    """Serves some texts, and has saved one action."""
    with PageServer(log_path) as server:
        session = server.open(lambda progress: make_pile_of([f"text {i}" for i in range(60)]))
        session.act("give", "MINE", [5])
        yield server


def connect(server: PageServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(server: PageServer, line: str, **headers: str) -> bytes:
    """RETURNS (bytes): The head of a request of the own page."""
    own = {"host": f"127.0.0.1:{server.port}", "origin": f"http://127.0.0.1:{server.port}"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**own, **headers}.items()]
    return "\r\n".join([f"{line} HTTP/1.1", *lines, "", ""]).encode()


def status(connection: socket.socket) -> int:
    """RETURNS (int): The status of the answer."""
    return int(connection.recv(4096).split()[1])


def token(server: PageServer) -> str:
    return urlsplit(server.address).path.strip("/")


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/TOKEN/../../../../etc/passwd",
        "/TOKEN/..%2f..%2f..%2fetc%2fpasswd",
        "/TOKEN/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/TOKEN/..\\..\\etc\\passwd",
        "/TOKEN//etc/passwd",
        "/TOKEN/labels.jsonl",
        "//TOKEN/",
        "/%2e/TOKEN/",
        "file:///etc/passwd",
    ],
)
def test_a_path_as_it_is_sent_opens_no_file(server: PageServer, path: str) -> None:
    with connect(server) as connection:
        connection.sendall(head(server, f"GET {path.replace('TOKEN', token(server))}"))
        answer = connection.recv(100_000)
    assert answer.split()[1] in (b"404", b"400")
    assert b"root:" not in answer
    assert b"MINE" not in answer


def test_a_gigabyte_is_refused_by_its_head(server: PageServer, log_path: Path) -> None:
    before = log_path.read_bytes()
    line = f"POST /{token(server)}/act"
    length = {"content_length": str(1 << 30), "content_type": "application/json"}
    with connect(server) as connection:
        connection.sendall(head(server, line, **length))
        # No byte of the body is there, and none is waited for.
        assert status(connection) == 413
    with connect(server) as connection:
        assert send_until_closed(connection, head(server, line, **length)) < 20 * MOST_BYTES
    assert log_path.read_bytes() == before


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_body_without_end_is_refused(server: PageServer, log_path: Path, kind: str) -> None:
    before = log_path.read_bytes()
    kinds = {"transfer_encoding": "chunked", "content_type": kind}
    line = f"POST /{token(server)}/act"
    with connect(server) as connection:
        n = send_until_closed(connection, head(server, line, **kinds), chunked=True)
    assert n < 20 * MOST_BYTES
    with connect(server) as connection:
        line = f"GET /{token(server)}/progress"
        begun = head(server, line, **kinds)
        assert send_until_closed(connection, begun, chunked=True) < 20 * MOST_BYTES
    assert log_path.read_bytes() == before
    # A head without end.
    with connect(server) as connection:
        begun = head(server, f"GET /{token(server)}/")[:-2] + b"x-y: "
        assert send_until_closed(connection, begun) < 20 * MOST_BYTES


def send_until_closed(connection: socket.socket, begun: bytes, *, chunked: bool = False) -> int:
    """RETURNS (int): How many bytes the server takes, up to a gigabyte."""
    part = b"x" * 65536
    sent = b"10000\r\n" + part + b"\r\n" if chunked else part
    n = 0
    try:
        connection.sendall(begun)
        while n < 1 << 30:
            connection.sendall(sent)
            n += len(part)
    except OSError:
        pass
    return n


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["nothing", "half a head"])
def test_a_thousand_connections_that_stay_do_not_shut_the_person_out(
    server: PageServer, log_path: Path, begun: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1000):
            stranger = stack.enter_context(connect(server))
            if begun != "nothing":
                stranger.sendall(head(server, "GET /")[:-9])
        start = time.monotonic()
        own = stack.enter_context(connect(server))
        kinds = {"content_type": "application/json", "content_length": str(len(GIVE))}
        own.sendall(head(server, f"POST /{token(server)}/act", **kinds) + GIVE)
        assert status(own) == 200
        assert time.monotonic() - start < 5
    assert b'"label": "A"' in log_path.read_bytes()


class Foreign(BaseHTTPRequestHandler):
    """A site that tries what a site can try, on the server whose address it knows."""

    target = ""

    def do_GET(self) -> None:
        page = """<!DOCTYPE html><body><script>
        const target = "TARGET", said = [], KIND = "application/json";
        const asked = JSON.stringify({ do: "give", label: "EVIL", rows: [0] });
        const tries = [
          ["plain", { method: "POST", mode: "no-cors", body: asked }],
          ["json", { method: "POST", body: asked, headers: { "content-type": KIND } }],
          ["read", { method: "GET" }],
          ["silent", { method: "GET", mode: "no-cors" }],
        ];
        (async () => {
          for (const [name, options] of tries) {
            try {
              const answer = await fetch(`${target}act`, options);
              said.push(`${name}: ${answer.type}`);
            } catch {
              said.push(`${name}: refused`);
            }
          }
          navigator.sendBeacon(`${target}act`, asked);
          new Image().src = `${target}act`;
          const frame = document.createElement("iframe");
          frame.name = "inner";
          frame.src = target;
          document.body.append(frame);
          frame.onload = () => {
            const form = document.createElement("form");
            Object.assign(form, { method: "POST", action: `${target}act`, target: "inner" });
            form.enctype = "text/plain";
            const field = document.createElement("input");
            [field.name, field.value] = [asked.slice(0, -1) + ', "x": "', '"}'];
            form.append(field);
            document.body.append(form);
            frame.onload = () => { window.done = said; };
            form.submit();
          };
        })();
        </script></body>""".replace("TARGET", self.target)
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_foreign_site_that_knows_the_address_can_neither_read_nor_label(
    browser: Browser, server: PageServer, log_path: Path
) -> None:
    before = log_path.read_bytes()
    handler = type("Site", (Foreign,), {"target": server.address})
    site = HTTPServer(("127.0.0.1", 0), handler)
    Thread(target=site.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{site.server_port}/")
    page.wait_for_function("window.done")
    said = page.evaluate("window.done")
    assert said[0] in ("plain: opaque", "plain: refused")
    assert said[1:3] == ["json: refused", "read: refused"]
    # The frame shows no page of labelling.
    assert not any(frame.query_selector("#share") for frame in page.frames)
    page.close()
    site.shutdown()
    site.server_close()
    assert log_path.read_bytes() == before


def test_a_foreign_name_that_leads_to_this_machine_finds_nothing(
    browser: Browser, server: PageServer, log_path: Path
) -> None:
    before = log_path.read_bytes()
    args = [*ARGS, "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    program = find_chromium(Path(browser.browser_type.executable_path))
    rebound = browser.browser_type.launch(executable_path=program, args=args)
    page = rebound.new_page()
    address = server.address.replace("127.0.0.1", "evil.example")
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 421
    options = '{method: "POST", body: "{}", headers: {"content-type": "application/json"}}'
    assert page.evaluate(f"fetch('{address}act', {options}).then(one => one.status)") == 421
    rebound.close()
    assert log_path.read_bytes() == before


def test_hostile_names_of_files_are_texts_in_the_page(browser: Browser, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    pile = make_pile_of([f"text {i}" for i in range(20)])
    log = tmp_path / f"{name}.jsonl"
    with PageServer(log) as server:
        session = server.open(lambda progress: pile)
        session.act("give", HOSTILE, [0, 1])
        session.act("give", "B", [2])
    # A text that is gone makes the page name the log.
    fewer = make_pile_of([f"text {i}" for i in range(1, 20)])._replace(title=f"{name}.csv")
    command = [sys.executable, "-c", f"raise SystemExit({name!r})"]
    with PageServer(log, tune_with=command) as server:
        server.open(lambda progress: fewer)
        with opened(browser, server.address) as page:
            expect(page.locator("#title")).to_have_text(f"{name}.csv")
            expect(page.locator("#subtitle")).to_contain_text(f"1 labelled text of {name}.jsonl")
            page.click("#tune")
            expect(page.locator("#tuned")).to_contain_text(f"Not tuned. {name}")
            page.click("#history summary")
            expect(page.locator("#history-list")).to_contain_text(HOSTILE)
            # `opened` looks whether it has run.
