//! Clients: who sends requests, and how long the group remembers them.

use crate::objects::objects;

objects! {
    /// Body of `client-register`: makes a client, which numbers its requests.
    ClientRegister {
        /// Milliseconds of silence after which it is forgotten, and what depends on it ends. Every request is a sign of life.
        "TTL" ttl: u64,
        /// As in [`super::Caller`].
        "Timeout" timeout: u64,
    }

    /// Answer to `client-register`.
    ClientRegistered {
        /// For every request from here on, over whatever connection.
        "Client" client: u64,
    }

    /// Body of `client-keep-alive`: a sign of life and an acknowledgement.
    ClientKeepAlive {}

    /// Body of `client-cancel`: ends a call of this client that waits, wherever it was sent; it is answered `cancelled`.
    ClientCancel {
        /// The number of the request.
        "Call" call: u64,
    }
}
