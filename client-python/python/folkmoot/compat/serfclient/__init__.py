"""PyPI's `serfclient` 1.2, without a dependency: the same modules, classes, arguments and results.

>>> from contextlib import closing
>>> from folkmoot.compat.serfclient import SerfClient
>>> with closing(SerfClient(host=agent)) as client:
...     client.event('foo', 'bar').head['Error']
''

`serfclient` answers in the words of the msgpack below it: keys and text were bytes before msgpack 1.0 and are `str` since.
Here both work: see `result.Fields`.
"""

from .client import SerfClient
from .connection import SerfConnection, SerfConnectionError, SerfProtocolError, SerfTimeout
from .environment_config import EnvironmentConfig
from .result import SerfResult

__version__ = "1.2.0"

__all__ = [
    "EnvironmentConfig",
    "SerfClient",
    "SerfConnection",
    "SerfConnectionError",
    "SerfProtocolError",
    "SerfResult",
    "SerfTimeout",
]
