// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection is the same to swanctl whether swanctl.conf or our JSON describes it. What swanctl does not
//! show is compared in tests/in_process/equality.rs, with the same connections.

use extsock_lab::pairs::{json, pairs, swanctl_conf, token_pairs, Pair, Values};
use extsock_lab::{has_ikev1, Client, Lab, Pki};

use crate::{authentication, tokens};

/// What swanctl tells of each connection, in the order of their names.
fn listed(client: &Client) -> Vec<String> {
    let list = client.swanctl(&["--list-conns", "--raw"]);
    let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[track_caller]
fn test(client: &Client, pairs: &[Pair]) {
    let mut control = client.connect();
    client.load(&swanctl_conf(pairs));
    let expected = listed(client);
    assert!(expected.len() >= pairs.len(), "{expected:#?}");
    client.load("");
    assert_eq!(client.swanctl(&["--list-conns"]), "");

    for values in [Values::Text, Values::Native] {
        control.ok(&format!("APPLY_CONFIG {}", json(pairs, values)));
        let found = listed(client);
        let unlike = |list: &[String], other: &[String]| -> Vec<String> {
            let lines = list.iter().filter(|line| !other.contains(line));
            lines.cloned().collect()
        };
        let (missing, wrong) = (unlike(&expected, &found), unlike(&found, &expected));
        assert_eq!(wrong, missing, "{values:?}");
        assert_eq!(found.len(), expected.len());
        for pair in pairs {
            control.ok(&format!("REMOVE_CONFIG {}", pair.name));
        }
        assert_eq!(client.swanctl(&["--list-conns"]), "");
    }
}

#[test]
fn swanctl_conf_and_json_give_equal_connections() {
    let pki = Pki::with_ca("ca");
    for host in ["client", "gateway"] {
        pki.add_host(host, "ca");
    }
    pki.openssl("pkey -in gateway.key -pubout -out gateway.pub");
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut pairs = pairs(
        pki.path("").trim_end_matches('/'),
        control.strongswan_version(),
    );
    // Which swanctl does not show, while what is started needs an address, and then is.
    pairs.retain(|pair| {
        !pair
            .option("start_action")
            .is_some_and(|action| action.contains("start"))
    });
    // Which a charon without IKEv1 refuses (configuration.rs).
    pairs.retain(|pair| has_ikev1() || pair.option("version") != Some("1"));
    test(&client, &pairs);
}

#[test]
fn swanctl_conf_and_json_name_certificates_on_tokens_alike() {
    let pki = authentication::pki();
    let token = tokens::token(&pki, tokens::PIN);
    let lab = Lab::new();
    test(&tokens::client(&lab, &token), &token_pairs(&token));
}
