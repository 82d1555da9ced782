//! Reads a table key by key, and keeps every mistake instead of stopping at the first.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use toml::{Table, Value};

use super::{Mistake, environment::Overrides};

/// The whole file.
pub(super) struct Reader<'a> {
    root: &'a Table,
    overrides: &'a Overrides,
    mistakes: RefCell<Vec<Mistake>>,
    /// Every key that was looked for, set or not.
    asked: RefCell<BTreeSet<String>>,
}

/// One table of it. Keys it was not asked for are mistakes, see [`Section::finish`].
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    table: Option<&'a Table>,
    known: RefCell<BTreeSet<&'static str>>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn new(root: &'a Table, overrides: &'a Overrides) -> Self {
        Self { root, overrides, mistakes: RefCell::default(), asked: RefCell::default() }
    }

    pub fn root(&'a self) -> Section<'a> {
        self.section_of(String::new(), Some(self.root))
    }

    pub fn section_of(&'a self, path: String, table: Option<&'a Table>) -> Section<'a> {
        Section { reader: self, path, table, known: RefCell::default() }
    }

    pub fn mistake(&self, key: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake::new(key, problem));
    }

    /// The variable that set a key, as a prefix for what is said about its value.
    fn origin(&self, key: &str) -> String {
        self.overrides.get(key).map_or_else(String::new, |variable| format!("({variable}) "))
    }

    #[cfg(test)]
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    pub fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

// === impl Section ===

impl<'a> Section<'a> {
    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn mistake(&self, name: &str, problem: impl AsRef<str>) {
        let key = self.key(name);
        let problem = format!("{}{}", self.reader.origin(&key), problem.as_ref());
        self.reader.mistake(key, problem);
    }

    fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(name);
        self.reader.asked.borrow_mut().insert(self.key(name));
        self.table?.get(name)
    }

    pub fn section(&self, name: &'static str) -> Section<'a> {
        let table = match self.value(name) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                self.mistake(name, format!("must be a table, [{}], not {}", name, kind(other)));
                None
            }
        };
        self.reader.section_of(self.key(name), table)
    }

    pub fn tables(&self, name: &'static str) -> Vec<&'a Table> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let tables = value.as_array().map(|items| items.iter().map(Value::as_table).collect());
        tables.flatten().unwrap_or_else(|| {
            self.mistake(name, format!("must be tables, each headed by [[{name}]]"));
            Vec::new()
        })
    }

    pub fn text(&self, name: &'static str, default: &str) -> String {
        self.optional_text(name).unwrap_or_else(|| default.to_owned())
    }

    pub fn required_text(&self, name: &'static str, what: &str) -> String {
        if self.table.is_none_or(|table| !table.contains_key(name)) {
            self.value(name);
            self.mistake(name, format!("is missing: {what}"));
            return String::new();
        }
        self.text(name, "")
    }

    pub fn optional_text(&self, name: &'static str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.mistake(name, format!("must be text in quotes, not {}", kind(other)));
                None
            }
        }
    }

    /// A whole number. Out of range, the nearest end of the range stands in for it.
    pub fn integer<T>(&self, name: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        self.optional_integer(name, allowed).unwrap_or(default)
    }

    pub fn optional_integer<T>(&self, name: &'static str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        let value = self.value(name)?;
        let range = format!("{} to {}", allowed.start(), allowed.end());
        let from_environment = self.reader.overrides.contains_key(&self.key(name));
        let number = match value {
            Value::Integer(number) => Some(*number),
            Value::String(text) if from_environment => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let found = if from_environment { value.to_string() } else { kind(value).to_owned() };
            self.mistake(name, format!("must be a whole number, {range}, not {found}"));
            return None;
        };
        match T::try_from(number) {
            Ok(number) if allowed.contains(&number) => Some(number),
            _ => {
                self.mistake(name, format!("{number} is out of range: {range}"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, name: &'static str, default: T, allowed: &[(&str, T)]) -> T {
        let Some(found) = self.optional_text(name) else { return default };
        let hit = allowed.iter().find(|(word, _)| *word == found);
        hit.map_or_else(
            || {
                let words: Vec<String> = allowed.iter().map(|(w, _)| format!("{w:?}")).collect();
                self.mistake(name, format!("{found:?} is not one of {}", words.join(", ")));
                default
            },
            |(_, choice)| *choice,
        )
    }

    /// Names and scalars, for librdkafka.
    pub fn properties(&self, name: &'static str) -> BTreeMap<String, String> {
        let section = self.section(name);
        let mut properties = BTreeMap::new();
        for (property, value) in section.table.into_iter().flatten() {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Integer(_) | Value::Boolean(_) | Value::Float(_) => value.to_string(),
                Value::Table(_) => {
                    let problem = "must be text, a number or true or false; put a name with dots \
                                   in quotes: \"sasl.password\"";
                    section.mistake(property, problem);
                    continue;
                }
                Value::Datetime(_) | Value::Array(_) => {
                    section.mistake(property, "must be text, a number or true or false");
                    continue;
                }
            };
            properties.insert(property.clone(), text);
        }
        properties
    }

    /// A table that the topology reads.
    pub fn json(&self, name: &'static str) -> serde_json::Value {
        self.section(name).all()
    }

    pub fn all(&self) -> serde_json::Value {
        let empty = Table::new();
        self.json_table(&self.path, self.table.unwrap_or(&empty))
    }

    /// IMPORTANT: keys go in in order, so that equal tables are equal bytes whichever map
    /// `serde_json` is built with: the document's hash rests on it.
    fn json_table(&self, path: &str, table: &Table) -> serde_json::Value {
        let sorted: BTreeMap<&String, &Value> = table.iter().collect();
        let entries = sorted
            .into_iter()
            .map(|(key, value)| (key.clone(), self.json_value(&format!("{path}.{key}"), value)));
        serde_json::Value::Object(entries.collect())
    }

    fn json_value(&self, path: &str, value: &Value) -> serde_json::Value {
        match value {
            Value::String(text) if self.reader.overrides.contains_key(path) => scalar(text),
            Value::String(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(truth) => (*truth).into(),
            Value::Datetime(time) => time.to_string().into(),
            Value::Array(items) => items.iter().map(|item| self.json_value(path, item)).collect(),
            Value::Table(table) => self.json_table(path, table),
        }
    }

    /// Every key that nobody asked for is a mistake.
    pub fn finish(self) {
        let known = self.known.borrow();
        for name in self.table.into_iter().flat_map(Table::keys) {
            if known.contains(name.as_str()) {
                continue;
            }
            let problem = match nearest(name, &known) {
                Some(near) => format!("is not known; did you mean {near}?"),
                None => format!("is not known; allowed here: {}", listed(&known)),
            };
            self.mistake(name, problem);
        }
    }
}

/// What a variable's text means where any kind of value may stand.
fn scalar(text: &str) -> serde_json::Value {
    let number = text.parse::<i64>().map(Into::into);
    number.or_else(|_| text.parse::<bool>().map(Into::into)).unwrap_or_else(|_| text.into())
}

fn listed(known: &BTreeSet<&'static str>) -> String {
    known.iter().copied().collect::<Vec<_>>().join(", ")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The known name with the least edits, if they are few.
fn nearest(name: &str, known: &BTreeSet<&'static str>) -> Option<&'static str> {
    let edits = |candidate: &&'static str| distance(name, candidate);
    let close = known.iter().copied().min_by_key(edits)?;
    let allowed = (name.len() / 3).clamp(1, 4);
    let part = close.len() > 3 && (name.contains(close) || close.contains(name));
    (edits(&close) <= allowed || part).then_some(close)
}

/// Levenshtein's.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (above, right) in row.iter().skip(1).zip(&right) {
            before = (diagonal + usize::from(left != *right)).min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, edits) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 2),
            ("thread", "threads", 1),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
