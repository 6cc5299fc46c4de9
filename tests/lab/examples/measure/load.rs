// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon's own work takes with the plugin and without it. Both clients do the same, with the same
//! connection, in turns where they would keep each other from it.

use std::thread;
use std::time::Duration;

use extsock_lab::pairs::{json, swanctl_conf, Pair, Values};
use extsock_lab::{Client, ClientOptions, Gateway, Lab, Loading, PSK};
use serde_json::{json, Value};

use super::usage::Usage;

const OPTIONS: &str = "
    version = 2
    mobike = no
    local_addrs = 192.168.7.1
    remote_addrs = 192.168.7.11,192.168.7.12
    dpd_delay = 1s
    proposals = aes128-sha256-modp2048
    local {
    auth = psk
    id = client
    }
    remote {
    auth = psk
    id = segw
    }
    children {
    net2 {
    local_ts = 10.1.0.0/24
    remote_ts = 10.2.0.0/24
    esp_proposals = aes128-sha256-modp2048
    }
    }";

const IDLE: Duration = Duration::from_secs(60);
/// In one turn.
const IKE_SAS: u32 = 10;
const PACKETS: u32 = 2000;

struct Subject {
    what: &'static str,
    client: Client,
    _gateway: Gateway,
    _lab: Lab,
}

impl Subject {
    fn new(what: &'static str, loading: Loading) -> Self {
        let lab = Lab::new();
        let gateway = lab.gateway(11);
        let client = lab.client_with(ClientOptions {
            loading,
            ..ClientOptions::default()
        });
        Self {
            what,
            client,
            _gateway: gateway,
            _lab: lab,
        }
    }

    fn without_plugin(pair: &Pair) -> Self {
        let subject = Self::new("without the plugin", Loading::Absent);
        let secrets = format!("secrets {{\nike {{\nid = segw\nsecret = {PSK}\n}}\n}}\n");
        let connections = swanctl_conf(std::slice::from_ref(pair));
        subject.client.load(&(connections + &secrets));
        subject
    }

    fn with_plugin(pair: &Pair) -> Self {
        let subject = Self::new("with the plugin", Loading::Directory);
        let text = json(std::slice::from_ref(pair), Values::Text);
        let mut config: Value = serde_json::from_str(&text).expect("pairs give JSON");
        config["secrets"] = json!({"ike": [{"id": "segw", "secret": PSK}]});
        subject.client.connect().apply(&config);
        subject
    }

    fn initiate(&self) {
        self.client.swanctl(&["--initiate", "--child", "net2"]);
    }

    fn terminate(&self) {
        self.client.swanctl(&["--terminate", "--ike", "net"]);
    }

    /// Processor time that charon takes for the work.
    fn time(&self, work: impl FnOnce()) -> Duration {
        let before = Usage::of(&self.client).time;
        work();
        Usage::of(&self.client).time - before
    }

    /// The time that ping needs for all packets, the next one sent when the one before is answered.
    fn flood(&self) -> Duration {
        let output = self
            .client
            .command("ping")
            .args(["-q", "-f", "-s", "1000", "-c", &PACKETS.to_string()])
            .arg("10.2.0.1")
            .output()
            .expect("nsenter of util-linux starts");
        // "2000 packets transmitted, 2000 received, 0% packet loss, time 1234ms"
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(", 0% packet loss"), "{text}");
        let time = text
            .split_once(", time ")
            .and_then(|(_, rest)| rest.split_once("ms"))
            .and_then(|(time, _)| time.parse().ok());
        Duration::from_millis(time.expect("ping tells"))
    }
}

pub fn measure(turns: usize) {
    let pair = Pair::new("net", OPTIONS);
    let subjects = [Subject::without_plugin(&pair), Subject::with_plugin(&pair)];

    for subject in &subjects {
        subject.initiate();
        subject.client.ping("10.2.0.1");
    }
    let before = subjects.each_ref().map(|one| Usage::of(&one.client).time);
    thread::sleep(IDLE);
    for (subject, before) in subjects.iter().zip(before) {
        let time = Usage::of(&subject.client).time - before;
        let percent = 100.0 * time.as_secs_f64() / IDLE.as_secs_f64();
        println!(
            "an idle tunnel with DPD each second, {}: {} ms of processor time in {} s, {percent:.2} %",
            subject.what,
            time.as_millis(),
            IDLE.as_secs(),
        );
    }

    let mut set_up = [Duration::ZERO; 2];
    let mut floods = [Vec::new(), Vec::new()];
    let mut flooded = [Duration::ZERO; 2];
    for _ in 0..turns {
        for (index, subject) in subjects.iter().enumerate() {
            flooded[index] += subject.time(|| floods[index].push(subject.flood()));
            set_up[index] += subject.time(|| {
                for _ in 0..IKE_SAS {
                    subject.terminate();
                    subject.initiate();
                }
            });
        }
    }
    let turns = u32::try_from(turns).expect("there are few");
    for (index, subject) in subjects.iter().enumerate() {
        println!(
            "{}: {} us of processor time for each of {} IKE_SAs set up and deleted, {} us for each of {} packets",
            subject.what,
            (set_up[index] / (IKE_SAS * turns)).as_micros(),
            IKE_SAS * turns,
            (flooded[index] / (PACKETS * turns)).as_micros(),
            PACKETS * turns,
        );
        super::report(
            &format!("{PACKETS} packets there and back, {}", subject.what),
            std::mem::take(&mut floods[index]),
        );
    }
}
