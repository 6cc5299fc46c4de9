// SPDX-License-Identifier: GPL-2.0-or-later

//! The documentation of the options, generated from the tables that read them: JSON Schema for editors, and the
//! reference for people.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{json, Map, Value};

use super::setting::{Form, Setting, Word};
use super::{auth, authorities, child, connection, failover, gateway, rekey_time, secrets, token};

/// A table of options in the documentation.
struct Section {
    /// The name by which [`Form`] refers to it.
    name: &'static str,
    title: &'static str,
    options: Vec<Told>,
    /// The section that has some of these options as well, where the schema defines them.
    base: Option<&'static str>,
    /// The options that must be given.
    required: &'static [&'static str],
    /// Options of which exactly one must be given; if there are none, this is empty.
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
            base: Some("ike_cfg"),
            required: &[],
            one_of: &[],
        },
        Section {
            name: "ike_cfg",
            title: "`ike_cfg` of the existing plugin",
            options: ike_cfg().collect(),
            base: None,
            required: &[],
            one_of: &[],
        },
        Section {
            name: "gateway",
            title: "A gateway as an object in `remote_addrs`",
            options: told(gateway::GATEWAY).collect(),
            base: None,
            required: &["addr"],
            one_of: &[],
        },
        Section {
            name: "child",
            title: "A CHILD_SA",
            options: children.collect(),
            base: None,
            required: &[],
            one_of: &[],
        },
        Section {
            name: "lifetime",
            title: "`lifetime` of the existing plugin",
            options: told(rekey_time::LIFETIME).collect(),
            base: None,
            required: &[],
            one_of: &[],
        },
        Section {
            name: "failover",
            title: "`failover` of a connection",
            options: told(failover::FAILOVER).collect(),
            base: None,
            required: &[],
            one_of: &[],
        },
        Section {
            name: "auth",
            title: "An authentication round",
            options: told(auth::AUTH_CFG).collect(),
            base: None,
            required: &[],
            one_of: &[],
        },
        Section {
            name: "certificate",
            title: "An object under `cert` or `cacert`",
            options: told(token::CERTIFICATE).collect(),
            base: None,
            required: &[],
            one_of: &["file", "handle"],
        },
        Section {
            name: "ca_chain",
            title: "`ca_chain` of the existing plugin",
            options: told(auth::CA_CHAIN).collect(),
            base: None,
            required: &["root_ca"],
            one_of: &[],
        },
        Section {
            name: "shared_secret",
            title: "An entry of `ike`, `eap`, `xauth`, `ntlm` or `ppk` in `secrets`",
            options: told(secrets::SHARED).collect(),
            base: None,
            required: &["secret"],
            one_of: &[],
        },
        Section {
            name: "key_file",
            title: "An entry of `private`, `rsa`, `ecdsa`, `pkcs8` or `pkcs12` in `secrets`",
            options: told(secrets::KEY_FILE).collect(),
            base: None,
            required: &["file"],
            one_of: &[],
        },
        Section {
            name: "token_key",
            title: "An entry of `token` in `secrets`",
            options: told(secrets::TOKEN_KEY).collect(),
            base: None,
            required: &["handle"],
            one_of: &[],
        },
        Section {
            name: "authority",
            title: "A certification authority",
            options: told(authorities::AUTHORITY).collect(),
            base: None,
            required: &[],
            one_of: &["cacert", "file", "handle"],
        },
    ]
}

/// JSON Schema (draft 2020-12) of a configuration, pretty-printed.
///
/// Its definitions are the sections, the collections of them, and the forms of values. A section does not say
/// that there are no other options, as some have a few more: those that refer to it do.
pub fn json_schema() -> String {
    let mut definitions = Map::new();
    let sections = sections();
    for section in &sections {
        let base = section.base.map(|base| {
            let mut sections = sections.iter();
            sections.find(|other| other.name == base).expect("is one")
        });
        definitions.insert(section.name.to_owned(), definition(section, base));
        for option in &section.options {
            if let Some(name) = option.form.definition() {
                let name = name.into_owned();
                definitions.insert(name, option.form.value());
            }
        }
    }
    definitions.insert("connections".to_owned(), named("connection"));
    definitions.insert("authorities".to_owned(), named("authority"));
    definitions.insert("secrets".to_owned(), secrets());
    for (_, entry) in secrets::sections() {
        definitions.insert(format!("{entry}s"), entries(entry));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "extsock configuration",
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "connections": refer("connections"),
                    "secrets": refer("secrets"),
                    "authorities": refer("authorities"),
                },
                "additionalProperties": false,
                "minProperties": 1,
            },
            {
                "$ref": "#/$defs/connection",
                "properties": {
                    "name": Form::Text.schema(),
                    "secrets": refer("secrets"),
                    "authorities": refer("authorities"),
                },
                "required": ["name"],
                "unevaluatedProperties": false,
            },
        ],
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

/// The definition of a section, without the options that its base has.
fn definition(section: &Section, base: Option<&Section>) -> Value {
    let options = &section.options;
    let is_inherited = |option: &&Told| {
        let mut inherited = base.iter().flat_map(|base| &base.options);
        inherited.any(|other| other.name == option.name)
    };
    let mut properties = Map::new();
    for option in options.iter().filter(|option| !is_inherited(option)) {
        let mut schema = option.form.schema();
        let about = format!("{} Default: {}.", option.about, option.default);
        schema["description"] = about.into();
        properties.insert(option.name.to_owned(), schema);
    }
    let mut object = json!({"type": "object", "properties": properties});
    if let Some(base) = base {
        object["$ref"] = format!("#/$defs/{}", base.name).into();
    }
    let patterns = suffix_patterns(options);
    if !patterns.is_empty() {
        object["patternProperties"] = patterns.into();
    }
    if !section.required.is_empty() {
        object["required"] = section.required.into();
    }
    if !section.one_of.is_empty() {
        let alternatives = section.one_of.iter();
        object["oneOf"] = alternatives.map(|o| json!({"required": [o]})).collect();
    }
    if options.iter().any(|option| option.name == "handle") {
        object["dependentRequired"] = json!({"slot": ["handle"], "module": ["handle"]});
    }
    object
}

/// The options that also have names with a suffix.
fn suffix_patterns(options: &[Told]) -> Map<String, Value> {
    let mut patterns = Map::new();
    for option in options.iter().filter(|o| o.form.may_have_suffix()) {
        // The pattern of local, for example, matches local_auth with a suffix, too.
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
    patterns
}

/// A pattern of the names that begin with that of the option, except for the names of options.
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

fn secrets() -> Value {
    let mut patterns = Map::new();
    for (name, entry) in secrets::sections() {
        patterns.insert(format!("^{name}"), refer(&format!("{entry}s")));
    }
    json!({"type": "object", "patternProperties": patterns, "additionalProperties": false})
}

/// An entry of `secrets`, an array of entries or an object of named ones.
fn entries(entry: &str) -> Value {
    json!({"anyOf": [
        only(entry),
        {"type": "array", "items": only(entry)},
        {"type": "object", "additionalProperties": only(entry)},
    ]})
}

/// An object of named sections, or an array of sections with a `name`.
fn named(section: &str) -> Value {
    let mut with_name = only(section);
    with_name["properties"] = json!({"name": Form::Text.schema()});
    with_name["required"] = json!(["name"]);
    json!({
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"minLength": 1},
                "additionalProperties": only(section),
            },
            {"type": "array", "items": with_name},
        ],
    })
}

/// A section, and no other options.
fn only(section: &str) -> Value {
    json!({"$ref": format!("#/$defs/{section}"), "unevaluatedProperties": false})
}

fn refer(definition: &str) -> Value {
    json!({"$ref": format!("#/$defs/{definition}")})
}

impl Form {
    /// What an option of this form takes.
    fn schema(self) -> Value {
        match self.definition() {
            Some(name) => refer(&name),
            None => self.value(),
        }
    }

    /// The name of its definition in the schema, if it has one: those that many options have do.
    fn definition(self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Boolean => "boolean".into(),
            Self::Number(from, to) => format!("number_{from}_to_{to}").into(),
            Self::Text => "text".into(),
            Self::List | Self::Owners => "list".into(),
            Self::Time => "time".into(),
            Self::PreciseTime => "precise_time".into(),
            Self::Bytes => "bytes".into(),
            Self::Hex => "hex".into(),
            Self::IfId => "if_id".into(),
            Self::Mark => "mark".into(),
            Self::SetMark => "set_mark".into(),
            Self::Rounds(section) => format!("{section}_rounds").into(),
            _ => return None,
        })
    }

    fn value(self) -> Value {
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
            Self::List | Self::Owners => {
                let text = Self::Text.schema();
                json!({"anyOf": [text, {"type": "array", "items": text}]})
            }
            Self::Gateways(section) => {
                let text = Self::Text.schema();
                let items = json!({"anyOf": [text, only(section)]});
                json!({"anyOf": [text, {"type": "array", "items": items}]})
            }
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
            Self::Object(section) => only(section),
            Self::Named(section) => named(section),
            Self::FileOrObject(_) => {
                json!({"anyOf": [Self::Text.schema(), self.with_suffix()]})
            }
            Self::Rounds(section) => rounds(section, 0),
            Self::Objects(_) => self.with_suffix(),
        }
    }

    /// What the option takes under a name with a suffix.
    fn with_suffix(self) -> Value {
        match self {
            // Not an empty array: the name may be that of another option, misspelt.
            Self::Rounds(section) => rounds(section, 1),
            Self::FileOrObject(section) | Self::Objects(section) => only(section),
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
    let round = only(section);
    json!({"anyOf": [round, {"type": "array", "items": round, "minItems": at_least}]})
}

/// The words in upper and lower case, and the JSON booleans and numbers that stand for them.
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

Generated by `cargo xtask docs` from the tables that read the options. [schema.json](schema.json) is the
same for editors.

Names and values are those of swanctl.conf. Yes or no is a JSON boolean or one of yes, no, true, false,
enabled, disabled, 1, 0. A number may be written as text, also in hexadecimal (0x10) or octal (010). A list is
an array, or text with commas. A time is in seconds or has a unit (30s, 5m, 1h, 1d); a precise time may also
be a fraction or in milliseconds (0.5, 250ms). Bytes may have a unit that is a power of 1024 (64K, 500M, 1G).
Words may be in upper or lower case.

Options and defaults are those of the strongSwan that the plugin is built for, which `extsockctl version`
shows. Options and words that came with a later version than 5.9.8 have that version here, and are refused by
plugins for earlier ones.

All errors are reported together, up to 20 of them, a line for each with the path, what was expected and
found, line and column. If there is an error, nothing is applied. The action `clear` means none, as in
swanctl, but in the formats of [the existing plugin](README.md#terms) it means trap, as `hold` does.
";
