// SPDX-License-Identifier: GPL-2.0-or-later

//! The directory of configurations that are loaded at start and again on reload.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use extsock_core::config::{self, Configuration, Places, Problem, Problems};
use extsock_core::error::{Error, ErrorCode, Result};
use extsock_core::protocol::{FileError, Reply};
use zeroize::Zeroizing;

use super::driver::Driver;

/// `*.json` of one directory, in the order of their names.
pub struct ConfigDir {
    path: PathBuf,
    /// What each file brought. Held while they are loaded, so that this happens once at a time.
    loaded: Mutex<BTreeMap<String, Loaded>>,
}

/// What a file brought.
struct Loaded {
    connections: Vec<String>,
    /// To tell whether it has changed; not kept if it has secrets, or if other files are a part of it.
    plain: Option<Configuration>,
}

/// What a loading led to.
#[derive(Default)]
struct Outcome {
    connections: Vec<String>,
    removed: Vec<String>,
    failed: Vec<FileError>,
}

impl ConfigDir {
    /// That directory, of which nothing is loaded yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            loaded: Mutex::default(),
        }
    }

    /// Loads what is new or has changed, removes the connections that no file has any more. A file with
    /// an error is told of and changes nothing. Reads files: only in a job.
    pub fn load(&self, driver: &Arc<Driver>) -> Reply {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Outcome::default();
        let files = match json_files(&self.path) {
            Ok(files) => files,
            // Without knowing what there is, nothing counts as gone.
            Err(error) => {
                outcome.fail(&self.path, cannot_read(&error));
                return outcome.into_reply();
            }
        };
        let names = |loaded: &BTreeMap<String, Loaded>| -> Vec<String> {
            let loaded = loaded.values();
            loaded.flat_map(|file| file.connections.clone()).collect()
        };
        let before = names(&loaded);
        loaded.retain(|file, _| {
            let stays = files.contains(file);
            if !stays {
                driver.forget_source(file);
            }
            stays
        });
        for file in files {
            let path = self.path.join(&file);
            match load_file(driver, &loaded, &file, &path) {
                Ok(brought) => {
                    if !brought.connections.is_empty() {
                        driver.forget_source(&file);
                    }
                    loaded.insert(file, brought);
                }
                Err(error) => outcome.fail(&path, error),
            }
        }
        outcome.connections = names(&loaded);
        for name in before {
            if !outcome.connections.contains(&name) && driver.forget(&name).is_ok() {
                outcome.removed.push(name);
            }
        }
        outcome.into_reply()
    }
}

impl Outcome {
    fn fail(&mut self, path: &Path, error: Error) {
        let file = path.display().to_string();
        log::error!("{file}: {error}");
        self.failed.push(FileError { file, error });
    }

    fn into_reply(self) -> Reply {
        Reply::Reload {
            connections: self.connections,
            removed: self.removed,
            failed: self.failed,
        }
    }
}

/// The names of the files, in their order; none without the directory.
fn json_files(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        // What is not UTF-8 could not be told of.
        if let Ok(name) = entry?.file_name().into_string() {
            if name.ends_with(".json") && !name.starts_with('.') {
                files.push(name);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn load_file(
    driver: &Arc<Driver>,
    loaded: &BTreeMap<String, Loaded>,
    file: &str,
    path: &Path,
) -> Result<Loaded> {
    let text = fs::read_to_string(path).map_err(|error| cannot_read(&error))?;
    let mut configuration = config::parse(&Zeroizing::new(text))?;
    let connections: Vec<String> = (configuration.connections.iter())
        .map(|connection| connection.name.clone())
        .collect();
    let mut problems = Problems::default();
    // Those that come after it are not yet what they will be.
    for (other, theirs) in loaded.iter().filter(|(other, _)| other.as_str() < file) {
        for name in (theirs.connections.iter()).filter(|name| connections.contains(name)) {
            problems.push(Problem {
                path: format!("connections.{name}"),
                why: format!("expected a name of one file only, found it in {other}, too"),
            });
        }
    }
    problems.located(&configuration.places)?;
    let there = |name: &String| driver.connections.get(name).is_some();
    let known = loaded.get(file).and_then(|file| file.plain.as_ref());
    if !(known == Some(&configuration) && connections.iter().all(there)) {
        driver.apply(&configuration, file)?;
    }
    configuration.places = Places::default();
    let plain = configuration.is_plain().then_some(configuration);
    Ok(Loaded { connections, plain })
}

fn cannot_read(error: &io::Error) -> Error {
    Error::new(
        ErrorCode::ParsingFailed,
        format!("expected what can be read, found: {error}"),
    )
}
