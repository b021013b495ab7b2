"""Drop-ins for programs that exist: change the import, keep the program.

* `folkmoot.compat.serfclient`: PyPI's `serfclient`.
* `folkmoot.compat.serf`: PyPI's `serf-python`, on Python 3.
* `folkmoot.compat.pysyncobj`: PySyncObj, with its state in the group of agents.
* `folkmoot.compat.membership`: who is here, and callbacks when that changes.
"""
