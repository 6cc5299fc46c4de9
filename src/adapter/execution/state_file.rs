// SPDX-License-Identifier: GPL-2.0-or-later

//! The file that keeps the last good gateways while charon does not run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use extsock_core::failover::remembered::{self, Remembered};

/// A file, and what is to be in it.
pub struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gateways: Remembered,
    /// The file is not what is to be in it.
    changed: bool,
    /// A thread is writing it, and will see what changes meanwhile.
    writing: bool,
}

impl StateFile {
    /// Reads the file, which need not be there; one that cannot be read is logged and overwritten later.
    pub fn open(path: PathBuf) -> Self {
        let gateways = match fs::read_to_string(&path) {
            Ok(text) => remembered::parse(&text).unwrap_or_else(|| {
                log::warn!(
                    "{}: expected a connection and a gateway in each line, ignored",
                    path.display()
                );
                Remembered::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Remembered::new(),
            Err(error) => {
                log::warn!("{}: {error}, ignored", path.display());
                Remembered::new()
            }
        };
        let state = Mutex::new(State {
            gateways,
            ..State::default()
        });
        Self { path, state }
    }

    /// What is to be in it.
    pub fn gateways(&self) -> Remembered {
        self.lock().gateways.clone()
    }

    /// Sets or forgets the gateway of a connection. Waits for the disk: only from jobs.
    pub fn remember(&self, connection: String, gateway: Option<String>) {
        let mut state = self.lock();
        match gateway {
            Some(gateway) => state.gateways.insert(connection, gateway),
            None => state.gateways.remove(&connection),
        };
        state.changed = true;
        if std::mem::replace(&mut state.writing, true) {
            return;
        }
        while std::mem::take(&mut state.changed) {
            let text = remembered::format(&state.gateways);
            drop(state);
            if let Err(error) = replace(&self.path, &text) {
                log::error!("{}: {error}", self.path.display());
            }
            state = self.lock();
        }
        state.writing = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A table and two flags, in no bad state after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The old content or the new one is there whenever the machine stops.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // Left by a daemon that was killed.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
