//! How many files the process may have open.

/// The soft limit (`ulimit -n`), if there is one and the system tells.
pub fn limit() -> Option<usize> {
    parse(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// The line is `Max open files  SOFT  HARD  files`; a limit is a number or `unlimited`.
fn parse(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_counts() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let line = "Max open files            1024                 524288               files     \n";
        assert_eq!(parse(&format!("{head}{line}")), Some(1024));
        assert_eq!(parse("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(parse(head), None);
    }

    #[test]
    fn the_system_tells() {
        assert!(limit().is_none_or(|files| files > 2));
    }
}
