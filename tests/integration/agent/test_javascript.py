"""A function in JavaScript on a real board, by every way that a job and a module have."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.integration.cli.command import ROOT, waspi
from tests.integration.updates.device.rig import Rig
from waspi.fleet.client import Client
from waspi.model.abi import SCRIPT_ABI, Abi
from waspi.model.job import Job
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.model.release import GoldenPair
from waspi.model.result import ModuleOrigin
from waspi.model.state import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.agent.conftest import AgentMaker
    from tests.simulators.agent_process import Publisher
    from tests.simulators.mosquitto import Mosquitto

MEAN = b"""export const waspi = { encoding: "json" };
export default function ({ readings }, context) {
  if (!readings.length) throw new RangeError("no readings");
  return { mean: readings.reduce((a, b) => a + b, 0) / readings.length, by: context.device, as: context.module };
}
"""


def test_every_way_to_a_function_in_javascript(
    make_agent: AgentMaker, publisher: Publisher, broker: Mosquitto, tmp_path: Path
) -> None:
    script = tmp_path / "mean.js"
    script.write_bytes(MEAN)
    make_agent(rest=f'[modules.mean]\npath = "{script}"\nversion = "1.2.0"\n').start()
    publisher.until_online()

    # Inline, then by its digest.
    publisher.send(Job("inline", InlineModule(MEAN), (b'{"readings":[1,2]}',), abi=SCRIPT_ABI))
    first = publisher.result("inline")
    assert first.error is None
    assert [json.loads(output) for output in first.outputs] == [{"mean": 1.5, "by": "pi-1"}]
    assert first.usage.module is ModuleOrigin.COMPILED
    digest = hashlib.sha256(MEAN).hexdigest()
    assert first.module == f"sha256:{digest}"
    publisher.send(Job("digest", DigestModule(digest), (b'{"readings":[3]}',), abi=SCRIPT_ABI))
    second = publisher.result("digest")
    assert json.loads(second.outputs[0])["mean"] == 3
    assert second.usage.module is ModuleOrigin.WARM

    # By the name that the configuration gives it; a description that forgets the format does not make it Wasm.
    publisher.send(Job("named", NamedModule("mean"), (b'{"readings":[4]}',)))
    publisher.send(Job("described", NamedModule("mean"), (b'{"readings":[5]}',), abi=Abi(input="readings")))
    assert json.loads(publisher.result("named").outputs[0]) == {"mean": 4, "by": "pi-1", "as": "mean"}
    assert json.loads(publisher.result("described").outputs[0])["mean"] == 5

    # The plain topic.
    command = ["mosquitto_rr", "-V", "5", "-p", str(broker.port), "-q", "1", "-W", "20", "-t"]
    command += ["waspi/v1/default/device/pi-1/run/mean", "-e", "reply/rr", "-m", '{"readings":[6]}']
    assert json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["mean"] == 6

    # What goes wrong is told, with the place, and the next job runs.
    publisher.send(Job("throws", NamedModule("mean"), (b'{"readings":[]}',)))
    failed = publisher.result("throws")
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error.kind, failed.error.fault) == ("exception", "guest")
    assert failed.error.message.startswith("RangeError: no readings at ")
    assert "(main.js:3:" in failed.error.message
    publisher.send(Job("no-json", NamedModule("mean"), (b"{",)))
    refused = publisher.result("no-json")
    assert refused.error is not None
    assert (refused.error.kind, refused.error.fault) == ("bad-input", "publisher")

    # The operator's own way: a file.
    with Client(broker.url) as fleet:
        assert json.loads(fleet.run("pi-1", script, b'{"readings":[7]}', timeout=30).outputs[0])["mean"] == 7


def test_the_first_example_of_the_readme(
    make_agent: AgentMaker, publisher: Publisher, broker: Mosquitto, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    script, session = re.search(r"```js\n(// mean\.js\n.*?)```\n\n```console\n(.*?)```", text, re.DOTALL).groups()  # type: ignore[union-attr]
    (tmp_path / "mean.js").write_text(script)
    make_agent().start()
    publisher.until_online()
    here = {"mean.js": str(tmp_path / "mean.js"), "pi-7": "pi-1"}
    seen = []
    for command, expected in re.findall(r"^\$ waspi ([^#\n]+?) *(?:#.*)?\n(.*)$", session, re.MULTILINE):
        arguments = [here.get(word, word) for word in shlex.split(command)]
        done = waspi(*arguments, home=tmp_path, env={"WASPI_BROKER": broker.url})
        assert (done.code, done.text.strip()) == (0, expected), done.err
        seen.append(arguments[0])
    assert seen == ["run", "push"]


def test_a_script_is_released_tried_and_taken_back_like_any_module(tmp_path: Path) -> None:
    first = b"export default (text) => text + '<1.0.0>'"
    with Rig(tmp_path) as rig:
        rig.desk.release("1.0.0", wasm=first, abi=SCRIPT_ABI)
        rig.depot()
        rig.agent(updates="trial_jobs = 1\n").start()
        rig.watcher.until_state("1.0.0", "TRIAL")
        assert rig.watcher.run("one").outputs == (b"x<1.0.0>",)
        rig.watcher.until_state("1.0.0", "ACTIVE")
        wrong = (GoldenPair(b"in", b"what it does not give"),)
        rig.desk.release("2.0.0", wasm=b"export default () => 'other'", abi=SCRIPT_ABI, golden=wrong)
        failed = rig.watcher.until_state("2.0.0", "FAILED")
        assert "golden pair 1 of 1" in (failed.reason or "")
        assert rig.watcher.run("two").outputs == (b"x<1.0.0>",)
