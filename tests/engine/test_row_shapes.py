"""Where a prompt may be cut."""

from __future__ import annotations

import pytest

from hivellm_lite.engine.row_shapes import GROUPED, PLAIN, RowShape, row_shape

SHAPES = [PLAIN, GROUPED, RowShape(grain=4, least=8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_fresh", [1, 3, 40])
def test_parts_end_at_the_grain_and_none_is_too_small(shape, n_fresh):
    for n_prompt in range(1, 300):
        for n_shared in {0, n_prompt // 3, n_prompt - 9, n_prompt - 1, n_prompt} - {-1, -5}:
            place = shape.n_reusable(max(0, n_shared), n_prompt, n_fresh)
            while place < n_prompt:
                assert place % shape.grain == 0
                n = shape.n_next(place, n_prompt - place, 128, n_fresh)
                assert n >= min(shape.least, n_prompt)
                last = n
                place += n
            assert place == n_prompt
            assert last >= min(n_fresh, n_prompt)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_virtual", [1, 7, 8, 20, 130])
def test_virtual_tokens_are_cut_like_a_prompt_of_their_own(shape, n_virtual):
    for n_tokens in (1, 2, 9, 40, 200):
        n_prompt = n_virtual + n_tokens
        for n_shared in {0, 3, n_virtual - 1, n_virtual, n_virtual + 5, n_prompt}:
            place = shape.n_reusable(min(n_shared, n_prompt), n_prompt, n_virtual=n_virtual)
            assert place <= n_shared
            while place < n_prompt:
                start, end = (0, n_virtual) if place < n_virtual else (n_virtual, n_prompt)
                assert (place - start) % shape.grain == 0
                n = shape.n_next(place, n_prompt - place, 128, n_virtual=n_virtual)
                assert n >= min(shape.least, end - start)
                place += n
                assert place <= end
            assert place == n_prompt


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_soft_prompt_is_reused(shape):
    assert shape.n_reusable(5, 50, n_virtual=5) == 5
    assert shape.n_reusable(9, 10, n_virtual=9) == 9


@pytest.mark.parametrize("shape", SHAPES)
def test_too_little_room_gives_nothing_rather_than_other_kernels(shape):
    assert shape.n_next(0, 100, shape.least - 1) == 0
    assert shape.n_next(0, shape.least, shape.least) == shape.least


def test_a_part_never_leaves_one_row_behind():
    assert PLAIN.n_next(0, 129, 128) == 127
    assert GROUPED.n_next(0, 129, 128) == 120


def test_kernels_that_group_rows_are_known_by_type_and_processor():
    assert row_shape({"F32", "Q4_1", "Q8_0"}, "x86_64") == PLAIN
    assert row_shape({"F32", "Q4_K"}, "x86_64") == GROUPED
    assert row_shape({"F32", "Q4_0"}, "AMD64") == GROUPED
    assert row_shape({"F32"}, "aarch64") == GROUPED
    assert row_shape({"F32"}, "cuda") == GROUPED
