// SPDX-License-Identifier: GPL-2.0-or-later

//! The file of the last good gateways.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use extsock::adapter::StateFile;

/// A file in a directory of its own, which is removed with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("extsock-{name}-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("gateways")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_remembered_is_read_again() {
    let place = Place::new("remembered");
    // Of a daemon that was killed while it wrote.
    fs::write(place.0.join("gateways.new"), "half a li").unwrap();
    let file = StateFile::open(place.file());
    file.remember("a".into(), Some("10.0.0.1".into()));
    file.remember("b".into(), Some("10.0.0.2".into()));
    file.remember("a".into(), None);
    let read = StateFile::open(place.file()).gateways();
    assert_eq!(read, [("b".to_owned(), "10.0.0.2".to_owned())].into());
    let mode = fs::metadata(place.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1);
}

#[test]
fn all_of_many_threads_is_written() {
    let place = Place::new("threads");
    let file = StateFile::open(place.file());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = &file;
            scope.spawn(move || file.remember(number.to_string(), Some("10.0.0.1".into())));
        }
    });
    assert_eq!(StateFile::open(place.file()).gateways().len(), 8);
}

#[test]
fn a_damaged_file_is_ignored_and_replaced() {
    let place = Place::new("damaged");
    for damage in [&b"nonsense"[..], b"\xff\xfe\t"] {
        fs::write(place.file(), damage).unwrap();
        let file = StateFile::open(place.file());
        assert!(file.gateways().is_empty());
        file.remember("a".into(), Some("10.0.0.1".into()));
        assert_eq!(StateFile::open(place.file()).gateways().len(), 1);
    }
}

#[test]
fn a_directory_that_is_not_there_ends_nothing() {
    let file = StateFile::open("/nonexistent/gateways".into());
    file.remember("a".into(), Some("10.0.0.1".into()));
    assert_eq!(file.gateways().len(), 1);
}
