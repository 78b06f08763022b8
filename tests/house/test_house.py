"""The rules of the house, as far as a program can check them: light imports, small files, arrows that run
downwards, nothing of the machine it was made on, and a wheel that holds what the checkout holds.
"""

import ast
import hashlib
import importlib.metadata as metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "harken"
MODULES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

LEAVES = {"audio", "affect", "weights", "voices", "llm"}
BASE = {"errors", "processor", "recipes"}
CHECKPOINTS = {"tensors", "unit_checkpoint", "checkpoint"}
BELOW_STAGES = BASE | LEAVES | CHECKPOINTS | {"model", "dialogue", "api", "__init__"}
STAGES = {"data", "training", "evaluation", "serving"}

# What each room (or module beside the rooms) may import besides itself. Among the stages any arrow is allowed
# while no modules form a circle. Nothing imports `testing`, the fakes.
MAY_IMPORT = {
    "errors": set[str](),
    "processor": set[str](),
    "recipes": {"errors"},
    **{leaf: {"errors"} for leaf in LEAVES},
    "voices": {"errors", "weights"},  # a voice fetches its own weights,
    "llm": {"errors", "processor", "weights"},  # and so does an embedded language model
    "model": BASE | {"audio", "affect"},
    "dialogue": BASE | LEAVES | {"model"},
    "tensors": set[str](),
    "unit_checkpoint": BASE | LEAVES | {"model", "tensors"},
    "checkpoint": BASE | LEAVES | {"model", "tensors", "unit_checkpoint"},
    "api": BASE | LEAVES | CHECKPOINTS | {"model", "dialogue"},
    "testing": BELOW_STAGES,
    **dict.fromkeys(STAGES, BELOW_STAGES | STAGES),
    "trained": set[str](),
    "bench": BELOW_STAGES | STAGES,
    "cli": BELOW_STAGES | STAGES | {"bench"},
    "__main__": {"cli"},
    "__init__": {"api", "dialogue", "errors", "recipes"},
}
NO_BUSINESS_OF_MODEL = {
    "http",
    "requests",
    "urllib",
    "socket",
    "subprocess",
    "huggingface_hub",
    "soundfile",
    "lhotse",
}


def room_of(module: Path) -> str:
    """`src/harken/model/think.py` → `model`, `src/harken/cli.py` → `cli`."""
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


ROOMS = {room_of(module) for module in MODULES}


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


@cache
def imports(source: str) -> tuple[str, ...]:
    """The full dotted names that a module imports, wherever in it."""
    names: list[str] = []
    for node in nodes(source):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def rooms(source: str) -> set[str]:
    """The rooms that a module imports from; `import harken` and `from harken import load` are `__init__`."""
    names = [name.split(".")[1:2] for name in imports(source) if name.split(".")[0] == "harken"]
    return {name[0] if name and name[0] in ROOMS else "__init__" for name in names}


def long_functions(source: str, limit: int = 50) -> list[str]:
    """Functions of `limit` lines or more, with their lengths."""
    functions = [n for n in nodes(source) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {f"{f.name} (line {f.lineno})": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    return [f"{name}: {lines} lines" for name, lines in lengths.items() if lines >= limit]


def machine_paths(text: str) -> list[str]:
    """Absolute paths that exist on one machine only."""
    return re.findall(r"(?<![\w.~}/-])/(?:work|root|tmp|home|opt)(?=/|\b)[^\s\"'`)]*", text)


def shipped_texts() -> Iterator[Path]:
    for place in ("src", "tests", "docs", "examples", ".ci"):
        yield from (path for path in (ROOT / place).rglob("*") if path.suffix in TEXT or path.name == "run")
    yield from (p for p in ROOT.iterdir() if p.is_file() and (p.suffix in TEXT or p.suffix == ""))


TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".jsonl", ".html", ".js", ".css", ".sh"}


def run_python(code: str, *options: str, path: Path = ROOT / "src", cwd: Path = ROOT) -> str:
    """What `code` prints in a fresh interpreter that finds Harken under `path` first."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_checks_see_what_they_look_for() -> None:
    assert rooms(
        "import harken\nfrom harken.model.think import Think\nimport harken.data.rows\nimport os"
    ) == {
        "__init__",
        "model",
        "data",
    }
    assert rooms("def f():\n    from harken import errors") == {"errors"}
    assert long_functions("class A:\n    def f(self):\n" + "        x = 1\n" * 49) == ["f (line 2): 50 lines"]
    assert long_functions("def f():\n" + "    x = 1\n" * 48) == []
    there, not_there = "/" + "work/main", "src/" + "work/x, ~/" + "tmp, https://a.b/" + "root"
    assert machine_paths(f"see {there}/a.py and '{there}'") == [f"{there}/a.py", there]
    assert machine_paths(not_there) == []


def test_import_harken_is_light() -> None:
    loaded = set(json.loads(run_python("import harken, json, sys; print(json.dumps(sorted(sys.modules)))")))
    assert "harken" in loaded
    assert not loaded & {
        "torch",
        "transformers",
        "onnxruntime",
        "scipy",
        "sklearn",
        "soundfile",
        "numpy",
        "tyro",
    }


@pytest.mark.parametrize("name", ["torchaudio", "torchvision", "torchcodec"])
def test_forbidden_package_is_not_installed(name: str) -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution(name)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SOURCE)))
def test_module_keeps_the_house_rules(module: Path) -> None:
    source = module.read_text(encoding="utf-8")
    room, taken = room_of(module), rooms(source)
    assert len(source.splitlines()) < 400
    assert long_functions(source) == []
    assert room in MAY_IMPORT, f"say in MAY_IMPORT (and docs/architecture.md) what {room} may import"
    assert taken - {room} <= MAY_IMPORT[room], "an arrow that runs upwards or sideways"
    if room == "model":
        assert not {name.split(".")[0] for name in imports(source)} & NO_BUSINESS_OF_MODEL
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), "a module opens with what it is for"


def test_modules_form_no_circle() -> None:
    dotted = {".".join(module.relative_to(SOURCE.parent).with_suffix("").parts): module for module in MODULES}
    arrows = {}
    for name, module in dotted.items():
        taken = {
            part for n in imports(module.read_text(encoding="utf-8")) for part in (n, n.rpartition(".")[0])
        }
        arrows[name] = taken & set(dotted)
    circle: list[str] = []
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        circle = error.args[1][::-1]
    assert circle == [], f"modules import each other in a circle: {' → '.join(circle)}"


def test_nothing_shipped_names_a_machine() -> None:
    found = {
        str(path.relative_to(ROOT)): paths
        for path in shipped_texts()
        if (paths := machine_paths(path.read_text(encoding="utf-8")))
    }
    assert found == {}
    beside = [m for m in MODULES if "../shared" in m.read_text(encoding="utf-8")]
    assert beside == [], "what ships may not need the development corpora"


def declared(*extras: str) -> dict[str, Requirement]:
    """The requirements of the base install and of `extras`, by canonical name."""
    lines = [
        *PROJECT["dependencies"],
        *(line for e in extras for line in PROJECT["optional-dependencies"][e]),
    ]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def test_every_import_is_declared() -> None:
    """What a module takes from another package is in pyproject: a fresh install has it."""
    owners = metadata.packages_distributions()
    known = declared(*(extra for extra in PROJECT["optional-dependencies"] if extra != "dev"))
    undeclared = set()
    for module in MODULES:
        for name in {name.split(".")[0] for name in imports(module.read_text(encoding="utf-8"))}:
            ours = name == "harken" or name in sys.stdlib_module_names
            if not ours and not any(canonicalize_name(owner) in known for owner in owners.get(name, [name])):
                undeclared.add(f"{module.relative_to(SOURCE)}: {name}")
    assert undeclared == set()


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    versions: dict[str, str] = {canonicalize_name(name): version for name, version in pins.items()}
    for name, requirement in declared(*PROJECT["optional-dependencies"]).items():
        assert name in versions, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(versions[name]), f"{requirement} refuses {versions[name]}"
    assert not {"torchaudio", "torchvision", "torchcodec"} & set(versions)


def test_extras_named_in_errors_exist() -> None:
    named = set()
    for module in MODULES:
        for node in nodes(module.read_text(encoding="utf-8")):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "MissingExtra"
            ):
                named |= {argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)}
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the built wheel installed into it."""
    pytest.importorskip("hatchling", reason="building the wheel needs hatchling (extra dev)")
    built, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    for command in (
        ["hatchling", "build", "--target", "wheel", "--directory", str(built)],
        ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), "harken"],
    ):
        extra = ["--find-links", str(built)] if command[0] == "pip" else []
        done = subprocess.run(
            [sys.executable, "-m", *command, *extra], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return site


def test_wheel_holds_every_file_of_the_package(installed_wheel: Path) -> None:
    def contents(package: Path) -> dict[str, str]:
        files = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {str(p.relative_to(package)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    in_checkout, in_wheel = contents(SOURCE), contents(installed_wheel / "harken")
    assert in_wheel == in_checkout
    trained = [name for name in in_wheel if name.startswith("trained/")]
    assert sum((SOURCE / name).stat().st_size for name in trained) <= 60e6
    folders = {str(Path(name).parent) for name in trained if name.endswith(".safetensors")}
    assert all(f"{folder}/card.md" in in_wheel for folder in folders), "trained parts go with a card"


def test_wheel_imports_away_from_the_checkout(installed_wheel: Path, tmp_path: Path) -> None:
    code = """
import importlib.metadata, json, harken
from importlib.resources import files
from harken import recipes, errors
parts = sorted(p.name for p in files("harken").joinpath("trained", "mini").iterdir()) if PARTS else []
print(json.dumps([harken.__file__, importlib.metadata.version("harken"), harken.__version__, parts]))
"""
    parts = sorted(p.name for p in (SOURCE / "trained" / "mini").glob("*") if p.name != "__pycache__")
    printed = run_python(code.replace("PARTS", str(bool(parts))), "-P", path=installed_wheel, cwd=tmp_path)
    where, version, reported, in_wheel = json.loads(printed)
    assert Path(where).is_relative_to(installed_wheel)
    assert version == reported
    assert [name for name in in_wheel if name != "__pycache__"] == parts
