//! A member is in the list of failed ones if and only if its status says failed; the numbers of `stats` are those of the
//! table (`docs/spec/serf-gossip.md` 20.3).

use std::collections::BTreeSet;

use folkmoot_serf::MemberStatus;

use crate::engine::Engine;

pub(super) fn check(engine: &Engine) -> Result<(), String> {
    let Some(serf) = engine.as_serf() else { return Ok(()) };
    let with = |status| serf.members().filter(move |member| member.status == status).map(|member| &member.name);
    let failed: BTreeSet<_> = with(MemberStatus::Failed).cloned().collect();
    let stats = serf.stats();
    compare("failed names", &serf.failed(), &failed)?;
    compare("failed", &stats.failed, &failed.len())?;
    compare("left", &stats.left, &with(MemberStatus::Left).count())?;
    compare("members", &stats.members, &serf.members().count())
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, listed: &T, counted: &T) -> Result<(), String> {
    if listed == counted { Ok(()) } else { Err(format!("{what}: listed {listed:?}, in the table {counted:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_told() {
        assert_eq!(compare("left", &1, &1), Ok(()));
        assert_eq!(compare("left", &1, &2), Err("left: listed 1, in the table 2".to_string()));
    }
}
