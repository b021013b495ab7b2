"""The examples in docstrings of the drop-ins; `agent` is the address of one."""

from __future__ import annotations

import doctest
import importlib

import pytest

from folkmoot import testing

MODULES = ["serfclient", "serf", "pysyncobj", "pysyncobj.config", "membership"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(one: testing.Cluster, name: str) -> None:
    module = importlib.import_module("folkmoot.compat." + name)
    agent = one.addresses[0].rpartition(":")[0]
    failed, tried = doctest.testmod(module, globs=dict(vars(module), agent=agent), optionflags=doctest.ELLIPSIS)
    assert tried and not failed
