//! The variables a script gets on top of the agent's own (section 4.2).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use folkmoot_serf::Event;

use super::Invocation;

/// Variables that a script does not inherit: keys in the agent's environment are for the agent.
pub(super) const KEPT_BACK: [&str; 3] = ["FOLKMOOT_ENCRYPT", "FOLKMOOT_ENCRYPT_KEY", "FOLKMOOT_RPC_AUTH"];

/// By name. Of two tags with one name after the replacement of characters the later one in order counts.
pub(super) fn variables(invocation: &Invocation) -> BTreeMap<String, OsString> {
    let local = &invocation.local;
    let mut variables = BTreeMap::new();
    let mut set = |name: String, value: &[u8]| variables.insert(name, OsStr::from_bytes(value).to_owned());
    set("SERF_EVENT".to_owned(), invocation.kind().as_bytes());
    set("SERF_SELF_NAME".to_owned(), local.name.as_bytes());
    set("SERF_SELF_ROLE".to_owned(), local.role());
    for (name, value) in &local.tags {
        set(format!("SERF_TAG_{}", upper_cased(name.as_bytes())), value.as_bytes());
    }
    match &*invocation.event {
        Event::Members(_) => {}
        Event::User(event) => {
            set("SERF_USER_EVENT".to_owned(), event.name.as_bytes());
            set("SERF_USER_LTIME".to_owned(), event.ltime.to_string().as_bytes());
        }
        Event::Query(query) => {
            set("SERF_QUERY_NAME".to_owned(), query.name.as_bytes());
            set("SERF_QUERY_LTIME".to_owned(), query.key.ltime.to_string().as_bytes());
        }
    }
    variables
}

/// Upper case, with every character but `A-Z0-9_` replaced by `_`; a byte that is not UTF-8 is a character.
fn upper_cased(name: &[u8]) -> String {
    let mut upper = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        upper.extend(chunk.valid().chars().map(upper_or_underscore));
        upper.extend(chunk.invalid().iter().map(|_| '_'));
    }
    upper
}

fn upper_or_underscore(character: char) -> char {
    // As Go: characters whose upper case is more than one character have none.
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper @ ('A'..='Z' | '0'..='9' | '_')), None) => upper,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_names_become_variable_names() {
        for (name, variable) in [
            (&b"role"[..], "ROLE"),
            ("my-tag.é".as_bytes(), "MY_TAG__"),
            (b"a b\xff\xfe9", "A_B__9"),
            ("ß\u{17f}".as_bytes(), "_S"),
            (b"", ""),
        ] {
            assert_eq!(upper_cased(name), variable);
        }
    }
}
