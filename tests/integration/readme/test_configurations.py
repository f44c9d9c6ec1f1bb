"""The configurations of README.md are read, and the keys that it names exist."""

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import check
from gateway.settings import Settings, parse
from gateway.settings.outline import sections
from tests.integration.readme.page import INLINE, ROOT, YAML, Block, codes, section
from tests.support.certificates import authority, leaf, write_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file that a configuration in README.md names."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "protos").mkdir()
    signer = authority()
    for name in ("server", "client"):
        write_pair(tmp_path / "tls", *leaf(signer, f"{name}.internal"), stem=name)
    for name in ("ca", "clients"):
        (tmp_path / "tls" / f"{name}.pem").write_bytes(signer.pem)
    descriptors = FileDescriptorSet()
    service = descriptors.file.add(name="shop.proto", package="shop.v1").service.add(name="Orders")
    for name in ("GetOrder", "ListOrders"):
        service.method.add(name=name, input_type=".shop.v1.A", output_type=".shop.v1.A")
    (tmp_path / "protos" / "shop.binpb").write_bytes(descriptors.SerializeToString())
    return tmp_path


def complete(piece: str) -> str:
    """A piece of a configuration in the place of the same sections of the complete one."""
    whole = re.split(r"^(?=\w+:)", YAML[0].text, flags=re.MULTILINE)
    own = set(re.findall(r"^(\w+):", piece, re.MULTILINE))
    return "".join(part for part in whole if part.partition(":")[0] not in own) + piece


@pytest.mark.parametrize("block", YAML, ids=lambda block: f"line {block.line}")
def test_every_configuration_is_fine(block: Block, folder: Path) -> None:
    settings = parse(complete(block.text), folder, {"INTROSPECTION_SECRET": "x", "REDIS_PASSWORD": "x"})
    assert check.run(settings, offline=True) == []


def test_the_first_configuration_is_complete_and_the_contract_has_all_keys(folder: Path) -> None:
    assert parse(YAML[0].text, folder, {}).upstreams.keys() == {"shop"}
    contract = yaml.safe_load((ROOT / "gateway.example.yaml").read_text())
    assert all(yaml.safe_load(block.text).keys() <= contract.keys() for block in YAML)


def test_keys_in_the_text_exist() -> None:
    keys = {f"{path}.{name}".lstrip(".") for path, one in sections() for name in one.model_fields}
    named = [text for text in INLINE if re.fullmatch(r"[a-z_]+(\[\]|\.\*)?(\.[a-z_]+(\[\]|\.\*)?)+", text)]
    ours = [text for text in named if re.split(r"[.\[]", text)[0] in Settings.model_fields]
    assert len(ours) > 20
    assert [text for text in ours if text not in keys] == []


def test_nothing_that_works_is_called_unsupported() -> None:
    built = {*Settings.model_fields} | {name for _, one in sections() for name in one.model_fields}
    named = {word for code in codes(section("Limits of this version")) for word in re.findall(r"^\w+|otlp", code)}
    assert named & built == {"transport"}
