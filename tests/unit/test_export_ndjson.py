from __future__ import annotations

import json

import pytest

from ebtop.export.ndjson import JsonLines, to_json
from ebtop.store.containers import Container
from ebtop.store.records import Frame, Record
from tests.unit.record_makers import at, connect, exec_, exit_, retransmit, stack, tcp, unseen_end

LINES = {
    "exec": (
        exec_(0, 4711, "ls -l", parent_comm="bash", cgroup="/a", args_truncated=3)._replace(time_ns=at(0) + 123456789),
        '{"type":"exec","time":"2026-11-22T14:00:00.123456789Z","pid":4711,"comm":"ls","uid":1000,"cgroup":"/a",'
        '"container":null,"pod":null,"ppid":1,"ret":0,"args":["ls","-l"],"args_truncated":3,"filename":"/bin/prog",'
        '"parent_comm":"bash"}',
    ),
    "failed exec": (
        exec_(0, 5, "", comm="sh", ret=-2, uid=None, cgroup=None),
        '{"type":"exec","time":"2026-11-22T14:00:00.000000000Z","pid":5,"comm":"sh","uid":null,"cgroup":null,'
        '"container":null,"pod":null,"ppid":1,"ret":-2,"args":[],"args_truncated":0,"filename":"/bin/prog",'
        '"parent_comm":"sh"}',
    ),
    "exit": (
        exit_(1, 5, 0.25, signal=11, core_dumped=True),
        '{"type":"exit","time":"2026-11-22T14:00:01.000000000Z","pid":5,"comm":"prog","uid":1000,'
        '"cgroup":"/user.slice","container":null,"pod":null,"exit_code":0,"signal":11,"duration_s":0.25,"ppid":1,'
        '"core_dumped":true}',
    ),
    "end that was not seen": (
        unseen_end(1, 5),
        '{"type":"exit","time":"2026-11-22T14:00:01.000000000Z","pid":5,"comm":"prog","uid":1000,'
        '"cgroup":"/user.slice","container":null,"pod":null,"exit_code":null,"signal":null,"duration_s":null,"ppid":1,'
        '"core_dumped":null}',
    ),
    "tcp": (
        tcp("close", 1, tx_bytes=7, rx_bytes=8, duration_s=1.5, error="ECONNRESET", reset="peer", retransmits=2),
        '{"type":"tcp","time":"2026-11-22T14:00:01.000000000Z","pid":300,"comm":"curl","uid":1000,'
        '"cgroup":"/user.slice","container":null,"pod":null,"event":"close","ip":4,"saddr":"10.0.0.1","sport":40000,'
        '"daddr":"10.0.0.2","dport":443,"state":"ESTABLISHED","tx_bytes":7,"rx_bytes":8,"duration_s":1.5,'
        '"direction":"out","netns":4026531840,"owner":"exact","error":"ECONNRESET","reset":"peer","retransmits":2}',
    ),
    "tcp of an unknown owner": (
        tcp("live", 1, pid=0, comm="", uid=None, cgroup=None, owner="unknown", duration_s=None, direction=None),
        '{"type":"tcp","time":"2026-11-22T14:00:01.000000000Z","pid":null,"comm":null,"uid":null,'
        '"cgroup":null,"container":null,"pod":null,"event":"live","ip":4,"saddr":"10.0.0.1","sport":40000,'
        '"daddr":"10.0.0.2","dport":443,"state":"ESTABLISHED","tx_bytes":0,"rx_bytes":0,"duration_s":null,'
        '"direction":null,"netns":4026531840,"owner":"unknown","error":null,"reset":null,"retransmits":0}',
    ),
    "retransmit": (
        retransmit(1, 12, "fast", ip=6, saddr="::1", daddr="::2"),
        '{"type":"retransmit","time":"2026-11-22T14:00:01.000000000Z","pid":300,"comm":"curl","uid":1000,'
        '"cgroup":"/user.slice","container":null,"pod":null,"ip":6,"saddr":"::1","sport":40000,"daddr":"::2",'
        '"dport":443,"state":"ESTABLISHED","segments":12,"kind":"fast","netns":4026531840,"owner":"exact"}',
    ),
    "connect": (
        connect(1, "refused", 0.5, error="ECONNREFUSED"),
        '{"type":"connect","time":"2026-11-22T14:00:01.000000000Z","pid":300,"comm":"curl","uid":1000,'
        '"cgroup":"/user.slice","container":null,"pod":null,"ip":4,"daddr":"10.0.0.2","dport":443,"latency_ms":0.5,'
        '"result":"refused","saddr":"10.0.0.1","sport":40000,"error":"ECONNREFUSED","netns":4026531840}',
    ),
    "stack": (
        stack(1, "main", "work", samples=49, complete=False, cut="stack not readable"),
        '{"type":"stack","time":"2026-11-22T14:00:01.000000000Z","pid":100,"comm":"prog","uid":1000,"cgroup":null,'
        '"container":null,"pod":null,"kind":"cpu","count":49,"frames":["main","work"],"complete":false,'
        '"cut":"stack not readable","thread":"prog"}',
    ),
    "stack of a named thread": (
        stack(1, "main", thread="worker"),
        '{"type":"stack","time":"2026-11-22T14:00:01.000000000Z","pid":100,"comm":"prog","uid":1000,"cgroup":null,'
        '"container":null,"pod":null,"kind":"cpu","count":1,"frames":["main"],"complete":true,"cut":null,'
        '"thread":"worker"}',
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_line(case: str) -> None:
    record, line = LINES[case]
    assert to_json(record) == line


def test_idle_task_has_a_pid() -> None:
    fields = json.loads(to_json(stack(1, "idle", pid=0, comm="swapper/0")))
    assert (fields["pid"], fields["comm"]) == (0, "swapper/0")


@pytest.mark.parametrize("text", ['a"b\\c', "\\x1b[31m", "naïve 名前", "\u2028", "</script>"])
def test_any_text_comes_back_as_it_was_from_one_ascii_line(text: str) -> None:
    records: list[Record] = [
        exec_(1, comm=text, filename=text)._replace(args=(text, "")),
        stack(1, comm=text, frames=(Frame(text, "native", text),)),
    ]
    for record in records:
        line = to_json(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["comm"] == text
    assert json.loads(to_json(records[0]))["args"] == [text, ""]
    assert json.loads(to_json(records[1]))["frames"] == [text]


def test_time_keeps_every_nanosecond() -> None:
    record = exit_(0)._replace(time_ns=1_000_000_001)
    assert json.loads(to_json(record))["time"] == "1970-01-01T00:00:01.000000001Z"


class Lookup:
    """Containers by cgroup; a test changes what is known."""

    def __init__(self, **known: Container) -> None:
        self.known = known

    def __call__(self, cgroup: str | None) -> Container | None:
        return self.known.get(cgroup or "")


@pytest.mark.parametrize(
    ("container", "name", "pod"),
    [
        (Container("docker", "ab" * 32, "web", None, None), "web", None),
        (Container("docker", "ab" * 32, None, None, None), "ab" * 32, None),
        (Container("containerd", "ab" * 32, "app", "app-1", "shop"), "app", "app-1"),
        (Container("lxc", "db", "db", None, None), "db", None),
        (Container("systemd", "ssh.service", "ssh.service", None, None), None, None),
    ],
)
def test_container_and_pod(container: Container, name: str | None, pod: str | None) -> None:
    line = JsonLines(Lookup(place=container)).line
    fields = json.loads(line(exec_(0, cgroup="place")))
    assert (fields["cgroup"], fields["container"], fields["pod"]) == ("place", name, pod)
    fields = json.loads(line(exec_(0, cgroup=None)))
    assert (fields["cgroup"], fields["container"], fields["pod"]) == (None, None, None)


def test_a_name_that_comes_later_is_in_later_lines() -> None:
    unnamed = Container("docker", "ab" * 32, None, None, None)
    lookup = Lookup(place=unnamed)
    lines = JsonLines(lookup)
    assert json.loads(lines.line(exec_(0, cgroup="place")))["container"] == "ab" * 32
    lookup.known["place"] = unnamed._replace(name="web")
    assert json.loads(lines.line(exec_(0, cgroup="place")))["container"] == "web"


def test_what_is_kept_of_cgroups_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.export.ndjson._MAX_PLACES", 10)
    lines = JsonLines()
    for number in range(100):
        assert f'"cgroup":"/{number}"' in lines.line(exec_(0, cgroup=f"/{number}"))
    assert len(lines._places) <= 10
