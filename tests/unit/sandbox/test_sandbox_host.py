"""What the service changes on its host is put back, and what it finds there is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rstar_sandbox.hugepages import advised_huge_pages
from rstar_sandbox.runsc import cgroup_kind


class ScriptedSetting:
    """A setting of a host that is not this one."""

    def __init__(self, value: str, *, writable: bool = True) -> None:
        self.values = [value]
        self._writable = writable

    def read(self) -> str:
        return self.values[-1]

    def write(self, value: str) -> bool:
        if self._writable:
            self.values.append(value)
        return self._writable


def test_the_last_service_that_stops_puts_the_hosts_setting_back(tmp_path: Path):
    setting, lock = ScriptedSetting("never"), tmp_path / "lock"
    with advised_huge_pages(True, setting, lock) as holds:
        assert holds == "advise"
        with advised_huge_pages(True, setting, lock) as holds:
            assert holds == "advise"
        assert setting.read() == "advise"
    assert setting.values == ["never", "advise", "never"]


def test_it_is_put_back_after_a_failure_too(tmp_path: Path):
    setting = ScriptedSetting("never")
    with pytest.raises(ZeroDivisionError), advised_huge_pages(True, setting, tmp_path / "lock"):
        1 / 0  # noqa: B018
    assert setting.read() == "never"


def test_what_a_killed_service_left_is_put_back_by_the_next(tmp_path: Path):
    setting, lock = ScriptedSetting("advise"), tmp_path / "lock"
    lock.write_text("never")
    with advised_huge_pages(True, setting, lock):
        assert setting.read() == "advise"
    assert setting.read() == "never"


@pytest.mark.parametrize(
    ("value", "writable", "enabled"),
    [("never", True, False), ("never", False, True), ("always", True, True)],
)
def test_nothing_is_changed_where_it_is_not_wanted_allowed_or_needed(
    tmp_path: Path, value, writable, enabled
):
    setting = ScriptedSetting(value, writable=writable)
    with advised_huge_pages(enabled, setting, tmp_path / "lock") as holds:
        assert holds == value
    assert setting.values == [value]


@pytest.mark.parametrize(
    ("entry", "kind"), [("cgroup.controllers", "v2"), ("memory", "v1"), ("other", "none")]
)
def test_the_kind_of_control_groups_is_told(tmp_path: Path, entry, kind):
    (tmp_path / entry).mkdir()
    assert cgroup_kind(tmp_path) == (kind if os.geteuid() == 0 else "none")


def test_without_control_groups_there_are_none(tmp_path: Path):
    assert cgroup_kind(tmp_path / "nowhere") == "none"
