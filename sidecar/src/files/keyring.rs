//! The keyring file: a JSON list of keys in base64, primary first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folkmoot_serf::memberlist::Keyring;

use crate::go_base64;
use crate::go_json::{Json, Value, read_whole};
use crate::net::go_errors;

/// The keys of a file, which has to exist and to have one.
///
/// # Errors
/// Go's text.
pub fn load(path: &str) -> Result<Keyring, String> {
    std::fs::metadata(path).map_err(|error| format!("stat {path}: {}", go_errors::cause(&error)))?;
    let text = super::read(path).map_err(|error| format!("Failed to read keyring file: {error}"))?;
    let listed = listed(&text)?;
    let decoded = listed.iter().map(|key| go_base64::decode(key.as_bytes()).map(Bytes::from));
    let keys: Vec<Bytes> =
        decoded.collect::<Result<_, _>>().map_err(|error| format!("Failed to decode key from keyring: {error}"))?;
    let primary = keys.first().ok_or("Keyring file contains no keys")?;
    let keyring = Keyring::new(&keys, primary).map_err(|error| format!("Failed to restore keyring: {error}"))?;
    tracing::info!(target: "agent", "Restored keyring with {} keys from {path}", keys.len());
    Ok(keyring)
}

/// What the file says of `keyring`.
pub fn text(keyring: &Keyring) -> String {
    let keys: Vec<String> = keyring.keys().iter().map(|key| STANDARD.encode(key)).collect();
    Json::List(keys.iter().map(|key| Json::Text(key.as_bytes())).collect()).print()
}

fn listed(text: &[u8]) -> Result<Vec<String>, String> {
    let unfit = |value: &Value, wanted: &str| {
        format!("Failed to decode keyring file: json: cannot unmarshal {} into Go value of type {wanted}", value.kind())
    };
    match read_whole(text).map_err(|error| format!("Failed to decode keyring file: {error}"))? {
        Value::Null => Ok(Vec::new()),
        Value::List(values) => values
            .into_iter()
            .map(|value| match value {
                Value::Text(text) => Ok(text),
                Value::Null => Ok(String::new()),
                other @ (Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_)) => {
                    Err(unfit(&other, "string"))
                }
            })
            .collect(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_)) => {
            Err(unfit(&other, "[]string"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn load_text(name: &str, text: &str) -> Result<Keyring, String> {
        let path = std::env::temp_dir().join(format!("folkmoot-keyring-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let loaded = load(&path.to_string_lossy());
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    #[test]
    fn keys_come_back_as_they_were_written() {
        let keyring = load_text("ok", &format!("[\"{KEY}\", \"AAAAAAAAAAAAAAAAAAAAAA==\", \"{KEY}\"]")).unwrap();
        assert_eq!(keyring.keys().len(), 2);
        assert_eq!(text(&keyring), format!("[\n  \"{KEY}\",\n  \"AAAAAAAAAAAAAAAAAAAAAA==\"\n]"));
        assert_eq!(load_text("again", &text(&keyring)).unwrap().keys(), keyring.keys());
    }

    #[test]
    fn faults_have_gos_texts() {
        assert_eq!(load("/none/k").unwrap_err(), "stat /none/k: no such file or directory");
        assert_eq!(load("/").unwrap_err(), "Failed to read keyring file: read /: is a directory");
        for (name, content, expected) in [
            ("empty", "", "Failed to decode keyring file: unexpected end of JSON input"),
            (
                "object",
                "{}",
                "Failed to decode keyring file: json: cannot unmarshal object into Go value of type []string",
            ),
            (
                "number",
                "[5]",
                "Failed to decode keyring file: json: cannot unmarshal number into Go value of type string",
            ),
            ("behind", "[] x", "Failed to decode keyring file: invalid character 'x' after top-level value"),
            ("none", "[]", "Keyring file contains no keys"),
            ("null", "null", "Keyring file contains no keys"),
            ("base64", "[\"zzz\"]", "Failed to decode key from keyring: illegal base64 data at input byte 0"),
            ("size", "[\"AAAA\"]", "Failed to restore keyring: key size must be 16, 24 or 32 bytes"),
            ("nothing", "[\"\"]", "Failed to restore keyring: empty primary key not allowed"),
        ] {
            assert_eq!(load_text(name, content).err().as_deref(), Some(expected), "{content}");
        }
    }
}
