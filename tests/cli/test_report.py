"""`striate report`: one page, one line, and errors that help."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_a_page_and_one_line(striate: Command, small_run: Path, digit_files: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "page.html", sorted(digit_files.iterdir())[:2]
    said = striate("report", small_run, *images, "-o", out, "--no-check")
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {out} (0.")
    assert f"{images[0].name}: " in said.out
    page = out.read_text(encoding="utf-8")
    assert "What small sees in 2 images" in page
    assert all(image.name in page for image in images)
    assert str(tmp_path) not in page
    assert str(digit_files) not in page


def test_without_a_name_it_is_report_html_and_nothing_is_written_over(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = sorted(digit_files.iterdir())[0]
    (tmp_path / "report.html").write_text("mine")
    said = striate("report", small_run, image)
    assert (said.code, said.out) == (2, "")
    assert "report.html is there already; name another page with -o FILE.html" in said.err
    assert (tmp_path / "report.html").read_text() == "mine"
    (tmp_path / "report.html").unlink()
    assert striate("report", small_run, image, "--no-check").code == 0
    assert (tmp_path / "report.html").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("-o", "page.pdf"), 2, "a page of the form '.pdf'; this one is an .html"),
        (("-o", "page"), 2, "a page of the form '(none)'"),
        (("--class", "ten"), 2, "no class is called 'ten'"),
        (("missing.png",), 4, "missing.png"),
    ],
)
def test_mistakes_are_told_with_what_was_expected(
    words: tuple[str, ...], code: int, expected: str, striate: Command, small_run: Path, digit_files: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = striate("report", small_run, sorted(digit_files.iterdir())[0], *words, "--no-check")
    assert said.code == code
    assert expected in said.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_told(striate: Command, digit_files: Path) -> None:
    image = sorted(digit_files.iterdir())[0]
    said = striate("report", "mobilenet_v2", image, "-o", "page.html")
    assert said.code == 2
    assert "which weights?" in said.err
