"""The server: the person's own page reaches it, and strangers do not."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from spacy_embtune.app import Session
from spacy_embtune.app._guard import MOST_BYTES
from spacy_embtune.app._server import (
    MOST_CONNECTIONS,
    Opening,
    make_app,
    make_server,
    open_socket,
)
from spacy_embtune.data import read_records

from .conftest import wait_for_learning, wait_until

TOKEN, PORT = "a-secret-token", 4567
HOME = f"http://127.0.0.1:{PORT}"
OWN = {"origin": HOME}
GIVE = {"do": "give", "label": "A", "rows": [0, 1]}


@pytest.fixture
def session(make_session: Callable[..., Session]) -> Session:
    return make_session()


@pytest.fixture
def client(session: Session) -> TestClient:
    app = make_app(session, token=TOKEN, port=PORT)
    return TestClient(app, base_url=HOME, follow_redirects=False)


def act(client: TestClient, asked: Any, **headers: str) -> Any:
    return client.post(f"/{TOKEN}/act", json=asked, headers={**OWN, **headers})


def test_the_page_has_a_policy_that_allows_its_own_server_only(client: TestClient) -> None:
    answer = client.get(f"/{TOKEN}/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'; frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert TOKEN not in answer.text
    assert not re.search(r"innerHTML|document\.write|\beval\(|insertAdjacent", answer.text)
    addresses = set(re.findall(r"https?://[^\"\s]+", answer.text))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_an_action_is_in_the_log_before_it_is_confirmed(client: TestClient, log_path: Path) -> None:
    answer = act(client, GIVE)
    assert answer.status_code == 200
    assert {r.text for r in read_records(log_path)} == {"text 0", "text 1"}
    state = answer.json()
    assert state["cats"] == [[0, [0, 1.0]], [1, [0, 1.0]]]
    assert state["undo"] == "A for 2 texts"
    assert act(client, {"do": "undo"}).json()["cats"] == []


def test_news_come_when_there_are_some(client: TestClient, session: Session) -> None:
    wait_for_learning(session)
    first = client.get(f"/{TOKEN}/state").json()
    assert "learned" in first
    address = f"/{TOKEN}/state?version={first['version']}&learned={first['learned_version']}"
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(client.get(address).json()))
    waiting.start()
    session.act("give", "A", [0])
    waiting.join(timeout=10)
    assert answers[0]["cats"] == [[0, [0, 1.0]]]
    assert client.get(f"/{TOKEN}/state?version=x").status_code == 400


def test_agreement(client: TestClient, session: Session) -> None:
    answer = client.post(f"/{TOKEN}/agreement", json={"rows": [0, 3, 1]}, headers=OWN)
    assert answer.json() == session.agreement([0, 3, 1])


@pytest.mark.parametrize("token", ["", "a-secret-toke", "A-SECRET-TOKEN", "%00", "ü", TOKEN + "x"])
def test_a_wrong_token_finds_nothing(client: TestClient, log_path: Path, token: str) -> None:
    before = log_path.read_bytes()
    assert client.get(f"/{token}/").status_code == 404
    assert client.get(f"/{token}/state").status_code == 404
    answer = client.post(f"/{token}/act", json=GIVE, headers=OWN)
    assert answer.status_code == 404
    assert log_path.read_bytes() == before


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", "", "0.0.0.0"],
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    # The name of a foreign site may be made to lead to this machine (DNS rebinding).
    assert client.get(f"/{TOKEN}/", headers={"host": host}).status_code == 421
    answer = act(client, GIVE, host=host, origin=f"http://{host}")
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", f"{HOME}.evil.example", ""],
)
def test_a_foreign_origin_is_refused(client: TestClient, log_path: Path, origin: str) -> None:
    before = log_path.read_bytes()
    assert act(client, GIVE, origin=origin).status_code == 403
    assert client.get(f"/{TOKEN}/state", headers={"origin": origin}).status_code == 403
    assert log_path.read_bytes() == before


def test_an_action_without_an_origin_is_refused(client: TestClient) -> None:
    assert client.post(f"/{TOKEN}/act", json=GIVE).status_code == 403


def test_an_origin_of_the_other_name_of_this_machine_is_refused(client: TestClient) -> None:
    assert act(client, GIVE, origin=f"http://localhost:{PORT}").status_code == 403
    own = {"host": f"localhost:{PORT}", "origin": f"http://localhost:{PORT}"}
    assert act(client, GIVE, **own).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_names_another_site_is_refused(client: TestClient, site: str) -> None:
    headers = {"sec-fetch-site": site}
    assert client.get(f"/{TOKEN}/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/{TOKEN}",
        f"/{TOKEN}/../../../etc/passwd",
        f"/{TOKEN}/%2e%2e/%2e%2e/etc/passwd",
        f"/{TOKEN}/..%2f..%2fetc%2fpasswd",
        f"/{TOKEN}//etc/passwd",
        f"/{TOKEN}/label.css",
        f"/{TOKEN}/labels.jsonl",
        f"/{TOKEN}/state/",
        f"/x/../{TOKEN}/%00",
    ],
)
def test_no_path_opens_a_file(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    answer = client.request(method, f"/{TOKEN}/act", headers=OWN)
    assert answer.status_code == 405


def test_a_giant_body_is_refused(client: TestClient, log_path: Path) -> None:
    before = log_path.read_bytes()
    headers = {**OWN, "content-type": "application/json"}
    said = client.post(f"/{TOKEN}/act", content=b"x" * (MOST_BYTES + 1), headers=headers)
    assert said.status_code == 413

    def parts() -> Iterator[bytes]:
        for _ in range(MOST_BYTES // 1000 + 2):
            yield b"x" * 1000

    unsaid = client.post(f"/{TOKEN}/act", content=parts(), headers=headers)
    assert unsaid.status_code == 413
    lied = client.get(f"/{TOKEN}/", headers={"content-length": "9" * 5000})
    assert lied.status_code == 413
    assert log_path.read_bytes() == before


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"do": "give", "label": "A", "rows": {"0": 1}}', "application/json"),
        (b'{"do": "give", "label": "A", "rows": "01"}', "application/json"),
        (json.dumps(GIVE).encode(), "text/plain"),
        (json.dumps(GIVE).encode(), "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_no_action_is_refused(client: TestClient, body: bytes, kind: str) -> None:
    headers = {**OWN, "content-type": kind}
    answer = client.post(f"/{TOKEN}/act", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_full_disk_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def fail(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        answer = act(client, GIVE)
    assert answer.status_code == 507
    assert "no room" in answer.json()["error"]
    assert act(client, GIVE).status_code == 200


def test_hostile_texts_and_labels_are_data(make_session: Callable[..., Session]) -> None:
    hostile = "</script><script>window.pwned = 1</script>\u2028\ud800{{script}}"
    session = make_session([hostile, "b", "c", "__proto__"])
    name = "<img src=x onerror=alert(1)>"
    session.act("give", name, [0])
    session.act("give", "__proto__", [1])
    app = make_app(session, token=TOKEN, port=PORT)
    page = TestClient(app, base_url=HOME).get(f"/{TOKEN}/").text
    assert page.count("<script") == 2
    assert "<img" not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["state"]["labels"] == [name, "__proto__"]
    asked = TestClient(app, base_url=HOME).post(f"/{TOKEN}/texts", json={"rows": [0]}, headers=OWN)
    assert asked.headers["content-type"] == "application/json"
    assert asked.json()["texts"] == [hostile]


def test_a_port_that_is_taken_is_an_error() -> None:
    with open_socket(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} cannot be used"):
            open_socket(port)


def test_it_listens_on_this_machine_only() -> None:
    with open_socket(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_after_a_thousand_connections_it_answers(session: Session) -> None:
    listening = open_socket(0)
    port = listening.getsockname()[1]
    app = make_app(session, token=TOKEN, port=port)
    server = make_server(app)
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()

    def get() -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", f"/{TOKEN}/")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    wait_until(lambda: get() == 200)
    strangers = []
    for _ in range(1000):
        stranger = socket.socket()
        stranger.setblocking(False)
        stranger.connect_ex(("127.0.0.1", port))
        strangers.append(stranger)
    assert len(strangers) > MOST_CONNECTIONS
    for stranger in strangers:
        stranger.close()
    wait_until(lambda: get() == 200)
    server.should_exit = True


def post(client: TestClient, name: str, asked: Any) -> Any:
    return client.post(f"/{TOKEN}/{name}", json=asked, headers=OWN)


def test_arrays_come_as_bytes(client: TestClient, session: Session) -> None:
    act(client, {"do": "give", "label": "A", "rows": [0, 3]})
    act(client, {"do": "give", "label": "B", "rows": [1, 4]})
    wait_for_learning(session)
    content = client.get(f"/{TOKEN}/arrays").content
    version, n = np.frombuffer(content, "<i4", 2).tolist()
    expected = session.arrays()
    assert (version, n) == (expected[0], 60)
    xy = np.frombuffer(content, "<f4", 2 * n, offset=8).reshape(n, 2)
    predicted = np.frombuffer(content, "<i2", n, offset=8 + 8 * n)
    confidence = np.frombuffer(content, np.uint8, offset=8 + 10 * n)
    np.testing.assert_array_equal(xy, expected[1])
    np.testing.assert_array_equal(predicted, expected[2])
    np.testing.assert_array_equal(confidence, expected[3])


def test_texts_are_given_by_number(client: TestClient) -> None:
    assert post(client, "texts", {"rows": [3, 1]}).json() == {
        "ids": ["id-3", "id-1"],
        "texts": ["text 3", "text 1"],
    }
    assert len(post(client, "texts", {"rows": list(range(60))}).json()["texts"]) == 60
    for rows in ([], [60], [-1], ["0"], [True]):
        assert post(client, "texts", {"rows": rows}).status_code == 400


def test_words_are_found_in_any_case(make_session: Callable[..., Session]) -> None:
    session = make_session(["Bread and SOUP", "a ball", "soup at nine"])
    client = TestClient(make_app(session, token=TOKEN, port=PORT), base_url=HOME)
    assert post(client, "words", {"query": " soup "}).json() == [0, 2]
    assert post(client, "words", {"query": "(.*"}).json() == []
    for query in ("", " ", None, 7, "x" * 2001):
        assert post(client, "words", {"query": query}).status_code == 400


def test_meaning_needs_an_encoder(client: TestClient) -> None:
    answer = post(client, "meaning", {"query": "soup"})
    assert answer.status_code == 400
    assert "no encoder" in answer.json()["error"]


def test_neighbours_have_no_label_and_the_nearest_comes_first(
    client: TestClient, session: Session
) -> None:
    act(client, {"do": "give", "label": "A", "rows": [3, 6]})
    answer = post(client, "neighbors", {"rows": [0], "n": 5}).json()
    cosines = session.space.vectors @ session.space.vectors[0]
    expected = [row for row in np.argsort(-cosines).tolist() if row not in (0, 3, 6)][:5]
    assert answer["rows"] == expected
    assert answer["cosines"] == sorted(answer["cosines"], reverse=True)
    assert len(post(client, "neighbors", {"rows": [0], "n": 10**9}).json()["rows"]) == 57


def test_clusters_come_when_they_are_found(make_session: Callable[..., Session]) -> None:
    words = ["soup bread", "ball goal", "guitar song"]
    session = make_session([f"{words[i % 3]} number {i}" for i in range(60)])
    client = TestClient(make_app(session, token=TOKEN, port=PORT), base_url=HOME)
    wait_until(lambda: bool(post(client, "clusters", {}).json()["is_ready"]))
    found = post(client, "clusters", {}).json()
    assert len(found["of"]) == 60
    for row, cluster in enumerate(found["of"]):
        # "number" is in all texts, so it sets no cluster apart.
        assert set(found["names"][cluster].split(", ")) <= set(words[row % 3].split())


def test_before_texts_are_encoded_the_page_tells_how_far_it_is(session: Session) -> None:
    opening = Opening()
    client = TestClient(make_app(opening, token=TOKEN, port=PORT), base_url=HOME)
    opening.progress(20, 60)
    answer = client.get(f"/{TOKEN}/")
    assert "Encoding texts" in answer.text
    assert "script-src 'sha256-" in answer.headers["content-security-policy"]
    assert client.get(f"/{TOKEN}/progress").json() == {"is_ready": False, "n_done": 20, "n": 60}
    for name in ("act", "texts", "words", "meaning", "neighbors", "clusters", "agreement"):
        assert post(client, name, GIVE).status_code == 400
    assert client.get(f"/{TOKEN}/arrays").status_code == 400
    assert client.get(f"/{TOKEN}/state").status_code == 400
    opening.session = session
    assert client.get(f"/{TOKEN}/progress").json()["is_ready"] is True
    assert act(client, GIVE).status_code == 200


def test_a_frame_is_allowed_to_a_notebook_only(session: Session) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}
    for may_frame, status in ((False, 403), (True, 200)):
        app = make_app(session, token=TOKEN, port=PORT, may_frame=may_frame)
        client = TestClient(app, base_url=HOME)
        assert client.get(f"/{TOKEN}/", headers=headers).status_code == status
        page = client.get(f"/{TOKEN}/")
        assert ("frame-ancestors" in page.headers["content-security-policy"]) is not may_frame
        # The frame can act. Another site cannot, with or without a frame.
        foreign = {**headers, "origin": "http://evil.example"}
        assert client.post(f"/{TOKEN}/act", json=GIVE, headers=foreign).status_code == 403
        assert client.get("/wrong/", headers=headers).status_code in (403, 404)
