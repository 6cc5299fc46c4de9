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
    for (rule, option, id) in [
        (IdentityRule::Ike, "id", &round.id),
        (IdentityRule::Ca, "ca_id", &round.ca_id),
        (IdentityRule::Aaa, "aaa_id", &round.aaa_id),
        (IdentityRule::Eap, "eap_id", &round.eap_id),
        (IdentityRule::Xauth, "xauth_id", &round.xauth_id),
    ] {
        if let Some(id) = id {
            let id = problems.keep(identity(id, &format!("{path}.{option}")));
            if let Some(id) = id {
                auth.add_identity(rule, id);
            }
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

/// One that may be a pattern.
pub(crate) fn identity(id: &str, path: &str) -> Result<Identification, Problem> {
    let valid = Identification::pattern(id);
    valid.ok_or_else(|| Problem::expected(path.to_owned(), "a valid regular expression", id))
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
