// SPDX-License-Identifier: GPL-2.0-or-later

//! The directory of configurations that are loaded at start and again on reload.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use extsock_core::config::{self, Problem, Problems};
use extsock_core::error::{Error, ErrorCode, Result};
use extsock_core::protocol::{FileError, Reply};

use super::loader::{names, Loader};
use crate::adapter::configuration::{Digest, ReadFile};
use crate::adapter::registry::secret_key;
use crate::charon::{self, on_secure_heap};

/// `*.json` of one directory, in the order of their names.
pub struct ConfigDir {
    path: PathBuf,
    /// What each file brought. Held while they are loaded, so that this happens once at a time.
    loaded: Mutex<BTreeMap<String, Loaded>>,
}

/// What a file brought, and what tells whether it has changed.
struct Loaded {
    connections: Vec<String>,
    /// Under which its secrets are known; of one that several files have, that of the last file holds.
    secrets: BTreeSet<String>,
    text: Digest,
    files: Vec<ReadFile>,
}

impl Loaded {
    /// Whether loading that text would bring nothing new. Reads its files.
    fn is_current(&self, text: &str, loader: &Loader) -> bool {
        let there = |name: &String| loader.is_loaded(name);
        self.text == Digest::of(text.as_bytes())
            && self.connections.iter().all(there)
            && self.files.iter().all(ReadFile::is_unchanged)
    }
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
    /// an error is reported and changes nothing. Reads files: only in a job.
    pub(crate) fn load(&self, loader: &Loader) -> Reply {
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
        let connections = |loaded: &BTreeMap<String, Loaded>| -> Vec<String> {
            let loaded = loaded.values();
            loaded.flat_map(|file| file.connections.clone()).collect()
        };
        let before = connections(&loaded);
        let mut changed_secrets = BTreeSet::new();
        loaded.retain(|file, known| {
            let stays = files.contains(file);
            if !stays {
                loader.forget_source(file);
                changed_secrets.append(&mut known.secrets);
            }
            stays
        });
        let (mut good, mut left_alone) = (Vec::new(), Vec::new());
        for file in files {
            match self.load_file(loader, &mut loaded, &file, When::Changed) {
                Ok(Some(mut secrets)) => changed_secrets.append(&mut secrets),
                Ok(None) => left_alone.push(file.clone()),
                Err(error) => {
                    outcome.fail(&self.path.join(&file), error);
                    continue;
                }
            }
            good.push(file);
        }
        outcome.connections = connections(&loaded);
        for name in before {
            if !outcome.connections.contains(&name) && loader.forget(&name).is_ok() {
                outcome.removed.push(name);
            }
        }
        let secrets = |file: &String| &loaded[file].secrets;
        if (left_alone.iter()).any(|file| !secrets(file).is_disjoint(&changed_secrets)) {
            // Which file is the last one that has it may be another now.
            good.retain(|file| !secrets(file).is_empty());
            for file in good {
                if let Err(error) = self.load_file(loader, &mut loaded, &file, When::Always) {
                    outcome.fail(&self.path.join(&file), error);
                }
            }
        }
        outcome.into_reply()
    }

    /// Returns the secrets that the file had and has; None if it is left alone.
    fn load_file(
        &self,
        loader: &Loader,
        loaded: &mut BTreeMap<String, Loaded>,
        file: &str,
        when: When,
    ) -> Result<Option<BTreeSet<String>>> {
        let text = on_secure_heap(|| fs::read_to_string(self.path.join(file)));
        let text = text.map_err(|error| cannot_read(&error))?;
        let configuration = on_secure_heap(|| config::parse(&text, charon::version()))?;
        let connections = names(&configuration);
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
        problems.located(&configuration.locations)?;
        let known = loaded.get(file);
        if when == When::Changed && known.is_some_and(|known| known.is_current(&text, loader)) {
            return Ok(None);
        }
        let files = loader.apply(&configuration, file)?;
        if !connections.is_empty() {
            loader.forget_source(file);
        }
        let secrets: BTreeSet<String> = configuration.secrets.iter().map(secret_key).collect();
        let brought = Loaded {
            connections,
            secrets: secrets.clone(),
            text: Digest::of(text.as_bytes()),
            files,
        };
        let before = loaded.insert(file.to_owned(), brought);
        let before = before.map(|before| before.secrets).unwrap_or_default();
        Ok(Some(&before | &secrets))
    }
}

/// When to load a file.
#[derive(PartialEq)]
enum When {
    Changed,
    Always,
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
        // A name that is not UTF-8 could not be reported in JSON.
        if let Ok(name) = entry?.file_name().into_string() {
            if name.ends_with(".json") && !name.starts_with('.') {
                files.push(name);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn cannot_read(error: &io::Error) -> Error {
    Error::new(
        ErrorCode::ParsingFailed,
        format!("expected what can be read, found: {error}"),
    )
}
