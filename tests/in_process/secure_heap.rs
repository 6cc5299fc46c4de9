// SPDX-License-Identifier: GPL-2.0-or-later

//! The heap of secrets: what is on it, and what is left of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;

use extsock::charon::on_secure_heap;

/// Whether the kernel leaves the memory out of core dumps.
fn is_undumped(memory: &[u8]) -> bool {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_its_mapping = false;
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|word| word.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(begin), Some(end))) = range.map(|(b, e)| (number(b), number(e))) {
            is_its_mapping = (begin..end).contains(&memory.as_ptr().addr());
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_its_mapping) {
            return flags.split(' ').any(|flag| flag == "dd");
        }
    }
    panic!("it is not mapped");
}

/// The bytes at an address, whether anybody owns them or not.
fn memory_at(address: usize, size: usize) -> Vec<u8> {
    let mut memory = vec![0; size];
    let file = File::open("/proc/self/mem").unwrap();
    file.read_exact_at(&mut memory, address as u64).unwrap();
    memory
}

#[test]
fn what_grows_stays_on_the_heap_that_it_is_on() {
    let mut secret = on_secure_heap(|| vec![1]);
    let mut other = vec![2];
    for size in [10, 1000, 100_000, 10_000_000, 10] {
        secret.resize(size, 1);
        secret.shrink_to_fit();
        on_secure_heap(|| {
            other.resize(size, 2);
            other.shrink_to_fit();
        });
        assert!(is_undumped(&secret), "{size}");
        assert!(!is_undumped(&other), "{size}");
        assert!(secret.iter().all(|byte| *byte == 1));
        assert!(other.iter().all(|byte| *byte == 2));
    }
}

#[test]
fn a_panic_leaves_the_secure_heap() {
    let some = || Vec::from([1; 100]);
    let result = std::panic::catch_unwind(|| on_secure_heap(|| panic!("a test")));
    assert!(result.is_err());
    assert!(!is_undumped(&some()));
    on_secure_heap(|| {
        on_secure_heap(|| ());
        assert!(is_undumped(&some()), "what is within does not end it");
    });
}

#[test]
fn what_is_freed_is_wiped() {
    for size in [40, 4000, 200_000, 3_000_000] {
        for moved in [false, true] {
            let mut secret = on_secure_heap(|| vec![b's'; size]);
            let address = secret.as_ptr().addr();
            if moved {
                secret.reserve(size);
                assert_ne!(secret.as_ptr().addr(), address);
            }
            drop(secret);
            // The heap's own notes, and what others have put there since.
            let left = memory_at(address, size);
            let count = left.iter().filter(|byte| **byte == b's').count();
            assert!(count < 20, "{count} of {size} are left");
        }
    }
}

#[test]
fn threads_share_it() {
    const THREADS: u8 = 8;
    let kept: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
        let threads = (1..=THREADS).map(|number| {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(number.into());
                let mut kept: Vec<Vec<u8>> = Vec::new();
                for _ in 0..5000 {
                    let size = random.usize(1..3000);
                    match random.u8(..4) {
                        0 | 1 => kept.push(on_secure_heap(|| vec![number; size])),
                        2 if !kept.is_empty() => {
                            let index = random.usize(..kept.len());
                            kept[index].resize(size, number);
                        }
                        _ if !kept.is_empty() => {
                            let freed = kept.swap_remove(random.usize(..kept.len()));
                            assert!(freed.iter().all(|byte| *byte == number));
                        }
                        _ => {}
                    }
                }
                kept
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Freed by another thread than has allocated it.
    for (kept, number) in kept.iter().zip(1..) {
        assert!(kept.iter().flatten().all(|byte| *byte == number));
    }
}
