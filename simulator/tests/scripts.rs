//! Plays every scenario in `scripts/`. `SIM_REWRITE=1` writes down what they print instead of comparing it.

use std::path::PathBuf;

use folkmoot_simulator::{alarm, script};

#[test]
fn scenarios_print_what_is_written_below_their_commands() {
    let rewrite = std::env::var_os("SIM_REWRITE").is_some();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let written = std::fs::read_to_string(&path).unwrap();
        let (played_out, errors) = alarm::listen(|| script::run(&written));
        let played_out = played_out.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
        if rewrite {
            std::fs::write(&path, played_out).unwrap();
        } else {
            assert_eq!(played_out, written, "{}: SIM_REWRITE=1 accepts it", path.display());
        }
        played += 1;
    }
    assert!(played >= 6, "{played} scenarios in {}", folder.display());
}
