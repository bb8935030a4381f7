"""Texts of others in Prefect's keys and pages."""

from __future__ import annotations

import re

import pytest
from prefect.assets import Asset
from prefect_oxiflow.texts import address_of, asset_key, escaped, link_text, plain, slug

HOSTILE = "[a](javascript:alert(1)) <img src=x onerror=alert(1)> **b** `c` | d\n# e https://evil.example"


def test_every_sign_of_markdown_is_behind_a_backslash_and_all_is_on_one_line() -> None:
    text = escaped(HOSTILE)
    assert "\n" not in text
    assert re.sub(r"\\[!-/:-@\[-`{-~]", "", text).replace(" ", "").isalnum()
    assert re.sub(r"\\(.)", r"\1", text) == plain(HOSTILE)


def test_texts_are_cut_and_control_signs_are_gone() -> None:
    assert len(plain("x" * 10_000)) == 300
    assert plain("a\x1b[31mb\u202ec\x00d\r\ne") == "a [31mb c d  e"


@pytest.mark.parametrize(
    ("name", "key"),
    [("late_flights", "late-flights"), ("pipelines/Orders.yaml", "orders"), ("../a/b.yml", "b"), ("ÄÖ", "f9a3c7")],
)
def test_keys_of_artifacts_have_lowercase_letters_digits_and_dashes(name: str, key: str) -> None:
    made = slug(name)
    assert re.fullmatch(r"[a-z0-9-]+", made)
    assert made.startswith(key) or not name.isascii()


def test_an_address_holds_no_sign_that_ends_a_link() -> None:
    assert address_of("/a b/(c)>[d].csv") == "file:///a%20b/%28c%29%3E%5Bd%5D.csv"
    assert address_of("s3://bucket/a b") == "s3://bucket/a%20b"


def test_the_text_of_a_link_is_a_path_where_it_is_one_and_never_markup() -> None:
    assert link_text("/srv/out/late_flights-2026.csv") == "/srv/out/late_flights-2026.csv"
    assert re.findall(r"(?<!\\)[\[\]<>*`|]", link_text(HOSTILE)) == []
    assert link_text("_a_ b_c") == r"\_a\_ b_c"


def test_outputs_become_keys_that_prefect_takes() -> None:
    assert asset_key("/srv/out/orders.csv", "orders") == "file:///srv/out/orders.csv"
    assert asset_key("public.orders", "orders") == "oxiflow://orders/public.orders"
    assert asset_key("s3://bucket/orders", "orders") == "s3://bucket/orders"
    strange = [asset_key(f"/srv/{name}", "p") for name in (HOSTILE, "a b", "a?b", "x" * 2000, "a%20b")]
    assert len({Asset(key=key).key for key in strange}) == len(strange)
