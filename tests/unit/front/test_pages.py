"""Static pages: what is in the folder, and nothing else."""

from pathlib import Path

import pytest

from gateway.front.pages import static_pages
from gateway.request import Answer, Pages, RequestHead


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    (tmp_path / "index.html").write_text("<p>hello")
    (tmp_path / "app.js").write_text("export {}")
    (tmp_path / ".hidden").write_text("secret")
    (tmp_path / "foreign.html").write_text("<p>frame")
    return static_pages(tmp_path, connect=("https://issuer.test",), data={"demo.json": {"issuer": None}})


def get(pages: Pages, target: bytes, *headers: tuple[bytes, bytes]) -> Answer | None:
    return pages(RequestHead("GET", target, list(headers), "127.0.0.1", b"http"))


def test_files_by_name_and_index_at_the_root(pages: Pages) -> None:
    root, script = get(pages, b"/"), get(pages, b"/app.js?v=1")
    assert root is not None
    assert script is not None
    assert root.body == b"<p>hello"
    assert dict(script.headers)[b"content-type"] == b"text/javascript; charset=utf-8"
    config = get(pages, b"/demo.json")
    assert config is not None
    assert config.body == b'{"issuer": null}'


@pytest.mark.parametrize(
    "target", [b"/.hidden", b"/../pages.py", b"/%2e%2e/x", b"//index.html", b"/index.html/", b"/INDEX.HTML", b"*"]
)
def test_nothing_else(pages: Pages, target: bytes) -> None:
    assert get(pages, target) is None


def test_protection(pages: Pages) -> None:
    page, frame = get(pages, b"/"), get(pages, b"/foreign.html")
    assert page is not None
    assert frame is not None
    policy = dict(page.headers)[b"content-security-policy"]
    assert b"script-src 'self';" in policy
    assert b"unsafe" not in policy
    assert b"connect-src 'self' https://issuer.test;" in policy
    assert policy.endswith(b"frame-ancestors 'none'")
    assert dict(frame.headers)[b"content-security-policy"].endswith(b"frame-ancestors 'self'")


def test_an_unchanged_page_is_not_sent_again(pages: Pages) -> None:
    page = get(pages, b"/")
    assert page is not None
    etag = dict(page.headers)[b"etag"]
    again = get(pages, b"/", (b"if-none-match", etag))
    assert again is not None
    assert (again.status, again.body) == (304, b"")
