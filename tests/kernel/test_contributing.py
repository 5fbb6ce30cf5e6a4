"""The probe that CONTRIBUTING.md adds really is one: its two files are taken from there and run."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ebtop import probes
from ebtop.export.ndjson import to_json
from ebtop.kernel import compiler
from ebtop.session import LiveSource
from ebtop.store.records import EventRecord, Record

_ROOT = Path(__file__).resolve().parents[2]


def _block(language: str) -> str:
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def test_the_probe_in_contributing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(_ROOT / "bpf", tmp_path / "bpf")
    (tmp_path / "bpf" / "signals.c").write_text(_block("c"), encoding="utf-8")
    module_file = tmp_path / "signals_probe.py"
    module_file.write_text(_block("python"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("signals_probe", module_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(compiler, "source_directory", lambda: tmp_path / "bpf")
    monkeypatch.setitem(probes.REGISTRY, "signals", module.SignalsProbe)

    records: list[Record] = []
    source = LiveSource(("signals",))
    source.start(lambda batch: records.extend(batch.records))
    deadline = time.monotonic() + 60
    while source.health().probes[0].state == "loading" and time.monotonic() < deadline:
        time.sleep(0.02)
    with subprocess.Popen(["sleep", "60"]) as child:
        child.send_signal(signal.SIGUSR2)
    proofs = source.close()

    assert source.failures == {}
    sent = [r for r in records if isinstance(r, EventRecord) and ("to_pid", child.pid) in r.fields]
    assert [dict(r.fields)["signal"] for r in sent] == [signal.SIGUSR2]
    line = json.loads(to_json(sent[0]))
    assert (line["type"], line["to_pid"]) == ("signal", child.pid)
    assert [proof.remaining_ids for proof in proofs] == [()]
