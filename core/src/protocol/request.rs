// SPDX-License-Identifier: GPL-2.0-or-later

//! Requests: a verb, a blank and an argument.

use serde::Serialize;

use crate::config::{self, Configuration};
use crate::error::{Error, Result};
use crate::failover::event::Event;
use crate::strongswan::Version;

/// Verbs that a client may send; they are matched exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `APPLY_CONFIG <json>`
    ApplyConfig,
    /// `REMOVE_CONFIG <connection>`
    RemoveConfig,
    /// `INITIATE <connection> [child]`
    Initiate,
    /// `TERMINATE <connection or IKE_SA name>`
    Terminate,
    /// `START_DPD <connection or IKE_SA name>`
    StartDpd,
    /// `FAILOVER <connection> [gateway]`
    Failover,
    /// `HISTORY [connection] [n]`
    History,
    /// `LIST`
    List,
    /// `STATUS [connection]`
    Status,
    /// `VERSION`
    Version,
    /// `STATS`
    Stats,
    /// `SUBSCRIBE [events...] [connections...]`
    Subscribe,
    /// `RELOAD`
    Reload,
    /// `HELP`
    Help,
}

impl Verb {
    /// All of them, in the order of HELP.
    pub const ALL: [Self; 14] = [
        Self::ApplyConfig,
        Self::RemoveConfig,
        Self::Initiate,
        Self::Terminate,
        Self::StartDpd,
        Self::Failover,
        Self::History,
        Self::List,
        Self::Status,
        Self::Version,
        Self::Stats,
        Self::Subscribe,
        Self::Reload,
        Self::Help,
    ];

    /// The verb as it is written in requests and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApplyConfig => "APPLY_CONFIG",
            Self::RemoveConfig => "REMOVE_CONFIG",
            Self::Initiate => "INITIATE",
            Self::Terminate => "TERMINATE",
            Self::StartDpd => "START_DPD",
            Self::Failover => "FAILOVER",
            Self::History => "HISTORY",
            Self::List => "LIST",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Stats => "STATS",
            Self::Subscribe => "SUBSCRIBE",
            Self::Reload => "RELOAD",
            Self::Help => "HELP",
        }
    }

    /// Its arguments, as HELP lists them.
    pub fn arguments(self) -> &'static str {
        match self {
            Self::ApplyConfig => "<json>",
            Self::RemoveConfig => "<connection>",
            Self::Initiate => "<connection> [child]",
            Self::Terminate | Self::StartDpd => "<connection or IKE_SA name>",
            Self::Failover => "<connection> [gateway]",
            Self::History => "[connection] [n]",
            Self::Status => "[connection]",
            Self::Subscribe => "[event...] [connection...]",
            Self::List | Self::Version | Self::Stats | Self::Reload | Self::Help => "",
        }
    }

    /// Whether it changes nothing, so that clients that may only read can use it.
    pub fn is_read_only(self) -> bool {
        match self {
            Self::ApplyConfig
            | Self::RemoveConfig
            | Self::Initiate
            | Self::Terminate
            | Self::StartDpd
            | Self::Failover
            | Self::Reload => false,
            Self::History
            | Self::List
            | Self::Status
            | Self::Version
            | Self::Stats
            | Self::Subscribe
            | Self::Help => true,
        }
    }

    /// The verb of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }
}

/// The request of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Load connections and secrets, replacing those of the same name.
    ApplyConfig(Configuration),
    /// Unload a connection.
    RemoveConfig {
        /// Name of the connection.
        connection: String,
    },
    /// Initiate a connection.
    Initiate {
        /// Name of the connection.
        connection: String,
        /// Name of the CHILD_SA; None for all.
        child: Option<String>,
    },
    /// Terminate the IKE_SAs of a connection, without a failover.
    Terminate {
        /// Name of a connection or an IKE_SA.
        name: String,
    },
    /// Start dead peer detection now.
    StartDpd {
        /// Name of a connection or an IKE_SA.
        name: String,
    },
    /// Switch a connection to another gateway.
    Failover {
        /// Name of the connection.
        connection: String,
        /// The gateway; None for the next one.
        gateway: Option<String>,
    },
    /// Report the last failovers.
    History {
        /// Name of the connection; None for all.
        connection: Option<String>,
        /// How many; None for all that are remembered.
        count: Option<usize>,
    },
    /// Report all connections.
    List,
    /// Report connections in detail.
    Status {
        /// Name of the connection, or of an IKE_SA of it; None for all.
        name: Option<String>,
    },
    /// Report the versions.
    Version,
    /// Report the counters.
    Stats,
    /// Choose the events that this client is sent.
    Subscribe(Subscription),
    /// Load the directory of configurations again.
    Reload,
    /// Report the verbs.
    Help,
}

impl Request {
    /// Its verb.
    pub fn verb(&self) -> Verb {
        match self {
            Self::ApplyConfig(_) => Verb::ApplyConfig,
            Self::RemoveConfig { .. } => Verb::RemoveConfig,
            Self::Initiate { .. } => Verb::Initiate,
            Self::Terminate { .. } => Verb::Terminate,
            Self::StartDpd { .. } => Verb::StartDpd,
            Self::Failover { .. } => Verb::Failover,
            Self::History { .. } => Verb::History,
            Self::List => Verb::List,
            Self::Status { .. } => Verb::Status,
            Self::Version => Verb::Version,
            Self::Stats => Verb::Stats,
            Self::Subscribe(_) => Verb::Subscribe,
            Self::Reload => Verb::Reload,
            Self::Help => Verb::Help,
        }
    }
}

/// Which events a client is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Names of events; all if it is empty.
    pub events: Vec<String>,
    /// Names of connections: only their events are sent; all events if it is empty.
    pub connections: Vec<String>,
}

impl Subscription {
    /// A word that is the name of an event stands for it, any other for a connection.
    fn parse(argument: &str) -> Self {
        let (events, connections) = argument
            .split_whitespace()
            .map(str::to_owned)
            .partition(|word| Event::NAMES.contains(&word.as_str()));
        Self {
            events,
            connections,
        }
    }

    /// Whether the event is to be sent.
    pub fn wants(&self, event: &Event) -> bool {
        let named = || self.events.iter().any(|name| name == event.name());
        let concerned = || {
            event
                .connection()
                .is_some_and(|name| self.connections.iter().any(|wanted| wanted == name))
        };
        (self.events.is_empty() || named()) && (self.connections.is_empty() || concerned())
    }
}

/// A request that is answered with an error only.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The verb for the reply; empty if the request does not begin with one.
    #[serde(skip)]
    pub verb: String,
    /// The error.
    pub error: Error,
}

/// Reads a complete request, as the framer delivers it. A configuration in it is read for that strongSwan.
pub fn parse(text: &str, strongswan: Version) -> std::result::Result<Request, Rejection> {
    let text = text.trim();
    let (word, argument) = match text.split_once(char::is_whitespace) {
        Some((word, argument)) => (word, argument.trim()),
        None => (text, ""),
    };
    let parsed = match Verb::from_name(word) {
        Some(verb) => parse_argument(verb, argument, strongswan),
        None => Err(unknown_verb()),
    };
    parsed.map_err(|error| Rejection {
        verb: repeatable_verb(word),
        error,
    })
}

/// The verb, if the reply may repeat it.
///
/// Anything else may be a part of a configuration, including secrets, and is not repeated.
pub(super) fn repeatable_verb(word: &str) -> String {
    const LONGEST: usize = 32;
    if word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        word.chars().take(LONGEST).collect()
    } else {
        String::new()
    }
}

fn unknown_verb() -> Error {
    let known = Verb::ALL.map(Verb::name).join(", ");
    Error::invalid(format!("unknown verb: expected one of {known}"))
}

fn parse_argument(verb: Verb, argument: &str, strongswan: Version) -> Result<Request> {
    let one_name = || match argument {
        "" => Err(missing(verb)),
        name => Ok(name.to_owned()),
    };
    Ok(match verb {
        Verb::ApplyConfig if argument.is_empty() => return Err(missing(verb)),
        Verb::ApplyConfig => Request::ApplyConfig(config::parse(argument, strongswan)?),
        Verb::RemoveConfig => Request::RemoveConfig {
            connection: one_name()?,
        },
        Verb::Terminate => Request::Terminate { name: one_name()? },
        Verb::StartDpd => Request::StartDpd { name: one_name()? },
        Verb::Initiate => {
            let (connection, child) = up_to_two(verb, argument)?;
            let connection = connection.ok_or_else(|| missing(verb))?;
            Request::Initiate { connection, child }
        }
        Verb::Failover => {
            let (connection, gateway) = up_to_two(verb, argument)?;
            let connection = connection.ok_or_else(|| missing(verb))?;
            Request::Failover {
                connection,
                gateway,
            }
        }
        Verb::History => {
            let (first, second) = up_to_two(verb, argument)?;
            // A single argument that is a number is the number of entries.
            let (connection, count) = match (first, second) {
                (Some(first), None) if first.parse::<usize>().is_ok() => (None, Some(first)),
                words => words,
            };
            let count = count.map(|n| n.parse().map_err(|_| surplus(verb)));
            Request::History {
                connection,
                count: count.transpose()?,
            }
        }
        Verb::Status => Request::Status {
            name: (!argument.is_empty()).then(|| argument.to_owned()),
        },
        Verb::Subscribe => Request::Subscribe(Subscription::parse(argument)),
        Verb::List | Verb::Version | Verb::Stats | Verb::Reload | Verb::Help
            if !argument.is_empty() =>
        {
            return Err(surplus(verb))
        }
        Verb::List => Request::List,
        Verb::Version => Request::Version,
        Verb::Stats => Request::Stats,
        Verb::Reload => Request::Reload,
        Verb::Help => Request::Help,
    })
}

fn up_to_two(verb: Verb, argument: &str) -> Result<(Option<String>, Option<String>)> {
    let mut words = argument.split_whitespace().map(str::to_owned);
    let two = (words.next(), words.next());
    match words.next() {
        None => Ok(two),
        Some(_) => Err(surplus(verb)),
    }
}

fn missing(verb: Verb) -> Error {
    let expected = match verb {
        Verb::ApplyConfig => "a JSON configuration",
        Verb::RemoveConfig | Verb::Initiate | Verb::Failover => "the name of a connection",
        Verb::Terminate | Verb::StartDpd => "the name of a connection or an IKE_SA",
        Verb::History
        | Verb::List
        | Verb::Status
        | Verb::Version
        | Verb::Stats
        | Verb::Subscribe
        | Verb::Reload
        | Verb::Help => "nothing",
    };
    Error::invalid(format!("{}: expected {expected}", verb.name()))
}

fn surplus(verb: Verb) -> Error {
    let expected = match verb {
        Verb::List | Verb::Version | Verb::Stats | Verb::Reload | Verb::Help => "no argument",
        Verb::Failover => "a connection and at most one gateway",
        Verb::History => "a connection and a number of entries, both optional",
        _ => "a connection and at most one child",
    };
    Error::invalid(format!("{}: expected {expected}", verb.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn parse(text: &str) -> std::result::Result<Request, Rejection> {
        super::parse(text, Version::NEWEST)
    }

    fn refused(text: &str) -> (String, String) {
        let rejection = parse(text).unwrap_err();
        assert_eq!(rejection.error.code, ErrorCode::InvalidParameter);
        (rejection.verb, rejection.error.message)
    }

    fn with(verb: &str, message: &str) -> (String, String) {
        (verb.to_owned(), message.to_owned())
    }

    #[test]
    fn every_verb_is_read() {
        let name = || "site a".to_owned();
        let initiate = |child: Option<&str>| Request::Initiate {
            connection: "site".to_owned(),
            child: child.map(str::to_owned),
        };
        let failover = |gateway: Option<&str>| Request::Failover {
            connection: "site".to_owned(),
            gateway: gateway.map(str::to_owned),
        };
        let history = |connection: Option<&str>, count| Request::History {
            connection: connection.map(str::to_owned),
            count,
        };
        for (text, request) in [
            ("LIST", Request::List),
            ("  LIST \n", Request::List),
            (
                "REMOVE_CONFIG  site a ",
                Request::RemoveConfig { connection: name() },
            ),
            ("TERMINATE site a", Request::Terminate { name: name() }),
            ("START_DPD\tsite a", Request::StartDpd { name: name() }),
            ("INITIATE site", initiate(None)),
            ("INITIATE site net", initiate(Some("net"))),
            ("FAILOVER site", failover(None)),
            ("FAILOVER site 10.0.0.2", failover(Some("10.0.0.2"))),
            ("HISTORY", history(None, None)),
            ("HISTORY 5", history(None, Some(5))),
            ("HISTORY site", history(Some("site"), None)),
            ("HISTORY site 5", history(Some("site"), Some(5))),
            ("STATUS", Request::Status { name: None }),
            ("STATUS site a", Request::Status { name: Some(name()) }),
            ("VERSION", Request::Version),
            ("STATS", Request::Stats),
            ("RELOAD", Request::Reload),
            ("HELP", Request::Help),
            ("SUBSCRIBE", Request::Subscribe(Subscription::default())),
            (
                "SUBSCRIBE tunnel_up site tunnel_down b",
                Request::Subscribe(Subscription {
                    events: vec!["tunnel_up".to_owned(), "tunnel_down".to_owned()],
                    connections: vec!["site".to_owned(), "b".to_owned()],
                }),
            ),
        ] {
            assert_eq!(parse(text), Ok(request), "{text:?}");
        }
        let Ok(Request::ApplyConfig(configuration)) = parse("APPLY_CONFIG\n{\"name\": \"a\"}")
        else {
            panic!("a configuration expected");
        };
        assert_eq!(configuration.connections[0].name, "a");
    }

    #[test]
    fn a_subscription_wants_the_events_of_its_names_and_connections() {
        let applied = |connection: &str| Event::ConfigApplied {
            connection: connection.to_owned(),
        };
        let exhausted = Event::FailoverExhausted {
            connection: "a".to_owned(),
            retries: 5,
        };
        let foreign = Event::IkeSaUp {
            ike_sa_name: "a".to_owned(),
            connection: None,
            state: "2".to_owned(),
        };
        for (argument, wanted) in [
            ("", [true, true, true, true]),
            ("config_applied", [true, true, false, false]),
            ("a", [true, false, true, false]),
            ("a config_applied", [true, false, false, false]),
            ("a b config_applied ike_sa_up", [true, true, false, false]),
            ("ike_sa_up", [false, false, false, true]),
        ] {
            let subscription = Subscription::parse(argument);
            let wants = [&applied("a"), &applied("b"), &exhausted, &foreign]
                .map(|event| subscription.wants(event));
            assert_eq!(wants, wanted, "{argument}");
        }
    }

    #[test]
    fn names_of_verbs_lead_back_to_them() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_name(verb.name()), Some(verb));
        }
    }

    #[test]
    fn a_faulty_configuration_is_a_parsing_error() {
        let rejection = parse("APPLY_CONFIG {\"name\": 1}").unwrap_err();
        assert_eq!(rejection.verb, "APPLY_CONFIG");
        assert_eq!(
            rejection.error,
            Error::parsing("name: expected a string, found a number at line 1 column 2")
        );
    }

    #[test]
    fn missing_and_surplus_arguments_are_refused() {
        let connection = "expected the name of a connection";
        for (text, verb, expected) in [
            (
                "APPLY_CONFIG",
                "APPLY_CONFIG",
                "expected a JSON configuration",
            ),
            ("REMOVE_CONFIG ", "REMOVE_CONFIG", connection),
            ("INITIATE", "INITIATE", connection),
            (
                "INITIATE a b c",
                "INITIATE",
                "expected a connection and at most one child",
            ),
            (
                "TERMINATE",
                "TERMINATE",
                "expected the name of a connection or an IKE_SA",
            ),
            (
                "START_DPD",
                "START_DPD",
                "expected the name of a connection or an IKE_SA",
            ),
            ("LIST all", "LIST", "expected no argument"),
            ("VERSION 1", "VERSION", "expected no argument"),
            ("STATS x", "STATS", "expected no argument"),
            ("HELP me", "HELP", "expected no argument"),
            ("FAILOVER", "FAILOVER", connection),
            (
                "FAILOVER a b c",
                "FAILOVER",
                "expected a connection and at most one gateway",
            ),
            (
                "HISTORY a b",
                "HISTORY",
                "expected a connection and a number of entries, both optional",
            ),
        ] {
            assert_eq!(refused(text), with(verb, &format!("{verb}: {expected}")));
        }
    }

    #[test]
    fn unknown_verbs_are_repeated_only_if_they_look_like_one() {
        let message =
            "unknown verb: expected one of APPLY_CONFIG, REMOVE_CONFIG, INITIATE, TERMINATE, \
                       START_DPD, FAILOVER, HISTORY, LIST, STATUS, VERSION, STATS, SUBSCRIBE, RELOAD, HELP";
        assert_eq!(refused("REBOOT all"), with("REBOOT", message));
        assert_eq!(refused(&"A".repeat(100)), with(&"A".repeat(32), message));
        for text in [
            "list",
            "",
            "{\"secret\":\"hunter2\"}",
            "hunter2\"}",
            "LIST2",
        ] {
            assert_eq!(refused(text), with("", message), "{text}");
        }
    }
}
