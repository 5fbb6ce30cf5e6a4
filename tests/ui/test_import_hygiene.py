"""What a start must not pay for."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(code: str) -> set[str]:
    """The modules loaded in a fresh interpreter after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["ebtop.ui.app", "ebtop.ui.live"])
def test_the_ui_imports_nothing_it_may_never_need(module: str) -> None:
    loaded = modules_after(f"import {module}")
    unwanted = {"plotext", "pyperclip", "psutil", "bcc", "textual.widgets._markdown", "markdown_it", "ebtop.kernel"}
    assert loaded & unwanted == set()


def test_the_way_in_does_not_wait_for_textual() -> None:
    loaded = modules_after("import ebtop.ui.app")
    assert "textual" not in loaded
    assert "rich" not in loaded


@pytest.mark.parametrize(
    "module", ["ebtop.store.source", "ebtop.store.rows", "ebtop.store.flame_tree", "ebtop.store.store"]
)
def test_the_store_draws_nothing(module: str) -> None:
    assert modules_after(f"import {module}") & {"textual", "rich", "ebtop.ui"} == set()
