"""Where an engine is, as its URL says."""

from __future__ import annotations

import pytest

from realtime.log.hot.address import Address


def test_a_url_says_where_the_engine_is_and_how_to_get_in() -> None:
    assert Address.parse("redis://engine.example") == Address(host="engine.example", port=6379)
    assert Address.parse("rediss://us%40er:p%2Fw%20@[::1]:6380/2", verify=False) == Address(
        host="::1", port=6380, user="us@er", password="p/w ", db=2, tls=True, verify=False
    )
    assert Address.parse("redis://:hidden@h").password == "hidden"


def test_neither_label_nor_repr_has_the_password() -> None:
    address = Address.parse("redis://user:hidden@[::1]:6380")
    assert address.label == "[::1]:6380"
    assert "hidden" not in repr(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hidden", "begin with redis://"),
        ("redis://", "names no host"),
        ("redis://hidden:0", "names no host or port"),
        ("redis://:hid/den@host", "percent-encode"),
        ("redis://host:hidden", "percent-encode"),
        ("redis://host/hidden", "/DB"),
        ("redis://host?hidden=3", "a database is /DB"),
        ("redis://host/1#hidden", "a database is /DB"),
    ],
)
def test_a_wrong_url_is_told_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        Address.parse(url)
    assert "hid" not in str(refused.value)
