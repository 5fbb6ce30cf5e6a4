"""Cells of a terminal: the quick way says what rich says."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, set_cell_size

from ebtop.ui.cells import _ONE_EACH, cells, cut

PIECES = st.sampled_from(["a", "Z ", *"·…▲│⣿é½", "世界", "e\u0301", "👩\u200d🔧", "\u00ad", "\u200b"])
TEXTS = st.lists(PIECES, max_size=12).map("".join)


def test_each_character_of_the_quick_way_takes_one_cell() -> None:
    quick = [chr(n) for n in range(sys.maxunicode + 1) if _ONE_EACH(chr(n))]
    assert len(quick) > 1000
    assert {c for c in quick if cell_len(c) != 1} == set()


@given(TEXTS)
def test_cells(text: str) -> None:
    assert cells(text) == cell_len(text)


@given(TEXTS, st.integers(0, 12))
def test_what_is_cut_has_the_width_that_is_asked_for(text: str, width: int) -> None:
    if cell_len(text) > width:
        assert cut(text, width) == set_cell_size(text, width)
    else:
        assert cut(text, width) == text
