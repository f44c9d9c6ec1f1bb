"""Error codes, for logs."""

import pytest

from gateway.http2 import error_name
from gateway.http2.errors import ENHANCE_YOUR_CALM


@pytest.mark.parametrize(("code", "name"), [(0, "NO_ERROR"), (8, "CANCEL"), (0xD, "HTTP_1_1_REQUIRED"), (0xE, "0xe")])
def test_codes_have_names_and_may_be_any_number(code: int, name: str) -> None:
    assert error_name(code) == name
    assert error_name(0xFFFFFFFF) == "0xffffffff"
    assert error_name(ENHANCE_YOUR_CALM) == "ENHANCE_YOUR_CALM"
