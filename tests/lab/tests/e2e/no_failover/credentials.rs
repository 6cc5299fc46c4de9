// SPDX-License-Identifier: GPL-2.0-or-later

//! Credentials of our own are missing, which no other gateway can change.

use extsock_lab::{connection, net, Client, Lab};

use super::{expect_down, wait_single};
use crate::policy::swanctl_conf;
use crate::wait_state;

const REPORT: &str = "no credentials of our own for gateway";

fn reports(client: &Client) -> usize {
    client.log().matches(REPORT).count()
}

#[test]
fn of_a_connection_of_ours() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&connection("net", &[11, 12], &[2]));
    control.ok("INITIATE net");
    client.wait_log("no shared key found");
    client.wait_log(REPORT);
    expect_down(&mut control, &client);
    assert_eq!(reports(&client), 1, "{}", client.log());

    // Once they are there it comes up.
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "established");
    wait_single(&client);
    client.ping("10.2.0.1");
    assert_eq!(reports(&client), 1);
}

#[test]
fn of_a_connection_that_charon_tries_for_ever() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    let mut config = connection("net", &[11, 12], &[2]);
    config["connections"]["net"]["keyingtries"] = 0.into();
    control.apply(&config);
    control.ok("INITIATE net");
    client.wait_log(REPORT);
    expect_down(&mut control, &client);
    assert_eq!(reports(&client), 1, "{}", client.log());
}

#[test]
fn of_a_connection_of_swanctls() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let control = client.connect();
    let conf = swanctl_conf("192.168.7.11, 192.168.7.12");
    let (without_secrets, _) = conf.split_once("secrets {").expect("it has secrets");
    client.load(without_secrets);
    let initiated = client.try_swanctl(&["--initiate", "--child", "data"]);
    assert!(initiated.is_err(), "{initiated:?}");
    client.wait_log(REPORT);
    super::expect_none(&control, &client);
    assert_eq!(reports(&client), 1, "{}", client.log());
}
