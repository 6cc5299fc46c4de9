// SPDX-License-Identifier: GPL-2.0-or-later

//! The fuzz targets without a fuzzer: the corpus, and what comes of it by chance with a fixed seed.
//!
//! `EXTSOCK_FUZZ_SECONDS` sets for how long, for each target; 2 by default.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const LONGEST: usize = 4096;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut paths: Vec<_> = fs::read_dir(directory.join(target))
        .expect("the corpus is in the repository")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    paths.sort();
    let inputs: Vec<_> = paths
        .iter()
        .map(|path| fs::read(path).expect("it is readable"))
        .collect();
    assert!(!inputs.is_empty());
    inputs
}

/// One small change, of the kinds that fuzzers make.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut fastrand::Rng) {
    const TOKENS: [&[u8]; 12] = [
        b"\n", b" ", b"{", b"}", b"[", b"]", b"\"", b"\\", b",", b":", b"\0", b"LIST\n",
    ];
    let at = random.usize(..=input.len());
    let end = at + random.usize(..=(input.len() - at).min(16));
    match random.u8(..5) {
        0 => {
            input.splice(at..end, []);
        }
        1 => {
            let token = TOKENS[random.usize(..TOKENS.len())];
            input.splice(at..at, token.iter().copied());
        }
        2 => {
            let copied = input[at..end].to_vec();
            input.splice(at..at, copied);
        }
        3 => {
            let other = &corpus[random.usize(..corpus.len())];
            let from = random.usize(..=other.len());
            input.splice(at..end, other[from..].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.u8(..);
            }
        }
    }
    input.truncate(LONGEST);
}

fn smoke(target: &str, run: fn(&[u8])) {
    let seconds = std::env::var("EXTSOCK_FUZZ_SECONDS").ok();
    let seconds = seconds.map_or(2, |text| text.parse().expect("a number of seconds"));
    let corpus = corpus(target);
    for input in &corpus {
        run(input);
    }
    let mut random = fastrand::Rng::with_seed(4);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut input = corpus[random.usize(..corpus.len())].clone();
        for _ in 0..random.u8(1..8) {
            mutate(&mut input, &corpus, &mut random);
        }
        let survived = std::panic::catch_unwind(|| run(&input));
        assert!(
            survived.is_ok(),
            "{target}: {:?}",
            String::from_utf8_lossy(&input)
        );
    }
}

#[test]
fn framer() {
    smoke("framer", targets::framer);
}

#[test]
fn config() {
    smoke("config", targets::config);
}

#[test]
fn address_list() {
    smoke("address_list", targets::address_list);
}
