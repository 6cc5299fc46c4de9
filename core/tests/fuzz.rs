// SPDX-License-Identifier: GPL-2.0-or-later

//! The fuzz targets on their corpus, which has what was found by fuzzing.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn corpus(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let inputs = fs::read_dir(directory.join(target)).expect("the corpus is in the repository");
    let mut count = 0;
    for entry in inputs {
        let path = entry.expect("it is readable").path();
        let input = fs::read(&path).expect("it is readable");
        let survived = std::panic::catch_unwind(|| run(&input));
        assert!(survived.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn framer() {
    corpus("framer", targets::framer);
}

#[test]
fn config() {
    corpus("config", targets::config);
}

#[test]
fn address_list() {
    corpus("address_list", targets::address_list);
}
