// SPDX-License-Identifier: GPL-2.0-or-later

//! Authentication rounds as charon's objects.

use extsock_core::config::{Auth, AuthMethod, Problem, Problems, Revocation};

use super::credential_files::Material;
use crate::charon::{AuthCfg, AuthClass, Identification, IdentityRule};

/// The auth_cfg of a round, whose files go to `material`; `connection` is the path of its connection.
pub(super) fn auth_cfg(
    round: &Auth,
    local: bool,
    connection: &str,
    material: &mut Material,
    problems: &mut Problems,
) -> AuthCfg {
    let path = format!("{connection}.{}", round.section);
    let mut auth = AuthCfg::default();
    problems.keep(set_method(&mut auth, round, &path));
    for (rule, id) in [
        (IdentityRule::Ike, &round.id),
        (IdentityRule::Ca, &round.ca_id),
        (IdentityRule::Aaa, &round.aaa_id),
        (IdentityRule::Eap, &round.eap_id),
        (IdentityRule::Xauth, &round.xauth_id),
    ] {
        if let Some(id) = id {
            auth.add_identity(rule, Identification::from_string(id));
        }
    }
    for group in &round.groups {
        auth.add_identity(IdentityRule::Group, Identification::from_string(group));
    }
    for oid in &round.cert_policy {
        auth.add_cert_policy(oid);
    }
    match round.revocation {
        Revocation::Relaxed => {}
        Revocation::IfUri => auth.set_revocation(false),
        Revocation::Strict => auth.set_revocation(true),
    }
    material.read(round, local, &path, &mut auth, problems);
    for option in &round.disabled {
        log::warn!("{path}.{option}: charon has that for all connections only, as charon.plugins.revocation.{option}");
    }
    auth
}

fn set_method(auth: &mut AuthCfg, round: &Auth, path: &str) -> Result<(), Problem> {
    match &round.method {
        AuthMethod::Any => {}
        AuthMethod::Psk => auth.set_class(AuthClass::Psk),
        AuthMethod::Pubkey { constraints } => {
            auth.set_class(AuthClass::Pubkey);
            auth.add_pubkey_constraints(constraints, true);
        }
        AuthMethod::Eap {
            method,
            constraints,
        } => {
            auth.set_class(AuthClass::Eap);
            if let Some(constraints) = constraints {
                auth.add_pubkey_constraints(constraints, false);
            }
            if let Some(method) = method {
                if !auth.set_eap_method(method) {
                    let path = format!("{path}.auth");
                    let what = "\"eap-\" and a method that charon knows (md5, mschapv2, tls)";
                    return Err(Problem::expected(path, what, &format!("eap-{method}")));
                }
            }
        }
        AuthMethod::Xauth { backend } => {
            if let Some(backend) = backend {
                auth.set_xauth_backend(backend);
            }
            auth.set_class(AuthClass::Xauth);
        }
    }
    Ok(())
}
