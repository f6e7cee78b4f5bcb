from __future__ import annotations

import asyncio
import io
import lzma
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from pneumoscope.bundle.archive import open_bundle
from pneumoscope.core.errors import BundleError, StorageError
from pneumoscope.data.phantoms import draw_phantom
from pneumoscope.service.admission import Rate, Room, Share
from pneumoscope.service.guard import Door
from pneumoscope.service.problems import Problem
from pneumoscope.service.serving import Live, Served
from pneumoscope.service.tokens import Holder, find_holder, new_token, read_tokens
from pneumoscope.workflows.results import TrainResult
from service_example import URL, Running, problem, running


@pytest.fixture(scope="module")
def image() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_phantom(seed=1, label="NORMAL", size=64)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def live(trained: TrainResult) -> Live:
    return Live(trained.bundle, max_batch=4)


@pytest.fixture(scope="module")
def odd(live: Live) -> Iterator[Running]:
    limits: dict[str, Any] = {
        "max_queue": 6,
        "deadline": 2.0,
        "decode_seconds": 1.0,
        "max_pixels": 10**6,
    }
    with running(live, odd=True, decoders=2, **limits) as found:
        found.results(b"")  # started
        yield found


def test_a_decoder_that_dies_or_hangs_costs_one_image(odd: Running, image: bytes) -> None:
    with ThreadPoolExecutor(3) as threads:
        hanging = threads.submit(odd.results, b"HANG", image)
        dying = threads.submit(odd.results, b"DIES", image)
        time.sleep(0.1)
        start = time.monotonic()
        assert odd.results(image)[0]["probabilities"]
        assert time.monotonic() - start < 1.0
        slow, well = hanging.result()
        dead, other = dying.result()
    assert (slow["decision"], dead["decision"]) == ("unreadable", "unreadable")
    assert "took more than 1 s" in slow["reason"]
    assert "stopped working" in dead["reason"]
    assert well["probabilities"] == other["probabilities"] != {}
    assert odd.counted('pneumoscope_decoders_lost_total{reason="slow"}') == 1
    assert odd.counted('pneumoscope_decoders_lost_total{reason="died"}') == 1


def test_a_decoder_gets_no_more_memory_than_allowed(odd: Running, image: bytes) -> None:
    greedy, well = odd.results(b"EATS", image)
    assert greedy["decision"] == "unreadable"
    assert "too much memory" in greedy["reason"]
    assert well["probabilities"]


def test_a_decoder_killed_while_idle_is_replaced(odd: Running, image: bytes) -> None:
    for decoder in odd.service.pool._all:
        if decoder._process is not None:
            os.kill(decoder._process.pid, signal.SIGKILL)
            decoder._process.wait()
    assert all(result["probabilities"] for result in odd.results(image, image))


def test_a_full_queue_says_when_to_come_back(odd: Running, image: bytes) -> None:
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(odd.results, *[b"SLOW" + image] * 5)
        while odd.service.room.images < 5:
            time.sleep(0.01)
        answer = odd.ask(image, image)
        problem(answer, 429, "queue-full")
        assert int(answer.headers["retry-after"]) >= 1
        assert all(result["probabilities"] for result in busy.result())
    assert odd.service.room.images == odd.service.room.size == 0


def test_what_is_late_is_a_problem_and_frees_its_place(odd: Running, image: bytes) -> None:
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: odd.ask(b"HANG", b"HANG"), range(2)))
    problem(next(one for one in answers if one.status_code != 200), 504, "deadline")
    assert odd.service.room.images == 0
    while odd.service.pool._free.qsize() < 2:  # what hangs still has its second
        time.sleep(0.01)
    assert odd.results(image)[0]["probabilities"]


def test_an_upload_that_never_ends_is_given_up(live: Live) -> None:
    async def slow() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.02)
            yield b"x"

    with running(live, deadline=0.2) as found:

        async def ask() -> httpx2.Response:
            transport = httpx2.ASGITransport(found.client.app)
            async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
                headers = {"content-type": "multipart/form-data; boundary=b"}
                return await client.post("/v1/predictions", content=slow(), headers=headers)

        assert found.client.portal is not None
        problem(found.client.portal.call(ask), 408, "slow-upload")


def revised(trained: TrainResult, folder: Path, temperature: float) -> Path:
    bundle = open_bundle(trained.bundle).revised(temperature=temperature, calibrator=None)
    shutil.rmtree(folder, ignore_errors=True)
    bundle.save(folder)
    return folder


def test_another_bundle_takes_over_without_a_request_lost(
    trained: TrainResult, image: bytes, tmp_path: Path
) -> None:
    place = revised(trained, tmp_path / "bundle", 1.0)
    live = Live(place, max_batch=4)
    holders = [Holder("boss", "admin", digest("boss"))]
    first, stop = live.current.predictor.model_id, threading.Event()
    with running(live, door=Door(Rate(None), holders)) as found, ThreadPoolExecutor(4) as threads:
        found.client.headers["authorization"] = "Bearer boss"

        def load() -> list[dict[str, object]]:
            seen = []
            while not stop.is_set():
                seen += found.results(image)
            return seen

        loads = [threads.submit(load) for _ in range(3)]
        try:
            revised(trained, place, 3.0)
            reloaded = found.client.post("/v1/admin/reload")
            (place / "model.onnx").write_bytes(b"broken")
            refused = found.client.post("/v1/admin/reload")
            time.sleep(0.1)
        finally:
            stop.set()
        seen = [result for load_ in loads for result in load_.result()]
        second = reloaded.json()["model_id"]
        assert {str(result["model_id"]) for result in seen} == {first, second} != {first}
        assert len({str(result["probabilities"]) for result in seen}) == 2
        content = problem(refused, 409, "bundle-refused")
        assert "model.onnx was changed" in content["detail"]
        assert str(tmp_path) not in refused.text
        assert found.client.get("/v1/model").json()["model_id"] == second
        assert found.counted('pneumoscope_reloads_total{outcome="refused"}') == 1
        assert found.counted(f'pneumoscope_model{{model_id="{second}"}}') == 1


def test_a_reload_looks_where_the_address_leads_now(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def opening(_: Live, path: Path) -> Served:
        opened.append(path)
        return live.current

    monkeypatch.setattr(Live, "_opened", opening)
    places = [Path("first")]
    follows = Live(lambda: places[-1])
    places.append(Path("second"))
    follows.reload()
    assert opened == places
    places.clear()
    with pytest.raises(Problem, match=r"its address leads nowhere now \(IndexError\)"):
        follows.reload()
    assert follows.current is live.current


def test_whatever_goes_wrong_while_loading_is_said_and_counted(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise lzma.LZMAError("patient Hans")

    monkeypatch.setattr(live, "_opened", broken)
    holders, present = [Holder("boss", "admin", digest("boss"))], live.current
    with running(live, door=Door(Rate(None), holders)) as found:
        answer = found.client.post("/v1/admin/reload", headers={"authorization": "Bearer boss"})
        content = problem(answer, 409, "bundle-refused")
        assert content["detail"] == "it cannot be opened (LZMAError)."
        failure, refused, _ = found.journal()
        assert (failure["event"], failure["error"]) == ("failure", "LZMAError")
        assert refused["reason"] == content["detail"]
        assert found.counted('pneumoscope_reloads_total{outcome="refused"}') == 1
    assert live.current is present


def test_a_reload_reads_the_tokens_again(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ward, boss = (
        {"authorization": f"Bearer {token}"}
        for token in (new_token(file, "ward"), new_token(file, "boss", scope="admin"))
    )
    with running(live, door=Door(Rate(None), read_tokens(file)), tokens=file) as found:
        assert found.client.get("/v1/model", headers=ward).status_code == 200
        kept = [line for line in file.read_text().splitlines() if "ward" not in line]
        file.write_text("\n".join(kept))
        assert found.client.post("/v1/admin/reload", headers=boss).status_code == 200
        problem(found.client.get("/v1/model", headers=ward), 401, "no-token")
        file.write_text("x y z")
        refused = found.client.post("/v1/admin/reload", headers=boss)
        problem(refused, 409, "tokens-refused")
        assert str(file) not in refused.text + found.log.getvalue()
        assert found.client.get("/v1/model", headers=boss).status_code == 200


def digest(token: str) -> bytes:
    import hashlib

    return hashlib.sha256(token.encode()).digest()


def test_tokens_are_kept_as_hashes(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token, boss = new_token(file, "ward-3"), new_token(file, "boss", scope="admin")
    content = file.read_text()
    assert token not in content
    assert len(token) > 40
    assert file.stat().st_mode & 0o077 == 0
    holders = read_tokens(file)
    assert [(holder.name, holder.scope) for holder in holders] == [
        ("ward-3", "predict"), ("boss", "admin"),
    ]  # fmt: skip
    found = find_holder(holders, boss)
    assert found is not None
    assert found.name == "boss"
    assert find_holder(holders, token[:-1]) is None
    with pytest.raises(Exception, match="'boss' has a token"):
        new_token(file, "boss")
    with pytest.raises(Exception, match="allowed: 1 to 64 letters"):
        new_token(file, "Hans Meier")
    file.write_text(content + "x y z\n")
    with pytest.raises(Exception, match="line 4 is no token"):
        read_tokens(file)


def test_a_new_token_leaves_the_file_to_whom_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    new_token(file, "first")
    file.chmod(0o640)
    known, given = file.stat(), []
    new_token(file, "second")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640

    def owner(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        """As if the file belonged to another user and group."""
        found = real(path, follow_symlinks=follow_symlinks)
        values = list(found)
        if path == file:
            values[stat.ST_UID], values[stat.ST_GID] = known.st_uid + 1, known.st_gid + 2
        return os.stat_result(values)

    real = Path.stat
    monkeypatch.setattr(Path, "stat", owner)
    monkeypatch.setattr(
        os, "chown", lambda path, *who: given.append((stat.S_IMODE(real(path).st_mode), *who))
    )
    new_token(file, "third")
    # Nobody else could read it before it was handed over.
    assert given == [(0o600, known.st_uid + 1, known.st_gid + 2)]
    assert stat.S_IMODE(real(file).st_mode) == 0o640

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    before = file.read_text()
    with pytest.raises(StorageError, match="Run this as its owner"):
        new_token(file, "fourth")
    assert file.read_text() == before


@pytest.fixture(scope="module")
def guarded(live: Live) -> Iterator[Running]:
    holders = [
        Holder("ward", "predict", digest("ward")), Holder("boss", "admin", digest("boss")),
        Holder("busy", "predict", digest("busy")),
    ]  # fmt: skip
    origins = ["https://a.example"]
    door = Door(Rate(20.0, clock=lambda: 0.0), holders, origins=origins)
    with running(live, door=door) as found:
        yield found


def test_only_who_has_a_token_is_answered(guarded: Running, image: bytes) -> None:
    for headers in ({}, {"authorization": "Basic d2FyZA=="}, {"authorization": "Bearer nobody"}):
        answer = guarded.ask(image, headers=headers)
        problem(answer, 401, "no-token")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    ward, boss = ({"authorization": f"Bearer {name}"} for name in ("ward", "boss"))
    assert guarded.ask(image, headers=ward).status_code == 200
    assert guarded.journal()[-1]["token"] == "ward"
    problem(guarded.client.post("/v1/admin/reload", headers=ward), 403, "not-allowed")
    assert guarded.journal()[-1]["token"] == "ward"
    assert guarded.client.post("/v1/admin/reload", headers=boss).status_code == 200
    problem(guarded.client.get("/metrics"), 401, "no-token")
    problem(guarded.client.get("/v1/model"), 401, "no-token")
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200


def test_a_token_has_its_rate(guarded: Running) -> None:
    headers = {"authorization": "Bearer busy"}
    answers = [guarded.client.get("/v1/model", headers=headers) for _ in range(60)]
    refused = [one for one in answers if one.status_code != 200]
    assert 60 - len(refused) >= 40
    problem(refused[0], 429, "too-many-requests")
    assert int(refused[0].headers["retry-after"]) >= 1
    late = [one for one in guarded.journal() if one.get("status") == 429]
    assert {one["token"] for one in late} == {"busy"}
    other = {"authorization": "Bearer ward"}
    assert guarded.client.get("/v1/model", headers=other).status_code == 200


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    rate = Rate(2.0, clock=lambda: now[0])
    for _ in range(4):
        rate.take("a")
    with pytest.raises(Problem):
        rate.take("a")
    rate.take("b")
    now[0] = 0.5
    rate.take("a")
    with pytest.raises(Problem):
        rate.take("a")


def test_room_is_given_back_whatever_happens() -> None:
    room = Room(3, 100, wait=lambda: 2.0)
    with pytest.raises(KeyError), room.visit() as visit:
        visit.take(images=2, size=60)
        with pytest.raises(Problem, match="3 images wait") as caught:
            visit.take(images=1)
        assert caught.value.headers["Retry-After"] == "2"
        with pytest.raises(Problem, match="60 bytes are held; allowed: 100"):
            visit.take(size=41)
        visit.draw(20, most=30)
        with pytest.raises(Problem, match="allowed: 30 bytes of pictures"):
            visit.draw(11, most=30)
        with room.unsent(70):
            assert (room.size, visit.size) == (150, 80)
        raise KeyError
    assert room.images == room.size == 0


def test_a_share_is_held_in_turn_and_given_back() -> None:
    order: list[int] = []

    async def worker(share: Share, number: int, amount: int) -> None:
        async with share.hold(amount):
            order.append(number)
            await asyncio.sleep(0.01)

    async def everybody() -> None:
        share = Share(10)
        late = asyncio.create_task(worker(share, 0, 6))
        await asyncio.sleep(0)
        tasks = [worker(share, 1, 99), worker(share, 2, 1)]
        given_up = asyncio.create_task(worker(share, 3, 10))
        await asyncio.sleep(0.005)
        given_up.cancel()
        await asyncio.gather(late, *tasks)
        assert share._left == 10

    asyncio.run(asyncio.wait_for(everybody(), 5))
    assert order == [0, 1, 2]


def test_pages_of_other_origins_are_not_let_in(guarded: Running) -> None:
    ask = {"access-control-request-method": "POST"}
    good = guarded.client.options("/v1/predictions", headers={"origin": "https://a.example", **ask})
    bad = guarded.client.options("/v1/predictions", headers={"origin": "https://b.example", **ask})
    assert good.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in bad.headers


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"origin": "https://b.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": f"{URL}:8000"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://a.example", "sec-fetch-site": "cross-site"}, True),
        ({"origin": URL}, True),
        ({"sec-fetch-site": "none"}, True),
    ],
)
def test_what_pages_of_other_origins_send_is_refused(
    guarded: Running, image: bytes, headers: dict[str, str], let_in: bool
) -> None:
    answer = guarded.ask(image, headers={"authorization": "Bearer ward", **headers})
    if let_in:
        assert answer.status_code == 200
    else:
        problem(answer, 403, "wrong-origin")
        assert guarded.client.get("/healthz", headers=headers).status_code == 200


def test_without_tokens_only_this_machine_is_answered(odd: Running) -> None:
    rebound = odd.client.get("/v1/model", headers={"host": "evil.example:8000"})
    problem(rebound, 421, "wrong-host")
    for host in ("localhost:8000", "[::1]:8000", "127.0.0.1"):
        assert odd.client.get("/v1/model", headers={"host": host}).status_code == 200
    problem(odd.client.post("/v1/admin/reload"), 403, "not-allowed")
    answer = odd.client.get("/v1/model", headers={"origin": "https://a.example"})
    problem(answer, 403, "wrong-origin")
    assert "access-control-allow-origin" not in answer.headers


def test_every_answer_has_an_id_and_security_headers(odd: Running) -> None:
    given = "0B8F6F0E-7d1b-4c0e-9a39-5f2d9c1f6c11"
    for path in ("/healthz", "/nowhere"):
        answer = odd.client.get(path, headers={"x-request-id": given})
        assert answer.headers["x-request-id"] == given.lower()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert odd.journal()[-1]["request_id"] == given.lower()
    other = odd.client.get("/healthz", headers={"x-request-id": "Hans Meier"})
    assert len(other.headers["x-request-id"]) == 36
    assert "Hans" not in odd.log.getvalue()


def test_a_service_about_to_stop_says_so(odd: Running, image: bytes) -> None:
    odd.service.draining = True
    try:
        assert odd.client.get("/readyz").status_code == 503
        answer = odd.ask(image)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
    finally:
        odd.service.draining = False


def test_a_bundle_that_needs_lung_masks_is_not_served(trained: TrainResult, tmp_path: Path) -> None:
    bundle = open_bundle(trained.bundle)
    bundle.revised(preprocess={**bundle.spec.preprocess, "lungs": "keep"}).save(tmp_path / "b")
    with pytest.raises(BundleError, match="trained with lung masks"):
        Live(tmp_path / "b")


def serve(*arguments: object, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pneumoscope", "serve", *map(str, arguments)]
    with log.open("wb") as file:
        return subprocess.Popen(command, stderr=file)


def address(log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if "Uvicorn running on " in line:
                return line.partition("running on ")[2].split()[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_the_command_stops_gently_and_changes_bundles_on_a_signal(
    trained: TrainResult, image: bytes, tmp_path: Path
) -> None:
    place, log = revised(trained, tmp_path / "bundle", 1.0), tmp_path / "log"
    process = serve(place, "--port", 0, "--decoders", 1, "--drain-seconds", 0.3, log=log)
    try:
        url = address(log)
        revised(trained, place, 3.0)
        process.send_signal(signal.SIGHUP)
        models: set[str] = set()
        with ThreadPoolExecutor(3) as threads:
            asked = [
                threads.submit(asked_until_gone, url, image, models, process) for _ in range(3)
            ]
        answers = [answer for one in asked for answer in one.result()]
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert {answer.status_code for answer in answers} == {200}
    assert not any("server" in answer.headers for answer in answers)
    assert len({answer.json()["model_id"] for answer in answers}) == 2
    text, count = log.read_text(), 4 * len(answers)
    assert '"event": "reloaded"' in text
    # Whatever was read was answered, and every answer came through.
    assert f'"event": "stopped", "accepted": {count}, "answered": {count}' in text
    assert str(tmp_path) not in text


def asked_until_gone(
    url: str, image: bytes, models: set[str], process: subprocess.Popen[bytes]
) -> list[httpx2.Response]:
    """Answers until the service is gone, which is told to stop once a second model answers."""
    answers: list[httpx2.Response] = []
    with httpx2.Client(base_url=url) as client:
        while True:
            try:
                answers.append(client.post("/v1/predictions", files=[("images", image)] * 4))
            except httpx2.TransportError:
                return answers
            before = len(models)
            models.add(answers[-1].json()["model_id"])
            if (before, len(models)) == (1, 2):
                process.send_signal(signal.SIGTERM)


def test_the_command_refuses_to_be_open_to_others(trained: TrainResult, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from pneumoscope.cli.main import app

    runner, file = CliRunner(), tmp_path / "tokens"
    bundle = str(trained.bundle)
    done = runner.invoke(app, ["serve", bundle, "--host", "0.0.0.0"])
    assert done.exit_code == 1
    assert "there are no tokens" in done.stderr
    done = runner.invoke(app, ["serve", bundle, "--tokens", str(file)])
    assert "Make tokens with --new-token" in done.stderr
    done = runner.invoke(app, ["serve", "--tokens", str(file), "--new-token", "ward"])
    assert find_holder(read_tokens(file), done.stdout.strip()) is not None
    done = runner.invoke(app, ["serve", bundle, "--cors", "*"])
    assert "allowed: such as https://example.org" in done.stderr
    done = runner.invoke(app, ["serve", "--new-token", "x"])
    assert "--tokens FILE" in done.stderr
