"""A mirror may do what it likes: the file is right, or it is not there and the error says what each mirror did."""

import gzip
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from striate import durable
from striate.data import download
from striate.data.download import Original, catalogue, fetch, fetch_dataset
from striate.errors import Busy, DatasetError, EnvironmentFault, Offline, UnknownName

CONTENT = os.urandom(5000)
Behaviour = Callable[["Mirror", int], None]  # the request, and how many there were before


class Mirror(BaseHTTPRequestHandler):
    """One request to a server that behaves as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        with server.counting:
            server.asked.append((self.path, self.headers.get("Range")))
            before = sum(path == self.path for path, _ in server.asked) - 1
        self.close_connection = True
        BEHAVIOURS[self.path.strip("/")](self, before)

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, *, cut: int | None = None, **headers: str) -> None:
        """Send headers for the whole body and as much of it as `cut` lets through."""
        self.send_response(status)
        usual = {"Content_Length": str(len(body)), "Content_Type": "application/gzip"}
        for name, value in (usual | headers).items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:cut])

    def start(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(wanted[1]) if wanted else 0

    def part(self, cut: int | None = None) -> None:
        """What a good server sends for the asked range."""
        start = self.start()
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.answer(CONTENT[start:], 206 if start else 200, cut=cut, Content_Range=span if start else "")


def flaky(mirror: Mirror, before: int) -> None:
    mirror.part(cut=None if before == 2 else 1700)


def no_ranges(mirror: Mirror, before: int) -> None:
    mirror.answer(CONTENT, cut=None if before else 2000)


def drip(mirror: Mirror, _: int) -> None:
    mirror.answer(CONTENT, cut=0)
    for byte in CONTENT[:100]:
        mirror.wfile.write(bytes([byte]))
        mirror.wfile.flush()
        time.sleep(0.02)


def silent(mirror: Mirror, _: int) -> None:
    mirror.answer(CONTENT, cut=10)
    mirror.wfile.flush()
    time.sleep(1.0)


def endless(mirror: Mirror, content: bytes) -> None:
    mirror.answer(content, Content_Length="")
    for _ in range(2000):
        mirror.wfile.write(bytes(1 << 16))


def refuse_range(mirror: Mirror, _: int) -> None:
    if mirror.start():
        mirror.answer(b"", 416)
    else:
        mirror.part()


WRONG = bytes(5000)
BEHAVIOURS: dict[str, Behaviour] = {
    "good": lambda m, _: m.part(),
    "flaky": flaky,
    "no_ranges": no_ranges,
    "refuse_range": refuse_range,
    "moved": lambda m, _: m.answer(b"", 302, Location="/good"),
    "no_length": lambda m, _: m.answer(CONTENT, Content_Length=""),
    "cut": lambda m, _: m.answer(CONTENT, cut=1000),
    "empty": lambda m, _: m.answer(CONTENT, cut=0),
    "wrong": lambda m, _: m.answer(WRONG),
    "page": lambda m, _: m.answer(b"<html>Please sign in</html>", Content_Type="text/html; charset=utf-8"),
    "page of the right length": lambda m, _: m.answer(b"<html>".ljust(5000), Content_Type="application/gzip"),
    "long": lambda m, _: m.answer(CONTENT + b"!"),
    "short": lambda m, _: m.answer(CONTENT[:-1]),
    "length lies": lambda m, _: m.answer(CONTENT, Content_Length="99999999999999"),
    "length is no number": lambda m, _: m.answer(CONTENT, Content_Length="many"),
    "zipped": lambda m, _: m.answer(gzip.compress(CONTENT), Content_Encoding="gzip"),
    "says zipped": lambda m, _: m.answer(CONTENT, Content_Encoding="gzip"),
    "wrong part": lambda m, _: m.answer(CONTENT[7:], 206, Content_Range="bytes 7-4999/5000"),
    "endless": lambda m, _: endless(m, b""),
    "endless after the file": lambda m, _: endless(m, CONTENT),
    "drip": drip,
    "silent": silent,
    "missing": lambda m, _: m.answer(b"", 404),
    "broken": lambda m, _: m.answer(b"", 503),
    "to a file": lambda m, _: m.answer(b"", 302, Location="file:///etc/passwd"),
    "to ftp": lambda m, _: m.answer(b"", 301, Location="ftp://127.0.0.1/x"),
    "to nonsense": lambda m, _: m.answer(b"", 302, Location="http://" + "x" * 70 + ".invalid../"),
    "round and round": lambda m, _: m.answer(b"", 302, Location=m.path),
    "not HTTP": lambda m, _: m.wfile.write(b"220 smtp ready\r\n") and None,
    "nothing": lambda m, _: None,
}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    one = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    one.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are part of the plan
    one.asked, one.counting = [], threading.Lock()  # type: ignore[attr-defined]
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wanted(server: ThreadingHTTPServer) -> Callable[..., Original]:
    """The file as it was published, on mirrors of these behaviours."""
    server.asked.clear()  # type: ignore[attr-defined]
    base = f"http://127.0.0.1:{server.server_address[1]}"

    def make(*mirrors: str) -> Original:
        addresses = tuple(f"{base}/{name.replace(' ', '%20')}" for name in mirrors)
        for name in mirrors:
            BEHAVIOURS.setdefault(name.replace(" ", "%20"), BEHAVIOURS[name])
        return Original("file.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), addresses)

    return make


def asked(server: ThreadingHTTPServer) -> list[tuple[str, str | None]]:
    return list(server.asked)  # type: ignore[attr-defined]


GOOD = ["good", "moved", "no_length", "no_ranges", "flaky", "refuse_range", "endless after the file"]


@pytest.mark.parametrize("mirror", GOOD)
def test_a_mirror_that_means_well_gives_the_file(tmp_path: Path, wanted: Callable[..., Original], mirror: str) -> None:
    path = fetch(wanted(mirror), tmp_path / "new" / "folder", timeout_s=5)
    assert path == tmp_path / "new" / "folder" / "file.gz"
    assert path.read_bytes() == CONTENT
    assert sorted(one.name for one in path.parent.iterdir()) == [".lock", "file.gz"]


BAD = {
    "cut": "stopped after 1,000 of 5,000 bytes|IncompleteRead",
    "empty": "stopped after 0|IncompleteRead",
    "wrong": "other bytes than the original's",
    "page": "a web page, not",
    "page of the right length": "other bytes",
    "long": "announces 5001 bytes; expected 5,000",
    "short": "announces 4999 bytes",
    "length lies": "announces 99999999999999 bytes",
    "length is no number": "announces many bytes|expected",
    "zipped": "encoded as 'gzip'",
    "says zipped": "encoded as 'gzip'",
    "wrong part": "sends the part 'bytes 7-4999/5000'|announces 4993",
    "endless": "other bytes",
    "drip": "bytes a second|timed out",
    "silent": "timed out",
    "missing": "HTTP 404",
    "broken": "HTTP 503",
    "to a file": "HTTP 302 .*file:///etc/passwd.* not allowed",
    "to ftp": "redirects to 'ftp://",
    "to nonsense": "not known|label|No address|idna|resolution",
    "round and round": "HTTP 302",
    "not HTTP": "BadStatusLine",
    "nothing": "closed connection|RemoteDisconnected",
}


@pytest.mark.parametrize("mirror", BAD)
def test_a_mirror_that_does_not_is_named_and_leaves_nothing_that_looks_like_the_file(
    tmp_path: Path, wanted: Callable[..., Original], mirror: str
) -> None:
    one = wanted(mirror)
    with pytest.raises(Offline, match=BAD[mirror]) as caught:
        fetch(one, tmp_path, timeout_s=0.25)
    message = str(caught.value)
    assert message.startswith("file.gz (0.0 MB) could not be downloaded. Tried http://127.0.0.1:")
    assert message.endswith(f"put it at {tmp_path / 'file.gz'}")
    assert not (tmp_path / "file.gz").exists()
    part = tmp_path / "file.gz.part"
    assert not part.exists() or CONTENT.startswith(part.read_bytes())


@pytest.mark.parametrize("mirror", BAD)
def test_the_next_mirror_makes_good_what_the_first_one_did(
    tmp_path: Path, wanted: Callable[..., Original], mirror: str
) -> None:
    assert fetch(wanted(mirror, "good"), tmp_path, timeout_s=0.25).read_bytes() == CONTENT


def test_mirrors_that_were_built_to_do_harm_are_all_tested() -> None:
    assert {name for name in BEHAVIOURS if "%" not in name} == {*GOOD, *BAD}


def test_a_download_goes_on_where_it_was_broken_off(
    tmp_path: Path, wanted: Callable[..., Original], server: ThreadingHTTPServer
) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch(wanted("flaky"), tmp_path, timeout_s=5, progress=lambda *now: seen.append(now))
    assert [span for _, span in asked(server)] == [None, "bytes=1700-", "bytes=3400-"]
    assert seen[-1] == ("file.gz", 5000, 5000)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize("cut", [0, 1, 2500, 4999, 5000])
def test_the_next_call_goes_on_from_any_byte(
    tmp_path: Path, wanted: Callable[..., Original], server: ThreadingHTTPServer, cut: int
) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:cut])
    assert fetch(wanted("good"), tmp_path, timeout_s=5).read_bytes() == CONTENT
    assert asked(server) == ([] if cut == 5000 else [("/good", f"bytes={cut}-" if cut else None)])


@pytest.mark.parametrize("rest", [b"?" * 100, b"?" * 5000, b"?" * 6000, CONTENT + b"!"])
@pytest.mark.parametrize("mirror", ["good", "no_ranges", "refuse_range"])
def test_what_an_earlier_call_left_behind_is_not_believed(
    tmp_path: Path, wanted: Callable[..., Original], rest: bytes, mirror: str
) -> None:
    (tmp_path / "file.gz.part").write_bytes(rest)
    assert fetch(wanted(mirror), tmp_path, timeout_s=5).read_bytes() == CONTENT


def test_a_file_that_is_there_and_right_is_not_asked_for(
    tmp_path: Path, wanted: Callable[..., Original], server: ThreadingHTTPServer
) -> None:
    (tmp_path / "file.gz").write_bytes(CONTENT)
    fetch(wanted("good"), tmp_path)
    assert asked(server) == []


@pytest.mark.parametrize("other", [b"", b"mine", WRONG])
def test_another_file_of_that_name_is_left_alone(tmp_path: Path, wanted: Callable[..., Original], other: bytes) -> None:
    (tmp_path / "file.gz").write_bytes(other)
    with pytest.raises(DatasetError, match=r"file\.gz: another file than the original"):
        fetch(wanted("good"), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == other


def test_two_at_once_fetch_it_once(
    tmp_path: Path, wanted: Callable[..., Original], server: ThreadingHTTPServer
) -> None:
    one, found = wanted("good"), []
    threads = [threading.Thread(target=lambda: found.append(fetch(one, tmp_path).read_bytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert len(asked(server)) == 1


def test_patience_with_another_process_ends(tmp_path: Path, wanted: Callable[..., Original]) -> None:
    with durable.lock(tmp_path), pytest.raises(Busy, match="another process"):
        fetch(wanted("good"), tmp_path, patience_s=0.2)


def test_a_closed_door_is_a_plain_sentence(tmp_path: Path) -> None:
    one = Original("x.gz", 3, "0" * 64, ("http://127.0.0.1:9/x.gz", "http://127.0.0.1:1/x.gz"))
    with pytest.raises(
        Offline, match=r"127\.0\.0\.1:9/x\.gz: Connection refused; http://127\.0\.0\.1:1/x\.gz: Connection"
    ):
        fetch(one, tmp_path, timeout_s=2)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/etc/passwd"])
def test_an_address_that_is_not_http_is_not_opened(tmp_path: Path, address: str) -> None:
    with pytest.raises(Offline, match="unknown url type"):
        fetch(Original("x", 3, "0" * 64, (address,)), tmp_path)


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path, wanted: Callable[..., Original]) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="could not make this folder"):
        fetch(wanted("good"), tmp_path / "file" / "folder")
    (tmp_path / "file.gz.part").mkdir()
    with pytest.raises(EnvironmentFault, match=r"file\.gz\.part: could not be written"):
        fetch(wanted("good"), tmp_path, timeout_s=5)


def test_nothing_is_written_through_a_link(tmp_path: Path, wanted: Callable[..., Original]) -> None:
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "file.gz.part").symlink_to(tmp_path / "precious")
    with pytest.raises(EnvironmentFault, match="a link"):
        fetch(wanted("good"), tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_a_full_disk_is_named_and_what_is_there_is_kept(
    tmp_path: Path, wanted: Callable[..., Original], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:2000])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"file\.gz\.part: could not be written \(No space left"):
        fetch(wanted("good"), tmp_path)
    assert not (tmp_path / "file.gz").exists()
    assert CONTENT.startswith((tmp_path / "file.gz.part").read_bytes())


# ---- the catalogue


def test_the_catalogue_is_complete_and_in_form() -> None:
    assert set(catalogue()) == {"mnist", "fashion_mnist", "cifar10", "cifar100"}
    files = [one for entry in catalogue().values() for one in entry.files]
    assert len({one.sha256 for one in files}) == len(files) == 10
    for one in files:
        assert re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.size > 1000
        assert one.mirrors
        assert all(re.fullmatch(r"https?://[^ ]+/" + re.escape(one.name), mirror) for mirror in one.mirrors)
    assert all(entry.terms for entry in catalogue().values())


def test_the_catalogue_knows_the_originals_that_are_at_hand(shared: Path) -> None:
    """The training images there were packed again: the same images in another file."""
    for one in catalogue()["mnist"].files:
        content = (shared / "data" / "mnist" / one.name).read_bytes()
        same = hashlib.sha256(content).hexdigest() == one.sha256
        assert same == (len(content) == one.size) == (one.name != "train-images-idx3-ubyte.gz")


def test_all_files_of_a_set_are_fetched(
    tmp_path: Path, wanted: Callable[..., Original], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = wanted("good")
    two = Original("other.gz", one.size, one.sha256, one.mirrors)
    monkeypatch.setattr(download, "catalogue", lambda: {"both": download.Entry((one, two), "none")})
    assert [path.name for path in fetch_dataset("both", tmp_path)] == ["file.gz", "other.gz"]
    with pytest.raises(UnknownName, match="did you mean 'both'"):
        fetch_dataset("bth", tmp_path)


PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.mark.parametrize("path", ["good", "flaky", "no_ranges", "refuse_range", "moved"])
def test_a_file_of_unknown_length_is_as_long_as_its_mirror_says(
    wanted: Callable[..., Original], path: str, tmp_path: Path
) -> None:
    one = replace(wanted(path), size=None, sha256=PREFIX)
    assert fetch(one, tmp_path, timeout_s=2).read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["no_length", "length is no number", "length lies", "cut"])
def test_a_length_that_nobody_says_or_nobody_believes_is_refused(
    wanted: Callable[..., Original], path: str, tmp_path: Path
) -> None:
    one = replace(wanted(path), size=None, sha256=PREFIX)
    with pytest.raises(Offline):
        fetch(one, tmp_path, timeout_s=2)
    assert not (tmp_path / one.name).exists()


@pytest.mark.parametrize("known", ["prefix", "md5", "nothing"])
@pytest.mark.parametrize("path", ["good", "wrong"])
def test_a_part_of_a_hash_and_an_md5_are_compared_too(
    wanted: Callable[..., Original], path: str, known: str, tmp_path: Path
) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest() if known == "md5" else ""
    one = replace(wanted(path), size=None, sha256=PREFIX if known == "prefix" else "", md5=md5)
    if path == "good" or known == "nothing":  # with nothing to compare with, the first bytes are taken
        assert fetch(one, tmp_path, timeout_s=2) == fetch(one, tmp_path, timeout_s=2)
    else:
        with pytest.raises(Offline, match="other bytes than the original's"):
            fetch(one, tmp_path, timeout_s=2)


DIGEST = hashlib.sha256(CONTENT).hexdigest()


def of_unknown_hash(original: Original) -> Original:
    return replace(original, size=None, sha256="")


def test_the_hash_of_a_file_whose_publisher_states_none_is_written_down(
    wanted: Callable[..., Original], tmp_path: Path
) -> None:
    fetch(of_unknown_hash(wanted("good")), tmp_path, timeout_s=2)
    assert (tmp_path / "file.gz.sha256").read_text() == f"{DIGEST}  file.gz\n"  # `sha256sum -c` reads it
    fetch(wanted("good"), tmp_path / "known", timeout_s=2)
    assert not (tmp_path / "known" / "file.gz.sha256").exists()


def test_a_file_that_somebody_put_there_is_noted_too(wanted: Callable[..., Original], tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(CONTENT)
    fetch(of_unknown_hash(wanted("missing")), tmp_path, timeout_s=2)
    assert (tmp_path / "file.gz.sha256").read_text().startswith(DIGEST)


def test_a_file_that_has_changed_since_it_came_is_refused(wanted: Callable[..., Original], tmp_path: Path) -> None:
    one = of_unknown_hash(wanted("good"))
    fetch(one, tmp_path, timeout_s=2)
    (tmp_path / "file.gz").write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"file\.gz: other bytes than those that came first.*file\.gz\.sha256"):
        fetch(one, tmp_path, timeout_s=2)
    (tmp_path / "file.gz").unlink()
    assert fetch(one, tmp_path, timeout_s=2).read_bytes() == CONTENT


def test_other_bytes_at_the_second_download_are_refused_until_the_note_is_removed(
    wanted: Callable[..., Original], tmp_path: Path
) -> None:
    fetch(of_unknown_hash(wanted("good")), tmp_path, timeout_s=2).unlink()
    changed = of_unknown_hash(wanted("wrong"))
    with pytest.raises(Offline, match=r"those that came first.*file\.gz\.sha256; remove it"):
        fetch(changed, tmp_path, timeout_s=2)
    assert not (tmp_path / "file.gz").exists()
    (tmp_path / "file.gz.sha256").unlink()
    assert fetch(changed, tmp_path, timeout_s=2).read_bytes() == WRONG


def test_the_next_mirror_makes_good_bytes_that_are_not_those_that_came_first(
    wanted: Callable[..., Original], tmp_path: Path
) -> None:
    fetch(of_unknown_hash(wanted("good")), tmp_path, timeout_s=2).unlink()
    assert fetch(of_unknown_hash(wanted("wrong", "good")), tmp_path, timeout_s=2).read_bytes() == CONTENT


@pytest.mark.parametrize("note", [b"", b"abc  file.gz\n", b"\xff\xfe", b"0" * 65])
def test_a_damaged_note_is_named(wanted: Callable[..., Original], tmp_path: Path, note: bytes) -> None:
    (tmp_path / "file.gz.sha256").write_bytes(note)
    with pytest.raises(DatasetError, match=r"file\.gz\.sha256: does not begin with a SHA-256"):
        fetch(of_unknown_hash(wanted("good")), tmp_path, timeout_s=2)
