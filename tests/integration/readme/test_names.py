"""The files, links and languages that README.md names are there."""

import re

import pytest

from tests.integration.readme.page import BLOCKS, INLINE, ROOT, TEXT

OTHERS_FILES = {  # of the reader's own
    *("gateway.yaml", "gateway.schema.json", "conf/", "tls/server.pem", "tls/server.key", "tls/client.pem"),
    *("orders_pb.js", ".venv", "envoy.yaml", "envoy-secrets/"),
}


def test_the_languages_of_blocks_are_known() -> None:
    assert {block.language for block in BLOCKS} == {"console", "text", "yaml", "js", "python"}
    assert all(
        line.startswith("$ ") for block in BLOCKS if block.language == "console" for line in block.text.splitlines()
    )
    assert [block.text.splitlines()[0].split()[0] for block in BLOCKS if block.language == "text"] == [
        "The",  # test_steps.py: test_the_demonstration_prints_the_sample
        "gateway.yaml:13:",  # test_steps.py: test_check_tells_the_sample
    ]


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    anchors = {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not file or (ROOT / file).exists(), target
        assert not anchor or anchor in anchors, target


def test_named_files_exist() -> None:
    looks = re.compile(r"[\w./-]+\.(?:py|md|yaml|js|json|txt|svg|pem|key|toml)|[\w.-]+/[\w./-]*|\.\w+")
    named = {text for text in INLINE if looks.fullmatch(text) and not re.match(r"/|application/|tests/browser$", text)}
    missing = {text for text in named - OTHERS_FILES if not (ROOT / text).exists()}
    assert {text for text in missing if not text.startswith(("shop.v1", "@", "grpc.health.v1", "pkg."))} == set()
    assert {"web/grpc-web.js", "tests/support/dockerfile", ".ci/run"} <= named


def test_only_the_figures_are_left_to_fill_in() -> None:
    assert re.findall(r"<!-- .* -->", TEXT) == ["<!-- figures -->", "<!-- /figures -->"]
    assert not re.search(r"TODO|FIXME|TBD|coming soon", TEXT)
