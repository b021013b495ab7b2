//! The recorded transcripts of handshake, auth and bad input, replayed.

use super::*;

#[tokio::test]
async fn transcripts_of_handshake_auth_and_bad_input_are_answered_as_by_the_go_agent() {
    let mut cases = 0;
    for file in ["01-handshake", "02-auth", "03-framing-and-bad-input"] {
        let path = format!("{}/../vectors/rpc/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let content: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in content["cases"].as_array().unwrap() {
            let key = case["setup"].as_str().unwrap().contains("s3cret").then(|| "s3cret".to_string());
            let server = Server::start(key, limits::STALL).await;
            replay(&server, case).await;
            cases += 1;
        }
    }
    assert!(cases > 50, "only {cases} cases");
}

async fn replay(server: &Server, case: &serde_json::Value) {
    let name = case["id"].as_str().unwrap();
    let mut client = server.connect().await;
    for entry in case["transcript"].as_array().unwrap() {
        if let Some(sent) = entry.get("c2s") {
            let bytes = hex(sent.as_str().unwrap());
            let pieces = if name == "byte-at-a-time" { 1 } else { bytes.len() };
            for piece in bytes.chunks(pieces) {
                client.socket.write_all(piece).await.unwrap();
            }
        } else if let Some(expected) = entry.get("s2c") {
            for expected in split(&hex(expected.as_str().unwrap())) {
                let object = client.object().await.unwrap_or_else(|| panic!("{name}: closed too early"));
                assert_alike(name, &object, &expected);
            }
        } else if let Some(event) = entry.get("event") {
            let event = event.as_str().unwrap();
            if event == "connection closed by agent" {
                assert_eq!(client.object().await, None, "{name}");
            } else {
                assert!(event.starts_with("connection still open"), "{name}: {event}");
                client.assert_open_and_silent(name).await;
            }
        } else if entry["note"].as_str().unwrap() == "client shut down its sending side" {
            client.socket.shutdown().await.unwrap();
        }
    }
}

/// Equal but for what the stand-in cannot know: the members' particulars and the numbers of `stats`.
fn assert_alike(name: &str, object: &[u8], expected: &[u8]) {
    if let Ok(MembersResponse { members }) = MembersResponse::decode(expected)
        && !members.is_empty()
    {
        assert_eq!(MembersResponse::decode(object).unwrap().members.len(), members.len(), "{name}");
        return;
    }
    let keys = |object: &[u8]| folkmoot_wire_keys(object);
    if keys(expected).contains(&"runtime".to_string()) {
        assert_eq!(keys(object), keys(expected), "{name}");
        return;
    }
    assert_eq!(Bytes::copy_from_slice(object), Bytes::copy_from_slice(expected), "{name}");
}

/// The keys of a `stats` body; none of anything else.
fn folkmoot_wire_keys(object: &[u8]) -> Vec<String> {
    let stats = folkmoot_proto::StatsResponse::decode(object);
    stats.map(|stats| stats.0.keys().map(ToString::to_string).collect()).unwrap_or_default()
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digits).collect()
}

fn split(stream: &[u8]) -> Vec<Bytes> {
    let mut frames = FrameReader::for_responses();
    frames.push(stream);
    std::iter::from_fn(|| frames.next().unwrap()).collect()
}
