// SPDX-License-Identifier: GPL-2.0-or-later

//! Which charons the plugin takes.

use extsock::charon::{built_for, check, BuiltFor, Refusal, Running};

use super::harness::init;

/// Like the libraries that the test links, in a daemon that names no version.
fn running() -> Running {
    init();
    Running {
        version: None,
        ..Running::detect()
    }
}

#[track_caller]
fn assert_refused(built: &BuiltFor, running: &Running) -> Refusal {
    let refusal = check(built, running).expect_err("it must be refused");
    let text = refusal.to_string();
    assert!(text.starts_with("built for "), "{text}");
    assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
    refusal
}

#[test]
fn the_libraries_that_the_tests_link_are_taken() {
    assert_eq!(check(&built_for(), &running()), Ok(()));
}

#[test]
fn a_daemon_that_names_the_same_version_is_taken() {
    let version = Some(built_for().version.to_owned());
    assert_eq!(
        check(
            &built_for(),
            &Running {
                version,
                ..running()
            }
        ),
        Ok(())
    );
}

#[test]
fn a_daemon_that_names_another_version_is_refused() {
    for other in ["5.9.7", "5.9.8", "5.9.8dr1", "5.9.80", "6.0.1", ""] {
        if other == built_for().version {
            continue;
        }
        let version = Some(other.to_owned());
        let refusal = assert_refused(
            &built_for(),
            &Running {
                version,
                ..running()
            },
        );
        assert!(matches!(refusal, Refusal::Version { running, .. } if running == other));
    }
}

#[test]
fn mediation_in_one_of_both_only_is_refused() {
    let (built, running) = (built_for(), running());

    let without = Running {
        mediation: !running.mediation,
        ..running.clone()
    };
    let refusal = assert_refused(&built, &without);
    assert_eq!(
        refusal,
        Refusal::Mediation {
            built: built.mediation
        }
    );

    let other = BuiltFor {
        mediation: !built.mediation,
        ..built
    };
    let refusal = assert_refused(&other, &running);
    assert_eq!(
        refusal,
        Refusal::Mediation {
            built: other.mediation
        }
    );
    assert_eq!(check(&other, &without), Ok(()));
}

#[test]
fn each_symbol_that_is_missing_or_too_much_is_refused() {
    let (built, running) = (built_for(), running());
    for marker in 0..running.markers.len() {
        let mut other = running.clone();
        other.markers[marker] = !other.markers[marker];
        let refusal = assert_refused(&built, &other);
        let is_it =
            matches!(refusal, Refusal::Symbol { present, .. } if present == other.markers[marker]);
        assert!(is_it, "marker {marker}: {refusal:?}");
    }
}

#[test]
fn each_version_fits_the_symbols_of_its_own_time_only() {
    let (yes, no) = (true, false);
    let times: [(&[&str], [bool; 5]); 6] = [
        (&["5.9.8", "5.9.10"], [no, no, no, no, no]),
        (&["5.9.11", "5.9.11dr2"], [yes, no, no, no, no]),
        (&["5.9.12", "5.9.13"], [yes, yes, no, no, no]),
        (&["5.9.14"], [yes, yes, yes, no, no]),
        (&["6.0.0", "6.0.1", "6.0"], [yes, yes, yes, yes, no]),
        (&["6.0.2", "6.0.10", "6.1.0"], [yes, yes, yes, yes, yes]),
    ];
    for (versions, own) in &times {
        for version in *versions {
            let built = BuiltFor {
                version,
                mediation: yes,
            };
            for (_, markers) in &times {
                let running = Running {
                    version: None,
                    mediation: yes,
                    markers: *markers,
                };
                let taken = check(&built, &running).is_ok();
                assert_eq!(taken, markers == own, "{version} in {markers:?}");
            }
        }
    }
}

#[test]
fn this_process_names_no_version() {
    init();
    assert_eq!(Running::detect().version, None);
}
