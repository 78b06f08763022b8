"""Which prompt goes into which slot."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from harken.llm.slots import Slots, common


def test_texts_begin_alike() -> None:
    assert common("abcd", "abxd") == 2 and common("", "a") == 0 and common("ab", "ab") == 2


def read_all(slots: Slots, prompts: list[str]) -> list[tuple[int, str]]:
    """Every prompt read in one slot, all waiting at once while a first one holds it; in order of reading."""
    order: list[tuple[int, str]] = []
    with slots.slot_for("the first") as (slot, _):
        threads = [threading.Thread(target=_read, args=(slots, prompt, order)) for prompt in prompts]
        for thread in threads:
            thread.start()
        while len(slots._waiting) < len(prompts):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert slot == 0
    return order


def _read(slots: Slots, prompt: str, order: list[tuple[int, str]]) -> None:
    with slots.slot_for(prompt) as (slot, _):
        order.append((slot, prompt))


def test_prompts_that_begin_alike_follow_each_other() -> None:
    prompts = ["English: one", "中文：一", "English: two", "中文：二", "English: three"]
    order = [prompt[:2] for _, prompt in read_all(Slots(1), prompts)]
    assert order in (["En"] * 3 + ["中文"] * 2, ["中文"] * 2 + ["En"] * 3)


def test_a_prompt_goes_where_its_beginning_was_read() -> None:
    slots = Slots(2)
    for prompt in ("English: one", "中文：一"):  # the second goes where nothing is lost
        with slots.slot_for(prompt):
            pass
    with slots.slot_for("中文：二") as (chinese, read), slots.slot_for("English: two") as (english, _):
        assert read == len("中文：")
        assert {chinese, english} == {0, 1}
        assert slots._last[chinese] == "中文：二" and english != chinese
    with slots.slot_for("English: three") as (again, read):
        assert again == english and read == len("English: t")


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.integers(1, 3))
def test_every_prompt_is_read_once(prompts: list[str], count: int) -> None:
    slots, order = Slots(count), list[tuple[int, str]]()
    threads = [threading.Thread(target=_read, args=(slots, prompt, order)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(prompt for _, prompt in order) == sorted(prompts)
    assert slots._free == set(range(count)) and not slots._waiting
