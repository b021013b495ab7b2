"""The blocking face. All but `_bridge.py` is made from `folkmoot/aio` by `scripts/python-faces`."""
