"""Imports run downward, without a circle; rooms name their surface and keep their private modules.

All imports count: those at the top of a module, within functions, and for type checkers only.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import spacy_embtune

PACKAGE = Path(spacy_embtune.__file__).parent
NAME = PACKAGE.name

# From top to bottom: a room imports only from itself and from lower floors. Rooms of one floor do
# not import each other. A module of the top floor of the package is a room of its own.
FLOORS = [
    {"cli"},
    {"inspection", "app"},
    {"labelling"},
    {"tuning", "distillation", "embed", "plots"},
    {"reports"},
    {"finetune"},
    {"pipeline"},
    {"semi_supervised"},
    {"training"},
    {"heads", "losses", "encoder", "data"},
    {"metrics"},
    {"labels"},
    {"types"},
    {"_extras", "_files", "_progress", "_texts", "_threads", "about"},
]
MOST_FILES_ON_TOP = 8


class Import(NamedTuple):
    """One module of the package imports another."""

    importer: str
    imported: str
    line: int


def name_of(path: Path, package: Path) -> str:
    """RETURNS (str): The module of a file, relative to the package: "heads.linear", "heads" for
    its `__init__`, "" for that of the package."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def read_imports(package: Path) -> list[Import]:
    """RETURNS (list[Import]): All imports within a package, wherever they stand in a module."""
    modules = {name_of(path, package) for path in package.rglob("*.py")}
    found = []
    for path in sorted(package.rglob("*.py")):
        importer = name_of(path, package)
        here = path.relative_to(package).parent.parts
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            for target in targets_of(node, here, package.name):
                # `from .heads import linear` imports a module, `... import Linear` a name in one.
                while target and target not in modules:
                    target = target.rpartition(".")[0]
                if target != importer:
                    found.append(Import(importer, target, node.lineno))
    return found


def targets_of(node: ast.AST, here: tuple[str, ...], name: str) -> Iterator[str]:
    """YIELDS (str): What a statement imports from the package, as dotted paths below it."""
    if isinstance(node, ast.Import):
        paths = [alias.name.split(".") for alias in node.names]
        yield from (".".join(path[1:]) for path in paths if path[0] == name)
    elif isinstance(node, ast.ImportFrom):
        module = node.module.split(".") if node.module else []
        if node.level:
            start = [*here[: len(here) - node.level + 1], *module]
        elif module[0] == name:
            start = module[1:]
        else:
            return
        yield from (".".join([*start, alias.name]) for alias in node.names)


def find_circles(imports: list[Import]) -> list[list[str]]:
    """RETURNS (list[list[str]]): The groups of modules that import each other in a circle."""
    below: dict[str, set[str]] = {}
    for one in imports:
        below.setdefault(one.importer, set()).add(one.imported)

    def reach(start: str) -> set[str]:
        reached: set[str] = set()
        waiting = list(below.get(start, ()))
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting.extend(below.get(module, ()))
        return reached

    reached = {module: reach(module) for module in below}
    groups = {
        tuple(sorted({other for other in reached[module] if module in reached.get(other, ())}))
        for module in below
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def find_upward(imports: list[Import], floors: list[set[str]]) -> list[Import]:
    """RETURNS (list[Import]): Imports of another room that is not on a lower floor. Rooms without a
    floor count as upward."""
    floor_of = {room: i for i, rooms in enumerate(floors) for room in rooms}

    def is_upward(one: Import) -> bool:
        importer, imported = (module.split(".")[0] for module in one[:2])
        if importer == imported or importer == "":
            return False
        if imported not in floor_of or importer not in floor_of:
            return True
        return floor_of[imported] <= floor_of[importer]

    return [one for one in imports if is_upward(one)]


def find_intruders(imports: list[Import], package: Path) -> list[Import]:
    """RETURNS (list[Import]): Imports of a private module from outside of its folder. The private
    modules of the package itself belong to all of its rooms."""
    found = []
    for one in imports:
        parts = one.imported.split(".")
        private = next((i for i, part in enumerate(parts) if part.startswith("_")), None)
        if private:
            folder = ".".join(parts[:private])
            if one.importer != folder and not one.importer.startswith(f"{folder}."):
                found.append(one)
    return found


IMPORTS = read_imports(PACKAGE)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert find_circles(IMPORTS) == []


def test_imports_run_downward() -> None:
    assert find_upward(IMPORTS, FLOORS) == []


def test_private_modules_are_imported_in_their_folder_only() -> None:
    assert find_intruders(IMPORTS, PACKAGE) == []


def test_every_room_has_a_floor() -> None:
    rooms = {name_of(path, PACKAGE).split(".")[0] for path in PACKAGE.rglob("*.py")} - {""}
    assert rooms <= set().union(*FLOORS)


def test_few_files_lie_on_the_top_floor() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_FILES_ON_TOP


def folders() -> list[Path]:
    return sorted({path.parent for path in PACKAGE.rglob("*.py")})


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_every_folder_names_its_surface(folder: Path) -> None:
    tree = ast.parse((folder / "__init__.py").read_text("utf8"))
    targets = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in targets


# What these checks find


def write_package(folder: Path, files: dict[str, str]) -> Path:
    """RETURNS (Path): A package `house` of these files."""
    for name, content in files.items():
        path = folder / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        (path.parent / "__init__.py").touch()
    return folder / "house"


HOUSE = {
    "low/a.py": "import numpy\nfrom ..base import x\n",
    "low/_private.py": "",
    "high/b.py": "from ..low import a\n",
    "base.py": "x = 1\n",
}
HOUSE_FLOORS = [{"high"}, {"low"}, {"base"}]


def test_a_house_in_order_has_no_finding(tmp_path: Path) -> None:
    package = write_package(tmp_path, HOUSE)
    imports = read_imports(package)
    assert {one[:2] for one in imports} == {("low.a", "base"), ("high.b", "low.a")}
    assert find_circles(imports) == []
    assert find_upward(imports, HOUSE_FLOORS) == []
    assert find_intruders(imports, package) == []


@pytest.mark.parametrize(
    "code",
    [
        "from ..high import b\n",
        "from ..high.b import name\n",
        "from house.high import b\n",
        "import house.high.b\n",
        "def f():\n    from ..high.b import name\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..high.b import name\n",
    ],
)
def test_an_import_upward_is_found_and_so_is_the_circle(tmp_path: Path, code: str) -> None:
    imports = read_imports(write_package(tmp_path, {**HOUSE, "low/a.py": code}))
    assert [one[:2] for one in find_upward(imports, HOUSE_FLOORS)] == [("low.a", "high.b")]
    assert find_circles(imports) == [["high.b", "low.a"]]


def test_a_room_without_a_floor_and_rooms_of_one_floor_are_found(tmp_path: Path) -> None:
    package = write_package(tmp_path, {**HOUSE, "new/c.py": "from ..base import x\n"})
    imports = read_imports(package)
    assert [one.importer for one in find_upward(imports, HOUSE_FLOORS)] == ["new.c"]
    assert [one.importer for one in find_upward(imports, [{"high", "low", "new"}, {"base"}])] == [
        "high.b"
    ]


@pytest.mark.parametrize("code", ["from ..low import _private\n", "from ..low._private import x\n"])
def test_an_import_of_a_private_module_is_found(tmp_path: Path, code: str) -> None:
    package = write_package(tmp_path, {**HOUSE, "high/b.py": code, "low/c.py": "from . import a\n"})
    found = find_intruders(read_imports(package), package)
    assert [one[:2] for one in found] == [("high.b", "low._private")]
