// SPDX-License-Identifier: GPL-2.0-or-later

//! Certificates and keys in files, each with the option that names it.

use super::model::{CertificateSource, CredentialFile};
use super::text::parts;

pub(super) fn file(option: &str, path: String) -> CredentialFile {
    CredentialFile {
        option: option.to_owned(),
        path,
    }
}

pub(super) fn certificate(option: &str, path: String) -> CertificateSource {
    CertificateSource::File(file(option, path))
}

/// The files of a list, each with the path of its item as its option.
fn items(option: &str, paths: Vec<String>) -> impl Iterator<Item = CredentialFile> + use<'_> {
    let mut index = 0;
    paths.into_iter().map(move |path| {
        let item = format!("{option}[{index}]");
        // Paths count the parts between commas, see `Problem::path`.
        index += parts(&path).count();
        file(&item, path)
    })
}

pub(super) fn add_files(files: &mut Vec<CredentialFile>, option: &str, paths: Vec<String>) {
    files.extend(items(option, paths));
}

pub(super) fn add_certificates(
    certificates: &mut Vec<CertificateSource>,
    option: &str,
    paths: Vec<String>,
) {
    certificates.extend(items(option, paths).map(CertificateSource::File));
}
