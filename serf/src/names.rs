//! Which node names are refused. Answers to Go's `validateNodeName` and `docs/spec/serf-gossip.md` 2.3.
//!
//! Two measures: names nobody can work with (control characters break the snapshot, `/` breaks `name/address`, F15) are
//! refused wherever we could create one; the strict rule is a setting.

use crate::NodeName;
use crate::limits::NODE_NAME_MAX;

/// Text for a name that [`is_usable`] refuses.
pub(crate) const UNUSABLE: &str = "invalid-name: a node name has no control characters and no '/'";

/// Whether a name can be written into snapshots and join addresses.
pub(crate) fn is_usable(name: &NodeName) -> bool {
    !name.0.as_bytes().iter().any(|byte| byte.is_ascii_control() || *byte == b'/')
}

/// Go's strict rule, in Go's words.
pub(crate) fn validate(name: &NodeName) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if name.0.as_bytes().iter().any(|byte| !allowed(*byte)) {
        return Err(format!(
            "Node name contains invalid characters {name} , Valid characters include all alpha-numerics and dashes and '.' ",
            name = name.0
        ));
    }
    if name.0.len() > NODE_NAME_MAX {
        return Err(format!(
            "Node name is {} characters. Valid length is between 1 and {NODE_NAME_MAX} characters",
            name.0.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_rule_speaks_as_go_does() {
        let name = |text: &str| NodeName(text.into());
        assert_eq!(validate(&name("web-1.example")), Ok(()));
        assert_eq!(
            validate(&name("a b")).unwrap_err(),
            "Node name contains invalid characters a b , Valid characters include all alpha-numerics and dashes and '.' "
        );
        assert_eq!(
            validate(&name(&"x".repeat(129))).unwrap_err(),
            "Node name is 129 characters. Valid length is between 1 and 128 characters"
        );
    }

    #[test]
    fn control_characters_and_slashes_are_unusable_everything_else_is_fine() {
        for (text, usable) in
            [("a", true), ("a b", true), ("é", true), ("a\nb", false), ("a/b", false), ("\u{7f}", false)]
        {
            assert_eq!(is_usable(&NodeName(text.into())), usable, "{text:?}");
        }
    }
}
