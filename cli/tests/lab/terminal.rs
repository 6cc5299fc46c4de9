// SPDX-License-Identifier: GPL-2.0-or-later

//! A terminal of 80 columns and 24 rows, in which a program runs.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use extsock_lab::wait;
use nix::pty::{openpty, Winsize};

pub struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<Shown>>,
}

struct Shown {
    screen: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs the command as a shell in the terminal would: it is its foreground process.
    pub fn run(command: &Command) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).expect("there are terminals");
        let mut in_session = Command::new("setsid");
        in_session
            // What runs the tests may ignore Ctrl-C; env is of coreutils.
            .args(["--ctty", "env", "--default-signal=INT"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            in_session.env(name, value.expect("variables are set only"));
        }
        let slave = || File::from(pty.slave.try_clone().expect("a descriptor is free"));
        let child = in_session
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("setsid of util-linux starts");
        drop(in_session);
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().expect("a descriptor is free");
        let shown = Arc::new(Mutex::new(Shown {
            screen: vt100::Parser::new(24, 80, 1000),
            bytes: Vec::new(),
        }));
        let reader = Arc::clone(&shown);
        // Ends with the last process that has the terminal.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let mut shown = reader.lock().expect("nobody panics with it");
                shown.screen.process(&buffer[..n]);
                shown.bytes.extend_from_slice(&buffer[..n]);
            }
        });
        Self {
            child,
            keyboard,
            shown,
        }
    }

    /// What is on the screen, once it is as wanted.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        wait::until(what, || wanted(&self.contents()))
    }

    pub fn contents(&self) -> String {
        self.lock().screen.screen().contents()
    }

    /// All that was written, with what steers the terminal.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// How many lines have left the screen at its top.
    pub fn scrolled(&self) -> usize {
        let mut shown = self.lock();
        let screen = shown.screen.screen_mut();
        screen.set_scrollback(usize::MAX);
        let scrolled = screen.scrollback();
        screen.set_scrollback(0);
        scrolled
    }

    /// Types Ctrl-C, and returns how the program ends.
    #[track_caller]
    pub fn interrupt(&mut self) -> ExitStatus {
        self.keyboard.write_all(b"\x03").expect("it takes keys");
        wait::until("the program ends", || {
            self.child.try_wait().expect("it is ours")
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().expect("nobody panics with it")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- terminal:\n{}", self.contents());
        }
    }
}
