// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the certificates and keys that a connection names; nothing is given to charon yet.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use extsock_core::config::{
    self, Auth, Authority, CertificateSource, CredentialFile, Problem, Problems, Secret, TokenKey,
    TokenObject,
};

use super::digest::Digest;
use crate::charon::{
    finds_tokens, on_secure_heap, setting_string, token_modules, AuthCfg, Certificate, Container,
    Credentials, Distributed, Identification, IdentityRule, NoKey, PrivateKey,
};

/// The certificates, keys and authorities of a connection or a document.
#[derive(Default)]
pub struct Material {
    certificates: Vec<(Certificate, Trust)>,
    keys: Vec<PrivateKey>,
    /// The handles of keys on tokens, and their PINs.
    pins: Vec<(Vec<u8>, Secret)>,
    points: Vec<(Distributed, Identification, String)>,
    files: Vec<ReadFile>,
}

/// A file or token object that was read, and a digest by which a later change is noticed.
pub(crate) struct ReadFile {
    origin: Origin,
    digest: Digest,
}

enum Origin {
    File(PathBuf),
    /// A certificate on a token. Keys there are not read.
    Token(TokenObject),
}

impl ReadFile {
    /// Whether it has the same content now. Reads it.
    pub(crate) fn is_unchanged(&self) -> bool {
        let digest = match &self.origin {
            Origin::File(path) => read_file(path).ok().map(|content| Digest::of(&content)),
            Origin::Token(object) => {
                Certificate::on_token(object).map(|found| Digest::of(&found.encoding()))
            }
        };
        digest.is_some_and(|digest| digest == self.digest)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Yes,
    No,
}

impl Material {
    /// Reads a private key of `secrets`.
    pub(crate) fn add_key(&mut self, key: &config::PrivateKey) -> Result<(), Problem> {
        let key = self.private_key(key, "")?;
        self.keys.push(key);
        Ok(())
    }

    /// Reads a PKCS#12 container of `secrets`. As swanctl does, all its certificates are trusted.
    pub fn add_container(&mut self, container: &config::PrivateKey) -> Result<(), Problem> {
        let file = &container.file;
        if !Container::are_supported() {
            let what = "charon to have the plugin pkcs12, or openssl, for containers";
            return Err(unusable(file, "", what));
        }
        let passphrase = container.passphrase.as_ref().map(|s| s.as_bytes());
        let what = match passphrase {
            Some(_) => "a PKCS#12 container that the passphrase decrypts",
            None => "a PKCS#12 container that needs no passphrase",
        };
        let encoded = self.read_file(file, "", container.directory, what)?;
        let content = Container::pkcs12(&encoded, passphrase)
            .filter(|content| !content.keys.is_empty() || !content.certificates.is_empty())
            .ok_or_else(|| unusable(file, "", what))?;
        if !content.certificates.iter().all(Certificate::is_valid_now) {
            let what = "certificates that are valid now, neither expired nor of the future";
            return Err(unusable(file, "", what));
        }
        let trusted = content.certificates.into_iter().map(|c| (c, Trust::Yes));
        self.certificates.extend(trusted);
        self.keys.extend(content.keys);
        Ok(())
    }

    /// Finds a private key of `secrets` on its token.
    pub fn add_token_key(&mut self, key: &TokenKey) -> Result<(), Problem> {
        let pin = key.pin.as_ref();
        check_module(&key.object, "")?;
        let found = PrivateKey::on_token(&key.object, pin.map(Secret::as_bytes));
        let found = found.map_err(|why| match why {
            NoKey::Locked => Problem {
                path: key.object.option("pin"),
                why: "expected the PIN of a token that has a private key with the handle, found another"
                    .to_owned(),
            },
            NoKey::NotFound => {
                let which = match pin {
                    Some(_) => "",
                    None => " that needs no PIN",
                };
                missing(&key.object, "", "a private key", which)
            }
        })?;
        self.keys.push(found);
        // Some keys require the PIN again for each signature.
        let pin = pin.map(|pin| (key.object.handle.clone(), on_secure_heap(|| pin.clone())));
        self.pins.extend(pin);
        Ok(())
    }

    /// Reads the certificate of an authority and takes its addresses.
    pub fn add_authority(&mut self, authority: &Authority) -> Result<(), Problem> {
        let path = format!("authorities.{}", authority.name);
        let certificate = self.ca(&authority.certificate, &path)?;
        for id in certificate.key_ids() {
            for (of, uris) in [
                (Distributed::Crl, &authority.crl_uris),
                (Distributed::OcspResponses, &authority.ocsp_uris),
            ] {
                let points = uris.iter().map(|uri| (of, id.clone(), uri.clone()));
                self.points.extend(points);
            }
        }
        if let Some(base) = &authority.cert_uri_base {
            let of = Distributed::Certificates;
            self.points.push((of, certificate.subject(), base.clone()));
        }
        self.certificates.push((certificate, Trust::Yes));
        Ok(())
    }

    /// The files that were read so far.
    pub(crate) fn take_files(&mut self) -> Vec<ReadFile> {
        std::mem::take(&mut self.files)
    }

    /// Lets charon use the credentials until the result is dropped; None if there are none.
    pub fn register(self) -> Option<Credentials> {
        if self.certificates.is_empty() && self.keys.is_empty() {
            return None;
        }
        let credentials = Credentials::register();
        for (certificate, trust) in self.certificates {
            credentials.add_certificate(certificate, trust == Trust::Yes);
        }
        for key in self.keys {
            credentials.add_private_key(key);
        }
        for (handle, pin) in self.pins {
            credentials.add_pin(&handle, pin.as_bytes());
        }
        for (of, id, uri) in self.points {
            credentials.add_distribution_point(of, &id, &uri);
        }
        Some(credentials)
    }

    /// Reads the files that an authentication round names, and adds to `auth` the certificates and the identity
    /// that follow from them. `path` is the round's place in the configuration.
    pub(super) fn read(
        &mut self,
        round: &Auth,
        local: bool,
        path: &str,
        auth: &mut AuthCfg,
        problems: &mut Problems,
    ) {
        let mut own = Vec::new();
        for source in &round.certs {
            let Some(certificate) = problems.keep(self.x509(source, path, "x509")) else {
                continue;
            };
            own.push((source.clone(), certificate.clone()));
            self.certificates.push((certificate, Trust::Yes));
        }
        let owner = round.id.as_deref().and_then(Identification::pattern);
        for file in &round.pubkeys {
            let result = self.raw_public_key(file, path, owner.as_ref());
            let Some(certificate) = problems.keep(result) else {
                continue;
            };
            own.push((CertificateSource::File(file.clone()), certificate.clone()));
            self.certificates.push((certificate, Trust::Yes));
        }
        for source in &round.cacerts {
            let Some(certificate) = problems.keep(self.ca(source, path)) else {
                continue;
            };
            if !local {
                auth.add_ca(certificate.clone());
            }
            self.certificates.push((certificate, Trust::Yes));
        }
        for file in &round.intermediates {
            let source = CertificateSource::File(file.clone());
            let certificate = problems.keep(self.ca(&source, path));
            self.certificates
                .extend(certificate.map(|c| (c, Trust::No)));
        }
        if let Some(key) = &round.private_key {
            // The first certificate is the end entity's; further ones may be intermediate CAs.
            let own = own.first();
            let private = self.private_key_of(own, key, path);
            self.keys.extend(problems.keep(private));
        }
        if let (None, Some((_, certificate))) = (&round.id, own.first()) {
            auth.add_identity(IdentityRule::Ike, certificate.subject());
        }
        for (_, certificate) in own {
            auth.add_certificate(certificate);
        }
    }

    /// The key of a round, which has to be that of its certificate.
    fn private_key_of(
        &mut self,
        own: Option<&(CertificateSource, Certificate)>,
        key: &config::PrivateKey,
        path: &str,
    ) -> Result<PrivateKey, Problem> {
        let private = self.private_key(key, path)?;
        match own {
            Some((source, certificate)) if !private.is_key_of(certificate) => {
                let what = format!("the key of {} {:?}", source.option(), source.name());
                Err(unusable(&key.file, path, &what))
            }
            _ => Ok(private),
        }
    }

    fn raw_public_key(
        &mut self,
        file: &CredentialFile,
        round: &str,
        owner: Option<&Identification>,
    ) -> Result<Certificate, Problem> {
        let what = "a public key in PEM or DER";
        let encoded = self.read_file(file, round, "pubkey", what)?;
        Certificate::raw_public_key(&encoded, owner).ok_or_else(|| unusable(file, round, what))
    }

    fn private_key(
        &mut self,
        key: &config::PrivateKey,
        round: &str,
    ) -> Result<PrivateKey, Problem> {
        let passphrase = key.passphrase.as_ref().map(|secret| secret.as_bytes());
        let what = match passphrase {
            Some(_) => "a private key in PEM or DER that the passphrase decrypts",
            None => "a private key in PEM or DER that needs no passphrase",
        };
        let encoded = self.read_file(&key.file, round, key.directory, what)?;
        PrivateKey::new(&encoded, passphrase).ok_or_else(|| unusable(&key.file, round, what))
    }

    fn x509(
        &mut self,
        source: &CertificateSource,
        round: &str,
        directory: &str,
    ) -> Result<Certificate, Problem> {
        let certificate = match source {
            CertificateSource::File(file) => {
                let what = "an X.509 certificate in PEM or DER";
                let encoded = self.read_file(file, round, directory, what)?;
                Certificate::x509(&encoded).ok_or_else(|| unusable(file, round, what))?
            }
            CertificateSource::Token(object) => {
                check_module(object, round)?;
                let found = Certificate::on_token(object)
                    .ok_or_else(|| missing(object, round, "an X.509 certificate", ""))?;
                let digest = Digest::of(&found.encoding());
                let origin = Origin::Token(object.clone());
                self.files.push(ReadFile { origin, digest });
                found
            }
        };
        if !certificate.is_valid_now() {
            let what = "a certificate that is valid now, neither expired nor of the future";
            return Err(unusable_certificate(source, round, what));
        }
        Ok(certificate)
    }

    fn ca(&mut self, source: &CertificateSource, path: &str) -> Result<Certificate, Problem> {
        let certificate = self.x509(source, path, "x509ca")?;
        if !certificate.is_ca() {
            return Err(unusable_certificate(source, path, "a certificate of a CA"));
        }
        Ok(certificate)
    }

    fn read_file(
        &mut self,
        file: &CredentialFile,
        round: &str,
        directory: &str,
        what: &str,
    ) -> Result<Vec<u8>, Problem> {
        let path = located(&file.path, directory);
        match read_file(&path) {
            Ok(content) => {
                let digest = Digest::of(&content);
                let origin = Origin::File(path);
                self.files.push(ReadFile { origin, digest });
                Ok(content)
            }
            Err(problem) => {
                let what = format!("{what} ({}: {problem})", path.display());
                Err(unusable(file, round, &what))
            }
        }
    }
}

/// Larger than any file with certificates or keys.
const LIMIT: u64 = 1 << 20;

/// Reads a file into the secure heap, which is wiped as it is freed.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Checked first, because opening a named pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    on_secure_heap(|| {
        // With less capacity, read_to_end() would read the first bytes into a buffer on the stack.
        let mut content = Vec::with_capacity(LIMIT as usize);
        File::open(path)?.take(LIMIT).read_to_end(&mut content)?;
        Ok(content)
    })
}

/// The path of a file that is given relative to a directory of swanctl, as swanctl resolves it.
fn located(path: &str, directory: &str) -> PathBuf {
    Path::new(&setting_string("swanctl_dir", DEFAULT_SWANCTL_DIR))
        .join(directory)
        .join(path)
}

const DEFAULT_SWANCTL_DIR: &str = env!("EXTSOCK_SWANCTLDIR");

fn unusable(file: &CredentialFile, round: &str, what: &str) -> Problem {
    problem(round, &file.option, what, &file.path)
}

fn unusable_certificate(source: &CertificateSource, round: &str, what: &str) -> Problem {
    problem(round, &source.option(), what, &source.name())
}

/// Checks that charon knows the module: it would ignore an unknown name, unless a slot is given too.
fn check_module(object: &TokenObject, round: &str) -> Result<(), Problem> {
    let (Some(module), Some(modules)) = (&object.module, token_modules()) else {
        return Ok(());
    };
    let what = match modules.as_slice() {
        known if known.contains(module) => return Ok(()),
        [] => "none, as strongswan.conf has no charon.plugins.pkcs11.modules".to_owned(),
        known => {
            let known = known.join(", ");
            format!("one of charon.plugins.pkcs11.modules in strongswan.conf ({known})")
        }
    };
    Err(problem(round, &object.option("module"), &what, module))
}

/// The problem that no token has the object; `which` narrows down the objects that were looked for.
fn missing(object: &TokenObject, round: &str, what: &str, which: &str) -> Problem {
    let place = match (object.slot, &object.module) {
        (None, None) => String::new(),
        (Some(slot), None) => format!(" in slot {slot}"),
        (None, Some(module)) => format!(" of module {module}"),
        (Some(slot), Some(module)) => format!(" in slot {slot} of module {module}"),
    };
    let what = if finds_tokens() {
        format!("the CKA_ID of {what} on a token{place}{which}")
    } else {
        "charon to have the plugin pkcs11, for tokens".to_owned()
    };
    problem(round, &object.option("handle"), &what, &object.handle_hex())
}

fn problem(round: &str, option: &str, what: &str, found: &str) -> Problem {
    let path = [round, option].into_iter().filter(|part| !part.is_empty());
    Problem {
        path: path.collect::<Vec<_>>().join("."),
        // Not shortened, so that the whole name can be read.
        why: format!("expected {what}, found {found:?}"),
    }
}
