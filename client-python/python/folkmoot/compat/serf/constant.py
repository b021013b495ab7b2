"""Numbers, by the names that serf-python gave them. Times are in seconds, sizes in bytes."""

DEFAULT_IPC_VERSION = 1
DEFAULT_READ_BUFFER_SIZE = 8192 * 100
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7373
DEFAULT_TIMEOUT = 2
#: Of a whole `event` request.
PAYLOAD_SIZE_LIMIT = 256
#: Of a whole `query` or `respond` request.
RESPOND_PAYLOAD_SIZE_LIMIT = 1016
#: How often all hosts are tried again with `auto_reconnect`; 0 is without end.
CONNECTION_RETRY = 3
#: Before the first retry; twice as long before the second, and so on up to six times.
CONNECTION_RETRY_INTERVAL = 2
