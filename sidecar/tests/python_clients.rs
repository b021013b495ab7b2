//! PyPI's `serfclient`, with the msgpack of its own time and with today's, against the agent under test.
//!
//! The tests themselves are `sidecar/tests/python`; this runs them in the two virtual environments of `make setup`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Kind, Loopback};

#[test]
fn serfclient_with_msgpack_of_its_time() {
    run("msgpack-old", 38);
}

#[test]
fn serfclient_with_msgpack_of_today() {
    run("msgpack-new", 39);
}

/// Runs all Python tests in `.venv/NAME`, with agents on 127.0.`net`.*.
fn run(name: &str, net: u8) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".venv").join(name).join("bin/python");
    assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
    let _mine = Loopback::exactly(Ipv4Addr::new(127, 0, net, 254));
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "sidecar/tests/python"])
        .current_dir(root)
        .env("AGENT", Kind::under_test().program())
        .env("AGENT_NET", format!("127.0.{net}"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{name}: {}\n{text}", output.status);
    assert!(text.contains("passed") && !text.contains("skipped"), "{name}: not everything ran:\n{text}");
}
