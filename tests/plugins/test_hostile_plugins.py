"""Plugins that hang, end the process or leave threads: named, left out, and no command waits for them."""

from __future__ import annotations

import time

import pytest
from distributions import Site
from test_broken_plugins import GOOD, HOOK

STUCK = "import time\nwhile True:\n    try: time.sleep(1)\n    except Exception: pass"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """With one good plugin, and a cache of its own."""
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    site.add("a-good", GOOD.format(name="a_good.still") + HOOK)
    return site


def components(site):
    return site.run("-m", "pixelflow", "components", "sampler")


@pytest.mark.parametrize("where", ["module", "hook"])
def test_one_that_hangs_is_named_and_given_up(site, monkeypatch, where):
    monkeypatch.setenv("PIXELFLOW_PLUGIN_TIMEOUT", "7")
    hook = "from pixelflow import hookimpl\n@hookimpl\ndef register_components():\n"
    site.add("stuck", STUCK if where == "module" else hook + "    " + STUCK.replace("\n", "\n    "))
    done = components(site)
    assert done.returncode == 0
    assert "a_good.still" in done.stdout
    named, left_out = (line for line in done.stderr.splitlines() if "stuck (dist_stuck 1.2)" in line)
    assert "still importing plugin" in named
    assert "is left out: it has not ended after 7 s" in left_out
    assert "stuck: " in done.stdout


@pytest.mark.parametrize("death", ["os._exit(3)", "os.kill(os.getpid(), 11)"])
@pytest.mark.parametrize("where", ["module", "hook"])
def test_one_that_ends_the_process_is_named_by_the_next_command(site, death, where):
    hook = f"import os\nfrom pixelflow import hookimpl\n@hookimpl\ndef register_components():\n    {death}\n"
    site.add("deadly", f"import os\n{death}" if where == "module" else hook)
    assert components(site).returncode != 0
    for _ in range(2):  # as long as it does so
        done = components(site)
        assert done.returncode == 0
        assert "a_good.still" in done.stdout
        why = "exit code 3" if "exit" in death else "signal 11"
        assert f"plugin deadly is left out: it ends the process that imports it ({why})" in done.stderr
        assert "deadly: " in done.stdout
    (site.path / "deadly.py").write_text(
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): return []"
    )
    assert "deadly" not in components(site).stderr


def test_a_command_that_was_killed_while_it_imported_costs_the_plugin_nothing(site, tmp_path):
    site.add("slow", GOOD.format(name="slow.still") + HOOK)
    kill = "import os, sys\nfrom pixelflow.core import plugin_watch\n"
    kill += "with plugin_watch.marked('slow', 'slow'): os.kill(os.getpid(), 9)"
    assert site.run("-c", kill).returncode == -9
    assert len(list((tmp_path / "cache/plugins").iterdir())) == 1
    done = components(site)
    assert "slow.still" in done.stdout
    assert "slow" not in done.stderr
    assert not list((tmp_path / "cache/plugins").iterdir())


def test_a_thread_that_is_left_does_not_keep_the_process(site):
    code = "import threading, time\nthreading.Thread(target=lambda: time.sleep(250), name='poller').start()\n"
    site.add("busy", code + "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): return []")
    begun = time.monotonic()
    done = components(site)
    assert done.returncode == 0
    assert "a_good.still" in done.stdout
    assert "left without the thread 'poller' of plugin busy (dist_busy 1.2)" in done.stderr
    assert time.monotonic() - begun < 200, "it did not wait for the thread"


def test_a_list_that_breaks_when_it_is_read(site):
    code = "from pixelflow import hookimpl\nclass Odd(list):\n    def __iter__(self): raise OSError('no disk')\n"
    site.add("odd", code + "@hookimpl\ndef register_components(): return Odd([1])")
    report = site.report()
    assert report["failures"] == {"odd": "register_components failed: OSError: no disk"}


def test_check_plugin_looks_at_the_prefix(site):
    site.add("acme", GOOD.format(name="other.still") + HOOK)
    (answer,) = site.pixelflow(["check-plugin", "acme"])
    assert answer.code == 65
    assert "broken      Its name begins with the plugin's and a dot" in answer.out
    assert "'other.still' should be 'acme.still'" in answer.out
    (answer,) = site.pixelflow(["check-plugin", "a-good"])
    assert "'a_good.still' should be 'a-good.still'" in answer.out
