// SPDX-License-Identifier: GPL-2.0-or-later

//! Finds strongSwan's headers and config.h, generates the bindings and compiles the C shim.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

/// The inputs of this build.
const VARIABLES: [&str; 6] = [
    // The unpacked source.
    "STRONGSWAN_SRC",
    // Where its config.h is, if elsewhere.
    "STRONGSWAN_BUILD",
    // charon's directory of sockets, configure's --with-piddir.
    "STRONGSWAN_PIDDIR",
    // charon's directory of configurations, configure's --sysconfdir.
    "STRONGSWAN_SYSCONFDIR",
    // charon's directory of swanctl's files, configure's --with-swanctldir.
    "STRONGSWAN_SWANCTLDIR",
    // The libraries that tests and benchmarks link.
    "STRONGSWAN_LIBDIR",
];

/// Releases that differ in what src/charon uses or has to do alike, as `cfg(strongswan_X_Y_Z)`: that or later.
const STEPS: [(&str, [u32; 3]); 7] = [
    // childless_t has another value.
    ("strongswan_5_9_10", [5, 9, 10]),
    // controller_t takes a log level; hw_offload_t has another value, and another name for yes.
    ("strongswan_5_9_11", [5, 9, 11]),
    // ike_cfg_t and peer_cfg_t have OCSP options.
    ("strongswan_5_9_14", [5, 9, 14]),
    // vici puts AEAD algorithms first in the ESP proposals of the word default, and so do we.
    ("strongswan_6_0_0", [6, 0, 0]),
    // peer_cfg_t has option flags in place of bools; child_cfg_t tells its selectors with fewer arguments;
    // there are another IPsec mode and CHILD_SAs for each CPU; identities may be regular expressions.
    ("strongswan_6_0_2", [6, 0, 2]),
    // child_cfg_t has an option for ICMP errors.
    ("strongswan_6_0_5", [6, 0, 5]),
    // ike_cfg_t and child_cfg_t take whether their proposals are to be logged.
    ("strongswan_6_0_7", [6, 0, 7]),
];

fn main() {
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for file in ["wrapper.h", "ffi/shim.h", "ffi/shim.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rustc-check-cfg=cfg(strongswan_me)");
    for (name, _) in STEPS {
        println!("cargo::rustc-check-cfg=cfg({name})");
    }

    let headers = Headers::find().unwrap_or_else(|problem| fail(&problem));
    headers.export();
    generate_bindings(&headers);
    compile_shim(&headers);
    stay_mapped();
    link_tests();
}

/// The unpacked source tree and the configured build of one strongSwan.
struct Headers {
    include: Vec<PathBuf>,
    config_h: PathBuf,
    version: String,
    mediation: bool,
}

impl Headers {
    fn find() -> Result<Self, String> {
        let src = env::var_os("STRONGSWAN_SRC")
            .map(PathBuf::from)
            .ok_or("STRONGSWAN_SRC is not set")?;
        let build = env::var_os("STRONGSWAN_BUILD").map_or_else(|| src.clone(), PathBuf::from);
        let include = vec![src.join("src/libstrongswan"), src.join("src/libcharon")];
        for (directory, header) in include.iter().zip(["library.h", "daemon.h"]) {
            let header = directory.join(header);
            if !header.is_file() {
                return Err(format!(
                    "STRONGSWAN_SRC={}: no {}",
                    src.display(),
                    header.display()
                ));
            }
        }
        let config_h = build.join("config.h");
        let text = fs::read_to_string(&config_h).map_err(|e| {
            format!(
                "cannot read {}, is the tree configured? ({e})",
                config_h.display()
            )
        })?;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("#define VERSION "))
            .map(|value| value.trim().trim_matches('"').to_owned())
            .ok_or_else(|| format!("{} defines no VERSION", config_h.display()))?;
        let mediation = text
            .lines()
            .any(|line| line.split_whitespace().take(2).eq(["#define", "ME"]));
        println!("cargo::rerun-if-changed={}", config_h.display());
        Ok(Self {
            include,
            config_h,
            version,
            mediation,
        })
    }

    /// Tells the crate which strongSwan it is built for.
    fn export(&self) {
        let number = numbers(&self.version).unwrap_or_else(|| {
            fail(&format!(
                "strongSwan version {:?} is not a number",
                self.version
            ))
        });
        println!(
            "cargo::rustc-env=EXTSOCK_STRONGSWAN_VERSION={}",
            self.version
        );
        let piddir = env::var("STRONGSWAN_PIDDIR").unwrap_or_else(|_| "/var/run".into());
        println!("cargo::rustc-env=EXTSOCK_PIDDIR={piddir}");
        let sysconfdir = env::var("STRONGSWAN_SYSCONFDIR").unwrap_or_else(|_| "/etc".into());
        println!("cargo::rustc-env=EXTSOCK_SYSCONFDIR={sysconfdir}");
        let swanctldir =
            env::var("STRONGSWAN_SWANCTLDIR").unwrap_or_else(|_| format!("{sysconfdir}/swanctl"));
        println!("cargo::rustc-env=EXTSOCK_SWANCTLDIR={swanctldir}");
        if self.mediation {
            println!("cargo::rustc-cfg=strongswan_me");
        }
        for (name, since) in STEPS {
            if number >= since {
                println!("cargo::rustc-cfg={name}");
            }
        }
    }

    fn include_flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self
            .include
            .iter()
            .map(|path| format!("-I{}", path.display()))
            .collect();
        flags.push("-Iffi".into());
        flags.push("-include".into());
        flags.push(self.config_h.display().to_string());
        flags
    }
}

/// "6.0.1" or "5.9.8dr1" as numbers; missing parts are zero.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut result = [0; 3];
    for (slot, part) in result.iter_mut().zip(version.split('.')) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        *slot = digits.parse().ok()?;
    }
    Some(result)
}

fn generate_bindings(headers: &Headers) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut builder = bindgen::builder()
        .header("wrapper.h")
        .clang_args(headers.include_flags())
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .derive_default(true)
        .derive_debug(false)
        .layout_tests(true)
        .generate_comments(false)
        .merge_extern_blocks(true);
    for item in TYPES {
        builder = builder.allowlist_type(item);
    }
    for item in FUNCTIONS {
        builder = builder.allowlist_function(item);
    }
    for item in VARIABLES_OF_C {
        builder = builder.allowlist_var(item);
    }
    let bindings = builder.generate().unwrap_or_else(|problem| {
        fail(&format!(
            "bindgen cannot read strongSwan's headers: {problem}"
        ))
    });
    if let Err(problem) = bindings.write_to_file(out.join("bindings.rs")) {
        fail(&format!("cannot write bindings.rs: {problem}"));
    }
}

const TYPES: [&str; 35] = [
    "alert_t",
    "auth_cfg_t",
    "auth_class_t",
    "backend_t",
    "builder_part_t",
    "cert_validation_t",
    "certificate_t",
    "child_cfg_create_t",
    "child_cfg_option_t",
    "child_sa_t",
    "container_type_t",
    "controller_t",
    "credential_type_t",
    "daemon_t",
    "enumerator_t",
    "ike_cfg_create_t",
    "ike_condition_t",
    "ike_dpd_t",
    "ike_sa_t",
    "kernel_listener_t",
    "key_type_t",
    "library_t",
    "linked_list_t",
    "listener_t",
    "mem_cred_t",
    "peer_cfg_create_t",
    "pkcs12_t",
    "plugin_feature_t",
    "plugin_t",
    "private_key_t",
    "stream_service_t",
    "task_queue_t",
    "task_type_t",
    "traffic_selector_t",
    "x509_t",
];

const FUNCTIONS: [&str; 39] = [
    "auth_cfg_create",
    "callback_cred_create_shared",
    "callback_job_create_with_prio",
    "child_cfg_create",
    "eap_vendor_type_from_string",
    "enum_to_name",
    "enumerator_create_cleaner",
    "extsock_alert",
    "extsock_decodes_pkcs12",
    "extsock_get_features",
    "extsock_identity",
    "host_create_from_string",
    "identification_create_from_encoding",
    "identification_create_from_string",
    "ike_cfg_create",
    "ike_dpd_create",
    "ike_sa_id_create",
    "libcharon_deinit",
    "libcharon_init",
    "library_deinit",
    "library_init",
    "linked_list_create",
    "mem_cred_create",
    "packet_create_from_data",
    "peer_cfg_create",
    "proposal_create_default",
    "proposal_create_default_aead",
    "proposal_create_from_string",
    "sec_label_from_string",
    "sec_label_mode_default",
    "shared_key_create",
    "stream_create_from_fd",
    "time_monotonic",
    "traffic_selector_create_dynamic",
    "traffic_selector_create_from_bytes",
    "traffic_selector_create_from_cidr",
    "traffic_selector_create_from_string",
    "traffic_selector_create_from_subnet",
    "stream_service_create_from_fd",
];

const VARIABLES_OF_C: [&str; 5] = [
    "charon",
    "dbg",
    "encryption_algorithm_names",
    "integrity_algorithm_names",
    "lib",
];

fn compile_shim(headers: &Headers) {
    let mut build = cc::Build::new();
    build.file("ffi/shim.c").std("gnu11").warnings(false);
    for flag in headers.include_flags() {
        build.flag(flag);
    }
    if let Err(problem) = build.try_compile("extsock_shim") {
        fail(&format!("cannot compile ffi/shim.c: {problem}"));
    }
}

/// A thread may still wait for a name server when charon unloads the plugin (src/adapter/execution/resolver.rs).
fn stay_mapped() {
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
}

/// The plugin resolves charon's symbols from the daemon that loads it; a test or benchmark is its own
/// daemon and has to link the libraries.
fn link_tests() {
    let directory = env::var("STRONGSWAN_LIBDIR").unwrap_or_else(|_| "/usr/lib/ipsec".into());
    for kind in ["tests", "benches"] {
        for library in ["libcharon.so.0", "libstrongswan.so.0"] {
            let path = Path::new(&directory).join(library);
            println!("cargo::rustc-link-arg-{kind}={}", path.display());
        }
        println!("cargo::rustc-link-arg-{kind}=-Wl,-rpath,{directory}");
    }
}

fn fail(problem: &str) -> ! {
    println!(
        "cargo::error={problem}; run `cargo xtask build`, which fetches and configures the headers, \
         or set STRONGSWAN_SRC to a configured strongSwan source tree (and STRONGSWAN_BUILD to the \
         directory of its config.h where that is another one)"
    );
    exit(1);
}
