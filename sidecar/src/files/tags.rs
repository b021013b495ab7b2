//! The tags file: a JSON object of texts, in the order of their names.

use folkmoot_serf::Tags;

use crate::go_json::{Json, Value, read_whole};

/// The tags of a file that may be missing; they stand instead of configured ones.
///
/// # Errors
/// Go's text.
pub fn load(path: &str, configured: &Tags) -> Result<Tags, String> {
    if !configured.0.is_empty() {
        return Err("Tags config not allowed while using tag files".to_owned());
    }
    // Whatever keeps Go from seeing the file makes it go on without.
    if std::fs::metadata(path).is_err() {
        return Ok(Tags::default());
    }
    let text = super::read(path).map_err(|error| format!("Failed to read tags file: {error}"))?;
    let tags = listed(&text)?;
    tracing::info!(target: "agent", "Restored {} tag(s) from {path}", tags.0.len());
    Ok(tags)
}

/// What the file says of `tags`.
pub fn text(tags: &Tags) -> String {
    let fields = tags.0.iter().map(|(name, value)| (name.as_bytes(), Json::Text(value.as_bytes())));
    Json::Object(fields.collect()).print()
}

fn listed(text: &[u8]) -> Result<Tags, String> {
    let unfit = |value: &Value, wanted: &str| {
        format!("Failed to decode tags file: json: cannot unmarshal {} into Go value of type {wanted}", value.kind())
    };
    match read_whole(text).map_err(|error| format!("Failed to decode tags file: {error}"))? {
        Value::Null => Ok(Tags::default()),
        Value::Object(fields) => {
            let tags = fields.into_iter().map(|(name, value)| match value {
                Value::Text(text) => Ok((name.as_str().into(), text.as_str().into())),
                Value::Null => Ok((name.as_str().into(), "".into())),
                other @ (Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_)) => {
                    Err(unfit(&other, "string"))
                }
            });
            Ok(Tags(tags.collect::<Result<_, _>>()?))
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_)) => {
            Err(unfit(&other, "map[string]string"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Tags(pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn tags_come_back_as_they_were_written() {
        let some = tags(&[("b", "x\"y<"), ("a", "1"), ("e", "")]);
        assert_eq!(text(&some), "{\n  \"a\": \"1\",\n  \"b\": \"x\\\"y\\u003c\",\n  \"e\": \"\"\n}");
        assert_eq!(listed(text(&some).as_bytes()), Ok(some));
        assert_eq!(text(&Tags::default()), "{}");
        assert_eq!(listed(b"{\"a\": null}"), Ok(tags(&[("a", "")])));
        assert_eq!(listed(b"null"), Ok(Tags::default()));
    }

    #[test]
    fn a_missing_file_is_none_and_configured_tags_exclude_one() {
        assert_eq!(load("/none/t", &Tags::default()), Ok(Tags::default()));
        let error = load("/none/t", &tags(&[("a", "1")]));
        assert_eq!(error, Err("Tags config not allowed while using tag files".into()));
        assert_eq!(load("/", &Tags::default()), Err("Failed to read tags file: read /: is a directory".into()));
    }

    #[test]
    fn faults_have_gos_texts() {
        for (content, expected) in [
            ("", "unexpected end of JSON input"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]string"),
            ("{\"a\": 5}", "json: cannot unmarshal number into Go value of type string"),
            ("{\"a\": true}", "json: cannot unmarshal bool into Go value of type string"),
        ] {
            assert_eq!(listed(content.as_bytes()), Err(format!("Failed to decode tags file: {expected}")), "{content}");
        }
    }
}
