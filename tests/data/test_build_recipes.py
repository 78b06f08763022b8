"""Build recipes: what shapes rows, what a wrong one is told, and those that ship."""

from __future__ import annotations

import json
import re

import pytest

from harken.data.build_recipes import BUILD_RECIPES, build_recipe, difference, parse, read_recipe, shaping
from harken.data.steps import STEPS, step_config
from harken.errors import RecipeError

FIELDS = {
    "name": "mine",
    "sources": [{"name": "ultrachat", "path": "queries"}],
    "llms": {"teacher": {"kind": "server", "url": "http://localhost/v1", "model": "m"}},
    "steps": ["respond", {"step": "multi_turn", "share": 0.2}],
}


def test_a_recipe_is_read_from_yaml_and_json_alike(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(FIELDS))
    (tmp_path / "r.yaml").write_text(
        "name: mine\nsources: [{name: ultrachat, path: queries}]\n"
        "llms: {teacher: {kind: server, url: http://localhost/v1, model: m}}\n"
        "steps:\n- respond\n- step: multi_turn\n  share: 0.2\n"
    )
    read = build_recipe(str(tmp_path / "r.yaml"))
    assert read == read_recipe(tmp_path / "r.json") == parse(FIELDS, "here")
    assert [step.step for step in read.steps] == ["respond", "multi_turn"]
    assert parse(read.dump(), "again") == read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, r"^here: colour: there is no such field$"),
        ({"name": None}, r"^here: name: .*string"),
        ({"sources": []}, r"^here: sources: .*at least 1"),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, r"^here: sources: .*named twice"),
        ({"sources": [{"name": "a", "share": 2}]}, r"^here: sources\[0\]\.share: "),
        ({"llms": {"t": {"kind": "server"}}}, r"^here: llms\.t: .*needs a url"),
        ({"steps": ["sing"]}, r"^here: steps\[0\]: there is no step 'sing'$"),
        (
            {"steps": ["respond", {"step": "speak", "volume": 3}]},
            r"^here: steps\[1\] \(speak\): volume: ",
        ),
        (
            {"steps": [{"step": "instruct", "voices": "many"}]},
            r"^here: steps\[0\] \(instruct\): voices: ",
        ),
        ({"steps": [7]}, r"^here: steps\[0\]: each step is an object"),
        ({"steps": "respond"}, r"^here: steps: is no list$"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line_where(changes, message):
    with pytest.raises(RecipeError) as error:
        parse(FIELDS | changes, "here")
    assert re.search(message, error.value.message), error.value.message
    assert "\n" not in error.value.message


def test_what_is_no_recipe_at_all(tmp_path):
    for name, text in (("a.json", "{"), ("a.yaml", "a: [\n"), ("b.yaml", "- a")):
        (tmp_path / name).write_text(text)
        with pytest.raises(RecipeError, match=re.escape(str(tmp_path / name))) as error:
            read_recipe(tmp_path / name)
        assert "\n" not in error.value.message
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="no build recipe 'nothing'"):
        build_recipe("nothing")


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({"name": "other", "about": "x", "notes": ["y"]}, False),
        ({"sources": [{"name": "ultrachat", "path": "elsewhere", "optional": True}]}, False),
        ({"steps": ["respond", {"step": "multi_turn", "share": 0.2, "workers": 9, "gpus": 1}]}, False),
        ({"llms": {"teacher": {"kind": "server", "url": "http://b/v1", "model": "m", "tries": 2}}}, False),
        ({"llms": {"teacher": {"kind": "server", "url": "http://localhost/v1", "model": "n"}}}, True),
        ({"steps": ["respond", {"step": "multi_turn", "share": 0.3}]}, True),
        ({"steps": ["respond"]}, True),
        ({"seed": 1}, True),
        ({"rows_per_shard": 7}, True),
        ({"shippable_only": False}, True),
        ({"sources": [{"name": "ultrachat", "limit": 7}]}, True),
    ],
)
def test_the_digest_is_of_what_shapes_rows(changes, shapes):
    assert (parse(FIELDS | changes, "").digest != parse(FIELDS, "").digest) == shapes


def test_a_difference_names_each_field():
    old, new = parse(FIELDS, "").dump(), parse(FIELDS | {"seed": 3, "steps": ["respond"]}, "").dump()
    lines = difference(shaping(old), shaping(new))
    assert "seed: 0 -> 3" in lines and any(line.startswith("steps: [") for line in lines)
    assert difference(old, old) == []


@pytest.mark.parametrize("name", BUILD_RECIPES)
def test_recipes_that_ship_survive_their_own_dump(name):
    recipe = build_recipe(name)
    assert recipe.name == name and recipe.about
    assert parse(recipe.dump(), name) == recipe
    order = list(STEPS)
    of_rows = [step.step for step in recipe.steps if "source" not in getattr(step, "tasks", ())]
    places = [order.index(name) for name in of_rows]
    assert places == sorted(places), "steps stand in the order of a build, but for queries that are spoken"
    named = {llm for step in recipe.steps if (llm := getattr(step, "llm", None))}
    assert named <= set(recipe.llms)


def test_sources_of_recipes_are_known():
    from harken.data.sources import SOURCES

    for name in BUILD_RECIPES:
        assert {source.name for source in build_recipe(name).sources} <= set(SOURCES)


def test_the_papers_published_sizes():
    recipe = build_recipe("paper")
    steps = {step.step: step for step in recipe.steps}
    assert {source.name for source in recipe.sources} == {
        "emilia", "wenetspeech4tts", "gigaspeech", "belle", "ultrachat", "libriheavy",
    }  # fmt: skip
    assert (steps["instruct"].per_task, steps["instruct"].voices) == (500, 50)
    assert (steps["multi_turn"].share, steps["multi_turn"].turns) == (0.4, (2, 3, 4))
    assert recipe.llms["teacher"].model == "Qwen/Qwen3-8B" and steps["label"].labeler.kind == "emotion2vec"
    assert any("Not published" in note for note in recipe.notes)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_where_the_table_says(name):
    assert step_config(name).model_fields["step"].default == name
