// SPDX-License-Identifier: GPL-2.0-or-later

//! What people and editors are told of the options: JSON Schema and reference, made of the tables that
//! read them.

use std::fmt::Write;

use serde_json::{json, Map, Value};

use super::setting::{Form, Setting, Word};
use super::{auth, authorities, child, connection, failover, gateway, rekey_time, secrets, token};

/// A table as it is told.
struct Section {
    /// Name that [`Form`] refers to it by.
    name: &'static str,
    title: &'static str,
    options: Vec<Told>,
    /// Those that it does not work without.
    required: &'static [&'static str],
    /// Those of which it has one.
    one_of: &'static [&'static str],
}

struct Told {
    name: &'static str,
    form: Form,
    default: &'static str,
    about: String,
}

fn told<T>(table: &[Setting<T>]) -> impl Iterator<Item = Told> + '_ {
    table.iter().map(|setting| Told {
        name: setting.name,
        form: setting.form,
        default: setting.default,
        about: match setting.since {
            Some(since) => format!("{} From strongSwan {since} on.", setting.about),
            None => setting.about.to_owned(),
        },
    })
}

fn sections() -> Vec<Section> {
    let ike_cfg = || told(connection::IKE_CFG).chain(told(connection::IKE_TIMES));
    let peer_cfg = told(connection::PEER_CFG).chain(told(connection::SECTIONS));
    let children = told(child::CHILD_CFG).chain(told(child::CHILD_TIMES));
    vec![
        Section {
            name: "connection",
            title: "A connection",
            options: ike_cfg().chain(peer_cfg).collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "ike_cfg",
            title: "`ike_cfg` of the existing plugin",
            options: ike_cfg().collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "gateway",
            title: "A gateway as an object in `remote_addrs`",
            options: told(gateway::GATEWAY).collect(),
            required: &["addr"],
            one_of: &[],
        },
        Section {
            name: "children",
            title: "A CHILD_SA",
            options: children.collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "lifetime",
            title: "`lifetime` of the existing plugin",
            options: told(rekey_time::LIFETIME).collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "failover",
            title: "`failover` of a connection",
            options: told(failover::FAILOVER).collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "auth",
            title: "An authentication round",
            options: told(auth::AUTH_CFG).collect(),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "certificate",
            title: "An object under `cert` or `cacert`",
            options: told(token::CERTIFICATE).collect(),
            required: &[],
            one_of: &["file", "handle"],
        },
        Section {
            name: "ca_chain",
            title: "`ca_chain` of the existing plugin",
            options: told(auth::CA_CHAIN).collect(),
            required: &["root_ca"],
            one_of: &[],
        },
        Section {
            name: "shared_secret",
            title: "An entry of `ike`, `eap`, `xauth`, `ntlm` or `ppk` in `secrets`",
            options: told(secrets::SHARED).collect(),
            required: &["secret"],
            one_of: &[],
        },
        Section {
            name: "key_file",
            title: "An entry of `private`, `rsa`, `ecdsa`, `pkcs8` or `pkcs12` in `secrets`",
            options: told(secrets::KEY_FILE).collect(),
            required: &["file"],
            one_of: &[],
        },
        Section {
            name: "token_key",
            title: "An entry of `token` in `secrets`",
            options: told(secrets::TOKEN_KEY).collect(),
            required: &["handle"],
            one_of: &[],
        },
        Section {
            name: "authorities",
            title: "A certification authority",
            options: told(authorities::AUTHORITY).collect(),
            required: &[],
            one_of: &["cacert", "file", "handle"],
        },
    ]
}

/// JSON Schema (draft 2020-12) of a configuration, pretty-printed.
pub fn json_schema() -> String {
    let mut definitions = Map::new();
    for section in sections() {
        definitions.insert(section.name.to_owned(), object(&section, false));
        if ["connection", "children", "authorities"].contains(&section.name) {
            let named = format!("named_{}", section.name);
            definitions.insert(named, object(&section, true));
        }
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "extsock configuration",
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "connections": named("connection"),
                    "secrets": secrets(),
                    "authorities": named("authorities"),
                },
                "additionalProperties": false,
                "minProperties": 1,
            },
            {"$ref": "#/$defs/named_connection"},
        ],
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

fn object(section: &Section, named: bool) -> Value {
    let options = &section.options;
    let mut properties = Map::new();
    if named {
        properties.insert("name".to_owned(), Form::Text.schema());
    }
    // A document may be a single connection.
    if named && section.name == "connection" {
        properties.insert("secrets".to_owned(), secrets());
        properties.insert("authorities".to_owned(), self::named("authorities"));
    }
    for option in options {
        let mut schema = option.form.schema();
        let about = format!("{} Default: {}.", option.about, option.default);
        schema["description"] = about.into();
        properties.insert(option.name.to_owned(), schema);
    }
    let mut patterns = Map::new();
    for option in options.iter().filter(|o| o.form.may_have_suffix()) {
        // As local_auth by local.
        let is_covered = |other: &Told| {
            let rest = option.name.strip_prefix(other.name);
            other.form == option.form && rest.is_some_and(|rest| !rest.is_empty())
        };
        if options.iter().any(is_covered) {
            continue;
        }
        let names = options.iter().map(|option| option.name);
        patterns.insert(suffixed(option.name, names), option.form.with_suffix());
    }
    let name = named.then_some(&"name");
    let required: Vec<_> = section.required.iter().chain(name).collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "required": required,
        "additionalProperties": false,
    });
    if !section.one_of.is_empty() {
        let alternatives = section.one_of.iter();
        object["oneOf"] = alternatives.map(|o| json!({"required": [o]})).collect();
    }
    if options.iter().any(|option| option.name == "handle") {
        object["dependentRequired"] = json!({"slot": ["handle"], "module": ["handle"]});
    }
    object
}

/// The names that begin with that of the option, but for its own and those of other options.
fn suffixed(option: &str, options: impl Iterator<Item = &'static str>) -> String {
    let others = options.filter_map(|other| other.strip_prefix(option));
    let others: Vec<String> = (others.filter(|rest| !rest.is_empty()))
        .map(|rest| format!("{rest}$"))
        .collect();
    let but = match others.is_empty() {
        true => String::new(),
        false => format!("(?!{})", others.join("|")),
    };
    format!("^{option}{but}.")
}

/// Sections, each an entry, an array of entries or an object of named ones.
fn secrets() -> Value {
    let mut patterns = Map::new();
    for (name, table) in secrets::sections() {
        let entry = json!({"$ref": format!("#/$defs/{table}")});
        let forms = json!({"anyOf": [
            entry,
            {"type": "array", "items": entry},
            {"type": "object", "additionalProperties": entry},
        ]});
        patterns.insert(format!("^{name}"), forms);
    }
    json!({"type": "object", "patternProperties": patterns, "additionalProperties": false})
}

fn named(section: &str) -> Value {
    json!({
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"$ref": format!("#/$defs/{section}")},
            },
            {"type": "array", "items": {"$ref": format!("#/$defs/named_{section}")}},
        ],
    })
}

impl Form {
    fn schema(self) -> Value {
        let up_to = |most: u64, pattern: &str| {
            json!({"anyOf": [
                {"type": "integer", "minimum": 0, "maximum": most},
                {"type": "string", "pattern": pattern},
            ]})
        };
        let numbers = |pattern: &str| up_to(u32::MAX.into(), pattern);
        match self {
            Self::Boolean => words(&[
                "true", "false", "yes", "no", "enabled", "disabled", "1", "0",
            ]),
            Self::Words(list) => words(&list.iter().map(|word| word.name).collect::<Vec<_>>()),
            Self::Number(from, to) => json!({"anyOf": [
                {"type": "integer", "minimum": from, "maximum": to},
                {"type": "string", "pattern": "^(0[xX][0-9a-fA-F]+|[0-9]+)$"},
            ]}),
            Self::Fraction(from, to) => json!({"anyOf": [
                {"type": "number", "minimum": from, "maximum": to},
                {"type": "string", "pattern": "^[0-9]*[.]?[0-9]*$"},
            ]}),
            Self::Text => json!({"type": "string", "minLength": 1}),
            Self::List | Self::Owners => json!({"anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}},
            ]}),
            Self::Gateways(section) => json!({"anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"anyOf": [
                    {"type": "string", "minLength": 1},
                    {"$ref": format!("#/$defs/{section}")},
                ]}},
            ]}),
            Self::Time => numbers("^\\s*[0-9][0-9a-fA-FxX]*\\s*[sSmMhHdD]?\\s*$"),
            Self::PreciseTime => json!({"anyOf": [
                {"type": "number", "minimum": 0, "maximum": u32::MAX},
                {"type": "string", "pattern": "^\\s*[0-9.]+\\s*([mM][sS]|[sSmMhHdD])?\\s*$"},
            ]}),
            Self::Bytes => up_to(u64::MAX, "^\\s*[0-9][0-9a-fA-FxX]*\\s*[kKmMgG]?\\s*$"),
            Self::Hex => json!({"type": "string", "pattern": "^(0x)?:*[0-9a-fA-F][0-9a-fA-F:]*$"}),
            Self::Dscp => json!({"type": "string", "pattern": "^[01]{6}$"}),
            Self::IfId => {
                numbers("^(0[xX][0-9a-fA-F]+|[0-9]+|%[uU][nN][iI][qQ][uU][eE](-[dD][iI][rR])?)$")
            }
            Self::Mark => numbers(
                "^(0[xX][0-9a-fA-F]+|[0-9]+|%[uU][nN][iI][qQ][uU][eE](-[dD][iI][rR])?)(/.+)?$",
            ),
            Self::SetMark => numbers("^(0[xX][0-9a-fA-F]+|[0-9]+|%[sS][aA][mM][eE])(/.+)?$"),
            Self::Padding => numbers("^(0[xX][0-9a-fA-F]+|[0-9]+|mtu)$"),
            Self::Object(section) => json!({"$ref": format!("#/$defs/{section}")}),
            Self::Named(section) => named(section),
            Self::FileOrObject(_) => {
                json!({"anyOf": [Self::Text.schema(), self.with_suffix()]})
            }
            Self::Rounds(section) => rounds(section, 0),
            Self::Objects(_) => self.with_suffix(),
        }
    }

    /// What is under names that begin with that of the option.
    fn with_suffix(self) -> Value {
        match self {
            // An empty array may be of a misspelt option.
            Self::Rounds(section) => rounds(section, 1),
            Self::FileOrObject(section) | Self::Objects(section) => {
                json!({"$ref": format!("#/$defs/{section}")})
            }
            _ => self.schema(),
        }
    }

    fn described(self) -> String {
        match self {
            Self::Boolean => "yes or no".to_owned(),
            Self::Words(words) => {
                let words: Vec<String> = words.iter().map(Word::told).collect();
                format!("one of {}", words.join(", ")).replace('|', "\\|")
            }
            Self::Number(from, u64::MAX) => format!("number from {from}"),
            Self::Number(from, to) => format!("number from {from} to {to}"),
            Self::Fraction(from, f64::MAX) => format!("number of at least {from}"),
            Self::Fraction(from, to) => format!("number from {from} to {to}"),
            Self::Text => "text".to_owned(),
            Self::List => "list".to_owned(),
            Self::Owners => "text, or an array of texts".to_owned(),
            Self::Gateways(_) => "list, also with objects".to_owned(),
            Self::Time => "time".to_owned(),
            Self::PreciseTime => "precise time".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Hex => "hex digits".to_owned(),
            Self::Dscp => "six binary digits".to_owned(),
            Self::IfId => "number, %unique or %unique-dir".to_owned(),
            Self::Mark => "number, %unique or %unique-dir, and /mask as needed".to_owned(),
            Self::SetMark => "number or %same, and /mask as needed".to_owned(),
            Self::Padding => "number or mtu".to_owned(),
            Self::Object(_) => "object".to_owned(),
            Self::Named(_) => "objects by name, or an array of objects with `name`".to_owned(),
            Self::Rounds(_) => "object, or an array of them".to_owned(),
            Self::FileOrObject(_) => "text, or an object".to_owned(),
            Self::Objects(_) => "object".to_owned(),
        }
    }
}

impl Word {
    fn told(&self) -> String {
        match self.newer() {
            Some((name, since)) => format!("{name} (from strongSwan {since} on)"),
            None => self.name.to_owned(),
        }
    }
}

fn rounds(section: &str, at_least: u64) -> Value {
    let round = json!({"$ref": format!("#/$defs/{section}")});
    json!({"anyOf": [round, {"type": "array", "items": round, "minItems": at_least}]})
}

/// Words in any case, and what JSON has of its own for one of them.
fn words(list: &[&str]) -> Value {
    let mut patterns = Vec::new();
    let mut others = Vec::new();
    for word in list {
        let any_case: String = word
            .chars()
            .map(|c| match c {
                c if c.is_ascii_alphabetic() => {
                    format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase())
                }
                '|' => "[|]".to_owned(),
                c => c.to_string(),
            })
            .collect();
        patterns.push(any_case);
        let json = match *word {
            "yes" => Some(true.into()),
            "no" => Some(false.into()),
            other => serde_json::from_str(other).ok().filter(Value::is_number),
        };
        others.extend(json);
    }
    let strings = json!({"type": "string", "pattern": format!("^({})$", patterns.join("|"))});
    if others.is_empty() {
        strings
    } else {
        json!({"anyOf": [{"enum": others}, strings]})
    }
}

/// The reference of all options, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in sections() {
        let _ = write!(
            page,
            "\n## {}\n\n| option | value | default | meaning |\n|---|---|---|---|\n",
            section.title
        );
        for Told {
            name,
            form,
            default,
            about,
        } in section.options
        {
            let form = form.described();
            let _ = writeln!(page, "| `{name}` | {form} | {default} | {about} |");
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Options of the configuration

Made by `cargo xtask docs` of the tables that read them; [schema.json](schema.json) says the same to
editors.

The names are those of swanctl.conf, and so are the values. Yes or no is a JSON boolean or one of yes, no,
true, false, enabled, disabled, 1, 0. A number may be written as text, also hexadecimal (0x10) or octal
(010). A list is an array, or text with commas. A time is in seconds or has a unit (30s, 5m, 1h, 1d); a
precise time may be a fraction or milliseconds as well (0.5, 250ms). Bytes may have a unit of 1024 or its
powers (64K, 500M, 1G). Words are taken in upper and lower case.

Options and defaults are those of the strongSwan that the plugin is built for, which `extsockctl version`
tells. What came with a later one than 5.9.8 has its version here, and is refused before that.

What is wrong is told all at once, a line for each error, at most 20: path, what was expected and found,
line and column. Nothing is applied then. The action `clear` is none, as in swanctl, but trap in the
formats of the existing plugin, as is `hold`.
";
