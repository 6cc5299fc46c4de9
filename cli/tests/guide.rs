// SPDX-License-Identifier: GPL-2.0-or-later

//! What the guide shows is what happens: each page is followed from its top on a host of its own, as a
//! reader would on a machine that has the packages installed.
//!
//! In a page, a block is
//!
//! - `console`: each line that begins with `$ ` is a command, and what follows is what it prints;
//! - `console eventually`: the same for commands that change nothing; they are repeated until they
//!   print that;
//! - `console watching`: a command in a terminal of its own; it prints that by the end of the page.
//!
//! A here-document ends at `END`, and a line that ends with a backslash goes on. Times, SPIs and the like
//! are not compared, nor are lines of progress, of which there are more or fewer each time. Blocks of
//! other kinds are not run. With `UPDATE_GUIDE=1` in the environment, outputs that are not true any more
//! are replaced in the pages; with `UPDATE_GUIDE=all`, the others as well.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use extsock_lab::wait::DEADLINE;
use extsock_lab::{kernel_has_esp, Host, Lab};
use regex::Regex;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const POLL: Duration = Duration::from_millis(100);
/// What prints the same for that long is taken to be settled when the pages are updated: longer than the
/// steps of the failovers in them.
const SETTLED: Duration = Duration::from_secs(6);

#[test]
fn guide_first_failover() {
    follow("first-failover.md");
}

#[test]
fn guide_operating() {
    follow("operating.md");
}

/// Follows a page, and says all that is not as it shows.
fn follow(name: &str) {
    let path = Path::new(ROOT).join("docs").join(name);
    let text = fs::read_to_string(&path).expect("the page is there");
    let lines: Vec<&str> = text.lines().collect();
    let steps = steps(&lines);
    assert!(!steps.is_empty(), "{name} shows nothing");

    let lab = Lab::new();
    let mut machine = Machine::new(lab.bare_client());
    let update = env::var("UPDATE_GUIDE").ok();
    let all = update.as_deref() == Some("all");
    let patience = update.as_ref().map_or(DEADLINE, |_| SETTLED);
    let mut wrong = String::new();
    let mut truth: Vec<(Range<usize>, String)> = Vec::new();
    let mut watching = Vec::new();
    let mut compare = |step: &Step, printed: String| {
        if all || comparable(&step.output) != comparable(&printed) {
            let _ = write!(
                wrong,
                "{name}:{}: $ {}\nshown:\n{}printed:\n{printed}\n",
                step.lines.start, step.command, step.output
            );
            truth.push((step.lines.clone(), printed));
        }
    };
    for step in &steps {
        match step.kind {
            Kind::Once => compare(step, machine.run(&step.command)),
            Kind::Eventually => {
                let printed = eventually(step, patience, || machine.run(&step.command));
                compare(step, printed);
            }
            Kind::Watching => watching.push((step, machine.watch(&step.command))),
        }
    }
    for (step, output) in watching {
        let printed = eventually(step, patience, || machine.run(&format!("cat {output}")));
        compare(step, printed);
    }
    if update.is_some() {
        truth.sort_by_key(|(range, _)| range.start);
        fs::write(&path, updated(&lines, &truth)).expect("the page is writable");
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// One command of a page.
struct Step {
    kind: Kind,
    command: String,
    output: String,
    /// Those of the output.
    lines: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Once,
    Eventually,
    Watching,
}

fn steps(page: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut kind = None;
    let mut index = 0;
    while index < page.len() {
        let line = page[index];
        index += 1;
        if let Some(info) = line.strip_prefix("```") {
            kind = match info {
                "console" => Some(Kind::Once),
                "console eventually" => Some(Kind::Eventually),
                "console watching" => Some(Kind::Watching),
                _ => None,
            };
            continue;
        }
        let Some(kind) = kind else { continue };
        if let Some(command) = line.strip_prefix("$ ") {
            let mut command = command.to_owned();
            while command.ends_with('\\') || in_document(&command) {
                let _ = write!(command, "\n{}", page[index]);
                index += 1;
            }
            steps.push(Step {
                kind,
                command,
                output: String::new(),
                lines: index..index,
            });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            let _ = writeln!(step.output, "{line}");
            step.lines.end = index;
        }
    }
    steps
}

/// Whether a here-document has begun and not ended.
fn in_document(command: &str) -> bool {
    command.contains("<<'END'") && !command.ends_with("\nEND")
}

fn updated(page: &[&str], truth: &[(Range<usize>, String)]) -> String {
    let mut text = String::new();
    let mut next = 0;
    for (range, printed) in truth {
        for line in page[next..range.start]
            .iter()
            .copied()
            .chain(printed.trim_end().lines())
        {
            let _ = writeln!(text, "{line}");
        }
        next = range.end;
    }
    for line in &page[next..] {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Repeats it until it prints what is shown, or, with `patience`, the same for that long.
fn eventually(step: &Step, patience: Duration, mut print: impl FnMut() -> String) -> String {
    let shown = comparable(&step.output);
    let mut last = String::new();
    let mut changed = Instant::now();
    loop {
        let printed = print();
        let now = comparable(&printed);
        if now == shown || changed.elapsed() > patience {
            return printed;
        }
        if now != last {
            last = now;
            changed = Instant::now();
        }
        thread::sleep(POLL);
    }
}

/// Without what is different each time.
fn comparable(output: &str) -> String {
    static CHANGING: LazyLock<Regex> = LazyLock::new(|| {
        let alternatives = [
            // times and dates
            r"\d{4}-\d\d-\d\dT[\d:.]+Z",
            r"\b(?:\d\d-\d\d )?\d\d:\d\d:\d\d\b",
            // durations
            r"\b\d+h\d\dm\b",
            r"\b\d+m\d\ds\b",
            r"\b[\d.]+ ?m?s\b",
            // ids and SPIs
            r"#\d+",
            r"\b\d+ seconds?",
            r"\b(?:spi|spi_in|spi_out|uniqueid|ike_sa_uniqueid|seq|outage_ms|established_ms|time_ms|pid)\W{1,3}\d+",
            r"\b[0-9a-f]{16}\b",
            r"\b[0-9a-f]{8}_[io]\b",
            r"\[\d+\]",
            // counters of clients, of which there are more or fewer as commands are repeated
            r"\b(?:clients_accepted|events) +\d+",
            r"\b(?:version|strong[sS]wan) +[\d.]+",
            // ping's summary
            r"= [\d./]+",
            // charon encapsulates ESP wherever it is not the kernel's
            r"\bESP(?: in UDP)? SPIs\b",
        ];
        Regex::new(&alternatives.join("|")).expect("it is a regular expression")
    });
    static PROGRESS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^ *\d+\.\d s ").expect("it is a regular expression"));
    let lines = output
        .lines()
        .filter(|line| !PROGRESS.is_match(line))
        .map(|line| {
            let masked = CHANGING.replace_all(line, "#");
            // Columns are as wide as what is in them.
            masked.split_whitespace().collect::<Vec<_>>().join(" ")
        });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Makes of a host of the lab what a machine is after the installation of the packages. Changes to /etc
/// and the like are in the host's own copies.
const INSTALL: &str = r#"
set -e
own() { cp -a "$1" "$2" && mount --bind "$2" "$1"; }
own /etc /run/lab/etc
own /usr/lib/ipsec/plugins /run/lab/plugins
cp "$PLUGIN" /usr/lib/ipsec/plugins/
echo 'extsock { load = yes }' > /etc/strongswan.d/charon/extsock.conf
mkdir -p /etc/extsock.d
if [ -n "$USERLAND_ESP" ]; then
    sed -i 's/load = no/load = yes/' /etc/strongswan.d/charon/kernel-libipsec.conf
fi
mount -t tmpfs doc /usr/share/doc
mkdir -p /usr/share/doc/libcharon-extsock-plugin/examples
mount --bind "$EXAMPLES" /usr/share/doc/libcharon-extsock-plugin/examples
mkdir /run/lab/bin /run/lab/home
cp "$EXTSOCKCTL" /run/lab/bin/
export PATH="/run/lab/bin:$PATH" HOME=/run/lab/home LC_ALL=C
cd
set +e
"#;

/// Ends the output of a command.
const MARK: &str = "--- done";

/// A shell on a host, and all that was started from it.
struct Machine {
    host: Host,
    // Whatever it started ends with it, as its process namespace does.
    shell: Child,
    input: ChildStdin,
    output: Receiver<String>,
    watched: u32,
}

impl Machine {
    fn new(host: Host) -> Self {
        let userland_esp = if kernel_has_esp() { "" } else { "yes" };
        let mut shell = host
            .command("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc", "bash"])
            .env("PLUGIN", absolute("target/plugin/libstrongswan-extsock.so"))
            .env("EXAMPLES", absolute("docs/examples"))
            .env("USERLAND_ESP", userland_esp)
            .env("EXTSOCKCTL", env!("CARGO_BIN_EXE_extsockctl"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux starts");
        let input = shell.stdin.take().expect("it is piped");
        let stdout = shell.stdout.take().expect("it is piped");
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut machine = Self {
            host,
            shell,
            input,
            output,
            watched: 0,
        };
        let said = machine.run(INSTALL);
        assert_eq!(said, "", "the installation");
        machine
    }

    /// Runs a command in the shell, and returns what it prints.
    #[track_caller]
    fn run(&mut self, command: &str) -> String {
        // In a file, so that no command reads the next one as its input.
        self.put("/run/lab/step", command);
        writeln!(
            self.input,
            ". /run/lab/step < /dev/null 2>&1; echo; echo '{MARK}'"
        )
        .expect("the shell reads");
        let mut printed = String::new();
        let begin = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(begin.elapsed());
            match self.output.recv_timeout(left) {
                Ok(line) if line == MARK => break,
                Ok(line) => printed += &format!("{line}\n"),
                Err(_) => panic!("{command} does not end; it has printed:\n{printed}"),
            }
        }
        // The line end before the mark.
        printed.pop();
        printed
    }

    /// Starts a command that shows events, and returns the file that has what it prints.
    fn watch(&mut self, command: &str) -> String {
        let clients = |machine: &mut Self| {
            let stats = machine.run("extsockctl --json stats");
            let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
            stats["clients"].as_u64()
        };
        let before = clients(self);
        self.watched += 1;
        let output = format!("/run/lab/watched.{}", self.watched);
        self.run(&format!("{command} > {output} 2>&1 &"));
        extsock_lab::wait::until("it listens", || (clients(self) > before).then_some(()));
        output
    }

    fn put(&self, path: &str, content: &str) {
        let mut tee = self
            .host
            .command("tee")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("there is tee");
        let mut stdin = tee.stdin.take().expect("it is piped");
        writeln!(stdin, "{content}").expect("tee reads");
        drop(stdin);
        assert!(tee.wait().expect("tee is ours").success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only if it has gone by itself.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn absolute(path: &str) -> PathBuf {
    let path = Path::new(ROOT).join(path);
    fs::canonicalize(&path)
        .unwrap_or_else(|e| panic!("{}: {e}: run `cargo xtask build`", path.display()))
}
