// SPDX-License-Identifier: GPL-2.0-or-later

//! The programs in docs/examples, with real charons.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::{env, fs, process, thread};

use extsock_lab::wait::{self, DEADLINE};
use extsock_lab::{connection, net, Client, Lab};
use serde_json::{json, Value};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");

#[test]
fn examples_in_python_apply_and_follow() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let mut client = lab.client();
    let config = TemporaryFile::new("net.json", &net(&[11, 12]).to_string());
    let socket = client.socket_path();

    let mut follow = Running::new(example("follow.py").arg(&socket));
    let mut control = client.connect();
    wait::until("it listens", || {
        (control.ok("STATS")["clients"] == 2).then_some(())
    });
    let apply = || run(example("apply.py").arg(config.path()).arg(&socket));
    assert_eq!(text(&apply().stdout), "net: up, to 192.168.7.11\n");
    follow.expect("net2: up, to 192.168.7.11, SPIs ");
    // It was up before.
    assert_eq!(text(&apply().stdout), "net: up, to 192.168.7.11\n");

    gateway_1.kill();
    follow.expect("net2: down, to 192.168.7.11, SPIs ");
    follow.expect("net2: up, to 192.168.7.12, SPIs ");

    client.stop();
    follow.expect("disconnected: the plugin has closed the connection");
    client.start();
    assert_eq!(text(&apply().stdout), "net: up, to 192.168.7.12\n");
    follow.expect("net2: ");

    // Nobody is there.
    let mut alone = connection("alone", &[13], &[3]);
    let fails = |config: &Value, seconds: &str| {
        let config = TemporaryFile::new("alone.json", &config.to_string());
        let mut apply = example("apply.py");
        let failed = run(apply.arg(config.path()).arg(&socket).arg(seconds));
        assert_eq!(failed.status.code(), Some(1));
        text(&failed.stderr)
    };
    assert_eq!(fails(&alone, "1"), "alone is connecting\n");
    let policy = json!({"max_retries": 1, "base_delay": 0, "exhausted_delay": 0});
    alone["connections"]["alone"]["failover"] = policy;
    let reason = "192.168.7.13 failed (peer_unreachable)";
    assert_eq!(
        fails(&alone, "30"),
        format!("alone is exhausted; {reason}\n")
    );

    let faulty = TemporaryFile::new("faulty.json", r#"{"connections": {"net": {"version": 3}}}"#);
    let refused = run(example("apply.py").arg(faulty.path()).arg(&socket));
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.starts_with("PARSING_FAILED: connections.net.version: "),
        "{said}"
    );
}

#[test]
fn example_in_python_notices_lost_events() {
    let socket = TemporaryFile::new("socket", "");
    fs::remove_file(socket.path()).expect("it was made");
    let listener = UnixListener::bind(socket.path()).expect("the path is free");
    let mut follow = Running::new(example("follow.py").arg(socket.path()));
    let (mut client, _) = listener.accept().expect("it connects");
    let mut requests = BufReader::new(client.try_clone().expect("a descriptor is free")).lines();
    let mut status = |child: &str, client: &mut dyn Write| {
        assert_eq!(
            requests.next().expect("it asks").expect("in UTF-8"),
            "STATUS"
        );
        writeln!(
            client,
            r#"{{"reply":"STATUS","ok":true,"connections":[{{"name":"net","state":"established","child_sas":["{child}"]}}]}}"#
        )
        .expect("it reads");
    };
    status("a", &mut client);
    follow.expect("net: established, a");
    for seq in [7, 8, 11] {
        let event = format!(r#"{{"event":"config_applied","connection":"net","seq":{seq}}}"#);
        writeln!(client, "{event}").expect("it reads");
    }
    follow.expect("2 events were lost");
    status("b", &mut client);
    follow.expect("net: established, b");
}

#[test]
fn examples_in_shell() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");

    let request = |arguments: &[&str]| {
        let mut request = example("request.sh");
        run(request.args(arguments).env("SOCKET", client.socket_path()))
    };
    let status = request(&["STATUS", "net"]);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["connections"][0]["active_gateway"], "192.168.7.11");
    let refused = request(&["STATUS", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stdout).contains("INVALID_PARAMETER"));

    let mut on_failover = Running::new(&mut with_extsockctl("on-failover.sh", &client));
    wait::until("it listens", || {
        (control.ok("STATS")["clients"] == 2).then_some(())
    });
    gateway_1.kill();
    on_failover.expect("notice net: 192.168.7.11 failed (dpd_timeout), trying 192.168.7.12");
    on_failover.expect("notice net: up again on 192.168.7.12 after ");
}

/// Alerts are made of them.
#[test]
fn monitoring_explains_all_metrics_and_no_others() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11]));
    let written = run(Command::new(env!("CARGO_BIN_EXE_extsockctl"))
        .arg("--socket")
        .arg(client.socket_path())
        .args(["stats", "--prometheus"]));
    let written = text(&written.stdout);
    let mut names: Vec<&str> = written
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    names.sort_unstable();
    let page = fs::read_to_string(Path::new(EXAMPLES).join("../monitoring.md")).expect("readable");
    let mut explained: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
        .filter(|name| name.starts_with("extsock_"))
        .collect();
    explained.sort_unstable();
    assert_eq!(names, explained, "left: written, right: docs/monitoring.md");
}

fn example(name: &str) -> Command {
    let mut command = Command::new(Path::new(EXAMPLES).join(name));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn with_extsockctl(name: &str, client: &Client) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_extsockctl"));
    let directory = program.parent().expect("it is in a directory");
    let path = env::var("PATH").unwrap_or_default();
    let mut command = example(name);
    command
        .arg("--socket")
        .arg(client.socket_path())
        .env("PATH", format!("{}:{path}", directory.display()));
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A program that goes on until it is dropped.
struct Running {
    process: Child,
    lines: Receiver<String>,
}

impl Running {
    fn new(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = process.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, lines }
    }

    /// Waits for a line that begins so.
    #[track_caller]
    fn expect(&mut self, begin: &str) {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line.starts_with(begin) => return,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line {begin:?}, only {seen:#?}"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has gone by itself. A child of a script ends with charon.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, content: &str) -> Self {
        let path = env::temp_dir().join(format!("extsock-{}-{name}", process::id()));
        fs::write(&path, content).expect("there is room for temporary files");
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Fails only if it has gone by itself.
        let _ = fs::remove_file(&self.0);
    }
}
